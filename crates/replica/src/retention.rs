//! How much of the applied log to keep for followers that fall behind for a moment.
//!
//! A follower whose next entry is gone needs the whole state; keeping a tail, bounded in entries and in
//! bytes, makes that rare.

use alloc::collections::VecDeque;

use quorate_protocol::{Entry, Index};

/// The applied tail worth keeping.
#[derive(Debug)]
pub(crate) struct Retention {
    max_entries: usize,
    max_bytes: usize,
    /// Index and size of the applied entries within the bounds.
    kept: VecDeque<(Index, usize)>,
    bytes: usize,
    /// Everything up to here may go, as far as retention is concerned.
    floor: Index,
}

impl Retention {
    pub fn new(max_entries: usize, max_bytes: usize) -> Self {
        Retention { max_entries, max_bytes, kept: VecDeque::new(), bytes: 0, floor: Index(0) }
    }

    pub fn applied(&mut self, entry: &Entry) {
        self.kept.push_back((entry.id.index, entry.data.len()));
        self.bytes += entry.data.len();
        while self.kept.len() > self.max_entries || self.bytes > self.max_bytes {
            let Some((index, bytes)) = self.kept.pop_front() else { return };
            self.bytes -= bytes;
            self.floor = index;
        }
    }

    pub fn floor(&self) -> Index {
        self.floor
    }
}
