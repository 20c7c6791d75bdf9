//! What an acceptor has accepted: at most one entry a slot, with the ballot it was last accepted under.
//!
//! Slots are filled in any order. Almost always the order is that of their indexes, so the entries that follow the base
//! without a hole are a deque, as in [`quorate_protocol::Log`]; what lies beyond the first hole waits in a map and
//! moves over when the hole is filled.
//!
//! # Invariants
//!
//! 1. The entry at position i of the run has index `base.index + 1 + i`.
//! 2. Everything beyond comes after at least one hole, and no further than [`WINDOW`] after the run.
//! 3. `ends[i]` is the size of everything that was ever in the run up to position i, so that the size of any stretch is a
//!    subtraction.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use quorate_protocol::{Ballot, Entry, Index, LogId};

/// How far beyond its run an acceptor takes entries. What is further off is as good as lost; it comes again.
pub(crate) const WINDOW: u64 = 1 << 20;

/// What an entry takes in a message besides its data: its id, its kind, its length.
const ENTRY_OVERHEAD_BYTES: u64 = 29;

/// The accepted entries after a base.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Slots {
    base: LogId,
    run: VecDeque<Entry>,
    ends: VecDeque<u64>,
    /// Where the first entry's bytes begin.
    start: u64,
    beyond: BTreeMap<Index, Entry>,
}

/// What an entry takes in a message.
pub(crate) fn size(entry: &Entry) -> u64 {
    entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES
}

impl Slots {
    /// What follows `base`; entries before it, or too far after it, are left out.
    pub fn new(base: LogId, entries: Vec<Entry>) -> Self {
        let mut slots = Slots { base, ..Slots::default() };
        entries.into_iter().for_each(|entry| _ = slots.put(entry));
        slots
    }

    /// The entry before the first slot.
    pub fn base(&self) -> LogId {
        self.base
    }

    /// The last slot that follows the base without a hole.
    pub fn dense(&self) -> Index {
        self.base.index + self.run.len() as u64
    }

    /// The last entry held, or the base.
    pub fn last(&self) -> LogId {
        let beyond = self.beyond.last_key_value().map(|(_, entry)| entry);
        beyond.or(self.run.back()).map_or(self.base, |entry| entry.id)
    }

    /// What a slot holds.
    pub fn get(&self, index: Index) -> Option<&Entry> {
        let at = index.0.checked_sub(self.base.index.0 + 1)?;
        match usize::try_from(at).ok().filter(|at| *at < self.run.len()) {
            Some(at) => self.run.get(at),
            None => self.beyond.get(&index),
        }
    }

    /// The ballot under which a slot was last accepted.
    pub fn ballot(&self, index: Index) -> Option<Ballot> {
        self.get(index).map(|entry| entry.id.ballot)
    }

    /// Whether an entry at `index` would be taken.
    pub fn within(&self, index: Index) -> bool {
        index > self.base.index && index.0 - self.base.index.0 <= self.run.len() as u64 + WINDOW
    }

    /// Fill a slot, whatever it held. Answers whether it is one that is taken.
    pub fn put(&mut self, entry: Entry) -> bool {
        let index = entry.id.index;
        if !self.within(index) {
            return false;
        }
        let at = (index.0 - self.base.index.0 - 1) as usize;
        if at < self.run.len() {
            let (old, new) = (size(&self.run[at]), size(&entry));
            self.run[at] = entry;
            if old != new {
                self.ends.range_mut(at..).for_each(|end| *end = *end + new - old);
            }
        } else if at == self.run.len() {
            self.push(entry);
            while let Some(next) = self.beyond.remove(&self.dense().next()) {
                self.push(next);
            }
        } else {
            self.beyond.insert(index, entry);
        }
        true
    }

    fn push(&mut self, entry: Entry) {
        self.ends.push_back(self.end() + size(&entry));
        self.run.push_back(entry);
    }

    fn end(&self) -> u64 {
        self.ends.back().copied().unwrap_or(self.start)
    }

    /// The entries held in `from..=upto`, ascending.
    pub fn range(&self, from: Index, upto: Index) -> impl Iterator<Item = &Entry> {
        let start = from.0.saturating_sub(self.base.index.0 + 1).min(self.run.len() as u64) as usize;
        let end = upto.0.saturating_sub(self.base.index.0).min(self.run.len() as u64) as usize;
        let beyond = (from <= upto).then(|| self.beyond.range(from..=upto));
        self.run.range(start..end.max(start)).chain(beyond.into_iter().flatten().map(|(_, entry)| entry))
    }

