//! Property **Replay**: what is read at a revision is what the history up to that revision leaves behind.
//!
//! Source: the state machine approach (Schneider 1990): state is a function of the sequence of commands. An
//! answer names its revision, so once the full event history is known each answer can be recomputed exactly,
//! with no search: a read (also a serializable, stale one) at header revision `h` returns the newest change of
//! the key with revision `<= h`; a compare-and-swap and a delete decided on the state just below their own
//! revision. Together with [`crate::revision_order`] this certifies linearizability; unlike
//! [`crate::linearizable`] it trusts the store's history, so both are worth running.

use crate::Violation;
use crate::events::Event;
use crate::history::{Answer, Call, Operation, Record};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

const PROPERTY: &str = "Replay";

/// Each key's changes, ascending.
type Changes<'a> = BTreeMap<&'a Bytes, Vec<&'a Event>>;

/// Checks every answer against the history at its revision.
pub fn check(operations: &[Operation], events: &[Event]) -> Result<(), Violation> {
    let changes = changes(events);
    for operation in operations {
        let Some(answer) = operation.answer() else { continue };
        let key = operation.call.key();
        let before = answer.revision() - u64::from(answer.wrote() && answer.revision() > 0);
        let due = at(&changes, key, before);
        let right = match (&operation.call, answer) {
            (Call::Get { .. }, Answer::Get { record, .. }) => *record == due,
            (Call::Delete { .. }, Answer::Delete { deleted, .. }) => *deleted == u64::from(due.is_some()),
            (Call::Cas { expect, .. }, Answer::Cas { succeeded, found, .. }) => {
                let holds = *expect == due.as_ref().map_or(0, |record| record.mod_revision);
                *succeeded == holds && (holds || *found == due)
            }
            (Call::Put { .. }, Answer::Put { .. }) => true,
            _ => false,
        };
        if !right {
            let shown = due.map_or_else(|| "nothing".into(), |record| format!("{record}"));
            let detail = format!("at revision {before} the history leaves {shown}:\n  {operation}");
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    Ok(())
}

/// Checks that `map`, a node's whole key-value state at `revision`, is what the history leaves behind.
pub fn check_map(revision: u64, map: &BTreeMap<Bytes, Record>, events: &[Event]) -> Result<(), Violation> {
    let changes = changes(events);
    for (key, record) in map {
        let due = at(&changes, key, revision);
        if due.as_ref() != Some(record) {
            let shown = due.map_or_else(|| "nothing".into(), |record| format!("{record}"));
            let detail =
                format!("key {key:?} is {record} at revision {revision}, the history leaves {shown}");
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    for key in changes.keys().filter(|key| !map.contains_key(key.as_ref())) {
        if let Some(due) = at(&changes, key, revision) {
            let detail = format!("key {key:?} is missing at revision {revision}, the history leaves {due}");
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    Ok(())
}

fn changes(events: &[Event]) -> Changes<'_> {
    let mut changes: Changes<'_> = BTreeMap::new();
    for event in events {
        changes.entry(&event.key).or_default().push(event);
    }
    changes
}

/// The record of `key` when the store is at `revision`.
fn at(changes: &Changes<'_>, key: &Bytes, revision: u64) -> Option<Record> {
    let events = changes.get(key)?;
    let end = events.partition_point(|event| event.revision <= revision);
    events.get(end.checked_sub(1)?)?.record()
}
