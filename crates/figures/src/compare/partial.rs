//! Links fail, but not all: nodes can reach some of the others (Ng, Haridi and Carbone, "Omni-Paxos: Breaking the
//! Barriers of Partial Connectivity", EuroSys 2023, §2).
//!
//! * *Quorum loss*: five nodes that can all reach one of them, the hub, and nobody else. The leader, not the hub,
//!   is alive and has lost its quorum. Only the hub can lead.
//! * *Constrained election*: as before, but the leader can reach nobody, and the hub had been cut off before and lacks
//!   entries. Only the hub can be elected, and others know more.
//! * *Chained*: three nodes in a row, the leader at one end. A majority is whole; the other end hears no leader.
//!
//! Clients ask every node. Measured is when something is committed again, in election timeouts from the cut on,
//! or that it is not within fifty; and how many leaderships began in those fifty: who recovers only to be overthrown
//! again has not recovered.

use quorate_protocol::{Consensus, NodeId};

use super::arena::{ELECTION, WAY, committed, led, propose};
use super::{Contender, Table, spread};
use crate::Effort;
use crate::stats::{Times, trials};
use crate::world::{Delay, Time, World};

/// How long is watched.
const WATCHED: Time = 50 * ELECTION;

/// Clients' questions come that far apart.
const STEP: Time = ELECTION / 10;

/// Which links fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partition {
    /// The leader loses its quorum.
    QuorumLoss,
    /// The only one that can be elected knows less than others.
    Constrained,
    /// A row of three.
    Chained,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Until something was committed that was asked for after the cut.
    again: Option<f64>,
    /// Leaderships that began.
    elections: u64,
    /// The share of time after that in which something was committed.
    serving: f64,
}

pub(super) fn measure<C: Consensus>(partition: Partition, seed: u64) -> Outcome {
    let count = if partition == Partition::Chained { 3 } else { 5 };
    let (mut world, leader) = led::<C>(count, Delay::Fixed(WAY), seed);
    let others: Vec<NodeId> = world.up().into_iter().filter(|&node| node != leader).collect();
    let hub = others[0];
    if partition == Partition::Constrained {
        // The hub misses some entries. It must not begin to ask around before the real cut, so this is brief.
        world.up().into_iter().filter(|&node| node != hub).for_each(|node| world.cut(hub, node));
        (0..3).for_each(|_| propose(&mut world, leader));
        world.run(world.now + 4 * WAY, |_| false);
        world.heal();
    }
    cut(&mut world, partition, leader, hub);
    watch(&mut world)
}

fn cut<C: Consensus>(world: &mut World<C>, partition: Partition, leader: NodeId, hub: NodeId) {
    let nodes = world.up();
    for &a in &nodes {
        for &b in nodes.iter().filter(|&&b| a < b) {
            let with_leader = a == leader || b == leader;
            let with_hub = a == hub || b == hub;
            let fails = match partition {
                Partition::QuorumLoss | Partition::Chained => !with_hub,
                Partition::Constrained => !with_hub || with_leader,
            };
            if fails {
                world.cut(a, b);
            }
        }
    }
}

fn watch<C: Consensus>(world: &mut World<C>) -> Outcome {
    let (began, elections) = (world.now, world.elections());
    let steps = WATCHED / STEP;
    let mut again = None;
    let mut served = 0;
    for step in 0..steps {
        let before = committed(world);
        world.up().into_iter().for_each(|node| propose(world, node));
        world.run(began + (step + 1) * STEP, |_| false);
        // What was under way when the links failed may still be committed in the first moment.
        if committed(world) > before && step > 0 {
            again.get_or_insert(step);
            served += 1;
        }
    }
    let since = steps - again.unwrap_or(0);
    Outcome {
        again: again.map(|step| (step * STEP) as f64 / ELECTION as f64),
        elections: world.elections() - elections,
        serving: served as f64 / since as f64,
    }
}

pub(super) fn table(contenders: &[Contender], effort: Effort, head: Vec<String>) -> Table {
    let mut rows = Vec::new();
    for (name, partition) in [
        ("quorum loss", Partition::QuorumLoss),
        ("constrained election", Partition::Constrained),
        ("chained", Partition::Chained),
    ] {
        let outcomes: Vec<Vec<Outcome>> =
            contenders.iter().map(|c| trials(effort.of(500), |seed| (c.partial)(partition, seed))).collect();
        let mut push = |what: &str, tell: &dyn Fn(&[Outcome]) -> String| {
            let cells = outcomes.iter().map(|all| tell(all));
            rows.push(std::iter::once(format!("{name}: {what}")).chain(cells).collect::<Vec<String>>());
        };
        push("median / 99 %", &|all| spread(&Times::new(all.iter().map(|one| one.again))));
        push("never", &|all| {
            let never = all.iter().filter(|one| one.again.is_none()).count();
            format!("{:.1} %", 100.0 * never as f64 / all.len() as f64)
        });
        let mean =
            |all: &[Outcome], of: fn(&Outcome) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        push("leaderships begun in fifty timeouts", &|all| {
            format!("{:.1}", mean(all, |one| one.elections as f64))
        });
        push("share of the time served after that", &|all| {
            format!("{:.0} %", 100.0 * mean(all, |one| one.serving))
        });
    }
    Table { title: "Links fail in part", head, rows }
}
