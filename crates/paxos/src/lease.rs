//! Reads by lease: without a round of messages, on the word of clocks ("Paxos Made Live", §5.2: master leases).
//!
//! What a lease and a promise are is shared with the other protocols: [`quorate_protocol::lease`]. Here an acceptor that answers
//! a heartbeat refuses every other candidate for an election timeout; with as many as can choose a value, none can
//! be elected meanwhile. [`Rules::lease_ticks`] makes room for the part of a tick that neither side sees and for clocks that
//! differ within the bound configured. Only a campaign that the leader itself asked for is not refused, and that leader has
//! given its lease up (see [`crate::transfer`]).

use quorate_protocol::NodeId;
use quorate_protocol::lease::Promise;

use crate::core::{Part, Paxos};
use crate::rules::Rules;

impl<R: Rules> Paxos<R> {
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

    /// Whether that forbids to promise `candidate` anything.
    pub(crate) fn bound_against(&self, candidate: NodeId) -> bool {
        self.leases() && self.promise.forbids(candidate, self.clock)
    }

    /// Whether this leader's lease lasts.
    pub(crate) fn holds_lease(&self) -> bool {
        let (Part::Leader(leader), Some(drift)) = (&self.part, self.config.lease_drift_percent) else {
            return false;
        };
        let (own, membership) = (self.config.id, self.membership());
        let ticks = R::lease_ticks(self.config.election_ticks, drift);
        let confirmed = |round: u64| {
            membership.chooses(|node| {
                node == own || leader.peers.get(&node).is_some_and(|peer| peer.round >= round)
            })
        };
        // The latest round that enough have confirmed; the own word alone may be enough, for the latest begun.
        let rounds = leader.peers.values().map(|peer| peer.round).chain([leader.reads.round()]);
        let latest = rounds.filter(|round| confirmed(*round)).max();
        latest.is_some_and(|round| leader.lease.lasts(round, self.clock, ticks))
    }
}
