//! Handing the leadership over (Ongaro's dissertation §3.10, which works for any leader).
//!
//! The leader takes no more proposals, brings the target up to its last slot, and then tells it to begin the next ballot at
//! once. The target's prepare says that it was asked to, so acceptors do not refuse because they hear a leader. If
//! nothing has come of it within an election timeout the leader goes on as before.
//!
//! To its host a leader that hands over is a leader that knows of no leader: what is proposed and read waits as
//! it does between leaderships, and goes on when one is known again.
//!
//! A leader hands over by itself to a voter of higher priority that has caught up, at most once in an election
//! timeout.

use quorate_protocol::{NodeId, Pace};

use crate::core::{Out, Part, Paxos};
use crate::message::Body;
use crate::rules::Rules;

/// A leadership being handed over.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Transfer {
    pub to: NodeId,
    /// The target was told to campaign.
    told: bool,
    /// Ticks since it began.
    ticks: u32,
}

impl<R: Rules> Paxos<R> {
    /// Whether this is a leader that hands over.
    pub(crate) fn hands_over(&self) -> bool {
        matches!(&self.part, Part::Leader(leader) if leader.transfer.is_some())
    }

    /// Hand over to `to`; to itself means to keep the leadership.
    pub(crate) fn transfer(&mut self, to: NodeId, out: Out) {
        let votes = self.membership().votes(to);
        let own = self.config.id;
        let Part::Leader(leader) = &mut self.part else { return };
        if to == own {
            leader.transfer = None;
        } else if votes && leader.transfer.as_ref().is_none_or(|transfer| transfer.to != to) {
            leader.transfer = Some(Transfer { to, told: false, ticks: 0 });
            self.replicate(to, out);
            self.tell_target(out);
        }
    }

    /// Tell the target to campaign, once it has everything.
    pub(crate) fn tell_target(&mut self, out: Out) {
        let last = self.slots.last().index;
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(transfer) = leader.transfer.as_mut().filter(|transfer| !transfer.told) else { return };
        if leader.peers.get(&transfer.to).is_some_and(|peer| peer.matched == last) {
            transfer.told = true;
            let to = transfer.to;
            if R::gives_up_lease_to_transfer() {
                leader.lease.give_up();
            }
            self.send(to, Body::TimeoutNow, self.meta_seq, out);
        }
    }

    /// A tick passes for a leader that hands over.
    pub(crate) fn transfer_tick(&mut self) {
        let Part::Leader(leader) = &mut self.part else { return };
        if let Some(transfer) = &mut leader.transfer {
            transfer.ticks += 1;
            if transfer.ticks >= self.config.election_ticks {
                leader.transfer = None;
            }
        }
    }

    /// Hand over to a voter that should rather lead, if there is one that has caught up.
    pub(crate) fn prefer(&mut self, out: Out) {
        let (own, last) = (self.config.priority, self.slots.last().index);
        let membership = self.members.current();
        let Part::Leader(leader) = &self.part else { return };
        if leader.transfer.is_some() || leader.change.is_some() || self.members.since() > self.commit {
            return;
        }
        let preferred = leader
            .peers
            .iter()
            .filter(|(node, peer)| membership.votes(**node) && peer.priority > own && !peer.lacks)
            .filter(|(_, peer)| peer.pace == Pace::Replicate && peer.active && peer.matched == last)
            .max_by_key(|(_, peer)| peer.priority)
            .map(|(&node, _)| node);
        if let Some(node) = preferred {
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
