//! Property **LocalPrimaryOrder**: what one leader proposed is delivered in the order in which it proposed it, and without
//! gaps.
//!
//! Source: Junqueira and others, "Zab" (DSN 2011), §III: "if a primary broadcasts (v, z) before it broadcasts (v', z'), then
//! a process that delivers (v', z') must also deliver (v, z) before (v', z')". Raft has it, too. Multi-Paxos has not: of two
//! values in flight a later leader may find the second only (§II of that paper), and that is why Zab is not Paxos.
//!
//! Fed with what each leader writes under its own ballot, in that order, and with every commit.

use crate::Violation;
use crate::log::{Ballot, Entry};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

const PROPERTY: &str = "LocalPrimaryOrder";

/// What each leader proposed, and what was delivered.
#[derive(Clone, Debug, Default)]
pub struct LocalPrimaryOrder {
    proposed: BTreeMap<Ballot, Vec<Entry>>,
    delivered: BTreeMap<u64, Entry>,
}

impl LocalPrimaryOrder {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The leader of the entry's ballot proposes it.
    pub fn observe_proposal(&mut self, entry: &Entry) {
        let ballot = Ballot { round: entry.round, node: entry.node };
        self.proposed.entry(ballot).or_default().push(*entry);
    }

    /// `node` learned that this entry is committed, after all that is before it.
    pub fn observe_commit(&mut self, node: u64, entry: &Entry) -> Result<(), Violation> {
        if self.delivered.insert(entry.index, *entry).is_some() {
            return Ok(());
        }
        let ballot = Ballot { round: entry.round, node: entry.node };
        let Some(proposed) = self.proposed.get(&ballot) else { return Ok(()) };
        let at = proposed.iter().rposition(|known| known == entry);
        let Some(before) = at.and_then(|at| at.checked_sub(1)).map(|at| proposed[at]) else { return Ok(()) };
        if before.index < entry.index && self.delivered.get(&before.index) == Some(&before) {
            return Ok(());
        }
        let detail = format!(
            "node {node} delivers {entry}, and not before it what its leader proposed before, {before}"
        );
        Err(Violation::new(PROPERTY, detail))
    }
}
