//! What an all-seeing observer knows of logs that are written slot by slot (Multi-Paxos).
//!
//! A slot is decided by an instance of single-decree Paxos, whose properties (Lamport, "Paxos Made Simple", 2001) are
//! checked here: a ballot has one value in a slot (P2 rests on it), an acceptor accepts nothing below what it promised (P1a),
//! and once a value is chosen, every higher ballot writes the same (P2b).
//!
//! A value is chosen at the lowest ballot at which enough voters have ever had it on disk. They may have accepted it
//! anew at later ballots since, in place; what was, counts. Chosen is asked when somebody says committed, with
//! the membership of who says so; what was written at higher ballots before that is looked at then.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::{Ballot, Entry, Index, Membership, NodeId};

use crate::disk::same_value;

/// One slot's history.
#[derive(Debug, Default)]
struct Slot {
    /// The value each ballot wrote.
    written: BTreeMap<Ballot, Entry>,
    /// Who has had it on disk at each ballot.
    durable: BTreeMap<Ballot, BTreeSet<NodeId>>,
    /// The ballot at which it was chosen, and the value.
    chosen: Option<(Ballot, Entry)>,
}

/// All slots.
#[derive(Debug, Default)]
pub(crate) struct Slots(BTreeMap<Index, Slot>);

impl Slots {
    /// `node`, which has promised `promised`, writes an entry: it accepts it, or has learned that it is chosen.
    pub fn writes(&mut self, node: NodeId, promised: Ballot, entry: &Entry) -> Result<(), String> {
        let slot = self.0.entry(entry.id.index).or_default();
        let first = slot.written.entry(entry.id.ballot).or_insert_with(|| entry.clone());
        if !same_value(first, entry) {
            return Err(format!("One value per slot and ballot: {} has two", entry.id));
        }
        let learned = slot.chosen.as_ref().is_some_and(|(_, chosen)| same_value(chosen, entry));
        if entry.id.ballot < promised && !learned {
            return Err(format!("Promise: {node} accepts {} after it promised {promised}", entry.id));
        }
        match &slot.chosen {
            Some((at, _)) if entry.id.ballot >= *at && !learned => {
                Err(format!("Chosen stays: {node} writes {}, another value was chosen at {at}", entry.id))
            }
            _ => Ok(()),
        }
    }

    /// It is on the node's disk.
    pub fn durable(&mut self, node: NodeId, entry: &Entry) {
        let slot = self.0.entry(entry.id.index).or_default();
        slot.durable.entry(entry.id.ballot).or_default().insert(node);
    }

    /// An entry is said to be committed, by one in whose membership `membership` is in force. Answers at which ballot it
    /// was chosen.
    pub fn chosen(&mut self, entry: &Entry, membership: &Membership) -> Result<Ballot, String> {
        let slot = self.0.entry(entry.id.index).or_default();
        let of_value =
            |ballot: &Ballot| slot.written.get(ballot).is_some_and(|known| same_value(known, entry));
        let at = slot
            .durable
            .iter()
            .find(|(ballot, nodes)| of_value(ballot) && membership.chooses(|node| nodes.contains(&node)));
        let Some((&at, _)) = at else {
            return Err(format!("Durable commit: {} is committed, and no quorum's disks held it", entry.id));
        };
        let mut above = slot.written.range(at..);
        if let Some((ballot, _)) = above.find(|(_, known)| !same_value(known, entry)) {
            let index = entry.id.index;
            return Err(format!(
                "Chosen stays: slot {index} was chosen at {at}, and {ballot} has another value"
            ));
        }
        slot.chosen = Some((at, entry.clone()));
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_protocol::{EntryKind, LogId};

    fn ballot(round: u64) -> Ballot {
        Ballot { round, node: NodeId(1) }
    }

    fn entry(round: u64, data: &'static str) -> Entry {
        let id = LogId { ballot: ballot(round), index: Index(1) };
        Entry { id, kind: EntryKind::Command, data: data.into() }
    }

    fn broken<T: std::fmt::Debug>(checked: Result<T, String>, property: &str) {
        let what = checked.expect_err("the property is broken");
        assert!(what.contains(property), "{what}");
    }

    /// Accepted by these nodes, durably.
    fn accepted(slots: &mut Slots, entry: &Entry, nodes: &[u64]) {
        for &node in nodes {
            slots.writes(NodeId(node), Ballot::default(), entry).expect("it may be accepted");
            slots.durable(NodeId(node), entry);
        }
    }

    #[test]
    fn a_ballot_has_one_value_and_a_promise_is_kept() {
        let mut slots = Slots::default();
        accepted(&mut slots, &entry(2, "a"), &[1]);
        broken(slots.writes(NodeId(2), ballot(1), &entry(2, "b")), "One value");
        broken(slots.writes(NodeId(2), ballot(3), &entry(2, "a")), "Promise");
    }

    #[test]
    fn a_quorum_at_one_ballot_chooses_and_two_halves_do_not() {
        let three = Membership::new((1..=3).map(NodeId), []);
        let mut slots = Slots::default();
        accepted(&mut slots, &entry(1, "a"), &[1]);
        accepted(&mut slots, &entry(2, "a"), &[2]);
        broken(slots.chosen(&entry(2, "a"), &three), "Durable commit");
        accepted(&mut slots, &entry(2, "a"), &[1]);
        assert_eq!(slots.chosen(&entry(1, "a"), &three), Ok(ballot(2)));
        assert_eq!(slots.writes(NodeId(3), ballot(5), &entry(2, "a")), Ok(()), "learned, not accepted");
        let five = Membership::new((1..=5).map(NodeId), []).with_write_quorum(2);
        assert_eq!(slots.chosen(&entry(1, "a"), &five), Ok(ballot(2)), "two of five, by agreement");
        broken(slots.writes(NodeId(3), ballot(3), &entry(4, "b")), "Chosen stays");
    }

    #[test]
    fn what_was_written_above_before_it_was_known_to_be_chosen_counts() {
        let mut slots = Slots::default();
        accepted(&mut slots, &entry(3, "b"), &[3]);
        accepted(&mut slots, &entry(1, "a"), &[1, 2]);
        broken(slots.chosen(&entry(1, "a"), &Membership::new((1..=3).map(NodeId), [])), "Chosen stays");
    }
}
