//! Linearizable reads without writing to the log: when a round begins and what confirms it. The rest is shared with the
//! other protocols: [`quorate_protocol::reads`].
//!
//! A round is confirmed by as many as can choose a value. Each of them had promised nothing to anybody else when it
//! answered, and whoever leads later needs a promise of one of them: so nothing was chosen elsewhere before the round began.

use quorate_protocol::{Effect, Index, NodeId, ReadId, Seq};

use crate::core::{Out, Part, Paxos};
use crate::message::Body;
use crate::rules::Rules;

impl<R: Rules> Paxos<R> {
    /// A read of our own.
    pub(crate) fn read(&mut self, id: ReadId, out: Out) {
        match (&self.part, self.leader) {
            (Part::Leader(_), _) => self.read_for(self.config.id, id.0, out),
            (_, Some(leader)) => {
                let token = self.reads.ask(id);
                self.send(leader, Body::ReadIndex { token }, Seq(0), out);
            }
            (_, None) => out.push(Effect::ReadFailed(id)),
        }
    }

    /// A read of `node`'s, at the leader.
    pub(crate) fn read_for(&mut self, node: NodeId, name: u64, out: Out) {
        let Part::Leader(leader) = &self.part else { return };
        if self.leases() && self.holds_lease() && R::may_read(self.commit, leader.caught_up) {
            return self.answer_read(node, name, self.commit, out);
        }
        let Part::Leader(leader) = &mut self.part else { return };
        match leader.reads.wait(node, name) {
            true => self.start_round(out),
            false if node == self.config.id => out.push(Effect::ReadFailed(ReadId(name))),
            false => {}
        }
    }

    /// Begin a round for the reads that wait, if none is in flight and the leader knows what is committed.
    pub(crate) fn start_round(&mut self, out: Out) {
        let commit = self.commit;
        let Part::Leader(leader) = &mut self.part else { return };
        if !leader.reads.wants_round() || !R::may_read(commit, leader.caught_up) {
            return;
        }
        leader.reads.begin(commit);
        self.broadcast_heartbeat(out);
        self.confirm_round(out);
    }

    /// Finish the round in flight if enough have confirmed it.
    pub(crate) fn confirm_round(&mut self, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(number) = leader.reads.flying() else { return };
        let id = self.config.id;
        let said = |node| leader.peers.get(&node).is_some_and(|peer| peer.round >= number);
        let confirmed = self.members.current().chooses(|node| node == id || said(node));
        if !confirmed && R::read_needs_quorum() {
            return;
        }
        let Some((index, asked)) = leader.reads.confirmed() else { return };
        asked.into_iter().for_each(|(node, name)| self.answer_read(node, name, index, out));
        self.start_round(out);
    }

    fn answer_read(&self, node: NodeId, name: u64, index: Index, out: Out) {
        match node == self.config.id {
            true => out.push(Effect::ReadReady { id: ReadId(name), index }),
            false => self.send(node, Body::ReadIndexReply { token: name, index }, Seq(0), out),
        }
    }

    /// The leader's answer to a question of ours.
    pub(crate) fn read_answered(&mut self, token: u64, index: Index, out: Out) {
        if let Some(id) = self.reads.answered(token) {
            out.push(Effect::ReadReady { id, index });
        }
    }
}
