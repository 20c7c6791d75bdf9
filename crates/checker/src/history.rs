//! What clients did and what they were told.
//!
//! An [`Operation`] is one request of one client: when it was invoked, when it was answered, and with what.
//! Three endings exist and they must not be confused:
//!
//! - [`Outcome::Ok`]: the answer arrived; the operation took effect once, at one instant between the two times.
//! - [`Outcome::Failed`]: the store said no in a way that promises nothing happened (a refused request). It
//!   constrains nothing, except that its effect must never be seen.
//! - [`Outcome::Ambiguous`]: a timeout, a lost connection, an error that promises nothing. The operation may
//!   take effect at any time after its invocation, even after the client's later operations, or never.
//!
//! When in doubt, record `Ambiguous`: the checks stay sound, only weaker.
//!
//! Times are any monotone unit. Operation `a` precedes `b` when `a.answered < b.invoked`; equal times count
//! as concurrent, so a host whose clock stands still during a step should stamp with a counter instead.
//! [`Recorder`] does that.
//!
//! Only linearizable reads belong here. A serializable read may lawfully be stale: check it with
//! [`crate::replay`]. A key that a lease may delete has a writer that is no client; leave such keys out of the
//! linearizability check.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// A key's live record as a read shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value.
    pub value: Bytes,
    /// Revision of the put that created this generation of the key.
    pub create_revision: u64,
    /// Revision of the newest put.
    pub mod_revision: u64,
    /// Puts since creation, 1 for the creating one.
    pub version: u64,
}

/// A request on one key. A transaction over several keys is recorded as one operation per key, all with the
/// same client and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Set the value.
    Put {
        /// Key.
        key: Bytes,
        /// New value.
        value: Bytes,
    },
    /// Linearizable read.
    Get {
        /// Key.
        key: Bytes,
    },
    /// Delete the key.
    Delete {
        /// Key.
        key: Bytes,
    },
    /// Transaction: if the key's mod_revision equals `expect` (0: no such key) put, else get.
    Cas {
        /// Key.
        key: Bytes,
        /// The mod_revision compared with.
        expect: u64,
        /// New value.
        value: Bytes,
    },
}

impl Call {
    /// The key asked about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Get { key } | Self::Delete { key } | Self::Cas { key, .. } => key,
        }
    }

    /// The value this call would write.
    pub fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Put { value, .. } | Self::Cas { value, .. } => Some(value),
            Self::Get { .. } | Self::Delete { .. } => None,
        }
    }
}

/// What an answered call was told. `revision` is always that of the answer's header: the store's revision at
/// the operation's instant, which for a write is the revision it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a put.
    Put {
        /// Header revision.
        revision: u64,
    },
    /// To a get.
    Get {
        /// Header revision.
        revision: u64,
        /// The record found.
        record: Option<Record>,
    },
    /// To a delete.
    Delete {
        /// Header revision.
        revision: u64,
        /// Keys deleted: 0 or 1.
        deleted: u64,
    },
    /// To a compare-and-swap.
    Cas {
        /// Header revision.
        revision: u64,
        /// Whether the put was done.
        succeeded: bool,
        /// What the get of the other branch found, when the comparison failed.
        found: Option<Record>,
    },
}

impl Answer {
    /// The header's revision.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put { revision }
            | Self::Get { revision, .. }
            | Self::Delete { revision, .. }
            | Self::Cas { revision, .. } => *revision,
        }
    }

    /// Whether this answer acknowledges a change, so that `revision` was made by it.
    pub fn wrote(&self) -> bool {
        match self {
            Self::Put { .. } => true,
            Self::Get { .. } => false,
            Self::Delete { deleted, .. } => *deleted > 0,
            Self::Cas { succeeded, .. } => *succeeded,
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered.
    Ok(Answer),
    /// Definitely did not happen.
    Failed,
    /// May have happened, or may yet happen.
    Ambiguous,
}

/// One request of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub client: u64,
    /// When it was asked.
    pub invoked: u64,
    /// When the outcome was known. Ignored for an ambiguous operation, which has no end.
    pub answered: u64,
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
}

impl Operation {
    /// The answer, if there was one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            Outcome::Ok(answer) => Some(answer),
            Outcome::Failed | Outcome::Ambiguous => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} [{}..", self.client, self.invoked)?;
        match self.outcome {
            Outcome::Ambiguous => write!(f, "?] ")?,
            _ => write!(f, "{}] ", self.answered)?,
        }
        match &self.call {
            Call::Put { key, value } => write!(f, "put {key:?}={}", Short(value))?,
            Call::Get { key } => write!(f, "get {key:?}")?,
            Call::Delete { key } => write!(f, "delete {key:?}")?,
            Call::Cas { key, expect, value } => {
                write!(f, "if mod({key:?})=={expect} put {}", Short(value))?;
            }
        }
        match &self.outcome {
            Outcome::Ok(answer) => write!(f, " -> {answer}"),
            Outcome::Failed => write!(f, " -> failed"),
            Outcome::Ambiguous => write!(f, " -> unknown"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { revision } => write!(f, "revision {revision}"),
            Self::Get { revision, record } => write!(f, "{} at revision {revision}", Found(record.as_ref())),
            Self::Delete { revision, deleted } => write!(f, "deleted {deleted} at revision {revision}"),
            Self::Cas { revision, succeeded: true, .. } => write!(f, "done at revision {revision}"),
            Self::Cas { revision, found, .. } => {
                write!(f, "refused, {} at revision {revision}", Found(found.as_ref()))
            }
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (create {}, mod {}, version {})",
            Short(&self.value),
            self.create_revision,
            self.mod_revision,
            self.version
        )
    }
}

/// Shows a record or its absence.
struct Found<'a>(Option<&'a Record>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(record) => write!(f, "found {record}"),
            None => write!(f, "found nothing"),
        }
    }
}

/// Shows the head of a value: evidence must stay readable when values are large.
pub(crate) struct Short<'a>(pub &'a [u8]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD_BYTES: usize = 24;
        let head = self.0.get(..HEAD_BYTES).unwrap_or(self.0);
        write!(f, "\"{}\"", head.escape_ascii())?;
        if head.len() < self.0.len() { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

/// Names an operation between its invocation and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(usize);

/// Records operations and stamps them with a counter, so that all times are distinct.
///
/// An operation that was never ended stays ambiguous, which is what it is when a run stops under it.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    clock: u64,
    operations: Vec<Operation>,
}

impl Recorder {
    /// An empty recording.
    pub fn new() -> Self {
        Self::default()
    }

    /// `client` asks for `call` now.
    pub fn invoke(&mut self, client: u64, call: Call) -> Ticket {
        let invoked = self.now();
        let outcome = Outcome::Ambiguous;
        self.operations.push(Operation { client, invoked, answered: u64::MAX, call, outcome });
        Ticket(self.operations.len() - 1)
    }

    /// The operation ends now. A ticket ends once; a second end is ignored, as is `Ambiguous`, which is the
    /// state an operation has until it ends.
    pub fn end(&mut self, ticket: Ticket, outcome: Outcome) {
        let answered = self.now();
        if outcome == Outcome::Ambiguous {
            return;
        }
        if let Some(operation) = self.operations.get_mut(ticket.0)
            && operation.outcome == Outcome::Ambiguous
        {
            operation.answered = answered;
            operation.outcome = outcome;
        }
    }

    /// Everything recorded so far, in order of invocation.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Ends the recording.
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}
