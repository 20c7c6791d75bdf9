//! The engine's file: its tables, its schema, and reading handles on it.
//!
//! | table | key → value |
//! |---|---|
//! | `records` | revision → sealed record, see [`layout`](crate::layout) |
//! | `leases` | id → sealed granted seconds |
//! | `facts` | `format`, `meta`, [`tally`](crate::tally) → sealed bytes |
//!
//! The engine (redb) is a copy-on-write B-tree: a commit is atomic, and a reader keeps the version it began
//! with until it is dropped. Reading through a handle takes no lock that a commit holds. Its own page
//! checksums are verified when a file is opened, not when a page is read; everything stored has its own for that,
//! and the tally says whether anything is missing. The engine is written not to panic on a damaged file, and has
//! not been seen to; opening is nevertheless guarded, so that a panic there is damage and not the process's end
//! (unless its panic hook or profile makes it so).

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_kv::{LeaseId, Meta, Record, Revision};
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};

use crate::error::StorageError;
use crate::layout;
use crate::store::Options;
use crate::tally::{Kind, Tally};

pub(crate) const RECORDS: TableDefinition<u128, &[u8]> = TableDefinition::new("records");
pub(crate) const LEASES: TableDefinition<LeaseId, &[u8]> = TableDefinition::new("leases");
pub(crate) const FACTS: TableDefinition<u128, &[u8]> = TableDefinition::new("facts");

/// Keys of `facts`.
const FORMAT: u128 = 1;
const META: u128 = 2;
const TALLY: u128 = 3;

/// An open file.
#[derive(Debug)]
pub(crate) struct Db {
    pub(crate) engine: Database,
    pub(crate) path: PathBuf,
}

impl Db {
    /// Make a new file with an empty state. The path must not exist.
    pub(crate) fn create(path: &Path, options: &Options) -> Result<Db, StorageError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| StorageError::io("create", path, error))?;
        let backend = redb::backends::FileBackend::new(file)
            .map_err(|error| StorageError::engine("create", path, error))?;
        Db::with_backend(path, backend, options)
    }

    /// Open an existing file.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Db, StorageError> {
        let engine = builder(options)
            .set_check_integrity_on_open(options.verify)
            .open(path)
            .map_err(|error| StorageError::engine("open", path, error))?;
        let db = Db { engine, path: path.to_owned() };
        db.check_format()?;
        Ok(db)
    }

    /// Open or, where there are no bytes yet, make a state on any kind of disk.
    pub(crate) fn with_backend(
        path: &Path,
        backend: impl StorageBackend,
        options: &Options,
    ) -> Result<Db, StorageError> {
        let failed = |error| StorageError::engine("open", path, error);
        let empty = backend.len().map_err(|error| StorageError::io("open", path, error))? == 0;
        let engine = builder(options)
            .set_check_integrity_on_open(options.verify && !empty)
            .create_with_backend(backend)
            .map_err(failed)?;
        let db = Db { engine, path: path.to_owned() };
        // The engine's own first commit may be all that a crash has left of a new file.
        match db.is_blank()? {
            true => db.initialise()?,
            false => db.check_format()?,
        }
        Ok(db)
    }

    /// Close it, with the errors that dropping it would hide.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        self.engine.close().map_err(|error| StorageError::engine("close", &self.path, error))
    }

    fn is_blank(&self) -> Result<bool, StorageError> {
        let failed = |error: redb::Error| StorageError::engine("read", &self.path, error);
        let txn = self.engine.begin_read().map_err(|error| failed(error.into()))?;
        let mut tables = txn.list_tables().map_err(|error| failed(error.into()))?;
        Ok(tables.next().is_none())
    }

    fn initialise(&self) -> Result<(), StorageError> {
        let write = || -> Result<(), redb::Error> {
            let txn = self.engine.begin_write()?;
            txn.open_table(RECORDS)?;
            txn.open_table(LEASES)?;
            put_fact(&txn, FORMAT, &layout::FORMAT.to_le_bytes())?;
            put_facts(&txn, &Meta::default(), &Tally::default())?;
            Ok(txn.commit()?)
        };
        write().map_err(|error| StorageError::engine("write", &self.path, error))
    }

    fn check_format(&self) -> Result<(), StorageError> {
        let bytes = self.fact(FORMAT, "format")?;
        let found = bytes.get(..).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        match found {
            Some(layout::FORMAT) => Ok(()),
            Some(found) => {
                Err(StorageError::Format { path: self.path.clone(), found, expected: layout::FORMAT })
            }
            None => Err(StorageError::damaged(&self.path, "its format is not told")),
        }
    }

    fn fact(&self, name: u128, what: &str) -> Result<Bytes, StorageError> {
        let txn = self.engine.begin_read().map_err(|error| self.failed("read", error))?;
        let facts = txn.open_table(FACTS).map_err(|error| self.failed("read", error))?;
        self.unseal_fact(&facts, name, what)
    }

    fn unseal_fact(
        &self,
        facts: &impl ReadableTable<u128, &'static [u8]>,
        name: u128,
        what: &str,
    ) -> Result<Bytes, StorageError> {
        let value = facts.get(name).map_err(|error| self.failed("read", error))?;
        let value =
            value.ok_or_else(|| StorageError::damaged(&self.path, format!("its {what} is missing")))?;
        match layout::unseal(name, value.value()) {
            Ok(body) => Ok(Bytes::copy_from_slice(body)),
            Err(_) => Err(StorageError::damaged(&self.path, format!("its {what} fails its checksum"))),
        }
    }

    pub(crate) fn failed(&self, action: &'static str, error: impl Into<redb::Error>) -> StorageError {
        StorageError::engine(action, &self.path, error)
    }

    /// A handle on the state as committed last.
    pub(crate) fn reading(&self) -> Result<Reading, StorageError> {
        let txn = self.engine.begin_read().map_err(|error| self.failed("read", error))?;
        let open = || -> Result<_, redb::Error> {
            Ok((txn.open_table(RECORDS)?, txn.open_table(LEASES)?, txn.open_table(FACTS)?))
        };
        let (records, leases, facts) = open().map_err(|error| self.failed("read", error))?;
        let meta = layout::decode_meta(self.unseal_fact(&facts, META, "applied index")?)
            .map_err(|error| StorageError::damaged(&self.path, error))?;
        let tally = Tally::decode(self.unseal_fact(&facts, TALLY, "tally")?)
            .map_err(|error| StorageError::damaged(&self.path, error))?;
        // A backend that is no file has no length to ask for; what is in use is the best guess.
        let total = fs::metadata(&self.path).map_or(tally.in_use, |metadata| metadata.len());
        Ok(Reading { records, leases, meta, tally, total })
    }
}

