//! A node: a process that comes and goes, its clock, and what it says.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_chord::{
    Chord, Config, Effect, Event as Input, Id, LookupId, Manner, Message, Peer, Phase, Rules, Token, View,
};
use quorate_protocol::NodeId;
use quorate_protocol::codec::{Encode, Reader, Writer};
use quorate_wire::{FrameDecoder, Packet, encode_message};

use super::character;
use super::keys::Keys;
use super::name;
use super::said::Said;
use crate::env::{Env, Event};
use crate::ground::{Body, Still};
use crate::network::Spoiled;
use crate::node::NodeEvent;
use crate::plant::Plant;
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::{note, tell};

/// The group in the frames: there is one ring.
const GROUP: u32 = 0;
/// Lookups of the host's own.
pub(super) const SWEEPS: u64 = 1 << 32;
/// Lookups for others.
const WHERES: u64 = 2 << 32;
/// Answers of a node that are remembered.
const ANSWERS: usize = 64;

/// What becomes of a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub key: Id,
    /// Nobody, if it failed.
    pub owner: Option<Peer>,
}

/// What runs on a node that is up.
pub struct Process<R: Rules> {
    pub chord: Chord<R>,
    pub view: View,
    pub keys: Keys,
    /// Lookups under way that somebody waits for.
    pub asked: BTreeMap<LookupId, Id>,
    /// Those that ended since they were last taken.
    pub found: Vec<Found>,
    /// Whose place is looked up for whom.
    wheres: BTreeMap<LookupId, (NodeId, Id)>,
    next: u64,
    pub(super) ticks: u64,
    pub(super) join_at: u64,
    pub(super) joins: u32,
    pub(super) ask_at: u64,
    pub(super) astray: u32,
    /// Its successors when it left; it is up until they have its keys.
    pub(super) heirs: Option<Vec<Peer>>,
}

/// See the module's text.
pub struct Member<R: Rules> {
    pub(super) place: usize,
    life: u64,
    still: Still,
    tick_us: u64,
    pub(super) up: Option<Box<Process<R>>>,
    /// To whom, to which question, what.
    answers: Vec<(NodeId, Token, Message)>,
    /// To whom, what, when it left last.
    pub(super) last_words: Vec<(NodeId, Message)>,
    changed: bool,
}

/// The place of a node.
pub fn place(node: NodeId) -> usize {
    node.0 as usize - 1
}

/// A new life's name and identifier.
pub fn newcomer(place: usize, env: &mut Env) -> Peer {
    Peer { id: Id(env.dice.host.next_u64()), node: name(place) }
}

impl<R: Rules> Process<R> {
    fn new(chord: Chord<R>, held: BTreeSet<u64>) -> Self {
        Process {
            view: chord.view(),
            chord,
            keys: Keys::new(held),
            asked: BTreeMap::new(),
            found: Vec::new(),
            wheres: BTreeMap::new(),
            next: 0,
            ticks: 0,
            join_at: 0,
            joins: 0,
            ask_at: 0,
            astray: 0,
            heirs: None,
        }
    }

    pub(super) fn lookup(&mut self, of: u64) -> LookupId {
        self.next += 1;
        LookupId(of + self.next)
    }
}

impl<R: Rules + Clone> Member<R> {
    pub fn new(place: usize, env: &mut Env) -> Self {
        let permille = if env.swarm.skew { env.swarm.draw_rate(&mut env.dice.host) } else { 1000 };
        Member {
            place,
            life: 0,
            still: Still::default(),
            tick_us: env.swarm.tick_us * permille / 1000,
            up: None,
            answers: Vec::new(),
            last_words: Vec::new(),
            changed: false,
        }
    }

    pub fn place(&self) -> usize {
        self.place
    }

    pub fn process(&self) -> Option<&Process<R>> {
        self.up.as_deref()
    }

    pub fn process_mut(&mut self) -> Option<&mut Process<R>> {
        self.up.as_deref_mut()
    }

    /// The keys it holds.
    pub fn keys(&self) -> Vec<u64> {
        self.process().map_or_else(Vec::new, |process| process.keys.held.iter().copied().collect())
    }

    /// The keys it holds and has not offered to that one.
    pub fn keys_without(&self, to: NodeId) -> Vec<u64> {
        let held = |process: &Process<R>| {
            let kept = process.keys.held.iter().copied().filter(|key| !process.keys.is_offered_to(*key, to));
            kept.collect()
        };
        self.process().map_or_else(Vec::new, held)
    }

    /// Whether its pointers changed or were told since this was asked last.
    pub fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What it answered to a question, in the order of the answers.
    pub fn answers(&self, asker: NodeId, token: Token) -> impl Iterator<Item = &Message> {
        let this = move |answer: &&(NodeId, Token, Message)| (answer.0, answer.1) == (asker, token);
        self.answers.iter().filter(this).map(|(_, _, message)| message)
    }

    /// What it said when it left last.
    pub fn last_words(&self) -> &[(NodeId, Message)] {
        &self.last_words
    }

