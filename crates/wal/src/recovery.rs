//! Reading the log back: find its end, tell torn from damaged, rebuild every group.
//!
//! The rule and the subtle cases are told in the crate's essay. In the order of the code:
//!
//! 1. Nothing is written until everything has been read and judged; a damaged log is left exactly as it was
//!    found.
//! 2. [`Walk`] follows the chain of frames from the oldest segment's start frame. It stops at the first
//!    place where the next frame is not; the chain may go on at the start of the next segment.
//! 3. At the end, any valid header further on with a later sequence number convicts: damage. Otherwise the
//!    end is where the next frame goes.
//! 4. [`settle`] makes durable what was read, removes segments never begun, and seals the end.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quorate_protocol::Recovered;
use quorate_protocol::codec::Reader;

use crate::GroupId;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::frame::{HEADER_BYTES, Header, Kind, Place, SECTOR, padding, payload_checksum};
use crate::groups::{Change, Replay, Start, Tracks, decode_operations};
use crate::segment::{self, NEXT, Segment, Window, file_name, number_of};
use crate::superblock;

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
    /// The byte in it where the last frame is.
    pub last: u64,
    pub tracks: Tracks,
    pub recovered: BTreeMap<GroupId, Recovered>,
}

/// What stands at a place.
enum Seen {
    /// A frame that belongs there.
    Frame { header: Header, sum: u32, payload: Bytes },
    /// A header that belongs there, but not the payload.
    Torn { header: Header },
    /// Nothing that belongs there.
    Nothing,
}

/// Read the log whose newest segment begun is `newest`; nothing, if it was never finished being made.
pub fn recover<D: Disk>(
    disk: &D,
    salt: u32,
    newest: u64,
    doubtful: bool,
) -> Result<Option<Found<D>>, WalError> {
    let numbers = list(disk)?;
    if newest == 0 {
        return Ok(None);
    }
    let oldest = complete(disk, &numbers, newest)?;
    let mut walk =
        Walk { disk, salt, segments: VecDeque::new(), replays: BTreeMap::new(), tip: None, last: 0 };
    let mut number = oldest;
    let (tip, file) = loop {
        let file = open(disk, number)?;
        let (tip, why) = walk.segment(number, &file)?;
        if walk.goes_on(&numbers, newest, tip, why)? {
            number += 1;
            continue;
        }
        walk.search(tip, why, &file)?;
        if doubtful {
            for later in numbers.iter().filter(|later| **later > number) {
                walk.search_all(tip, why, *later)?;
            }
        }
        break (tip, file);
    };
    let Walk { segments, replays, last, .. } = walk;
    let mut tracks = Tracks::new();
    let mut recovered = BTreeMap::new();
    for (group, replay) in replays {
        let (track, found) = replay.finish().map_err(|why| {
            let why = format!("group {group}: {why}; older segments must have been removed by hand");
            damaged(disk, oldest, 0, tip.sequence, why)
        })?;
        tracks.insert(group, track);
        recovered.insert(group, found);
    }
    Ok(Some(Found { tip, segments, file, last, tracks, recovered }))
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
    write(&seal(salt, found.tip), found.tip.offset)?;
    sync()
}

