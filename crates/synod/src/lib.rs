//! Single-decree Paxos: several proposers, one value chosen, for good.
//!
//! Source: Lamport, "Paxos Made Simple" (2001), cited as PMS §n; its ancestor is "The Part-Time Parliament" (1998), whose synod
//! decides one decree. Quorums of two kinds: Howard, Malkhi and Spiegelman, "Flexible Paxos" (2016).
//!
//! The three roles are three types, each a value that is handed a message and answers one. They are small enough that
//! *every* course of events in small worlds is searched (`tests/search.rs`), which is what this crate is for: the log of
//! `crates/paxos` is an instance of this for each slot, with the rules in the same words.
//!
//! # What must be durable before what is sent
//!
//! An acceptor's whole value, and of a proposer the last round it has begun. Whatever must not be sent before that is on disk comes
//! wrapped, as [`AfterSave`]: it has to be unwrapped by name.
//!
//! | role | durable | volatile |
//! |---|---|---|
//! | [`Acceptor`] | all of it: what it has promised, what it has accepted | nothing |
//! | [`Proposer`] | the last round begun | who has promised, what it proposes |
//! | [`Learner`] | nothing | who has accepted what |
//!
//! # Invariants
//!
//! 1. Only a value that somebody wanted is chosen, and at most one is (PMS §2.1).
//! 2. Under one ballot one value is proposed, at most (P2 rests on it).
//! 3. Once a value is chosen under a ballot, every greater ballot proposes the same (P2b).
//! 4. What an acceptor has promised never decreases, and it accepts nothing below (P1a).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acceptor;
mod learner;
mod proposer;
mod quorums;
mod rules;

pub use acceptor::Acceptor;
pub use learner::Learner;
pub use proposer::Proposer;
pub use quorums::Quorums;
pub use rules::{Paper, Rules};

use quorate_protocol::Ballot;

/// A value under a ballot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal<V> {
    /// The ballot: its round, and whose it is.
    pub ballot: Ballot,
    /// The value.
    pub value: V,
}

/// What the roles say to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message<V> {
    /// Proposer to acceptors: promise me this ballot, and say what you have accepted. Phase 1a.
    Prepare(Ballot),
    /// Acceptor to proposer: I accept nothing below this ballot any more. Phase 1b.
    Promise {
        /// The ballot promised.
        ballot: Ballot,
        /// What was accepted under the greatest ballot, if anything was.
        accepted: Option<Proposal<V>>,
    },
    /// Proposer to acceptors: accept this. Phase 2a.
    Accept(Proposal<V>),
    /// Acceptor to learners: I have. Phase 2b.
    Accepted(Proposal<V>),
    /// Acceptor to proposer: I have promised more than you ask under.
    Refused {
        /// What it has promised.
        promised: Ballot,
    },
}

/// A message that may leave only when the state of who says it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "save the state, then send what is in here"]
pub struct AfterSave<V>(Message<V>);

impl<V> AfterSave<V> {
    /// The state has been saved: this may leave.
    pub fn saved(self) -> Message<V> {
        self.0
    }
}
