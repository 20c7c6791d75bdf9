//! Phase 1: a new epoch, that a quorum accepts, and nobody in it has a better history than who leads it.
//!
//! Who was elected hears from its followers which epochs they have accepted (CEPOCH), picks one above all of a quorum's,
//! accepts it itself, durably, and asks the others to (NEWEPOCH). Their acknowledgements (ACK-E) promise to follow no
//! earlier leader, and tell their histories. The paper's leader then takes over the best of these histories; this one,
//! like ZooKeeper's, gives up if any is better than its own: the election made that unlikely.
//!
//! Two that are elected at once may pick the same epoch. A follower accepts it from one of them only, whom it names on
//! its disk; so at most one of them gets a quorum, and ⟨epoch, node⟩ names one attempt of one leader.
//!
//! Who comes when the epoch is already established goes the same way with the leader there is.

use alloc::collections::BTreeMap;

use quorate_protocol::{Ballot, LogId, NodeId, Seq};

use crate::core::{Out, Part, Zab};
use crate::message::{Body, History, State, Vote};
use crate::rules::Rules;

/// What who was elected knows.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Discovery {
    /// Followers, and the epochs they have accepted.
    pub heard: BTreeMap<NodeId, u64>,
    /// The epoch was picked.
    pub picked: bool,
    /// Who has accepted it, with the last entry that may agree with ours.
    pub acknowledged: BTreeMap<NodeId, LogId>,
    /// Who has accepted it and has a better history.
    pub better: BTreeMap<NodeId, History>,
}

// The side of who was elected.
impl<R: Rules> Zab<R> {
    /// Set out to lead.
    pub(crate) fn discover(&mut self, out: Out) {
        let votes = match &self.part {
            Part::Looking(looking) => looking.votes.clone(),
            _ => BTreeMap::new(),
        };
        let (own, transfer) =
            (self.config.id, matches!(&self.part, Part::Looking(looking) if looking.transfer));
        self.elapsed = 0;
        self.draw_timeout();
        self.part = Part::Discovering(Discovery::default());
        let vote = Vote { node: own, history: self.history() };
        for to in self.other_voters() {
            if !R::asks_first() || votes.contains_key(&to) {
                let body = Body::Notification { round: self.round, vote, state: State::Elected, transfer };
                self.send(to, body, self.seq, out);
            }
        }
        self.hear(own, self.promised.round, out);
    }

    /// A follower says which epoch it has accepted.
    pub(crate) fn follower_info(&mut self, from: NodeId, accepted: Ballot, out: Out) {
        let own = Ballot { round: self.promised.round, node: self.config.id };
        let above = accepted.round > own.round || (accepted.round == own.round && accepted.node != own.node);
        match &mut self.part {
            Part::Leading(leader) => {
                let Some(peer) = leader.peers.get_mut(&from) else { return };
                peer.active = true;
                match above {
                    true => self.leave(out),
                    false => self.send(from, Body::NewEpoch { chosen: true }, self.meta_seq, out),
                }
            }
            Part::Discovering(discovery) => {
                if discovery.picked && above {
                    // The epoch picked cannot be accepted by this one: pick another.
                    *discovery =
                        Discovery { heard: core::mem::take(&mut discovery.heard), ..Discovery::default() };
                }
                self.hear(from, accepted.round, out);
            }
            Part::Looking(looking) => {
                // To follow is to vote, and the vote itself may have been lost.
                looking.votes.insert(from, self.config.id);
                self.elect(out);
                if let Part::Discovering(_) = self.part {
                    self.hear(from, accepted.round, out);
                }
            }
            Part::Following(following) => {
                if let Some(vote) = following.vote {
                    let body = Body::Notification {
                        round: self.round,
                        vote,
                        state: State::Following,
                        transfer: false,
                    };
                    self.send(from, body, self.seq, out);
                }
            }
            Part::Waiting => {}
        }
    }

