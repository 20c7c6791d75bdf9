//! Revisions and the records they name.

use bytes::Bytes;

/// A lease's id; any value but zero.
pub type LeaseId = i64;

/// A place in history: `main` counts write transactions of the whole store, `sub` the changes within one.
///
/// The empty store is at main revision 1, the first write makes 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The transaction.
    pub main: i64,
    /// The change within it, from 0.
    pub sub: i64,
}

/// A key's record at one revision: etcd's `mvccpb.KeyValue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The main revision that created this generation of the key.
    pub create_revision: i64,
    /// The main revision of this change.
    pub mod_revision: i64,
    /// Puts in this generation, from 1.
    pub version: i64,
    /// The value.
    pub value: Bytes,
    /// The attached lease, 0 for none.
    pub lease: LeaseId,
}

/// What is stored under a [`Revision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The key was put.
    Put(KeyValue),
    /// The key was deleted.
    Tombstone {
        /// The key.
        key: Bytes,
    },
}

impl Record {
    /// The key this record is about.
    pub fn key(&self) -> &Bytes {
        match self {
            Record::Put(kv) => &kv.key,
            Record::Tombstone { key } => key,
        }
    }
}

/// One change as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where in history.
    pub revision: Revision,
    /// What happened.
    pub record: Record,
}
