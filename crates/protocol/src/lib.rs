//! The contract every consensus core keeps, and the parts they share.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod codec;
mod entry;
mod ids;

pub use entry::{Entry, EntryKind, Recovered, WriteOp};
pub use ids::{Ballot, Index, LogId, NodeId, ReadId, Seq};
