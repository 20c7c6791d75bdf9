//! Who waits for locks, and who dies: wait-die.
//!
//! Rosenkrantz, Stearns and Lewis (1978): an older transaction waits for a younger one, a younger one dies. So nobody ever waits
//! for an older one, at no site, and there is no circle of waiting, without any site knowing what goes on at
//! another. Who dies begins again with the age it had, and is the oldest one day.
//!
//! "In the way" are: who has prepared, whose record is proposed, and the older ones among those who wait. The last
//! keep an old one from being overtaken for ever by young ones that can share what it wants alone.
//!
//! Invariant: of those who wait none has an older one in its way.

use quorate_protocol::Violation;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::contract::Effects;
use crate::ids::{Seniority, TxnId};
use crate::proposals::Proposal;
use crate::record::{Decision, Reason, Record};
use crate::rules::Rules;
use crate::site::Site;
use crate::state::locked;
use crate::work::{Resource, Work};

/// Who a record that needs locks is of, and what it does.
fn needs(record: &Record) -> Option<(Seniority, &Work)> {
    match record {
        Record::Prepare { txn, age, work, .. } | Record::Local { txn, age, work, .. } => {
            Some(((*age, *txn), work))
        }
        _ => None,
    }
}

impl<S: Resource, R: Rules> Site<S, R> {
    /// Propose this record once its locks are free; or wait; or die.
    pub(crate) fn acquire(&mut self, record: Record, effects: &mut Effects) {
        let Some((seniority, work)) = needs(&record) else { return };
        let known = self.driver.intents.holds(seniority.1) || self.driver.wanted.holds(seniority.1);
        if known || self.is_full() {
            return;
        }
        let blockers = self.blockers(seniority, work);
        if blockers.is_empty() {
            self.driver.intents.hold(seniority, &locked::<R>(work));
            self.driver.stirred = true;
            self.propose_locked(record, effects);
        } else if dies::<R>(&blockers, seniority) {
            self.die(record, Reason::Conflict, effects);
        } else if self.driver.waiting.len() >= self.config.max_waiting {
            self.die(record, Reason::Overloaded, effects);
        } else {
            self.driver.wanted.hold(seniority, &locked::<R>(work));
            self.driver.waiting.insert(seniority, record);
            self.driver.stirred = true;
        }
    }

    fn propose_locked(&mut self, record: Record, effects: &mut Effects) {
        if matches!(record, Record::Prepare { .. }) && !R::records_its_yes() {
            self.forgettable(record, effects);
        } else {
            self.propose(record, effects);
        }
    }

    /// The bug of voting Yes with nothing durable.
    fn forgettable(&mut self, record: Record, effects: &mut Effects) {
        let Some(txn) = record.txn() else { return };
        self.state.apply::<R>(record);
        self.vote_applied(txn, effects);
    }

    /// Who is in the way.
    fn blockers(&self, seniority: Seniority, work: &Work) -> BTreeSet<Seniority> {
        let (txn, work) = (seniority.1, locked::<R>(work));
        let mut blockers = self.state.locks.conflicts(txn, &work);
        blockers.extend(self.driver.intents.conflicts(txn, &work));
        let wanted = self.driver.wanted.conflicts(txn, &work);
        blockers.extend(wanted.into_iter().filter(|other| *other < seniority));
        blockers
    }

    fn die(&mut self, record: Record, reason: Reason, effects: &mut Effects) {
        let Some(txn) = record.txn() else { return };
        let refusal = match record {
            Record::Local { .. } => Record::Decide {
                txn,
                decision: Decision::Abort,
                reason,
                learnt: false,
                participants: Vec::new(),
                answers: Vec::new(),
            },
            _ => Record::Refuse { txn, reason },
        };
        self.propose(refusal, effects);
    }

    /// After locks have changed: who waits is granted what is free now, or dies of an older one; the oldest first.
    pub(crate) fn look_at_waiting(&mut self, effects: &mut Effects) {
        let waiting: Vec<Seniority> = self.driver.waiting.keys().copied().collect();
        for seniority in waiting {
            let Some(record) = self.driver.waiting.get(&seniority) else { continue };
            let Some((_, work)) = needs(record) else { continue };
            let blockers = self.blockers(seniority, work);
            if (blockers.is_empty() || dies::<R>(&blockers, seniority))
                && let Some(record) = self.driver.waiting.remove(&seniority)
            {
                self.driver.wanted.release(seniority.1);
                self.acquire(record, effects);
            }
        }
        self.driver.stirred = false;
    }

    /// A record was applied that found a lock in its way which its proposer did not know of: another's, who drove
    /// before, came first.
    pub(crate) fn clashed(&mut self, txn: TxnId, proposal: Option<&Proposal>, effects: &mut Effects) {
        self.leave_queue(txn);
        if let Some(proposal) = proposal
            && self.driving
        {
            self.acquire(proposal.record.clone(), effects);
        }
    }

    /// This transaction needs no place in the queue any more, and its intent is over.
    pub(crate) fn leave_queue(&mut self, txn: TxnId) {
        self.driver.stirred = true;
        self.driver.intents.release(txn);
        self.leave_queue_of_waiting(txn);
    }

    /// The same of those who wait only; what is proposed will be applied.
    pub(crate) fn leave_queue_of_waiting(&mut self, txn: TxnId) {
        if self.driver.wanted.release(txn) {
            self.driver.stirred = true;
            self.driver.waiting.retain(|seniority, _| seniority.1 != txn);
        }
    }

    /// The queue's invariants.
    pub(crate) fn check_waiting(&self) -> Result<(), Violation> {
        for (seniority, record) in &self.driver.waiting {
            let older = |work| R::younger_dies() && dies::<R>(&self.blockers(*seniority, work), *seniority);
            if needs(record).is_none_or(|(_, work)| older(work)) {
                return Err(Violation("of those who wait, none has an older one in its way"));
            }
        }
        if !self.driver.wanted.holders().eq(self.wanting()) {
            return Err(Violation("who waits, and nobody else, wants locks"));
        }
        if self.driver.waiting.len() > self.config.max_waiting {
            return Err(Violation("no more wait than may"));
        }
        Ok(())
    }

    fn wanting(&self) -> impl Iterator<Item = TxnId> {
        self.driver.waiting.keys().map(|seniority| seniority.1).collect::<BTreeSet<_>>().into_iter()
    }
}

/// Whether wait-die lets it die of these.
fn dies<R: Rules>(blockers: &BTreeSet<Seniority>, seniority: Seniority) -> bool {
    R::younger_dies() && blockers.first().is_some_and(|oldest| *oldest < seniority)
}
