//! Following the chain of frames from the oldest segment to the log's end, around what is damaged.
//!
//! 1. [`Walk::frame`] reads the frame at the tip, takes over what its summary says and carries it out.
//! 2. Where that cannot be done, [`Walk::go_on`] looks for the place where the log goes on: the start frame
//!    that follows, or else the first readable summary of a later frame. The second means that frames are
//!    lost, for none is written before the one before it was durable; the summary makes up for them.
//! 3. Where there is no such place, [`Walk::end`] says whether this is the log's end, or whether there is
//!    proof that something more was durable. Then nothing can be known of it, and the log is refused.
//!
//! Frames that are valid and contradict each other are no disk's doing and refused as well.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use quorate_protocol::codec::{Decode, Malformed, Reader};

use crate::GroupId;
use crate::damage::Damage;
use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::frame::{HEADER_BYTES, Header, Kind, Place, SECTOR, payload_checksum};
use crate::groups::{Summary, decode_operations};
use crate::recovery::{Extent, Tip};
use crate::replay::{Gap, Replay};
use crate::segment::{Segment, WINDOW_BYTES, Window, file_name};
use crate::track::Change;

/// What stands at a place: a header that belongs there, and what fits to it.
pub struct Seen {
    pub header: Header,
    /// The header's checksum.
    pub sum: u32,
    pub summary: Option<Bytes>,
    pub payload: Option<Bytes>,
}

/// What stands at `place`, if any header does.
pub fn look<F: DiskFile>(window: &mut Window<F>, place: Place) -> Result<Option<Seen>, WalError> {
    let Some(bytes) = window.get(place.offset, HEADER_BYTES as u64)? else { return Ok(None) };
    let Some((header, sum)) = Header::decode(bytes, place) else { return Ok(None) };
    let mut part = |offset: u64, length: u32, sum: u32| {
        let bytes = window.get(offset, u64::from(length))?.map(Bytes::copy_from_slice);
        Ok(bytes.filter(|bytes| payload_checksum(std::slice::from_ref(bytes)) == sum))
    };
    let after = place.offset + HEADER_BYTES as u64;
    let summary = part(after, header.summary_length, header.summary)?;
    let payload = part(after + u64::from(header.summary_length), header.length, header.payload)?;
    Ok(Some(Seen { header, sum, summary, payload }))
}

/// What became of the frame at the tip.
enum Step {
    /// It was read.
    Over,
    /// It cannot be, so the next one is at an unknown place; or at a known one, with what that must call the
    /// frame before it.
    Stuck { why: &'static str, next: Option<(u64, u32)> },
}

/// See the module's text.
pub struct Walk<'a, D: Disk> {
    disk: &'a D,
    salt: u32,
    extent: &'a Extent,
    window: Window<D::File>,
    /// Whether a seal stands at the tip.
    sealed: bool,
    /// The gap that the next summary must make up for.
    gap: Option<Gap>,
    /// The first frame of the last gap.
    lost: Option<u64>,
    /// The tip's segment is shorter than it was.
    short: Option<Damage>,
    pub tip: Tip,
    /// Where the last frame read is, in the tip's segment; the tip itself if none was.
    pub last: u64,
    pub segments: VecDeque<Segment>,
    pub replays: BTreeMap<GroupId, Replay>,
    pub damage: Vec<Damage>,
}

impl<'a, D: Disk> Walk<'a, D> {
    /// At the oldest segment.
    pub fn new(disk: &'a D, salt: u32, extent: &'a Extent) -> Result<Self, WalError> {
        let oldest = extent.oldest(disk)?;
        let window = open(disk, oldest)?;
        Ok(Walk {
            disk,
            salt,
            extent,
            sealed: false,
            gap: Some(Gap { segment: 0, from: 0, to: 0, covered: false }),
            lost: None,
            short: None,
            tip: Tip { segment: oldest, offset: 0, sequence: 0, previous: 0 },
            last: 0,
            segments: VecDeque::from([Segment::new(oldest, window.size())]),
            replays: BTreeMap::new(),
            damage: Vec::new(),
            window,
        })
    }

    /// Go to the end.
    pub fn run(&mut self) -> Result<(), WalError> {
        loop {
            if let Step::Stuck { why, next } = self.frame()?
                && !self.go_on(why, next)?
            {
                return Ok(());
            }
        }
    }

    /// The first frame of the last gap; the next frame if there is none.
    pub fn last_gap(&self) -> u64 {
        self.lost.unwrap_or(self.tip.sequence)
    }

    /// The file that the tip is in.
    pub fn into_file(self) -> D::File {
        self.window.into_file()
    }

