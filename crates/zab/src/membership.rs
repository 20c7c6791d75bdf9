//! Changing who is in the group: joint memberships, as in the other protocols here.
//!
//! A change of voters takes two entries: one that makes the membership joint, and, once that is committed, one
//! that settles it. Each is in force from the moment it is appended, on every node that appends it: whoever is elected
//! counts the quorums of the last membership in its own history, and where that is not the group's, a better history in every
//! quorum it can get says so. (ZooKeeper's own reconfiguration, of 2012, makes the new configuration's quorum acknowledge
//! the old one's history; joint memberships are what all three protocols here share.) A change of
//! learners, which the papers call observers, takes one entry. A leader that inherits a joint membership settles it as
//! soon as an entry of its own is committed, and one that the settled membership leaves out
//! leads until that is committed, not counting itself, and then steps down.

use alloc::vec;
use alloc::vec::Vec;

use quorate_protocol::{Entry, EntryKind, Membership, NodeId};

use crate::core::{Out, Part, Zab};
use crate::leader::Peer;
use crate::message::Body;
use crate::rules::Rules;

impl<R: Rules> Zab<R> {
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
        let Part::Leading(leader) = &self.part else { return };
        let current = self.membership();
        let committed = (self.commit, self.epoch_at(self.commit));
        let possible = R::may_change(committed, self.members.since(), self.promised.round)
            && leader.established
            && !leader.transfer.is_under_way()
            && !current.is_joint()
            && !target.is_joint()
            && !target.voters().is_empty()
            && target.write_quorum() == 0
            && target != current;
        if possible {
            let next = match target.voters() == current.voters() {
                true => target.clone(),
                false => R::towards(current, target),
            };
            self.append_membership(&next, out);
        }
    }

    fn append_membership(&mut self, membership: &Membership, out: Out) {
        self.append_own(EntryKind::Config, vec![membership.to_bytes()], out);
    }

    /// An entry was appended: if it brings a membership, that is in force now.
    pub(crate) fn adopt(&mut self, entry: &Entry) {
        if entry.kind != EntryKind::Config {
            return;
        }
        match Membership::from_bytes(entry.data.clone()) {
            Ok(membership) => self.members.appended(entry.id.index, membership),
            Err(_) => self.violate("an entry that changes the membership cannot be read"),
        }
        self.meet_peers();
    }

    /// A leader sends to everybody in the membership. Who is no longer in it is let go when that is committed.
    fn meet_peers(&mut self) {
        let nodes = self.membership().nodes();
        if let Part::Leading(leader) = &mut self.part {
            for node in nodes.into_iter().filter(|&node| node != self.config.id) {
                leader.peers.entry(node).or_insert_with(Peer::new);
            }
        }
    }

    /// Something was committed: settle a joint membership, let go of those a settled one leaves out.
    pub(crate) fn membership_committed(&mut self, out: Out) {
        if self.members.since() > self.commit {
            return;
        }
        let Part::Leading(leader) = &self.part else { return };
        let membership = self.membership();
        if membership.is_joint() {
            let settled = membership.settled();
            return self.append_membership(&settled, out);
        }
        let gone: Vec<NodeId> =
            leader.peers.keys().copied().filter(|&node| !membership.contains(node)).collect();
        gone.into_iter().for_each(|node| self.let_go(node, out));
        if !self.membership().votes(self.config.id) {
            self.leave(out);
        }
    }

    /// The last word to one that has been removed: that its removal is committed.
    fn let_go(&mut self, node: NodeId, out: Out) {
        let Part::Leading(leader) = &mut self.part else { return };
        if let Some(peer) = leader.peers.remove(&node) {
            let (session, commit) = (peer.session, self.commit.min(peer.matched));
            self.send(node, Body::Commit { session, commit }, self.meta_seq, out);
        }
    }
}
