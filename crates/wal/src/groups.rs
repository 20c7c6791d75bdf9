//! What the log knows of its groups: enough to refuse a write it could not read back, to free segments, and
//! to say, with a frame lost, what that frame can have changed.
//!
//! Invariants of a [`Track`]: 1. `base.index <= last`; 2. the entries `base.index + 1 ..= last` are in the
//! log, each index under the ballot of its latest append; 3. `held` never goes down, and is not before the
//! entry at `last`. [`Track::check`] is the gateway that keeps them.
//!
//! A [`Summary`] stands in every frame and tells the tracks as they were *before* it. With the frames
//! between two readable ones gone, the second one's summary still tells the promise, where the log began and
//! ended, and the last entry that was ever held. It does not tell what became of the entries before the gap:
//! a lost frame may have replaced some of them. `truncated` and `cut` answer that; see [`Track::kept`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};
use quorate_protocol::{Ballot, Index, LogId, WriteOp};

use crate::GroupId;

/// All groups, in order.
pub type Tracks = BTreeMap<GroupId, Track>;

/// Nothing has been cut off.
const UNCUT: Index = Index(u64::MAX);

/// One group's state, without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its last promise.
    pub promised: Ballot,
    /// The entry before its first.
    pub base: LogId,
    /// Its last entry's index, `base.index` if it has none.
    pub last: Index,
    /// The greatest entry, by (round, index), that it ever had.
    pub held: LogId,
    /// The sequence number of the last frame that replaced or dropped entries at its end; or of the frame before
    /// which a recovery did.
    pub truncated: u64,
    /// The lowest index at which that happened in this segment. What is told by a start frame is of the
    /// segment before.
    pub cut: Index,
    /// If it was a recovery: what it left had not been changed by this frame or any after it.
    pub sound: u64,
}

impl Default for Track {
    fn default() -> Self {
        let (promised, base, held) = Default::default();
        Track { promised, base, last: Index(0), held, truncated: 0, cut: UNCUT, sound: 0 }
    }
}

/// A [`WriteOp`] without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Promise(Ballot),
    Append { first: Index, last: Index, held: LogId },
    Reset(LogId),
    Purge(LogId),
}

impl Change {
    /// What `op` changes; nothing, for an append of no entries.
    pub fn of(op: &WriteOp) -> Option<Change> {
        Some(match op {
            WriteOp::Meta { promised } => Change::Promise(*promised),
            WriteOp::Append(entries) => {
                let (first, last) = (entries.first()?.id.index, entries.last()?.id.index);
                let held = entries.iter().fold(LogId::default(), |held, entry| later(held, entry.id));
                Change::Append { first, last, held }
            }
            WriteOp::Reset { id } => Change::Reset(*id),
            WriteOp::Purge { id } => Change::Purge(*id),
        })
    }
}

/// The greater of two by (round, index).
fn later(a: LogId, b: LogId) -> LogId {
    if rank(b) > rank(a) { b } else { a }
}

fn rank(id: LogId) -> (u64, Index) {
    (id.ballot.round, id.index)
}

impl Track {
    /// Whether the log can be read back after `op`; if not, what is wrong.
    pub fn check(&self, op: &WriteOp) -> Result<(), String> {
        let WriteOp::Append(entries) = op else { return Ok(()) };
        let Some(first) = entries.first() else { return Ok(()) };
        if first.id.index <= self.base.index || first.id.index > self.last.next() {
            return Err(format!(
                "from index {}, with its log from {} to {}",
                first.id.index,
                self.base.index.next(),
                self.last
            ));
        }
        match entries.windows(2).find(|pair| pair[1].id.index != pair[0].id.index.next()) {
            Some(pair) => Err(format!("index {} after index {}", pair[1].id.index, pair[0].id.index)),
            None => Ok(()),
        }
    }

    /// Make the change, which frame `sequence` tells of.
    pub fn apply(&mut self, change: Change, sequence: u64) {
        match change {
            Change::Promise(promised) => self.promised = promised,
            Change::Append { first, last, held } => {
                if first <= self.last {
                    self.truncate(first, sequence);
                }
                self.last = last;
                self.held = later(self.held, held);
            }
            Change::Reset(id) => {
                self.truncate(Index(0), sequence);
                self.base = id;
                self.last = id.index;
                self.held = later(self.held, id);
            }
            Change::Purge(id) if id.index > self.base.index => {
                self.base = id;
                self.last = self.last.max(id.index);
                self.held = later(self.held, id);
            }
            Change::Purge(_) => {}
        }
    }

