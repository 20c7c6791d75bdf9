//! Safety properties checked from histories, one per file.
//!
//! A checker is an oracle outside the system: it is handed what clients saw and what replicas did, and says
//! whether a promise was broken. It shares no types with the cores or the state machine, so that a wrong idea
//! there cannot make the oracle agree with it; both the seeded world and the tests that run real processes
//! translate what they recorded into the small types of [`history`], [`events`] and [`log`].
//!
//! | property | file | fed with | source |
//! |---|---|---|---|
//! | Linearizability | [`linearizable`] | client operations | Herlihy & Wing 1990; search after Wing & Gong 1993 |
//! | RevisionOrder | [`revision_order`] | client operations | etcd API guarantees (revisions) |
//! | EventHistory | [`events`] | the store's events | etcd data model (revision, version) |
//! | Acknowledged | [`acknowledged`] | operations and events | etcd API guarantees (durability) |
//! | Replay | [`replay`] | operations or a key-value map, and events | state machine approach, Schneider 1990 |
//! | WatchOrdered … WatchBookmarkable | [`watch`] | a watcher's stream and events | etcd API guarantees (watch) |
//! | CommittedStable | [`committed`] | commits of all nodes | Raft fig. 3, State Machine Safety |
//! | StateHash | [`state_hash`] | hashes of all nodes | Raft fig. 3, State Machine Safety |
//! | ElectionSafety | [`election`] | role changes | Raft fig. 3 |
//! | LogMatching | [`log_matching`] | logs | Raft fig. 3 |
//! | LeaderCompleteness | [`leader_completeness`] | commits, logs of new leaders | Raft fig. 3 |
//! | PromiseKept | [`promise`] | what nodes promise | Lamport 2001, P1a; Raft fig. 2; Zab §V |
//! | OneValuePerBallot | [`one_value_per_ballot`] | what nodes write | Lamport 2001, §2.2 |
//! | ChosenStays | [`chosen`] | what nodes write, commits | Lamport 2001, P2a |
//! | Integrity | [`integrity`] | proposals, commits | Junqueira, Reed and Serafini 2011, §III |
//! | LocalPrimaryOrder | [`local_primary_order`] | proposals, commits | the same |
//! | GlobalPrimaryOrder | [`global_primary_order`] | commits | the same |
//! | Serializable … StrictSerializable | [`isolation`] | transactions on lists and registers | Adya 1999; Kingsbury and Alvaro 2020 |
//! | Bank | [`isolation::bank`] | reads of all accounts | Kingsbury's Jepsen tests |
//! | NoFracturedRead | [`isolation::fractured`] | transactions on registers | Bailis and others 2014, §3.1 |
//! | NoLongFork | [`isolation::long_fork`] | transactions on registers | Sovran and others 2011, §3 |
//! | AC1 … AC5 | [`atomic_commit`] | votes, decisions, failures, repairs | Bernstein, Hadzilacos and Goodman 1987, §7.3 |
//! | NoOrphanLock, OneRevision, ToldIsDurable | [`atomic_commit`] | locks, revisions, answers | this house |
//! | ChordRing | [`chord_ring`] | nodes of a ring | Zave 2017 |
//!
//! Zab's other properties are here under other names: PrefixConsistency is LogMatching; PrimaryIntegrity is
//! LeaderCompleteness; Agreement and Total Order are CommittedStable together with the order in which a replica hands out what is
//! committed, which the simulator checks as AppliedInOrder.
//!
//! Every check returns `Result<(), Violation>`; checks of the running cluster are structs with an `observe`
//! method, to be fed as things happen, the others are functions over a finished recording.
//!
//! Invariants of this crate: it never panics on any history; its answers do not depend on the iteration order
//! of a hash map; and each property is shown to fail on a planted bad history in `tests/`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acknowledged;
pub mod atomic_commit;
pub mod chord_ring;
pub mod chosen;
pub mod committed;
pub mod election;
pub mod events;
pub mod global_primary_order;
pub mod history;
pub mod integrity;
pub mod isolation;
pub mod leader_completeness;
pub mod linearizable;
pub mod local_primary_order;
pub mod log;
pub mod log_matching;
pub mod one_value_per_ballot;
pub mod promise;
pub mod replay;
pub mod revision_order;
pub mod state_hash;
mod violation;
pub mod watch;

pub use violation::{Violation, digest};
