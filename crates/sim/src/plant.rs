//! Bugs put in on purpose: proof that the checks would notice.
//!
//! A check that has never failed proves nothing. Each [`Plant`] is a mistake that a textbook, a paper's erratum or
//! a public issue tracker knows, put into the world behind a switch; a test demands that a run catches each within
//! a bounded number of seeds. This module is the one place that knows which core runs with which rules.
//!
//! Mistakes in a protocol's rules are types that implement the core's rules with one method overridden, so that
//! they exist in this crate only and cannot be switched on in a product. Mistakes in the host (the disk, the
//! recovery, the client of a watch) are made by the simulated host when it is told to.

use quorate_protocol::{Ballot, LogId, NodeId};
use quorate_raft::{Raft, Rules, Term};

use crate::Options;
use crate::report::Report;
use crate::trace::Sink;
use crate::world::World;

/// A bug to put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    /// A restarted node does not know whom it voted for.
    ForgetVoteOnRestart,
    /// A vote is given without comparing logs.
    VoteWithoutLogCheck,
    /// An entry of an earlier term is committed by counting its replicas.
    CommitOldTermByCounting,
    /// A write counts as durable before its fsync.
    AckBeforeFsync,
    /// A leader serves reads without asking whether it still leads.
    ReadWithoutQuorumRound,
    /// A broken watch resumes one revision too late.
    WatchResumesOneLate,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 6] = [
        Plant::ForgetVoteOnRestart,
        Plant::VoteWithoutLogCheck,
        Plant::CommitOldTermByCounting,
        Plant::AckBeforeFsync,
        Plant::ReadWithoutQuorumRound,
        Plant::WatchResumesOneLate,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Plant::ForgetVoteOnRestart => "forget-vote-on-restart",
            Plant::VoteWithoutLogCheck => "vote-without-log-check",
            Plant::CommitOldTermByCounting => "commit-old-term-by-counting",
            Plant::AckBeforeFsync => "ack-before-fsync",
            Plant::ReadWithoutQuorumRound => "read-without-quorum-round",
            Plant::WatchResumesOneLate => "watch-resumes-one-late",
        }
    }

    /// Where the rule it breaks is written.
    pub fn origin(self) -> &'static str {
        match self {
            Plant::ForgetVoteOnRestart => "Raft fig. 2: votedFor is persistent state",
            Plant::VoteWithoutLogCheck => "Raft §5.4.1, election restriction",
            Plant::CommitOldTermByCounting => "Raft §5.4.2 and fig. 8",
            Plant::AckBeforeFsync => "Raft fig. 2: updated on stable storage before responding",
            Plant::ReadWithoutQuorumRound => "Raft §8; dissertation §6.4",
            Plant::WatchResumesOneLate => "etcd API guarantees: a watch is resumable",
        }
    }

    /// What goes wrong for it.
    pub fn breaks(self) -> &'static str {
        match self {
            Plant::ForgetVoteOnRestart => "two leaders in one term",
            Plant::VoteWithoutLogCheck => "a leader without committed entries",
            Plant::CommitOldTermByCounting => "a committed entry is overwritten",
            Plant::AckBeforeFsync => "an acknowledged write is lost",
            Plant::ReadWithoutQuorumRound => "a stale read",
            Plant::WatchResumesOneLate => "a watcher misses a change",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Plant> {
        Plant::ALL.into_iter().find(|plant| plant.name() == name)
    }
}

/// [`Plant::VoteWithoutLogCheck`].
#[derive(Debug)]
pub struct BlindVote;

impl Rules for BlindVote {
    fn may_vote(_candidate: LogId, _own: LogId) -> bool {
        true
    }
}

/// [`Plant::CommitOldTermByCounting`].
#[derive(Debug)]
pub struct CountOldTerms;

impl Rules for CountOldTerms {
    fn may_commit(_entry: Term, _current: Term) -> bool {
        true
    }
}

/// [`Plant::ReadWithoutQuorumRound`].
#[derive(Debug)]
pub struct TrustingRead;

impl Rules for TrustingRead {
    fn read_needs_quorum() -> bool {
        false
    }
}

/// Run one world with the core that the options ask for.
pub fn run(options: &Options, sink: Option<Sink<'_>>) -> Report {
    match options.plant {
        Some(Plant::VoteWithoutLogCheck) => World::<Raft<BlindVote>>::run(options, sink),
        Some(Plant::CommitOldTermByCounting) => World::<Raft<CountOldTerms>>::run(options, sink),
        Some(Plant::ReadWithoutQuorumRound) => World::<Raft<TrustingRead>>::run(options, sink),
        _ => World::<Raft>::run(options, sink),
    }
}

/// What recovery is given: the node's promise, or what a forgetful one makes of it.
pub fn promise_found(plant: Option<Plant>, promised: Ballot) -> Ballot {
    match plant {
        Some(Plant::ForgetVoteOnRestart) => Ballot { node: NodeId(0), ..promised },
        _ => promised,
    }
}

/// The revision from which a watcher that has seen everything below `next` asks again.
pub fn resume_from(plant: Option<Plant>, next: u64) -> u64 {
    match plant {
        Some(Plant::WatchResumesOneLate) => next + 1,
        _ => next,
    }
}
