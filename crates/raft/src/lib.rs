//! Raft as a pure value.
//!
//! Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", extended version
//! (2014), cited as §n; Ongaro's dissertation "Consensus: Bridging Theory and Practice" (2014), cited as
//! dissertation §n. The TLA+ names of the safety properties are those of the dissertation's appendix B.
//!
//! # How its terms map to types
//!
//! | paper | here |
//! |---|---|
//! | currentTerm, votedFor | [`Term`] and vote, durable together as `WriteOp::Meta { promised }` |
//! | log[] | `quorate_protocol::Log`, in memory after the last purged entry |
//! | commitIndex | `commit`; recovered as what the state machine has applied |
//! | lastApplied | the host's |
//! | nextIndex, matchIndex | `quorate_protocol::Progress` |
//! | RPCs | one-way [`Message`]s; an answer is a message too |
//! | the rules that make it safe | [`Rules`], one method each |
//!
//! # What is added to the paper
//!
//! * **PreVote** (dissertation §9.6): a node that cannot win does not disturb.
//! * **CheckQuorum** (dissertation §6.2): a leader that hears from no quorum within an election timeout steps
//!   down, and a voter that hears from a leader ignores candidates.
//! * **Reads by quorum round** (dissertation §6.4), also through followers, many reads to a round.
//! * **Parallel fsync** (dissertation §10.2.1): a leader sends entries before they are on its own disk; its own match counts only once they are.
//! * **Joint membership**, learners, leadership transfer, priority, reads by lease: modules `membership`, `transfer`, `lease`.
//! * **Damaged logs**: what a log held counts in votes even when its disk cannot give it back.
//! * **Forwarding**: a follower passes its clients' proposals on, each counted once.
//!
//! # Invariants
//!
//! 1. The term never decreases, and at most one vote is given in each.
//! 2. `base <= commit <= last`; an entry at or before `commit` never changes.
//! 3. A leader never truncates its log.
//! 4. `matched` of a follower is how far its log has been compared with the *current* leader's; its commit index never passes it.
//! 5. An append is acknowledged only after everything written so far is durable.
//!
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod core;
mod election;
mod lease;
mod membership;
mod message;
mod reads;
mod replication;
mod rules;
mod transfer;

pub use crate::core::Raft;
pub use message::{Body, Message, Term};
pub use rules::{Paper, Rules};
