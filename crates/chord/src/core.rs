//! The node: its state, its time, and who handles what.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::marker::PhantomData;

use quorate_protocol::{NodeId, Random};

use crate::contract::{Config, Effect, Effects, Event, Refusal};
use crate::fingers::Fingers;
use crate::id::{Peer, successors};
use crate::lookup::{Lookup, Purpose};
use crate::message::{LIST, Message, Token};
use crate::ring::{Exchange, Reason};
use crate::rules::{Corrected, Rules};

/// A node's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No member, and nothing under way to become one.
    Outside,
    /// On its way in; nobody has heard of it.
    Joining,
    /// A member.
    Member,
    /// Gone for good.
    Left,
}

/// A look at a node: what decides how it goes on, but for time and lookups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Itself.
    pub own: Peer,
    /// Its part.
    pub phase: Phase,
    /// The only member: its own successor.
    pub alone: bool,
    /// Its predecessor, if it knows one.
    pub predecessor: Option<Peer>,
    /// Its successor list.
    pub successors: Vec<Peer>,
    /// Why and whom it asks for pointers, if it does, and the question's number.
    pub asking: Option<(Reason, Peer, Token)>,
    /// Who has notified it meanwhile.
    pub notified: Option<Peer>,
    /// A neighbour that said it leaves: its late words are not believed.
    pub departed: Option<Peer>,
}

/// A node of a ring.
#[derive(Clone, Debug)]
pub struct Chord<R = Corrected> {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) phase: Phase,
    pub(crate) alone: bool,
    pub(crate) predecessor: Option<Peer>,
    pub(crate) successors: Vec<Peer>,
    pub(crate) fingers: Fingers,
    /// The question that may change a pointer, one at a time.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) notified: Option<Peer>,
    pub(crate) departed: Option<Peer>,
    pub(crate) lookups: BTreeMap<Token, Lookup>,
    token: Token,
    pub(crate) now: u64,
    stabilise_at: u64,
    finger_at: u64,
    rules: PhantomData<R>,
}

