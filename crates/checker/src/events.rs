//! The store's own account: every change it made, in order; and whether that account is well formed.
//!
//! Property **EventHistory** (etcd's data model). The empty store is at revision 1. Each write transaction that
//! changed something takes the next revision, so revisions in the full history run 2, 3, 4, … without a gap,
//! and several events share one only as parts of one transaction. A key's first put has `version` 1 and
//! `create_revision` equal to its own revision; each further put adds 1 to `version` and keeps
//! `create_revision`; a delete ends the generation and finds a live key.
//!
//! The history is the authority for [`crate::acknowledged`], [`crate::replay`] and [`crate::watch`]. It is
//! best read from the store's multi-version records (all revisions, before any compaction), not from a watch,
//! which is among the things being checked.

use crate::Violation;
use crate::history::{Record, Short};
use alloc::collections::BTreeMap;
use alloc::format;
use bytes::Bytes;
use core::fmt;

const PROPERTY: &str = "EventHistory";

/// One change of one key. A history is a slice of these ordered by revision, and inside one by execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision that made the change.
    pub revision: u64,
    /// The key changed.
    pub key: Bytes,
    /// What happened to it.
    pub change: Change,
}

/// A put or a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A value was set.
    Put {
        /// The value.
        value: Bytes,
        /// Revision of the creation of this generation.
        create_revision: u64,
        /// Puts since creation.
        version: u64,
    },
    /// The key was deleted.
    Delete,
}

impl Event {
    /// The record this event leaves behind.
    pub fn record(&self) -> Option<Record> {
        match &self.change {
            Change::Put { value, create_revision, version } => Some(Record {
                value: value.clone(),
                create_revision: *create_revision,
                mod_revision: self.revision,
                version: *version,
            }),
            Change::Delete => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            Change::Put { value, create_revision, version } => write!(
                f,
                "revision {}: put {:?}={} (create {create_revision}, version {version})",
                self.revision,
                self.key,
                Short(value)
            ),
            Change::Delete => write!(f, "revision {}: delete {:?}", self.revision, self.key),
        }
    }
}

/// Whether `events` is a possible full history of a store that began empty.
pub fn check(events: &[Event]) -> Result<(), Violation> {
    let mut revision = 1;
    let mut live: BTreeMap<&Bytes, (u64, u64)> = BTreeMap::new();
    for event in events {
        if event.revision < revision {
            return Err(Violation::new(PROPERTY, format!("{event}, after revision {revision}")));
        }
        if event.revision > revision + 1 || event.revision < 2 {
            let detail = format!("{event}, where revision {} was due: revisions are missing", revision + 1);
            return Err(Violation::new(PROPERTY, detail));
        }
        revision = event.revision;
        match &event.change {
            Change::Put { create_revision, version, .. } => {
                let due =
                    live.get(&event.key).map_or((revision, 1), |(create, version)| (*create, version + 1));
                if (*create_revision, *version) != due {
                    let detail = format!("{event}, where create {} and version {} were due", due.0, due.1);
                    return Err(Violation::new(PROPERTY, detail));
                }
                live.insert(&event.key, due);
            }
            Change::Delete => {
                if live.remove(&event.key).is_none() {
                    return Err(Violation::new(PROPERTY, format!("{event}, of a key that does not exist")));
                }
            }
        }
    }
    Ok(())
}
