//! What the log knows of its groups: enough to refuse a write it could not read back, to free segments, and
//! to start a new segment; and, during recovery, each group's entries.
//!
//! Invariants of a [`Track`]: 1. `base.index <= last`; 2. the entries `base.index + 1 ..= last` are in the
//! log, each index under the ballot of its latest append. [`Track::check`] is the gateway that keeps them.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};
use quorate_protocol::{Ballot, Entry, Index, LogId, Recovered, WriteOp};

use crate::GroupId;

/// All groups, in order.
pub type Tracks = BTreeMap<GroupId, Track>;

/// One group's state, without its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// Its last promise.
    pub promised: Ballot,
    /// The entry before its first.
    pub base: LogId,
    /// Its last entry's index, `base.index` if it has none.
    pub last: Index,
}

/// A [`WriteOp`] without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Promise(Ballot),
    Append { last: Index },
    Reset(LogId),
    Purge(LogId),
}

impl Change {
    /// What `op` changes; nothing, for an append of no entries.
    pub fn of(op: &WriteOp) -> Option<Change> {
        Some(match op {
            WriteOp::Meta { promised } => Change::Promise(*promised),
            WriteOp::Append(entries) => Change::Append { last: entries.last()?.id.index },
            WriteOp::Reset { id } => Change::Reset(*id),
            WriteOp::Purge { id } => Change::Purge(*id),
        })
    }
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

    /// Make the change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Promise(promised) => self.promised = promised,
            Change::Append { last } => self.last = last,
            Change::Reset(id) => {
                self.base = id;
                self.last = id.index;
            }
            Change::Purge(id) if id.index > self.base.index => {
                self.base = id;
                self.last = self.last.max(id.index);
            }
            Change::Purge(_) => {}
        }
    }
}

impl Encode for Track {
    fn encode(&self, out: &mut Writer) {
        self.promised.encode(out);
        self.base.encode(out);
        self.last.encode(out);
    }
}

impl Decode for Track {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let (promised, base) = (Ballot::decode(input)?, LogId::decode(input)?);
        Ok(Track { promised, base, last: Index::decode(input)? })
    }
}

/// The payload of a start frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The segment's length in bytes: a file cut short from outside is noticed.
    pub size: u64,
    /// All groups as they were when the segment began.
    pub groups: Tracks,
}

impl Encode for Start {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.size);
        out.u32(self.groups.len() as u32);
        for (group, track) in &self.groups {
            out.u32(*group);
            track.encode(out);
        }
    }
}

impl Decode for Start {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let size = input.u64()?;
        let mut groups = Tracks::new();
        for _ in 0..input.u32()? {
            groups.insert(input.u32()?, Track::decode(input)?);
        }
        Ok(Start { size, groups })
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

/// A group's log while it is being read back.
///
/// Where old segments are gone, a start frame may tell of entries that are nowhere to be found, because a
/// purge further on makes them unnecessary. So a hole is accepted while reading, and judged by
/// [`Replay::finish`].
#[derive(Debug, Default)]
pub struct Replay {
    /// What the operations so far add up to.
    pub track: Track,
    /// The latest contiguous run of entries, from index `first`.
    first: Index,
    entries: Vec<Entry>,
}

impl Replay {
    /// Begin with what a start frame says.
    pub fn new(track: Track) -> Self {
        Replay { track, first: track.base.index.next(), entries: Vec::new() }
    }

    /// Carry out one operation.
    pub fn apply(&mut self, op: WriteOp) {
        let Some(change) = Change::of(&op) else { return };
        match op {
            WriteOp::Meta { .. } => {}
            WriteOp::Append(entries) => self.append(entries),
            WriteOp::Reset { .. } => self.entries.clear(),
            WriteOp::Purge { id } => {
                let gone = self.entries.partition_point(|entry| entry.id.index <= id.index);
                self.entries.drain(..gone);
                self.first = self.first.max(id.index.next());
            }
        }
        self.track.apply(change);
    }

    fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.id.index) else { return };
        let end = self.first + self.entries.len() as u64;
        if self.entries.is_empty() || first < self.first || first > end {
            self.first = first;
            self.entries = entries;
        } else {
            self.entries.truncate((first - self.first) as usize);
            self.entries.extend(entries);
        }
    }

    /// What the replica will find, or what is missing.
    pub fn finish(mut self) -> Result<(Track, Recovered), String> {
        let Track { promised, base, last } = self.track;
        let gone = self.entries.partition_point(|entry| entry.id.index <= base.index);
        self.entries.drain(..gone);
        let found = self.entries.first().map_or(last.next(), |entry| entry.id.index);
        if found > base.index.next() {
            return Err(format!("the entries {} to {} are in no segment", base.index.next(), found.prev()));
        }
        Ok((self.track, Recovered { promised, base, entries: self.entries, ..Recovered::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quorate_protocol::{EntryKind, NodeId};

    fn id(round: u64, index: u64) -> LogId {
        LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) }
    }

    fn append(round: u64, indexes: std::ops::RangeInclusive<u64>) -> WriteOp {
        let entry = |i| Entry { id: id(round, i), kind: EntryKind::Command, data: Bytes::new() };
        WriteOp::Append(indexes.map(entry).collect())
    }

    fn names(recovered: &Recovered) -> Vec<(u64, u64)> {
        recovered.entries.iter().map(|entry| (entry.id.ballot.round, entry.id.index.0)).collect()
    }

    #[test]
    fn a_log_is_replaced_reset_and_purged() {
        let mut replay = Replay::default();
        replay.apply(append(1, 1..=5));
        replay.apply(append(2, 4..=4));
        replay.apply(WriteOp::Purge { id: id(1, 2) });
        let (track, recovered) = replay.finish().unwrap();
        assert_eq!(names(&recovered), [(1, 3), (2, 4)]);
        assert_eq!((track.base, track.last), (id(1, 2), Index(4)));

        let mut replay = Replay::new(track);
        replay.apply(WriteOp::Reset { id: id(3, 9) });
        replay.apply(append(3, 10..=10));
        let (track, recovered) = replay.finish().unwrap();
        assert_eq!((names(&recovered), recovered.base, track.last), (vec![(3, 10)], id(3, 9), Index(10)));
    }

    #[test]
    fn a_hole_is_forgiven_only_below_the_base() {
        let start = Track { base: id(1, 10), last: Index(50), ..Track::default() };
        let mut replay = Replay::new(start);
        replay.apply(append(1, 51..=53));
        replay.apply(WriteOp::Purge { id: id(1, 50) });
        assert_eq!(names(&replay.finish().unwrap().1), [(1, 51), (1, 52), (1, 53)]);

        let mut replay = Replay::new(start);
        replay.apply(append(1, 51..=53));
        assert_eq!(replay.finish().unwrap_err(), "the entries 11 to 50 are in no segment");
        assert!(Replay::new(start).finish().is_err(), "no entry at all, but the start frame tells of some");
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

    proptest! {
        #[test]
        fn nothing_that_decodes_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            let _ = decode_operations(bytes.clone());
            let _ = Reader::whole::<Start>(bytes);
        }
    }
}
