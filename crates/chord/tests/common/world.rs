//! A small world: delays in ticks, loss, repetition, failures; all from a seed.

use std::collections::{BTreeMap, BTreeSet};

use quorate_chord::{Chord, Config, Effect, Event, Id, LookupId, Manner, Message, Peer, Phase, Rules, View};
use quorate_protocol::{NodeId, Random};

/// Nodes, and what is on its way between them.
pub struct World<R: Rules> {
    pub now: u64,
    pub nodes: BTreeMap<NodeId, Chord<R>>,
    pub random: Random,
    /// In a hundred.
    pub loss: u64,
    pub repetition: u64,
    /// The longest a message takes, in ticks.
    pub delay: u64,
    flight: BTreeMap<(u64, u64), (NodeId, NodeId, Message)>,
    order: u64,
    /// What nodes told their host, but for sends.
    pub told: Vec<(NodeId, Effect)>,
    /// Run after every step.
    pub check: fn(&World<R>) -> Option<String>,
    /// What it found first.
    pub wrong: Option<String>,
}

impl<R: Rules> World<R> {
    pub fn new(seed: u64) -> Self {
        World {
            now: 0,
            nodes: BTreeMap::new(),
            random: Random::new(seed),
            loss: 0,
            repetition: 0,
            delay: 3,
            flight: BTreeMap::new(),
            order: 0,
            told: Vec::new(),
            check: |_| None,
            wrong: None,
        }
    }

    /// Quick settings, for short tests: stabilise every 30 ticks, a finger every 10.
    pub fn config(own: Peer, successors: usize) -> Config {
        Config { timeout_ticks: 8, ..Config::new(own, successors) }
    }

    /// A first ring.
    pub fn found(&mut self, members: &[Peer], successors: usize) {
        for own in members {
            let seed = self.random.next_u64();
            let node = Chord::among(Self::config(*own, successors), members, seed);
            self.nodes.insert(own.node, node);
        }
    }

    /// A node comes, and joins through another.
    pub fn join(&mut self, own: Peer, successors: usize, through: NodeId) {
        let seed = self.random.next_u64();
        self.nodes.entry(own.node).or_insert_with(|| Chord::new(Self::config(own, successors), seed));
        self.step(own.node, Event::Join(through));
    }

    pub fn fail(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    pub fn step(&mut self, node: NodeId, event: Event) {
        let mut effects = Vec::new();
        let Some(chord) = self.nodes.get_mut(&node) else { return };
        chord.step(event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(node, to, message),
                other => self.told.push((node, other)),
            }
        }
        if self.nodes[&node].phase() == Phase::Left {
            self.nodes.remove(&node);
        }
        if self.wrong.is_none() {
            self.wrong = (self.check)(self).map(|what| format!("at {}: {what}", self.now));
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let copies =
            u64::from(!self.random.percent(self.loss)) + u64::from(self.random.percent(self.repetition));
        for _ in 0..copies {
            self.order += 1;
            let at = self.now + self.random.between(1, self.delay + 1);
            self.flight.insert((at, self.order), (from, to, message.clone()));
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now += 1;
            while let Some(entry) = self.flight.first_entry()
                && entry.key().0 <= self.now
            {
                let (from, to, message) = entry.remove();
                self.step(to, Event::Receive { from, message });
            }
            let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
            ids.into_iter().for_each(|node| self.step(node, Event::Tick));
        }
    }

    pub fn views(&self) -> Vec<View> {
        self.nodes.values().map(Chord::view).collect()
    }

    pub fn members(&self) -> Vec<Peer> {
        self.views().iter().filter(|view| view.phase == Phase::Member).map(|view| view.own).collect()
    }

    /// Who should be responsible for a key.
    pub fn owner(&self, key: Id) -> Option<Peer> {
        self.members().into_iter().min_by_key(|peer| key.distance(peer.id))
    }

    /// Looks keys up from everywhere; answers how many were found, at the right node, and failed.
    pub fn ask_around(&mut self, lookups: u64, manner: Manner) -> (u64, u64, u64) {
        self.told.clear();
        let mut keys = BTreeMap::new();
        for number in 0..lookups {
            let members = self.members();
            let from = members[self.random.below(members.len() as u64) as usize].node;
            let key = Id(self.random.next_u64());
            keys.insert(LookupId(number), key);
            self.step(from, Event::Lookup { lookup: LookupId(number), key, manner });
        }
        let answers = |told: &[(NodeId, Effect)]| {
            told.iter()
                .filter(|(_, effect)| matches!(effect, Effect::Found { .. } | Effect::Failed { .. }))
                .count()
        };
        for _ in 0..40 {
            if answers(&self.told) < lookups as usize {
                self.run(50);
            }
        }
        let (mut right, mut found, mut failed, mut seen) = (0, 0, 0, BTreeSet::new());
        for (_, effect) in &self.told {
            match effect {
                Effect::Found { lookup, owner, .. } => {
                    found += 1;
                    assert!(seen.insert(*lookup), "each lookup is answered once");
                    right += u64::from(Some(*owner) == self.owner(keys[lookup]));
                }
                Effect::Failed { lookup, .. } => {
                    assert!(seen.insert(*lookup), "each lookup is answered once");
                    failed += 1;
                }
                _ => {}
            }
        }
        assert_eq!(found + failed, lookups, "each lookup is answered");
        (found, right, failed)
    }
}
