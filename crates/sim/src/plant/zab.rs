//! Zab with one rule broken.

use quorate_protocol::{Index, Membership};
use quorate_zab::{History, Paper, Rules, Zab};

broken_rules! {
    Zab:
    fn may_lead(leader: History, own: History) -> bool { LeadWithoutHistory => true }
    fn promise_is_durable() -> bool { EpochAckedEarly => false }
    fn history_before_epoch() -> bool { EpochBeforeHistory => false }
    fn acknowledges_when_durable() -> bool { NewLeaderAckedEarly => false }
    fn may_establish(acknowledged: bool) -> bool { EstablishedEarly => true }
    fn place(next: Index, told: Index) -> Option<Index> { HoleClosed => Some(told.min(next)) }
    fn may_commit(quorum: Index, own: Index) -> Index { CommitWithoutQuorum => own }
    fn may_apply(commit: Index, matched: Index) -> Index { ApplyUnmatched => commit }
    fn heeds_what_was_held() -> bool { DamageForgotten => false }
    fn may_read(committed: u64, current: u64) -> bool { ReadBeforeNoop => true }
    fn read_needs_quorum() -> bool { ReadWithoutQuorumRound => false }
    fn first_question(drawn: u64) -> u64 { ReadTokensReused => 0 }
    fn lease_ticks(election_ticks: u32, drift_percent: u8) -> u32 { LeaseWithoutBound => election_ticks }
    fn keeps_promises_over_restarts() -> bool { VoteUnderLease => false }
    fn gives_up_lease_to_transfer() -> bool { LeaseKeptOnTransfer => false }
    fn towards(current: &Membership, target: &Membership) -> Membership { JointSkipped => target.clone() }
}
