//! What atomic commitment promises: properties AC1 to AC5, and what the locks, the revisions and the client's answer add.
//!
//! Source: Bernstein, Hadzilacos and Goodman, "Concurrency Control and Recovery in Database Systems" (1987), §7.3, which
//! lists AC1 to AC5; the others are this house's.
//!
//! | property | file | fed with |
//! |---|---|---|
//! | AC1: all that decide decide alike | [`agreement`] | decisions of sites |
//! | AC2: a decision is not reversed | [`stability`] | decisions of sites |
//! | AC3: commit only if all voted yes | [`validity`] | participants, votes, decisions |
//! | AC4: all voted yes, nothing failed: commit | [`non_triviality`] | participants, votes, failures, decisions |
//! | AC5: once all is repaired, all decide | [`termination`] | who takes part, decisions, failures, repairs |
//! | NoOrphanLock | [`orphan_lock`] | locks and unresolved records of a site |
//! | OneRevision | [`one_revision`] | what sites apply |
//! | ToldIsDurable | [`told_is_durable`] | durable decisions, answers to clients |
//!
//! A site is whatever votes or decides as one: a process with a disk, or a group of replicas; a replica's restart is none
//! of a site's business. Sites are told apart by numbers, transactions by [`Txn`]. Whoever feeds a check says when a
//! transaction is forgotten by all, or a long run would fill the memory.

pub mod agreement;
pub mod non_triviality;
pub mod one_revision;
pub mod orphan_lock;
pub mod stability;
pub mod termination;
pub mod told_is_durable;
pub mod validity;

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;

/// A transaction's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Txn {
    /// A coarse time of its birth, where names have one.
    pub epoch: u64,
    /// The site that coordinates it.
    pub coordinator: u64,
    /// Its number there.
    pub number: u64,
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.coordinator, self.number)?;
        if self.epoch > 0 { write!(f, "e{}", self.epoch) } else { Ok(()) }
    }
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// All of it.
    Commit,
    /// Nothing of it.
    Abort,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "commit",
            Self::Abort => "abort",
        })
    }
}

/// A participant's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vote {
    /// It can commit, whatever happens.
    Yes,
    /// It cannot.
    No,
}

/// Who takes part, and who voted yes.
#[derive(Clone, Debug, Default)]
struct Poll {
    participants: BTreeSet<u64>,
    yes: BTreeSet<u64>,
}

impl Poll {
    /// Whether it is known who takes part, and all of them voted yes.
    fn unanimous(&self) -> bool {
        !self.participants.is_empty() && self.participants.is_subset(&self.yes)
    }
}

type Polls = BTreeMap<Txn, Poll>;
