//! The contract every consensus core keeps, and the parts they share.
//!
//! A protocol is a value: [`Event`]s go in, [`Effect`]s come out, and whoever holds the value carries them
//! out. That is why the same core runs under a server, in a seeded world, and anywhere else. The contract
//! itself, with its rules for hosts, is told in [`contract`]; the rest of this crate is what more than one core needs:
//! the in-memory [`Log`], the [`Membership`] and its quorums, a leader's view of its peers ([`Progress`]), the
//! [`Outbox`] that enforces "durable before sent", a seeded source of randomness ([`Random`]), and the byte
//! layouts ([`codec`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod codec;
pub mod contract;
mod entry;
mod ids;
pub mod lease;
mod log;
mod membership;
mod outbox;
mod progress;
mod quorum;
mod random;
pub mod reads;
pub mod transfer;

pub use contract::{
    Caps, Config, Consensus, DropReason, Effect, Effects, Event, PeerStatus, Role, Status, Violation,
};
pub use entry::{Entry, EntryKind, Recovered, WriteOp};
pub use ids::{Ballot, Index, LogId, NodeId, ReadId, Seq};
pub use log::Log;
pub use membership::{Membership, Memberships};
pub use outbox::Outbox;
pub use progress::{Pace, Progress};
pub use quorum::Voters;
pub use random::Random;
