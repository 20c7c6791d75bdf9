//! Raft with one rule broken.

use quorate_protocol::codec::{Decode, Encode, Reader, Writer};
use quorate_protocol::{Ballot, Index, LogId, Membership, NodeId, Recovered};
use quorate_raft::{Body, Message, Paper, Raft, Rules, Term};

broken_rules! {
    Raft:
    fn may_vote(candidate: LogId, own: LogId) -> bool { VoteWithoutLogCheck => true }
    fn may_choose(vote: Option<NodeId>, candidate: NodeId) -> bool { VoteWithoutLeader => true }
    fn may_commit(entry: Term, current: Term) -> bool { CommitOldTermByCounting => true }
    fn may_follow(known: Option<Ballot>, prev: Ballot) -> bool { AppendWithoutCheck => known.is_some() }
    fn may_apply(commit: Index, matched: Index) -> Index { ApplyUnmatched => commit }
    fn read_needs_quorum() -> bool { ReadWithoutQuorumRound => false }
    fn first_question(drawn: u64) -> u64 { ReadTokensReused => 0 }
    fn may_read(committed: Term, current: Term) -> bool { ReadBeforeNoop => true }
    fn lease_ticks(election_ticks: u32, drift_percent: u8) -> u32 { LeaseWithoutBound => election_ticks }
    fn gives_up_lease_to_transfer() -> bool { LeaseKeptOnTransfer => false }
    fn keeps_promises_over_restarts() -> bool { VoteUnderLease => false }
    fn towards(current: &Membership, target: &Membership) -> Membership { JointSkipped => target.clone() }
    fn heeds_what_was_held() -> bool { DamageForgotten => false }
}

/// What a node finds that does not keep its vote.
pub fn without_vote(found: Recovered) -> Recovered {
    Recovered { promised: Ballot { node: NodeId(0), ..found.promised }, ..found }
}

/// What a boastful leader says in place of this message: that all it has committed may be applied. (A leader tells each
/// follower no more than that one has matched, so the rule is kept at both ends, and broken at both here.)
pub fn boasts<M: Encode + Decode>(message: &M, commit: Index) -> Option<M> {
    let mut message: Message = again(message)?;
    match &mut message.body {
        Body::Heartbeat { commit: told, .. } => *told = commit,
        _ => return None,
    }
    again(&message)
}

/// The same message as another type: whoever calls knows which it is, and cannot say so.
fn again<A: Encode, B: Decode>(message: &A) -> Option<B> {
    let mut out = Writer::new();
    message.encode(&mut out);
    Reader::whole(out.into_bytes()).ok()
}
