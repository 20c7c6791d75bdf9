//! One operation after the other: what a leader gains that sends entries before they are on its own disk.
//!
//! Three nodes; a client proposes to the leader, waits for the commit, and proposes again. The leader either
//! syncs first and then sends, or does both at once (dissertation §10.2.1), which is how the core works; the
//! first is the same core under a host that holds every message until all writes asked for are durable.
//!
//! With disks of fixed time f and a way of n in each direction, an operation takes 2f+2n one way and f+2n the
//! other. A disk whose times vary changes both a little: the faster of two followers decides the first, the
//! second fastest of three nodes the second.

use bytes::Bytes;
use quorate_protocol::{Config, Event, NodeId, Random};

use crate::core::{Measured, node};
use crate::world::{Delay, MS, Surroundings, World};

/// What the operations run over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A message's way.
    pub network: Delay,
    /// A sync.
    pub sync: Delay,
    /// Whether the leader syncs before it sends.
    pub sync_first: bool,
}

/// The time an operation takes, in nanoseconds, over many.
pub(crate) fn one_at_a_time<C: Measured>(pace: &Pace, ops: u64, seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let voters: Vec<NodeId> = (1..=3).map(NodeId).collect();
    let core = |&id: &NodeId| {
        let mut config = Config::new(id, voters.clone());
        // Somebody must be first, and the measured time holds no election.
        config.election_ticks = if id == NodeId(1) { 100 } else { 1_000 };
        (id, node::<C>(config, 1, random.fork()))
    };
    let cores: Vec<(NodeId, C)> = voters.iter().map(core).collect();
    let around = Surroundings {
        tick: 10 * MS,
        request: pace.network,
        reply: pace.network,
        is_request: C::is_request,
        sync: pace.sync,
        sync_first: pace.sync_first,
    };
    let mut world = World::new(around, cores, random);
    let leader = NodeId(1);
    let ready = world.run(60_000 * MS, |world| world.leader() == Some(leader) && world.commit(leader) > 1);
    assert!(ready, "a leader stands and its first entry is committed");
    let (began, first) = (world.now, world.commit(leader));
    for op in 1..=ops {
        world.tell(leader, Event::Propose(vec![Bytes::from_static(&[7; 256])]));
        let done = world.run(world.now + 1_000 * MS, |world| world.commit(leader) >= first + op);
        assert!(done, "an operation without faults is committed within a second");
    }
    (world.now - began) as f64 / ops as f64
}
