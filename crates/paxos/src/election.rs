//! Who leads: waiting for a leader, asking whether a ballot would be promised, promising it.
//!
//! A follower that has not heard a leader for its timeout first asks whether it would be promised a ballot, without
//! beginning it; only when enough say so does it. An acceptor that heard its leader within the shortest timeout refuses
//! both, unless it is that leader who asks: any number of proposers is safe, but each new ballot interrupts what is under
//! way ("Paxos Made Simple" §2.4 leaves to the election of a distinguished proposer what is done here).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use quorate_protocol::{Ballot, Effect, Entry, Index, NodeId, Seq};

use crate::core::{Out, Part, Paxos};
use crate::message::{Body, Message};
use crate::replication::Peer;
use crate::rules::Rules;
use crate::slots::size;

impl<R: Rules> Paxos<R> {
    pub(crate) fn draw_timeout(&mut self) {
        self.timeout = R::timeout(self.config.election_ticks, &mut self.random);
    }

    pub(crate) fn tick(&mut self, out: Out) {
        self.leases.tick();
        self.elapsed += 1;
        self.reads.tick(self.config.election_ticks, out);
        if let Part::Leader(_) = self.part {
            return self.lead_on(out);
        }
        // A campaign begins with a promise to oneself, which one to a leader forbids like any other.
        if self.elapsed >= self.timeout && !self.leases.forbid(self.config.id) {
            return self.campaign_if_possible(out);
        }
        self.prepare_again(out);
    }

    /// A leader's tick: take stock each election timeout, send heartbeats in between.
    fn lead_on(&mut self, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        if self.elapsed >= self.config.election_ticks {
            self.elapsed = 0;
            let id = self.config.id;
            let active = |node| leader.peers.get(&node).is_some_and(|peer| peer.active);
            let heard = self.members.current().chooses(|node| node == id || active(node));
            if !heard {
                return self.follow(None, out);
            }
            self.prefer(out);
            let Part::Leader(leader) = &mut self.part else { return };
            leader.peers.values_mut().for_each(|peer| peer.active = false);
        }
        let Part::Leader(leader) = &mut self.part else { return };
        leader.transfer.tick(self.config.election_ticks);
        leader.heartbeat_elapsed += 1;
        if leader.heartbeat_elapsed >= self.config.heartbeat_ticks {
            leader.heartbeat_elapsed = 0;
            leader.peers.values_mut().for_each(Peer::beat);
            self.broadcast_heartbeat(out);
        }
    }

    /// Whether a leader other than `asker` has been heard within the shortest election timeout, so that a
    /// campaign would only disturb.
    pub(crate) fn hears_leader_other_than(&self, asker: NodeId) -> bool {
        let recently = self.elapsed < self.config.election_ticks && !self.unreachable;
        let heard = matches!(self.part, Part::Leader(_)) || recently;
        heard && self.leader.is_some_and(|leader| leader != asker) || self.leases.forbid(asker)
    }

    /// Whether this node may begin a ballot: it has everything it ever accepted, and its promise counts, or did in a membership
    /// that may still be in force elsewhere.
    pub(crate) fn may_campaign(&self) -> bool {
        let own = self.config.id;
        self.members.any_since(self.commit, |membership| membership.votes(own)) && self.may_promise_at_all()
    }

    /// The connection to the leader was lost. Its process may have ended, which this tells at once while silence
    /// would tell it only after a timeout: unless two heartbeats' time brings word of it, campaign. Asking first makes
    /// that harmless where only the connection is gone, for who hears the leader refuses.
    ///
    /// Everybody who is left notices at the same moment, so they take turns, a heartbeat apart, rather than draw.
    pub(crate) fn leader_unreachable(&mut self) {
        if R::asks_first() && !self.unreachable {
            self.unreachable = true;
            let before = |&node: &NodeId| node < self.config.id && Some(node) != self.leader;
            let turn = self.other_voters().iter().filter(|node| before(node)).count() as u32;
            let soon = self.config.heartbeat_ticks * (2 + turn) + 1;
            self.timeout = self.timeout.min(self.elapsed + soon);
        }
    }

    /// The ballot to begin next; none if there are no more.
    fn next_ballot(&self) -> Option<Ballot> {
        let round = R::next_round(self.promised, self.seen)?;
        Some(Ballot { round, node: self.config.id })
    }

