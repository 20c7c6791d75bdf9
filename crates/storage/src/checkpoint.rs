//! Making the state durable without stopping it.
//!
//! Three steps, of which the middle one is long and needs no lock:
//!
//! | step | lock on the store | work |
//! |---|---|---|
//! | [`Store::begin_checkpoint`](crate::Store::begin_checkpoint) | exclusive | a pointer is moved |
//! | [`Checkpoint::commit`] | none | one write transaction, an fsync if durable |
//! | [`Store::finish_checkpoint`](crate::Store::finish_checkpoint) | exclusive | two pointers are swapped |
//!
//! What is dropped at the end ([`Retired`]) is handed back to the caller, to be freed after the lock.

use std::ops::Bound;
use std::sync::Arc;

use quorate_kv::Meta;
use redb::{Durability, WriteTransaction};

use crate::database::{self, Db, Reading};
use crate::error::StorageError;
use crate::layer::Layer;
use crate::layout;

/// Changes set aside, to be committed.
#[must_use = "a checkpoint that is not committed keeps its changes in memory only"]
pub struct Checkpoint {
    pub(crate) db: Arc<Db>,
    pub(crate) layer: Arc<Layer>,
    /// The file's size in use before.
    pub(crate) in_use: u64,
}

/// A checkpoint that the file holds.
#[must_use = "hand it to Store::finish_checkpoint"]
pub struct Committed {
    pub(crate) layer: Arc<Layer>,
    pub(crate) reading: Reading,
    durable: bool,
}

/// What a finished checkpoint leaves to be freed.
pub struct Retired {
    pub(crate) _layer: Option<Arc<Layer>>,
    pub(crate) _reading: Reading,
}

impl Checkpoint {
    /// The facts it holds.
    pub fn meta(&self) -> &Meta {
        &self.layer.meta
    }

    /// Write it: all of it or, after a crash, nothing. A durable one also makes those before it durable; of
    /// one that is not, a crash leaves nothing.
    ///
    /// # Errors
    /// The disk refuses. The file still holds the last durable checkpoint, but this process must not go on.
    pub fn commit(self, durable: bool) -> Result<Committed, StorageError> {
        self.write(durable).map_err(|error| self.db.failed("write", error))?;
        let reading = self.db.reading()?;
        Ok(Committed { layer: self.layer, reading, durable })
    }

    fn write(&self, durable: bool) -> Result<(), redb::Error> {
        let mut txn = self.db.engine.begin_write()?;
        txn.set_durability(if durable { Durability::Immediate } else { Durability::None })?;
        // One more fsync, for which the engine never takes a damaged commit for one cut short by a crash and
        // goes back to the one before: the log may have forgotten what lies between.
        txn.set_two_phase_commit(durable);
        let (added, removed) = self.write_records(&txn)?;
        let (leased, unleased) = self.write_leases(&txn)?;
        // Cannot be negative, as what is removed was added once; a damaged count must not stop a commit.
        let in_use = (self.in_use + added + leased).saturating_sub(removed + unleased);
        database::put_facts(&txn, &self.layer.meta, in_use)?;
        txn.commit()?;
        Ok(())
    }

    fn write_records(&self, txn: &WriteTransaction) -> Result<(u64, u64), redb::Error> {
        let (mut added, mut removed) = (0, 0);
        let mut table = txn.open_table(database::RECORDS)?;
        for (revision, _) in self.layer.records.iter().filter(|(_, record)| record.is_none()) {
            if let Some(value) = table.remove(layout::key(*revision))? {
                removed += 16 + value.value().len() as u64;
            }
        }
        // New records go behind all others, which the engine can do without searching for each one's place.
        let mut cursor = table.upper_bound_mut(Bound::<u128>::Unbounded)?;
        let mut sealed = Vec::new();
        for (revision, record) in &self.layer.records {
            let Some(record) = record else { continue };
            let key = layout::key(*revision);
            layout::seal(&mut sealed, key, |out| layout::put_body(out, record));
            cursor.insert_before(key, &sealed[..])?;
            added += layout::record_bytes(record);
        }
        cursor.close()?;
        Ok((added, removed))
    }

    fn write_leases(&self, txn: &WriteTransaction) -> Result<(u64, u64), redb::Error> {
        let (mut added, mut removed) = (0, 0);
        if self.layer.leases.is_empty() {
            return Ok((0, 0));
        }
        let mut table = txn.open_table(database::LEASES)?;
        for (id, ttl) in &self.layer.leases {
            let before = match ttl {
                Some(ttl) => table.insert(id, ttl)?.is_some(),
                None => table.remove(id)?.is_some(),
            };
            added += if ttl.is_some() { layout::LEASE_BYTES } else { 0 };
            removed += if before { layout::LEASE_BYTES } else { 0 };
        }
        Ok((added, removed))
    }
}

impl Committed {
    /// The facts the file now holds.
    pub fn meta(&self) -> &Meta {
        &self.layer.meta
    }

    /// Whether it survives a crash. Only then may the log below its applied index go.
    pub fn durable(&self) -> bool {
        self.durable
    }
}
