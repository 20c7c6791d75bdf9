//! Property **LogMatching**: two logs that agree on one entry's id agree on everything before it.
//!
//! Source: Raft, fig. 3, "if two logs contain an entry with the same index and term, then the logs are identical
//! in all entries up through the given index" (TLA+ `LogMatching`). Zab has it as PrefixConsistency. It does not
//! hold for Multi-Paxos, whose logs are sparse and whose ballots are rewritten in place.
//!
//! Checked per pair over the indices both hold as entries; what a snapshot replaced is [`crate::committed`]'s
//! concern. Uncommitted entries are included: the property holds for them too.

use crate::Violation;
use crate::log::{Entry, Log};
use alloc::format;
use alloc::vec::Vec;

const PROPERTY: &str = "LogMatching";

/// Checks the current logs of all nodes, pair by pair.
pub fn check(logs: &[Log]) -> Result<(), Violation> {
    for log in logs {
        well_formed(log)?;
    }
    for (at, log) in logs.iter().enumerate() {
        for other in logs.iter().skip(at + 1) {
            pair(log, other)?;
        }
    }
    Ok(())
}

fn well_formed(log: &Log) -> Result<(), Violation> {
    let mut previous: Option<&Entry> = None;
    for entry in &log.entries {
        let (index, round) = previous.map_or((log.snapshot_index, 0), |entry| (entry.index, entry.round));
        if entry.index != index.saturating_add(1) || entry.round < round {
            let detail = format!("node {}: {entry} follows index {index} of round {round}", log.node);
            return Err(Violation::new(PROPERTY, detail));
        }
        previous = Some(entry);
    }
    Ok(())
}

fn pair(a: &Log, b: &Log) -> Result<(), Violation> {
    let common: Vec<(&Entry, &Entry)> =
        a.entries.iter().filter_map(|entry| Some((entry, b.get(entry.index)?))).collect();
    let Some(last) = common.iter().rposition(|(a, b)| (a.round, a.node) == (b.round, b.node)) else {
        return Ok(());
    };
    let differing = common.iter().take(last + 1).find(|(a, b)| a != b);
    let (Some((mine, theirs)), Some((agreed, _))) = (differing, common.get(last)) else { return Ok(()) };
    let detail = format!(
        "nodes {} and {} agree on index {} of ballot ({}, {}) but differ at or before it:\n  {mine}\n  {theirs}",
        a.node, b.node, agreed.index, agreed.round, agreed.node
    );
    Err(Violation::new(PROPERTY, detail))
}