    /// What was there from `first` on is gone, by frame `sequence` or whatever stands in its place.
    pub fn truncate(&mut self, first: Index, sequence: u64) {
        self.last = self.last.min(Index(first.0.saturating_sub(1)));
        self.truncated = sequence;
        self.cut = self.cut.min(first);
    }

    /// A new segment begins.
    pub fn begin_segment(&mut self) {
        self.cut = UNCUT;
    }

    /// A recovery found no more of the entries than those up to `last`. The last frames it had to do without
    /// began with `gap`; the next frame will be `sequence`.
    pub fn recovered(&mut self, last: Index, gap: u64, sequence: u64) {
        self.truncate(last.next(), sequence);
        self.sound = gap;
    }

    /// With this track told of by frame `sequence`, after a gap that begins with frame `gap`: the entries from
    /// before the gap are still those below this index. `covered` says whether the gap lies in the segment that
    /// `cut` is about.
    pub fn kept(&self, gap: u64, covered: bool, sequence: u64) -> Index {
        if self.truncated < gap {
            return UNCUT;
        }
        match covered {
            // A recovery went around this very gap, or one that began earlier.
            _ if self.truncated == sequence && self.sound <= gap => Index(self.last.0.saturating_add(1)),
            true => self.cut,
            false => Index(0),
        }
    }

    /// Whether this may be what a recovery made of `read`: by way of damage it may have found less, never
    /// more and nothing else.
    pub fn follows(&self, read: &Track) -> bool {
        let fewer = self.last <= read.last || self.last == self.base.index;
        let held = rank(self.held) >= rank(read.held);
        self.promised == read.promised && self.base.index >= read.base.index && held && fewer
    }
}

impl Encode for Track {
    fn encode(&self, out: &mut Writer) {
        self.promised.encode(out);
        self.base.encode(out);
        self.last.encode(out);
        self.held.encode(out);
        out.u64(self.truncated);
        self.cut.encode(out);
        out.u64(self.sound);
    }
}

impl Decode for Track {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let (promised, base) = (Ballot::decode(input)?, LogId::decode(input)?);
        let (last, held) = (Index::decode(input)?, LogId::decode(input)?);
        let (truncated, cut, sound) = (input.u64()?, Index::decode(input)?, input.u64()?);
        Ok(Track { promised, base, last, held, truncated, cut, sound })
    }
}

/// Up to so many groups are told of in every frame. Of more, a frame tells only of those that the frame
/// before it changed, lest a commit of one group cost the summary of thousands.
const SUMMARY_GROUPS: usize = 64;

/// What a frame tells of the groups as they were before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All groups are told of that any frame from this one on has changed; 0 for all there are.
    pub since: u64,
    /// They, as they were.
    pub tracks: Tracks,
}

impl Summary {
    /// Of all.
    pub fn all(tracks: &Tracks) -> Self {
        Summary { since: 0, tracks: tracks.clone() }
    }

    /// Of all if they are few, of the `recent` ones otherwise: those that frame `since` changed.
    pub fn brief(tracks: &Tracks, recent: Option<&(u64, BTreeSet<GroupId>)>) -> Self {
        match recent {
            Some((since, groups)) if tracks.len() > SUMMARY_GROUPS => {
                let told = groups.iter().filter_map(|group| Some((*group, *tracks.get(group)?)));
                Summary { since: *since, tracks: told.collect() }
            }
            _ => Summary::all(tracks),
        }
    }

    /// The bytes that a brief one takes when there are `all` groups and, if that is known, so many `recent` ones.
    pub fn brief_bytes(all: usize, recent: Option<usize>) -> u64 {
        let told = recent.filter(|_| all > SUMMARY_GROUPS).unwrap_or(all);
        12 + 100 * told as u64
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.into_bytes()
    }
}

impl Encode for Summary {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.since);
        out.u32(self.tracks.len() as u32);
        for (group, track) in &self.tracks {
            out.u32(*group);
            track.encode(out);
        }
    }
}

impl Decode for Summary {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let since = input.u64()?;
        let mut tracks = Tracks::new();
        for _ in 0..input.u32()? {
            tracks.insert(input.u32()?, Track::decode(input)?);
        }
        Ok(Summary { since, tracks })
    }
}

/// Append one group's operations to the payload of an operations frame.
pub fn encode_operations(group: GroupId, ops: &[WriteOp], out: &mut Writer) {
    out.u32(group);
    out.list(ops);
}

