//! Lookups, iterative and recursive.
//!
//! Source: §4.3 and figure 4; "iterative or recursive", §6.2. A lookup looks for the key's predecessor, each step going to
//! a node between the last and the key, and the predecessor tells its successor. A step's answer names several nodes,
//! the nearest to the key first, so that a dead one costs a time-out and not the lookup.
//!
//! # Invariants
//!
//! 1. Every node asked is strictly between the one that named it and the key, and is asked once. So a lookup ends.
//! 2. Lookups change no pointers but fingers, which only make lookups faster; so they are answered at any time.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::contract::{Effect, Effects, LookupId, Manner, Refusal};
use crate::core::{Chord, Phase, send};
use crate::fingers::Next;
use crate::id::{Id, Peer};
use crate::message::{Message, Token};
use crate::rules::Rules;

/// Nodes still to be asked that a lookup remembers, at most.
const CANDIDATES: usize = 32;

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Caller(LookupId),
    /// To fix the finger of this number.
    Finger(u8),
    /// To find this node's own place.
    Join,
}

/// A lookup under way.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub purpose: Purpose,
    key: Id,
    manner: Manner,
    /// Who was asked last; nobody yet for a recursive one.
    asked: Option<Peer>,
    /// Whom to ask next, the nearest to the key last.
    candidates: Vec<Peer>,
    /// Who is not to be asked again.
    met: BTreeSet<NodeId>,
    hops: u32,
    timeouts: u32,
    deadline: u64,
}

impl Lookup {
    fn new(purpose: Purpose, key: Id, manner: Manner) -> Self {
        let (candidates, met) = (Vec::new(), BTreeSet::new());
        Lookup { purpose, key, manner, asked: None, candidates, met, hops: 0, timeouts: 0, deadline: 0 }
    }

    /// Remembers these, if they are news.
    fn consider(&mut self, peers: impl IntoIterator<Item = Peer>) {
        for peer in peers {
            if !self.met.contains(&peer.node) && !self.candidates.contains(&peer) {
                self.candidates.push(peer);
            }
        }
        let key = self.key;
        self.candidates.sort_by_key(|peer| core::cmp::Reverse((peer.id.distance(key), peer.node)));
        let surplus = self.candidates.len().saturating_sub(CANDIDATES);
        self.candidates.drain(..surplus);
    }
}

impl<R: Rules> Chord<R> {
    /// A caller's lookup begins.
    pub(crate) fn look_up(&mut self, lookup: LookupId, key: Id, manner: Manner, effects: &mut Effects) {
        let refused = match self.phase {
            Phase::Member if self.lookups.len() >= self.config.max_lookups => Some(Refusal::TooMany),
            Phase::Member => None,
            _ => Some(Refusal::NotMember),
        };
        match refused {
            Some(why) => effects.push(Effect::Failed { lookup, why }),
            None => self.begin(Lookup::new(Purpose::Caller(lookup), key, manner), effects),
        }
    }

    /// A lookup of this node's own begins.
    pub(crate) fn look_up_finger(&mut self, finger: u8, key: Id, effects: &mut Effects) {
        self.begin(Lookup::new(Purpose::Finger(finger), key, Manner::Iterative), effects);
    }

    /// Joining begins with a lookup of this node's own identifier, through somebody whose identifier is not known.
    pub(crate) fn join(&mut self, through: NodeId, effects: &mut Effects) {
        if self.phase != Phase::Outside {
            return;
        }
        self.phase = Phase::Joining;
        let key = self.config.own.id;
        let mut lookup = Lookup::new(Purpose::Join, key, Manner::Iterative);
        // As far from the key as can be: everything it names is nearer.
        lookup.consider([Peer { id: Id(key.0.wrapping_add(1)), node: through }]);
        let token = self.token();
        self.advance(token, lookup, effects);
    }

    fn begin(&mut self, mut lookup: Lookup, effects: &mut Effects) {
        let own = self.config.own;
        let mine = self.predecessor.is_some_and(|peer| lookup.key.within(peer.id, own.id));
        if mine && R::knows_its_keys() && R::owner_is_successor() {
            return self.found(lookup, own, effects);
        }
        match self.next(lookup.key) {
            Next::Owner => {
                let owner = self.owner_after(own, self.successors.first().copied());
                self.found(lookup, owner, effects);
            }
            Next::Closer(peers) => {
                let token = self.token();
                match (lookup.manner, peers.first()) {
                    (Manner::Recursive, Some(best)) => {
                        let key = lookup.key;
                        lookup.deadline = self.now + self.patience();
                        self.lookups.insert(token, lookup);
                        let asker = self.config.own;
                        send(effects, best.node, Message::Route { token, to: best.id, asker, key, hops: 1 });
                    }
                    _ => {
                        lookup.consider(peers);
                        self.advance(token, lookup, effects);
                    }
                }
            }
        }
    }

    /// How long an answer to what others pass on is waited for.
    fn patience(&self) -> u64 {
        u64::from(self.config.timeout_ticks) * u64::from(self.config.tries.max(1))
    }

    /// Who is responsible for what comes after this node, whose successor is this.
    fn owner_after(&self, predecessor: Peer, successor: Option<Peer>) -> Peer {
        successor.filter(|_| R::owner_is_successor()).unwrap_or(predecessor)
    }

