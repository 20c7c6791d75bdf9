//! What the experiments have in common: some voters, an election, a command.

use bytes::Bytes;
use quorate_protocol::{Config, Consensus, Event, NodeId, Random, Recovered};

use crate::world::{Delay, MS, Surroundings, Time, World};

/// The length of a tick.
pub(super) const TICK: Time = MS;

/// The shortest election timeout, in ticks; ten heartbeats.
const ELECTION_TICKS: u32 = 100;

/// The same as a time.
pub(super) const ELECTION: Time = ELECTION_TICKS as Time * TICK;

/// A message's way.
pub(super) const WAY: Time = MS;

/// A command of the size that is usual in a store like ours.
pub(super) fn command() -> Bytes {
    Bytes::from_static(&[7; 256])
}

/// So many voters that know of nothing yet.
pub(super) fn voters<C: Consensus>(count: u64, way: Delay, mut random: Random) -> World<C> {
    let voters: Vec<NodeId> = (1..=count).map(NodeId).collect();
    let core = |&id: &NodeId| {
        let mut config = Config::new(id, voters.clone());
        config.election_ticks = ELECTION_TICKS;
        config.heartbeat_ticks = ELECTION_TICKS / 10;
        (id, C::recover(config, Recovered::default(), random.fork()))
    };
    let cores: Vec<(NodeId, C)> = voters.iter().map(core).collect();
    let around = Surroundings {
        tick: TICK,
        request: way,
        reply: way,
        is_request: |_| true,
        sync: Delay::Fixed(0),
        sync_first: false,
    };
    World::new(around, cores, random)
}

/// The same, led, with everything that the leader has committed known to all.
pub(super) fn led<C: Consensus>(count: u64, way: Delay, seed: u64) -> (World<C>, NodeId) {
    let mut world = voters::<C>(count, way, Random::new(seed));
    let settled = |world: &World<C>| {
        let leader = world.leader().map_or(0, |leader| world.commit(leader));
        leader > 0 && world.up().iter().all(|&node| world.commit(node) == leader)
    };
    assert!(world.run(60_000 * MS, settled), "somebody leads within a minute");
    // Another heartbeat, so that no timer is about to run out.
    world.run(world.now + ELECTION, |_| false);
    let leader = world.leader().expect("somebody leads still");
    (world, leader)
}

/// Ask a node for one more entry.
pub(super) fn propose<C: Consensus>(world: &mut World<C>, node: NodeId) {
    world.tell(node, Event::Propose(vec![command()]));
}

/// How far anybody who is up has committed.
pub(super) fn committed<C: Consensus>(world: &World<C>) -> u64 {
    world.up().into_iter().map(|node| world.commit(node)).max().unwrap_or(0)
}
