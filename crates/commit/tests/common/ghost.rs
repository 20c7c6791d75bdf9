//! The all-seeing observer: AC1 to AC3 after every step, what clients are told, and, at the end, that all that was
//! committed is what would have come of it one by one, in the order of the commit timestamps.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_commit::{
    Body, Decision, Message, Outcome, Protocol, Record, Resource, Rules, Site, SiteId, Timestamp, TxnId,
    Vote, Work,
};

use super::store::Store;

/// What was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    pub protocol: Protocol,
    pub works: BTreeMap<SiteId, Work>,
}

/// What it has seen.
#[derive(Default)]
pub struct Ghost {
    /// It looks only at what comes of a bug: not at what the core says of itself, nor at what is durable.
    pub blind: bool,
    pub begun: BTreeMap<TxnId, Begun>,
    /// Who sent a Yes.
    pub yes: BTreeMap<TxnId, BTreeSet<SiteId>>,
    /// The first decision seen anywhere, and where.
    pub decisions: BTreeMap<TxnId, (Decision, SiteId)>,
    /// What each site has decided, as coordinator and as participant.
    pub at: BTreeMap<(SiteId, bool, TxnId), Decision>,
    /// What clients were told was read.
    pub answers: BTreeMap<TxnId, Vec<(SiteId, Bytes)>>,
}

impl Ghost {
    pub fn begins(&mut self, txn: TxnId, protocol: Protocol, works: &[(SiteId, Work)]) {
        let works = works.iter().cloned().collect();
        self.begun.entry(txn).or_insert(Begun { protocol, works });
    }

    /// After a step of this site.
    pub fn look<R: Rules>(&mut self, id: SiteId, site: &Site<Store, R>) -> Result<(), String> {
        for (txn, decision) in site.verdicts() {
            self.decides(id, true, txn, decision)?;
        }
        for (txn, decision) in site.fates() {
            self.decides(id, false, txn, decision)?;
        }
        Ok(())
    }

    fn decides(
        &mut self,
        id: SiteId,
        coordinates: bool,
        txn: TxnId,
        decision: Decision,
    ) -> Result<(), String> {
        let before = *self.at.entry((id, coordinates, txn)).or_insert(decision);
        if before != decision {
            return Err(format!("AC2: site {id} decided {before:?} on {txn}, and now {decision:?}"));
        }
        let (first, by) = *self.decisions.entry(txn).or_insert((decision, id));
        if first != decision {
            return Err(format!("AC1: site {by} decided {first:?} on {txn}, and site {id} {decision:?}"));
        }
        if decision == Decision::Abort {
            return Ok(());
        }
        let begun = self.begun.get(&txn).ok_or(format!("{txn} was never begun"))?;
        let local = begun.works.len() == 1 && begun.works.contains_key(&txn.coordinator);
        let yes = self.yes.get(&txn);
        let missing = begun.works.keys().find(|site| !yes.is_some_and(|yes| yes.contains(site)));
        match missing {
            Some(missing) if !local => {
                Err(format!("AC3: {txn} is committed, and site {missing} has not voted Yes"))
            }
            _ => Ok(()),
        }
    }