    /// How many entries of the run from `from` on fit into a message of so many bytes (one always does), and whether
    /// they fill it.
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

    /// Drop everything up to and including `id`, held or not; it becomes the base. Later slots stay.
    pub fn purge(&mut self, id: LogId) {
        let gone = id.index.0.saturating_sub(self.base.index.0).min(self.run.len() as u64) as usize;
        if gone > 0 {
            self.start = self.ends[gone - 1];
            self.run.drain(..gone);
            self.ends.drain(..gone);
        }
        self.base = id;
        self.beyond = self.beyond.split_off(&id.index.next());
        while let Some(next) = self.beyond.remove(&self.dense().next()) {
            self.push(next);
        }
        // A log that was once long must not hold its memory for ever.
        if self.run.capacity() > 1024 && self.run.capacity() / 4 > self.run.len() {
            self.run.shrink_to(self.run.len() * 2);
            self.ends.shrink_to(self.ends.len() * 2);
        }
    }

    /// Its invariants.
    pub fn is_sound(&self) -> bool {
        let dense = self.run.iter().zip(1..).all(|(entry, at)| entry.id.index == self.base.index + at);
        let after = self.dense().next();
        dense && self.ends.len() == self.run.len() && self.beyond.keys().all(|index| *index > after)
    }
}

/// What a proposal is, apart from the ballot it is proposed under.
pub(crate) fn same_value(a: &Entry, b: &Entry) -> bool {
    a.kind == b.kind && a.data == b.data
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_protocol::{EntryKind, NodeId, Random};

    fn entry(index: u64, round: u64, len: usize) -> Entry {
        let id = LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) };
        Entry { id, kind: EntryKind::Command, data: alloc::vec![7; len].into() }
    }

    /// Against a plain map, through puts in any order and purges.
    #[test]
    fn slots_are_a_map_after_a_base() {
        let mut random = Random::new(5);
        for _ in 0..300 {
            let (mut slots, mut naive) = (Slots::default(), BTreeMap::new());
            for round in 0..random.below(60) {
                if random.percent(10) {
                    let at = Index(slots.base().index.0 + random.below(4));
                    let id = LogId { index: at, ..LogId::default() };
                    slots.purge(id);
                    naive.retain(|index, _| *index > at);
                } else {
                    let index = slots.base().index.0 + random.below(9);
                    let new = entry(index, round, random.below(50) as usize);
                    assert_eq!(slots.put(new.clone()), index > slots.base().index.0);
                    if index > slots.base().index.0 {
                        naive.insert(Index(index), new);
                    }
                }
                assert!(slots.is_sound());
            }
            let base = slots.base().index;
            let last = naive.keys().last().copied().unwrap_or(base);
            assert_eq!(slots.last().index, last);
            for index in 0..base.0 + 12 {
                assert_eq!(slots.get(Index(index)), naive.get(&Index(index)));
            }
            let (from, upto) = (base + random.below(4), base + random.below(12));
            let within = |(index, _): &(&Index, &Entry)| (from..=upto).contains(*index);
            let expected: Vec<&Entry> = naive.iter().filter(within).map(|(_, entry)| entry).collect();
            assert_eq!(slots.range(from, upto).collect::<Vec<_>>(), expected);
            batch_is_what_fits(&slots, base + random.below(5), random.below(300) as usize);
        }
    }

    fn batch_is_what_fits(slots: &Slots, from: Index, max: usize) {
        let (mut count, mut bytes, mut full) = (0, 0, false);
        for entry in slots.range(from.max(slots.base().index.next()), slots.dense()) {
            bytes += size(entry) as usize;
            if bytes > max && count > 0 {
                full = true;
                break;
            }
            count += 1;
        }
        assert_eq!(slots.batch(from, max), (count, full || (count > 0 && bytes >= max)));
    }

    #[test]
    fn what_is_too_far_off_is_not_taken() {
        let mut slots = Slots::default();
        assert!(!slots.put(entry(WINDOW + 1, 1, 1)) && slots.put(entry(WINDOW, 1, 1)));
        assert!(!slots.put(entry(u64::MAX, 1, 1)) && !slots.put(entry(0, 1, 1)));
        assert_eq!((slots.dense(), slots.last().index), (Index(0), Index(WINDOW)));
        assert!(slots.put(entry(1, 1, 1)) && slots.put(entry(WINDOW + 1, 1, 1)));
    }
}
