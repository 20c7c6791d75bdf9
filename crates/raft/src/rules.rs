//! The rules safety rests on, one method each.
//!
//! They are apart from the machinery for two reasons: a reader finds them in one place with the sentence of
//! the paper each one is, and a simulator can run the very same machinery with one rule broken, to prove
//! that its checkers would notice. Production runs [`Paper`], which overrides nothing.

use quorate_protocol::{Index, LogId};

use crate::message::Term;

/// Raft's rules. The provided methods are the paper's; overriding one makes a known-bad variant.
pub trait Rules {
    /// "If the logs have last entries with different terms, then the log with the later term is more
    /// up-to-date. If the logs end with the same term, then whichever log is longer is more up-to-date."
    /// A voter denies its vote if its own log is more up to date (§5.4.1).
    fn may_vote(candidate: LogId, own: LogId) -> bool {
        (candidate.ballot.round, candidate.index) >= (own.ballot.round, own.index)
    }

    /// "Raft never commits log entries from previous terms by counting replicas. Only log entries from the
    /// leader's current term are committed by counting replicas" (§5.4.2).
    fn may_commit(entry: Term, current: Term) -> bool {
        entry == current
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

    /// How far a follower may take the leader's commit index: "min(leaderCommit, index of last new entry)"
    /// (figure 2), and no further than its log has been found to agree with this leader's.
    fn may_apply(commit: Index, matched: Index) -> Index {
        commit.min(matched)
    }
}

/// The rules as published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paper;

impl Rules for Paper {}
