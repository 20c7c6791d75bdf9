//! Property **Integrity**: what a node delivers, a leader has proposed, and under the ballot that it is delivered with.
//!
//! Source: Junqueira and others, "Zab" (DSN 2011), §III: "if some process delivers (v, z), then some process has broadcast
//! (v, z)". It holds for Raft as well; not by whole ballots for Paxos, where a later leader proposes an old value again.
//!
//! Fed with what each leader writes under its own ballot, which is its broadcast, and with every commit.

use crate::Violation;
use crate::log::Entry;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "Integrity";

/// What was proposed.
#[derive(Clone, Debug, Default)]
pub struct Integrity {
    /// By index, round and node of the ballot.
    proposed: BTreeMap<(u64, u64, u64), Entry>,
}

impl Integrity {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The leader of the entry's ballot proposes it.
    pub fn observe_proposal(&mut self, entry: &Entry) {
        self.proposed.insert((entry.index, entry.round, entry.node), *entry);
    }

    /// `node` learned that this entry is committed.
    pub fn observe_commit(&mut self, node: u64, entry: &Entry) -> Result<(), Violation> {
        match self.proposed.get(&(entry.index, entry.round, entry.node)) {
            Some(proposed) if proposed.digest == entry.digest => Ok(()),
            proposed => {
                let known = proposed.map_or_else(|| "nothing".into(), |proposed| format!("{proposed}"));
                let detail = format!("node {node} delivers {entry}; its leader proposed {known} there");
                Err(Violation::new(PROPERTY, detail))
            }
        }
    }

    /// Forgets indices below `index`, to bound memory in long runs.
    pub fn forget_below(&mut self, index: u64) {
        self.proposed = self.proposed.split_off(&(index, 0, 0));
    }
}
