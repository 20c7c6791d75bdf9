//! Bugs put in on purpose: proof that the checks would notice.
//!
//! A check that has never failed proves nothing. Each [`Plant`] is a mistake that a textbook, a paper's erratum or
//! a public issue tracker knows, put into the world behind a switch; a test demands that a run catches each within
//! a bounded number of seeds. This module is the one place that knows which core runs with which rules.
//!
//! Mistakes in a protocol's rules are types that implement the core's rules with one method overridden, so that
//! they exist in this crate only and cannot be switched on in a product. Mistakes in the host (the disk, the
//! recovery, the client of a watch) are made by the simulated host when it is told to.

use quorate_kv::{MemoryStorage, Meta, Storage};
use quorate_protocol::codec::{Encode, Reader, Writer};
use quorate_protocol::{Ballot, Index, LogId, Membership, NodeId, Recovered};
use quorate_raft::{Body, Message, Raft, Rules, Term};

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
    /// A vote is given to whoever asks, whenever there is no leader.
    VoteWithoutLeader,
    /// An entry of an earlier term is committed by counting its replicas.
    CommitOldTermByCounting,
    /// A log is extended without looking at the entry before.
    AppendWithoutCheck,
    /// What the leader has committed is applied without having been compared.
    ApplyUnmatched,
    /// A write counts as durable before its fsync.
    AckBeforeFsync,
    /// An fsync counts for what was appended while it was under way.
    SyncCoversLater,
    /// A leader serves reads without asking whether it still leads.
    ReadWithoutQuorumRound,
    /// A node that restarts asks its first question about reads under the name of a former life's.
    ReadTokensReused,
    /// A new leader serves reads before an entry of its term is committed.
    ReadBeforeNoop,
    /// A leader's lease takes no notice of how much clocks may differ.
    LeaseWithoutBound,
    /// A leader that hands over keeps its lease.
    LeaseKeptOnTransfer,
    /// A restarted voter forgets the promise that a lease rests on.
    VoteUnderLease,
    /// The new voters take over at once.
    JointSkipped,
    /// A log cut short by damage votes as if it had never been longer.
    DamageForgotten,
    /// An image is acknowledged before it is durable.
    SnapshotAckedEarly,
    /// An image holds less than the entry that it is said to stand at.
    ImageOlderThanLabel,
    /// The applied index is durable before the data.
    AppliedIndexFirst,
    /// The data is durable before the applied index.
    DataSavedFirst,
    /// A node proposes again, at a new leader, what the old one did not answer.
    RetriedProposal,
    /// One member keeps the keys of a revoked lease.
    RevokeOnOneNode,
    /// A new leader does not give leases their full time again.
    LeaseCutShort,
    /// A broken watch resumes one revision too late.
    WatchResumesOneLate,
    /// A resumed watch begins one revision too early.
    WatchRepeats,
    /// A part of a large response does not say that more follows.
    FragmentUnmarked,
    /// A watch whose history is gone goes on with what is left.
    CancelLost,
}

