//! The least host a core can have: an event queue, delays, and ticks.
//!
//! There is no log on a disk and no state machine, for the papers' experiments have none either: a write is
//! durable after a delay, a message arrives after a delay, and nothing is lost. What decides anything is the
//! core itself, the same that serves clients. The seeded world (`crates/sim`) is the place for faults; this
//! one is for numbers, so it is small enough that a hundred thousand elections take seconds.
//!
//! # Time
//!
//! Times are nanoseconds. A core counts ticks, each node at its own phase, which is drawn at the start: so
//! the difference between the timeouts of two nodes takes every value and not only whole ticks, and what a
//! tick's length adds or takes away from a timeout is less than one tick.
//!
//! # Disks
//!
//! A node's writes become durable in groups: what is asked for while a sync is under way waits for the next
//! one (as the product's log thread does it). A disk of no delay is durable at once.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use quorate_protocol::codec::{Encode, Writer};
use quorate_protocol::{Consensus, Effect, Effects, Event, NodeId, Outbox, Random, Role, Seq};

/// Nanoseconds.
pub(crate) type Time = u64;

/// One millisecond.
pub(crate) const MS: Time = 1_000_000;

/// One microsecond.
pub(crate) const US: Time = 1_000;

/// How long something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delay {
    /// Always as long.
    Fixed(Time),
    /// Anything from the first up to the second, all equally likely.
    Uniform(Time, Time),
    /// At least the first, and beyond it memoryless with this median.
    Tail(Time, Time),
}

impl Delay {
    fn draw(self, random: &mut Random) -> Time {
        match self {
            Delay::Fixed(time) => time,
            Delay::Uniform(low, high) => random.between(low, high + 1),
            Delay::Tail(least, median) => {
                // A uniform number in (0, 1], from 53 bits; its binary logarithm counts half-lives.
                let uniform = ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                least + (-uniform.log2() * median as f64) as Time
            }
        }
    }
}

/// What surrounds the cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<M> {
    /// The length of a tick.
    pub tick: Time,
    /// A message's way, one direction, if `is_request` says so of it.
    pub request: Delay,
    /// The way of every other message.
    pub reply: Delay,
    /// Tells requests from replies.
    pub is_request: fn(&M) -> bool,
    /// A sync of the disk.
    pub sync: Delay,
    /// Messages also wait for every write asked for before them: no syncing beside sending.
    pub sync_first: bool,
}

/// What went over the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Messages sent, whether they arrived or not.
    pub messages: u64,
    /// Their bytes, as the cores lay them out; frames and addresses come on top.
    pub bytes: u64,
}

/// One node.
struct Node<C: Consensus> {
    core: C,
    up: bool,
    outbox: Outbox<C::Message>,
    next_tick: Time,
    /// The last write asked for, the one that the sync under way will make durable, and the last durable one.
    asked: Seq,
    syncing: Option<Seq>,
    durable: Seq,
    role: Role,
    round: u64,
    commit: u64,
}

/// Something due.
struct Due<M> {
    at: Time,
    order: u64,
    node: usize,
    event: Event<M>,
}

impl<M> PartialEq for Due<M> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl<M> Eq for Due<M> {}

impl<M> PartialOrd for Due<M> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for Due<M> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Nodes, and what is on its way between them.
pub(crate) struct World<C: Consensus> {
    /// Now.
    pub now: Time,
    around: Surroundings<C::Message>,
    nodes: Vec<(NodeId, Node<C>)>,
    queue: BinaryHeap<Reverse<Due<C::Message>>>,
    order: u64,
    random: Random,
    /// Pairs that cannot reach each other, the lower id first.
    cuts: BTreeSet<(NodeId, NodeId)>,
    /// Counted only if wanted: laying a message out takes longer than delivering it.
    tally: Option<Tally>,
    /// How often somebody began to lead.
    elections: u64,
    effects: Effects<C::Message>,
}

impl<C: Consensus> World<C> {
    /// These nodes are up; messages to others vanish.
    pub fn new(
        around: Surroundings<C::Message>,
        cores: impl IntoIterator<Item = (NodeId, C)>,
        mut random: Random,
    ) -> Self {
        let node = |(id, core): (NodeId, C)| {
            let node = Node {
                core,
                up: true,
                outbox: Outbox::default(),
                next_tick: random.below(around.tick),
                asked: Seq(0),
                syncing: None,
                durable: Seq(0),
                role: Role::Follower,
                round: 0,
                commit: 0,
            };
            (id, node)
        };
        let nodes = cores.into_iter().map(node).collect();
        World {
            now: 0,
            around,
            nodes,
            queue: BinaryHeap::new(),
            order: 0,
            random,
            cuts: BTreeSet::new(),
            tally: None,
            elections: 0,
            effects: Vec::new(),
        }
    }

    /// Count messages from now on, from nothing.
    pub fn count(&mut self) {
        self.tally = Some(Tally::default());
    }

    /// What was counted.
    pub fn tally(&self) -> Tally {
        self.tally.unwrap_or_default()
    }

    /// How often somebody began to lead.
    pub fn elections(&self) -> u64 {
        self.elections
    }

    /// A node's process ends. Its connections end with it: the others are told at once, if `noticed`.
    pub fn stop(&mut self, id: NodeId, noticed: bool) {
        let at = self.place(id);
        (self.nodes[at].1.up, self.nodes[at].1.role) = (false, Role::Follower);
        let others: Vec<usize> = (0..self.nodes.len()).filter(|&other| self.nodes[other].1.up).collect();
        for other in others.into_iter().filter(|_| noticed) {
            self.step(other, Event::LinkReset(id));
        }
    }