/// The bytes of a seal at `tip`.
pub fn seal(salt: u32, tip: Tip) -> [Bytes; 2] {
    let header =
        Header { kind: Kind::Seal, sequence: tip.sequence, previous: tip.previous, length: 0, payload: 0 };
    let place = Place { salt, segment: tip.segment, offset: tip.offset };
    [Bytes::copy_from_slice(&header.encode(place).0), padding(0)]
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

fn open<D: Disk>(disk: &D, number: u64) -> Result<D::File, WalError> {
    let file = file_name(number);
    disk.open(&file).map_err(|error| WalError::io("open", disk.path(&file), error))
}

/// The oldest segment, if all from there to the newest begun are present.
fn complete<D: Disk>(disk: &D, numbers: &[u64], newest: u64) -> Result<u64, WalError> {
    let oldest = numbers.first().copied().filter(|oldest| *oldest <= newest).unwrap_or(newest);
    match (oldest..=newest).find(|number| numbers.binary_search(number).is_err()) {
        None => Ok(oldest),
        Some(gone) => {
            let why = format!("the file is missing, although the log reaches to segment {newest}");
            Err(damaged(disk, gone, 0, 0, why))
        }
    }
}

fn damaged<D: Disk>(disk: &D, segment: u64, offset: u64, sequence: u64, why: String) -> WalError {
    WalError::Damaged { file: disk.path(&file_name(segment)), offset, sequence, why }
}

/// What stands at `place`.
fn look<F: DiskFile>(window: &mut Window<'_, F>, place: Place) -> Result<Seen, WalError> {
    let Some(bytes) = window.get(place.offset, HEADER_BYTES as u64)? else { return Ok(Seen::Nothing) };
    let Some((header, sum)) = Header::decode(bytes, place) else { return Ok(Seen::Nothing) };
    let payload = window.get(place.offset + HEADER_BYTES as u64, u64::from(header.length))?;
    Ok(match payload.map(Bytes::copy_from_slice) {
        Some(payload) if payload_checksum(std::slice::from_ref(&payload)) == header.payload => {
            Seen::Frame { header, sum, payload }
        }
        _ => Seen::Torn { header },
    })
}

/// Follows the chain.
struct Walk<'a, D> {
    disk: &'a D,
    salt: u32,
    segments: VecDeque<Segment>,
    replays: BTreeMap<GroupId, Replay>,
    /// Where the chain stands; nothing before the first start frame.
    tip: Option<Tip>,
    /// Where its last frame is, in the tip's segment.
    last: u64,
}

