//! The ghost of a node's disk: what its log is known to have made durable, held against what its recovery finds.
//!
//! Property **LogRecovery**: whatever was durable when a node went down is found again when it starts, or the log says that it
//! held it and lost it to damage.
//!
//! * The promise is there, or a later one: the last write may have reached the disk before its completion was told. So is what
//!   Zab calls currentEpoch.
//! * Of a dense log the last entry that was held is not denied: either the log reaches as far, by (round, index), or it says that
//!   it did.
//! * Of a log of slots (Paxos) every slot that was filled is filled still, under the ballot it was accepted with or a later one;
//!   or it is purged; or the log says that it once held as much.

use std::collections::{BTreeMap, VecDeque};

use quorate_protocol::{Ballot, Index, LogId, NodeId, Recovered, Seq, WriteOp};

/// What is durable.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    promised: Ballot,
    joined: Ballot,
    /// The last entry, or the last that is known to have been before damage.
    held: LogId,
    /// The slots of a sparse log, and the ballots they were accepted with.
    slots: BTreeMap<Index, Ballot>,
}

/// What one write changes.
#[derive(Clone, Debug, Default)]
struct Change {
    meta: Option<(Ballot, Ballot)>,
    held: Option<LogId>,
    puts: Vec<(Index, Ballot)>,
    purged: Index,
    reset: bool,
}

/// What is to become of a [`Kept`] when what is under way is durable.
#[derive(Debug, Default)]
pub struct Certain {
    changes: VecDeque<(Seq, Change)>,
}

impl Certain {
    /// A write of these changes was handed to the log.
    pub fn written(&mut self, seq: Seq, ops: &[WriteOp]) {
        let mut change = Change::default();
        for op in ops {
            match op {
                WriteOp::Meta { promised, joined } => change.meta = Some((*promised, *joined)),
                WriteOp::Put(entries) => {
                    change.puts.extend(entries.iter().map(|entry| (entry.id.index, entry.id.ballot)));
                }
                WriteOp::Purge { id } => change.purged = change.purged.max(id.index),
                WriteOp::Reset { .. } => change.reset = true,
                WriteOp::Append(_) | WriteOp::Truncate(_) => {}
            }
        }
        self.changes.push_back((seq, change));
    }

    /// After the step that asked for the last writes a dense log ends here.
    pub fn holds(&mut self, held: LogId) {
        let new = self.changes.iter_mut().rev().take_while(|(_, change)| change.held.is_none());
        new.for_each(|(_, change)| change.held = Some(held));
    }

    /// Everything up to this write is durable.
    pub fn durable(&mut self, upto: Seq, kept: &mut Kept) {
        while let Some((_, change)) = self.changes.pop_front_if(|(seq, _)| *seq <= upto) {
            (kept.promised, kept.joined) = change.meta.unwrap_or((kept.promised, kept.joined));
            kept.held = change.held.unwrap_or(kept.held);
            if change.reset {
                kept.slots.clear();
            }
            kept.slots.extend(change.puts);
            kept.slots = kept.slots.split_off(&change.purged.next());
        }
    }

    /// The process ends: a write under way may have replaced what a dense log held before it, or not.
    pub fn at_end(&self, kept: &mut Kept) {
        let under_way = self.changes.iter().filter_map(|(_, change)| change.held);
        kept.held = under_way.fold(kept.held, |a, b| if order(a) < order(b) { a } else { b });
    }
}

/// What orders the ends of dense logs.
pub fn order(id: LogId) -> (u64, Index) {
    (id.ballot.round, id.index)
}

/// The last entry of a log.
pub fn last_of(found: &Recovered) -> LogId {
    found.entries.last().map_or(found.base, |entry| entry.id)
}

impl Kept {
    /// What recovery found lacks of it, in words.
    pub fn lacking_in(&self, found: &Recovered, sparse: bool) -> Option<String> {
        let ends = if order(found.held) > order(last_of(found)) { found.held } else { last_of(found) };
        // An entry or a state of a later round says that the round was entered, without a vote.
        let round = ends.ballot.round.max(found.applied.ballot.round);
        let answers_for = found.promised.max(Ballot { round, node: NodeId(0) });
        if answers_for < self.promised || found.joined < self.joined {
            let (promised, joined) = (self.promised, self.joined);
            return Some(format!(
                "finds promise {answers_for}, epoch {}, and had promise {promised}, epoch {joined} durable",
                found.joined
            ));
        }
        if sparse {
            return self.slot_lacking_in(found);
        }
        let denied = order(ends) < order(self.held);
        denied.then(|| format!("finds entry {ends}, and had entry {} durable", self.held))
    }

