//! One election: the leader is gone, its followers' timers run.
//!
//! The leader, node 1, sends a last heartbeat to everybody at time 0 and crashes; some others may be down as
//! well. From there the cores decide. What is measured is when a leader stands, counted from the heartbeat's
//! sending, and whether the first term that anybody began has found one.

use quorate_protocol::{Config, NodeId, Random};

use crate::core::{Measured, node};
use crate::world::{Delay, Surroundings, Time, World};

/// The setting of an election.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    /// Voters, of which node 1 has just crashed.
    pub nodes: u64,
    /// How many more are down.
    pub also_down: u64,
    /// The length of a tick.
    pub tick: Time,
    /// The shortest election timeout.
    pub election_ticks: u32,
    /// The way of the last heartbeat.
    pub heartbeat: Delay,
    /// The way of a request.
    pub request: Delay,
    /// The way of a reply.
    pub reply: Delay,
    /// Followers' logs all have different lengths, so that not everybody can win.
    pub uneven_logs: bool,
    /// When to give up.
    pub patience: Time,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// When somebody led; none before patience ran out.
    pub elected: Option<Time>,
    /// The first term begun found no leader.
    pub split: bool,
}

/// Hold it.
pub(crate) fn elect<C: Measured>(setup: &Election, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let voters: Vec<NodeId> = (1..=setup.nodes).map(NodeId).collect();
    let up = &voters[1..voters.len() - setup.also_down as usize];
    let core = |&id: &NodeId| {
        let mut config = Config::new(id, voters.clone());
        config.election_ticks = setup.election_ticks;
        config.heartbeat_ticks = (setup.election_ticks / 2).max(1);
        let entries = if setup.uneven_logs { id.0 } else { 1 };
        (id, node::<C>(config, entries, random.fork()))
    };
    let cores: Vec<(NodeId, C)> = up.iter().map(core).collect();
    let around = Surroundings {
        tick: setup.tick,
        request: setup.request,
        reply: setup.reply,
        is_request: C::is_request,
        sync: Delay::Fixed(0),
        sync_first: false,
    };
    let mut world = World::new(around, cores, random);
    for &id in up {
        world.deliver(NodeId(1), id, C::heartbeat(), setup.heartbeat);
    }
    // The first term is over when it has a leader or when a later one begins.
    let decided = world.run(setup.patience, |world| world.leader().is_some() || world.round() > 2);
    let split = decided && world.round() > 2;
    let elected = world.run(setup.patience, |world| world.leader().is_some());
    Outcome { elected: elected.then_some(world.now), split }
}
