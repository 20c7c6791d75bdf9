//! Property **AC3**: the decision can only be commit if all participants voted yes.
//!
//! Source: Bernstein, Hadzilacos and Goodman 1987, §7.3, AC3. A participant votes once: a yes after a no, or the other way
//! round, is wrong already.

use super::{Decision, Polls, Txn, Vote};
use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

const PROPERTY: &str = "AC3";

/// Who takes part in what, and how it voted.
#[derive(Clone, Debug, Default)]
pub struct Validity {
    polls: Polls,
    votes: BTreeMap<(Txn, u64), Vote>,
}

impl Validity {
    /// Nothing begun yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These are the participants of a transaction.
    pub fn begun(&mut self, txn: Txn, participants: impl IntoIterator<Item = u64>) {
        self.polls.entry(txn).or_default().participants.extend(participants);
    }

    /// `site` votes.
    pub fn voted(&mut self, site: u64, txn: Txn, vote: Vote) -> Result<(), Violation> {
        if vote == Vote::Yes {
            self.polls.entry(txn).or_default().yes.insert(site);
        }
        match self.votes.insert((txn, site), vote) {
            Some(before) if before != vote => {
                let detail = format!("transaction {txn}: site {site} had voted {before:?}, now {vote:?}");
                Err(Violation::new(PROPERTY, detail))
            }
            _ => Ok(()),
        }
    }

    /// `site` decides.
    pub fn decided(&self, site: u64, txn: Txn, decision: Decision) -> Result<(), Violation> {
        if decision == Decision::Abort {
            return Ok(());
        }
        let missing: Vec<u64> = match self.polls.get(&txn) {
            Some(poll) => poll.participants.difference(&poll.yes).copied().collect(),
            None => Vec::new(),
        };
        if self.polls.get(&txn).is_some_and(super::Poll::unanimous) {
            return Ok(());
        }
        let detail =
            format!("transaction {txn}: site {site} decided commit without a yes of sites {missing:?}");
        Err(Violation::new(PROPERTY, detail))
    }

    /// Nobody will vote or decide about this one any more.
    pub fn forget(&mut self, txn: Txn) {
        if let Some(poll) = self.polls.remove(&txn) {
            for site in poll.participants.union(&poll.yes) {
                self.votes.remove(&(txn, *site));
            }
        }
    }
}
