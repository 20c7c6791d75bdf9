//! What reads by lease need, on either side, whatever the protocol (Raft §8; Ongaro's dissertation §6.4.1).
//!
//! A voter that answers a heartbeat promises to refuse candidates for an election timeout. As long as a quorum's
//! promises last, nobody else can have been elected, and the leader may serve reads at once. It counts from
//! the tick in which the heartbeat *went out*.
//!
//! A promise outlives what made it: the leader's deposition, and the voter's own restart, after which it keeps the
//! promises it may have given.
//!
//! What a core adds is who makes a quorum, for how many of its ticks promises are good, and whom it refuses what.

use alloc::collections::VecDeque;
use core::hash::{Hash, Hasher};

use crate::contract::Config;
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

    /// Whether it lasts at tick `now`, with promises good for so many ticks of ours: whether `confirmed` holds, by the
    /// word of a quorum, for a heartbeat that went out since, or a later one.
    pub fn lasts(&self, now: u64, ticks: u32, confirmed: impl Fn(u64) -> bool) -> bool {
        let mut since = self.sent.iter().rev().take_while(|(_, tick)| now - tick < u64::from(ticks));
        !self.given_up && since.any(|(round, _)| confirmed(*round))
    }
}

/// A voter's promise: candidates other than one leader are refused before some tick.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Promise {
    to: Option<NodeId>,
    until: u64,
}

/// Whether a replica takes part in leases at all, the clock it measures them by, and what it has promised.
#[derive(Clone, Debug)]
pub struct Leases {
    on: bool,
    /// How long a promise lasts.
    promised_ticks: u64,
    /// Ticks of this life.
    clock: u64,
    promise: Promise,
}

impl Leases {
    /// Of a replica that starts, and keeps (or forgets) what it may have promised in a former life, to whomever.
    pub fn new(config: &Config, keeps_promises: bool) -> Self {
        let promised_ticks = u64::from(config.election_ticks);
        let promise = match keeps_promises {
            true => Promise { to: None, until: promised_ticks },
            false => Promise::default(),
        };
        Leases { on: config.lease_drift_percent.is_some(), promised_ticks, clock: 0, promise }
    }

    /// Whether reads are served by lease.
    pub fn are_on(&self) -> bool {
        self.on
    }

    /// Ticks of this life.
    pub fn now(&self) -> u64 {
        self.clock
    }

    /// A tick passes.
    pub fn tick(&mut self) {
        self.clock += 1;
    }

    /// A heartbeat of `leader`'s is answered: that promises to refuse all others for a while.
    pub fn promise_to(&mut self, leader: NodeId) {
        if self.on {
            self.promise = Promise { to: Some(leader), until: self.clock + self.promised_ticks };
        }
    }

    /// Whether a promise forbids to choose `candidate`.
    pub fn forbid(&self, candidate: NodeId) -> bool {
        self.on && self.clock < self.promise.until && self.promise.to != Some(candidate)
    }
}

/// What was promised; the rest is the configuration's, or is the same wherever it matters.
impl Hash for Leases {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.promise.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_lease_counts_from_when_the_confirmed_heartbeat_went_out() {
        let mut lease = Lease::default();
        lease.sent(1, 10);
        lease.sent(2, 20);
        let lasts = |lease: &Lease, confirmed, now| lease.lasts(now, 5, |round| round <= confirmed);
        assert!(!lasts(&lease, 0, 20), "nobody has confirmed any");
        assert!(!lasts(&lease, 1, 20), "the one confirmed is too old");
        assert!(lasts(&lease, 2, 20) && lasts(&lease, 2, 24) && !lasts(&lease, 2, 25));
        assert!(lasts(&lease, 9, 24), "a later round, which went out for reads, confirms the earlier ones");
        lease.give_up();
        assert!(!lasts(&lease, 2, 20));
    }

    /// One after another is asked about, from the latest on, until one is confirmed or too old.
    #[test]
    fn an_earlier_heartbeat_will_do_while_it_is_recent() {
        let mut lease = Lease::default();
        (1..=4).for_each(|round| lease.sent(round, 10 * round));
        assert!(lease.lasts(40, 21, |round| round <= 2));
        assert!(!lease.lasts(40, 20, |round| round <= 2));
    }

    #[test]
    fn only_late_heartbeats_are_remembered() {
        let mut lease = Lease::default();
        (1..=MOST_ROUNDS as u64 + 1).for_each(|round| lease.sent(round, 7));
        assert!(!lease.lasts(7, 5, |round| round <= 1) && lease.lasts(7, 5, |round| round <= 2));
    }

    fn leases(drift: Option<u8>, keeps_promises: bool) -> Leases {
        let config =
            Config { election_ticks: 3, lease_drift_percent: drift, ..Config::new(NodeId(9), vec![]) };
        Leases::new(&config, keeps_promises)
    }

    #[test]
    fn a_promise_binds_against_all_others_for_its_time() {
        let mut leases = leases(Some(0), false);
        assert!(leases.are_on() && !leases.forbid(NodeId(1)), "nothing is promised yet");
        leases.tick();
        leases.promise_to(NodeId(1));
        (0..2).for_each(|_| leases.tick());
        assert!(leases.forbid(NodeId(2)) && !leases.forbid(NodeId(1)));
        leases.tick();
        assert_eq!((leases.now(), leases.forbid(NodeId(2))), (4, false));
    }

    #[test]
    fn a_former_life_may_have_promised_anybody() {
        let mut leases = leases(Some(0), true);
        (0..2).for_each(|_| leases.tick());
        assert!(leases.forbid(NodeId(1)) && leases.forbid(NodeId(2)));
        leases.tick();
        assert!(!leases.forbid(NodeId(1)));
    }

    #[test]
    fn where_there_are_no_leases_nothing_is_promised() {
        let mut leases = leases(None, true);
        assert!(!leases.are_on() && !leases.forbid(NodeId(1)));
        leases.promise_to(NodeId(1));
        assert!(!leases.forbid(NodeId(2)));
    }
}
