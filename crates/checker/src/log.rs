//! Replicated logs as the checks see them: plain integers and digests.

use alloc::vec::Vec;
use core::fmt;

/// Under which a leader leads, and under which a node was when it learned something: a round, and where rounds are
/// shared (Paxos) the node whose ballot it is; 0 where they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    /// Raft's term, Paxos' round, Zab's epoch.
    pub round: u64,
    /// Whose, in Paxos.
    pub node: u64,
}

impl From<u64> for Ballot {
    fn from(round: u64) -> Self {
        Ballot { round, node: 0 }
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            0 => write!(f, "{}", self.round),
            node => write!(f, "{} of node {node}", self.round),
        }
    }
}

/// One slot of a node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Position in the log, from 1.
    pub index: u64,
    /// Round of the entry's ballot (Raft's term).
    pub round: u64,
    /// Node of the entry's ballot (Raft's leader of that term).
    pub node: u64,
    /// Digest of kind and contents; see [`crate::digest`].
    pub digest: u64,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "entry {} of ballot ({}, {}), digest {:016x}",
            self.index, self.round, self.node, self.digest
        )
    }
}

/// A node's log: what a snapshot covers, then entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Whose log it is.
    pub node: u64,
    /// Entries up to and including this index were replaced by a snapshot; 0 when nothing was.
    pub snapshot_index: u64,
    /// The entries after it, ascending by index. A core with a sparse log may leave gaps.
    pub entries: Vec<Entry>,
}

impl Log {
    /// The entry at `index`, if it is held as an entry.
    pub fn get(&self, index: u64) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&index, |entry| entry.index).ok()?;
        self.entries.get(at)
    }
}
