//! What every frame tells of the groups, and the operations it carries.
//!
//! A [`Summary`] stands in every frame and tells the groups' [`Track`]s as they were *before* it. With the frames
//! between two readable ones gone, the second one's summary still tells the promises, where each log began and
//! ended, and what it ever held.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::WriteOp;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::GroupId;
use crate::track::Track;

/// All groups, in order.
pub type Tracks = BTreeMap<GroupId, Track>;

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

    /// The bytes of a brief one.
    pub fn brief_bytes(tracks: &Tracks, recent: Option<&BTreeSet<GroupId>>) -> u64 {
        let bytes = |track: &Track| 4 + track.bytes();
        let told: u64 = match recent {
            Some(groups) if tracks.len() > SUMMARY_GROUPS => {
                groups.iter().filter_map(|group| tracks.get(group)).map(bytes).sum()
            }
            _ => tracks.values().map(bytes).sum(),
        };
        12 + told
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
    use crate::track::Form;
    use proptest::prelude::*;
    use quorate_protocol::{Ballot, Index, LogId, NodeId};

    #[test]
    fn a_summary_of_many_groups_tells_of_the_recent_ones() {
        let tracks = |groups: u32| -> Tracks { (0..groups).map(|group| (group, Track::default())).collect() };
        let recent = (7, BTreeSet::from([3, 4]));
        for (groups, told, since) in [(1, 1, 0), (64, 64, 0), (65, 2, 7)] {
            let brief = Summary::brief(&tracks(groups), Some(&recent));
            assert_eq!((brief.tracks.len(), brief.since), (told, since), "of {groups}");
            let room = Summary::brief_bytes(&tracks(groups), Some(&recent.1));
            assert_eq!(brief.to_bytes().len() as u64, room);
            assert_eq!(Reader::whole::<Summary>(brief.to_bytes()), Ok(brief));
        }
        assert_eq!(Summary::brief(&tracks(65), None).tracks.len(), 65);
    }

    #[test]
    fn as_much_room_is_kept_for_a_summary_as_it_takes() {
        let id = |n| LogId { ballot: Ballot { round: n, node: NodeId(n) }, index: Index(n) };
        let full = Track {
            promised: id(1).ballot,
            joined: id(2).ballot,
            base: id(3),
            last: Index(4),
            held: id(5),
            form: Form::Put,
            lost: id(6),
            truncated: 7,
            cut: Index(8),
            sound: 9,
            reset: 10,
        };
        for track in [full, Track::default(), Track { joined: Ballot::default(), ..full }] {
            let summary = Summary::all(&Tracks::from([(1, track), (2, full)]));
            assert_eq!(Reader::whole::<Summary>(summary.to_bytes()), Ok(summary.clone()));
            assert_eq!(summary.to_bytes().len() as u64, Summary::brief_bytes(&summary.tracks, None));
        }
        let bytes = Summary::all(&Tracks::from([(1, full)])).to_bytes();
        for end in 0..bytes.len() {
            assert!(Reader::whole::<Summary>(bytes.slice(..end)).is_err(), "cut short at {end}");
        }
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