/// For each its name on the command line, where the rule it breaks is written, and what goes wrong for it.
const FACTS: [(Plant, &str, &str, &str); 27] = [
    (
        Plant::ForgetVoteOnRestart,
        "forget-vote-on-restart",
        "Raft fig. 2: votedFor is persistent state",
        "two leaders in one term",
    ),
    (
        Plant::VoteWithoutLogCheck,
        "vote-without-log-check",
        "Raft §5.4.1, election restriction",
        "a leader without committed entries",
    ),
    (
        Plant::VoteWithoutLeader,
        "vote-without-leader",
        "a textbook's form of Raft §5.2",
        "two leaders in one term",
    ),
    (
        Plant::CommitOldTermByCounting,
        "commit-old-term-by-counting",
        "Raft §5.4.2 and fig. 8",
        "a committed entry is overwritten",
    ),
    (
        Plant::AppendWithoutCheck,
        "append-without-check",
        "a textbook's form of Raft §5.3",
        "logs that differ before an equal entry",
    ),
    (
        Plant::ApplyUnmatched,
        "apply-unmatched",
        "Raft fig. 2: the index of the last new entry",
        "an entry applied that was never committed",
    ),
    (
        Plant::AckBeforeFsync,
        "ack-before-fsync",
        "Raft fig. 2: updated on stable storage before responding",
        "an acknowledged write is lost",
    ),
    (
        Plant::SyncCoversLater,
        "sync-covers-later-writes",
        "group commit's usual mistake",
        "an entry acknowledged before it is durable",
    ),
    (
        Plant::ReadWithoutQuorumRound,
        "read-without-quorum-round",
        "Raft §8; dissertation §6.4",
        "a stale read",
    ),
    (Plant::ReadTokensReused, "read-tokens-reused", "etcd issue 20418", "a stale read"),
    (Plant::ReadBeforeNoop, "read-before-noop", "Raft §8; etcd issue 7331", "a stale read"),
    (Plant::LeaseWithoutBound, "lease-without-drift-bound", "Raft dissertation §6.4.1", "a stale read"),
    (Plant::LeaseKeptOnTransfer, "lease-kept-on-transfer", "Raft dissertation §6.4.1", "a stale read"),
    (Plant::VoteUnderLease, "vote-after-restart-under-lease", "Raft dissertation §6.4.1", "a stale read"),
    (Plant::JointSkipped, "joint-skipped", "Raft §6", "two disjoint majorities"),
    (
        Plant::DamageForgotten,
        "damage-forgotten",
        "Alagappan and others, FAST 2018",
        "a leader without committed entries",
    ),
    (
        Plant::SnapshotAckedEarly,
        "snapshot-acked-early",
        "Raft §7: stored before it is answered",
        "a state machine behind its log",
    ),
    (
        Plant::ImageOlderThanLabel,
        "image-older-than-label",
        "etcd's data inconsistencies after a snapshot",
        "a follower with another state",
    ),
    (
        Plant::AppliedIndexFirst,
        "applied-index-saved-first",
        "etcd issue 13766 (v3.5.0 to v3.5.2)",
        "an entry never applied",
    ),
    (
        Plant::DataSavedFirst,
        "data-saved-before-index",
        "etcd issue 13766, the other way round",
        "an entry applied twice",
    ),
    (
        Plant::RetriedProposal,
        "proposal-retried",
        "Raft §8: a command may be executed twice",
        "a write carried out twice",
    ),
    (Plant::RevokeOnOneNode, "revoke-keeps-keys", "etcd's lease promise", "members that differ"),
    (Plant::LeaseCutShort, "lease-cut-short", "etcd's lease promise", "a lease that ends early"),
    (
        Plant::WatchResumesOneLate,
        "watch-resumes-one-late",
        "etcd API guarantees: a watch is resumable",
        "a watcher misses a change",
    ),
    (
        Plant::WatchRepeats,
        "watch-repeats",
        "etcd API guarantees: a watch is unique",
        "a watcher is told twice",
    ),
    (
        Plant::FragmentUnmarked,
        "fragment-unmarked",
        "etcd API guarantees: a watch is atomic",
        "a revision in two halves",
    ),
    (
        Plant::CancelLost,
        "compaction-cancel-lost",
        "etcd API guarantees: a watch is reliable",
        "a watcher misses changes unawares",
    ),
];

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 27] = [
        Plant::ForgetVoteOnRestart,
        Plant::VoteWithoutLogCheck,
        Plant::VoteWithoutLeader,
        Plant::CommitOldTermByCounting,
        Plant::AppendWithoutCheck,
        Plant::ApplyUnmatched,
        Plant::AckBeforeFsync,
        Plant::SyncCoversLater,
        Plant::ReadWithoutQuorumRound,
        Plant::ReadTokensReused,
        Plant::ReadBeforeNoop,
        Plant::LeaseWithoutBound,
        Plant::LeaseKeptOnTransfer,
        Plant::VoteUnderLease,
        Plant::JointSkipped,
        Plant::DamageForgotten,
        Plant::SnapshotAckedEarly,
        Plant::ImageOlderThanLabel,
        Plant::AppliedIndexFirst,
        Plant::DataSavedFirst,
        Plant::RetriedProposal,
        Plant::RevokeOnOneNode,
        Plant::LeaseCutShort,
        Plant::WatchResumesOneLate,
        Plant::WatchRepeats,
        Plant::FragmentUnmarked,
        Plant::CancelLost,
    ];

    fn facts(self) -> (&'static str, &'static str, &'static str) {
        let row = FACTS.iter().find(|row| row.0 == self);
        row.map(|row| (row.1, row.2, row.3)).expect("every bug has its facts")
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// Where the rule it breaks is written.
    pub fn origin(self) -> &'static str {
        self.facts().1
    }

    /// What goes wrong for it.
    pub fn breaks(self) -> &'static str {
        self.facts().2
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Plant> {
        Plant::ALL.into_iter().find(|plant| plant.name() == name)
    }
}

/// Raft with one rule broken for each name.
macro_rules! broken_rules {
    ($($name:ident: fn $rule:ident($($argument:ident: $type:ty),*) -> $answer:ty $body:block)*) => {
        $(
            #[doc = concat!("[`Plant::", stringify!($name), "`].")]
            #[derive(Debug)]
            pub struct $name;

            impl Rules for $name {
                fn $rule($($argument: $type),*) -> $answer $body
            }
        )*

        /// Run one world with the core that the options ask for.
        pub fn run(options: &Options, sink: Option<Sink<'_>>) -> Report {
            match options.plant {
                $(Some(Plant::$name) => World::<Raft<$name>>::run(options, sink),)*
                _ => World::<Raft>::run(options, sink),
            }
        }
    };
}

