//! Linearizable reads without writing to the log: when a round begins and what confirms it. The rest is shared with the
//! other protocols: [`quorate_protocol::reads`].
//!
//! A round is confirmed by as many as can choose a value. Each of them had promised nothing to anybody else when it
//! answered, and whoever leads later needs a promise of one of them: so nothing was chosen elsewhere before the round began.

use quorate_protocol::{Effect, Index, Membership, NodeId, ReadId, Seq};

use crate::core::{Out, Part, Paxos};
use crate::message::Body;
use crate::replication::Leader;
use crate::rules::Rules;

impl Leader {
    /// Whether enough have confirmed a round or a later one; of `own` it goes without saying.
    pub fn is_confirmed(&self, round: u64, own: NodeId, membership: &Membership) -> bool {
        let said = |node| self.peers.get(&node).is_some_and(|peer| peer.round >= round);
        membership.chooses(|node| node == own || said(node))
    }
}

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
        if self.holds_lease() && self.knows_commit() {
            return self.answer_read(node, name, self.commit, out);
        }
        let Part::Leader(leader) = &mut self.part else { return };
        match leader.reads.wait(node, name) {
            true => self.start_round(out),
            false if node == self.config.id => out.push(Effect::ReadFailed(ReadId(name))),
            false => {}
        }
    }

    /// Whether everything that is committed is known to be.
    fn knows_commit(&self) -> bool {
        matches!(&self.part, Part::Leader(leader) if R::may_read(self.commit, leader.caught_up))
    }

    /// Begin a round for the reads that wait, if none is in flight and the leader knows what is committed.
    pub(crate) fn start_round(&mut self, out: Out) {
        let (commit, knows) = (self.commit, self.knows_commit());
        let Part::Leader(leader) = &mut self.part else { return };
        if !leader.reads.wants_round() || !knows {
            return;
        }
        leader.reads.begin(commit);
        self.broadcast_heartbeat(out);
        self.confirm_round(out);
    }

    /// Finish the round in flight if enough have confirmed it.
    pub(crate) fn confirm_round(&mut self, out: Out) {
        let (own, membership) = (self.config.id, self.members.current());
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(round) = leader.reads.flying() else { return };
        if !leader.is_confirmed(round, own, membership) && R::read_needs_quorum() {
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

    /// Reads that can no longer be confirmed under this leadership.
    pub(crate) fn fail_reads(&mut self, out: Out) {
        self.reads.fail_all(out);
        if let Part::Leader(leader) = &mut self.part {
            leader.reads.fail_all(self.config.id, out);
        }
    }
}