/// Do something with a file that may be damaged in a way the engine has no answer to: its panic is an error.
pub(crate) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    // What was being opened is thrown away with the panic, so nobody sees it half made.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why");
        Err(StorageError::damaged(path, format!("the engine gave up on it: {text}")))
    })
}

fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    builder
}

fn put_fact(txn: &WriteTransaction, name: u128, body: &[u8]) -> Result<(), redb::Error> {
    let mut sealed = Vec::new();
    layout::seal(&mut sealed, name, |out| out.extend_from_slice(body));
    txn.open_table(FACTS)?.insert(name, &sealed[..])?;
    Ok(())
}

/// Write the facts of a checkpoint.
pub(crate) fn put_facts(txn: &WriteTransaction, meta: &Meta, tally: &Tally) -> Result<(), redb::Error> {
    put_fact(txn, META, &layout::encode_meta(meta))?;
    put_fact(txn, TALLY, &tally.encode())
}

/// The state as of one commit. Many threads may read through it at once.
pub(crate) struct Reading {
    pub(crate) records: ReadOnlyTable<u128, &'static [u8]>,
    pub(crate) leases: ReadOnlyTable<LeaseId, &'static [u8]>,
    pub(crate) meta: Meta,
    /// What it ought to hold.
    pub(crate) tally: Tally,
    /// The file's length then.
    pub(crate) total: u64,
}

impl Reading {
    pub(crate) fn get(&self, path: &Path, revision: Revision) -> Result<Option<Record>, StorageError> {
        let key = layout::key(revision);
        let found = self.records.get(key).map_err(|error| StorageError::engine("read", path, error))?;
        found
            .map(|value| layout::take_record(key, value.value()))
            .transpose()
            .map_err(|_| StorageError::record(path, revision))
    }

    /// The greatest revision.
    pub(crate) fn last(&self, path: &Path) -> Result<Option<Revision>, StorageError> {
        let last = self.records.last().map_err(|error| StorageError::engine("read", path, error))?;
        Ok(last.map(|(key, _)| layout::revision(key.value())))
    }

    /// The records from `from` on, ascending.
    pub(crate) fn range(
        &self,
        path: &Path,
        from: Revision,
    ) -> Result<impl Iterator<Item = Result<(Revision, Record), StorageError>>, StorageError> {
        let range = self.records.range(layout::key(from)..);
        let range = range.map_err(|error| StorageError::engine("read", path, error))?;
        Ok(range.map(move |item| {
            let (key, value) = item.map_err(|error| StorageError::engine("read", path, error))?;
            let (key, revision) = (key.value(), layout::revision(key.value()));
            let record = layout::take_record(key, value.value());
            Ok((revision, record.map_err(|_| StorageError::record(path, revision))?))
        }))
    }

    pub(crate) fn leases(&self, path: &Path) -> Result<Vec<(LeaseId, i64)>, StorageError> {
        let failed = |error: redb::StorageError| StorageError::engine("read", path, error);
        let mut all = Vec::new();
        for item in self.leases.iter().map_err(failed)? {
            let (id, value) = item.map_err(failed)?;
            let ttl = layout::take_lease(id.value(), value.value());
            all.push((id.value(), ttl.map_err(|_| StorageError::lease(path, id.value()))?));
        }
        Ok(all)
    }

    /// Read everything, and see that it is what was written.
    pub(crate) fn verify(&self, path: &Path) -> Result<(), StorageError> {
        let failed = |error: redb::StorageError| StorageError::engine("read", path, error);
        let mut found = Tally::default();
        for item in self.records.iter().map_err(failed)? {
            let (key, value) = item.map_err(failed)?;
            let (key, value) = (key.value(), value.value());
            let bad = |_| StorageError::record(path, layout::revision(key));
            layout::unseal(key, value).map_err(bad)?;
            found.add(Kind::Record, key, layout::seal_of(value), 16 + value.len() as u64);
        }
        for item in self.leases.iter().map_err(failed)? {
            let (id, value) = item.map_err(failed)?;
            let (id, value) = (id.value(), value.value());
            layout::take_lease(id, value).map_err(|_| StorageError::lease(path, id))?;
            found.add(Kind::Lease, layout::lease_key(id), layout::seal_of(value), layout::LEASE_BYTES);
        }
        found.compare(&self.tally).map_err(|what| StorageError::damaged(path, what))
    }
}
