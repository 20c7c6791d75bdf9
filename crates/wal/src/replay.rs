//! A group's log while it is being read back, gaps included.
//!
//! Entries are kept in the order of their indexes and may have gaps: where a frame was lost, and where old
//! segments are gone because a purge further on makes their entries unnecessary. Gaps are accepted while
//! reading and judged by [`Replay::finish`]. Of an appended log it returns a dense run and names what is missing
//! after it. Of a put log it returns all that was read, and names the slots where something newer may have been.

use std::collections::BTreeMap;
use std::fmt;

use quorate_protocol::{Ballot, Entry, Index, LogId, Recovered, WriteOp};

use crate::GroupId;
use crate::track::{Change, Form, Track, join};

/// Entries that a group's log had and that cannot be read.
///
/// The replica does not deny them: [`Recovered::held`] tells it how far its log had reached, and it gets them
/// from its peers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The group.
    pub group: GroupId,
    /// The first of them.
    pub first: Index,
    /// The last entry the log had. What could be read between the two is of no use without the rest, and is
    /// fetched as well.
    pub last: Index,
    /// The log is written slot by slot, and which of these slots had entries that cannot be read is unknown. What
    /// was read of them is kept, and may be older than what they had.
    pub stale: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { group, first, last, stale } = self;
        match stale {
            false => {
                write!(
                    f,
                    "entries {first} to {last} of group {group} cannot be read and must come from its peers"
                )
            }
            true => write!(
                f,
                "of entries {first} to {last} of group {group} some cannot be read, or only as they were before, and \
                 must come from its peers"
            ),
        }
    }
}

/// A gap in the chain of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The segment where it begins; 0 for what was before the oldest one.
    pub segment: u64,
    /// The first frame that is missing.
    pub from: u64,
    /// The frame after it.
    pub to: u64,
    /// Whether it lies in the segment that the summary after the gap tells the cuts of.
    pub covered: bool,
}

/// What gaps may have cost a put log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Doubt {
    /// No entry of a greater ballot or index; none at all if they are nothing.
    held: LogId,
    /// None before this one.
    first: Index,
}

