//! Property **ElectionSafety**: at most one leader per round.
//!
//! Source: Raft, fig. 3, "at most one leader can be elected in a given term" (TLA+ `ElectionSafety`); Zab, at
//! most one established leader per epoch. A Paxos ballot carries its node, so there the round alone may repeat, and
//! what is led at most once is the whole ballot.
//!
//! A node that restarts and is seen leading the same round again is a violation only if it is another node: a
//! leader never resumes a term after a restart, but that is the core's own invariant to assert.

use crate::Violation;
use crate::log::Ballot;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "ElectionSafety";

/// Who led each round.
#[derive(Clone, Debug, Default)]
pub struct Elections {
    leaders: BTreeMap<Ballot, u64>,
}

impl Elections {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `node` leads `round`.
    pub fn observe(&mut self, round: impl Into<Ballot>, node: u64) -> Result<(), Violation> {
        let round = round.into();
        let first = *self.leaders.entry(round).or_insert(node);
        if first == node {
            return Ok(());
        }
        Err(Violation::new(PROPERTY, format!("round {round} is led by node {first} and by node {node}")))
    }

    /// How many rounds had a leader.
    pub fn rounds(&self) -> usize {
        self.leaders.len()
    }
}
