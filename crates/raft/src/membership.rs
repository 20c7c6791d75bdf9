//! Changing who is in the group (§6; dissertation chapter 4).
//!
//! A change of voters takes two entries: one that makes the membership joint, and, once that is committed, one
//! that settles it. Each is in force from the moment it is appended, on every node that appends it. A change of
//! learners alone takes one entry, for no quorum changes. A leader that inherits a joint membership settles it
//! as soon as the joint one is committed (etcd issue 12136), and one that the settled membership leaves out
//! leads until that is committed, not counting itself, and then steps down (§6, etcd issue 11038).
//!
//! Whoever is asked for a vote answers, member or not: it may have been made a voter by an entry that it does
//! not have yet (§6: "servers ... accept ... messages from servers not in the current configuration").

use alloc::vec;
use alloc::vec::Vec;

use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, Membership, NodeId};

use crate::core::{Out, Part, Raft};
use crate::message::Body;
use crate::replication::Peer;
use crate::rules::Rules;

impl<R: Rules> Raft<R> {
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
        let Part::Leader(leader) = &self.part else { return };
        let current = self.membership();
        let committed = (self.commit, self.term_at(self.commit));
        let possible = R::may_change(committed, self.members.since(), self.term)
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
        let ballot = Ballot { round: self.term.0, node: self.config.id };
        let id = LogId { ballot, index: self.log.last().index.next() };
        let entry = Entry { id, kind: EntryKind::Config, data: membership.to_bytes() };
        self.append_own(vec![entry], out);
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
        let next = self.log.last().index;
        let nodes = self.membership().nodes();
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
        let Part::Leader(leader) = &self.part else { return };
        let membership = self.membership();
        if membership.is_joint() {
            let settled = membership.settled();
            return self.append_membership(&settled, out);
        }
        let gone: Vec<NodeId> =
            leader.peers.keys().copied().filter(|&node| !membership.contains(node)).collect();
        gone.into_iter().for_each(|node| self.let_go(node, out));
        if !self.membership().votes(self.config.id) {
            self.follow(None, out);
        }
    }

    /// The last word to one that has been removed: that its removal is committed.
    fn let_go(&mut self, node: NodeId, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        if let Some(peer) = leader.peers.remove(&node) {
            let (commit, round) = (self.commit.min(peer.matched), leader.reads.round());
            self.send(node, Body::Heartbeat { commit, round }, self.meta_seq, out);
        }
    }

    /// The log was cut back to before `index`.
    pub(crate) fn membership_cut_back(&mut self, index: Index) {
        self.members.truncated_from(index);
    }
}
