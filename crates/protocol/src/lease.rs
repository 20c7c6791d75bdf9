//! What reads by lease need, on either side, whatever the protocol (Raft §8; Ongaro's dissertation §6.4.1).
//!
//! A voter that answers a heartbeat promises to refuse candidates for an election timeout. As long as a quorum's
//! promises last, nobody else can have been elected, and the leader may serve reads at once. It counts from
//! the tick in which the heartbeat *went out*.
//!
//! A promise outlives what made it: the leader's deposition, and the voter's own restart, after which it keeps the
//! promises it may have given.

use alloc::collections::VecDeque;

use crate::ids::NodeId;

/// Heartbeats remembered, at most; a lease that needs older ones has long run out.
const MOST_ROUNDS: usize = 64;

/// What a leader knows of its lease.
#[derive(Clone, Debug, Default, Hash)]
pub struct Lease {
    /// Heartbeats lately sent: round and tick.
    sent: VecDeque<(u64, u64)>,
    given_up: bool,
}

impl Lease {
    /// A heartbeat of this round goes out.
    pub fn sent(&mut self, round: u64, tick: u64) {
        if self.sent.len() == MOST_ROUNDS {
            self.sent.pop_front();
        }
        self.sent.push_back((round, tick));
    }

    /// There is no lease in this leadership any more.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether it lasts at tick `now`, with heartbeats up to `round` confirmed by a quorum and promises good for
    /// so many ticks of ours.
    pub fn lasts(&self, round: u64, now: u64, ticks: u32) -> bool {
        let since = self.sent.iter().rev().find(|(sent, _)| *sent <= round).map(|(_, tick)| *tick);
        !self.given_up && since.is_some_and(|since| now - since < u64::from(ticks))
    }
}

/// A voter's promise: candidates other than one leader are refused before some tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Promise {
    to: Option<NodeId>,
    until: u64,
}

impl Promise {
    /// To refuse all but `leader` before the tick `until`.
    pub fn new(leader: NodeId, until: u64) -> Self {
        Promise { to: Some(leader), until }
    }

    /// What a restarted voter has to assume it promised, to whomever.
    pub fn of_a_former_life(election_ticks: u32) -> Self {
        Promise { to: None, until: u64::from(election_ticks) }
    }

    /// Whether it forbids at tick `now` to choose `candidate`.
    pub fn forbids(&self, candidate: NodeId, now: u64) -> bool {
        now < self.until && self.to != Some(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_from_when_the_confirmed_heartbeat_went_out() {
        let mut lease = Lease::default();
        lease.sent(1, 10);
        lease.sent(2, 20);
        assert!(!lease.lasts(0, 11, 5), "nobody has confirmed any");
        assert!(lease.lasts(1, 14, 5) && !lease.lasts(1, 15, 5));
        assert!(lease.lasts(2, 24, 5) && !lease.lasts(2, 25, 5));
        lease.give_up();
        assert!(!lease.lasts(2, 20, 5));
    }

    #[test]
    fn only_late_heartbeats_are_remembered() {
        let mut lease = Lease::default();
        (1..=MOST_ROUNDS as u64 + 1).for_each(|round| lease.sent(round, round));
        assert!(!lease.lasts(1, 2, 5) && lease.lasts(2, 3, 5));
    }

    #[test]
    fn a_promise_binds_against_all_others() {
        let promise = Promise::new(NodeId(1), 7);
        assert!(promise.forbids(NodeId(2), 6) && !promise.forbids(NodeId(1), 6));
        assert!(!promise.forbids(NodeId(2), 7));
        assert!(Promise::of_a_former_life(3).forbids(NodeId(1), 2));
        assert!(!Promise::default().forbids(NodeId(1), 0));
    }
}
