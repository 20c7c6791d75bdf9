//! Multi-Paxos as a pure value.
//!
//! Sources: Lamport, "The Part-Time Parliament" (1998) and "Paxos Made Simple" (2001), cited as PMS §n; van Renesse and
//! Altinbuken, "Paxos Made Moderately Complex" (2015); Chandra, Griesemer and Redstone, "Paxos Made Live" (2007); Howard,
//! Malkhi and Spiegelman, "Flexible Paxos" (2016). Single-decree Paxos, small enough to be searched exhaustively, is in
//! `crates/synod`.
//!
//! Each slot of the log is one instance of Paxos. One leader runs phase 1 for all slots from the first that it does not know to
//! be chosen, and then phase 2 slot by slot, until somebody promises a greater ballot to another.
//!
//! # How its terms map to types
//!
//! | papers | here |
//! |---|---|
//! | proposal number, ballot | `quorate_protocol::Ballot`: round, then node |
//! | maxBal of an acceptor | `promised`, durable as `WriteOp::Meta { promised }` |
//! | the accepted proposals | module `slots`, durable as `WriteOp::Put` |
//! | phase 1, phase 2 | [`Body::Prepare`], [`Body::Promise`]; [`Body::Accept`], [`Body::Accepted`] |
//! | chosen | up to `commit`: a prefix of the log |
//! | the rules that make it safe | [`Rules`], one method each |
//!
//! # What is added to the papers
//!
//! * **Asking first**: a node that would not be promised a ballot begins none, so that it does not disturb a leader.
//! * **Taking stock**: a leader that hears too few to choose anything within an election timeout steps down.
//! * **Reads by quorum round**, also through followers; **leases**; **parallel fsync**; forwarding; learners; joint membership; handing
//!   over; priority. Towards a host all of these are as in `crates/raft`.
//! * **Flexible quorums**, per membership.
//! * **Giving way**: a candidate that lacks what others have let go of has one of them lead in its place.
//! * **Damaged logs**: an acceptor that has lost what it accepted promises nothing until it has it anew.
//!
//! # Invariants
//!
//! 1. What is promised never decreases; no slot is accepted under a lesser ballot than was promised.
//! 2. Under one ballot a slot is proposed one value, and by the ballot's node.
//! 3. Slots up to `commit` are held and hold what is chosen, each under a ballot no less than that under which any slot up to it
//!    was first chosen: so the ballot of the last one applied, or let go of, vouches for all before it.
//! 4. Every slot up to `matched` holds what the leader of the promised ballot proposes there.
//! 5. A leader's slots are filled without a hole, those after `commit` under its own ballot.
//! 6. Nothing is acknowledged before everything written so far is durable.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acceptor;
mod change;
mod core;
mod election;
mod gateway;
mod lease;
mod members;
mod message;
mod preparing;
mod reads;
mod replication;
mod rules;
mod slots;
mod transfer;

pub use crate::core::Paxos;
pub use message::{Body, Message};
pub use rules::{Paper, Rules};
