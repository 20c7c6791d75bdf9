//! Everything that changes the ring: join, stabilise, rectify, leave.
//!
//! Source: Zave, figures 4 to 6. A node changes its pointers only upon an answer of the node they will lead to, in one
//! *exchange* at a time; while it waits it tells its pointers to nobody. So the change might as well have happened
//! when the answer was given, which is what Zave's proof, in which both happen at once, needs.
//!
//! | operation | asks | then |
//! |---|---|---|
//! | join | the member that would be its predecessor | copies that one's successor list, if it is |
//! | stabilise | its first successor | copies that one's list behind it; goes on to that one's predecessor if it is nearer |
//! | | that predecessor | the same |
//! | | no answer | the next in the list comes first |
//! | rectify, when notified | its predecessor, unless the one who notifies is nearer | whoever notified, if there is no answer |
//!
//! A list may be short for a while, after its first has died; Zave fills it with a place that nobody has. Both count
//! as no live successor more.

use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::contract::{Effect, Effects, Refusal};
use crate::core::{Chord, Phase, send};
use crate::id::{Id, Peer, successors};
use crate::message::{Message, Token};
use crate::rules::Rules;

/// Why a node asks another for its pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// To become a member after it.
    Join,
    /// To stabilise: it is the first successor.
    Successor,
    /// To stabilise: the first successor said that it comes before.
    Nearer,
    /// To rectify: this one has notified, and the one asked is the predecessor so far.
    Rectify(Peer),
    /// It notified, though it had said that it leaves: whether it is back, or the word was late.
    Returned,
}

/// A question under way.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub reason: Reason,
    pub to: Peer,
    pub token: Token,
    tries: u32,
    deadline: u64,
}

impl<R: Rules> Chord<R> {
    fn ask(&mut self, to: Peer, reason: Reason, effects: &mut Effects) {
        let token = self.token();
        let deadline = self.now + u64::from(self.config.timeout_ticks);
        self.exchange = Some(Exchange { reason, to, token, tries: 1, deadline });
        send(effects, to.node, Message::Query { token });
    }

    /// Takes the exchange that this answers.
    fn take_exchange(&mut self, from: NodeId, token: Token) -> Option<Exchange> {
        self.exchange.take_if(|exchange| exchange.token == token && exchange.to.node == from)
    }