/// The payload of an operations frame.
pub fn decode_operations(payload: Bytes) -> Result<Vec<(GroupId, Vec<WriteOp>)>, Malformed> {
    let mut input = Reader::new(payload);
    let mut all = Vec::new();
    while input.remaining() > 0 {
        all.push((input.u32()?, input.list()?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quorate_protocol::{Entry, EntryKind, NodeId};

    fn id(round: u64, index: u64) -> LogId {
        LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) }
    }

    fn append(round: u64, indexes: std::ops::RangeInclusive<u64>) -> WriteOp {
        let entry = |i| Entry { id: id(round, i), kind: EntryKind::Command, data: Bytes::new() };
        WriteOp::Append(indexes.map(entry).collect())
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        let track = Track { base: id(1, 2), last: Index(4), ..Track::default() };
        assert_eq!(track.check(&append(1, 5..=6)), Ok(()));
        assert_eq!(track.check(&append(1, 3..=3)), Ok(()));
        assert!(track.check(&append(1, 6..=6)).is_err(), "a hole");
        assert!(track.check(&append(1, 2..=3)).is_err(), "purged");
        let WriteOp::Append(mut entries) = append(1, 3..=5) else { unreachable!() };
        entries.remove(1);
        assert!(track.check(&WriteOp::Append(entries)).is_err(), "not dense");
    }

    #[test]
    fn what_was_held_never_goes_down() {
        let mut track = Track::default();
        let mut held = Vec::new();
        let ops = [
            append(2, 1..=9),
            append(3, 4..=4),
            append(1, 5..=20),
            WriteOp::Reset { id: id(2, 30) },
            append(3, 31..=31),
            WriteOp::Purge { id: id(4, 2) },
            WriteOp::Purge { id: id(4, 40) },
        ];
        for (sequence, op) in (1..).zip(&ops) {
            track.apply(Change::of(op).unwrap(), sequence);
            held.push((track.held.ballot.round, track.held.index.0, track.last.0));
        }
        let expected = [(2, 9, 9), (3, 4, 4), (3, 4, 20), (3, 4, 30), (3, 31, 31), (3, 31, 31), (4, 40, 40)];
        assert_eq!(held, expected);
    }

    #[test]
    fn a_gap_keeps_what_no_lost_frame_can_have_replaced() {
        let mut track = Track::default();
        for (sequence, op) in [(10, append(1, 1..=9)), (11, append(2, 5..=9)), (12, append(3, 7..=7))] {
            track.apply(Change::of(&op).unwrap(), sequence);
        }
        assert_eq!(track.kept(13, true, 90), UNCUT, "all of it was read before the gap");
        assert_eq!(track.kept(12, true, 90), Index(5), "at 7 in truth; what lies deeper is always safe");
        assert_eq!(track.kept(10, true, 90), Index(5));
        assert_eq!(track.kept(12, false, 90), Index(0), "the cut may have been in another segment");
        track.begin_segment();
        track.apply(Change::of(&append(4, 6..=6)).unwrap(), 20);
        assert_eq!((track.kept(20, true, 90), track.kept(21, false, 90)), (Index(6), UNCUT));
        track.apply(Change::of(&WriteOp::Reset { id: id(4, 3) }).unwrap(), 21);
        assert_eq!(track.kept(20, true, 90), Index(0));
    }

    #[test]
    fn a_gap_that_a_recovery_went_around_keeps_what_it_left() {
        let mut track = Track { last: Index(9), ..Track::default() };
        track.recovered(Index(4), 20, 30);
        assert_eq!(track.last, Index(4));
        for (gap, sequence, kept) in [(20, 30, 5), (25, 30, 5), (19, 30, 0), (20, 31, 0)] {
            assert_eq!(track.kept(gap, false, sequence), Index(kept), "{gap} {sequence}");
        }
        assert_eq!((track.kept(19, true, 30), track.kept(31, false, 32)), (Index(5), UNCUT));
    }

    #[test]
    fn a_summary_of_many_groups_tells_of_the_recent_ones() {
        let tracks = |groups: u32| -> Tracks { (0..groups).map(|group| (group, Track::default())).collect() };
        let recent = (7, BTreeSet::from([3, 4]));
        for (groups, told, since) in [(1, 1, 0), (64, 64, 0), (65, 2, 7)] {
            let brief = Summary::brief(&tracks(groups), Some(&recent));
            assert_eq!((brief.tracks.len(), brief.since), (told, since), "of {groups}");
            assert_eq!(brief.to_bytes().len() as u64, Summary::brief_bytes(groups as usize, Some(2)));
            assert_eq!(Reader::whole::<Summary>(brief.to_bytes()), Ok(brief));
        }
        assert_eq!(Summary::brief(&tracks(65), None).tracks.len(), 65);
    }

    proptest! {
        #[test]
        fn nothing_that_decodes_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            let _ = decode_operations(bytes.clone());
            let _ = Reader::whole::<Summary>(bytes);
        }
    }
}
