//! Property **OneValuePerBallot**: under one ballot, one value at most is accepted in a slot, by whichever nodes.
//!
//! Source: Lamport, "Paxos Made Simple" (2001), §2.2: a proposal is a number and a value, and "different proposals
//! have different numbers"; so whoever accepts number n accepts one value. Raft and Zab have the same for an entry's
//! index and ballot, as a part of LogMatching, which does not hold for Paxos.
//!
//! Fed with every entry that any node writes to its log. A proposer that forgets that it has used a ballot, and uses
//! it again after a restart, breaks it.

use crate::Violation;
use crate::log::Entry;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "OneValuePerBallot";

/// What was written under each ballot, and by whom first.
#[derive(Clone, Debug, Default)]
pub struct OneValuePerBallot {
    /// By index, round and node of the ballot: the contents' digest, and who wrote them.
    values: BTreeMap<(u64, u64, u64), (u64, u64)>,
}

impl OneValuePerBallot {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `node` wrote this entry to its log.
    pub fn observe(&mut self, node: u64, entry: &Entry) -> Result<(), Violation> {
        let key = (entry.index, entry.round, entry.node);
        let (digest, by) = *self.values.entry(key).or_insert((entry.digest, node));
        if digest == entry.digest {
            return Ok(());
        }
        let detail = format!("node {node} wrote {entry}, where node {by} wrote digest {digest:016x}");
        Err(Violation::new(PROPERTY, detail))
    }

    /// Forgets indices below `index`, to bound memory in long runs.
    pub fn forget_below(&mut self, index: u64) {
        self.values = self.values.split_off(&(index, 0, 0));
    }
}
