//! The part of the log a core holds in memory: everything after the last purged entry.
//!
//! # Invariants
//!
//! 1. Entries are dense: the one at position i has index `base.index + 1 + i`.
//! 2. Ballots' rounds never decrease along the log.
//! 3. `ends[i]` is the size of everything that was ever pushed up to the entry at position i and not cut off again, so
//!    that the size of any run is a subtraction.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::entry::Entry;
use crate::ids::{Ballot, Index, LogId};

/// A dense run of entries after a base.
#[derive(Clone, Debug, Default, Hash)]
pub struct Log {
    base: LogId,
    entries: VecDeque<Entry>,
    ends: VecDeque<u64>,
    /// Where the first entry's bytes begin.
    start: u64,
}

/// What an entry takes in a message besides its data: its id, its kind, its length.
const ENTRY_OVERHEAD_BYTES: u64 = 29;

impl Log {
    /// The log that follows `base`.
    pub fn new(base: LogId, entries: Vec<Entry>) -> Self {
        let mut log = Log { base, entries: VecDeque::new(), ends: VecDeque::new(), start: 0 };
        entries.into_iter().for_each(|entry| log.push(entry));
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
        self.ends.push_back(self.end() + entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES);
        self.entries.push_back(entry);
    }

    fn end(&self) -> u64 {
        self.ends.back().copied().unwrap_or(self.start)
    }

    /// How many entries from `from` on fit in one message of so many bytes (one always does), and whether they fill it.
    pub fn batch(&self, from: Index, max_bytes: usize) -> (usize, bool) {
        let at = from.0.saturating_sub(self.base.index.0 + 1) as usize;
        if at >= self.ends.len() {
            return (0, false);
        }
        let begins = if at == 0 { self.start } else { self.ends[at - 1] };
        let (most, all) = (begins + max_bytes as u64, self.ends.len() - at);
        match self.end() <= most {
            true => (all, self.end() == most),
            false => (self.ends.partition_point(|end| *end <= most).saturating_sub(at).max(1), true),
        }
    }

    /// Drop the entries from `index` on.
    pub fn truncate_from(&mut self, index: Index) {
        assert!(index > self.base.index, "what the base covers is never truncated");
        let kept = (index.0 - self.base.index.0 - 1) as usize;
        self.entries.truncate(kept);
        self.ends.truncate(kept);
    }

    /// Drop the entries up to and including `index`; it becomes the base. Answers whether anything changed.
    pub fn purge(&mut self, index: Index) -> bool {
        let Some(entry) = self.get(index) else { return false };
        let base = entry.id;
        let gone = (index - self.base.index) as usize;
        self.start = self.ends[gone - 1];
        self.entries.drain(..gone);
        self.ends.drain(..gone);
        self.base = base;
        // A log that was once long must not hold its memory for ever.
        if self.entries.capacity() > 1024 && self.entries.capacity() / 4 > self.entries.len() {
            self.entries.shrink_to(self.entries.len() * 2);
            self.ends.shrink_to(self.ends.len() * 2);
        }
        true
    }

    /// Forget everything; the log now follows `base`.
    pub fn reset(&mut self, base: LogId) {
        *self = Log { base, ..Log::default() };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::EntryKind;
    use crate::random::Random;

    /// The obvious definition, against the clever one, through pushes, cuts and purges.
    #[test]
    fn a_batch_is_what_fits() {
        let mut random = Random::new(5);
        for _ in 0..200 {
            let mut log = Log::default();
            for _ in 0..random.below(40) {
                match random.below(10) {
                    0 if log.last().index > log.base().index => log.truncate_from(log.last().index),
                    1 => _ = log.purge(Index(log.base().index.0 + random.below(3))),
                    _ => {
                        let id = LogId { index: log.last().index.next(), ..LogId::default() };
                        let data = alloc::vec![0; random.below(60) as usize].into();
                        log.push(Entry { id, kind: EntryKind::Command, data });
                    }
                }
            }
            let from = Index(log.base().index.0 + 1 + random.below(5));
            let max = random.below(400) as usize;
            let (mut count, mut bytes, mut full) = (0, 0, false);
            for entry in log.range(from, log.last().index) {
                bytes += entry.data.len() + ENTRY_OVERHEAD_BYTES as usize;
                if bytes > max && count > 0 {
                    full = true;
                    break;
                }
                count += 1;
            }
            assert_eq!(log.batch(from, max), (count, full || (count > 0 && bytes >= max)));
        }
    }
}
