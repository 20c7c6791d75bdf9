//! Property **Acknowledged**: no acknowledged write is lost, none is applied twice, none that failed appears.
//!
//! Source: etcd's API guarantees (durability): an operation that was answered is in the store for good.
//! Against the store's full event history:
//!
//! 1. Each acknowledged put (or successful compare-and-swap) has exactly one event with its key, revision and
//!    value; each acknowledged delete that deleted has exactly one delete event with its key and revision.
//! 2. A value is found in no more events of its key than there were operations that may have written it. With
//!    a distinct value per put, as hosts should choose them, this is "applied at most once", retries through a
//!    new leader included, and "a failed write has no effect".

use crate::Violation;
use crate::events::{Change, Event};
use crate::history::{Answer, Operation, Outcome};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use bytes::Bytes;

const PROPERTY: &str = "Acknowledged";

/// Events by key, revision and value (`None`: a delete), counted.
type Found<'a> = BTreeMap<(&'a Bytes, u64, Option<&'a Bytes>), u64>;

/// Checks the operations of all clients against the store's full history.
pub fn check(operations: &[Operation], events: &[Event]) -> Result<(), Violation> {
    let mut found: Found<'_> = BTreeMap::new();
    let mut applied: BTreeMap<(&Bytes, &Bytes), u64> = BTreeMap::new();
    for event in events {
        let value = match &event.change {
            Change::Put { value, .. } => Some(value),
            Change::Delete => None,
        };
        *found.entry((&event.key, event.revision, value)).or_default() += 1;
        if let Some(value) = value {
            *applied.entry((&event.key, value)).or_default() += 1;
        }
    }
    for operation in operations {
        present(operation, &found, events)?;
    }
    at_most_once(operations, &applied, events)
}

fn present(operation: &Operation, found: &Found<'_>, events: &[Event]) -> Result<(), Violation> {
    let Some(answer) = operation.answer().filter(|answer| answer.wrote()) else { return Ok(()) };
    let value = match answer {
        Answer::Delete { .. } => None,
        _ => operation.call.value(),
    };
    let key = operation.call.key();
    match found.get(&(key, answer.revision(), value)).copied().unwrap_or(0) {
        1 => Ok(()),
        0 => {
            let at = events.iter().filter(|event| event.revision == answer.revision());
            let at = at.map(|event| format!("\n  the store has {event}")).collect::<alloc::string::String>();
            let at = if at.is_empty() { "\n  the store has no such revision".to_string() } else { at };
            Err(Violation::new(PROPERTY, format!("an acknowledged write is lost:\n  {operation}{at}")))
        }
        times => {
            let detail = format!("an acknowledged write is in the store {times} times:\n  {operation}");
            Err(Violation::new(PROPERTY, detail))
        }
    }
}

fn at_most_once(
    operations: &[Operation],
    applied: &BTreeMap<(&Bytes, &Bytes), u64>,
    events: &[Event],
) -> Result<(), Violation> {
    let mut writers: BTreeMap<(&Bytes, &Bytes), (u64, &Operation)> = BTreeMap::new();
    for operation in operations {
        let Some(value) = operation.call.value() else { continue };
        let may_write = match &operation.outcome {
            Outcome::Ok(answer) => answer.wrote(),
            Outcome::Failed => false,
            Outcome::Ambiguous => true,
        };
        writers.entry((operation.call.key(), value)).or_insert((0, operation)).0 += u64::from(may_write);
    }
    for ((key, value), (allowed, operation)) in writers {
        let times = applied.get(&(key, value)).copied().unwrap_or(0);
        if times > allowed {
            let mut detail = format!("written {times} times where {allowed} were asked for:\n  {operation}");
            for event in events.iter().filter(|event| event.key == key).filter(
                |event| matches!(&event.change, Change::Put { value: written, .. } if written == value),
            ) {
                detail.push_str(&format!("\n  {event}"));
            }
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    Ok(())
}