broken_rules! {
    VoteWithoutLogCheck: fn may_vote(_candidate: LogId, _own: LogId) -> bool { true }
    VoteWithoutLeader: fn may_choose(_vote: Option<NodeId>, _candidate: NodeId) -> bool { true }
    CommitOldTermByCounting: fn may_commit(_entry: Term, _current: Term) -> bool { true }
    AppendWithoutCheck: fn may_follow(known: Option<Ballot>, _prev: Ballot) -> bool { known.is_some() }
    ApplyUnmatched: fn may_apply(commit: Index, _matched: Index) -> Index { commit }
    ReadWithoutQuorumRound: fn read_needs_quorum() -> bool { false }
    ReadTokensReused: fn first_question(_drawn: u64) -> u64 { 0 }
    ReadBeforeNoop: fn may_read(_committed: Term, _current: Term) -> bool { true }
    LeaseWithoutBound: fn lease_ticks(election_ticks: u32, _drift_percent: u8) -> u32 { election_ticks }
    LeaseKeptOnTransfer: fn gives_up_lease_to_transfer() -> bool { false }
    VoteUnderLease: fn keeps_promises_over_restarts() -> bool { false }
    JointSkipped: fn towards(_current: &Membership, target: &Membership) -> Membership { target.clone() }
    DamageForgotten: fn heeds_what_was_held() -> bool { false }
}

/// What recovery is given: what the log holds, or what a forgetful node makes of it.
pub fn found(plant: Option<Plant>, found: Recovered) -> Recovered {
    match plant {
        Some(Plant::ForgetVoteOnRestart) => {
            Recovered { promised: Ballot { node: NodeId(0), ..found.promised }, ..found }
        }
        _ => found,
    }
}

/// What a boastful leader says in place of this message: that all it has committed may be applied. (A leader tells each
/// follower no more than that one has matched, so the rule is kept at both ends, and broken at both here.)
pub fn boasts<M: Encode>(
    plant: Option<Plant>,
    message: &M,
    commit: impl FnOnce() -> Index,
) -> Option<Message> {
    if plant != Some(Plant::ApplyUnmatched) {
        return None;
    }
    let mut out = Writer::new();
    message.encode(&mut out);
    let mut message: Message = Reader::whole(out.into_bytes()).ok()?;
    match &mut message.body {
        Body::Heartbeat { commit: told, .. } => *told = commit(),
        _ => return None,
    }
    Some(message)
}

/// The revision from which a watcher that has seen everything below `next` asks again.
pub fn resume_from(plant: Option<Plant>, next: u64) -> u64 {
    match plant {
        Some(Plant::WatchResumesOneLate) => next + 1,
        _ => next,
    }
}

/// The revision from which a node serves a watch that asks for this one.
pub fn serve_from(plant: Option<Plant>, start: i64) -> i64 {
    match plant {
        Some(Plant::WatchRepeats) if start > 1 => start - 1,
        _ => start,
    }
}

/// The time from which a new leader counts its leases.
pub fn leases_from(plant: Option<Plant>, now_ms: u64) -> u64 {
    match plant {
        Some(Plant::LeaseCutShort) => 0,
        _ => now_ms,
    }
}

/// What of a checkpoint is durable already when it has only begun.
pub fn checkpoint_begins(plant: Option<Plant>, old: &mut MemoryStorage, new: &MemoryStorage) {
    let (before, after) = (old.meta(), new.meta());
    match plant {
        Some(Plant::AppliedIndexFirst) => old.set_meta(&standing(before, &after)),
        Some(Plant::DataSavedFirst) => {
            old.clone_from(new);
            old.set_meta(&standing(after, &before));
        }
        _ => {}
    }
}

/// What an image is made of, if not of the state.
pub fn image_of(plant: Option<Plant>, old: &MemoryStorage, now: &MemoryStorage) -> Option<MemoryStorage> {
    let older = plant == Some(Plant::ImageOlderThanLabel) && old.meta().applied_index > 0;
    older.then(|| {
        let mut image = old.clone();
        image.set_meta(&standing(old.meta(), &now.meta()));
        image
    })
}

/// Facts that claim to stand where others do.
fn standing(facts: Meta, place: &Meta) -> Meta {
    Meta { applied_index: place.applied_index, applied_ballot: place.applied_ballot, ..facts }
}

/// Whether an image is durable before anything more is done.
pub fn keeps_image(plant: Option<Plant>) -> bool {
    plant != Some(Plant::SnapshotAckedEarly)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_named_once() {
        for (at, plant) in Plant::ALL.into_iter().enumerate() {
            assert_eq!(plant as usize, at);
            assert_eq!(Plant::named(plant.name()), Some(plant));
        }
    }
}
