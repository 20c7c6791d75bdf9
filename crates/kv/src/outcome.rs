//! What the state machine answers.

use alloc::vec::Vec;

use crate::members::Member;
use crate::record::{Event, KeyValue, LeaseId};

/// The answer to a [`Range`](crate::Range).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeOutcome {
    /// The records, in the order asked for.
    pub kvs: Vec<KeyValue>,
    /// The limit cut some off.
    pub more: bool,
    /// Live keys in the span, before filters and limit.
    pub count: i64,
}

/// The answer to one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpOutcome {
    /// The revision as this operation saw it: the one before the transaction while nothing has changed,
    /// the transaction's own from its first change on. Unused for nested transactions.
    pub revision: i64,
    /// The answer.
    pub outcome: OpResult,
}

/// The kinds of [`OpOutcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// Of a range.
    Range(RangeOutcome),
    /// Of a put: the record before, when asked for and there was one.
    Put(Option<KeyValue>),
    /// Of a removal.
    DeleteRange {
        /// How many keys went.
        deleted: i64,
        /// Their records, when asked for.
        prev_kvs: Vec<KeyValue>,
    },
    /// Of a nested transaction.
    Txn(TxnOutcome),
}

/// The answer to a [`Txn`](crate::Txn).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnOutcome {
    /// Which branch ran.
    pub succeeded: bool,
    /// One answer per operation of that branch.
    pub responses: Vec<OpOutcome>,
}

/// The answer to a [`Command`](crate::Command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The record before, when asked for and there was one.
    Put(Option<KeyValue>),
    /// Of a removal.
    DeleteRange {
        /// How many keys went.
        deleted: i64,
        /// Their records, when asked for.
        prev_kvs: Vec<KeyValue>,
    },
    /// Of a transaction.
    Txn(TxnOutcome),
    /// History below was forgotten.
    Compact,
    /// A lease exists now.
    LeaseGrant {
        /// Its id.
        id: LeaseId,
        /// Seconds granted.
        ttl: i64,
    },
    /// A lease ended; its keys are gone.
    LeaseRevoke,
    /// Noted.
    Publish,
    /// Of a change of the members: all of them, as they are now.
    Members(Vec<Member>),
}

/// What applying one command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The store's revision afterwards: the response header's.
    pub revision: i64,
    /// The answer. An error leaves no trace in the state.
    pub outcome: Result<Outcome, crate::Error>,
    /// The changes, in order; all share one main revision.
    pub events: Vec<Event>,
}