impl Doubt {
    fn add(&mut self, held: LogId, first: Index) {
        self.first = if self.held == LogId::default() { first } else { self.first.min(first) };
        self.held = join(self.held, held);
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Replay {
    /// What the operations so far add up to.
    pub track: Track,
    entries: BTreeMap<Index, Entry>,
    /// All there was to doubt.
    doubt: Doubt,
    /// As much of it as no later summary admits.
    new: Doubt,
    /// An entry was cut off of which it is unknown what it followed, so that `track.held` may be too much.
    unsure: bool,
}

impl Replay {
    /// Carry out one operation of frame `sequence`.
    pub fn apply(&mut self, op: WriteOp, sequence: u64) {
        let Some(change) = Change::of(&op) else { return };
        let change = change.with(self.track.last, |index| self.ballot_at(index));
        match op {
            WriteOp::Meta { .. } => {}
            WriteOp::Append(entries) => {
                if let Some(first) = entries.first() {
                    self.drop_from(first.id.index);
                }
                self.put(entries);
            }
            WriteOp::Put(entries) => self.put(entries),
            WriteOp::Truncate(last) => {
                self.unsure |= matches!(change, Change::Truncate { ballots: None, .. });
                self.drop_from(Index(last.0.saturating_add(1)));
            }
            WriteOp::Reset { .. } => {
                self.entries.clear();
                (self.doubt, self.new) = Default::default();
            }
            WriteOp::Purge { id } => self.drop_upto(id.index),
        }
        self.track.apply(change, sequence);
    }

    /// Take over what the next frame's summary says, or tell that it cannot be: without a gap, only an earlier
    /// recovery can have made the log shorter than what has been read.
    pub fn adopt(&mut self, told: Track, gap: Option<Gap>) -> bool {
        match gap {
            None if !told.follows(&self.track, self.unsure) => return false,
            None => {}
            Some(gap) => self.bridge(&told, gap),
        }
        if told.admits(self.new.held) {
            self.new = Doubt::default();
        }
        self.drop_upto(told.base.index);
        self.drop_from(Index(told.last.0.saturating_add(1)));
        self.track = told;
        self.unsure = false;
        true
    }

    /// Drop what may not be there any more after a gap; doubt what may not be as it was.
    fn bridge(&mut self, told: &Track, gap: Gap) {
        if told.reset >= gap.from {
            self.entries.clear();
            (self.doubt, self.new) = Default::default();
        }
        match told.form {
            Form::Put => {
                if let Some(held) = told.doubt(gap.from) {
                    let first = if gap.covered { told.cut } else { Index(0) };
                    self.doubt.add(held, first);
                    self.new.add(held, first);
                }
            }
            Form::Appended | Form::Unwritten => self.drop_from(told.kept(gap.from, gap.covered, gap.to)),
        }
    }

    /// The greatest index that a gap may have put in vain.
    pub fn doubted(&self) -> Index {
        self.doubt.held.index
    }

    fn put(&mut self, entries: Vec<Entry>) {
        self.entries.extend(entries.into_iter().map(|entry| (entry.id.index, entry)));
    }

    fn ballot_at(&self, index: Index) -> Option<Ballot> {
        let base = self.track.base;
        if index <= base.index { Some(base.ballot) } else { Some(self.entries.get(&index)?.id.ballot) }
    }

    fn drop_from(&mut self, index: Index) {
        while self.entries.last_entry().is_some_and(|last| *last.key() >= index) {
            self.entries.pop_last();
        }
    }

    fn drop_upto(&mut self, index: Index) {
        while self.entries.first_entry().is_some_and(|first| *first.key() <= index) {
            self.entries.pop_first();
        }
    }

    /// The index of the last entry that follows `base` without a gap.
    fn dense_end(&self) -> Index {
        let base = self.track.base.index.0;
        let dense = self.entries.keys().zip(1..).take_while(|(index, at)| index.0 == base + at);
        Index(base + dense.count() as u64)
    }

    /// What the replica will find, and what is missing. With its state machine at `applied`, entries up to there
    /// are not missed. The last gap began with frame `gap`; `sequence` is the next frame's number.
    pub fn finish(
        mut self,
        group: GroupId,
        applied: LogId,
        gap: u64,
        sequence: u64,
    ) -> (Track, Recovered, Option<Missing>) {
        self.drop_upto(self.track.base.index);
        let missing = match self.track.form {
            Form::Put => self.settle_put(group, applied, sequence),
            Form::Appended | Form::Unwritten => self.settle_appended(group, applied, gap, sequence),
        };
        let Track { promised, joined, base, .. } = self.track;
        let recovered = Recovered {
            promised,
            joined,
            base,
            entries: self.entries.into_values().collect(),
            held: self.track.claims(),
            ..Recovered::default()
        };
        (self.track, recovered, missing)
    }

    /// Leave a dense run.
    fn settle_appended(
        &mut self,
        group: GroupId,
        applied: LogId,
        gap: u64,
        sequence: u64,
    ) -> Option<Missing> {
        if self.dense_end() < self.track.last && self.covers(applied) {
            self.apply(WriteOp::Purge { id: applied }, sequence);
        }
        let (end, last) = (self.dense_end(), self.track.last);
        if end == last {
            return None;
        }
        self.drop_from(end.next());
        self.track.recovered(end, gap, sequence);
        Some(Missing { group, first: end.next(), last, stale: false })
    }

    /// Leave what may be relied upon, and admit the rest.
    fn settle_put(&mut self, group: GroupId, applied: LogId, sequence: u64) -> Option<Missing> {
        // What is applied is not looked at again to see whether it is what was chosen. So where that is in doubt it must
        // not be there: the state machine has it.
        if self.doubted() > self.track.base.index && applied.index > self.track.base.index {
            self.apply(WriteOp::Purge { id: applied }, sequence);
        }
        let (base, Doubt { held, first }) = (self.track.base.index, self.new);
        if held.index <= base {
            return None;
        }
        self.track.lost = join(self.track.lost, held);
        Some(Missing { group, first: first.max(base.next()), last: held.index, stale: true })
    }

    /// Whether all that is missing is at or before `applied`, and the log agrees with it.
    fn covers(&self, applied: LogId) -> bool {
        let last = self.track.last.0;
        let backwards = self.entries.keys().rev().zip(0..);
        let tail = backwards.take_while(|(index, back)| index.0 + back == last).count();
        let at = self.entries.get(&applied.index);
        applied.index.0 >= last - tail as u64 && at.is_none_or(|entry| entry.id == applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_protocol::{Ballot, EntryKind, NodeId};

    fn id(round: u64, index: u64) -> LogId {
        LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) }
    }

    fn append(round: u64, indexes: std::ops::RangeInclusive<u64>) -> WriteOp {
        let entry = |i| Entry { id: id(round, i), kind: EntryKind::Command, data: Bytes::new() };
        WriteOp::Append(indexes.map(entry).collect())
    }

    fn replay(ops: impl IntoIterator<Item = WriteOp>) -> Replay {
        let mut replay = Replay::default();
        (1..).zip(ops).for_each(|(sequence, op)| replay.apply(op, sequence));
        replay
    }

    fn names(recovered: &Recovered) -> Vec<(u64, u64)> {
        recovered.entries.iter().map(|entry| (entry.id.ballot.round, entry.id.index.0)).collect()
    }

    fn finish(replay: Replay) -> (Track, Recovered, Option<Missing>) {
        replay.finish(7, LogId::default(), 80, 90)
    }

    #[test]
    fn a_log_is_replaced_reset_and_purged() {
        let purge = WriteOp::Purge { id: id(1, 2) };
        let (track, recovered, _) = finish(replay([append(1, 1..=5), append(2, 4..=4), purge]));
        assert_eq!(names(&recovered), [(1, 3), (2, 4)]);
        assert_eq!((track.base, track.last, track.held), (id(1, 2), Index(4), id(2, 4)));

        let mut replay = Replay { track, ..Replay::default() };
        replay.apply(WriteOp::Reset { id: id(3, 9) }, 1);
        replay.apply(append(3, 10..=10), 2);
        let (track, recovered, missing) = finish(replay);
        assert_eq!((names(&recovered), recovered.base, track.last), (vec![(3, 10)], id(3, 9), Index(10)));
        assert_eq!((recovered.held, missing), (id(3, 10), None));
    }

    #[test]
    fn what_older_segments_held_is_missing_unless_purged() {
        let start = Track { base: id(1, 10), last: Index(50), held: id(1, 50), ..Track::default() };
        let mut replay = Replay { track: start, ..Replay::default() };
        replay.apply(append(1, 51..=53), 1);
        replay.apply(WriteOp::Purge { id: id(1, 50) }, 1);
        let (_, recovered, missing) = finish(replay);
        assert_eq!((names(&recovered), missing), (vec![(1, 51), (1, 52), (1, 53)], None));

        let mut replay = Replay { track: start, ..Replay::default() };
        replay.apply(append(1, 51..=53), 1);
        let (track, recovered, missing) = finish(replay);
        assert_eq!((names(&recovered), recovered.held), (vec![], id(1, 53)));
        assert_eq!(missing, Some(Missing { group: 7, first: Index(11), last: Index(53), stale: false }));
        assert_eq!((track.last, track.truncated, track.cut), (Index(10), 90, Index(11)));
    }

    /// Entries 1 to 3 and 7 to 9; what lies between was lost.
    fn gapped() -> Replay {
        let mut replay = replay([append(1, 1..=3)]);
        let told = Track { last: Index(6), held: id(1, 6), ..replay.track };
        assert!(replay.adopt(told, Some(Gap { segment: 1, from: 2, to: 3, covered: true })));
        replay.apply(append(1, 7..=9), 3);
        replay
    }

    #[test]
    fn a_gap_ends_the_log_unless_the_state_machine_is_past_it() {
        for applied in [0, 2, 5] {
            let (track, recovered, missing) = gapped().finish(7, id(1, applied), 80, 90);
            assert_eq!(names(&recovered), [(1, 1), (1, 2), (1, 3)], "{applied}");
            assert_eq!((recovered.held, track.last), (id(1, 9), Index(3)));
            assert_eq!(
                missing.unwrap().to_string(),
                "entries 4 to 9 of group 7 cannot be read and must come from its peers"
            );
        }
        for applied in 6..12 {
            let (track, recovered, missing) = gapped().finish(7, id(1, applied), 80, 90);
            let rest: Vec<_> = (applied + 1..=9).map(|index| (1, index)).collect();
            assert_eq!((names(&recovered), recovered.base, missing), (rest, id(1, applied), None));
            assert_eq!(track.last, Index(applied.max(9)));
        }
        let (_, recovered, _) = gapped().finish(7, id(2, 8), 80, 90);
        assert_eq!(recovered.entries.len(), 3, "the log has another entry 8");
    }

    #[test]
    fn a_gap_that_may_have_replaced_entries_takes_them_along() {
        let told = |truncated, cut, last| Track {
            truncated,
            cut: Index(cut),
            last: Index(last),
            held: id(2, last),
            ..Track::default()
        };
        for (told, covered, left) in [
            (told(1, 2, 9), true, 5),
            (told(2, 4, 9), true, 3),
            (told(2, 4, 9), false, 0),
            (told(1, u64::MAX, 2), true, 2),
        ] {
            let mut replay = replay([append(1, 1..=5)]);
            assert!(replay.adopt(told, Some(Gap { segment: 1, from: 2, to: 3, covered })));
            assert_eq!(finish(replay).1.entries.len(), left);
        }
    }

    #[test]
    fn without_a_gap_a_summary_may_only_tell_of_less() {
        let read = replay([append(2, 1..=5)]).track;
        for (told, fits) in [
            (read, true),
            (Track { last: Index(3), truncated: 2, cut: Index(4), ..read }, true),
            (Track { base: id(2, 4), ..read }, true),
            (Track { base: id(2, 7), last: Index(7), ..read }, true),
            (Track { last: Index(6), ..read }, false),
            (Track { promised: Ballot { round: 1, node: NodeId(1) }, ..read }, false),
            (Track { held: id(2, 4), ..read }, false),
        ] {
            assert_eq!(replay([append(2, 1..=5)]).adopt(told, None), fits, "{told:?}");
        }
    }
}
