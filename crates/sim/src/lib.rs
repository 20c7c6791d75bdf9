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
//! | what nodes of any kind have in common | `ground` |
//! | links | `network` |
//! | a world of its own: Chord | `chord` |
//! | nodes: what survives, what runs | `node`, `host`, `journal`, `kept`, `serve`, `images` |
//! | trouble | `nemesis`, `deeds`, `disks` |
//! | clients and watchers | `clients`, `watchers` |
//! | verdicts | `checks`, `recovery`, and the crate `quorate-checker` |
//! | sites of atomic commit, their clients and verdicts | `atomic`, `doubts` |
//! | bugs put in on purpose | `plant` |
//! | what a run is told besides its seed | `plan`: `classes` of faults, `knobs`, `deeds` |
//! | story and sums | `story`, `label`, `trace`, `record`, `picture`, `report` |
//! | from a failed run to a smaller one | `shrink` |
//!
//! # Invariants
//!
//! 1. Same options, same run: same events, same trace hash, same verdict, in every build.
//! 2. Nothing happens but by an event out of the one queue.
//! 3. No thread, clock or random source of the operating system is used inside a run; [`explore`] runs whole
//!    worlds in parallel.
#![forbid(unsafe_code)]

mod atomic;
mod checks;
mod chord;
mod classes;
mod clients;
mod deeds;
mod disks;
mod doubts;
mod env;
mod explore;
mod faults;
mod ground;
mod host;
mod images;
mod journal;
mod json;
mod kept;
mod knobs;
mod label;
mod nemesis;
mod network;
mod node;
mod panics;
mod picture;
mod plan;
mod plant;
mod protocol;
mod record;
mod recovery;
mod rehearsal;
mod report;
mod serve;
mod shrink;
mod story;
mod swarm;
mod trace;
mod watchers;
mod world;

pub use classes::{Allowed, CLASSES, Class, Group};
pub use deeds::DeedId;
pub use doubts::{Doubt, Doubts, Met};
pub use explore::explore;
pub use knobs::{KNOBS, Knob};
pub use label::{Label, Value};
pub use picture::{is_milestone, picture};
pub use plan::{Plan, PlanError};
pub use plant::Plant;
pub use protocol::{Protocol, Sites};
pub use record::{FORMAT_VERSION, Recorder};
pub use report::{Failure, Fault, Report, Stats, span};
pub use shrink::{Effort, Shrunk, Size, shrink};
pub use story::{Fate, Happening, Moment};
pub use swarm::Swarm;
pub use trace::Sink;

use quorate_protocol::Random;

/// Which run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the nodes speak.
    pub protocol: Protocol,
    /// Decides everything that is not given here.
    pub seed: u64,
    /// Replicas, or sites of atomic commit; left to the seed if not given.
    pub nodes: Option<usize>,
    /// What sites of atomic commit are; left to the seed if not given.
    pub sites: Option<Sites>,
    /// A bug to put in.
    pub plant: Option<Plant>,
    /// What is changed in what the seed draws.
    pub plan: Plan,
}

impl Options {
    /// The command that makes this run.
    pub fn command(&self) -> String {
        let nodes = self.nodes.map_or(String::new(), |nodes| format!(" --nodes {nodes}"));
        let plant = self.plant.map_or(String::new(), |plant| format!(" --plant {}", plant.name()));
        let protocol = match self.protocol == Protocol::default() {
            true => String::new(),
            false => format!(" --protocol {}", self.protocol.name()),
        };
        let sites = self.sites.map_or(String::new(), |sites| format!(" --groups {}", sites.name()));
        format!("cargo run --release -- sim --seed {}{protocol}{sites}{nodes}{plant}{}", self.seed, self.plan)
    }

    /// The run's character.
    pub fn swarm(&self) -> Swarm {
        let mut swarm = Swarm::draw(Random::new(self.seed).fork(), self.nodes);
        if self.protocol == Protocol::Chord {
            chord::character::adapt(&mut swarm, Random::new(!self.seed), self.nodes);
        }
        if let Some(sites) = self.sites() {
            swarm = swarm.with_sites(&mut Random::new(!self.seed).fork(), sites, self.nodes);
        }
        self.plan.apply(&mut swarm);
        if !self.consensus().has_flexible_quorums() || self.sites() == Some(Sites::Processes) {
            swarm.write_quorum = 0;
        }
        swarm
    }

    /// What the sites of atomic commit are, if there are any.
    pub fn sites(&self) -> Option<Sites> {
        let drawn = || Sites::draw(&mut Random::new(!self.seed));
        self.protocol.is_atomic().then(|| self.sites.unwrap_or_else(drawn))
    }

    /// By what the replicas of each group agree.
    fn consensus(&self) -> Protocol {
        self.sites().map_or(self.protocol, Sites::consensus)
    }

    /// Decides what happens in it.
    fn dice(&self) -> Random {
        let mut random = Random::new(self.plan.dice_seed(self.seed));
        // The first is the character's.
        random.fork();
        random
    }
}

/// One run. Its transcript goes to `sink`, if there is one.
pub fn run(options: &Options, sink: Option<Sink<'_>>) -> Report {
    panics::caught(|| plant::run(options, sink))
}
