//! etcd's multi-version store as a pure value.
//!
//! [`State`] is the state machine: it applies the [`Command`]s of a replicated log and answers reads, over a
//! [`Storage`] that keeps the records. It has no clock, no thread and no source of chance, so members that
//! apply the same log agree to the byte.
//!
//! [`Hub`] decides which watchers see which changes. It is a value of its own, so that fanning changes out
//! does not hold up applying them.
//!
//! Requests and answers are etcd's with the wire format taken away; translating them is the API's business.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod command;
mod crc;
mod error;
mod members;
mod memory;
mod outcome;
mod record;
mod span;
mod state;
mod storage;
mod tree;
mod validate;
mod versions;
mod watch;

pub use command::{
    Command, Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, MemberChange, Op, Publish, Put,
    Range, SortOrder, SortTarget, Txn,
};
pub use error::Error;
pub use members::{Member, Members};
pub use memory::MemoryStorage;
pub use outcome::{Applied, OpOutcome, OpResult, Outcome, RangeOutcome, TxnOutcome};
pub use record::{Event, KeyValue, LeaseId, Record, Revision};
pub use state::{HashKv, History, LeaseView, MAX_TTL, State, clamp_ttl, txn_is_read_only};
pub use storage::{Meta, Size, Storage};
pub use validate::{
    validate, validate_delete_range, validate_member_change, validate_put, validate_range, validate_txn,
};
pub use watch::{
    CancelReason, Hub, HubOptions, NO_WATCHER, StreamId, WatchCreate, WatchEvent, WatchMessage, WatcherKey,
};
