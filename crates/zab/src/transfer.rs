//! Handing the leadership over, which the papers leave out: when the target has everything, and what it does then. The rest
//! is shared with the other protocols: [`quorate_protocol::transfer`].
//!
//! The target is told to stand. Its notification says that it was asked to, so nobody refuses because a leader is heard,
//! and the leader itself steps down for it.

use quorate_protocol::transfer::preferred;
use quorate_protocol::{NodeId, Pace};

use crate::core::{Out, Part, Zab};
use crate::leader::Peer;
use crate::message::Body;
use crate::rules::Rules;

impl<R: Rules> Zab<R> {
    /// Whether this is a leader that hands over.
    pub(crate) fn hands_over(&self) -> bool {
        matches!(&self.part, Part::Leading(leader) if leader.transfer.is_under_way())
    }

    /// Hand over to `to`; to itself means to keep the leadership.
    pub(crate) fn transfer(&mut self, to: NodeId, out: Out) {
        let votes = self.membership().votes(to);
        let Part::Leading(leader) = &mut self.part else { return };
        if !leader.established {
            return;
        }
        if to == self.config.id {
            leader.transfer.give_up();
        } else if votes && leader.transfer.begin(to) {
            self.replicate(to, out);
            self.tell_target(out);
        }
    }

    /// Tell the target to stand, once it has everything.
    pub(crate) fn tell_target(&mut self, out: Out) {
        let last = self.log.last().index;
        let Part::Leading(leader) = &mut self.part else { return };
        let has_everything = |node| leader.peers.get(&node).is_some_and(|peer| peer.counts() == last);
        let Some(to) = leader.transfer.tell(has_everything) else { return };
        if R::gives_up_lease_to_transfer() {
            leader.lease.give_up();
        }
        self.send(to, Body::TakeOver, self.meta_seq, out);
    }

    /// Hand over to a voter that should rather lead, if there is one that has caught up.
    pub(crate) fn prefer(&mut self, out: Out) {
        let (own, last) = (self.config.priority, self.log.last().index);
        let membership = self.members.current();
        let Part::Leading(leader) = &self.part else { return };
        if leader.transfer.is_under_way() || self.members.since() > self.commit {
            return;
        }
        let caught_up = |peer: &Peer| peer.pace == Pace::Replicate && peer.active && peer.counts() == last;
        let able = leader
            .peers
            .iter()
            .filter(|(node, peer)| membership.votes(**node) && caught_up(peer))
            .map(|(&node, peer)| (node, peer.priority));
        if let Some(node) = preferred(able, own) {
            self.transfer(node, out);
        }
    }

    /// The leader asks this node to take over.
    pub(crate) fn take_over(&mut self, from: NodeId, out: Out) {
        if self.leader == Some(from) && self.may_campaign() {
            self.look(true, out);
        }
    }
}
