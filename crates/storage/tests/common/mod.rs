//! What the tests of the store share: a naive twin, and a disk in memory that loses power and runs full.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use quorate_kv::{KeyValue, LeaseId, Meta, Record, Revision, Size, Storage};
use quorate_storage::{Options, StorageBackend};

/// Options for small files.
pub fn options() -> Options {
    Options { cache_bytes: 1 << 20, ..Options::default() }
}

/// The state as plain maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub records: BTreeMap<Revision, Record>,
    pub leases: BTreeMap<LeaseId, i64>,
    pub meta: Meta,
}

impl Storage for Model {
    fn get(&self, revision: Revision) -> Option<Record> {
        self.records.get(&revision).cloned()
    }

    fn insert(&mut self, revision: Revision, record: Record) {
        self.records.insert(revision, record);
    }

    fn remove(&mut self, revisions: &[Revision]) {
        for revision in revisions {
            self.records.remove(revision);
        }
    }

    fn scan(&self, from: Revision, visit: &mut dyn FnMut(Revision, Record) -> bool) {
        let _ = self.records.range(from..).all(|(revision, record)| visit(*revision, record.clone()));
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
        self.meta = meta.clone();
    }

    fn size(&self) -> Size {
        Size::default()
    }
}

pub fn rev(main: i64, sub: i64) -> Revision {
    Revision { main, sub }
}

pub fn put(main: i64, value: impl Into<bytes::Bytes>) -> Record {
    Record::Put(KeyValue {
        key: format!("key-{}", main % 7).into(),
        create_revision: 1,
        mod_revision: main,
        version: 2,
        value: value.into(),
        lease: 3,
    })
}

/// Everything a storage holds, as a model.
pub fn contents(storage: &dyn Storage) -> Model {
    let mut model = Model { meta: storage.meta(), ..Model::default() };
    storage.scan(rev(i64::MIN, i64::MIN), &mut |revision, record| {
        assert!(model.records.keys().all(|before| *before < revision), "ascending");
        model.records.insert(revision, record);
        true
    });
    model.leases = storage.leases().into_iter().collect();
    assert!(storage.leases().is_sorted(), "ascending");
    model
}

/// Bytes that a state's records and leases count for.
pub fn in_use(model: &Model) -> u64 {
    let body = |record: &Record| match record {
        Record::Put(kv) => 37 + kv.key.len() + kv.value.len(),
        Record::Tombstone { key } => 1 + key.len(),
    };
    let records: usize = model.records.values().map(|record| 20 + body(record)).sum();
    (records + 20 * model.leases.len()) as u64
}

/// Bytes as the disk holds them and as the process sees them.
#[derive(Debug, Default)]
struct Inner {
    synced: Vec<u8>,
    seen: Vec<u8>,
    /// What a crash may or may not keep, in the order written.
    unsynced: Vec<Change>,
    /// Writes that still succeed, and what the ones after them say.
    fault: Option<(u64, ErrorKind)>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(len) => bytes.resize(*len as usize, 0),
        Change::Write(offset, data) => {
            let end = *offset as usize + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[*offset as usize..end].copy_from_slice(data);
        }
    }
}

/// A disk whose writes are safe only once synced.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    pub fn with_bytes(bytes: Vec<u8>) -> Disk {
        Disk(Arc::new(Mutex::new(Inner { synced: bytes.clone(), seen: bytes, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The disk after a power cut now: of what was not synced, `keep` says what had reached it.
    pub fn after_power_cut(&self, mut keep: impl FnMut() -> bool) -> Disk {
        let inner = self.inner();
        let mut bytes = inner.synced.clone();
        // The length is the file system's own affair, journalled in order; pages are not.
        for change in &inner.unsynced {
            if matches!(change, Change::Length(_)) || keep() {
                apply(&mut bytes, change);
            }
        }
        Disk::with_bytes(bytes)
    }

    /// From the `after`-th write on, writes fail.
    pub fn fail_after(&self, after: u64, kind: ErrorKind) {
        self.inner().fault = Some((after, kind));
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.inner().seen.clone()
    }

    fn change(&self, change: Change) -> Result<(), Error> {
        let mut inner = self.inner();
        match &mut inner.fault {
            Some((0, kind)) => return Err((*kind).into()),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        apply(&mut inner.seen, &change);
        inner.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.inner().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let inner = self.inner();
        let end = offset as usize + out.len();
        let found = inner.seen.get(offset as usize..end).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.change(Change::Length(len))
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut inner = self.inner();
        if let Some((0, kind)) = inner.fault {
            return Err(kind.into());
        }
        inner.synced = inner.seen.clone();
        inner.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.change(Change::Write(offset, data.to_vec()))
    }
}
