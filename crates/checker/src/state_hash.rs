//! Property **StateHash**: nodes that applied the same index hold the same state.
//!
//! Source: Raft, fig. 3, State Machine Safety, taken one step further: equal commands in equal order must give
//! equal state, so the state machine is deterministic and snapshots restore exactly what they captured. It
//! catches what [`crate::committed`] cannot: a clock, a random number or a hash map's order that reached apply.

use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "StateHash";

/// The first hash seen at each applied index, and by whom.
#[derive(Clone, Debug, Default)]
pub struct StateHash {
    hashes: BTreeMap<u64, (u64, u64)>,
}

impl StateHash {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `node`'s state after applying up to `index` hashes to `hash`.
    pub fn observe(&mut self, node: u64, index: u64, hash: u64) -> Result<(), Violation> {
        let (by, first) = *self.hashes.entry(index).or_insert((node, hash));
        if first == hash {
            return Ok(());
        }
        let detail =
            format!("at index {index} node {by} has state {first:016x}, node {node} has {hash:016x}");
        Err(Violation::new(PROPERTY, detail))
    }

    /// Forgets indices below `index`, to bound memory in long runs.
    pub fn forget_below(&mut self, index: u64) {
        self.hashes = self.hashes.split_off(&index);
    }
}
