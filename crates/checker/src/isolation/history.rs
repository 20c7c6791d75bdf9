//! What transactions did and were told: the history that isolation is judged by.
//!
//! A [`Transaction`] is one attempt of one client. Its keys are either *lists*, which it appends to and reads whole, or
//! *registers*, which it overwrites and reads. Every value is written at most once to a key in a whole history: that is
//! what makes it possible to say whose write a read saw. A list tells more than a register, for a read of it shows the order
//! of all writes before it; prefer lists in a workload.
//!
//! Three endings exist. [`Status::Aborted`] means that it certainly did not happen; [`Status::Unknown`] that nobody told the
//! client: it may have happened, at any time after its beginning, or may yet happen, or never. When in doubt, record
//! `Unknown`: the checks stay sound, only weaker. Where a read is not known, leave the operation out.
//!
//! Times are any monotone unit. A transaction precedes another if it was completed *before* the other was invoked; equal times
//! count as concurrent.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It happened.
    Committed,
    /// It did not, and never will.
    Aborted,
    /// It may have, or may yet.
    Unknown,
}

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Append a value to a list.
    Append {
        /// The list.
        key: Bytes,
        /// What is appended, never before.
        value: u64,
    },
    /// A list, as it was read.
    List {
        /// The list.
        key: Bytes,
        /// All of it, own appends before this read included. Empty if there was none.
        values: Vec<u64>,
    },
    /// Overwrite a register.
    Write {
        /// The register.
        key: Bytes,
        /// The new value, never written before.
        value: u64,
        /// The place of this value among all of the key's, where the store tells: a number that grows from one to the next.
        version: Option<u64>,
    },
    /// A register, as it was read.
    Read {
        /// The register.
        key: Bytes,
        /// What it held, own writes before this read included. `None` if it was never written.
        value: Option<u64>,
        /// As in [`Op::Write`], of the value read.
        version: Option<u64>,
    },
}

impl Op {
    /// The key.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Append { key, .. }
            | Self::List { key, .. }
            | Self::Write { key, .. }
            | Self::Read { key, .. } => key,
        }
    }

    /// Whether its key is a list.
    pub(super) fn of_list(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::List { .. })
    }

    /// The value it writes.
    pub(super) fn written(&self) -> Option<u64> {
        match self {
            Self::Append { value, .. } | Self::Write { value, .. } => Some(*value),
            Self::List { .. } | Self::Read { .. } => None,
        }
    }
}

/// One attempt of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its name in reports.
    pub id: u64,
    /// Who ran it.
    pub process: u64,
    /// When it was invoked.
    pub invoked: u64,
    /// When its end was known. Ignored if that is unknown.
    pub completed: u64,
    /// How it ended.
    pub status: Status,
    /// What it did, in its order.
    pub ops: Vec<Op>,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { key, value } => write!(f, "append {value} to {}", Name(key)),
            Self::List { key, values } => write!(f, "read {} of {}", Values(values), Name(key)),
            Self::Write { key, value, .. } => write!(f, "write {value} to {}", Name(key)),
            Self::Read { key, value: Some(value), .. } => write!(f, "read {value} of {}", Name(key)),
            Self::Read { key, value: None, .. } => write!(f, "read nothing of {}", Name(key)),
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{} of process {} [{}..", self.id, self.process, self.invoked)?;
        match self.status {
            Status::Committed => write!(f, "{}]", self.completed)?,
            Status::Aborted => write!(f, "{}] aborted", self.completed)?,
            Status::Unknown => write!(f, "?]")?,
        }
        for (at, op) in self.ops.iter().enumerate() {
            write!(f, "{} {op}", if at == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// Shows a key.
pub(super) struct Name<'a>(pub &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Shows a list, or the end of it when it is long: that is where the news is.
struct Values<'a>(&'a [u64]);

impl fmt::Display for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let hidden = self.0.len().saturating_sub(SHOWN);
        write!(f, "[")?;
        if hidden > 0 {
            write!(f, "({hidden} more) ")?;
        }
        for (at, value) in self.0.iter().skip(hidden).enumerate() {
            write!(f, "{}{value}", if at == 0 { "" } else { " " })?;
        }
        write!(f, "]")
    }
}
