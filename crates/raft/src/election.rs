//! Terms, votes, and who leads (§5.2, §5.4.1; dissertation §9.6 for pre-votes, §6.2 for taking stock).
//!
//! A follower that has not heard a leader for its timeout first asks whether it *could* win, without
//! touching its term; only when a quorum says so does it begin a term and ask for votes. A voter that heard
//! its leader within the shortest timeout ignores both questions, unless it is that leader who asks.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use quorate_protocol::{Entry, EntryKind, LogId, NodeId};

use crate::core::{Out, Part, Raft};
use crate::message::{Body, Message, Term};
use crate::replication::{Leader, Peer};
use crate::rules::Rules;
use quorate_protocol::{Ballot, Effect};

impl<R: Rules> Raft<R> {
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
        // A campaign is a vote for oneself, which a promise to a leader forbids like any other.
        if self.elapsed >= self.timeout && !self.leases.forbid(self.config.id) {
            self.campaign_if_possible(out);
        }
    }

    /// A leader's tick: take stock each election timeout, send heartbeats in between.
    fn lead_on(&mut self, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        if self.elapsed >= self.config.election_ticks {
            self.elapsed = 0;
            let id = self.config.id;
            let active = |node| leader.peers.get(&node).is_some_and(|peer| peer.active);
            let heard = self.members.current().any_quorum(|node| node == id || active(node));
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

    /// Whether this node may begin a term: it has everything it ever held, and its vote counts, or did in a membership
    /// that may still be in force elsewhere. "A server that is not part of its own latest configuration should still
    /// start new elections, as it might still be needed until the C_new entry is committed" (dissertation §4.2.2): it may be
    /// the only one whose log is long enough.
    pub(crate) fn may_campaign(&self) -> bool {
        let own = self.config.id;
        self.members.any_since(self.commit, |membership| membership.votes(own)) && self.may_stand()
    }

    /// The connection to the leader was lost. Its process may have ended, which this tells at once while silence
    /// would tell it only after a timeout: unless two heartbeats' time brings word of it, campaign. Asking first makes
    /// that harmless where only the connection is gone, for who hears the leader refuses.
    ///
    /// Everybody who is left notices at the same moment, so they take turns, a heartbeat apart, rather than draw: two that
    /// ask at once split the votes, and the second draw costs more than all this gains.
    pub(crate) fn leader_unreachable(&mut self) {
        if R::asks_first() && !self.unreachable {
            self.unreachable = true;
            let before = |&node: &NodeId| node < self.config.id && Some(node) != self.leader;
            let turn = self.other_voters().iter().filter(|node| before(node)).count() as u32;
            let soon = self.config.heartbeat_ticks * (2 + turn) + 1;
            self.timeout = self.timeout.min(self.elapsed + soon);
        }
    }

    /// Ask whether a campaign could be won.
    fn campaign_if_possible(&mut self, out: Out) {
        self.leader = None;
        self.fail_reads(out);
        self.elapsed = 0;
        self.draw_timeout();
        self.part = Part::Follower;
        if !self.may_campaign() {
            return;
        }
        let granted = BTreeSet::from([self.config.id]);
        if self.is_quorum(&granted) || !R::asks_first() {
            return self.campaign(false, out);
        }
        self.part = Part::PreCandidate { granted };
        let message = Message { term: self.term.next(), body: Body::PreVote { last: self.log.last() } };
        for to in self.other_voters() {
            out.push(Effect::Send { to, message: message.clone(), after: quorate_protocol::Seq(0) });
        }
    }

    /// Begin a term and ask for votes; `transfer` says that the leader asked for it.
    pub(crate) fn campaign(&mut self, transfer: bool, out: Out) {
        self.enter(self.term.next(), None, out);
        self.vote = Some(self.config.id);
        self.write_meta(out);
        self.part = Part::Candidate { granted: BTreeSet::from([self.config.id]) };
        for to in self.other_voters() {
            self.send(to, Body::Vote { last: self.log.last(), transfer }, self.meta_seq, out);
        }
    }

    pub(crate) fn pre_vote(&mut self, from: NodeId, term: Term, last: LogId, out: Out) {
        if self.hears_leader_other_than(from) {
            return;
        }
        let granted = term > self.term && R::may_vote(last, self.claim());
        // A grant names the term asked about, a refusal our own.
        let term = if granted { term } else { self.term };
        let message = Message { term, body: Body::PreVoteReply { granted } };
        out.push(Effect::Send { to: from, message, after: self.meta_seq });
    }

    pub(crate) fn pre_vote_reply(&mut self, from: NodeId, term: Term, granted: bool, out: Out) {
        let asked = self.term.next();
        if let Part::PreCandidate { granted: votes } = &mut self.part
            && granted
            && term == asked
        {
            votes.insert(from);
            let votes = votes.clone();
            if self.is_quorum(&votes) {
                self.campaign(false, out);
            }
        }
    }

    pub(crate) fn vote(&mut self, from: NodeId, last: LogId, transfer: bool, out: Out) {
        let bound = !transfer && self.leases.forbid(from);
        let free = self.leader.is_none() && R::may_choose(self.vote, from) && !bound;
        let granted = free && R::may_vote(last, self.claim());
        if granted {
            self.elapsed = 0;
            if self.vote != Some(from) {
                self.vote = Some(from);
                self.write_meta(out);
            }
        }
        self.send(from, Body::VoteReply { granted }, self.meta_seq, out);
    }

    pub(crate) fn vote_reply(&mut self, from: NodeId, granted: bool, out: Out) {
        if let Part::Candidate { granted: votes } = &mut self.part
            && granted
        {
            votes.insert(from);
            self.lead_if_elected(out);
        }
    }

    /// Lead, if a quorum's votes are there. The own one counts once it is on disk, like any other: who is a quorum by
    /// itself could else lead, crash, forget it and vote for another in the same term.
    pub(crate) fn lead_if_elected(&mut self, out: Out) {
        if let Part::Candidate { granted } = &self.part
            && self.durable >= self.meta_seq
            && self.is_quorum(granted)
        {
            self.lead(out);
        }
    }

    /// Take over a later term.
    pub(crate) fn enter(&mut self, term: Term, leader: Option<NodeId>, out: Out) {
        assert!(term > self.term, "a term is entered once");
        self.term = term;
        self.vote = None;
        // A term has one leader, so what was found equal to its log stays so however often it is lost and
        // heard again; of the next one's log only what is committed is known.
        self.matched = self.commit;
        self.write_meta(out);
        self.follow(leader, out);
    }

    /// Follow `leader`, or wait for one, within the present term.
    pub(crate) fn follow(&mut self, leader: Option<NodeId>, out: Out) {
        self.fail_reads(out);
        self.part = Part::Follower;
        self.leader = leader;
        self.elapsed = 0;
        self.unreachable = false;
        self.draw_timeout();
    }

    /// A message that only this term's leader sends has come from `from`. Answers whether that can be.
    pub(crate) fn heard_leader(&mut self, from: NodeId, out: Out) -> bool {
        if let Part::Leader(_) = self.part {
            self.violate("ElectionSafety: two leaders in one term");
            return false;
        }
        if self.leader != Some(from) || self.unreachable {
            self.follow(Some(from), out);
        }
        self.elapsed = 0;
        true
    }

    /// Won: lead, and begin with an entry of the own term, for only that lets earlier ones commit (§8).
    fn lead(&mut self, out: Out) {
        let others = self.membership().nodes().into_iter().filter(|&node| node != self.config.id);
        let others: Vec<NodeId> = others.collect();
        self.leader = Some(self.config.id);
        self.elapsed = 0;
        let uncommitted = self.log.range(self.commit.next(), self.log.last().index);
        let bytes = uncommitted.map(|entry| entry.data.len()).sum();
        self.part = Part::Leader(Box::new(Leader::new(&others, self.log.last().index.next(), bytes)));
        let ballot = Ballot { round: self.term.0, node: self.config.id };
        let id = LogId { ballot, index: self.log.last().index.next() };
        let noop = Entry { id, kind: EntryKind::Noop, data: bytes::Bytes::new() };
        self.append_own(alloc::vec![noop], out);
    }

    fn is_quorum(&self, nodes: &BTreeSet<NodeId>) -> bool {
        self.membership().any_quorum(|node| nodes.contains(&node))
    }
}
