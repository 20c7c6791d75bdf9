//! Segments: their names, what is known of each, and reading one.

use std::collections::BTreeMap;

use crate::GroupId;
use crate::disk::DiskFile;
use crate::error::WalError;
use crate::groups::{Change, Tracks};

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

    /// Note what `change`, written to the last of `segments`, means for all of them.
    pub fn note<'a>(
        segments: impl DoubleEndedIterator<Item = &'a mut Segment>,
        group: GroupId,
        change: Change,
    ) {
        let mut newest_first = segments.rev();
        match change {
            Change::Append { last } => {
                let Some(active) = newest_first.next() else { return };
                let highest = active.highest.entry(group).or_default();
                *highest = (*highest).max(last.0);
            }
            // What was there before a reset is gone, whatever its index.
            Change::Reset(_) => newest_first.for_each(|segment| {
                segment.highest.remove(&group);
            }),
            Change::Promise(_) | Change::Purge(_) => {}
        }
    }
}

/// Reads a segment front to back in large pieces.
pub struct Window<'a, F> {
    file: &'a F,
    path: String,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// How much is read at a time.
const WINDOW_BYTES: u64 = 1 << 20;

impl<'a, F: DiskFile> Window<'a, F> {
    /// Over all of `file`, which messages call `path`.
    pub fn new(file: &'a F, path: String) -> Result<Self, WalError> {
        let size = file.size().map_err(|error| WalError::io("read the size of", path.clone(), error))?;
        Ok(Window { file, path, size, start: 0, bytes: Vec::new() })
    }

    /// The file's length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// `len` bytes from `offset` on; none if the file ends before.
    pub fn get(&mut self, offset: u64, len: u64) -> Result<Option<&[u8]>, WalError> {
        let Some(end) = offset.checked_add(len).filter(|end| *end <= self.size) else { return Ok(None) };
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let take = len.max(WINDOW_BYTES).min(self.size - offset);
            self.bytes.resize(take as usize, 0);
            self.start = offset;
            self.file
                .read_at(&mut self.bytes, offset)
                .map_err(|error| WalError::io("read", self.path.clone(), error))?;
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.get(from..from + len as usize))
    }
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
