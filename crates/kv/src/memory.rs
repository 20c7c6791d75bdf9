//! A [`Storage`] in memory, for tests and the simulator.
//!
//! It is a value: a clone is a checkpoint of everything so far.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::record::{LeaseId, Record, Revision};
use crate::storage::{Meta, Size, Storage};

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStorage {
    records: BTreeMap<Revision, Record>,
    leases: BTreeMap<LeaseId, i64>,
    meta: Meta,
    bytes: u64,
}

impl MemoryStorage {
    /// An empty one.
    pub fn new() -> Self {
        MemoryStorage::default()
    }
}

/// The bytes a record accounts for: its contents and as much again as etcd's own storage key.
fn weight(record: &Record) -> u64 {
    let value = match record {
        Record::Put(kv) => kv.value.len(),
        Record::Tombstone { .. } => 0,
    };
    (record.key().len() + value + 17) as u64
}

impl Storage for MemoryStorage {
    fn get(&self, revision: Revision) -> Option<Record> {
        self.records.get(&revision).cloned()
    }

    fn insert(&mut self, revision: Revision, record: Record) {
        let last = self.records.last_key_value().map(|(last, _)| *last);
        assert!(
            last < Some(revision),
            "records are inserted in ascending order: {revision:?} after {last:?}"
        );
        self.bytes += weight(&record);
        self.records.insert(revision, record);
    }

    fn remove(&mut self, revisions: &[Revision]) {
        for revision in revisions {
            if let Some(record) = self.records.remove(revision) {
                self.bytes -= weight(&record);
            }
        }
    }

    fn scan(&self, from: Revision, visit: &mut dyn FnMut(Revision, Record) -> bool) {
        for (revision, record) in self.records.range(from..) {
            if !visit(*revision, record.clone()) {
                return;
            }
        }
    }

    fn put_lease(&mut self, id: LeaseId, ttl: i64) {
        self.leases.insert(id, ttl);
    }

    fn remove_lease(&mut self, id: LeaseId) {
        self.leases.remove(&id);
    }

    fn leases(&self) -> Vec<(LeaseId, i64)> {
        self.leases.iter().map(|(id, ttl)| (*id, *ttl)).collect()
    }

    fn meta(&self) -> Meta {
        self.meta.clone()
    }

    fn set_meta(&mut self, meta: &Meta) {
        self.meta.clone_from(meta);
    }

    fn size(&self) -> Size {
        Size { total: self.bytes, in_use: self.bytes }
    }
}
