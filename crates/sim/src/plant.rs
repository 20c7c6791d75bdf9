//! Bugs put in on purpose: proof that the checks would notice.
//!
//! A check that has never failed proves nothing. Each [`Plant`] is a mistake that a textbook, a paper's erratum or
//! a public issue tracker knows, put into the world behind a switch; a test demands that a run catches each within
//! a bounded number of seeds.
//!
//! Mistakes in a protocol's rules are made by a type that implements the core's rules and has one method broken, so that
//! they exist in this crate only and cannot be switched on in a product; each protocol has a file of its own for them,
//! which is also the one place that makes a world of its core. Mistakes in the host (the disk, the recovery, the client of
//! a watch) are made by the simulated host when it is told to, with whatever protocol.
//!
//! | mistakes in | file |
//! |---|---|
//! | checkpoints and images of the state | `store` |
//! | watches and leases | `watch` |
//! | Raft's rules | `raft` |
//! | Paxos' rules | `paxos` |
//! | Zab's rules | `zab` |
//! | the rules of atomic commit | `commit` |
//! | Chord's rules | `chord` |

use std::cell::Cell;

use quorate_protocol::codec::{Decode, Encode};
use quorate_protocol::{Ballot, Index, Recovered};

use crate::report::Report;
use crate::trace::Sink;
use crate::{Options, Protocol};

/// A protocol's worlds: `run` makes one with the core that the options ask for. Each rule is given with the bug that
/// breaks it, and with what it is then.
macro_rules! broken_rules {
    ($core:ident: $(fn $rule:ident($($argument:ident: $type:ty),*) -> $answer:ty { $bug:ident => $broken:expr })*) => {
        /// The rules as published, but for one.
        #[derive(Debug)]
        pub struct Broken;

        impl Rules for Broken {
            $(
                fn $rule($($argument: $type),*) -> $answer {
                    match super::is_in(crate::Plant::$bug) {
                        true => $broken,
                        false => Paper::$rule($($argument),*),
                    }
                }
            )*
        }

        /// Run one world with the core that the options ask for.
        pub fn run(options: &crate::Options, sink: Option<crate::trace::Sink<'_>>) -> crate::report::Report {
            match options.plant {
                Some(plant) => super::with(plant, || crate::world::World::<$core<Broken>>::run(options, sink)),
                None => crate::world::World::<$core>::run(options, sink),
            }
        }
    };
}

thread_local! {
    /// The bug that is in the run on this thread: rules are functions without a place to keep it.
    static IN: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Whether this bug is in the run on this thread.
fn is_in(plant: Plant) -> bool {
    IN.get() == Some(plant)
}

/// Do something with a bug in.
fn with<T>(plant: Plant, run: impl FnOnce() -> T) -> T {
    let before = IN.replace(Some(plant));
    let done = run();
    IN.set(before);
    done
}

mod chord;
mod commit;
mod paxos;
mod raft;
mod store;
mod watch;
mod zab;

pub use commit::Broken as CommitRules;
pub use store::{checkpoint_begins, image_of, keeps_image};
pub use watch::{leases_from, resume_from, serve_from};

/// Makes the type of all bugs: of each its name on the command line, the protocols that can have it, where the rule it
/// breaks is written, and what goes wrong for it.
macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident: $name:literal, $protocols:expr, $origin:literal, $breaks:literal;)*) => {
        /// A bug to put in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant {
            $($(#[$doc])* $bug,)*
        }

        impl Plant {
            /// All of them.
            pub const ALL: &[Plant] = &[$(Plant::$bug),*];

            fn facts(self) -> (&'static str, &'static [Protocol], &'static str, &'static str) {
                match self {
                    $(Plant::$bug => ($name, $protocols, $origin, $breaks),)*
                }
            }
        }
    };
}

const ANY: &[Protocol] = &Protocol::CONSENSUS;
const ATOMIC: &[Protocol] = &Protocol::ATOMIC;
const TWO_PHASE: &[Protocol] = &[Protocol::TwoPhase];
const THREE_PHASE: &[Protocol] = &[Protocol::ThreePhase];
const RAFT: &[Protocol] = &[Protocol::Raft];
const PAXOS: &[Protocol] = &[Protocol::Paxos];
const ZAB: &[Protocol] = &[Protocol::Zab];
const CHORD: &[Protocol] = &[Protocol::Chord];
/// Those where what was promised is apart from what was accepted.
const PROMISING: &[Protocol] = &[Protocol::Paxos, Protocol::Zab];