    /// Ask whether a ballot would be promised.
    fn campaign_if_possible(&mut self, out: Out) {
        self.leader = None;
        self.fail_reads(out);
        self.elapsed = 0;
        self.draw_timeout();
        self.part = Part::Follower;
        let Some(ballot) = self.next_ballot().filter(|_| self.may_campaign()) else { return };
        let granted = BTreeSet::from([self.config.id]);
        if self.would_elect(&granted) || !R::asks_first() {
            return self.campaign(false, out);
        }
        self.part = Part::Asking { ballot, granted, let_go: BTreeMap::new() };
        let message = Message { ballot, body: Body::Ask { commit: self.commit } };
        for to in self.other_voters() {
            out.push(Effect::Send { to, message: message.clone(), after: Seq(0) });
        }
    }

    /// Somebody asks. Who has let go of entries that the asker would need refuses: it is for those who know more to lead,
    /// and says so, unless its disk has lost some and it may not lead either.
    pub(crate) fn ask(&mut self, from: NodeId, ballot: Ballot, commit: Index, out: Out) {
        if self.hears_leader_other_than(from) {
            return;
        }
        let (able, behind) = (self.may_promise_at_all(), commit < self.slots.base().index);
        if able && behind {
            self.send(from, Body::LetGo { base: self.slots.base() }, self.meta_seq, out);
        }
        let granted = able && !behind && R::may_promise(self.promised, ballot);
        // A grant names the ballot asked about, a refusal the one promised.
        let ballot = if granted { ballot } else { self.promised };
        let message = Message { ballot, body: Body::AskReply { granted } };
        out.push(Effect::Send { to: from, message, after: self.meta_seq });
    }

    pub(crate) fn ask_reply(&mut self, from: NodeId, about: Ballot, yes: bool, out: Out) {
        if let Part::Asking { ballot, granted, .. } = &mut self.part
            && yes
            && about == *ballot
        {
            granted.insert(from);
            let granted = granted.clone();
            match self.would_elect(&granted) {
                true => self.campaign(false, out),
                false => self.give_way(out),
            }
        }
    }

    pub(crate) fn would_elect(&self, nodes: &BTreeSet<NodeId>) -> bool {
        R::elects(self.membership(), |node| nodes.contains(&node))
    }

    /// Begin a ballot: promise it to oneself, then ask the others; `transfer` says that the leader asked for it.
    pub(crate) fn campaign(&mut self, transfer: bool, out: Out) {
        let Some(ballot) = self.next_ballot() else { return };
        self.enter(ballot, None, out);
        self.begin_preparing(transfer, out);
    }

    /// Phase 1b.
    pub(crate) fn prepare(&mut self, from: NodeId, ballot: Ballot, start: Index, transfer: bool, out: Out) {
        let known = ballot == self.promised;
        if !known && !R::may_promise(self.promised, ballot) {
            return self.answer_stale(from, out);
        }
        // Also for a promise that was given: half of what it reports may have been lost since.
        if !self.may_promise_at_all() {
            return;
        }
        if start <= self.slots.base().index {
            return self.send(from, Body::LetGo { base: self.slots.base() }, self.meta_seq, out);
        }
        if !known {
            if !transfer && self.hears_leader_other_than(from) {
                return;
            }
            self.enter(ballot, None, out);
        }
        if self.leader.is_none() {
            // A long report takes its time.
            self.elapsed = 0;
            self.report(from, start, out);
        }
    }

    /// Tell a candidate, whose ballot is promised, what was accepted from a slot on, as much as a message may hold.
    fn report(&mut self, to: NodeId, start: Index, out: Out) {
        let (mut bytes, mut more) = (0, false);
        let mut entries: Vec<Entry> = Vec::new();
        if R::reports_what_was_accepted() {
            for entry in self.slots.range(start, self.slots.last().index) {
                bytes += size(entry) as usize;
                more = bytes > self.config.max_message_bytes && !entries.is_empty();
                if more {
                    break;
                }
                entries.push(entry.clone());
            }
        }
        // It reports what was accepted, so it waits until all of that is durable.
        self.send(to, Body::Promise { from: start, entries, more, commit: self.commit }, self.seq, out);
    }

    /// Follow `leader`, or wait for one, under the ballot promised.
    pub(crate) fn follow(&mut self, leader: Option<NodeId>, out: Out) {
        self.fail_reads(out);
        self.drop_held_back(out);
        self.part = Part::Follower;
        self.leader = leader;
        self.elapsed = 0;
        self.unreachable = false;
        self.draw_timeout();
    }

    /// The leader of the ballot promised is heard.
    pub(crate) fn heard_leader(&mut self, from: NodeId, out: Out) {
        if self.leader != Some(from) || self.unreachable {
            self.follow(Some(from), out);
        }
        self.elapsed = 0;
    }
}
