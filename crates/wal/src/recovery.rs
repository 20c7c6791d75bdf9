//! Reading the log back: find its end, tell torn from damaged, rebuild every group.
//!
//! The rule and the subtle cases are told in the crate's essay. Nothing is written until everything has been
//! read and judged ([`Walk`], [`Replay`](crate::replay::Replay)): a log that is refused is left exactly as it was
//! found. Then [`settle`] makes durable what was read, removes segments never begun, and seals the end; the
//! seal's summary records what recovery made of the damage it found.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quorate_protocol::{LogId, Recovered};

use crate::GroupId;
use crate::damage::Damage;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::frame::{Header, Kind, Place, padding, payload_checksum, span};
use crate::groups::{Summary, Tracks};
use crate::replay::Missing;
use crate::segment::{self, NEXT, Segment, file_name, number_of};
use crate::superblock;
use crate::walk::Walk;

/// Where the next frame goes, and what it must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The segment.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
    /// The next frame's sequence number.
    pub sequence: u64,
    /// The header checksum of the last frame.
    pub previous: u32,
}

/// A log read back.
pub struct Found<D: Disk> {
    pub tip: Tip,
    pub segments: VecDeque<Segment>,
    /// The last segment.
    pub file: D::File,
    /// The byte in it where the last frame is; the tip if that one is lost.
    pub last: u64,
    pub tracks: Tracks,
    pub recovered: BTreeMap<GroupId, Recovered>,
    pub damage: Vec<Damage>,
    pub missing: Vec<Missing>,
}

/// What is known of the log before any of it has been read.
pub struct Extent {
    /// The segments there are, ascending.
    pub numbers: Vec<u64>,
    /// The newest that the superblock says was begun.
    pub newest: u64,
    /// A copy of the superblock is lost, so there may be a newer one.
    pub doubtful: bool,
}

impl Extent {
    /// The segment to begin with. It may be one that the lost copy of the superblock alone knew of, all others being
    /// purged.
    pub fn oldest<D: Disk>(&self, disk: &D) -> Result<u64, WalError> {
        let newest = self.newest.saturating_add(u64::from(self.doubtful));
        let oldest = self.numbers.first().copied().filter(|oldest| *oldest <= newest);
        oldest.ok_or_else(|| self.nothing_in(disk, self.newest, 0))
    }

    /// Whether the log may have more than a start frame in a segment.
    pub fn may_be_begun(&self, number: u64) -> bool {
        number <= self.newest || self.doubtful
    }

    /// The later segments that the log may reach to.
    pub fn after(&self, segment: u64) -> impl Iterator<Item = &u64> {
        let reach = if self.doubtful { u64::MAX } else { self.newest.saturating_add(1) };
        self.numbers.iter().filter(move |number| **number > segment && **number <= reach)
    }

    /// The error of a segment that was begun and has nothing readable in it.
    pub fn nothing_in<D: Disk>(&self, disk: &D, number: u64, sequence: u64) -> WalError {
        let why = match self.numbers.binary_search(&number) {
            Ok(_) => format!("nothing in it can be read, although the log reaches to segment {number}"),
            Err(_) => format!("the file is missing, although the log reaches to segment {number}"),
        };
        WalError::Damaged { file: disk.path(&file_name(number)), offset: 0, sequence, why }
    }
}

/// Read the log whose newest segment begun is `newest`; nothing, if it was never finished being made. The state
/// machines stand at `applied`.
pub fn recover<D: Disk>(
    disk: &D,
    salt: u32,
    newest: u64,
    doubtful: bool,
    applied: &BTreeMap<GroupId, LogId>,
) -> Result<Option<Found<D>>, WalError> {
    let extent = Extent { numbers: list(disk)?, newest, doubtful };
    if newest == 0 {
        return Ok(None);
    }
    let mut walk = Walk::new(disk, salt, &extent)?;
    walk.run()?;
    let (mut tracks, mut recovered, mut missing) = (Tracks::new(), BTreeMap::new(), Vec::new());
    for (group, replay) in std::mem::take(&mut walk.replays) {
        let applied = applied.get(&group).copied().unwrap_or_default();
        let (track, found, lost) = replay.finish(group, applied, walk.last_gap(), walk.tip.sequence);
        tracks.insert(group, track);
        recovered.insert(group, found);
        missing.extend(lost);
    }
    let (tip, last) = (walk.tip, walk.last);
    let (segments, damage) = (std::mem::take(&mut walk.segments), std::mem::take(&mut walk.damage));
    let file = walk.into_file();
    Ok(Some(Found { tip, segments, file, last, tracks, recovered, damage, missing }))
}

