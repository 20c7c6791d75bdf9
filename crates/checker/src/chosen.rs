//! Property **ChosenStays**: once a value is chosen in a slot, nobody accepts another there under a later ballot.
//!
//! Source: Lamport, "Paxos Made Simple" (2001), §2.2, P2a: "if a proposal with value v is chosen, then every higher-numbered
//! proposal accepted by any acceptor has value v". It follows for Raft and Zab from LeaderCompleteness; for Paxos
//! it is what phase 1 is for, and it looks at what acceptors write instead of at what a leader believes.
//!
//! Fed with every entry that any node writes to its log, and with every commit. The ballot given for a commit is the one
//! that the committing node had promised when it learned of it, which is at or after the one under which the value
//! was chosen; that makes the check weaker, never wrong. Order of feeding does not matter.

use crate::Violation;
use crate::log::{Ballot, Entry};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

const PROPERTY: &str = "ChosenStays";

/// A slot of the ghost log.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// The earliest ballot by which something was chosen, and the digest of that.
    chosen: Option<(Ballot, u64)>,
    /// What was accepted, each once, and by whom first.
    accepted: Vec<(u64, Entry)>,
}

/// What was chosen and what was accepted.
#[derive(Clone, Debug, Default)]
pub struct ChosenStays {
    slots: BTreeMap<u64, Slot>,
}

impl ChosenStays {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `node` wrote this entry to its log.
    pub fn observe_accept(&mut self, node: u64, entry: &Entry) -> Result<(), Violation> {
        let slot = self.slots.entry(entry.index).or_default();
        if !slot.accepted.iter().any(|(_, known)| known == entry) {
            slot.accepted.push((node, *entry));
        }
        agrees(slot, node, entry)
    }

    /// A node that had promised `ballot` learned that this entry is chosen.
    pub fn observe_commit(&mut self, ballot: impl Into<Ballot>, entry: &Entry) -> Result<(), Violation> {
        let ballot = ballot.into();
        let slot = self.slots.entry(entry.index).or_default();
        let earliest = slot.chosen.map_or(ballot, |(known, _)| known.min(ballot));
        slot.chosen = Some((earliest, entry.digest));
        slot.accepted.iter().try_for_each(|(node, entry)| agrees(slot, *node, entry))
    }

    /// Forgets indices below `index`, to bound memory in long runs.
    pub fn forget_below(&mut self, index: u64) {
        self.slots = self.slots.split_off(&index);
    }
}

fn agrees(slot: &Slot, node: u64, entry: &Entry) -> Result<(), Violation> {
    let Some((ballot, digest)) = slot.chosen else { return Ok(()) };
    let under = Ballot { round: entry.round, node: if ballot.node == 0 { 0 } else { entry.node } };
    if under <= ballot || entry.digest == digest {
        return Ok(());
    }
    let detail = format!("node {node} accepted {entry}; by ballot {ballot}, digest {digest:016x} was chosen");
    Err(Violation::new(PROPERTY, detail))
}
