//! The experiments of the Chord paper (SIGCOMM 2001, §6), on the core, in the least host it can have.
//!
//! | experiment | function | source |
//! |---|---|---|
//! | path length | [`paths`] | §6.3, figure 10 |
//! | load | [`loads`], [`virtual_loads`] | §6.2, figures 8 and 9 |
//! | simultaneous failures | [`failures`] | §6.4, figure 11 |
//! | lookups while nodes come and go | [`churn`] | §6.5, figure 12 |
//!
//! # Invariants
//!
//! Every number is decided by its parameters, the seed among them. Nothing is tuned to fit: where the paper's
//! lookup differs from ours (it goes by fingers alone and never retries), both are measured.
//!
//! # Caveats
//!
//! Nodes' places are drawn at random, as a hash of their addresses would be. Messages take one tick and are not lost;
//! who is gone does not answer.

use std::collections::{BTreeMap, VecDeque};

use quorate_chord::{
    Chord, Config, Effect, Effects, Event, Id, LookupId, Manner, Message, Peer, Phase, Rules,
};
use quorate_protocol::{NodeId, Random};

/// Lookups as the paper measured them.
#[derive(Clone, Debug)]
pub struct Paper;

impl Rules for Paper {
    fn knows_its_keys() -> bool {
        false
    }

    fn uses_successors() -> bool {
        false
    }

    fn tries_others() -> bool {
        false
    }
}

/// Lookups that walk the ring.
#[derive(Clone, Debug)]
pub struct Walking;

impl Rules for Walking {
    fn uses_fingers() -> bool {
        false
    }
}

/// Lookups that end at the predecessor.
#[derive(Clone, Debug)]
pub struct Predecessor;

impl Rules for Predecessor {
    fn owner_is_successor() -> bool {
        false
    }
}

/// Nodes, numbered from 0; node n has the address n + 1.
struct Net<R: Rules> {
    nodes: Vec<Option<Chord<R>>>,
    random: Random,
    now: u64,
    sent: Vec<(NodeId, NodeId, Message)>,
    told: VecDeque<(usize, Effect)>,
    effects: Effects,
    messages: u64,
}

fn address(at: usize) -> NodeId {
    NodeId(at as u64 + 1)
}

fn place(node: NodeId) -> usize {
    node.0 as usize - 1
}

impl<R: Rules> Net<R> {
    /// A ring in which all is as it should be.
    fn settled(count: usize, seed: u64, config: impl Fn(Peer) -> Config) -> Self {
        let mut random = Random::new(seed);
        let peers: Vec<Peer> =
            (0..count).map(|at| Peer { id: Id(random.next_u64()), node: address(at) }).collect();
        let mut sorted = peers.clone();
        sorted.sort_unstable();
        let mut seeds = random.fork();
        let node = |own: &Peer| Some(Chord::among(config(*own), &sorted, seeds.next_u64()));
        let nodes = peers.iter().map(node).collect();
        let (sent, told, effects) = (Vec::new(), VecDeque::new(), Vec::new());
        Net { nodes, random, now: 0, sent, told, effects, messages: 0 }
    }

    fn step(&mut self, at: usize, event: Event) {
        let Some(node) = self.nodes[at].as_mut() else { return };
        let mut effects = std::mem::take(&mut self.effects);
        node.step(event, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { to, message } => self.sent.push((address(at), to, message)),
                effect @ (Effect::Found { .. } | Effect::Failed { .. } | Effect::Lost) => {
                    self.told.push_back((at, effect));
                }
                Effect::JoinFailed(_) => self.told.push_back((at, Effect::Lost)),
                _ => {}
            }
        }
        self.effects = effects;
    }

    /// What was sent arrives.
    fn deliver(&mut self) {
        for (from, to, message) in std::mem::take(&mut self.sent) {
            self.messages += 1;
            self.step(place(to), Event::Receive { from, message });
        }
    }

    /// One tick: what was sent arrives, and time passes everywhere.
    fn tick(&mut self) {
        self.now += 1;
        self.deliver();
        (0..self.nodes.len()).for_each(|at| self.step(at, Event::Tick));
    }

    /// A lookup, start to end; time passes only for who asks, and only while nothing else happens.
    fn look_up(&mut self, at: usize, key: Id, manner: Manner) -> Effect {
        self.step(at, Event::Lookup { lookup: LookupId(0), key, manner });
        loop {
            if let Some((_, effect)) = self.told.pop_front() {
                return effect;
            }
            if self.sent.is_empty() {
                self.step(at, Event::Tick);
            }
            self.deliver();
        }
    }

    /// Somebody who is there.
    fn anybody(&mut self) -> usize {
        loop {
            let at = self.random.below(self.nodes.len() as u64) as usize;
            if self.nodes[at].as_ref().is_some_and(|node| node.phase() == Phase::Member) {
                return at;
            }
        }
    }

    fn members(&self) -> BTreeMap<Id, NodeId> {
        let member = |node: &Chord<R>| {
            let own = node.own();
            (node.phase() == Phase::Member).then_some((own.id, own.node))
        };
        self.nodes.iter().flatten().filter_map(member).collect()
    }
}