    /// A site sends something: is what it says durable?
    pub fn sends(&mut self, id: SiteId, message: &Message, log: &[Record]) -> Result<(), String> {
        let txn = message.txn;
        let find = |found: &dyn Fn(&Record) -> bool| log.iter().any(found);
        match &message.body {
            Body::Vote(Vote::Yes { .. }) => {
                let durable = find(&|record| matches!(record, Record::Prepare { txn: of, .. } if *of == txn));
                if !self.blind && !durable {
                    return Err(format!("site {id} votes Yes on {txn}, and it is not durable"));
                }
                self.yes.entry(txn).or_default().insert(id);
            }
            Body::Decision(_) if txn.coordinator == id => {
                let decides = |record: &Record| match record {
                    Record::Decide { txn: of, .. }
                    | Record::Resolve { txn: of, .. }
                    | Record::Refuse { txn: of, .. } => *of == txn,
                    Record::Floor { epoch } => *epoch > txn.epoch,
                    _ => false,
                };
                // Whoever leads an attempt of three phases knows from a quorum, and needs no record.
                let led = self
                    .begun
                    .get(&txn)
                    .is_none_or(|begun| matches!(begun.protocol, Protocol::ThreePhase(_)));
                if !self.blind && !led && !find(&decides) {
                    return Err(format!("site {id} tells of {txn}, and nothing is durable"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A client is told.
    pub fn outcome(&mut self, txn: TxnId, outcome: &Outcome, log: &[Record]) -> Result<(), String> {
        let Outcome::Committed { answers, .. } = outcome else { return Ok(()) };
        let before = self.answers.entry(txn).or_insert_with(|| answers.clone()).clone();
        if before != *answers {
            return Err(format!("a client is told two things: of {txn}"));
        }
        let Outcome::Committed { ts, first, .. } = outcome else { return Ok(()) };
        let told = Decision::Commit { ts: *ts, first: *first };
        let (decision, by) = *self.decisions.entry(txn).or_insert((told, txn.coordinator));
        if decision != told {
            return Err(format!(
                "AC1: site {by} decided {decision:?} on {txn}, and the client is told {told:?}"
            ));
        }
        let durable = |record: &Record| match record {
            Record::Decide { txn: of, .. } | Record::Local { txn: of, .. } => *of == txn,
            // In parallel: that it is under way, and, as was seen when they were sent, all votes.
            Record::Ready { txn: of, protocol: Protocol::Parallel, participants, .. } => {
                *of == txn
                    && self.yes.get(of).is_some_and(|yes| participants.iter().all(|site| yes.contains(site)))
            }
            _ => false,
        };
        match self.blind || log.iter().any(durable) {
            true => Ok(()),
            false => Err(format!("a client is told too early: {txn} is committed, and nothing is durable")),
        }
    }

    /// At the end: one by one, in the order of the timestamps, the same is read, and the same is left.
    pub fn serializable(&self, left: &BTreeMap<SiteId, Store>) -> Result<(), String> {
        let commits = self.decisions.iter().filter_map(|(txn, (decision, _))| match decision {
            Decision::Commit { ts, first } => Some((*ts, *txn, *first)),
            Decision::Abort => None,
        });
        let mut commits: Vec<(Timestamp, TxnId, bool)> = commits.collect();
        commits.sort();
        let mut stores: BTreeMap<SiteId, Store> = BTreeMap::new();
        for (ts, txn, first) in commits {
            let works = &self.begun[&txn].works;
            let told: BTreeMap<SiteId, Bytes> =
                self.answers.get(&txn).into_iter().flatten().cloned().collect();
            let mut holds = true;
            for (site, work) in works {
                let evaluation = stores.entry(*site).or_default().evaluate(&work.payload);
                holds &= evaluation.holds;
                if let Some(told) = told.get(site).filter(|told| **told != evaluation.answer) {
                    return Err(format!(
                        "serial order: {txn} at {ts} read {told:?} at site {site}, and not {:?}",
                        evaluation.answer
                    ));
                }
            }
            if holds != first {
                return Err(format!("serial order: {txn} at {ts} took the wrong branch"));
            }
            for (site, work) in works {
                stores.entry(*site).or_default().commit(txn, ts, &work.payload, first);
            }
        }
        for (site, store) in left {
            for (key, versions) in &store.keys {
                let wanted = stores.get(site).map_or("-", |store| store.latest(key));
                if versions.last().map(|(_, value)| value.as_str()) != Some(wanted) {
                    return Err(format!(
                        "serial order: at site {site}, {key} is {versions:?}, and not {wanted}"
                    ));
                }
            }
        }
        Ok(())
    }
}
