//! etcd's multi-version store as a pure value.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod error;
mod outcome;
mod record;
mod storage;

pub use command::{
    Command, Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, Op, Publish, Put, Range,
    SortOrder, SortTarget, Txn,
};
pub use error::Error;
pub use outcome::{Applied, OpOutcome, OpResult, Outcome, RangeOutcome, TxnOutcome};
pub use record::{Event, KeyValue, LeaseId, Record, Revision};
pub use storage::{Member, Meta, Size, Storage};
