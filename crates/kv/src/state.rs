//! The state machine: etcd's multi-version store as a value over a [`Storage`].
//!
//! [`State::apply`] carries out one command of the replicated log and is the only way the contents change;
//! what it does depends on the state and the command alone, so members that apply the same log agree. Reads
//! take `&self`. Source: sections 4 to 7 of our etcd compatibility notes.
//!
//! Terms: a *main revision* is one write transaction of the whole store, *sub* one change within it. A key's
//! *version* is a number in its record (puts since creation), its *versions* are its records over time.
//!
//! Invariants, see [`State::check`]:
//! 1. The index holds, for every record in the storage, its key and revision, and nothing else; the newest
//!    version's facts (creation, version, lease) are those of its record.
//! 2. A live key with a lease is in that lease's key set, and only there; the lease exists.
//! 3. `meta.revision` is the main revision of the newest change ever (1 if none); no record is newer.
//! 4. A refused command changes nothing but the applied index and ballot: everything that can fail is checked
//!    before the first change.
//! 5. How far the physical removal of a compaction has come cannot be seen through any read, digest or hash.
//!
//! Caveats. Commands are expected to have passed [`crate::validate`]; one that has not is still carried out
//! without a panic. A storage that loses a record is fatal, see [`Storage`].

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use bytes::Bytes;

use crate::command::{Command, MemberChange};
use crate::members::{Member, Members};
use crate::outcome::{Applied, Outcome};
use crate::record::{LeaseId, Record, Revision};
use crate::storage::{Meta, Storage};
use crate::tree::CountedTree;
use crate::versions::Versions;
use crate::{Error, KeyValue};

mod check;
mod compact;
mod digest;
mod lease;
mod past;
mod read;
mod txn;
mod write;

pub use digest::HashKv;
pub use lease::{LeaseView, MAX_TTL, clamp_ttl};
pub use past::History;
pub(crate) use past::Stretch;
pub use txn::txn_is_read_only;

use compact::Compaction;
use lease::Lease;
use write::Change;

/// The store. See the module's text.
#[derive(Clone, Debug)]
pub struct State<S> {
    storage: S,
    index: CountedTree<Versions>,
    leases: BTreeMap<LeaseId, Lease>,
    meta: Meta,
    compaction: Option<Compaction>,
}

impl<S: Storage> State<S> {
    /// The state that `storage` holds; a fresh one, at revision 1, if it is empty.
    ///
    /// Reads every record once. A compaction whose removal had not finished is taken up again by
    /// [`State::compact_step`].
    pub fn restore(storage: S) -> Self {
        let meta = storage.meta();
        let mut index = CountedTree::<Versions>::new();
        storage.scan(Revision::default(), &mut |revision, record| {
            assert!(revision.main <= meta.revision, "the storage holds {revision:?}, beyond its own facts");
            index.upsert(record.key(), |versions| match &record {
                Record::Put(kv) => versions.put_record(revision, kv),
                Record::Tombstone { .. } => versions.delete(revision),
            });
            true
        });
        let leases = lease::rebuild(storage.leases(), &index);
        let compaction = Compaction::pending(&meta);
        State { storage, index, leases, meta, compaction }
    }

    /// The state a cluster begins with, in an empty storage: [`Meta::founding`]. Equal on all founding members,
    /// to the byte, if what they are told is. It counts once the storage is durable; until then found it again.
    ///
    /// # Panics
    /// If the storage holds a state already.
    pub fn found(mut storage: S, members: impl IntoIterator<Item = Member>, membership: Bytes) -> Self {
        assert_eq!(storage.meta(), Meta::default(), "a state is founded once, in an empty storage");
        storage.set_meta(&Meta::founding(members, membership));
        State::restore(storage)
    }