    /// One more has said which epoch it has accepted: pick one above a quorum's.
    fn hear(&mut self, from: NodeId, accepted: u64, out: Out) {
        let id = self.config.id;
        let Part::Discovering(discovery) = &mut self.part else { return };
        discovery.heard.insert(from, accepted);
        if discovery.picked {
            return self.send(from, Body::NewEpoch { chosen: false }, self.meta_seq, out);
        }
        let heard = &discovery.heard;
        if !self.members.current().any_quorum(|node| heard.contains_key(&node)) {
            return;
        }
        let accepted = heard.values().copied().max().unwrap_or(0).max(self.promised.round);
        let others: alloc::vec::Vec<NodeId> = heard.keys().copied().filter(|node| *node != id).collect();
        discovery.picked = true;
        self.promised = Ballot { round: accepted.saturating_add(1), node: id };
        self.write_meta(out);
        for to in others {
            self.send(to, Body::NewEpoch { chosen: false }, self.meta_seq, out);
        }
    }

    /// A follower has accepted the epoch, and tells its history.
    pub(crate) fn epoch_acknowledged(
        &mut self,
        from: NodeId,
        history: History,
        (end, heard): (LogId, u64),
        out: Out,
    ) {
        let own = self.history();
        match &mut self.part {
            Part::Discovering(discovery) if discovery.picked => {
                discovery.heard.entry(from).or_insert(0);
                match R::may_lead(own, history) {
                    true => _ = discovery.acknowledged.insert(from, end),
                    false => _ = discovery.better.insert(from, history),
                }
                let better = &discovery.better;
                match self.members.current().any_quorum(|node| !better.contains_key(&node)) {
                    true => self.lead_if_acknowledged(out),
                    // No quorum can be had without somebody who knows more.
                    false => self.leave(out),
                }
            }
            Part::Leading(_) => self.synchronise(from, end, heard, out),
            _ => {}
        }
    }

    /// Lead, if a quorum has accepted the epoch. The own acceptance counts once it is on disk, like any other.
    pub(crate) fn lead_if_acknowledged(&mut self, out: Out) {
        let id = self.config.id;
        let Part::Discovering(discovery) = &self.part else { return };
        let accepted = |node| node == id || discovery.acknowledged.contains_key(&node);
        if discovery.picked && self.durable >= self.meta_seq && self.membership().any_quorum(accepted) {
            let mut ends = discovery.acknowledged.clone();
            // Those with better histories have entries that no quorum knows of.
            ends.extend(discovery.better.iter().map(|(node, history)| (*node, history.last)));
            self.lead(ends, out);
        }
    }

    /// Somebody has accepted another epoch of this number, or a later one.
    pub(crate) fn stale(&mut self, from: NodeId, accepted: Ballot, out: Out) {
        let leads = match &self.part {
            Part::Leading(leader) => leader.peers.contains_key(&from),
            Part::Discovering(discovery) => discovery.picked,
            _ => false,
        };
        if leads && accepted.round >= self.promised.round && accepted != self.promised {
            self.leave(out);
        }
    }
}

// The follower's side.
impl<R: Rules> Zab<R> {
    /// The leader asks to accept its epoch.
    pub(crate) fn new_epoch(&mut self, from: NodeId, epoch: u64, chosen: bool, out: Out) {
        let new = Ballot { round: epoch, node: from };
        let Part::Following(following) = &self.part else { return };
        if following.leader != from {
            return;
        }
        let by_request = following.transfer || chosen;
        if epoch < self.promised.round || (epoch == self.promised.round && new != self.promised) {
            let accepted = self.promised;
            return self.send(from, Body::Stale { accepted }, self.meta_seq, out);
        }
        if self.leases.forbid(from) && !by_request {
            return;
        }
        self.elapsed = 0;
        self.unreachable = false;
        let known = new == self.promised;
        if !known {
            self.promised = new;
            self.leader = None;
            self.fail_reads(out);
            self.write_meta(out);
        }
        let synced = self.joined == self.promised;
        let Part::Following(following) = &mut self.part else { return };
        if known && following.heard > 0 {
            return; // It was accepted long ago, and the leader knows.
        }
        if !known {
            *following = following.anew();
        }
        if !following.accepted {
            (following.accepted, following.synced) = (true, synced);
        }
        self.acknowledge_epoch(self.log.last(), out);
    }

    /// ACK-E, with the last entry that may agree with the leader's.
    pub(crate) fn acknowledge_epoch(&mut self, end: LogId, out: Out) {
        let history = self.history();
        let Part::Following(following) = &mut self.part else { return };
        following.asked = 0;
        let (to, heard) = (following.leader, following.heard);
        let after = if R::promise_is_durable() { self.seq } else { Seq(0) };
        self.send(to, Body::AckEpoch { history, end, heard }, after, out);
    }
}