    /// Asks the next best.
    fn advance(&mut self, token: Token, mut lookup: Lookup, effects: &mut Effects) {
        let Some(peer) = lookup.candidates.pop() else {
            return self.lookup_failed(lookup, effects);
        };
        lookup.met.insert(peer.node);
        lookup.asked = Some(peer);
        lookup.deadline = self.now + u64::from(self.config.timeout_ticks);
        send(effects, peer.node, Message::Step { token, key: lookup.key });
        self.lookups.insert(token, lookup);
    }

    /// Takes the lookup out that this answers.
    fn take_lookup(&mut self, from: NodeId, token: Token) -> Option<Lookup> {
        let asked = self.lookups.get(&token)?.asked?;
        if asked.node == from { self.lookups.remove(&token) } else { None }
    }

    /// One step for somebody else.
    pub(crate) fn step_for(&self, token: Token, key: Id) -> Message {
        if self.phase != Phase::Member {
            return Message::Absent { token };
        }
        match self.next(key) {
            Next::Owner => {
                Message::Owner { token, own: self.config.own, successors: self.successors.clone() }
            }
            Next::Closer(peers) => Message::Closer { token, peers },
        }
    }

    pub(crate) fn owner_told(&mut self, token: Token, from: Peer, list: &[Peer], effects: &mut Effects) {
        let Some(mut lookup) = self.take_lookup(from.node, token) else { return };
        lookup.hops += 1;
        let successor = list.first().copied();
        if successor.is_some_and(|successor| !lookup.key.within(from.id, successor.id)) {
            return self.advance(token, lookup, effects);
        }
        match lookup.purpose {
            Purpose::Join => self.join_found(from, successor.unwrap_or(from), effects),
            _ => {
                let owner = self.owner_after(from, successor);
                self.found(lookup, owner, effects);
            }
        }
    }

    pub(crate) fn closer_told(
        &mut self,
        from: NodeId,
        token: Token,
        peers: Vec<Peer>,
        effects: &mut Effects,
    ) {
        let Some(mut lookup) = self.take_lookup(from, token) else { return };
        lookup.hops += 1;
        if let Some(asked) = lookup.asked {
            let key = lookup.key;
            lookup.consider(peers.into_iter().filter(|peer| peer.id.between(asked.id, key)));
        }
        self.advance(token, lookup, effects);
    }

    pub(crate) fn lookup_absent(&mut self, from: NodeId, token: Token, effects: &mut Effects) {
        if let Some(lookup) = self.take_lookup(from, token) {
            self.unanswered(token, lookup, effects);
        }
    }

    pub(crate) fn expire_lookups(&mut self, effects: &mut Effects) {
        let now = self.now;
        let due = |(token, lookup): (&Token, &Lookup)| (lookup.deadline <= now).then_some(*token);
        let expired: Vec<Token> = self.lookups.iter().filter_map(due).collect();
        for token in expired {
            if let Some(lookup) = self.lookups.remove(&token) {
                self.unanswered(token, lookup, effects);
            }
        }
    }

    /// Who was asked is taken for dead; the next best is asked.
    fn unanswered(&mut self, token: Token, mut lookup: Lookup, effects: &mut Effects) {
        lookup.timeouts += 1;
        if !R::tries_others() {
            return self.lookup_failed(lookup, effects);
        }
        match lookup.asked {
            Some(asked) => {
                self.fingers.forget(asked);
                self.advance(token, lookup, effects);
            }
            None => {
                // What was passed on was lost on the way: ask one by one.
                lookup.manner = Manner::Iterative;
                self.begin(lookup, effects);
            }
        }
    }

    fn found(&mut self, lookup: Lookup, owner: Peer, effects: &mut Effects) {
        match lookup.purpose {
            Purpose::Caller(id) => {
                let (hops, timeouts) = (lookup.hops, lookup.timeouts);
                effects.push(Effect::Found { lookup: id, owner, hops, timeouts });
            }
            Purpose::Finger(number) => self.fingers.set(self.config.own.id, number, owner),
            Purpose::Join => {}
        }
    }

    fn lookup_failed(&mut self, lookup: Lookup, effects: &mut Effects) {
        match lookup.purpose {
            Purpose::Caller(lookup) => effects.push(Effect::Failed { lookup, why: Refusal::NoAnswer }),
            Purpose::Finger(_) => {}
            Purpose::Join => self.join_failed(Refusal::NoAnswer, effects),
        }
    }

    /// Passes a question on, or answers it.
    pub(crate) fn route(&mut self, token: Token, asker: Peer, key: Id, hops: u32, effects: &mut Effects) {
        match self.next(key) {
            Next::Owner => {
                let owner = self.owner_after(self.config.own, self.successors.first().copied());
                send(effects, asker.node, Message::Routed { token, owner, hops });
            }
            Next::Closer(peers) => {
                if let Some(best) = peers.first() {
                    let hops = hops.saturating_add(1);
                    send(effects, best.node, Message::Route { token, to: best.id, asker, key, hops });
                }
            }
        }
    }

    pub(crate) fn routed(&mut self, token: Token, owner: Peer, hops: u32, effects: &mut Effects) {
        let passed_on = self.lookups.get(&token).is_some_and(|lookup| lookup.asked.is_none());
        if passed_on && let Some(mut lookup) = self.lookups.remove(&token) {
            lookup.hops = hops;
            self.found(lookup, owner, effects);
        }
    }
}
