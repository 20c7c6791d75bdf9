//! Reads by lease: without a round of messages, on the word of clocks (§8; dissertation §6.4.1).
//!
//! A voter that answers a heartbeat promises to refuse candidates for an election timeout. As long as a quorum's
//! promises last, nobody else can have been elected, and the leader may serve reads at once. It counts from
//! the tick in which the heartbeat *went out*, and by [`Rules::lease_ticks`] makes room for the part of a tick that
//! neither side sees and for clocks that differ within the bound configured.
//!
//! A promise outlives what made it: the leader's deposition by a message of a later term, and the voter's own
//! restart, after which it keeps the promises it may have given. Only a campaign that the leader itself asked
//! for is not refused, and that leader has given its lease up (see [`crate::transfer`]).
//!
//! Beyond the bound the reads are stale: the simulator shows it with the bound left out (`lease-without-drift-bound`).
//! That is why leases are off unless configured.

use alloc::collections::VecDeque;

use quorate_protocol::{Membership, NodeId};

use crate::core::{Part, Raft};
use crate::rules::Rules;

/// Heartbeats remembered, at most; a lease that needs older ones has long run out.
const MOST_ROUNDS: usize = 64;

/// What a leader knows of its lease.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Lease {
    /// Heartbeats lately sent: round and tick.
    sent: VecDeque<(u64, u64)>,
    given_up: bool,
}

impl Lease {
    /// A heartbeat of this round goes out.
    pub fn sent(&mut self, round: u64, tick: u64) {
        if self.sent.len() == MOST_ROUNDS {
            self.sent.pop_front();
        }
        self.sent.push_back((round, tick));
    }

    /// There is no lease in this leadership any more.
    pub fn give_up<R: Rules>(&mut self) {
        self.given_up |= R::gives_up_lease_to_transfer();
    }

    /// The tick of the latest heartbeat up to `round`.
    fn since(&self, round: u64) -> Option<u64> {
        self.sent.iter().rev().find(|(sent, _)| *sent <= round).map(|(_, tick)| *tick)
    }
}

/// A voter's promise: candidates other than `to` are refused before the tick `until`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Promise {
    to: Option<NodeId>,
    until: u64,
}

impl Promise {
    /// What a restarted voter has to assume it promised, to whomever.
    pub fn of_a_former_life(election_ticks: u32) -> Self {
        Promise { to: None, until: u64::from(election_ticks) }
    }
}

impl<R: Rules> Raft<R> {
    /// Whether reads are served by lease.
    pub(crate) fn leases(&self) -> bool {
        self.config.lease_drift_percent.is_some()
    }

    /// Promise a leader to refuse candidates for a while.
    pub(crate) fn promise_to(&mut self, leader: NodeId) {
        if self.leases() {
            let until = self.clock + u64::from(self.config.election_ticks);
            self.promise = Promise { to: Some(leader), until };
        }
    }

    /// Whether a promise forbids to vote for `candidate`.
    pub(crate) fn bound_against(&self, candidate: NodeId) -> bool {
        self.leases() && self.clock < self.promise.until && self.promise.to != Some(candidate)
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
        let since = membership.reached(round).and_then(|round| leader.lease.since(round));
        let lasts = u64::from(R::lease_ticks(self.config.election_ticks, drift));
        !leader.lease.given_up && since.is_some_and(|since| self.clock - since < lasts)
    }
}
