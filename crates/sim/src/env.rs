//! What everybody in the world shares: the time, the queue of what is to come, the dice, and the observers.
//!
//! There is one queue, ordered by time and, at equal times, by the order of entry. Nothing happens in the world
//! but by an event out of it, which is why a run repeats exactly.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use quorate_kv::Members;
use quorate_protocol::{Caps, Membership, NodeId, Random};

use crate::atomic::checks::Ledger;
use crate::checks::Checks;
use crate::clients::ClientEvent;
use crate::deeds::Deeds;
use crate::nemesis::Deed;
use crate::network::Network;
use crate::node::NodeEvent;
use crate::plant::Plant;
use crate::report::Stats;
use crate::swarm::Swarm;
use crate::trace::Trace;
use crate::watchers::WatcherEvent;
use crate::{Options, Protocol};

/// What can happen.
#[derive(Debug)]
pub enum Event {
    /// To a node. If `life` is given, only in that life of it.
    Node { node: usize, life: Option<u64>, event: NodeEvent },
    /// To a client.
    Client(ClientEvent),
    /// To a watcher.
    Watcher(WatcherEvent),
    /// The nemesis acts.
    Nemesis(Deed),
    /// The faults end.
    Calm,
    /// A look at whether the cluster has recovered.
    Poll,
}

struct Due {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest, as the heap wants it.
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// A source of chance for each concern, so that a change to one does not shift the others' numbers.
pub struct Dice {
    pub network: Random,
    pub disk: Random,
    pub host: Random,
    pub clients: Random,
    pub watchers: Random,
}

/// See the module's text.
pub struct Env {
    pub now: u64,
    pub swarm: Swarm,
    pub plant: Option<Plant>,
    /// Transactions are committed in three phases, not in two.
    pub three_phases: bool,
    /// What is promised of transactions over several sites.
    pub atomic: Ledger,
    pub network: Network,
    pub checks: Checks,
    pub trace: Trace,
    pub stats: Stats,
    pub dice: Dice,
    pub deeds: Deeds,
    /// Give up after so many events.
    pub most_events: Option<u64>,
    /// How many nodes there are, those that left and those that joined included.
    pub places: usize,
    /// Nodes of each group that clients know of.
    pub serving: Vec<Vec<usize>>,
    /// Nodes whose disk was damaged, and the life in which that was.
    pub damaged: BTreeMap<usize, u64>,
    /// Until when a node's disk is slow.
    pub slow_disks: BTreeMap<usize, u64>,
    queue: BinaryHeap<Due>,
    entered: u64,
}

impl Env {
    pub fn new(mut random: Random, swarm: Swarm, options: &Options, caps: Caps, trace: Trace) -> Self {
        let dice = Dice {
            network: random.fork(),
            disk: random.fork(),
            host: random.fork(),
            clients: random.fork(),
            watchers: random.fork(),
        };
        let (groups, each) = (swarm.groups, swarm.nodes / swarm.groups);
        let clock_us = (!swarm.faults.weights.break_clocks()).then_some(swarm.tick_us);
        let three_phases = options.protocol == Protocol::ThreePhase;
        let atomic = Ledger::new(swarm.groups, swarm.doubt_us(three_phases), swarm.is_faultless());
        Env {
            now: 0,
            network: Network::default(),
            deeds: Deeds::new(random.fork(), options.plan.deeds.clone()),
            most_events: options.plan.most_events,
            places: swarm.nodes,
            serving: (0..groups).map(|group| (group * each..(group + 1) * each).collect()).collect(),
            damaged: BTreeMap::new(),
            slow_disks: BTreeMap::new(),
            swarm,
            plant: options.plant,
            three_phases,
            atomic,
            checks: Checks::new(caps, groups, clock_us),
            trace,
            stats: Stats { runs: 1, ..Stats::default() },
            dice,
            queue: BinaryHeap::new(),
            entered: 0,
        }
    }

    /// Let `event` happen `delay_us` from now.
    pub fn after(&mut self, delay_us: u64, event: Event) {
        self.entered += 1;
        self.queue.push(Due { at: self.now + delay_us, number: self.entered, event });
    }

    /// Let something happen to a node, in its present life.
    pub fn after_at(&mut self, delay_us: u64, node: usize, life: u64, event: NodeEvent) {
        self.after(delay_us, Event::Node { node, life: Some(life), event });
    }

    /// The next event; time moves on to it.
    pub fn next_event(&mut self) -> Option<Event> {
        let due = self.queue.pop()?;
        self.now = due.at;
        Some(due.event)
    }

    /// How long a node's disk takes for an fsync now.
    pub fn disk_us(&mut self, node: usize) -> u64 {
        let takes = Env::within(&mut self.dice.disk, self.swarm.pace.disk_us);
        let slow = self.slow_disks.get(&node).is_some_and(|until| self.now < *until);
        if slow { 20 * takes } else { takes }
    }

    /// The group that a node belongs to.
    pub fn group_of(&self, node: usize) -> usize {
        self.checks.group_of(node)
    }

    /// How many nodes of a group are damaged.
    pub fn damaged_in(&self, group: usize) -> usize {
        self.damaged.keys().filter(|node| self.group_of(**node) == group).count()
    }

    /// The membership that a members table asks for.
    pub fn membership(&self, members: &Members) -> Membership {
        Membership::new(members.voters().map(NodeId), members.learners().map(NodeId))
            .with_write_quorum(self.swarm.write_quorum)
    }

    /// A node for a client to ask.
    pub fn a_server(serving: &[usize], random: &mut Random) -> usize {
        serving[random.below(serving.len() as u64) as usize]
    }

    /// A number in `low..=high`.
    pub fn within(random: &mut Random, (low, high): (u64, u64)) -> u64 {
        random.between(low, high.max(low) + 1)
    }
}
