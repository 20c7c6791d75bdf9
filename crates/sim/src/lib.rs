//! The seeded world: a cluster of real replicas over a simulated network, simulated disks and simulated clocks.
//!
//! What runs in it is what runs in production: the consensus core, the replica around it, the log with every byte of
//! its segments, the frames between the peers, the state machine, leases and watches. What is simulated is
//! everything that can go wrong: messages are lost, delayed, doubled and reordered, links fail in one direction or
//! both, processes crash and lose or tear what they had not synced, stand still, and have clocks of different rates.
//!
//! A run is decided by its seed alone, down to the last byte; [`Report::trace_hash`] is a digest of all that happened. So
//! a failure is reported by its seed, and repeated by one command. Deterministic simulation of this kind is how
//! FoundationDB and TigerBeetle are tested.
//!
//! | part | file |
//! |---|---|
//! | what a run is like | `swarm`, `faults` |
//! | time, queue, dice | `env`, `world` |
//! | links | `network` |
//! | nodes: what survives, what runs | `node`, `host`, `journal`, `serve`, `images` |
//! | trouble | `nemesis`, `deeds`, `disks` |
//! | clients and watchers | `clients`, `watchers` |
//! | verdicts | `checks`, `recovery`, and the crate `quorate-checker` |
//! | bugs put in on purpose | `plant` |
//! | story and sums | `trace`, `report` |
//!
//! # Invariants
//!
//! 1. Same options, same run: same events, same trace hash, same verdict, in every build.
//! 2. Nothing happens but by an event out of the one queue.
//! 3. No thread, clock or random source of the operating system is used inside a run; [`explore`] runs whole
//!    worlds in parallel.
#![forbid(unsafe_code)]

mod checks;
mod clients;
mod deeds;
mod disks;
mod env;
mod explore;
mod faults;
mod host;
mod images;
mod journal;
mod nemesis;
mod network;
mod node;
mod panics;
mod plant;
mod recovery;
mod report;
mod serve;
mod swarm;
mod trace;
mod watchers;
mod world;

pub use explore::explore;
pub use plant::Plant;
pub use report::{Failure, Fault, Report, Stats};
pub use trace::Sink;

/// Which run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Decides everything that is not given here.
    pub seed: u64,
    /// Replicas; left to the seed if not given.
    pub nodes: Option<usize>,
    /// A bug to put in.
    pub plant: Option<Plant>,
}

/// One run. Its transcript goes to `sink`, if there is one.
pub fn run(options: &Options, sink: Option<Sink<'_>>) -> Report {
    panics::caught(|| plant::run(options, sink))
}
