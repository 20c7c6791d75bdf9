//! The rules safety rests on, one method each.
//!
//! They are apart from the machinery for two reasons: a reader finds them in one place with the sentence of
//! the paper each one is, and a simulator can run the very same machinery with one rule broken, to prove
//! that its checkers would notice. Production runs [`Paper`], which overrides nothing.

use quorate_protocol::{Ballot, Index, LogId, Membership, NodeId, Random};

use crate::message::Term;

/// Raft's rules. The provided methods are the paper's; overriding one makes a known-bad variant.
pub trait Rules {
    /// "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis" (§5.2).
    fn may_choose(vote: Option<NodeId>, candidate: NodeId) -> bool {
        vote.is_none_or(|chosen| chosen == candidate)
    }

    /// "If the logs have last entries with different terms, then the log with the later term is more
    /// up-to-date. If the logs end with the same term, then whichever log is longer is more up-to-date."
    /// A voter denies its vote if its own log is more up to date (§5.4.1).
    fn may_vote(candidate: LogId, own: LogId) -> bool {
        (candidate.ballot.round, candidate.index) >= (own.ballot.round, own.index)
    }

    /// A follower appends only what follows an entry it has: "if the follower does not find an entry in its log with
    /// the same index and term, then it refuses the new entries" (§5.3).
    fn may_follow(known: Option<Ballot>, prev: Ballot) -> bool {
        known == Some(prev)
    }

    /// "Raft never commits log entries from previous terms by counting replicas. Only log entries from the
    /// leader's current term are committed by counting replicas" (§5.4.2).
    fn may_commit(entry: Term, current: Term) -> bool {
        entry == current
    }

    /// How far a follower may take the leader's commit index: "min(leaderCommit, index of last new entry)"
    /// (figure 2), and no further than its log has been found to agree with this leader's.
    fn may_apply(commit: Index, matched: Index) -> Index {
        commit.min(matched)
    }

    /// What a log has durably held counts in its owner's vote even while the disk cannot give it back: others may
    /// count on it (Alagappan and others, "Protocol-Aware Recovery", FAST 2018).
    fn heeds_what_was_held() -> bool {
        true
    }

    /// "A leader must have the latest information on which entries are committed": it has it once an entry
    /// of its own term is committed (§8).
    fn may_read(committed: Term, current: Term) -> bool {
        committed == current
    }

    /// "A leader must check whether it has been deposed before processing a read-only request", by an
    /// exchange of heartbeats with a majority (§8).
    fn read_needs_quorum() -> bool {
        true
    }

    /// Where a node's questions about reads begin to be counted: somewhere else in each life, or an answer to an
    /// earlier life's question would be taken for an answer to a later one's (etcd issue 20418).
    fn first_question(drawn: u64) -> u64 {
        drawn
    }

    /// For how many of its ticks, from the one in which a heartbeat went out, a leader may count on the votes of
    /// those who answered it: a voter keeps its promise for an election timeout of its own ticks, of which the first
    /// may be nearly over, and its clock may be the faster one (§8; dissertation §6.4.1).
    fn lease_ticks(election_ticks: u32, drift_percent: u8) -> u32 {
        election_ticks.saturating_sub(1) * 100 / (100 + u32::from(drift_percent))
    }

    /// A voter that has restarted does not know whether it promised anything: it refuses candidates for as long as
    /// any promise of its former life can last.
    fn keeps_promises_over_restarts() -> bool {
        true
    }

    /// A leader that has asked another to take over has no lease any more, for the votes of that campaign are not
    /// refused.
    fn gives_up_lease_to_transfer() -> bool {
        true
    }

    /// The membership on the way to `target`: joint, so that "separate majorities from both the old and new
    /// configurations" are needed (§6).
    fn towards(current: &Membership, target: &Membership) -> Membership {
        current.towards(target)
    }

    /// A change may begin once an entry of the leader's own term is committed (Ongaro's correction of 2015 to
    /// dissertation §4.1); `since` is where the membership in force was appended, which must be committed as well.
    fn may_change(committed: (Index, Term), since: Index, current: Term) -> bool {
        committed.1 == current && since <= committed.0
    }

    /// Whether a node asks if it could win before it begins a term (dissertation §9.6). Safety does not rest on it; the
    /// papers' figures are of Raft without.
    fn asks_first() -> bool {
        true
    }

    /// Whether a node that refuses its vote in a later term begins its wait for a leader anew. The paper's does not: it waits
    /// "without receiving AppendEntries RPC from current leader or granting vote to candidate" (figure 2). Safety does
    /// not rest on it, and who would be refused does not begin a term where nodes ask first.
    fn waits_anew_when_refusing() -> bool {
        true
    }

    /// The ticks a node waits for a leader: "election timeouts are chosen randomly from a fixed interval" (§5.2). Safety
    /// does not rest on it; the papers' figures are of several intervals, and an exhaustive search leaves chance out.
    fn timeout(election_ticks: u32, random: &mut Random) -> u32 {
        random.between(u64::from(election_ticks), 2 * u64::from(election_ticks)) as u32
    }
}

/// The rules as published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paper;

impl Rules for Paper {}
