//! Reads by lease: without a round of messages, on the word of clocks (§8; dissertation §6.4.1).
//!
//! What a lease and a promise are is shared with the other protocols: [`quorate_protocol::lease`]. Here:
//!
//! * [`Rules::lease_ticks`] makes room for the part of a tick that neither side sees and for clocks that differ
//!   within the bound configured.
//! * A promise outlives the leader's deposition by a message of a later term. Only a campaign that the leader itself
//!   asked for is not refused, and that leader has given its lease up (see [`crate::transfer`]).
//!
//! Beyond the bound the reads are stale: the simulator shows it with the bound left out (`lease-without-drift-bound`).
//! That is why leases are off unless configured.

use quorate_protocol::lease::Promise;
use quorate_protocol::{Membership, NodeId};

use crate::core::{Part, Raft};
use crate::rules::Rules;

impl<R: Rules> Raft<R> {
    /// Whether reads are served by lease.
    pub(crate) fn leases(&self) -> bool {
        self.config.lease_drift_percent.is_some()
    }

    /// Promise a leader to refuse candidates for a while.
    pub(crate) fn promise_to(&mut self, leader: NodeId) {
        if self.leases() {
            self.promise = Promise::new(leader, self.clock + u64::from(self.config.election_ticks));
        }
    }

    /// Whether a promise forbids to vote for `candidate`.
    pub(crate) fn bound_against(&self, candidate: NodeId) -> bool {
        self.leases() && self.promise.forbids(candidate, self.clock)
    }

    /// Whether this leader's lease lasts.
    pub(crate) fn holds_lease(&self, membership: &Membership) -> bool {
        let (Part::Leader(leader), Some(drift)) = (&self.part, self.config.lease_drift_percent) else {
            return false;
        };
        let own = self.config.id;
        let round = |node| match node == own {
            true => u64::MAX,
            false => leader.peers.get(&node).map_or(0, |peer| peer.round),
        };
        let lasts = R::lease_ticks(self.config.election_ticks, drift);
        membership.reached(round).is_some_and(|round| leader.lease.lasts(round, self.clock, lasts))
    }
}
