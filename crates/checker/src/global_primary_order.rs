//! Property **GlobalPrimaryOrder**: what an earlier leader proposed is delivered before what a later one did.
//!
//! Source: Junqueira and others, "Zab" (DSN 2011), §III: of two primaries of epochs i < j, "if a process delivers both (v, z)
//! and (v', z'), then it must deliver (v, z) before (v', z')". Raft has it, too: terms never decrease along a log. In
//! Multi-Paxos ballots are rewritten and it says nothing.
//!
//! Fed with every commit, of any node, in any order.

use crate::Violation;
use crate::log::Entry;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "GlobalPrimaryOrder";

/// What was delivered.
#[derive(Clone, Debug, Default)]
pub struct GlobalPrimaryOrder {
    delivered: BTreeMap<u64, Entry>,
}

impl GlobalPrimaryOrder {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `node` learned that this entry is committed.
    pub fn observe(&mut self, node: u64, entry: &Entry) -> Result<(), Violation> {
        self.delivered.insert(entry.index, *entry);
        let before = self.delivered.range(..entry.index).next_back();
        let after = self.delivered.range(entry.index.saturating_add(1)..).next();
        let early = before.filter(|(_, before)| before.round > entry.round);
        let late = after.filter(|(_, after)| after.round < entry.round);
        match early.or(late) {
            Some((_, other)) => {
                let detail = format!("node {node} delivers {entry}; delivered is also {other}");
                Err(Violation::new(PROPERTY, detail))
            }
            None => Ok(()),
        }
    }

    /// Forgets indices below `index`, to bound memory in long runs.
    pub fn forget_below(&mut self, index: u64) {
        self.delivered = self.delivered.split_off(&index);
    }
}
