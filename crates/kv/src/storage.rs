//! Where the state machine keeps what need not be in memory.
//!
//! Records are immutable once written and are named by their revision, which makes this contract small:
//! they are inserted in ascending order, read by name, scanned in order, and removed by compaction only.
//! The index from keys to revisions is the state machine's own, held in memory and rebuilt from a scan.
//!
//! The state machine is the only writer. An implementation makes everything durable *together*, in one
//! atomic step of its own choosing ("checkpoint"): records, leases and [`Meta`] as they stood after one
//! applied command. What came after is replayed from the log.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::members::{Member, Members};
use crate::record::{LeaseId, Record, Revision};

/// The small facts that belong to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Index of the last applied log entry.
    pub applied_index: u64,
    /// That entry's ballot: round, then node.
    pub applied_ballot: (u64, u64),
    /// The store's main revision; 1 when empty.
    pub revision: i64,
    /// History at or below which only survivors are kept; -1 before the first compaction, as in etcd.
    pub compact_revision: i64,
    /// The compaction whose physical removal has finished; less than `compact_revision` while one runs.
    pub finished_compaction: i64,
    /// Who belongs to the cluster. Shared, as it changes rarely and these facts are copied for every command.
    pub members: Arc<Members>,
    /// The content of the last applied entry that brought a configuration of the consensus protocol; empty before
    /// the first. Opaque here: it is kept so that a checkpoint and an image tell the membership they stand at.
    pub membership: Bytes,
}

impl Meta {
    /// The facts of a state that begins with these members under this configuration.
    ///
    /// It stands at index 1 with ballot 0: no leader wrote that entry and no log holds it, so whoever joins later
    /// with an empty log, which begins at 0, gets an image of the state first.
    pub fn founding(members: impl IntoIterator<Item = Member>, membership: Bytes) -> Meta {
        let members = Arc::new(Members::founding(members));
        Meta { applied_index: 1, members, membership, ..Meta::default() }
    }
}

impl Default for Meta {
    fn default() -> Self {
        Meta {
            applied_index: 0,
            applied_ballot: (0, 0),
            revision: 1,
            compact_revision: -1,
            finished_compaction: -1,
            members: Arc::default(),
            membership: Bytes::new(),
        }
    }
}

/// A place for records, leases and [`Meta`]. An implementation that can no longer read or write what it
/// promised must stop the process: the state machine has no answer to a lost record.
pub trait Storage {
    /// The record at a revision, if it is there.
    fn get(&self, revision: Revision) -> Option<Record>;

    /// Add a record; `revision` is greater than every one before.
    fn insert(&mut self, revision: Revision, record: Record);

    /// Remove records (compaction); absent ones are passed over.
    fn remove(&mut self, revisions: &[Revision]);

    /// Visit the records from `from` (inclusive) on in ascending order until `visit` returns false.
    fn scan(&self, from: Revision, visit: &mut dyn FnMut(Revision, Record) -> bool);

    /// Note a lease and its granted seconds to live.
    fn put_lease(&mut self, id: LeaseId, ttl: i64);

    /// Forget a lease.
    fn remove_lease(&mut self, id: LeaseId);

    /// All leases, in ascending order of id.
    fn leases(&self) -> Vec<(LeaseId, i64)>;

    /// The facts as last set.
    fn meta(&self) -> Meta;

    /// Set the facts. Called once per applied command, after its other changes.
    fn set_meta(&mut self, meta: &Meta);

    /// Bytes kept, all told and those still needed.
    fn size(&self) -> Size;
}

/// How much a [`Storage`] holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Taken on disk.
    pub total: u64,
    /// Of these, in use.
    pub in_use: u64,
}
