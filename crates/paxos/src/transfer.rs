//! Handing the leadership over: when the target has everything, and what it does then. The rest is shared with the other
//! protocols: [`quorate_protocol::transfer`].
//!
//! The target is told to begin the next ballot at once. Its prepare says that it was asked to, so acceptors do not refuse
//! because they hear a leader.

use quorate_protocol::transfer::preferred;
use quorate_protocol::{NodeId, Pace};

use crate::core::{Out, Part, Paxos};
use crate::message::Body;
use crate::replication::Peer;
use crate::rules::Rules;

impl<R: Rules> Paxos<R> {
    /// Whether this is a leader that hands over.
    pub(crate) fn hands_over(&self) -> bool {
        matches!(&self.part, Part::Leader(leader) if leader.transfer.is_under_way())
    }

    /// Hand over to `to`; to itself means to keep the leadership.
    pub(crate) fn transfer(&mut self, to: NodeId, out: Out) {
        let votes = self.membership().votes(to);
        let Part::Leader(leader) = &mut self.part else { return };
        if to == self.config.id {
            leader.transfer.give_up();
        } else if votes && leader.transfer.begin(to) {
            self.replicate(to, out);
            self.tell_target(out);
        }
    }

    /// Tell the target to campaign, once it has everything.
    pub(crate) fn tell_target(&mut self, out: Out) {
        let last = self.slots.last().index;
        let Part::Leader(leader) = &mut self.part else { return };
        let has_everything = |node| leader.peers.get(&node).is_some_and(|peer| peer.matched == last);
        let Some(to) = leader.transfer.tell(has_everything) else { return };
        if R::gives_up_lease_to_transfer() {
            leader.lease.give_up();
        }
        self.send(to, Body::TimeoutNow, self.meta_seq, out);
    }

    /// Hand over to a voter that should rather lead, if there is one that has caught up.
    pub(crate) fn prefer(&mut self, out: Out) {
        let (own, last) = (self.config.priority, self.slots.last().index);
        let membership = self.members.current();
        let Part::Leader(leader) = &self.part else { return };
        if leader.transfer.is_under_way() || leader.change.is_some() || self.members.since() > self.commit {
            return;
        }
        let caught_up = |peer: &Peer| peer.pace == Pace::Replicate && peer.active && peer.matched == last;
        let able = leader
            .peers
            .iter()
            .filter(|(node, peer)| membership.votes(**node) && !peer.lacks && caught_up(peer))
            .map(|(&node, peer)| (node, peer.priority));
        if let Some(node) = preferred(able, own) {
            self.transfer(node, out);
        }
    }

    /// The leader asks this node to take over.
    pub(crate) fn timeout_now(&mut self, from: NodeId, out: Out) {
        let asked_by_leader = self.leader == Some(from) && matches!(self.part, Part::Follower);
        if asked_by_leader && self.may_campaign() {
            self.fail_reads(out);
            self.campaign(true, out);
        }
    }
}