bugs! {
    /// A restarted node does not know whom it voted for.
    ForgetVoteOnRestart: "forget-vote-on-restart", RAFT,
        "Raft fig. 2: votedFor is persistent state",
        "two leaders in one term";
    /// A vote is given without comparing logs.
    VoteWithoutLogCheck: "vote-without-log-check", RAFT,
        "Raft §5.4.1, election restriction",
        "a leader without committed entries";
    /// A vote is given to whoever asks, whenever there is no leader.
    VoteWithoutLeader: "vote-without-leader", RAFT,
        "a textbook's form of Raft §5.2",
        "two leaders in one term";
    /// An entry of an earlier term is committed by counting its replicas.
    CommitOldTermByCounting: "commit-old-term-by-counting", RAFT,
        "Raft §5.4.2 and fig. 8",
        "a committed entry is overwritten";
    /// A log is extended without looking at the entry before.
    AppendWithoutCheck: "append-without-check", RAFT,
        "a textbook's form of Raft §5.3",
        "logs that differ before an equal entry";
    /// What the leader has committed is applied without having been compared.
    ApplyUnmatched: "apply-unmatched", ANY,
        "Raft fig. 2: the index of the last new entry",
        "an entry applied that was never committed";
    /// A restarted node does not know what it promised, only what is in its log.
    ForgetPromiseOnRestart: "forget-promise-on-restart", PROMISING,
        "Lamport 2001 §2.5; Zab §V: acceptedEpoch is persistent",
        "two leaders with the same acceptors behind them";
    /// An acceptor accepts under whatever ballot.
    AcceptAnyBallot: "accept-any-ballot", PAXOS,
        "a textbook's form of Lamport 2001 §2.2, phase 2b",
        "a value chosen twice";
    /// A promise does not report what was accepted.
    PromiseWithoutReport: "promise-without-report", PAXOS,
        "Lamport 2001 §2.2, phase 1b",
        "a chosen value is overwritten";
    /// Of the values reported the largest is proposed.
    LargestValue: "largest-value", PAXOS,
        "a textbook's form of Lamport 2001 §2.2, phase 2a",
        "a chosen value is overwritten";
    /// Where nothing is reported for a slot, what follows moves up.
    GapsClosed: "gaps-closed", PAXOS,
        "Lamport 2001 §3: gaps are filled with no-ops",
        "a chosen value in another slot";
    /// A ballot is begun again that was begun before, by its proposer or by another.
    RoundReused: "round-reused", PAXOS,
        "Lamport 2001 §2.5: a proposer remembers its highest number, and tries a greater one",
        "a proposer to whom nobody promises anything";
    /// As many promises are enough as accept a value.
    QuorumsDisjoint: "quorums-disjoint", PAXOS,
        "Howard, Malkhi and Spiegelman 2016: every election meets every write",
        "a leader that misses what is chosen";
    /// A server leads whoever follows it, also those with a longer history.
    LeadWithoutHistory: "lead-without-history", ZAB,
        "Zab §V, phase 1: the leader's history is the latest of its quorum's",
        "a leader without committed entries";
    /// currentEpoch is durable before the history that belongs to it.
    EpochBeforeHistory: "epoch-before-history", ZAB,
        "ZOOKEEPER-4643",
        "a leader without committed entries";
    /// A history is acknowledged before it is durable.
    NewLeaderAckedEarly: "new-leader-acked-early", ZAB,
        "ZOOKEEPER-4646 and 4785",
        "an acknowledged write is lost";
    /// A leader begins to propose before a quorum has its history.
    EstablishedEarly: "established-early", ZAB,
        "Zab §V, phase 2: a quorum acknowledges NEWLEADER",
        "a delivered history is lost";
    /// What follows a hole is put into it.
    HoleClosed: "hole-closed", ZAB,
        "ZOOKEEPER-4925; Zab §III: channels are prefix-preserving",
        "histories that differ";
    /// A leader commits what its own log holds.
    CommitWithoutQuorum: "commit-without-quorum", ZAB,
        "Zab §V, phase 3: a quorum acknowledges a proposal",
        "an acknowledged write is lost";
    /// A write counts as durable before its fsync.
    AckBeforeFsync: "ack-before-fsync", ANY,
        "Raft fig. 2: updated on stable storage before responding",
        "an acknowledged write is lost";
    /// An fsync counts for what was appended while it was under way.
    SyncCoversLater: "sync-covers-later-writes", ANY,
        "group commit's usual mistake",
        "an entry acknowledged before it is durable";
    /// A leader serves reads without asking whether it still leads.
    ReadWithoutQuorumRound: "read-without-quorum-round", ANY,
        "Raft §8; dissertation §6.4",
        "a stale read";
    /// A node that restarts asks its first question about reads under the name of a former life's.
    ReadTokensReused: "read-tokens-reused", ANY,
        "etcd issue 20418",
        "a stale read";
    /// A new leader serves reads before an entry of its term is committed.
    ReadBeforeNoop: "read-before-noop", ANY,
        "Raft §8; etcd issue 7331",
        "a stale read";
    /// A leader's lease takes no notice of how much clocks may differ.
    LeaseWithoutBound: "lease-without-drift-bound", ANY,
        "Raft dissertation §6.4.1",
        "a stale read";
    /// A leader that hands over keeps its lease.
    LeaseKeptOnTransfer: "lease-kept-on-transfer", ANY,
        "Raft dissertation §6.4.1",
        "a stale read";
    /// A restarted voter forgets the promise that a lease rests on.
    VoteUnderLease: "vote-after-restart-under-lease", ANY,
        "Raft dissertation §6.4.1",
        "a stale read";
    /// The new voters take over at once.
    JointSkipped: "joint-skipped", ANY,
        "Raft §6",
        "two disjoint majorities";
    /// A log cut short by damage votes as if it had never been longer.
    DamageForgotten: "damage-forgotten", ANY,
        "Alagappan and others, FAST 2018",
        "a leader without committed entries";
    /// An image is acknowledged before it is durable.
    SnapshotAckedEarly: "snapshot-acked-early", ANY,
        "Raft §7: stored before it is answered",
        "a state machine behind its log";
    /// An image holds less than the entry that it is said to stand at.
    ImageOlderThanLabel: "image-older-than-label", ANY,
        "etcd's data inconsistencies after a snapshot",
        "a follower with another state";
    /// The applied index is durable before the data.
    AppliedIndexFirst: "applied-index-saved-first", ANY,
        "etcd issue 13766 (v3.5.0 to v3.5.2)",
        "an entry never applied";
    /// The data is durable before the applied index.
    DataSavedFirst: "data-saved-before-index", ANY,
        "etcd issue 13766, the other way round",
        "an entry applied twice";
    /// A node proposes again, at a new leader, what the old one did not answer.
    RetriedProposal: "proposal-retried", ANY,
        "Raft §8: a command may be executed twice",
        "a write carried out twice";
    /// One member keeps the keys of a revoked lease.
    RevokeOnOneNode: "revoke-keeps-keys", ANY,
        "etcd's lease promise",
        "members that differ";
    /// A new leader does not give leases their full time again.
    LeaseCutShort: "lease-cut-short", ANY,
        "etcd's lease promise",
        "a lease that ends early";
    /// A broken watch resumes one revision too late.
    WatchResumesOneLate: "watch-resumes-one-late", ANY,
        "etcd API guarantees: a watch is resumable",
        "a watcher misses a change";
    /// A resumed watch begins one revision too early.
    WatchRepeats: "watch-repeats", ANY,
        "etcd API guarantees: a watch is unique",
        "a watcher is told twice";
    /// A part of a large response does not say that more follows.
    FragmentUnmarked: "fragment-unmarked", ANY,
        "etcd API guarantees: a watch is atomic",
        "a revision in two halves";
    /// A watch whose history is gone goes on with what is left.
    CancelLost: "compaction-cancel-lost", ANY,
        "etcd API guarantees: a watch is reliable",
        "a watcher misses changes unawares";
    /// A participant sends its Yes before it is on record.
    YesForgotten: "yes-forgotten", ATOMIC,
        "Bernstein, Hadzilacos and Goodman 1987 §7.4, DT log rule 2",
        "a site commits, another has forgotten its Yes";
    /// An enquiry about an unknown transaction is answered Abort before the abort is on record.
    EnquiryUnfenced: "enquiry-unfenced", TWO_PHASE,
        "Mohan, Lindsay and Obermarck 1986 §3.1, where a site has several replicas",
        "one site aborts, another commits";
    /// The decision is sent before it is on record.
    CommitBeforeRecord: "commit-before-record", TWO_PHASE,
        "Gray 1978 §5.8.3.3; BHG §7.4, DT log rule 3",
        "a client is told of a commit that is lost";
    /// A coordinator commits without having all votes.
    VotesMissing: "votes-missing", ATOMIC,
        "BHG §7.3, AC3",
        "a commit without a Yes";
    /// Who has decided decides again as it is told.
    DecisionReversed: "decision-reversed", ATOMIC,
        "BHG §7.3, AC2",
        "a decision that is reversed";
    /// A participant in doubt presumes Abort by itself.
    AbortInDoubt: "abort-in-doubt", TWO_PHASE,
        "BHG §7.3: after Yes it may not decide alone",
        "one site aborts, another commits";
    /// Ranges that are read are not locked.
    RangeUnlocked: "range-unlocked", ATOMIC,
        "Gray 1978 §5.7.2: phantoms",
        "write skew";
    /// Locks are given back with the Yes.
    LocksReleasedEarly: "locks-released-early", ATOMIC,
        "BHG §7.1: strict two-phase locking",
        "two that conflict are both carried out";
    /// A transaction prepares below what is closed.
    BelowClosed: "below-closed", ATOMIC,
        "STORE.md of this house's design, §2: closed timestamps",
        "a look that sees half of a transaction";
    /// A transaction commits below the moment at which one of its sites prepared.
    CommitsEarlier: "commits-earlier", ATOMIC,
        "STORE.md of this house's design, §2: commit_ts = max(prepare_ts)",
        "a look that sees half of a transaction";
    /// Three phases end by time-outs alone.
    ClassicalTermination: "classical-termination", THREE_PHASE,
        "Skeen 1981 §5: where the network may lose messages",
        "the two sides of a partition decide differently";
    /// Three phases end by whoever answers.
    SkeenTermination: "skeen-termination", THREE_PHASE,
        "Skeen 1981 §6: where the network may lose messages",
        "the two sides of a partition decide differently";
    /// The third round may be a rollback.
    ThirdRoundRollsBack: "third-round-rolls-back", THREE_PHASE,
        "a textbook's form of Skeen 1981 §5",
        "a transaction others committed is aborted";
    /// An earlier attempt is joined after a later one.
    AttemptJoinedLate: "attempt-joined-late", THREE_PHASE,
        "Keidar and Dolev 1998 §4",
        "two attempts end differently";
    /// An attempt aborts whatever earlier ones were for.
    AttemptForgets: "attempt-forgets", THREE_PHASE,
        "Keidar and Dolev 1998 §4, the decision rule",
        "two attempts end differently";
    /// A nearer successor is adopted on another's word.
    UnheardPointer: "unheard-pointer", CHORD,
        "Stoica and others 2001, fig. 7, stabilize; Zave 2017",
        "a member without a live successor";
    /// Who joins knows one successor and nobody else.
    OriginalJoin: "original-join", CHORD,
        "Stoica and others 2001, fig. 7, join; Zave 2017",
        "a member without a live successor";
    /// A lookup ends with the key's predecessor.
    PredecessorOwns: "predecessor-owns", CHORD,
        "a textbook's form of Stoica and others 2001, fig. 4",
        "a lookup that names another node";
    /// Keys that are handed over are forgotten without an answer.
    KeysUnanswered: "keys-unanswered", CHORD,
        "a host's mistake: docs/chord.md, keys follow",
        "a key that nobody holds";
}