    /// Two nodes cannot reach each other any more; nobody is told.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        self.cuts.insert((a.min(b), a.max(b)));
    }

    /// Everybody can reach everybody.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// A node's core.
    pub fn core(&self, id: NodeId) -> &C {
        &self.nodes[self.place(id)].1.core
    }

    /// The nodes that are up.
    pub fn up(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| node.up).map(|(id, _)| *id).collect()
    }

    fn place(&self, id: NodeId) -> usize {
        self.nodes.iter().position(|(node, _)| *node == id).expect("the node is in this world")
    }

    /// The highest round that any node is in, as far as it has said so.
    pub fn round(&self) -> u64 {
        self.nodes.iter().map(|(_, node)| node.round).max().unwrap_or(0)
    }

    /// The leader of the highest round, if it has one.
    pub fn leader(&self) -> Option<NodeId> {
        let round = self.round();
        let leads = |node: &Node<C>| node.role == Role::Leader && node.round == round;
        self.nodes.iter().find(|(_, node)| leads(node)).map(|(id, _)| *id)
    }

    /// How far a node has committed.
    pub fn commit(&self, id: NodeId) -> u64 {
        self.nodes.iter().find(|(node, _)| *node == id).map_or(0, |(_, node)| node.commit)
    }

    /// Let a message arrive at a node in a while.
    pub fn deliver(&mut self, from: NodeId, to: NodeId, message: C::Message, delay: Delay) {
        let Some(at) = self.nodes.iter().position(|(id, _)| *id == to) else { return };
        let due = self.now + delay.draw(&mut self.random);
        self.schedule(due, at, Event::Receive { from, message });
    }

    /// Tell a node something now.
    pub fn tell(&mut self, id: NodeId, event: Event<C::Message>) {
        self.step(self.place(id), event);
    }

    /// Let things happen until `done`, or until `deadline`. Answers whether it was done.
    pub fn run(&mut self, deadline: Time, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let due = self.queue.peek().map_or(Time::MAX, |Reverse(due)| due.at);
            let up = self.nodes.iter().enumerate().filter(|(_, (_, node))| node.up);
            let ticks = up.map(|(at, (_, node))| (node.next_tick, at));
            let (tick, at) = ticks.min().expect("somebody is up");
            if due.min(tick) > deadline {
                self.now = deadline;
                return false;
            }
            self.now = due.min(tick);
            if tick <= due {
                self.nodes[at].1.next_tick += self.around.tick;
                self.step(at, Event::Tick);
            } else if let Some(Reverse(due)) = self.queue.pop() {
                self.happen(due);
            }
        }
        true
    }

    /// Something is due: unless its node is down, or a message met a cut on its way.
    fn happen(&mut self, due: Due<C::Message>) {
        let (id, node) = &self.nodes[due.node];
        let lost = match due.event {
            Event::Receive { from, .. } => self.cuts.contains(&(from.min(*id), from.max(*id))),
            _ => false,
        };
        if node.up && !lost {
            self.step(due.node, due.event);
        }
    }

    fn schedule(&mut self, at: Time, node: usize, event: Event<C::Message>) {
        self.order += 1;
        self.queue.push(Reverse(Due { at, order: self.order, node, event }));
    }

    /// The only way to a core.
    fn step(&mut self, at: usize, event: Event<C::Message>) {
        let mut next = Some(event);
        while let Some(event) = next {
            let mut effects = std::mem::take(&mut self.effects);
            if let Event::Durable(seq) = event {
                self.synced(at, seq);
            }
            self.nodes[at].1.core.step(event, &mut effects);
            for effect in effects.drain(..) {
                self.carry_out(at, effect);
            }
            self.effects = effects;
            next = self.sync(at).map(Event::Durable);
        }
    }

    fn carry_out(&mut self, at: usize, effect: Effect<C::Message>) {
        let sync_first = self.around.sync_first;
        let node = &mut self.nodes[at].1;
        match effect {
            Effect::Write { seq, .. } => node.asked = seq,
            Effect::Send { to, message, after } => {
                let after = if sync_first { node.asked } else { after };
                if let Some((to, message)) = node.outbox.put(to, message, after) {
                    self.send(at, to, message);
                }
            }
            Effect::Commit(index) => node.commit = index.0,
            Effect::Role { role, round, .. } => {
                self.elections += u64::from(role == Role::Leader && node.role != Role::Leader);
                (node.role, node.round) = (role, round);
            }
            _ => {}
        }
    }

    fn send(&mut self, at: usize, to: NodeId, message: C::Message) {
        if let Some(tally) = &mut self.tally {
            let mut out = Writer::new();
            message.encode(&mut out);
            tally.messages += 1;
            tally.bytes += out.into_bytes().len() as u64;
        }
        let around = &self.around;
        let delay = if (around.is_request)(&message) { around.request } else { around.reply };
        self.deliver(self.nodes[at].0, to, message, delay);
    }

    /// Begin a sync if there is something to be made durable and none is under way. Answers what is durable
    /// at once.
    fn sync(&mut self, at: usize) -> Option<Seq> {
        let node = &mut self.nodes[at].1;
        if node.syncing.is_some() || node.asked <= node.durable {
            return None;
        }
        let seq = node.asked;
        node.syncing = Some(seq);
        match self.around.sync {
            Delay::Fixed(0) => Some(seq),
            delay => {
                let due = self.now + delay.draw(&mut self.random);
                self.schedule(due, at, Event::Durable(seq));
                None
            }
        }
    }

    /// A sync has ended: what waited for it leaves.
    fn synced(&mut self, at: usize, seq: Seq) {
        let node = &mut self.nodes[at].1;
        (node.syncing, node.durable) = (None, seq);
        for (to, message) in node.outbox.durable(seq) {
            self.send(at, to, message);
        }
    }
}
