//! Reading again what has been written, to find damage while the peers still have what it would cost.
//!
//! [`Wal::scrub`] goes round the durable frames, some per call. It checks what recovery would check: that each
//! frame is where the one before it ends and has the number after it, and its checksums. It changes nothing and repairs
//! nothing: the next start does, see the crate's essay. What the system still has in its page cache is not read
//! from the disk, so it is the old segments that this is about.

use crate::damage::Damage;
use crate::disk::Disk;
use crate::error::WalError;
use crate::frame::{Kind, Place, SECTOR};
use crate::segment::{WINDOW_BYTES, Window, file_name};
use crate::wal::Wal;
use crate::walk::{Seen, look};

/// Where a scrub goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    segment: u64,
    offset: u64,
    /// The number of the frame that should be there; 0 if it is unknown.
    sequence: u64,
    /// Where that frame was looked for first, if it is not there.
    gap: Option<(u64, u64)>,
}

/// What is found.
struct Bad {
    segment: u64,
    offset: u64,
    sequence: u64,
    frames: u64,
}

impl Cursor {
    /// Step over what is at the cursor; the frames that turn out to be missing, with their place and number, and what
    /// is wrong with the one that is there.
    fn step(&mut self, seen: Option<Seen>) -> [Option<Bad>; 2] {
        let here = (self.segment, self.offset);
        let Some(Seen { header, summary, payload, .. }) = seen.filter(|seen| seen.header.kind != Kind::Seal)
        else {
            self.gap.get_or_insert(here);
            self.offset += SECTOR;
            return [None, None];
        };
        let missing = self.missing(header.sequence);
        self.offset += header.span();
        self.sequence = header.sequence + 1;
        self.gap = None;
        let spoilt = summary.is_none() || payload.is_none();
        [
            missing,
            spoilt.then_some(Bad { segment: here.0, offset: here.1, sequence: header.sequence, frames: 1 }),
        ]
    }

    /// The frames before frame `sequence` that were not found.
    fn missing(&self, sequence: u64) -> Option<Bad> {
        let (segment, offset) = self.gap?;
        match self.sequence {
            // The oldest segment's start frame: its number is unknown.
            0 => Some(Bad { segment, offset, sequence: 0, frames: 0 }),
            expected => {
                let frames = sequence.checked_sub(expected).filter(|frames| *frames > 0)?;
                Some(Bad { segment, offset, sequence: expected, frames })
            }
        }
    }
}

impl<D: Disk> Wal<D> {
    /// Check frames again, about so many bytes of them (a frame that is begun is finished), from where the last call left
    /// off and around to the oldest. What is found damaged that was not known: told once, and to be repaired by
    /// starting anew, while the peers are well. Call it now and then, with little at a time: it reads while it is waited for.
    pub fn scrub(&mut self, bytes: u64) -> Result<Vec<Damage>, WalError> {
        self.healthy()?;
        let mut cursor = self.scrub_cursor();
        let tip = self.position();
        let file = file_name(cursor.segment);
        let path = self.disk.path(&file);
        let handle = self.disk.open(&file).map_err(|error| WalError::io("open", path.clone(), error))?;
        let mut window = Window::new(handle, path, bytes.clamp(SECTOR, WINDOW_BYTES))?;
        let end = if cursor.segment == tip.segment { tip.offset } else { window.size() };
        let stop = end.min(cursor.offset.saturating_add(bytes));
        let begin = cursor.offset;
        let mut found = Vec::new();
        while cursor.offset < stop {
            let place = Place { salt: self.salt, segment: cursor.segment, offset: cursor.offset };
            found.extend(cursor.step(look(&mut window, place)?).into_iter().flatten());
        }
        self.metrics.scrubbed_bytes += cursor.offset - begin;
        if cursor.offset >= end {
            let done = cursor.segment == tip.segment;
            found.extend(cursor.missing(tip.sequence).filter(|_| done));
            let next = Cursor { segment: cursor.segment + 1, offset: 0, ..cursor };
            self.metrics.scrub_rounds += u64::from(done);
            cursor = if done { Cursor::default() } else { next };
        }
        self.cursor = cursor;
        let new = found.into_iter().filter_map(|Bad { segment, offset, sequence, frames }| {
            let why = "it cannot be read, or does not match its checksums".to_owned();
            let file = self.disk.path(&file_name(segment));
            self.learn(Damage { file, offset, sequence, frames, why })
        });
        Ok(new.collect())
    }

    /// Where to go on: in a segment that is still needed.
    fn scrub_cursor(&self) -> Cursor {
        let mut numbers = self.segments.iter().map(|segment| segment.number);
        let segment =
            numbers.clone().find(|number| *number >= self.cursor.segment).or_else(|| numbers.next());
        match segment.unwrap_or(self.tip.segment) {
            segment if segment == self.cursor.segment => self.cursor,
            segment => Cursor { segment, ..Cursor::default() },
        }
    }

    /// Remember a damage, unless it is known.
    fn learn(&mut self, damage: Damage) -> Option<Damage> {
        let is_known = |known: &Damage| {
            let frames = known.sequence..known.sequence + known.frames;
            frames.contains(&damage.sequence) || (&known.file, known.offset) == (&damage.file, damage.offset)
        };
        if self.damage.iter().any(is_known) {
            return None;
        }
        self.damage.push(damage.clone());
        Some(damage)
    }
}
