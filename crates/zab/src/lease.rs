//! Reads by lease: without a round of messages, on the word of clocks.
//!
//! What a lease and a promise are is shared with the other protocols: [`quorate_protocol::lease`]. Here:
//!
//! * A voter that answers a heartbeat promises to accept no other node's epoch, and to elect nobody else, for an
//!   election timeout. [`Rules::lease_ticks`] makes room for the part of a tick that neither side sees and for clocks
//!   that differ within the bound configured.
//! * Only an election that the leader itself asked for is not refused, and that leader has given its lease up (see
//!   [`crate::transfer`]); nor an epoch that a quorum has accepted already, for then that quorum was free to.
//!
//! Beyond the bound the reads are stale. That is why leases are off unless configured.

use crate::core::{Part, Zab};
use crate::rules::Rules;

impl<R: Rules> Zab<R> {
    /// Whether this leader's lease lasts.
    pub(crate) fn holds_lease(&self) -> bool {
        let (Part::Leading(leader), Some(drift)) = (&self.part, self.config.lease_drift_percent) else {
            return false;
        };
        let ticks = R::lease_ticks(self.config.election_ticks, drift);
        let confirmed = |round| leader.is_confirmed(round, self.config.id, self.membership());
        leader.lease.lasts(self.leases.now(), ticks, confirmed)
    }
}