    pub(super) fn config(own: Peer, env: &Env) -> Config {
        let (timeout_ticks, tries) = character::patience(&env.swarm);
        Config { timeout_ticks, tries, ..Config::new(own, env.swarm.ring.successors) }
    }

    /// It is a member of the first ring.
    pub fn found(&mut self, first: &[Peer], held: BTreeSet<u64>, env: &mut Env) {
        let Some(own) = first.iter().find(|peer| peer.node == name(self.place)) else { return };
        let chord = Chord::among(Self::config(*own, env), first, env.dice.host.next_u64());
        self.begin(chord, held, env);
    }

    fn begin(&mut self, chord: Chord<R>, held: BTreeSet<u64>, env: &mut Env) {
        let id = chord.own().id.0;
        note!(env, Happening::Start { node: self.place as u64 + 1, life: self.life });
        tell!(env, "node {} is at {id:016x}", self.place + 1);
        let mut process = Process::new(chord, held);
        process.ask_at = env.dice.clients.below(100);
        self.up = Some(Box::new(process));
        self.changed = true;
        let wait = env.dice.host.below(self.tick_us);
        env.after_at(wait, self.place, self.life, NodeEvent::Tick);
    }

    /// Its process starts in a while.
    pub fn start_after(&mut self, delay: u64, env: &mut Env) {
        env.after_at(delay, self.place, self.life, NodeEvent::Start);
    }

    /// If it is down, it starts now. Nothing stands still any more.
    pub fn end_trouble(&mut self, env: &mut Env) {
        self.still = Still::default();
        if self.up.is_none() {
            self.start_after(1, env);
        }
    }

    /// It leaves the ring, and is up until others have its keys.
    pub fn leave(&mut self, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        if process.view.phase == Phase::Member {
            env.stats.fault(Fault::Change);
            process.heirs = Some(process.view.successors.clone());
            self.last_words.clear();
            self.step(Input::Leave, env);
        }
    }

    /// It looks a key up, for the world.
    pub fn look_up(&mut self, key: Id, manner: Manner, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        let lookup = process.lookup(0);
        process.asked.insert(lookup, key);
        env.stats.operations += 1;
        self.step(Input::Lookup { lookup, key, manner }, env);
    }

    pub(super) fn step(&mut self, input: Input, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        let mut effects = Vec::new();
        process.chord.step(input, &mut effects);
        let view = process.chord.view();
        self.changed |= view != process.view;
        process.view = view;
        for effect in effects {
            self.carry_out(effect, env);
        }
    }

    fn carry_out(&mut self, effect: Effect, env: &mut Env) {
        let at = self.place + 1;
        let Some(process) = &mut self.up else { return };
        let now = process.ticks;
        match effect {
            Effect::Send { to, message } => {
                if let Message::State { token, .. } = &message {
                    self.answers.push((to, *token, message.clone()));
                    let old = self.answers.len().saturating_sub(ANSWERS);
                    self.answers.drain(..old);
                    self.changed = true;
                } else if let Message::Leaving { .. } = &message {
                    self.last_words.push((to, message.clone()));
                }
                self.say(to, &Said::Chord(message), env);
            }
            Effect::Found { lookup, owner, .. } => self.looked_up(lookup, Some(owner), env),
            Effect::Failed { lookup, .. } => self.looked_up(lookup, None, env),
            Effect::Joined => {
                process.joins = 0;
                tell!(env, "node {at} is a member");
            }
            Effect::JoinFailed(why) => {
                tell!(env, "node {at} could not join: {why:?}");
                process.join_at = now + env.dice.host.between(5, 30);
            }
            Effect::Lost => {
                tell!(env, "node {at} has no successor left");
                process.join_at = now + env.dice.host.between(1, 10);
            }
            Effect::Given { from, upto, to } => {
                tell!(env, "node {at} gives {:016x}..{:016x} to node {}", from.0, upto.0, to.node);
                process.keys.give(from, upto, to, now);
                self.hand_over(env);
            }
            Effect::Gained { from, upto, .. } => {
                tell!(env, "node {at} gains {:016x}..{:016x}", from.0, upto.0);
            }
            Effect::Left => tell!(env, "node {at} has left"),
        }
    }

    pub(super) fn say(&self, to: NodeId, said: &Said, env: &mut Env) {
        match encode_message(GROUP, said) {
            Ok(segments) => env.transmit(self.place, place(to), segments.concat().into(), Spoiled::No),
            Err(error) => env.checks.fail("Wire", format!("node {}: {error}", self.place + 1)),
        }
    }

    /// A lookup has ended: somebody's, a sweep's, or one for another node.
    fn looked_up(&mut self, lookup: LookupId, owner: Option<Peer>, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        if let Some((asker, id)) = process.wheres.remove(&lookup) {
            if let Some(owner) = owner {
                self.say(asker, &Said::There { id, owner }, env);
            }
            return;
        }
        let Some(key) = process.asked.remove(&lookup) else {
            return env.checks.fail("LookupOnce", format!("node {}: {lookup:?} twice", self.place + 1));
        };
        if lookup.0 < SWEEPS {
            env.stats.answered += u64::from(owner.is_some());
            env.stats.ambiguous += u64::from(owner.is_none());
            return process.found.push(Found { key, owner });
        }
        if let Some(owner) = owner.filter(|owner| owner.node != name(self.place)) {
            let from = Id(key.0.wrapping_sub(1));
            process.keys.give(from, owner.id, owner, process.ticks);
            self.hand_over(env);
        }
    }

