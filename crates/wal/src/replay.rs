//! A group's log while it is being read back, gaps included.
//!
//! Entries are kept in the order of their indexes and may have gaps: where a frame was lost, and where old
//! segments are gone because a purge further on makes their entries unnecessary. Gaps are accepted while
//! reading and judged by [`Replay::finish`], which returns a dense run and names what is missing after it.

use std::fmt;

use quorate_protocol::{Entry, Index, LogId, Recovered, WriteOp};

use crate::GroupId;
use crate::groups::{Change, Track};

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
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { group, first, last } = self;
        write!(f, "entries {first} to {last} of group {group} cannot be read and must come from its peers")
    }
}

/// A gap in the chain of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first frame that is missing.
    pub from: u64,
    /// The frame after it.
    pub to: u64,
    /// Whether it lies in the segment that the summary after the gap tells the cuts of.
    pub covered: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Replay {
    /// What the operations so far add up to.
    pub track: Track,
    entries: Vec<Entry>,
}

impl Replay {
    /// Begin with what a summary says.
    pub fn new(track: Track) -> Self {
        Replay { track, entries: Vec::new() }
    }

    /// Carry out one operation of frame `sequence`.
    pub fn apply(&mut self, op: WriteOp, sequence: u64) {
        let Some(change) = Change::of(&op) else { return };
        match op {
            WriteOp::Meta { .. } => {}
            WriteOp::Append(entries) => {
                if let Some(first) = entries.first() {
                    self.drop_from(first.id.index);
                }
                self.entries.extend(entries);
            }
            WriteOp::Reset { .. } => self.entries.clear(),
            WriteOp::Purge { id } => self.drop_upto(id.index),
        }
        self.track.apply(change, sequence);
    }

    /// Take over what the next frame's summary says, or tell that it cannot be: without a gap, only an earlier
    /// recovery can have made the log shorter than what has been read.
    pub fn adopt(&mut self, told: Track, gap: Option<Gap>) -> bool {
        match gap {
            None if !told.follows(&self.track) => return false,
            None => {}
            Some(Gap { from, to, covered }) => self.drop_from(told.kept(from, covered, to)),
        }
        self.drop_upto(told.base.index);
        self.drop_from(Index(told.last.0.saturating_add(1)));
        self.track = told;
        true
    }

    fn drop_from(&mut self, index: Index) {
        let end = self.entries.partition_point(|entry| entry.id.index < index);
        self.entries.truncate(end);
    }

    fn drop_upto(&mut self, index: Index) {
        let gone = self.entries.partition_point(|entry| entry.id.index <= index);
        self.entries.drain(..gone);
    }

    /// The indexes of the entries that follow `base` without a gap.
    fn dense_end(&self) -> Index {
        let base = self.track.base.index.0;
        let dense = self.entries.iter().zip(1..).take_while(|(entry, at)| entry.id.index.0 == base + at);
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
        let mut missing = None;
        self.drop_upto(self.track.base.index);
        if self.dense_end() < self.track.last && self.covers(applied) {
            self.apply(WriteOp::Purge { id: applied }, sequence);
        }
        let end = self.dense_end();
        if end < self.track.last {
            missing = Some(Missing { group, first: end.next(), last: self.track.last });
            self.drop_from(end.next());
            self.track.recovered(end, gap, sequence);
        }
        let Track { promised, base, held, .. } = self.track;
        let recovered = Recovered { promised, base, entries: self.entries, held, ..Recovered::default() };
        (self.track, recovered, missing)
    }

    /// Whether all that is missing is at or before `applied`, and the log agrees with it.
    fn covers(&self, applied: LogId) -> bool {
        let last = self.track.last.0;
        let backwards = self.entries.iter().rev().zip(0..);
        let tail = backwards.take_while(|(entry, back)| entry.id.index.0 + back == last).count();
        let at = self.entries.iter().find(|entry| entry.id.index == applied.index);
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

        let mut replay = Replay::new(track);
        replay.apply(WriteOp::Reset { id: id(3, 9) }, 1);
        replay.apply(append(3, 10..=10), 2);
        let (track, recovered, missing) = finish(replay);
        assert_eq!((names(&recovered), recovered.base, track.last), (vec![(3, 10)], id(3, 9), Index(10)));
        assert_eq!((recovered.held, missing), (id(3, 10), None));
    }

    #[test]
    fn what_older_segments_held_is_missing_unless_purged() {
        let start = Track { base: id(1, 10), last: Index(50), held: id(1, 50), ..Track::default() };
        let mut replay = Replay::new(start);
        replay.apply(append(1, 51..=53), 1);
        replay.apply(WriteOp::Purge { id: id(1, 50) }, 1);
        let (_, recovered, missing) = finish(replay);
        assert_eq!((names(&recovered), missing), (vec![(1, 51), (1, 52), (1, 53)], None));

        let mut replay = Replay::new(start);
        replay.apply(append(1, 51..=53), 1);
        let (track, recovered, missing) = finish(replay);
        assert_eq!((names(&recovered), recovered.held), (vec![], id(1, 53)));
        assert_eq!(missing, Some(Missing { group: 7, first: Index(11), last: Index(53) }));
        assert_eq!((track.last, track.truncated, track.cut), (Index(10), 90, Index(11)));
    }

    /// Entries 1 to 3 and 7 to 9; what lies between was lost.
    fn gapped() -> Replay {
        let mut replay = replay([append(1, 1..=3)]);
        let told = Track { last: Index(6), held: id(1, 6), ..replay.track };
        assert!(replay.adopt(told, Some(Gap { from: 2, to: 3, covered: true })));
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
            assert!(replay.adopt(told, Some(Gap { from: 2, to: 3, covered })));
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
