//! What a run of atomic commit is like, beyond what every run draws.
//!
//! Single processes are many or few; groups are few. Where a site is one process, the operator has nobody to replace it by, and its
//! disk keeps what it was given: what is to be seen there is how the others fare while it is down.

use quorate_protocol::Random;

use crate::classes::Allowed;
use crate::faults::Choice;
use crate::protocol::Sites;
use crate::swarm::{Commit, Swarm, one_of};

/// Sites of a world whose sites are groups, at most.
const MOST_GROUPS: u64 = 4;

impl Swarm {
    /// Make it one of atomic commit; `sites` overrides their number.
    pub fn with_sites(mut self, random: &mut Random, kind: Sites, sites: Option<usize>) -> Self {
        let drawn = match kind {
            Sites::Processes if random.percent(80) => random.between(3, 8),
            Sites::Processes if random.percent(75) => random.between(8, 21),
            Sites::Processes => random.between(21, 51),
            Sites::Groups(_) => random.between(2, MOST_GROUPS + 1),
        };
        self.groups = sites.unwrap_or(drawn as usize);
        self.nodes = self.groups * kind.members();
        let ticks = u64::from(self.election_ticks);
        self.commit = Commit {
            vote_ticks: ticks * one_of(random, &[1, 2]),
            retry_ticks: (ticks / one_of(random, &[2, 4])).max(1),
            doubt_ticks: (ticks / one_of(random, &[4, 8])).max(1),
            close_ticks: one_of(random, &[0, ticks, 4 * ticks]),
            max_proposed: one_of(random, if self.room.is_scant() { &[1] } else { &[1, 4, 16, 64] }),
        };
        // What a site keeps goes into each checkpoint as a whole.
        self.checkpoint_every = self.checkpoint_every.max(10);
        self.load.participants = random.between(2, self.groups.max(2) as u64 + 1) as usize;
        (self.load.watchers, self.load.compact, self.load.leases) = (0, false, false);
        self.lease_drift = None;
        self.faults.crash_after_question = 0;
        self.faults.weights.set(Choice::Usurp, 0);
        if kind == Sites::Processes {
            for choice in [Choice::Change, Choice::Transfer, Choice::Wipe, Choice::StateLoss] {
                self.faults.weights.set(choice, 0);
            }
        }
        self
    }

    /// Whether it is one of atomic commit.
    pub fn is_atomic(&self) -> bool {
        self.commit.vote_ticks > 0
    }

    /// Whether nothing fails in it.
    pub fn is_faultless(&self) -> bool {
        Allowed::of(self).count() == 0
    }

    /// For how long a site may be in doubt once all is healed: two election timeouts. In three phases a participant waits at
    /// least as long as the coordinator may take, and each for those before it, before it tries to end a transaction by
    /// itself; that time comes on top.
    ///
    /// Where a node takes so little at once that records of a site are refused for others of the same site, there is no bound
    /// but that of peace.
    pub fn doubt_us(&self, three_phases: bool) -> u64 {
        let Commit { vote_ticks, retry_ticks, doubt_ticks, .. } = self.commit;
        let patience = vote_ticks + doubt_ticks + self.groups as u64 * retry_ticks;
        // On the slowest clock.
        let patience_us = patience * self.tick_us * 115 / 100;
        2 * self.election_us() + if three_phases { patience_us } else { 0 }
    }
}
