//! Segments: their names, what is known of each, and reading one.

use std::collections::BTreeMap;

use quorate_protocol::{Index, LogId};

use crate::GroupId;
use crate::disk::DiskFile;
use crate::error::WalError;
use crate::frame::SECTOR;
use crate::groups::Tracks;
use crate::track::Change;

/// A segment that is being made.
pub const NEXT: &str = "wal-next.tmp";

/// The file of segment `number`.
pub fn file_name(number: u64) -> String {
    format!("wal-{number:016x}.log")
}

/// The number of the segment that `file` is, if it is one.
pub fn number_of(file: &str) -> Option<u64> {
    let digits = file.strip_prefix("wal-")?.strip_suffix(".log")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == file).then_some(number)
}

/// A segment in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The highest index it holds of each group, entries that were replaced later included.
    highest: BTreeMap<GroupId, u64>,
}

impl Segment {
    /// A segment without entries.
    pub fn new(number: u64, size: u64) -> Self {
        Segment { number, size, highest: BTreeMap::new() }
    }

    /// Whether every entry in it is at or below its group's base.
    pub fn is_dead(&self, groups: &Tracks) -> bool {
        let base = |group| groups.get(group).map_or(0, |track| track.base.index.0);
        self.highest.iter().all(|(group, highest)| *highest <= base(group))
    }

    /// Note that it holds an entry, or that it may.
    pub fn hold(&mut self, group: GroupId, index: Index) {
        let highest = self.highest.entry(group).or_default();
        *highest = (*highest).max(index.0);
    }

    /// Note what `change`, written to the last of `segments`, means for all of them.
    pub fn note<'a>(
        segments: impl DoubleEndedIterator<Item = &'a mut Segment>,
        group: GroupId,
        change: Change,
    ) {
        let mut newest_first = segments.rev();
        match change {
            Change::Append { last, .. } | Change::Put { held: LogId { index: last, .. }, .. } => {
                if let Some(active) = newest_first.next() {
                    active.hold(group, last);
                }
            }
            // What was there before a reset is gone, whatever its index.
            Change::Reset(_) => newest_first.for_each(|segment| {
                segment.highest.remove(&group);
            }),
            Change::Promise { .. } | Change::Truncate { .. } | Change::Purge(_) => {}
        }
    }
}

/// Reads a segment front to back in large pieces.
///
/// Sectors that the device cannot read are taken for zeros, so that the frames in them fail their checksums
/// like any other damaged ones; what was unreadable is remembered, for it must not pass for the log's end.
pub struct Window<F> {
    file: F,
    path: String,
    size: u64,
    /// How much is read at a time.
    ahead: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Offsets of the sectors that cannot be read.
    unreadable: Vec<u64>,
}

/// How much is read at a time when all is read.
pub const WINDOW_BYTES: u64 = 1 << 20;

/// With more unreadable sectors than this in one segment the device is given up.
const UNREADABLE_SECTORS: usize = 256;

impl<F: DiskFile> Window<F> {
    /// Over all of `file`, which messages call `path`; so many bytes are read at a time, unless more are asked for.
    pub fn new(file: F, path: String, ahead: u64) -> Result<Self, WalError> {
        let size = file.size().map_err(|error| WalError::io("read the size of", path.clone(), error))?;
        Ok(Window { file, path, size, ahead, start: 0, bytes: Vec::new(), unreadable: Vec::new() })
    }

    /// The file's length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file.
    pub fn into_file(self) -> F {
        self.file
    }

    /// Whether any sector from `offset` on, `len` bytes, could not be read.
    pub fn is_unreadable(&self, offset: u64, len: u64) -> bool {
        self.unreadable.iter().any(|sector| sector + SECTOR > offset && *sector < offset.saturating_add(len))
    }

    /// `len` bytes from `offset` on; none if the file ends before.
    pub fn get(&mut self, offset: u64, len: u64) -> Result<Option<&[u8]>, WalError> {
        let Some(end) = offset.checked_add(len).filter(|end| *end <= self.size) else { return Ok(None) };
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let take = len.max(self.ahead).min(self.size - offset);
            self.bytes.resize(take as usize, 0);
            self.start = offset;
            match self.file.read_at(&mut self.bytes, offset) {
                Err(error) if is_unreadable(&error) => self.by_sectors()?,
                other => other.map_err(|error| WalError::io("read", self.path.clone(), error))?,
            }
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.get(from..from + len as usize))
    }

    /// Fill the window again, sector by sector.
    fn by_sectors(&mut self) -> Result<(), WalError> {
        let mut at = 0;
        while at < self.bytes.len() {
            let offset = self.start + at as u64;
            let len = ((SECTOR - offset % SECTOR) as usize).min(self.bytes.len() - at);
            let piece = &mut self.bytes[at..at + len];
            if let Err(error) = self.file.read_at(piece, offset) {
                piece.fill(0);
                if !is_unreadable(&error) || self.unreadable.len() >= UNREADABLE_SECTORS {
                    return Err(WalError::io("read", self.path.clone(), error));
                }
                let sector = offset - offset % SECTOR;
                if !self.unreadable.contains(&sector) {
                    self.unreadable.push(sector);
                }
            }
            at += len;
        }
        Ok(())
    }
}

/// Whether this is a device's word about some sectors, and not about the whole of it.
pub fn is_unreadable(error: &std::io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        assert_eq!(file_name(0x1f), "wal-000000000000001f.log");
        assert_eq!(number_of("wal-000000000000001f.log"), Some(0x1f));
        for other in
            ["wal-000000000000001F.log", "wal-1f.log", "wal-next.tmp", "wal-+00000000000001f.log", ""]
        {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