    /// Waits no more than is configured: asks again, or takes who was asked for dead.
    pub(crate) fn expire_exchange(&mut self, effects: &mut Effects) {
        let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.deadline <= self.now) else {
            return;
        };
        if exchange.tries < self.config.tries {
            exchange.tries += 1;
            exchange.deadline = self.now + u64::from(self.config.timeout_ticks);
            send(effects, exchange.to.node, Message::Query { token: exchange.token });
        } else if let Some(exchange) = self.exchange.take() {
            self.dead(exchange, effects);
        }
    }

    pub(crate) fn exchange_absent(&mut self, from: NodeId, token: Token, effects: &mut Effects) {
        if let Some(exchange) = self.take_exchange(from, token) {
            self.dead(exchange, effects);
        }
    }

    /// An exchange is over: who has notified meanwhile gets its turn.
    fn done(&mut self, effects: &mut Effects) {
        if self.exchange.is_none()
            && self.phase == Phase::Member
            && let Some(peer) = self.notified.take()
        {
            self.rectify(peer, effects);
        }
    }

    /// Begins a round of stabilising.
    pub(crate) fn stabilise(&mut self, effects: &mut Effects) {
        if self.phase != Phase::Member || self.exchange.is_some() {
            return;
        }
        match (self.successors.first(), self.predecessor) {
            (Some(head), _) => self.ask(*head, Reason::Successor, effects),
            // Who is alone is its own successor; who notified it may be a nearer one.
            (None, Some(predecessor)) if self.alone => self.ask(predecessor, Reason::Nearer, effects),
            _ => {}
        }
    }

    /// Somebody told its pointers.
    pub(crate) fn answered(
        &mut self,
        from: NodeId,
        token: Token,
        own: Peer,
        predecessor: Option<Peer>,
        list: Vec<Peer>,
        effects: &mut Effects,
    ) {
        let Some(exchange) = self.take_exchange(from, token) else { return };
        if own != exchange.to {
            // The address has another node now.
            return self.dead(exchange, effects);
        }
        match exchange.reason {
            Reason::Join => self.join_after(own, list, effects),
            Reason::Successor => self.stabilise_from_successor(own, predecessor, list, effects),
            Reason::Nearer => {
                self.adopt(own, &list);
                send(effects, own.node, Message::Notify { own: self.config.own });
            }
            Reason::Rectify(_) => {}
            Reason::Returned => self.returned(own, effects),
        }
        self.done(effects);
    }

    fn stabilise_from_successor(
        &mut self,
        head: Peer,
        predecessor: Option<Peer>,
        list: Vec<Peer>,
        effects: &mut Effects,
    ) {
        self.adopt(head, &list);
        let own = self.config.own;
        match predecessor.filter(|peer| peer.id.between(own.id, head.id)) {
            Some(nearer) if R::hears_first() => self.ask(nearer, Reason::Nearer, effects),
            Some(nearer) => {
                let with_unheard = [nearer, head].into_iter().chain(list);
                self.successors = successors(own.id, with_unheard, self.config.successors);
                send(effects, nearer.node, Message::Notify { own });
            }
            None => send(effects, head.node, Message::Notify { own }),
        }
    }

    /// Makes one that was heard the first successor, its own list behind it.
    fn adopt(&mut self, head: Peer, list: &[Peer]) {
        let peers = core::iter::once(head).chain(list.iter().copied());
        self.successors = successors(self.config.own.id, peers, self.config.successors);
        self.alone = false;
    }

    /// Who was asked is alive, but cannot tell now.
    pub(crate) fn told_busy(&mut self, from: NodeId, token: Token, effects: &mut Effects) {
        let Some(exchange) = self.take_exchange(from, token) else { return };
        match exchange.reason {
            Reason::Join => {
                // Asked again when it would be asked again for want of an answer.
                self.exchange = Some(exchange);
                return;
            }
            Reason::Successor | Reason::Nearer => self.retry_soon(),
            Reason::Rectify(_) => {}
            Reason::Returned => self.returned(exchange.to, effects),
        }
        self.done(effects);
    }

    /// Who had left is a member again.
    fn returned(&mut self, peer: Peer, effects: &mut Effects) {
        self.departed = None;
        self.rectify(peer, effects);
    }

    /// Who was asked does not answer, or is no member.
    fn dead(&mut self, exchange: Exchange, effects: &mut Effects) {
        self.fingers.forget(exchange.to);
        match exchange.reason {
            Reason::Join => return self.join_failed(Refusal::NoAnswer, effects),
            Reason::Successor => {
                self.successors.retain(|peer| *peer != exchange.to);
                if self.successors.is_empty() {
                    self.end(Phase::Outside, effects);
                    effects.push(Effect::Lost);
                    return;
                }
                return self.stabilise(effects);
            }
            Reason::Nearer => match self.successors.first() {
                Some(head) => send(effects, head.node, Message::Notify { own: self.config.own }),
                // Alone, and the only other one has gone again.
                None => self.predecessor = None,
            },
            Reason::Rectify(peer) => self.set_predecessor(peer, effects),
            Reason::Returned => {}
        }
        self.done(effects);
    }

    /// Somebody takes this node for its successor.
    pub(crate) fn notify(&mut self, peer: Peer, effects: &mut Effects) {
        if self.exchange.is_some() {
            self.notified = Some(peer);
        } else {
            self.rectify(peer, effects);
        }
    }

    fn rectify(&mut self, peer: Peer, effects: &mut Effects) {
        let own = self.config.own;
        match self.predecessor {
            _ if peer.id == own.id => {}
            _ if self.departed == Some(peer) => self.ask(peer, Reason::Returned, effects),
            Some(known) if known == peer => {}
            Some(known) if !peer.id.between(known.id, own.id) && self.departed != Some(known) => {
                self.ask(known, Reason::Rectify(peer), effects);
            }
            _ => self.set_predecessor(peer, effects),
        }
    }

    /// The predecessor changes, and with it the keys this node is responsible for.
    fn set_predecessor(&mut self, peer: Peer, effects: &mut Effects) {
        let own = self.config.own.id;
        match self.predecessor {
            None if self.alone => effects.push(Effect::Given { from: own, upto: peer.id, to: peer }),
            None => effects.push(Effect::Gained { from: peer.id, upto: own, at: None }),
            Some(old) if peer.id.between(old.id, own) => {
                effects.push(Effect::Given { from: old.id, upto: peer.id, to: peer });
            }
            Some(old) if old.id != peer.id => {
                let at = self.departed.filter(|departed| *departed == old);
                effects.push(Effect::Gained { from: peer.id, upto: old.id, at });
            }
            Some(_) => {}
        }
        self.predecessor = Some(peer);
    }

    /// The lookup for this node's own identifier found that it belongs between these two.
    pub(crate) fn join_found(&mut self, predecessor: Peer, successor: Peer, effects: &mut Effects) {
        let own = self.config.own;
        if self.phase != Phase::Joining {
            return;
        }
        if successor.id == own.id || predecessor.id == own.id {
            // Perhaps an earlier life of this very node, not forgotten yet.
            let why = if successor.node == own.node { Refusal::NoAnswer } else { Refusal::Taken };
            self.join_failed(why, effects);
        } else if R::joins_whole() {
            self.ask(predecessor, Reason::Join, effects);
        } else {
            self.successors = alloc::vec![successor];
            self.become_member(effects);
        }
    }

    /// The member asked is this node's predecessor, or knows one that is nearer.
    fn join_after(&mut self, member: Peer, list: Vec<Peer>, effects: &mut Effects) {
        let own = self.config.own;
        let head = list.first().map_or(member, |head| *head);
        if head.id == own.id {
            return self.join_failed(Refusal::Taken, effects);
        }
        if !own.id.between(member.id, head.id) {
            let before_own = |peer: &&Peer| peer.id.between(member.id, own.id);
            return match list.iter().rev().find(before_own) {
                Some(nearer) => self.ask(*nearer, Reason::Join, effects),
                None => self.join_failed(Refusal::NoAnswer, effects),
            };
        }
        let list = if list.is_empty() { alloc::vec![member] } else { list };
        self.successors = successors(own.id, list, self.config.successors);
        self.predecessor = Some(member);
        self.become_member(effects);
        effects.push(Effect::Gained { from: member.id, upto: own.id, at: Some(head) });
    }

    fn become_member(&mut self, effects: &mut Effects) {
        self.phase = Phase::Member;
        effects.push(Effect::Joined);
        // Nobody knows of this node yet: that its successor hears of it should not wait for the next round.
        self.stabilise(effects);
    }

    pub(crate) fn join_failed(&mut self, why: Refusal, effects: &mut Effects) {
        self.end(Phase::Outside, effects);
        effects.push(Effect::JoinFailed(why));
    }

    /// Tells the neighbours, gives the keys away, and is gone.
    pub(crate) fn leave(&mut self, effects: &mut Effects) {
        let own = self.config.own;
        if self.phase == Phase::Member {
            if let Some(head) = self.successors.first() {
                let from: Id = self.predecessor.map_or(own.id, |peer| peer.id);
                effects.push(Effect::Given { from, upto: own.id, to: *head });
            }
            let neighbours = [self.predecessor, self.successors.first().copied()];
            let distinct = if neighbours[0] == neighbours[1] { 1 } else { 2 };
            for peer in neighbours.into_iter().take(distinct).flatten() {
                send(effects, peer.node, Message::Leaving { own, successors: self.successors.clone() });
            }
        }
        self.end(Phase::Left, effects);
        effects.push(Effect::Left);
    }

    /// A neighbour has left. What it says of its successors was its state when it left: the same as if it had been
    /// asked, and died at once.
    pub(crate) fn left(&mut self, peer: Peer, list: &[Peer], effects: &mut Effects) {
        if self.phase != Phase::Member {
            return;
        }
        self.fingers.forget(peer);
        if self.predecessor == Some(peer) || self.departed.is_none() || self.departed != self.predecessor {
            self.departed = Some(peer);
        }
        if self.successors.first() == Some(&peer) {
            self.adopt(peer, list);
        }
        self.successors.retain(|other| *other != peer);
        if self.successors.is_empty() {
            // It said that this node is its only successor: nobody else is left.
            let only = list.iter().all(|other| other.id == self.config.own.id);
            if only && !self.alone {
                if self.predecessor.is_some() {
                    let own = self.config.own.id;
                    effects.push(Effect::Gained { from: own, upto: peer.id, at: Some(peer) });
                }
                (self.alone, self.predecessor, self.exchange) = (true, None, None);
            } else if !self.alone {
                self.end(Phase::Outside, effects);
                effects.push(Effect::Lost);
                return;
            }
        }
        if let Some(exchange) = self.exchange.take_if(|exchange| exchange.to == peer) {
            match exchange.reason {
                Reason::Rectify(new) => self.set_predecessor(new, effects),
                _ => self.stabilise(effects),
            }
            self.done(effects);
        }
    }
}