    fn place(&self, segment: u64, offset: u64) -> Place {
        Place { salt: self.salt, segment, offset }
    }

    /// Read the frame at the tip and step over it.
    fn frame(&mut self) -> Result<Step, WalError> {
        self.sealed = false;
        let place = self.place(self.tip.segment, self.tip.offset);
        let Some(seen) = look(&mut self.window, place)? else {
            return Ok(Step::Stuck { why: "there is no valid frame header", next: None });
        };
        let header = seen.header;
        if self.tip.sequence == 0 {
            (self.tip.sequence, self.tip.previous) = (header.sequence, header.previous);
        }
        self.check(&header)?;
        // A seal tells nothing of the frame that was to take its place, nor of where that ends.
        let next = Some((self.tip.offset + header.span(), seen.sum)).filter(|_| header.kind != Kind::Seal);
        match seen.summary {
            Some(summary) => self.adopt(summary)?,
            // The chain is whole, so the summary says nothing new.
            None if self.gap.is_none() && header.kind != Kind::Seal && seen.payload.is_some() => {
                self.note("the summary does not match its checksum; the rest of the frame does".into(), 0);
            }
            None => return Ok(Step::Stuck { why: "the summary does not match its checksum", next }),
        }
        if header.kind == Kind::Seal {
            self.sealed = true;
            return Ok(Step::Stuck { why: "there is a seal where its frame should be", next });
        }
        let Some(payload) = seen.payload else {
            return Ok(Step::Stuck { why: "the payload does not match its checksum", next });
        };
        match header.kind {
            Kind::Start => self.start(payload)?,
            _ => self.operations(payload)?,
        }
        self.last = self.tip.offset;
        self.tip.offset += header.span();
        self.tip.sequence += 1;
        self.tip.previous = seen.sum;
        Ok(Step::Over)
    }

    /// Whether this header may stand at the tip.
    fn check(&self, header: &Header) -> Result<(), WalError> {
        let Tip { offset, sequence, previous, .. } = self.tip;
        if (header.sequence, header.previous) != (sequence, previous) {
            return Err(self.astray(header.sequence));
        }
        match header.kind {
            Kind::Start if offset > 0 => Err(self.refuse("a start frame inside a segment".into())),
            Kind::Unknown(kind) => {
                Err(self.refuse(format!("frames of kind {kind} are unknown to this version")))
            }
            Kind::Operations | Kind::Seal if offset == 0 => {
                Err(self.refuse("the segment does not begin with a start frame".into()))
            }
            _ => Ok(()),
        }
    }

    /// Take over what a summary says.
    fn adopt(&mut self, summary: Bytes) -> Result<(), WalError> {
        let told: Summary = self.decode(summary)?;
        let gap = self.gap.take();
        let mut fits = told.since > 0 || self.replays.keys().all(|group| told.tracks.contains_key(group));
        for (group, track) in told.tracks {
            fits &= gap.is_some() || self.replays.contains_key(&group);
            let replay = self.replays.entry(group).or_default();
            fits &= replay.adopt(track, gap);
            if let Some(gap) = gap {
                let since =
                    self.segments.iter_mut().rev().take_while(|segment| segment.number >= gap.segment);
                since.for_each(|segment| segment.hold(group, replay.doubted()));
            }
        }
        if fits { Ok(()) } else { Err(self.refuse("the summary contradicts the frames before it".into())) }
    }

    fn decode<T: Decode>(&self, bytes: Bytes) -> Result<T, WalError> {
        Reader::whole(bytes).map_err(|malformed: Malformed| self.refuse(malformed.to_string()))
    }

    fn start(&mut self, payload: Bytes) -> Result<(), WalError> {
        let (size, found) = (self.decode::<quorate_protocol::Index>(payload)?.0, self.window.size());
        if found < size {
            let why = format!("the file has {found} bytes and should have {size}");
            self.short = Some(Damage { offset: found, sequence: 0, frames: 0, ..self.damage_at_tip(why) });
        } else if let Some(segment) = self.segments.back_mut() {
            segment.size = size;
        }
        self.replays.values_mut().for_each(|replay| replay.track.begin_segment());
        Ok(())
    }

    fn operations(&mut self, payload: Bytes) -> Result<(), WalError> {
        let all = decode_operations(payload).map_err(|malformed| self.refuse(malformed.to_string()))?;
        for (group, ops) in all {
            let replay = self.replays.entry(group).or_default();
            for op in ops {
                if let Some(change) = Change::of(&op) {
                    Segment::note(self.segments.iter_mut(), group, change);
                }
                replay.apply(op, self.tip.sequence);
            }
        }
        Ok(())
    }