    /// Carry out the command of log entry `index`, which was accepted under `ballot`.
    ///
    /// # Panics
    /// If the entry is not newer than the last one applied: carrying out a command twice would part this
    /// member from the others.
    pub fn apply(&mut self, index: u64, ballot: (u64, u64), command: &Command) -> Applied {
        let mut change = Change::after(self.meta.revision);
        let outcome = self.run(command, &mut change);
        if !change.events.is_empty() {
            self.meta.revision = change.main;
        }
        self.finish(index, ballot);
        Applied { revision: self.meta.revision, outcome, events: change.events }
    }

    /// Pass over log entry `index`, which carries no command.
    ///
    /// # Panics
    /// As [`State::apply`].
    pub fn apply_noop(&mut self, index: u64, ballot: (u64, u64)) {
        self.finish(index, ballot);
    }

    /// Log entry `index` brings a configuration of the consensus protocol: keep its content.
    ///
    /// # Panics
    /// As [`State::apply`].
    pub fn apply_config(&mut self, index: u64, ballot: (u64, u64), membership: &[u8]) {
        // A copy of its own: a slice would keep the whole buffer it came in.
        self.meta.membership = Bytes::copy_from_slice(membership);
        self.finish(index, ballot);
    }

    fn finish(&mut self, index: u64, ballot: (u64, u64)) {
        let last = self.meta.applied_index;
        assert!(index > last, "entry {index} was given to apply after entry {last}");
        self.meta.applied_index = index;
        self.meta.applied_ballot = ballot;
        self.storage.set_meta(&self.meta);
    }

    fn run(&mut self, command: &Command, change: &mut Change) -> Result<Outcome, Error> {
        match command {
            Command::Put(put) => {
                self.check_put(put)?;
                Ok(Outcome::Put(self.put(put, change)))
            }
            Command::DeleteRange(delete) => {
                let (deleted, prev_kvs) = self.delete_range(delete, change);
                Ok(Outcome::DeleteRange { deleted, prev_kvs })
            }
            Command::Txn(txn) => self.txn(txn, change).map(Outcome::Txn),
            Command::Compact { revision } => self.compact(*revision).map(|()| Outcome::Compact),
            Command::LeaseGrant { id, ttl } => self.lease_grant(*id, *ttl),
            Command::LeaseRevoke { id } => self.lease_revoke(*id, change),
            Command::Publish(publish) => {
                Arc::make_mut(&mut self.meta.members).publish(publish).map(|()| Outcome::Publish)
            }
            Command::Member(change) => self.change_members(change),
        }
    }

    fn change_members(&mut self, change: &MemberChange) -> Result<Outcome, Error> {
        Arc::make_mut(&mut self.meta.members).change(change)?;
        Ok(Outcome::Members(self.meta.members.iter().cloned().collect()))
    }

    /// The record at a revision the index knows.
    fn record(&self, revision: Revision) -> KeyValue {
        match self.storage.get(revision) {
            Some(Record::Put(kv)) => kv,
            other => panic!("the storage holds {other:?} at {revision:?}, where a put was stored"),
        }
    }

    /// The main revision of the newest change; 1 when there was none.
    pub fn revision(&self) -> i64 {
        self.meta.revision
    }

    /// The revision below which history is gone; -1 before the first compaction.
    pub fn compact_revision(&self) -> i64 {
        self.meta.compact_revision
    }

    /// The facts of the last applied command.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Who belongs to the cluster: the members, who of them ought to vote and to learn, and the removed ids.
    pub fn members(&self) -> &Members {
        &self.meta.members
    }

    /// The content of the last configuration entry applied, see [`State::apply_config`]; empty if there was none.
    pub fn membership(&self) -> &Bytes {
        &self.meta.membership
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage, for the host's own needs (flushing, checkpoints); its contents are the state's.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// The storage, without the state.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Live keys.
    pub fn key_count(&self) -> u64 {
        u64::from(self.index.weight().live)
    }

    /// Keys in the index: the live ones and those whose end a compaction has yet to remove.
    pub fn index_len(&self) -> usize {
        self.index.len()
    }
}
