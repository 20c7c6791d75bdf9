//! Property **CommittedStable**: an index once committed, by any node, has the same entry on every node for ever.
//!
//! Source: Raft, fig. 3, State Machine Safety (TLA+ `StateMachineSafety`; Paxos: at most one value is chosen
//! per slot). It is the ghost log of the simulation: every node's every commit is fed in, also those repeated
//! after a restart.
//!
//! Caveat: Multi-Paxos rewrites an entry's ballot in place when a later leader proposes the same value again,
//! so there only the contents must agree: use [`Committed::ignoring_ballots`].

use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "CommittedStable";

#[derive(Clone, Copy, Debug)]
struct First {
    by: u64,
    id: (u64, u64),
    digest: u64,
}

/// The ghost log of what was committed.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    entries: BTreeMap<u64, First>,
    ignore_ballots: bool,
}

impl Committed {
    /// Ballot and contents must both agree (Raft, Zab).
    pub fn new() -> Self {
        Self::default()
    }

    /// Only contents must agree (Paxos).
    pub fn ignoring_ballots() -> Self {
        Self { ignore_ballots: true, ..Self::default() }
    }

    /// `node` committed, at `index`, the entry of ballot `id` (round, node) with contents `digest`.
    pub fn observe(&mut self, node: u64, index: u64, id: (u64, u64), digest: u64) -> Result<(), Violation> {
        let first = *self.entries.entry(index).or_insert(First { by: node, id, digest });
        if first.digest == digest && (self.ignore_ballots || first.id == id) {
            return Ok(());
        }
        let detail = format!(
            "index {index}: node {} committed ballot {:?} digest {:016x}, node {node} ballot {id:?} digest {digest:016x}",
            first.by, first.id, first.digest
        );
        Err(Violation::new(PROPERTY, detail))
    }

    /// The highest index any node committed; 0 when none.
    pub fn last_index(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(index, _)| *index)
    }

    /// Forgets indices below `index`, to bound memory in long runs; they are no longer checked.
    pub fn forget_below(&mut self, index: u64) {
        self.entries = self.entries.split_off(&index);
    }
}