    /// The frame at the tip cannot be read: go to where the log goes on. False at its end.
    fn go_on(&mut self, why: &'static str, next: Option<(u64, u32)>) -> Result<bool, WalError> {
        let Tip { segment, offset, sequence, previous } = self.tip;
        let since = self.gap.map_or(sequence, |gap| gap.from);
        let mut search = Search { salt: self.salt, sequence, since, witness: None };
        let from = next.map_or(offset + SECTOR, |(next, _)| next);
        let found = search.find(&mut self.window, segment, from..u64::MAX)?;
        let unreadable = self.window.is_unreadable(offset, from - offset);
        let lost = Lost { why: if unreadable { UNREADABLE } else { why }, next };
        if let Some(found) = found {
            self.tip = self.skip(lost, found, Vec::new())?;
            self.last = self.tip.offset;
            return Ok(true);
        }
        let (mut passed, mut starts, mut doubt) = (Vec::new(), Vec::new(), None);
        for &number in self.extent.after(segment) {
            let mut window = open(self.disk, number)?;
            passed.push(Segment::new(number, window.size()));
            let start = look(&mut window, self.place(number, 0))?;
            if start.is_none() {
                starts.push((number, window.is_unreadable(0, SECTOR)));
            }
            let whole = start.as_ref().map_or(SECTOR, |seen| seen.header.span());
            if let Some(seen) = start
                && seen.header.sequence == sequence
            {
                if seen.header.previous != previous {
                    return Err(self.astray(sequence));
                }
                // One that is torn has not been begun, unless the superblock says so.
                if number <= self.extent.newest || seen.summary.is_some() && seen.payload.is_some() {
                    self.enter(window, passed, Tip { segment: number, offset: 0, sequence, previous });
                    return Ok(true);
                }
            }
            let begun = self.extent.may_be_begun(number);
            let end = if begun { u64::MAX } else { SECTOR };
            if let Some(found) = search.find(&mut window, number, 0..end)? {
                let tip = self.skip(lost, found, starts)?;
                self.enter(window, passed, tip);
                return Ok(true);
            }
            // A file is made as long as it is to be before it has its name.
            if begun && (window.size() < whole || window.is_unreadable(0, u64::MAX)) {
                doubt = Some(number);
            }
        }
        self.end(lost, search.witness)?;
        match doubt {
            Some(number) => Err(self.extent.nothing_in(self.disk, number, sequence)),
            None => Ok(false),
        }
    }

    /// Step over what is lost between the tip and a later frame, the start frames of some segments among it and some
    /// of them unreadable; the tip is then at that frame.
    fn skip(&mut self, lost: Lost, to: Witness, starts: Vec<(u64, bool)>) -> Result<Tip, WalError> {
        let Tip { segment, sequence, .. } = self.tip;
        let Witness { place, header } = to;
        if let Some((_, sum)) = lost.next
            && header.sequence == sequence + 1
            && header.previous != sum
        {
            let why = format!("frame {} follows another frame than this one", header.sequence);
            return Err(self.refuse(why));
        }
        // Before the first frame it is not known which one that is.
        let frames = if sequence > 0 { header.sequence - sequence } else { 0 };
        if sequence == 0 || frames > starts.len() as u64 {
            self.note(lost.told_by(&to), frames);
        }
        for (number, unreadable) in &starts {
            let file = self.disk.path(&file_name(*number));
            let why = if *unreadable { UNREADABLE } else { "there is no valid start frame" };
            let alone = frames == 1 && starts.len() == 1;
            let (sequence, frames) = if alone { (sequence, 1) } else { (0, 0) };
            self.damage.push(Damage { file, offset: 0, sequence, frames, why: why.into() });
        }
        let cuts_of =
            if header.kind == Kind::Start { place.segment.saturating_sub(1) } else { place.segment };
        let gap = Gap { segment, from: sequence, to: header.sequence, covered: cuts_of == segment };
        self.gap = Some(self.gap.unwrap_or(gap));
        self.lost = Some(sequence);
        let (offset, previous) = (place.offset, header.previous);
        Ok(Tip { segment: place.segment, offset, sequence: header.sequence, previous })
    }

    /// Go on in a later segment.
    fn enter(&mut self, window: Window<D::File>, passed: Vec<Segment>, tip: Tip) {
        self.damage.extend(self.short.take());
        for number in self.tip.segment + 1..tip.segment {
            if self.extent.numbers.binary_search(&number).is_err() {
                let file = self.disk.path(&file_name(number));
                let why = "the file is missing".to_owned();
                self.damage.push(Damage { file, offset: 0, sequence: 0, frames: 0, why });
            }
        }
        self.segments.extend(passed);
        self.window = window;
        self.tip = tip;
        self.last = tip.offset;
    }