/// Who is responsible, of these.
fn owner(members: &BTreeMap<Id, NodeId>, key: Id) -> Option<NodeId> {
    members.range(key..).next().or_else(|| members.iter().next()).map(|(_, node)| *node)
}

/// Nobody does anything by himself.
fn quiet(own: Peer, successors: usize) -> Config {
    Config { stabilise_ticks: 0, finger_ticks: 0, ..Config::new(own, successors) }
}

/// Twice the logarithm of the nodes.
fn list_length(nodes: usize) -> usize {
    2 * nodes.next_power_of_two().trailing_zeros() as usize
}

/// Path lengths, in nodes gone through to the key's predecessor.
#[derive(Clone, Debug)]
pub struct Paths {
    pub mean: f64,
    pub p1: u32,
    pub p99: u32,
    pub messages: f64,
    /// The share of lookups that named another node than the one responsible.
    pub wrong: f64,
}

/// Looks random keys up in settled rings: in several where they are small, for a small ring is one draw of many.
pub fn paths<R: Rules>(nodes: usize, lookups: usize, manner: Manner, seed: u64) -> Paths {
    let rings = (1 << 14) / nodes.clamp(256, 1 << 14);
    let successors = list_length(nodes);
    let (mut hops, mut wrong, mut messages) = (Vec::with_capacity(lookups), 0, 0);
    for ring in 0..rings {
        let seed = seed << 8 | ring as u64;
        let mut net: Net<R> = Net::settled(nodes, seed, |own| quiet(own, successors));
        let members = net.members();
        for _ in 0..lookups / rings {
            let (at, key) = (net.anybody(), Id(net.random.next_u64()));
            let Effect::Found { owner: found, hops: count, .. } = net.look_up(at, key, manner) else {
                continue;
            };
            hops.push(count);
            wrong += usize::from(Some(found.node) != owner(&members, key));
        }
        messages += net.messages;
    }
    hops.sort_unstable();
    let count = hops.len() as f64;
    let mean = hops.iter().map(|hops| f64::from(*hops)).sum::<f64>() / count;
    let quantile = |share: f64| hops[((share * count).ceil() as usize).max(1) - 1];
    Paths {
        mean,
        p1: quantile(0.01),
        p99: quantile(0.99),
        messages: messages as f64 / count,
        wrong: wrong as f64 / count,
    }
}

/// Keys per node in parts of the mean: the 99th percentile, and the most.
#[derive(Clone, Copy, Debug)]
pub struct Loads {
    pub p99: f64,
    pub most: f64,
}

fn of_loads(mut loads: Vec<u32>) -> Loads {
    loads.sort_unstable();
    let mean = loads.iter().map(|load| f64::from(*load)).sum::<f64>() / loads.len() as f64;
    let p99 = f64::from(loads[(loads.len() * 99).div_ceil(100) - 1]) / mean;
    Loads { p99, most: f64::from(loads[loads.len() - 1]) / mean }
}

/// Looks every key up, from anywhere, and counts where it was found.
pub fn loads(nodes: usize, keys: usize, seed: u64) -> Loads {
    let successors = list_length(nodes);
    let mut net: Net<quorate_chord::Corrected> = Net::settled(nodes, seed, |own| quiet(own, successors));
    let mut loads = vec![0; nodes];
    for _ in 0..keys {
        let (at, key) = (net.anybody(), Id(net.random.next_u64()));
        if let Effect::Found { owner, .. } = net.look_up(at, key, Manner::Recursive) {
            loads[place(owner.node)] += 1;
        }
    }
    of_loads(loads)
}

