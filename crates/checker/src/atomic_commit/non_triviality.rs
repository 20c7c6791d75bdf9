//! Property **AC4**: if there are no failures and all participants voted yes, the decision is commit.
//!
//! Source: Bernstein, Hadzilacos and Goodman 1987, §7.3, AC4. A failure is whatever the protocol has an excuse for: a process that went down, a message
//! that was lost, or that took longer than is waited for. It excuses all transactions that are open when it happens.

use super::{Decision, Polls, Txn, Vote};
use crate::Violation;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;

const PROPERTY: &str = "AC4";

/// What goes on without a failure.
#[derive(Clone, Debug, Default)]
pub struct NonTriviality {
    polls: Polls,
    excused: BTreeSet<Txn>,
    aborted: BTreeMap<Txn, u64>,
    broken: bool,
}

impl NonTriviality {
    /// Nothing begun, nothing broken.
    pub fn new() -> Self {
        Self::default()
    }

    /// These are the participants of a transaction.
    pub fn begun(&mut self, txn: Txn, participants: impl IntoIterator<Item = u64>) {
        self.polls.entry(txn).or_default().participants.extend(participants);
        if self.broken {
            self.excused.insert(txn);
        }
    }

    /// Something failed, and is broken until [`Self::healed`].
    pub fn failed(&mut self) {
        self.broken = true;
        self.excused.extend(self.polls.keys());
    }

    /// All that was broken is whole again; what was open meanwhile stays excused.
    pub fn healed(&mut self) {
        self.broken = false;
    }

    /// `site` votes.
    pub fn voted(&mut self, site: u64, txn: Txn, vote: Vote) -> Result<(), Violation> {
        if vote == Vote::Yes {
            self.polls.entry(txn).or_default().yes.insert(site);
        }
        self.judge(txn)
    }

    /// `site` decides.
    pub fn decided(&mut self, site: u64, txn: Txn, decision: Decision) -> Result<(), Violation> {
        if decision == Decision::Abort {
            self.aborted.entry(txn).or_insert(site);
        }
        self.judge(txn)
    }

    fn judge(&self, txn: Txn) -> Result<(), Violation> {
        let Some(site) = self.aborted.get(&txn) else { return Ok(()) };
        let unanimous = self.polls.get(&txn).is_some_and(super::Poll::unanimous);
        if !unanimous || self.excused.contains(&txn) {
            return Ok(());
        }
        let detail =
            format!("transaction {txn}: all voted yes and nothing failed, and site {site} decided abort");
        Err(Violation::new(PROPERTY, detail))
    }

    /// Nobody will vote or decide about this one any more.
    pub fn forget(&mut self, txn: Txn) {
        self.polls.remove(&txn);
        self.excused.remove(&txn);
        self.aborted.remove(&txn);
    }
}