    fn slot_lacking_in(&self, found: &Recovered) -> Option<String> {
        let entries: BTreeMap<Index, Ballot> =
            found.entries.iter().map(|entry| (entry.id.index, entry.id.ballot)).collect();
        let there = |index: &Index, ballot: Ballot| entries.get(index).is_some_and(|held| *held >= ballot);
        let known = |index: Index, ballot| index <= found.held.index && ballot <= found.held.ballot;
        let lost = self.slots.iter().find(|&(index, &ballot)| {
            *index > found.base.index && !there(index, ballot) && !known(*index, ballot)
        });
        let (index, ballot) = lost?;
        let has = entries.get(index).map_or_else(|| "nothing".into(), |ballot| format!("ballot {ballot}"));
        Some(format!("finds {has} in slot {index}, and had ballot {ballot} durable there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_protocol::{Entry, EntryKind};

    fn id(index: u64, round: u64) -> LogId {
        LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) }
    }

    fn entry(index: u64, round: u64) -> Entry {
        Entry { id: id(index, round), kind: EntryKind::Noop, data: Bytes::new() }
    }

    fn found(base: u64, held: LogId, entries: &[(u64, u64)]) -> Recovered {
        let entries = entries.iter().map(|(index, round)| entry(*index, *round)).collect();
        Recovered { base: id(base, 1), held, entries, promised: id(0, 9).ballot, ..Recovered::default() }
    }

    #[test]
    fn a_slot_that_was_durable_is_not_denied() {
        let (mut certain, mut kept) = (Certain::default(), Kept::default());
        certain.written(Seq(1), &[WriteOp::Put(vec![entry(2, 3), entry(4, 3)])]);
        certain.written(Seq(2), &[WriteOp::Put(vec![entry(2, 5)]), WriteOp::Purge { id: id(1, 1) }]);
        certain.written(Seq(3), &[WriteOp::Put(vec![entry(9, 9)])]);
        certain.durable(Seq(2), &mut kept);
        certain.at_end(&mut kept);
        let lacks = |base, held, entries: &[(u64, u64)]| kept.lacking_in(&found(base, held, entries), true);
        let none = LogId::default();
        assert_eq!(lacks(1, none, &[(2, 5), (4, 3)]), None);
        assert_eq!(lacks(1, none, &[(2, 6), (4, 3), (9, 9)]), None, "written, and not told of");
        assert_eq!(lacks(2, none, &[(4, 3)]), None, "purged");
        assert_eq!(lacks(1, id(4, 5), &[]), None, "known to be lost");
        let told = lacks(1, none, &[(2, 3), (4, 3)]).expect("an older value");
        assert!(told.contains("ballot 3@1 in slot 2, and had ballot 5@1"), "{told}");
        assert!(lacks(1, none, &[(2, 5)]).is_some_and(|told| told.contains("nothing in slot 4")));
        assert!(lacks(1, id(4, 4), &[(4, 3)]).is_some(), "damage that says less than was held");
    }

    #[test]
    fn a_promise_an_epoch_and_the_end_of_a_dense_log_are_not_denied() {
        let (mut certain, mut kept) = (Certain::default(), Kept::default());
        let meta = WriteOp::Meta { promised: id(0, 9).ballot, joined: id(0, 8).ballot };
        certain.written(Seq(1), &[meta, WriteOp::Append(vec![entry(1, 4), entry(2, 4)])]);
        certain.holds(id(2, 4));
        certain.durable(Seq(1), &mut kept);
        let whole = Recovered { joined: id(0, 8).ballot, ..found(0, LogId::default(), &[(1, 4), (2, 4)]) };
        assert_eq!(kept.lacking_in(&whole, false), None);
        let older = Recovered { promised: id(0, 8).ballot, ..whole.clone() };
        assert!(
            kept.lacking_in(&older, false).is_some_and(|told| told.contains("promise 8@1, epoch 8@1, and"))
        );
        let older = Recovered { joined: Ballot::default(), ..whole.clone() };
        assert!(kept.lacking_in(&older, false).is_some());
        let mut shorter = whole;
        shorter.entries.pop();
        assert!(kept.lacking_in(&shorter, false).is_some_and(|told| told.contains("had entry 2:4@1")));
        // Unless a write under way cuts it back.
        certain.written(Seq(2), &[WriteOp::Truncate(Index(1))]);
        certain.holds(id(1, 4));
        certain.at_end(&mut kept);
        assert_eq!(kept.lacking_in(&shorter, false), None);
    }

    #[test]
    fn what_is_written_later_is_not_durable_yet() {
        let (mut certain, mut empty) = (Certain::default(), Kept::default());
        certain.written(Seq(1), &[WriteOp::Meta { promised: id(0, 9).ballot, joined: Ballot::default() }]);
        certain.holds(LogId::default());
        certain.written(Seq(2), &[WriteOp::Append(vec![entry(1, 9)])]);
        certain.holds(id(1, 9));
        certain.durable(Seq(1), &mut empty);
        assert_eq!(empty.held, LogId::default());
    }
}
