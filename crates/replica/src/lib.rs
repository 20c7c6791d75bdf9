//! One consensus core with what every host of one needs, still pure.
//!
//! A [`Replica`] wraps a core of any protocol and gives its host larger strokes: proposals made while nobody
//! leads wait for a leader instead of being lost, reads are asked in groups and asked again when a
//! leadership ends, committed entries come out ready to be applied, and the log is kept long enough to help
//! a follower that was away for a moment without growing without bound.
//!
//! The state machine is not inside. In production it is applied on a thread of its own, so the replica
//! hands entries over and never looks at them; the simulator does the same in one thread. What both hosts
//! need besides is the [`Lessor`], which decides when a lease has expired: a leader's decision, by its own
//! clock, carried out through the log.
//!
//! # Invariants
//!
//! 1. Entries come out in order, each once in a life of the replica, beginning after what the state machine
//!    held at the start.
//! 2. A read comes out ready with an index no smaller than any write acknowledged before it was asked.
//! 3. Whatever waits is bounded in number and in time.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod lessor;
mod reads;
mod replica;
mod retention;

pub use lessor::Lessor;
pub use replica::{Input, Limits, Output, Refusal, Replica};
