//! Changing who is in the group.
//!
//! As with the other protocols: a change of voters takes two entries, one that makes the membership joint, and, once that is
//! chosen, one that settles it; each is in force from the moment its slot is filled. A change of learners alone takes one.
//!
//! What Paxos needs besides, for its slots are filled in any order and keep what was accepted in them for ever:
//!
//! * **A membership is proposed only when everything before it is chosen** ([`Rules::may_change`]); what arrives meanwhile is
//!   held back, for one round trip. Were it proposed among slots in flight, it might be accepted somewhere, forgotten when
//!   a new leader found nothing there, and come back years of changes later, when the log has grown to that slot: a
//!   membership of the past, whose quorums meet none of the present ones. This way a slot that holds a membership proves that all
//!   earlier ones were chosen when it was proposed, so the memberships found in a log, chosen or not, are always successive ones. (Lamport,
//!   Malkhi and Zhou, "Reconfiguring a State Machine", 2010, §4, bounds the slots in flight after a change; here none are in
//!   flight before it.)
//! * **A joint membership is settled only when enough of the incoming voters have every slot up to it**, not only that one: after
//!   it the outgoing ones are not asked any more, and the new ones must be able to report everything. (Raft has this
//!   from its consistency check.)

use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use quorate_protocol::{DropReason, Effect, Entry, EntryKind, LogId, Membership, NodeId};

use crate::core::{Out, Part, Paxos};
use crate::message::Body;
use crate::replication::Peer;
use crate::rules::Rules;

impl<R: Rules> Paxos<R> {
    /// The membership in force.
    pub(crate) fn membership(&self) -> &Membership {
        self.members.current()
    }

    /// The other voters, of both configurations if there are two.
    pub(crate) fn other_voters(&self) -> Vec<NodeId> {
        let membership = self.membership();
        membership
            .nodes()
            .into_iter()
            .filter(|&node| node != self.config.id && membership.votes(node))
            .collect()
    }

    /// Begin a change towards `target`, if that is possible now.
    pub(crate) fn change(&mut self, target: &Membership, out: Out) {
        let current = self.members.current();
        let Part::Leader(leader) = &mut self.part else { return };
        let possible = self.commit >= leader.caught_up
            && self.members.since() <= self.commit
            && leader.change.is_none()
            && !leader.transfer.is_under_way()
            && !current.is_joint()
            && !target.is_joint()
            && !target.voters().is_empty()
            && target != current;
        if possible {
            let same = target.voters() == current.voters() && target.write_quorum() == current.write_quorum();
            leader.change = Some(if same { target.clone() } else { R::towards(current, target) });
            self.advance_change(out);
        }
    }

    /// Propose the membership that waits, if it may be, and after it what was held back.
    pub(crate) fn advance_change(&mut self, out: Out) {
        let (own, last) = (self.config.id, self.slots.last().index);
        let Part::Leader(leader) = &mut self.part else { return };
        if leader.change.is_none() || !R::may_change(self.commit, last, leader.caught_up) {
            return;
        }
        let (current, since) = (self.members.current(), self.members.since());
        if current.is_joint() && !current.chooses(|node| leader.has_all(own, node, since)) {
            return;
        }
        let Some(membership) = leader.change.take() else { return };
        let held_back = core::mem::take(&mut leader.held_back);
        let id = LogId { ballot: self.promised, index: last.next() };
        let mut entries = vec![Entry { id, kind: EntryKind::Config, data: membership.to_bytes() }];
        entries.extend((id.index.0 + 1..).zip(held_back).map(|(index, (_, data))| Entry {
            id: LogId { ballot: id.ballot, index: quorate_protocol::Index(index) },
            kind: EntryKind::Command,
            data,
        }));
        self.put_own(entries, out);
    }

    /// The leadership ends: what our own host proposed and was held back goes back to it.
    pub(crate) fn drop_held_back(&mut self, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let held_back = core::mem::take(&mut leader.held_back);
        let proposals: Vec<Bytes> =
            held_back.into_iter().filter(|(ours, _)| *ours).map(|(_, data)| data).collect();
        if !proposals.is_empty() {
            out.push(Effect::Dropped { proposals, reason: DropReason::NoLeader });
        }
    }

    /// A leader sends to everybody in the membership. Who is no longer in it is let go when that is chosen.
    pub(crate) fn meet_peers(&mut self) {
        let next = self.slots.last().index;
        let nodes = self.members.current().nodes();
        if let Part::Leader(leader) = &mut self.part {
            for node in nodes.into_iter().filter(|&node| node != self.config.id) {
                leader.peers.entry(node).or_insert_with(|| Peer::new(next));
            }
        }
    }

    /// Something was committed: settle a joint membership, let go of those a settled one leaves out.
    pub(crate) fn membership_committed(&mut self, out: Out) {
        if self.members.since() > self.commit {
            return;
        }
        let membership = self.members.current();
        let Part::Leader(leader) = &mut self.part else { return };
        if membership.is_joint() {
            leader.change = Some(membership.settled());
            return;
        }
        let gone: Vec<NodeId> =
            leader.peers.keys().copied().filter(|&node| !membership.contains(node)).collect();
        gone.into_iter().for_each(|node| self.let_go(node, out));
        if !self.membership().votes(self.config.id) {
            self.follow(None, out);
        }
    }

    /// The last word to one that has been removed: that its removal is chosen.
    fn let_go(&mut self, node: NodeId, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        if let Some(peer) = leader.peers.remove(&node) {
            let (commit, round) = (self.commit.min(peer.matched), leader.reads.round());
            self.send(node, Body::Heartbeat { commit, round }, self.meta_seq, out);
        }
    }
}
