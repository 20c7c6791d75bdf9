//! Leases: which exist, and which keys are attached to them (section 7 of our compatibility notes).
//!
//! The replicated state knows a lease's granted time to live and no clock; *when* a lease has run out is
//! decided by the leader's host, which then proposes to revoke it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;

use super::State;
use super::write::Change;
use crate::Error;
use crate::outcome::Outcome;
use crate::record::LeaseId;
use crate::storage::Storage;
use crate::tree::{CountedTree, Only};
use crate::versions::Versions;

/// The longest time to live, in seconds.
pub const MAX_TTL: i64 = 9_000_000_000;

/// The time to live to grant when `asked` seconds are asked for and no less than `least` are given.
///
/// # Errors
/// [`Error::LeaseTtlTooLarge`] beyond [`MAX_TTL`].
pub fn clamp_ttl(asked: i64, least: i64) -> Result<i64, Error> {
    if asked > MAX_TTL { Err(Error::LeaseTtlTooLarge) } else { Ok(asked.max(least)) }
}

/// A lease.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    ttl: i64,
    keys: BTreeSet<Box<[u8]>>,
}

impl Lease {
    /// Seconds granted.
    pub fn ttl(&self) -> i64 {
        self.ttl
    }

    /// The attached keys.
    pub fn keys(&self) -> &BTreeSet<Box<[u8]>> {
        &self.keys
    }
}

/// What can be told of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// Seconds to live, as granted.
    pub ttl: i64,
    /// The attached keys, ascending.
    pub keys: Vec<Bytes>,
}

/// The leases of a storage, with the keys that the index says are attached.
pub fn rebuild(stored: Vec<(LeaseId, i64)>, index: &CountedTree<Versions>) -> BTreeMap<LeaseId, Lease> {
    let mut leases: BTreeMap<LeaseId, Lease> =
        stored.into_iter().map(|(id, ttl)| (id, Lease { ttl, keys: BTreeSet::new() })).collect();
    if !leases.is_empty() {
        index.ascend(&[], Only::Live, &mut |key, versions| {
            let id = versions.head().map_or(0, |head| head.lease);
            if id != 0
                && let Some(lease) = leases.get_mut(&id)
            {
                lease.keys.insert(key.into());
            }
            true
        });
    }
    leases
}

impl<S: Storage> State<S> {
    /// A lease, if it exists.
    pub fn lease(&self, id: LeaseId) -> Option<LeaseView> {
        let lease = self.leases.get(&id)?;
        let keys = lease.keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
        Some(LeaseView { ttl: lease.ttl, keys })
    }

    /// All leases in ascending order of id: id and granted seconds to live.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, i64)> {
        self.leases.iter().map(|(id, lease)| (*id, lease.ttl))
    }

    /// Granted seconds to live of a lease, if it exists.
    pub fn lease_ttl(&self, id: LeaseId) -> Option<i64> {
        self.leases.get(&id).map(|lease| lease.ttl)
    }

    pub(super) fn lease_grant(&mut self, id: LeaseId, ttl: i64) -> Result<Outcome, Error> {
        if id == 0 {
            return Err(Error::LeaseNotFound);
        }
        if ttl > MAX_TTL {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        self.leases.insert(id, Lease { ttl, keys: BTreeSet::new() });
        self.storage.put_lease(id, ttl);
        Ok(Outcome::LeaseGrant { id, ttl })
    }

    /// End a lease: its keys go in ascending order, all in one revision.
    pub(super) fn lease_revoke(&mut self, id: LeaseId, change: &mut Change) -> Result<Outcome, Error> {
        let lease = self.leases.remove(&id).ok_or(Error::LeaseNotFound)?;
        for key in lease.keys {
            self.delete(key.into(), change);
        }
        self.storage.remove_lease(id);
        Ok(Outcome::LeaseRevoke)
    }

    /// Note that a key went from one lease to another, 0 being none.
    pub(super) fn move_lease(&mut self, key: &[u8], from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if from != 0
            && let Some(lease) = self.leases.get_mut(&from)
        {
            lease.keys.remove(key);
        }
        if to != 0
            && let Some(lease) = self.leases.get_mut(&to)
        {
            lease.keys.insert(key.into());
        }
    }
}