/// Make what was found safe to build on: durable, without leftovers, and sealed.
pub fn settle<D: Disk>(disk: &D, salt: u32, found: &Found<D>) -> Result<(), WalError> {
    clear(disk, |number| number > found.tip.segment)?;
    let path = || disk.path(&file_name(found.tip.segment));
    let write = |parts: &[Bytes], offset| {
        found.file.write_at(parts, offset).map_err(|error| WalError::write(path(), error))
    };
    let sync = || found.file.sync().map_err(|error| WalError::sync(path(), error));
    // The last frame may be in the page cache only, and if it was its fsync that failed, the kernel takes
    // it for clean: only writing it again (the same bytes) makes the sync mean something. All frames before
    // it are durable.
    let mut last = vec![0; (found.tip.offset - found.last) as usize];
    found.file.read_at(&mut last, found.last).map_err(|error| WalError::io("read", path(), error))?;
    write(&[last.into()], found.last)?;
    // A seal may only ever follow what is durable.
    sync()?;
    let mut summary = Summary::all(&found.tracks);
    let size = found.segments.back().map_or(0, |segment| segment.size);
    if found.tip.offset + span(summary.to_bytes().len() as u64) > size {
        // The room kept for a seal is for a brief one. This one is a witness and tells nothing.
        summary = Summary { since: found.tip.sequence, tracks: Tracks::new() };
    }
    write(&seal(salt, found.tip, &summary), found.tip.offset)?;
    sync()
}

/// The bytes of a seal at `tip`.
pub fn seal(salt: u32, tip: Tip, summary: &Summary) -> [Bytes; 3] {
    let place = Place { salt, segment: tip.segment, offset: tip.offset };
    let (header, summary, _) = frame(place, Kind::Seal, tip, summary, &[]);
    let padding = padding(summary.len() as u64);
    [header, summary, padding]
}

/// A frame's header and summary, without its payload and padding; and the header itself, with its checksum.
pub fn frame(
    place: Place,
    kind: Kind,
    tip: Tip,
    summary: &Summary,
    payload: &[Bytes],
) -> (Bytes, Bytes, (Header, u32)) {
    let summary = summary.to_bytes();
    let header = Header {
        kind,
        sequence: tip.sequence,
        previous: tip.previous,
        length: payload.iter().map(Bytes::len).sum::<usize>() as u32,
        payload: payload_checksum(payload),
        summary_length: summary.len() as u32,
        summary: payload_checksum(std::slice::from_ref(&summary)),
    };
    let (bytes, sum) = header.encode(place);
    (Bytes::copy_from_slice(&bytes), summary, (header, sum))
}

/// Remove files that were being made and all segments that `unwanted` names.
pub fn clear<D: Disk>(disk: &D, unwanted: impl Fn(u64) -> bool) -> Result<(), WalError> {
    let files = disk.list().map_err(|error| WalError::io("list", disk.path(""), error))?;
    for file in files {
        if file == NEXT || file == superblock::NEXT || number_of(&file).is_some_and(&unwanted) {
            disk.remove(&file).map_err(|error| WalError::io("remove", disk.path(&file), error))?;
        }
    }
    disk.sync_dir().map_err(|error| WalError::sync(disk.path(""), error))
}

fn list<D: Disk>(disk: &D) -> Result<Vec<u64>, WalError> {
    let files = disk.list().map_err(|error| WalError::io("list", disk.path(""), error))?;
    let mut numbers: Vec<u64> = files.iter().filter_map(|file| segment::number_of(file)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
