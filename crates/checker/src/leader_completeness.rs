//! Property **LeaderCompleteness**: a leader's log holds every entry committed in an earlier round.
//!
//! Source: Raft, fig. 3, "if a log entry is committed in a given term, then that entry will be present in the
//! logs of the leaders for all higher-numbered terms" (TLA+ `LeaderCompleteness`).
//!
//! Fed with commits and with each new leader's log at the moment it took office. Order of feeding does not
//! matter for the latest [`LEADERS_KEPT`] elections: a deposed leader may learn of a commit (from
//! acknowledgements sent before) after its successor was elected, and that entry too must be in the successor's
//! log, so those logs are kept and checked again at every later commit.
//!
//! It is as true of Zab (PrimaryIntegrity: a primary has delivered what earlier epochs delivered before it
//! broadcasts) and of Multi-Paxos, where a leader that has its promises holds every chosen value (Lamport 2001, §3).
//! There a later leader proposes the value again under its own ballot, so only contents must agree: use
//! [`LeaderCompleteness::ignoring_ballots`].
//!
//! Caveat: the round to give for a commit is the round in which the committing node *was* when it learned of
//! it, which is at or after the round of the commit itself; that makes the check weaker, never wrong.

use crate::Violation;
use crate::log::{Ballot, Entry, Log};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;

const PROPERTY: &str = "LeaderCompleteness";

/// Elections whose logs are kept for commits learned late.
pub const LEADERS_KEPT: usize = 16;

/// What was committed when, and who was elected with which log.
#[derive(Clone, Debug, Default)]
pub struct LeaderCompleteness {
    /// By index: the earliest round it was seen committed in, and the entry.
    committed: BTreeMap<u64, (Ballot, Entry)>,
    leaders: VecDeque<(Ballot, Log)>,
    ignore_ballots: bool,
}

impl LeaderCompleteness {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only contents must agree (Paxos).
    pub fn ignoring_ballots() -> Self {
        Self { ignore_ballots: true, ..Self::default() }
    }

    /// A node in round `round` saw `entry` committed.
    pub fn observe_commit(&mut self, round: impl Into<Ballot>, entry: Entry) -> Result<(), Violation> {
        let round = round.into();
        let known = self.committed.entry(entry.index).or_insert((round, entry));
        known.0 = known.0.min(round);
        let round = known.0;
        for (led, log) in self.leaders.iter().filter(|(led, _)| *led > round) {
            self.holds(log, *led, round, &entry)?;
        }
        Ok(())
    }

    /// The node of `log` became leader of `round` with this log.
    pub fn observe_leader(&mut self, round: impl Into<Ballot>, log: Log) -> Result<(), Violation> {
        let round = round.into();
        for (committed, entry) in self.committed.values().filter(|(committed, _)| *committed < round) {
            self.holds(&log, round, *committed, entry)?;
        }
        if self.leaders.len() == LEADERS_KEPT {
            self.leaders.pop_front();
        }
        self.leaders.push_back((round, log));
        Ok(())
    }

    /// Forgets commits below `index`, to bound memory in long runs.
    pub fn forget_below(&mut self, index: u64) {
        self.committed = self.committed.split_off(&index);
    }

    fn holds(&self, log: &Log, led: Ballot, committed: Ballot, entry: &Entry) -> Result<(), Violation> {
        if entry.index <= log.snapshot_index {
            return Ok(());
        }
        let held = log.get(entry.index);
        let same = |held: &Entry| held == entry || self.ignore_ballots && held.digest == entry.digest;
        if held.is_some_and(same) {
            return Ok(());
        }
        let held = held.map_or_else(|| "nothing".into(), |held| format!("{held}"));
        let detail = format!(
            "node {}, leader of round {led}, holds {held} at index {}; round {committed} committed {entry}",
            log.node, entry.index
        );
        Err(Violation::new(PROPERTY, detail))
    }
}