impl Plant {
    /// Whether a core's own invariants see it at once. What is to be shown is that the checks from outside do.
    pub fn is_seen_within(self) -> bool {
        matches!(
            self,
            Plant::RangeUnlocked | Plant::LocksReleasedEarly | Plant::BelowClosed | Plant::AttemptJoinedLate
        )
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// The protocols that can have it.
    pub fn protocols(self) -> &'static [Protocol] {
        self.facts().1
    }

    /// Where the rule it breaks is written.
    pub fn origin(self) -> &'static str {
        self.facts().2
    }

    /// What goes wrong for it.
    pub fn breaks(self) -> &'static str {
        self.facts().3
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Plant> {
        Plant::ALL.iter().copied().find(|plant| plant.name() == name)
    }
}

/// Run one world with the core that the options ask for.
pub fn run(options: &Options, sink: Option<Sink<'_>>) -> Report {
    match options.consensus() {
        Protocol::Raft => raft::run(options, sink),
        Protocol::Paxos => paxos::run(options, sink),
        Protocol::Zab => zab::run(options, sink),
        Protocol::TwoPhase | Protocol::ThreePhase => unreachable!("sites agree by a protocol of consensus"),
        Protocol::Chord => chord::run(options, sink),
    }
}

/// What recovery is given: what the log holds, or what a forgetful node makes of it.
pub fn found(plant: Option<Plant>, found: Recovered) -> Recovered {
    match plant {
        Some(Plant::ForgetVoteOnRestart) => raft::without_vote(found),
        Some(Plant::ForgetPromiseOnRestart) => Recovered { promised: Ballot::default(), ..found },
        _ => found,
    }
}

/// What a node says in place of this message.
pub fn says<M: Encode + Decode>(
    plant: Option<Plant>,
    message: &M,
    commit: impl FnOnce() -> Index,
) -> Option<M> {
    match plant {
        Some(Plant::ApplyUnmatched) => raft::boasts(message, commit()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_is_named_once() {
        for (at, plant) in Plant::ALL.iter().enumerate() {
            assert_eq!(*plant as usize, at);
            assert_eq!(Plant::named(plant.name()), Some(*plant));
            assert!(!plant.protocols().is_empty(), "{}", plant.name());
        }
    }
}
