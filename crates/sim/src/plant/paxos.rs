//! Paxos with one rule broken.

use quorate_paxos::{Paper, Paxos, Rules};
use quorate_protocol::{Ballot, Entry, Index, Membership, NodeId};

broken_rules! {
    Paxos:
    fn may_apply(commit: Index, matched: Index) -> Index { ApplyUnmatched => commit }
    fn read_needs_quorum() -> bool { ReadWithoutQuorumRound => false }
    fn first_question(drawn: u64) -> u64 { ReadTokensReused => 0 }
    fn may_read(commit: Index, caught_up: Index) -> bool { ReadBeforeNoop => true }
    fn lease_ticks(election_ticks: u32, drift_percent: u8) -> u32 { LeaseWithoutBound => election_ticks }
    fn gives_up_lease_to_transfer() -> bool { LeaseKeptOnTransfer => false }
    fn keeps_promises_over_restarts() -> bool { VoteUnderLease => false }
    fn towards(current: &Membership, target: &Membership) -> Membership { JointSkipped => target.clone() }
    fn heeds_what_was_held() -> bool { DamageForgotten => false }
    fn may_promise(promised: Ballot, asked: Ballot) -> bool { PromiseAnyBallot => true }
    fn may_accept(promised: Ballot, proposed: Ballot) -> bool { AcceptAnyBallot => true }
    fn reports_what_was_accepted() -> bool { PromiseWithoutReport => false }
    fn outranks(other: &Entry, known: &Entry) -> bool { LargestValue => other.data > known.data }
    fn closes_gaps() -> bool { GapsClosed => true }
    fn next_round(promised: Ballot, seen: u64) -> Option<u64> { RoundReused => Some(promised.round.max(seen).max(1)) }
    fn elects(membership: &Membership, promised: impl Fn(NodeId) -> bool) -> bool { QuorumsDisjoint => membership.chooses(promised) }
}
