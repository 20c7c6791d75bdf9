//! Forgetting history (section 5.6 of our compatibility notes).
//!
//! A compaction has two halves. The *logical* one happens when its command is applied: from then on nothing
//! below its revision can be read. The *physical* one, removing superseded records from the index and the
//! storage, is the host's to drive in small steps whenever it has time, so members are at different points
//! of it. No read, watch or hash may tell: whoever looks at records at or below the compaction's revision
//! passes over those that have yet to be removed ([`State::survives`]).
//!
//! A pass walks the keys that have anything to remove, in key order, with a cursor. A compaction that comes
//! while a pass is under way does not restart it (frequent ones would then starve the keys at the end); its
//! revision counts from there on, and another pass follows. A restart begins a new pass: a key's records are
//! removed oldest first, so whatever was removed before leaves a state from which it can be continued.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::State;
use crate::Error;
use crate::record::Revision;
use crate::storage::{Meta, Storage};
use crate::tree::Only;
use crate::versions::Version;

/// A pass of physical removal.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// The compaction that is finished once the pass is.
    target: i64,
    /// The first key not yet looked at.
    cursor: Box<[u8]>,
}

impl Compaction {
    /// The pass that `meta` calls for, from its start.
    pub fn pending(meta: &Meta) -> Option<Self> {
        let target = meta.compact_revision;
        (meta.finished_compaction < target).then(|| Compaction { target, cursor: Box::default() })
    }
}

/// What one step of a pass found to remove.
#[derive(Default)]
struct Garbage {
    revisions: Vec<Revision>,
    /// Keys, and how many of their oldest versions go.
    keys: Vec<(Box<[u8]>, usize)>,
    /// Where to go on; nothing at the end of the pass.
    cursor: Option<Box<[u8]>>,
}

impl<S: Storage> State<S> {
    pub(super) fn compact(&mut self, revision: i64) -> Result<(), Error> {
        if revision <= self.meta.compact_revision {
            return Err(Error::Compacted);
        }
        if revision > self.meta.revision {
            return Err(Error::FutureRevision);
        }
        self.meta.compact_revision = revision;
        if self.compaction.is_none() {
            self.compaction = Compaction::pending(&self.meta);
        }
        Ok(())
    }

    /// Remove up to `budget` records that compactions have made unreachable, looking at no more than `budget`
    /// keys. True if there is more to do.
    ///
    /// The last step of a pass notes the finished compaction in [`Meta`], in the storage as well.
    pub fn compact_step(&mut self, budget: usize) -> bool {
        let Some(pass) = &self.compaction else { return false };
        let target = pass.target;
        let garbage = self.garbage(&pass.cursor, budget.max(1));
        self.storage.remove(&garbage.revisions);
        for (key, count) in garbage.keys {
            if self.index.change(&key, |versions| versions.forget(count)) == Some(true) {
                self.index.remove(&key);
            }
        }
        match garbage.cursor {
            Some(cursor) => self.compaction = Some(Compaction { target, cursor }),
            None => {
                self.meta.finished_compaction = target;
                self.storage.set_meta(&self.meta);
                self.compaction = Compaction::pending(&self.meta);
            }
        }
        self.compaction.is_some()
    }

    /// The next work of a pass from `cursor` on.
    fn garbage(&self, cursor: &[u8], budget: usize) -> Garbage {
        let mut garbage = Garbage::default();
        let mut looked = 0;
        self.index.ascend(cursor, Only::Stale, &mut |key, versions| {
            let left = budget.saturating_sub(garbage.revisions.len());
            if left == 0 || looked == budget {
                garbage.cursor = Some(key.into());
                return false;
            }
            looked += 1;
            let revisions = versions.garbage(self.meta.compact_revision, left);
            if !revisions.is_empty() {
                garbage.keys.push((key.into(), revisions.len()));
                garbage.revisions.extend(&revisions);
            }
            // This key may have more; it is looked at again.
            let full = revisions.len() == left;
            if full {
                garbage.cursor = Some(key.into());
            }
            !full
        });
        garbage
    }

    /// Whether the record of `key` at `revision` is one that no compaction so far removes.
    ///
    /// At or below the compaction's revision that is the newest of its key, unless it is a tombstone; a
    /// tombstone exactly at the compaction's revision is there for watchers that start from it.
    pub(super) fn survives(&self, revision: Revision, key: &[u8]) -> bool {
        let compact = self.meta.compact_revision;
        if revision.main > compact {
            return true;
        }
        let newest: Option<Version> = self.index.get(key).and_then(|versions| versions.at(compact));
        newest.is_some_and(|newest| {
            newest.revision() == revision && (!newest.tombstone || revision.main == compact)
        })
    }
}
