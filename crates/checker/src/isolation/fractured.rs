//! Property **NoFracturedRead**: who sees one write of a transaction sees, of each other key the transaction wrote, that write or a later
//! one.
//!
//! Source: Bailis, Fekete, Hellerstein, Ghodsi and Stoica, "Scalable Atomic Visibility with RAMP Transactions" (SIGMOD 2014),
//! §3.1, fractured reads. The order of versions need not be known where two writers wrote the *same two* keys, or one did and
//! the other version is the first: a reader who takes one key from the one and the other from the other has missed half of whichever was later.

use super::history::{Name, Op, Status, Transaction};
use crate::Violation;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

const PROPERTY: &str = "NoFracturedRead";

/// Checks the reads of registers by transactions that were committed.
pub fn check(history: &[Transaction]) -> Result<(), Violation> {
    let mut writers: BTreeMap<(&Bytes, u64), &Transaction> = BTreeMap::new();
    let mut wrote: BTreeSet<(u64, &Bytes)> = BTreeSet::new();
    for txn in history {
        for op in &txn.ops {
            if let Op::Write { key, value, .. } = op {
                writers.insert((key, *value), txn);
                wrote.insert((txn.id, key));
            }
        }
    }
    for reader in history.iter().filter(|txn| txn.status == Status::Committed) {
        let reads: Vec<(&Bytes, Option<&Transaction>)> = (reader.ops.iter())
            .filter_map(|op| match op {
                Op::Read { key, value: Some(value), .. } => Some((key, Some(*writers.get(&(key, *value))?))),
                Op::Read { key, value: None, .. } => Some((key, None)),
                _ => None,
            })
            .filter(|(key, _)| !wrote.contains(&(reader.id, key)))
            .collect();
        for (key, writer) in &reads {
            let Some(writer) = writer else { continue };
            for (other, origin) in &reads {
                let both =
                    |txn: &Transaction| wrote.contains(&(txn.id, key)) && wrote.contains(&(txn.id, other));
                let torn = origin.is_none_or(|origin| origin.id != writer.id && both(origin));
                if both(writer) && torn {
                    let (one, two) = (Name(key), Name(other));
                    let from =
                        origin.map_or_else(|| "before all writes".into(), |origin| format!("by {origin}"));
                    let what =
                        format!("{one} as written by {writer}\n  but {two} {from}\n  read by {reader}");
                    return Err(Violation::new(PROPERTY, what));
                }
            }
        }
    }
    Ok(())
}