/// The same where each node is so many; by a map of all, for that many nodes need not be run to know it.
pub fn virtual_loads(nodes: usize, each: usize, keys: usize, seed: u64) -> Loads {
    let mut random = Random::new(seed);
    let members: BTreeMap<Id, NodeId> =
        (0..nodes * each).map(|number| (Id(random.next_u64()), address(number % nodes))).collect();
    let mut loads = vec![0; nodes];
    for _ in 0..keys {
        if let Some(node) = owner(&members, Id(random.next_u64())) {
            loads[place(node)] += 1;
        }
    }
    of_loads(loads)
}

/// Some of the nodes fail at once; the rest stabilise. Answers the share of lookups that do not name who was
/// responsible before, and the share that do not name who is now.
pub fn failures(nodes: usize, percent: u64, lookups: usize, seed: u64) -> (f64, f64) {
    let successors = list_length(nodes);
    let config = |own| Config { tries: 1, timeout_ticks: 3, ..Config::new(own, successors) };
    let mut net: Net<quorate_chord::Corrected> = Net::settled(nodes, seed, config);
    let before = net.members();
    for at in 0..nodes {
        if net.random.percent(percent) {
            net.nodes[at] = None;
        }
    }
    // Ten rounds of stabilising.
    (0..300).for_each(|_| net.tick());
    let after = net.members();
    net.told.clear();
    let (mut lost, mut wrong) = (0, 0);
    for _ in 0..lookups {
        let (at, key) = (net.anybody(), Id(net.random.next_u64()));
        let found = match net.look_up(at, key, Manner::Iterative) {
            Effect::Found { owner, .. } => Some(owner.node),
            _ => None,
        };
        lost += usize::from(found != owner(&before, key));
        wrong += usize::from(found != owner(&after, key));
    }
    (lost as f64 / lookups as f64, wrong as f64 / lookups as f64)
}

/// What came of lookups while nodes came and went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Churn {
    pub lookups: u64,
    /// Not answered, or not with who was responsible when the answer came.
    pub failed: u64,
    /// Of those, not answered.
    pub unanswered: u64,
}

/// Nodes come and fail, each `rate` times a second, and somebody looks something up every second. A tick is 50 ms and
/// a message's way; who has not answered after 500 ms is taken for dead; everybody stabilises every 30 s, and fixes each
/// finger about as often. The number of nodes stays about the same.
pub fn churn<R: Rules>(nodes: usize, rate: f64, seconds: u64, seed: u64) -> Churn {
    const TICKS: u64 = 20;
    let successors = list_length(nodes);
    let fingers = nodes.next_power_of_two().trailing_zeros();
    let config = |own| Config {
        stabilise_ticks: 30 * TICKS as u32,
        finger_ticks: 30 * TICKS as u32 / fingers,
        timeout_ticks: 10,
        tries: 1,
        ..Config::new(own, successors)
    };
    let mut net: Net<R> = Net::settled(nodes, seed, config);
    let (mut result, mut asked) = (Churn::default(), BTreeMap::new());
    let per_tick = (rate / TICKS as f64 * (1u64 << 32) as f64) as u64;
    let happens = |random: &mut Random, chance: u64| random.next_u64() >> 32 < chance;
    for _ in 0..seconds * TICKS {
        net.tick();
        if happens(&mut net.random, per_tick) {
            let through = net.anybody();
            let own = Peer { id: Id(net.random.next_u64()), node: address(net.nodes.len()) };
            let seed = net.random.next_u64();
            net.nodes.push(Some(Chord::new(config(own), seed)));
            net.step(place(own.node), Event::Join(address(through)));
        }
        if happens(&mut net.random, per_tick) {
            let at = net.anybody();
            net.nodes[at] = None;
        }
        if happens(&mut net.random, (1 << 32) / TICKS) {
            let (at, key) = (net.anybody(), Id(net.random.next_u64()));
            let lookup = LookupId(net.now);
            asked.insert(lookup, key);
            net.step(at, Event::Lookup { lookup, key, manner: Manner::Iterative });
        }
        let told = std::mem::take(&mut net.told);
        for (at, effect) in told {
            match effect {
                Effect::Found { lookup, owner: found, .. } => {
                    let Some(key) = asked.remove(&lookup) else { continue };
                    result.lookups += 1;
                    result.failed += u64::from(owner(&net.members(), key) != Some(found.node));
                }
                Effect::Failed { lookup, .. } if asked.remove(&lookup).is_some() => {
                    result.lookups += 1;
                    result.failed += 1;
                    result.unanswered += 1;
                }
                Effect::Lost => {
                    let through = net.anybody();
                    net.step(at, Event::Join(address(through)));
                }
                _ => {}
            }
        }
    }
    result
}
