//! Exhaustive search of small worlds.
//!
//! The seeded world (`crates/sim`) visits large worlds at random. This crate visits small ones completely:
//! three nodes, a few rounds, a command or two, and every order in which messages can arrive or be lost or
//! repeated, timeouts strike, disks sync and nodes crash. What it finds nothing wrong with within its bounds
//! has nothing wrong within them; what it finds, it tells by a shortest path. The core is the one that serves
//! clients, not a model of it.
//!
//! | module | what |
//! |---|---|
//! | `search` | breadth-first search of any [`System`] |
//! | `world` | three nodes and a network as such a system; its essay says what a state and a step are |
//! | `node` | a core and the least host around it, as a value |
//! | `see` | what the properties see of a node |
//! | `ghost` | the properties, and the past they need |
//! | `scenario` | the worlds searched, by name |
//! | `core` | the cores and their rules, sound and broken, a file for each |
//!
//! # What makes it small enough
//!
//! A protocol that is a value reacts to the same event in the same state in the same way. So each reaction of
//! a node is tried once and remembered, nodes and sets of messages are known by numbers, and a state of the
//! world is six of them. Tens of millions of steps come down to some ten thousand calls of the core.
//!
//! # Caveats
//!
//! * Nodes are compared by a 128-bit digest of what they hold; that two different ones share it is not ruled out, only
//!   beyond any likelihood.
//! * Where a scenario says so, messages of a round that is over for the receiver are lost: it is then not told of the later
//!   round by an answer, only by those who campaign in it.
//! * Reads, leases, snapshots, learners and forwarded proposals do not occur in these worlds; the scripts and the seeded
//!   world look after them.

#![forbid(unsafe_code)]

mod core;
mod ghost;
mod intern;
mod node;
mod scenario;
mod search;
mod see;
mod world;

pub use core::{Plant, Searched};
pub use scenario::Scenario;
pub use search::{Bounds, Counterexample, Outcome, System, search};