impl<R: Rules> Chord<R> {
    /// A node outside any ring. The seed must differ between nodes, and between the lives of one.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let token = Token(random.next_u64());
        let mut chord = Chord {
            config: Config { successors: config.successors.clamp(1, LIST), ..config },
            random,
            phase: Phase::Outside,
            alone: false,
            predecessor: None,
            successors: Vec::new(),
            fingers: Fingers::default(),
            exchange: None,
            notified: None,
            departed: None,
            lookups: BTreeMap::new(),
            token,
            now: 0,
            stabilise_at: 0,
            finger_at: 0,
            rules: PhantomData,
        };
        chord.stabilise_at = chord.later(config.stabilise_ticks);
        chord.finger_at = chord.later(config.finger_ticks);
        chord
    }

    /// The first and only member. Until there are r + 1 others that stay, nothing is promised of failures.
    pub fn alone(config: Config, seed: u64) -> Self {
        Chord { phase: Phase::Member, alone: true, ..Chord::new(config, seed) }
    }

    /// A member of a first ring of these, which all begin knowing each other. They must be in the order of their
    /// identifiers, without a repetition, and this node among them.
    pub fn among(config: Config, members: &[Peer], seed: u64) -> Self {
        let own = config.own;
        let at = members.partition_point(|peer| peer.id < own.id);
        let after = |from: usize| members[from.min(members.len())..].iter().chain(members).copied();
        let predecessor = members[..at.min(members.len())].last().or(members.last()).copied();
        let mut chord = Chord::alone(config, seed);
        chord.alone = members.iter().all(|peer| peer.id == own.id);
        chord.predecessor = predecessor.filter(|peer| peer.id != own.id);
        chord.successors = successors(own.id, after(at + 1), chord.config.successors);
        chord.fingers = Fingers::of(own.id, members);
        chord
    }

    /// A look at it.
    pub fn view(&self) -> View {
        View {
            own: self.config.own,
            phase: self.phase,
            alone: self.alone,
            predecessor: self.predecessor,
            successors: self.successors.clone(),
            asking: self.exchange.as_ref().map(|exchange| (exchange.reason, exchange.to, exchange.token)),
            notified: self.notified,
            departed: self.departed,
        }
    }

    /// Its fingers: the i-th is the successor of its own identifier plus 2^i, as far as is known.
    pub fn fingers(&self) -> impl Iterator<Item = Option<Peer>> {
        self.fingers.iter()
    }

    /// Itself.
    pub fn own(&self) -> Peer {
        self.config.own
    }

    /// Its part.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The only mutation.
    pub fn step(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Tick => self.tick(effects),
            Event::Receive { from, message } => self.receive(from, message, effects),
            Event::Join(through) => self.join(through, effects),
            Event::Stabilise => self.stabilise(effects),
            Event::Lookup { lookup, key, manner } => self.look_up(lookup, key, manner, effects),
            Event::Leave => self.leave(effects),
        }
    }

    fn tick(&mut self, effects: &mut Effects) {
        self.now += 1;
        self.expire_exchange(effects);
        self.expire_lookups(effects);
        if self.phase != Phase::Member {
            return;
        }
        if self.config.stabilise_ticks > 0 && self.now >= self.stabilise_at {
            self.stabilise_at = self.later(self.config.stabilise_ticks);
            self.stabilise(effects);
        }
        if self.config.finger_ticks > 0 && self.now >= self.finger_at {
            self.finger_at = self.later(self.config.finger_ticks);
            self.fix_finger(effects);
        }
    }

    /// Somebody is busy: stabilise again before long, but not at the same time as they.
    pub(crate) fn retry_soon(&mut self) {
        let wait = self.random.between(1, 2 + u64::from(self.config.timeout_ticks));
        self.stabilise_at = self.stabilise_at.min(self.now + wait);
    }

    /// When something due every so many ticks is due next: half to one and a half of it from now.
    fn later(&mut self, ticks: u32) -> u64 {
        let ticks = u64::from(ticks);
        self.now + self.random.between(ticks.div_ceil(2), ticks + ticks / 2 + 1).max(1)
    }

    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Effects) {
        let member = self.phase == Phase::Member;
        match message {
            Message::Query { token } => send(effects, from, self.answer(from, token)),
            Message::State { token, own, predecessor, successors } => {
                self.answered(from, token, own, predecessor, successors, effects);
            }
            Message::Busy { token } => self.told_busy(from, token, effects),
            Message::Absent { token } => {
                self.exchange_absent(from, token, effects);
                self.lookup_absent(from, token, effects);
            }
            Message::Notify { own } if member && own.node == from => self.notify(own, effects),
            Message::Step { token, key } => send(effects, from, self.step_for(token, key)),
            Message::Owner { token, own, successors } if own.node == from => {
                self.owner_told(token, own, &successors, effects);
            }
            Message::Closer { token, peers } => self.closer_told(from, token, peers, effects),
            Message::Route { token, to, asker, key, hops } if member && to == self.config.own.id => {
                self.route(token, asker, key, hops, effects);
            }
            Message::Routed { token, owner, hops } => self.routed(token, owner, hops, effects),
            Message::Leaving { own, successors } if own.node == from => self.left(own, &successors, effects),
            _ => {}
        }
    }

    /// What a node's pointers are, to who asks.
    ///
    /// Who hears its own question has taken an earlier life of itself for another: that one is gone.
    fn answer(&self, from: NodeId, token: Token) -> Message {
        if self.phase != Phase::Member || from == self.config.own.node {
            return Message::Absent { token };
        }
        if self.exchange.is_some() {
            return Message::Busy { token };
        }
        let (predecessor, successors) = (self.predecessor, self.successors.clone());
        Message::State { token, own: self.config.own, predecessor, successors }
    }

    /// A number for a question.
    pub(crate) fn token(&mut self) -> Token {
        self.token = Token(self.token.0.wrapping_add(1));
        self.token
    }

    /// No member any more: what is under way ends.
    pub(crate) fn end(&mut self, phase: Phase, effects: &mut Effects) {
        self.phase = phase;
        self.alone = false;
        (self.exchange, self.notified, self.departed, self.predecessor) = (None, None, None, None);
        self.successors.clear();
        self.fingers = Fingers::default();
        for (_, lookup) in core::mem::take(&mut self.lookups) {
            if let Purpose::Caller(lookup) = lookup.purpose {
                effects.push(Effect::Failed { lookup, why: Refusal::NotMember });
            }
        }
    }
}

pub(crate) fn send(effects: &mut Effects, to: NodeId, message: Message) {
    effects.push(Effect::Send { to, message });
}
