//! Property **RevisionOrder**: the store-wide revision orders what clients saw, in step with real time.
//!
//! Source: etcd's API guarantees. Every answer's header carries the store's revision at the operation's
//! instant, so, across all keys:
//!
//! 1. If `a` was answered before `b` was invoked, `revision(a) <= revision(b)`; when `b` wrote,
//!    `revision(a) < revision(b)`, for its revision is new. For a linearizable read this says that its header
//!    is not older than any answer given before it was asked: the stale read shows here at once.
//! 2. No two transactions made the same revision.
//! 3. A record read at header revision `h` has `create_revision <= mod_revision <= h`.
//!
//! This needs one sweep over the history, n log n, and gives the order of answered operations outright, which
//! is what makes the search in [`crate::linearizable`] short.

use crate::Violation;
use crate::history::{Answer, Operation};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

const PROPERTY: &str = "RevisionOrder";

/// Checks the three rules over the operations on all keys.
pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let answered: Vec<(&Operation, &Answer)> =
        operations.iter().filter_map(|operation| Some((operation, operation.answer()?))).collect();
    for (operation, answer) in &answered {
        plausible(operation, answer)?;
    }
    unique(&answered)?;
    in_real_time(&answered)
}

fn plausible(operation: &Operation, answer: &Answer) -> Result<(), Violation> {
    if operation.answered < operation.invoked {
        return Err(Violation::new(PROPERTY, format!("answered before it was invoked: {operation}")));
    }
    let (Answer::Get { record: Some(record), .. } | Answer::Cas { found: Some(record), .. }) = answer else {
        return Ok(());
    };
    if record.create_revision > record.mod_revision || record.mod_revision > answer.revision() {
        return Err(Violation::new(PROPERTY, format!("a record newer than the store: {operation}")));
    }
    Ok(())
}

fn unique(answered: &[(&Operation, &Answer)]) -> Result<(), Violation> {
    let mut writers: BTreeMap<u64, &Operation> = BTreeMap::new();
    for (operation, answer) in answered.iter().filter(|(_, answer)| answer.wrote()) {
        let Some(other) = writers.insert(answer.revision(), operation) else { continue };
        // Operations on different keys with one client and equal times are parts of one transaction.
        let together = other.client == operation.client
            && other.invoked == operation.invoked
            && other.answered == operation.answered
            && other.call.key() != operation.call.key();
        if !together {
            let detail =
                format!("two writes were given revision {}:\n  {other}\n  {operation}", answer.revision());
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    Ok(())
}

fn in_real_time(answered: &[(&Operation, &Answer)]) -> Result<(), Violation> {
    let mut by_invocation = answered.to_vec();
    by_invocation.sort_by_key(|(operation, _)| operation.invoked);
    let mut by_end = answered.to_vec();
    by_end.sort_by_key(|(operation, _)| operation.answered);
    let mut ended = by_end.into_iter().peekable();
    let mut newest: Option<(&Operation, u64)> = None;
    for (operation, answer) in by_invocation {
        while let Some((earlier, its)) = ended.next_if(|(earlier, _)| earlier.answered < operation.invoked) {
            if newest.is_none_or(|(_, revision)| its.revision() > revision) {
                newest = Some((earlier, its.revision()));
            }
        }
        let Some((earlier, revision)) = newest else { continue };
        if answer.revision() < revision || (answer.wrote() && answer.revision() == revision) {
            let detail = format!("the later operation has the older revision:\n  {earlier}\n  {operation}");
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    Ok(())
}
