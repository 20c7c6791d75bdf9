//! The kinds of anomaly, named as in the literature.

use alloc::string::String;
use core::fmt;

/// What went wrong, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The history cannot be judged: a value is written twice, or a key is both list and register.
    Unusable,
    /// A transaction's reads contradict each other or its own writes.
    Internal,
    /// A read saw a value that nobody wrote.
    Garbage,
    /// A read saw one append twice.
    Duplicate,
    /// Two reads saw the same key's writes in different orders.
    IncompatibleOrder,
    /// Adya's G0, dirty write: a cycle of ww edges.
    G0,
    /// Adya's G1a, aborted read.
    G1a,
    /// Adya's G1b, intermediate read.
    G1b,
    /// Adya's G1c, circular information flow: a cycle of ww and wr edges.
    G1c,
    /// Two transactions read the same version of a key and both wrote it: one did not see the other. A case of G-single.
    LostUpdate,
    /// Adya's G-single, read skew: a cycle with exactly one rw edge.
    GSingle,
    /// Long fork: a cycle whose rw edges, two or more, are never adjacent. Snapshot isolation forbids it.
    LongFork,
    /// Adya's G2-item, write skew: a cycle with two or more rw edges.
    G2Item,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unusable => "unusable history",
            Self::Internal => "internal inconsistency",
            Self::Garbage => "garbage read",
            Self::Duplicate => "duplicate element",
            Self::IncompatibleOrder => "incompatible order",
            Self::G0 => "G0 (dirty write)",
            Self::G1a => "G1a (aborted read)",
            Self::G1b => "G1b (intermediate read)",
            Self::G1c => "G1c (circular information flow)",
            Self::LostUpdate => "lost update (G-single)",
            Self::GSingle => "G-single (read skew)",
            Self::LongFork => "long fork (G-nonadjacent)",
            Self::G2Item => "G2-item (write skew)",
        }
    }
}

/// What a cycle needs besides the data's own edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Time {
    /// Nothing: no order explains what was read.
    None,
    /// The order of each process's own transactions.
    Process,
    /// That a transaction which began after another's end comes after it.
    Realtime,
}

/// Something that no order of the transactions explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Of this kind.
    pub kind: Kind,
    /// Whether time is needed for the contradiction.
    pub time: Time,
    /// Transactions and edges, in words. May span lines.
    pub detail: String,
}

impl Anomaly {
    pub(super) fn new(kind: Kind, detail: String) -> Self {
        Self { kind, time: Time::None, detail }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match self.time {
            Time::None => "",
            Time::Process => "-process",
            Time::Realtime => "-realtime",
        };
        write!(f, "{}{suffix}: {}", self.kind.name(), self.detail)
    }
}
