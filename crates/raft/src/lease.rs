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

use crate::core::{Part, Raft};
use crate::rules::Rules;

impl<R: Rules> Raft<R> {
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