    pub(super) fn hand_over(&mut self, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        let due = process.keys.due(process.ticks);
        if env.plant == Some(Plant::KeysUnanswered) {
            process.keys.forget_offered();
        }
        due.into_iter().for_each(|(to, said)| self.say(to, &said, env));
    }

    fn tick(&mut self, env: &mut Env) {
        if self.still.frozen_until > env.now {
            // Peace may thaw it before.
            let wait = (self.still.frozen_until - env.now).min(self.tick_us);
            return env.after_at(wait, self.place, self.life, NodeEvent::Tick);
        }
        env.after_at(self.tick_us, self.place, self.life, NodeEvent::Tick);
        self.pass_time(env);
    }

    pub(super) fn end(&mut self, down_us: u64, env: &mut Env) {
        self.up = None;
        self.life += 1;
        self.changed = true;
        self.still.paused_until = 0;
        self.start_after(down_us, env);
    }

    fn receive(&mut self, from: NodeId, said: Said, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        match said {
            Said::Chord(message) => self.step(Input::Receive { from, message }, env),
            Said::Keys { number, keys } if process.view.phase != Phase::Left => {
                process.keys.take(&keys);
                self.say(from, &Said::Took { number }, env);
            }
            Said::Keys { .. } => {}
            Said::Took { number } => process.keys.took(from, number),
            Said::Where { id } => {
                let lookup = process.lookup(WHERES);
                process.wheres.insert(lookup, (from, id));
                self.step(Input::Lookup { lookup, key: id, manner: Manner::Iterative }, env);
            }
            Said::There { id, owner } => self.told_where(id, owner, env),
        }
    }

    /// What cannot be read was damaged on its way, or is of a later version.
    fn unpack(&mut self, from: usize, bytes: &Bytes, spoiled: Spoiled, env: &mut Env) {
        let mut frames = FrameDecoder::default();
        frames.feed(bytes);
        let read = match frames.next_frame() {
            Ok(Some(frame)) => match Packet::decode(frame) {
                Ok(Packet::Message { body, .. }) => Reader::whole::<Said>(body).ok(),
                _ => None,
            },
            _ => None,
        };
        match (read, spoiled) {
            (Some(said), Spoiled::No) => self.receive(name(from), said, env),
            (None, Spoiled::No) => {
                env.checks.fail("Wire", format!("node {} cannot read what it was sent", self.place + 1));
            }
            (Some(_), _) => {
                env.checks.fail("Wire", format!("node {}: a spoiled frame was taken", self.place + 1))
            }
            (None, _) => {}
        }
    }
}

impl<R: Rules + Clone> Body for Member<R> {
    fn life(&self) -> u64 {
        self.life
    }

    fn is_up(&self) -> bool {
        self.up.is_some()
    }

    fn leads(&self) -> bool {
        false
    }

    fn still(&mut self) -> &mut Still {
        &mut self.still
    }

    fn handle(&mut self, event: NodeEvent, env: &mut Env) {
        let (kind, content) = event.trace();
        env.trace.event(kind, env.now, self.place as u64, content);
        match event {
            NodeEvent::Start if self.up.is_none() => {
                let own = newcomer(self.place, env);
                let chord = Chord::new(Self::config(own, env), env.dice.host.next_u64());
                self.begin(chord, BTreeSet::new(), env);
                self.join(env);
            }
            NodeEvent::Tick if self.up.is_some() => self.tick(env),
            NodeEvent::Parcel { from, bytes, spoiled } if self.up.is_some() => {
                self.unpack(from, &bytes, spoiled, env);
            }
            _ => {}
        }
    }

    fn crash(&mut self, power: bool, down_us: u64, env: &mut Env) -> bool {
        if self.up.is_none() {
            return false;
        }
        note!(env, Happening::Crash { node: self.place as u64 + 1, power, down_us });
        env.stats.fault(Fault::Kill);
        self.end(down_us, env);
        true
    }

    fn set_rate(&mut self, permille: u64, env: &Env) {
        self.tick_us = env.swarm.tick_us * permille / 1000;
    }

    fn jump(&mut self, ticks: u64, env: &mut Env) {
        env.trace.event(16, env.now, self.place as u64, ticks);
        (0..ticks).for_each(|_| self.pass_time(env));
    }

    fn strange(&self) -> Option<Bytes> {
        self.process()?;
        Some(encode_message(GROUP, &Unknown).ok()?.concat().into())
    }
}

/// What a later version might say.
struct Unknown;

impl Encode for Unknown {
    fn encode(&self, out: &mut Writer) {
        out.u8(250);
    }
}

impl Env {
    /// Look again in a while whether all is well.
    pub(super) fn poll_soon(&mut self) {
        self.after(4 * self.swarm.tick_us, Event::Poll);
    }
}
