//! Who is in the group, along a log whose slots are filled in any order and filled anew.
//!
//! The shared [`quorate_protocol::Memberships`] follows a log that grows at its end. Here a slot that brought a membership may
//! come to hold something else, and a later one may be filled before an earlier one; in force is what the last slot brings
//! that brings any.

use alloc::collections::BTreeMap;

use quorate_protocol::{Entry, EntryKind, Index, Membership};

/// The memberships along a log.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Members {
    /// What holds where the log begins.
    base: Membership,
    /// What its slots bring, each from its index on.
    later: BTreeMap<Index, Membership>,
}

/// The membership an entry brings, if it does and can be read.
pub(crate) fn brought(entry: &Entry) -> Option<Membership> {
    let config = (entry.kind == EntryKind::Config).then(|| entry.data.clone())?;
    Membership::from_bytes(config).ok()
}

impl Members {
    /// Of a log that brings none.
    pub fn new(base: Membership) -> Self {
        Members { base, later: BTreeMap::new() }
    }

    /// The one in force: the last, chosen or not.
    pub fn current(&self) -> &Membership {
        self.later.last_key_value().map_or(&self.base, |(_, membership)| membership)
    }

    /// The slot that brought the one in force; 0 if none did.
    pub fn since(&self) -> Index {
        self.later.last_key_value().map_or(Index(0), |(index, _)| *index)
    }

    /// Whether `holds` for the one in force at `index` or for a later one.
    pub fn any_since(&self, index: Index, holds: impl Fn(&Membership) -> bool) -> bool {
        let at = self.later.range(..=index).next_back().map_or(&self.base, |(_, membership)| membership);
        holds(at) || self.later.range(index.next()..).any(|(_, membership)| holds(membership))
    }

    /// The one that would be in force if slots held these instead of what they hold.
    pub fn with(&self, values: &BTreeMap<Index, Entry>) -> Membership {
        let new = values.iter().rev().find_map(|(index, entry)| Some((*index, brought(entry)?)));
        let old = self.later.iter().rev().find(|(index, _)| !values.contains_key(index));
        match (new, old) {
            (Some((at, new)), Some((index, _))) if at > *index => new,
            (Some((_, new)), None) => new,
            (_, Some((_, old))) => old.clone(),
            (None, None) => self.base.clone(),
        }
    }

    /// A slot holds this entry now. Answers whether that changed anything.
    pub fn put(&mut self, entry: &Entry) -> bool {
        match brought(entry) {
            Some(membership) => self.later.insert(entry.id.index, membership.clone()) != Some(membership),
            None if self.later.is_empty() => false,
            None => self.later.remove(&entry.id.index).is_some(),
        }
    }

    /// The log now begins after `index`; what is chosen up to there brought what holds there.
    pub fn purged(&mut self, index: Index) {
        let later = self.later.split_off(&index.next());
        if let Some((_, membership)) = core::mem::replace(&mut self.later, later).pop_last() {
            self.base = membership;
        }
    }

    /// The log now begins after `index`, with this in force there.
    pub fn installed(&mut self, index: Index, base: Membership) {
        self.later = self.later.split_off(&index.next());
        self.base = base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_protocol::{Ballot, LogId, NodeId};

    fn of(node: u64) -> Membership {
        Membership::new([NodeId(node)], [])
    }

    fn entry(index: u64, membership: Option<Membership>) -> Entry {
        let id = LogId { ballot: Ballot::default(), index: Index(index) };
        match membership {
            Some(membership) => Entry { id, kind: EntryKind::Config, data: membership.to_bytes() },
            None => Entry { id, kind: EntryKind::Noop, data: bytes::Bytes::new() },
        }
    }

    #[test]
    fn the_last_slot_that_brings_one_decides() {
        let mut members = Members::new(of(1));
        assert!(members.put(&entry(9, Some(of(3)))) && members.put(&entry(5, Some(of(2)))));
        assert!(!members.put(&entry(9, Some(of(3)))) && !members.put(&entry(6, None)));
        assert_eq!((members.current(), members.since()), (&of(3), Index(9)));
        assert!(members.any_since(Index(5), |one| *one == of(2)));
        assert!(
            !members.any_since(Index(6), |one| *one == of(1))
                && members.any_since(Index(4), |one| *one == of(1))
        );
        // Slot 9 comes to hold something else.
        assert!(members.put(&entry(9, None)));
        assert_eq!((members.current(), members.since()), (&of(2), Index(5)));
        members.purged(Index(5));
        assert_eq!((members.current(), members.since()), (&of(2), Index(0)));
        members.put(&entry(12, Some(of(4))));
        members.installed(Index(11), of(7));
        assert_eq!(members.current(), &of(4));
        members.installed(Index(12), of(7));
        assert_eq!(members.current(), &of(7));
    }

    #[test]
    fn values_that_would_take_the_place_of_others_count() {
        let mut members = Members::new(of(1));
        let values = |all: &[Entry]| all.iter().map(|entry| (entry.id.index, entry.clone())).collect();
        assert_eq!(members.with(&values(&[])), of(1));
        members.put(&entry(5, Some(of(2))));
        assert_eq!(members.with(&values(&[])), of(2));
        assert_eq!(members.with(&values(&[entry(5, None)])), of(1));
        assert_eq!(members.with(&values(&[entry(4, Some(of(3)))])), of(2));
        assert_eq!(members.with(&values(&[entry(5, Some(of(3)))])), of(3));
        assert_eq!(members.with(&values(&[entry(5, None), entry(7, Some(of(3)))])), of(3));
    }
}