impl<D: Disk> Walk<'_, D> {
    fn window<'f>(&self, number: u64, file: &'f D::File) -> Result<Window<'f, D::File>, WalError> {
        Window::new(file, self.disk.path(&file_name(number)))
    }

    fn place(&self, segment: u64, offset: u64) -> Place {
        Place { salt: self.salt, segment, offset }
    }

    /// Follow the frames of one segment; the place after the last of them, and why the next is none.
    fn segment(&mut self, number: u64, file: &D::File) -> Result<(Tip, &'static str), WalError> {
        let mut window = self.window(number, file)?;
        let mut tip = self.start(number, &mut window)?;
        loop {
            let place = self.place(number, tip.offset);
            let (header, sum, payload) = match look(&mut window, place)? {
                Seen::Nothing => return Ok((tip, "there is no valid frame header")),
                Seen::Torn { header } if fits(&header, tip) => {
                    return Ok((tip, "the payload does not match its checksum"));
                }
                Seen::Torn { header } => return Err(self.astray(tip, &header)),
                Seen::Frame { header, .. } if !fits(&header, tip) => return Err(self.astray(tip, &header)),
                Seen::Frame { header, sum, payload } => (header, sum, payload),
            };
            match header.kind {
                Kind::Seal => return Ok((tip, "there is a seal where its frame should be")),
                Kind::Operations => self.operations(tip, payload)?,
                Kind::Start => return Err(self.damage(tip, "a start frame inside a segment".into())),
                Kind::Unknown(kind) => {
                    let why = format!("frames of kind {kind} are unknown to this version");
                    return Err(self.damage(tip, why));
                }
            }
            self.last = tip.offset;
            tip.offset += header.span();
            tip.sequence += 1;
            tip.previous = sum;
            self.tip = Some(tip);
        }
    }

    /// The start frame of a segment that is known to have been begun.
    fn start(&mut self, number: u64, window: &mut Window<'_, D::File>) -> Result<Tip, WalError> {
        let place = self.place(number, 0);
        let sequence = self.tip.map_or(0, |tip| tip.sequence);
        let fail = |why: String| damaged(self.disk, number, 0, sequence, why);
        let Seen::Frame { header, sum, payload } = look(window, place)? else {
            return Err(fail(
                "the segment's start frame is not valid, although the segment had been begun".into(),
            ));
        };
        if header.kind != Kind::Start {
            return Err(fail("the segment does not begin with a start frame".into()));
        }
        let start: Start = Reader::whole(payload).map_err(|malformed| fail(malformed.to_string()))?;
        if start.size != window.size() {
            let why = format!("the file has {} bytes and should have {}", window.size(), start.size);
            return Err(fail(why));
        }
        if self.tip.is_none() {
            let replays = start.groups.iter().map(|(group, track)| (*group, Replay::new(*track)));
            self.replays = replays.collect();
        } else if !self.replays.iter().map(|(group, replay)| (group, &replay.track)).eq(&start.groups) {
            return Err(fail("the start frame contradicts the segments before it".into()));
        }
        self.segments.push_back(Segment::new(number, start.size));
        self.last = 0;
        let sequence = header.sequence + 1;
        let tip = Tip { segment: number, offset: header.span(), sequence, previous: sum };
        self.tip = Some(tip);
        Ok(tip)
    }

    fn operations(&mut self, tip: Tip, payload: Bytes) -> Result<(), WalError> {
        let all = decode_operations(payload).map_err(|malformed| self.damage(tip, malformed.to_string()))?;
        for (group, ops) in all {
            let replay = self.replays.entry(group).or_default();
            for op in ops {
                if let Some(change) = Change::of(&op) {
                    Segment::note(self.segments.iter_mut(), group, change);
                }
                replay.apply(op);
            }
        }
        Ok(())
    }

    /// Whether the chain goes on in the next segment. If it does not although it should, that is damage.
    fn goes_on(&self, numbers: &[u64], newest: u64, tip: Tip, why: &'static str) -> Result<bool, WalError> {
        let next = tip.segment + 1;
        if numbers.binary_search(&next).is_err() {
            return Ok(false); // and `complete` has seen that it need not be there
        }
        let file = open(self.disk, next)?;
        let seen = look(&mut self.window(next, &file)?, self.place(next, 0))?;
        match seen {
            Seen::Frame { header, .. } if fits(&header, tip) => Ok(true),
            Seen::Frame { header, .. } if header.sequence == tip.sequence => Err(self.astray(tip, &header)),
            Seen::Frame { header, .. } | Seen::Torn { header } if header.sequence > tip.sequence => {
                Err(self.convict(tip, why, header.sequence, next, 0))
            }
            _ if next <= newest => {
                let why = "the segment's start frame is not valid or not the one that follows";
                Err(damaged(self.disk, next, 0, tip.sequence, why.into()))
            }
            _ => Ok(false),
        }
    }

    /// Look for a witness in the rest of the last segment.
    fn search(&self, tip: Tip, why: &'static str, file: &D::File) -> Result<(), WalError> {
        let mut window = self.window(tip.segment, file)?;
        self.search_from(tip, why, tip.segment, tip.offset + SECTOR, &mut window)
    }

    /// Look for a witness in all of a segment that was never begun, or so it seems.
    fn search_all(&self, tip: Tip, why: &'static str, number: u64) -> Result<(), WalError> {
        let file = open(self.disk, number)?;
        self.search_from(tip, why, number, 0, &mut self.window(number, &file)?)
    }

    fn search_from(
        &self,
        tip: Tip,
        why: &'static str,
        number: u64,
        mut offset: u64,
        window: &mut Window<'_, D::File>,
    ) -> Result<(), WalError> {
        while let Some(bytes) = window.get(offset, HEADER_BYTES as u64)? {
            match Header::decode(bytes, self.place(number, offset)) {
                Some((header, _)) if header.sequence > tip.sequence => {
                    return Err(self.convict(tip, why, header.sequence, number, offset));
                }
                _ => offset += SECTOR,
            }
        }
        Ok(())
    }

    /// A valid header at the tip that is not the next frame's.
    fn astray(&self, tip: Tip, header: &Header) -> WalError {
        let why = match header.sequence == tip.sequence {
            true => "the frame that comes next follows another frame than the one before it".to_owned(),
            false => format!("frame {} is here, where another should be", header.sequence),
        };
        self.damage(tip, why)
    }

    /// A later frame was found.
    fn convict(&self, tip: Tip, why: &str, sequence: u64, segment: u64, offset: u64) -> WalError {
        let file = file_name(segment);
        let witness = format!("frame {sequence} in {file} at byte {offset} was written after it was durable");
        self.damage(tip, format!("{why}, yet {witness}"))
    }

    fn damage(&self, tip: Tip, why: String) -> WalError {
        damaged(self.disk, tip.segment, tip.offset, tip.sequence, why)
    }
}

fn fits(header: &Header, tip: Tip) -> bool {
    header.sequence == tip.sequence && header.previous == tip.previous
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
