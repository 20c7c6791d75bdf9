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
use crate::tally::{Kind, Tally};

/// Changes set aside, to be committed.
#[must_use = "a checkpoint that is not committed keeps its changes in memory only"]
pub struct Checkpoint {
    pub(crate) db: Arc<Db>,
    pub(crate) layer: Arc<Layer>,
    /// What the file held before.
    pub(crate) tally: Tally,
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
        let mut tally = self.tally;
        self.write_records(&txn, &mut tally)?;
        self.write_leases(&txn, &mut tally)?;
        database::put_facts(&txn, &self.layer.meta, &tally)?;
        txn.commit()?;
        Ok(())
    }

    fn write_records(&self, txn: &WriteTransaction, tally: &mut Tally) -> Result<(), redb::Error> {
        let mut table = txn.open_table(database::RECORDS)?;
        for (revision, _) in self.layer.records.iter().filter(|(_, record)| record.is_none()) {
            let key = layout::key(*revision);
            if let Some(value) = table.remove(key)? {
                let bytes = 16 + value.value().len() as u64;
                tally.remove(Kind::Record, key, layout::seal_of(value.value()), bytes);
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
            tally.add(Kind::Record, key, layout::seal_of(&sealed), layout::record_bytes(record));
        }
        Ok(cursor.close()?)
    }

    fn write_leases(&self, txn: &WriteTransaction, tally: &mut Tally) -> Result<(), redb::Error> {
        if self.layer.leases.is_empty() {
            return Ok(());
        }
        let mut table = txn.open_table(database::LEASES)?;
        let mut sealed = Vec::new();
        for (id, ttl) in &self.layer.leases {
            let key = layout::lease_key(*id);
            if let Some(ttl) = ttl {
                layout::seal_lease(&mut sealed, *id, *ttl);
                tally.add(Kind::Lease, key, layout::seal_of(&sealed), layout::LEASE_BYTES);
            }
            let before = match ttl {
                Some(_) => table.insert(id, &sealed[..])?,
                None => table.remove(id)?,
            };
            if let Some(before) = before {
                tally.remove(Kind::Lease, key, layout::seal_of(before.value()), layout::LEASE_BYTES);
            }
        }
        Ok(())
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
