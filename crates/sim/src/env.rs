//! What everybody in the world shares: the time, the queue of what is to come, the dice, and the observers.
//!
//! There is one queue, ordered by time and, at equal times, by the order of entry. Nothing happens in the world
//! but by an event out of it, which is why a run repeats exactly.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use quorate_protocol::Random;

use crate::checks::Checks;
use crate::clients::ClientEvent;
use crate::nemesis::Deed;
use crate::network::Network;
use crate::node::NodeEvent;
use crate::plant::Plant;
use crate::report::Stats;
use crate::swarm::Swarm;
use crate::trace::Trace;
use crate::watchers::WatcherEvent;

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
    pub nemesis: Random,
}

/// See the module's text.
pub struct Env {
    pub now: u64,
    pub swarm: Swarm,
    pub plant: Option<Plant>,
    pub network: Network,
    pub checks: Checks,
    pub trace: Trace,
    pub stats: Stats,
    pub dice: Dice,
    queue: BinaryHeap<Due>,
    entered: u64,
}

impl Env {
    pub fn new(mut random: Random, swarm: Swarm, plant: Option<Plant>, told: bool) -> Self {
        let dice = Dice {
            network: random.fork(),
            disk: random.fork(),
            host: random.fork(),
            clients: random.fork(),
            watchers: random.fork(),
            nemesis: random.fork(),
        };
        Env {
            now: 0,
            network: Network::new(swarm.nodes),
            swarm,
            plant,
            checks: Checks::default(),
            trace: Trace::new(told),
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

    /// A number in `low..=high`.
    pub fn within(random: &mut Random, (low, high): (u64, u64)) -> u64 {
        random.between(low, high.max(low) + 1)
    }
}
