//! Reads by lease: without a round of messages, on the word of clocks ("Paxos Made Live", §5.2: master leases).
//!
//! What a lease and a promise are is shared with the other protocols: [`quorate_protocol::lease`]. Here an acceptor that answers
//! a heartbeat refuses every other candidate for an election timeout; with as many as can choose a value, none can
//! be elected meanwhile. [`Rules::lease_ticks`] makes room for the part of a tick that neither side sees and for clocks that
//! differ within the bound configured. Only a campaign that the leader itself asked for is not refused, and that leader has
//! given its lease up (see [`crate::transfer`]).

use crate::core::{Part, Paxos};
use crate::rules::Rules;

impl<R: Rules> Paxos<R> {
    /// Whether this leader's lease lasts.
    pub(crate) fn holds_lease(&self) -> bool {
        let (Part::Leader(leader), Some(drift)) = (&self.part, self.config.lease_drift_percent) else {
            return false;
        };
        let ticks = R::lease_ticks(self.config.election_ticks, drift);
        let confirmed = |round| leader.is_confirmed(round, self.config.id, self.membership());
        leader.lease.lasts(self.leases.now(), ticks, confirmed)
    }
}
