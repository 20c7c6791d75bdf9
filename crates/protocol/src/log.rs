//! The part of the log a core holds in memory: everything after the last purged entry.
//!
//! # Invariants
//!
//! 1. Entries are dense: the one at position i has index `base.index + 1 + i`.
//! 2. Ballots' rounds never decrease along the log.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::ids::{Ballot, Index, LogId};

/// A dense run of entries after a base.
#[derive(Clone, Debug, Default, Hash)]
pub struct Log {
    base: LogId,
    entries: VecDeque<Entry>,
}

impl Log {
    /// The log that follows `base`.
    pub fn new(base: LogId, entries: Vec<Entry>) -> Self {
        let log = Log { base, entries: entries.into() };
        assert!(log.is_sound(), "a log's entries are dense and its rounds ascend");
        log
    }

    /// The entry before the first held.
    pub fn base(&self) -> LogId {
        self.base
    }

    /// The last entry, or the base.
    pub fn last(&self) -> LogId {
        self.entries.back().map_or(self.base, |entry| entry.id)
    }

    /// The ballot of the entry at `index`, if it is known: held, or the base itself.
    pub fn ballot(&self, index: Index) -> Option<Ballot> {
        if index == self.base.index {
            return Some(self.base.ballot);
        }
        self.get(index).map(|entry| entry.id.ballot)
    }

    /// Whether the log is known to contain exactly this entry.
    pub fn contains(&self, id: LogId) -> bool {
        self.ballot(id.index) == Some(id.ballot)
    }

    /// The entry at `index`, if held.
    pub fn get(&self, index: Index) -> Option<&Entry> {
        let at = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// The entries in `from..=upto`, clipped to what is held.
    pub fn range(&self, from: Index, upto: Index) -> impl Iterator<Item = &Entry> {
        let start = from.0.saturating_sub(self.base.index.0 + 1) as usize;
        let end = upto.0.saturating_sub(self.base.index.0) as usize;
        let end = end.min(self.entries.len());
        self.entries.range(start.min(end)..end)
    }

    /// Add an entry at the end.
    pub fn push(&mut self, entry: Entry) {
        let last = self.last();
        assert_eq!(entry.id.index, last.index.next(), "entries are appended densely");
        assert!(entry.id.ballot.round >= last.ballot.round, "rounds never decrease along the log");
        self.entries.push_back(entry);
    }

    /// Drop the entries from `index` on.
    pub fn truncate_from(&mut self, index: Index) {
        assert!(index > self.base.index, "what the base covers is never truncated");
        self.entries.truncate((index.0 - self.base.index.0 - 1) as usize);
    }

    /// Drop the entries up to and including `index`; it becomes the base. Answers whether anything changed.
    pub fn purge(&mut self, index: Index) -> bool {
        let Some(entry) = self.get(index) else { return false };
        let base = entry.id;
        self.entries.drain(..(index - self.base.index) as usize);
        self.base = base;
        // A log that was once long must not hold its memory for ever.
        if self.entries.capacity() > 1024 && self.entries.capacity() / 4 > self.entries.len() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        true
    }

    /// Forget everything; the log now follows `base`.
    pub fn reset(&mut self, base: LogId) {
        self.base = base;
        self.entries = VecDeque::new();
    }

    /// The largest index at or before `index` whose round is at most `round`: where two logs that disagree
    /// can next agree. Never before the base.
    pub fn last_at_or_below(&self, index: Index, round: u64) -> LogId {
        let mut at = index.min(self.last().index).max(self.base.index);
        while let Some(ballot) = self.ballot(at) {
            if ballot.round <= round || at == self.base.index {
                return LogId { ballot, index: at };
            }
            at = at.prev();
        }
        self.base
    }

    /// Its invariants.
    pub fn is_sound(&self) -> bool {
        let mut last = self.base;
        self.entries.iter().all(|entry| {
            let sound = entry.id.index == last.index.next() && entry.id.ballot.round >= last.ballot.round;
            last = entry.id;
            sound
        })
    }
}
