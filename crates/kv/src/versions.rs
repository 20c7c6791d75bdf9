//! What the index keeps of one key: where its versions are, and the small facts of the newest.
//!
//! Nearly every key of a compacted store has exactly one version, so that one is inline and the rest hangs
//! off a pointer: 48 bytes for a key with one version. The newest version carries everything but the value,
//! so a put needs no read of the record before it, and a listing of keys needs no record at all.
//!
//! Source: section 4 of our compatibility notes. A *generation* of a key runs from the put that created it
//! to its tombstone; `create` and `version` belong to the newest generation and mean nothing behind a
//! tombstone.
//!
//! Invariant: versions ascend strictly by revision, over `older` and then `last`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::record::{KeyValue, LeaseId, Revision};
use crate::tree::{Weigh, Weight};

/// The revision "whatever is newest", for [`Versions::at`].
pub const LATEST: i64 = i64::MAX;

/// One version of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    main: i64,
    /// A transaction of more than four thousand million changes would not fit in memory.
    sub: u32,
    /// Whether the key ends here.
    pub tombstone: bool,
}

impl Version {
    fn new(revision: Revision, tombstone: bool) -> Self {
        let sub = u32::try_from(revision.sub).expect("a transaction's changes fit in 32 bits");
        Version { main: revision.main, sub, tombstone }
    }

    /// Its place in history.
    pub fn revision(self) -> Revision {
        Revision { main: self.main, sub: i64::from(self.sub) }
    }
}

/// All versions of one key. The default is a key that never was.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// `main` is 0 when there is none at all: the first write has revision 2.
    last: Version,
    create: i64,
    version: i64,
    lease: LeaseId,
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in the many keys that have none")]
    older: Option<Box<Vec<Version>>>,
}

/// The newest record of a live key, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its revision.
    pub revision: Revision,
    /// The revision that created the key.
    pub create: i64,
    /// Puts since.
    pub version: i64,
    /// The attached lease.
    pub lease: LeaseId,
}

impl Versions {
    /// The newest record, if the key is live.
    pub fn head(&self) -> Option<Head> {
        let Versions { create, version, lease, .. } = *self;
        self.is_live().then(|| Head { revision: self.last.revision(), create, version, lease })
    }

    /// Whether the key exists at the newest revision.
    pub fn is_live(&self) -> bool {
        self.last.main > 0 && !self.last.tombstone
    }

    /// Whether the key existed as of main revision `main`.
    pub fn was_live(&self, main: i64) -> bool {
        self.at(main).is_some_and(|version| !version.tombstone)
    }

    /// The newest version at or before main revision `main`.
    pub fn at(&self, main: i64) -> Option<Version> {
        if self.last.main <= main {
            return (self.last.main > 0).then_some(self.last);
        }
        let older = self.older();
        let after = older.partition_point(|version| version.main <= main);
        after.checked_sub(1).map(|at| older[at])
    }

    /// The versions from main revision `from` on, ascending.
    pub fn since(&self, from: i64) -> impl Iterator<Item = Version> {
        let older = self.older();
        let first = older.partition_point(|version| version.main < from);
        older[first..].iter().copied().chain((self.last.main >= from.max(1)).then_some(self.last))
    }

    /// Add a put; the record becomes the newest.
    pub fn put(&mut self, revision: Revision, create: i64, version: i64, lease: LeaseId) {
        self.push(Version::new(revision, false));
        (self.create, self.version, self.lease) = (create, version, lease);
    }

    /// Add the record of a put, as read from the storage.
    pub fn put_record(&mut self, revision: Revision, kv: &KeyValue) {
        self.put(revision, kv.create_revision, kv.version, kv.lease);
    }

    /// Add a tombstone.
    pub fn delete(&mut self, revision: Revision) {
        self.push(Version::new(revision, true));
    }

    /// The oldest versions that a compaction at `compact` removes, at most `most`, ascending.
    ///
    /// That is everything older than the newest version at or before `compact`, and that one as well if it
    /// is a tombstone, unless it stands exactly at `compact` (section 5.6).
    pub fn garbage(&self, compact: i64, most: usize) -> Vec<Revision> {
        let Some(newest) = self.at(compact) else { return Vec::new() };
        let end = match newest {
            Version { tombstone: true, main, .. } if main < compact => newest.revision(),
            _ => Revision { sub: newest.revision().sub - 1, ..newest.revision() },
        };
        self.since(0).map(Version::revision).take_while(|revision| *revision <= end).take(most).collect()
    }

    /// Forget the `count` oldest versions; true if none is left.
    pub fn forget(&mut self, count: usize) -> bool {
        let older = self.older().len();
        if count > older {
            *self = Versions::default();
            return true;
        }
        if let Some(list) = &mut self.older {
            list.drain(..count);
            list.shrink_to(list.len() * 2);
        }
        if count == older {
            self.older = None;
        }
        false
    }

    /// Whether both tell the same.
    pub fn is_same(&self, other: &Versions) -> bool {
        self.head() == other.head() && self.since(0).eq(other.since(0))
    }

    fn older(&self) -> &[Version] {
        self.older.as_ref().map_or(&[], |older| older.as_slice())
    }

    fn push(&mut self, version: Version) {
        debug_assert!(self.last.revision() < version.revision(), "versions ascend");
        if self.last.main > 0 {
            self.older.get_or_insert_default().push(self.last);
        }
        self.last = version;
    }
}

impl Weigh for Versions {
    fn weight(&self) -> Weight {
        let stale = self.older.is_some() || self.last.tombstone;
        Weight { live: u32::from(self.is_live()), stale: u32::from(stale) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(main: i64, sub: i64) -> Revision {
        Revision { main, sub }
    }

    #[test]
    fn one_version_is_small() {
        assert_eq!(size_of::<Versions>(), 48);
    }

    #[test]
    fn a_tombstone_at_the_compaction_stays_until_the_next() {
        let mut versions = Versions::default();
        versions.put(revision(2, 0), 2, 1, 0);
        versions.put(revision(4, 1), 2, 2, 0);
        versions.delete(revision(6, 0));
        assert_eq!(versions.garbage(1, 9), []);
        assert_eq!(versions.garbage(3, 9), []);
        assert_eq!(versions.garbage(4, 9), [revision(2, 0)]);
        assert_eq!(versions.garbage(6, 9), [revision(2, 0), revision(4, 1)]);
        assert_eq!(versions.garbage(7, 9), [revision(2, 0), revision(4, 1), revision(6, 0)]);
        assert_eq!(versions.garbage(7, 1), [revision(2, 0)]);
        assert!(!versions.forget(2));
        assert_eq!(versions.garbage(6, 9), []);
        assert_eq!(versions.weight(), Weight { live: 0, stale: 1 });
        assert!(versions.forget(1));
    }

    #[test]
    fn changes_of_one_revision_supersede_each_other() {
        let mut versions = Versions::default();
        versions.put(revision(2, 0), 2, 1, 0);
        versions.delete(revision(2, 3));
        versions.put(revision(2, 4), 2, 1, 7);
        assert_eq!(versions.garbage(2, 9), [revision(2, 0), revision(2, 3)]);
        assert_eq!(versions.at(2).map(Version::revision), Some(revision(2, 4)));
        assert_eq!(versions.head().map(|head| head.lease), Some(7));
    }
}
