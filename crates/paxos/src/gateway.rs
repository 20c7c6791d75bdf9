//! The gateway: what a message's ballot means, before what it says.
//!
//! A message of a leader is heard unless something greater was promised, and raises the promise if it is greater. A prepare is
//! judged where promises are given. Answers count only if they are about the ballot that is sought or held now. What
//! cannot be from whom it comes is dropped.

use quorate_protocol::{Ballot, NodeId};

use crate::core::{Out, Part, Paxos};
use crate::message::{Body, Message};
use crate::rules::Rules;

impl<R: Rules> Paxos<R> {
    /// The gateway: what a message's ballot means, before what it says.
    pub(crate) fn receive(&mut self, from: NodeId, message: Message, out: Out) {
        let Message { ballot, body } = message;
        if from == self.config.id || from == NodeId(0) || !self.is_whose(from, ballot, &body) {
            return;
        }
        if let Part::Leader(leader) = &mut self.part
            && let Some(peer) = leader.peers.get_mut(&from)
        {
            peer.active |= ballot == self.promised;
        }
        if !matches!(body, Body::Ask { .. } | Body::AskReply { granted: true }) {
            self.seen = self.seen.max(ballot.round);
        }
        match body {
            Body::Ask { commit } => self.ask(from, ballot, commit, out),
            Body::AskReply { granted } => self.ask_reply(from, ballot, granted, out),
            Body::Prepare { from: start, transfer } => self.prepare(from, ballot, start, transfer, out),
            Body::Accept { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                self.hear_leader(from, ballot, body, out);
            }
            Body::Stale => self.outdone(ballot, out),
            Body::LetGo { base } => self.knows_less_than(from, base, out),
            Body::TakeOver => self.take_over(from, ballot, out),
            _ if ballot != self.promised => {}
            Body::Promise { from: start, entries, more, commit } => {
                self.promise(from, start, entries, more, commit, out);
            }
            Body::Accepted { from: first, upto, matched } => self.accepted(from, first, upto, matched, out),
            Body::HeartbeatReply { round, matched, unsure, lacks, priority } => {
                let missing = (unsure, lacks);
                self.heartbeat_reply(from, round, matched, missing, priority, out);
            }
            Body::Forward { stream, number, proposals } => {
                self.forwarded(from, stream, number, proposals, out)
            }
            Body::ReadIndex { token } => self.read_for(from, token, out),
            Body::ReadIndexReply { token, index } => self.reads.answered(token, index, out),
            Body::TimeoutNow => self.timeout_now(from, out),
        }
    }

    /// Whether a message under this ballot can be `from`'s: what only a candidate or leader says is its own ballot's, what
    /// is said to one is ours.
    fn is_whose(&self, from: NodeId, ballot: Ballot, body: &Body) -> bool {
        match body {
            Body::Ask { .. }
            | Body::Prepare { .. }
            | Body::Accept { .. }
            | Body::Heartbeat { .. }
            | Body::Snapshot { .. }
            | Body::ReadIndexReply { .. }
            | Body::TimeoutNow
            | Body::TakeOver => ballot.node == from,
            Body::AskReply { granted: false } | Body::Stale | Body::LetGo { .. } => true,
            _ => ballot.node == self.config.id,
        }
    }

    /// What a leader says: it is heard unless something greater was promised.
    fn hear_leader(&mut self, from: NodeId, ballot: Ballot, body: Body, out: Out) {
        if !R::may_accept(self.promised, ballot) {
            return self.answer_stale(from, out);
        }
        if ballot > self.promised {
            self.enter(ballot, Some(from), out);
        }
        match body {
            Body::Accept { entries, commit } => self.accept(from, ballot, entries, commit, out),
            Body::Heartbeat { commit, round } => self.heartbeat(from, commit, round, out),
            Body::Snapshot { id, membership } => self.snapshot(from, id, membership, out),
            _ => {}
        }
    }

    /// A message of a lesser ballot: its sender must learn of the greater one, or a leader cut off from the promises would send
    /// for ever.
    pub(crate) fn answer_stale(&mut self, to: NodeId, out: Out) {
        self.send(to, Body::Stale, self.meta_seq, out);
    }

    /// Somebody has promised more than what we seek or hold.
    pub(crate) fn outdone(&mut self, ballot: Ballot, out: Out) {
        if ballot > self.promised && matches!(self.part, Part::Leader(_) | Part::Preparing(_)) {
            self.follow(None, out);
        }
    }
}