    /// Nothing after the tip can be read. Fails if something had been durable there.
    fn end(&self, lost: Lost, witness: Option<Witness>) -> Result<(), WalError> {
        let Tip { segment, offset, sequence, .. } = self.tip;
        let newest = self.extent.newest;
        if let Some(witness) = witness {
            return Err(self.refuse(format!("{}, and nothing after it can be read", lost.told_by(&witness))));
        }
        if segment < newest {
            return Err(self.extent.nothing_in(self.disk, newest, sequence));
        }
        if offset == 0 {
            let text = "of the segment's start frame, and nothing after it can be read, although the segment had been begun";
            return Err(self.refuse(format!("{}: it is the place {text}", lost.why)));
        }
        if let Some(short) = &self.short {
            return Err(self.refuse(short.why.clone()));
        }
        // Its start frame may be lost. But there is always room for one more seal, and no frame goes beyond the file.
        let (size, needed) = (self.window.size(), lost.next.map_or(offset + SECTOR, |(next, _)| next));
        if size < needed {
            return Err(self.refuse(format!("the file has {size} bytes and should have {needed} at least")));
        }
        if !self.sealed && self.window.is_unreadable(offset, u64::MAX) {
            return Err(self.refuse("the device cannot read what the log ends with".into()));
        }
        Ok(())
    }

    /// A valid header at the tip that is not the next frame's.
    fn astray(&self, sequence: u64) -> WalError {
        let why = match sequence == self.tip.sequence {
            true => "the frame that comes next follows another frame than the one before it".to_owned(),
            false => format!("frame {sequence} is here, where another should be"),
        };
        self.refuse(why)
    }

    fn refuse(&self, why: String) -> WalError {
        let Damage { file, offset, sequence, why, .. } = self.damage_at_tip(why);
        WalError::Damaged { file, offset, sequence, why }
    }

    fn note(&mut self, why: String, frames: u64) {
        let damage = Damage { frames, ..self.damage_at_tip(why) };
        self.damage.push(damage);
    }

    fn damage_at_tip(&self, why: String) -> Damage {
        let Tip { segment, offset, sequence, .. } = self.tip;
        Damage { file: self.disk.path(&file_name(segment)), offset, sequence, frames: 0, why }
    }
}

/// Why a frame cannot be read of which the device says so.
const UNREADABLE: &str = "the device cannot read it";

/// Why the frame at the tip cannot be read, and what is known of the one after it.
#[derive(Clone, Copy)]
struct Lost {
    why: &'static str,
    next: Option<(u64, u32)>,
}

impl Lost {
    /// A later frame was found.
    fn told_by(&self, witness: &Witness) -> String {
        let Witness { place: Place { segment, offset, .. }, header } = witness;
        let (why, file, sequence) = (self.why, file_name(*segment), header.sequence);
        format!("{why}, yet frame {sequence} in {file} at byte {offset} was written after it was durable")
    }
}

/// The header of a later frame.
#[derive(Clone, Copy)]
struct Witness {
    place: Place,
    header: Header,
}

/// Looks for frames after the one that cannot be read.
struct Search {
    salt: u32,
    /// Later than this.
    sequence: u64,
    /// With a summary that tells of all that was changed since.
    since: u64,
    /// The first that has no such summary.
    witness: Option<Witness>,
}

impl Search {
    /// The first one in a part of a segment.
    fn find<F: DiskFile>(
        &mut self,
        window: &mut Window<F>,
        segment: u64,
        offsets: Range<u64>,
    ) -> Result<Option<Witness>, WalError> {
        let mut place = Place { salt: self.salt, segment, offset: offsets.start };
        while place.offset < offsets.end
            && let Some(bytes) = window.get(place.offset, HEADER_BYTES as u64)?
        {
            if let Some((header, _)) = Header::decode(bytes, place)
                && header.sequence > self.sequence
            {
                let witness = Witness { place, header };
                if self.is_told_by(look(window, place)?) {
                    return Ok(Some(witness));
                }
                self.witness.get_or_insert(witness);
            }
            place.offset += SECTOR;
        }
        Ok(None)
    }

    fn is_told_by(&self, seen: Option<Seen>) -> bool {
        let summary = seen.and_then(|seen| Reader::whole::<Summary>(seen.summary?).ok());
        summary.is_some_and(|summary| summary.since <= self.since)
    }
}

fn open<D: Disk>(disk: &D, number: u64) -> Result<Window<D::File>, WalError> {
    let file = file_name(number);
    let handle = disk.open(&file).map_err(|error| WalError::io("open", disk.path(&file), error))?;
    Window::new(handle, disk.path(&file), WINDOW_BYTES)
}
