//! When a lease has expired.
//!
//! Leases live in the replicated state; how long each has left is known to the leader alone, by its own
//! monotonic clock, and is not replicated. A new leader gives every lease its full time again, so that none
//! expires early because a leader was lost; late is tolerated (etcd's rule). An expired lease is ended by a
//! command through the log; until that is applied it can no longer be renewed.
//!
//! Times are milliseconds on a clock of the host's choosing that never goes back.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use quorate_kv::LeaseId;

/// How long after asking for a revocation it is asked for again, if the lease is still there.
const REVOKE_AGAIN_MS: u64 = 2_000;

#[derive(Debug)]
struct Deadline {
    ttl: i64,
    expires_ms: u64,
    /// Where it stands in the queue: its expiry, or the next attempt to revoke it.
    due_ms: u64,
}

/// Keeps the leader's deadlines.
#[derive(Debug, Default)]
pub struct Lessor {
    leading: bool,
    deadlines: BTreeMap<LeaseId, Deadline>,
    queue: BTreeSet<(u64, LeaseId)>,
}

impl Lessor {
    /// One that does not lead.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this node keeps the time.
    pub fn leads(&self) -> bool {
        self.leading
    }

    /// This node leads now: every lease gets its full time, and `grace_ms` more for the time without leader.
    pub fn lead(&mut self, leases: impl Iterator<Item = (LeaseId, i64)>, now_ms: u64, grace_ms: u64) {
        self.stop();
        self.leading = true;
        leases.for_each(|(id, ttl)| self.set(id, ttl, now_ms + grace_ms));
    }

    /// This node leads no more.
    pub fn stop(&mut self) {
        self.leading = false;
        self.deadlines.clear();
        self.queue.clear();
    }

    /// A lease was granted.
    pub fn granted(&mut self, id: LeaseId, ttl: i64, now_ms: u64) {
        if self.leading {
            self.set(id, ttl, now_ms);
        }
    }

    /// A lease is gone.
    pub fn revoked(&mut self, id: LeaseId) {
        if let Some(deadline) = self.deadlines.remove(&id) {
            self.queue.remove(&(deadline.due_ms, id));
        }
    }

    /// Start a lease's time anew; its seconds to live, or `None` if it has expired or never was.
    pub fn renew(&mut self, id: LeaseId, now_ms: u64) -> Option<i64> {
        let ttl = self.deadlines.get(&id).filter(|deadline| deadline.expires_ms > now_ms)?.ttl;
        self.set(id, ttl, now_ms);
        Some(ttl)
    }

    /// Seconds left (0 or less once expired) and seconds granted.
    pub fn remaining(&self, id: LeaseId, now_ms: u64) -> Option<(i64, i64)> {
        let deadline = self.deadlines.get(&id)?;
        let left_ms = deadline.expires_ms as i64 - now_ms as i64;
        Some((left_ms.div_euclid(1000), deadline.ttl))
    }

    /// Leases to revoke now, at most `max`; each comes again after a while if it is still there.
    pub fn expired(&mut self, now_ms: u64, max: usize) -> Vec<LeaseId> {
        let mut expired = Vec::new();
        while expired.len() < max
            && let Some(&(due_ms, id)) = self.queue.first().filter(|(due_ms, _)| *due_ms <= now_ms)
        {
            self.queue.remove(&(due_ms, id));
            let again_ms = now_ms + REVOKE_AGAIN_MS;
            self.queue.insert((again_ms, id));
            self.deadlines.get_mut(&id).expect("what is queued has a deadline").due_ms = again_ms;
            expired.push(id);
        }
        expired
    }

    fn set(&mut self, id: LeaseId, ttl: i64, from_ms: u64) {
        self.revoked(id);
        let expires_ms = from_ms.saturating_add((ttl.max(0) as u64).saturating_mul(1000));
        self.deadlines.insert(id, Deadline { ttl, expires_ms, due_ms: expires_ms });
        self.queue.insert((expires_ms, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_once_its_time_is_up_and_not_before() {
        let mut lessor = Lessor::new();
        lessor.granted(1, 2, 0);
        assert_eq!(lessor.expired(10_000, 10), [], "who does not lead expires nothing");
        lessor.lead([(1, 2), (2, 5)].into_iter(), 10_000, 1_000);
        assert_eq!(lessor.remaining(1, 10_000), Some((3, 2)));
        assert_eq!(lessor.expired(12_999, 10), []);
        assert_eq!(lessor.expired(13_000, 10), [1]);
        assert_eq!(lessor.renew(1, 13_000), None, "an expired lease is not revived");
        assert_eq!(lessor.expired(13_500, 10), [], "asked for once");
        assert_eq!(lessor.expired(15_000, 10), [1], "and again if it is still there");
        lessor.revoked(1);
        assert_eq!(lessor.renew(2, 15_500), Some(5));
        assert_eq!(lessor.expired(20_000, 10), []);
        assert_eq!(lessor.expired(20_500, 10), [2]);
    }

    #[test]
    fn no_more_than_asked_for_at_a_time() {
        let mut lessor = Lessor::new();
        lessor.lead((1..=100).map(|id| (id, 2)), 0, 0);
        assert_eq!(lessor.expired(2_000, 30).len(), 30);
        assert_eq!(lessor.expired(2_000, 100).len(), 70);
    }
}
