//! Names of nodes, ballots, places in the log, writes.

use core::fmt;
use core::ops::{Add, Sub};

/// A node. Never 0: that number stands for "nobody" on disk and on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A place in the log, from 1; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

/// The number of a write a core has asked its host for, from 1 and without gaps. Completion is told by this
/// number and never by (index, ballot): an index may be written twice under one ballot's sight (the ABA of
/// overwritten entries), a write's number cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// A caller's name for one of its reads; unique within one life of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Who may lead, and when: Raft's (term, leader), Paxos' ballot, Zab's (epoch, leader).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The term, round or epoch.
    pub round: u64,
    /// The node it belongs to.
    pub node: NodeId,
}

/// An entry's full name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The ballot under which it was proposed.
    pub ballot: Ballot,
    /// Its place.
    pub index: Index,
}

impl Index {
    /// The place after this one.
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The place before this one; 0 stays 0.
    pub fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

impl Add<u64> for Index {
    type Output = Index;
    fn add(self, n: u64) -> Index {
        Index(self.0 + n)
    }
}

/// How far apart two places are.
impl Sub for Index {
    type Output = u64;
    fn sub(self, other: Index) -> u64 {
        self.0 - other.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.round, self.node)
    }
}

/// `index:round@node`.
impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.index, self.ballot)
    }
}
