//! Property **NoLongFork**: of keys that are written once each, any two readers agree on which was first.
//!
//! Source: Sovran, Power, Aguilera and Li, "Transactional storage for geo-replicated systems" (SOSP 2011), §3, long fork;
//! as a workload, Kingsbury's Jepsen tests. What a reader saw of the keys is a set; the sets of readers of the same keys must be a
//! chain, each within the next, so sorting by size and comparing neighbours is enough.

use super::history::{Op, Status, Transaction};
use crate::Violation;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

const PROPERTY: &str = "NoLongFork";

/// Checks the reads of registers by committed transactions that read two or more and write nothing.
pub fn check(history: &[Transaction]) -> Result<(), Violation> {
    let mut groups: BTreeMap<Vec<&Bytes>, Vec<(BTreeSet<&Bytes>, &Transaction)>> = BTreeMap::new();
    for txn in history.iter().filter(|txn| txn.status == Status::Committed) {
        let (mut keys, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for op in &txn.ops {
            let Op::Read { key, value, .. } = op else { continue };
            keys.insert(key);
            seen.extend(value.map(|_| key));
        }
        if keys.len() > 1 && txn.ops.iter().all(|op| matches!(op, Op::Read { .. })) {
            groups.entry(keys.into_iter().collect()).or_default().push((seen, txn));
        }
    }
    for mut readers in groups.into_values() {
        readers.sort_by_key(|(seen, _)| seen.len());
        for pair in readers.windows(2) {
            let ((less, one), (more, other)) = (&pair[0], &pair[1]);
            if !less.is_subset(more) {
                let what = format!("each saw what the other did not\n  {one}\n  {other}");
                return Err(Violation::new(PROPERTY, what));
            }
        }
    }
    Ok(())
}
