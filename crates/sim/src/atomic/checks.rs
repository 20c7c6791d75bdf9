//! What is promised of atomic commit, watched as it happens, and how long anybody is in doubt.
//!
//! A vote or a decision counts from the moment when the first replica of its site applies the record: then it is durable in the
//! site's log. A site of several replicas tells of each several times, and again after each restart.
//!
//! All is well, for AC5, once the faults are over and each site has somebody who drives it. How long a group may take to elect
//! its leader is not atomic commit's to promise: for that there is the bound of peace ([`crate::recovery`]).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_checker::Violation;
use quorate_checker::atomic_commit::agreement::Agreement;
use quorate_checker::atomic_commit::non_triviality::NonTriviality;
use quorate_checker::atomic_commit::one_revision::OneRevision;
use quorate_checker::atomic_commit::stability::Stability;
use quorate_checker::atomic_commit::termination::Termination;
use quorate_checker::atomic_commit::told_is_durable::ToldIsDurable;
use quorate_checker::atomic_commit::validity::Validity;
use quorate_checker::atomic_commit::{Decision, Txn, Vote};
use quorate_checker::isolation::{self, Level, Op, Status, Transaction, bank};

use super::data::Found;
use crate::doubts::{Doubts, Met};

/// A site that is uncertain.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Since when.
    since: u64,
    /// What has happened meanwhile.
    met: Met,
}

/// See the module's text.
#[derive(Debug)]
pub struct Ledger {
    agreement: Agreement,
    stability: Stability,
    validity: Validity,
    non_triviality: NonTriviality,
    faultless: bool,
    termination: Termination,
    revisions: OneRevision,
    durable: ToldIsDurable,
    /// Who is uncertain, and who no longer is.
    open: BTreeMap<(Txn, usize), Open>,
    certain: BTreeSet<(Txn, usize)>,
    /// What each is to be: the first that was decided.
    fates: BTreeMap<Txn, Decision>,
    /// When the faults ended.
    healed_at: Option<u64>,
    /// The nodes that drive, by their sites: all sites there are.
    drivers: Vec<BTreeSet<usize>>,
    /// How long sites were in doubt: from their Yes until they knew.
    pub doubts: Doubts,
    /// What clients did.
    pub history: Vec<Transaction>,
    /// Reads of all accounts: who, and what.
    pub balances: Vec<(u64, Vec<i64>)>,
}

/// A transaction's name as the checks have it.
pub fn named(txn: quorate_commit::TxnId) -> Txn {
    Txn { epoch: txn.epoch, coordinator: txn.coordinator.0, number: txn.number }
}

/// A decision as the checks have it.
pub fn seen(decision: quorate_commit::Decision) -> Decision {
    match decision {
        quorate_commit::Decision::Commit { .. } => Decision::Commit,
        quorate_commit::Decision::Abort => Decision::Abort,
    }
}

impl Ledger {
    /// Of a world of so many sites where, once all is healed, nobody may be in doubt for longer than `bound_us`; without faults,
    /// `faultless`, AC4 holds.
    pub fn new(sites: usize, bound_us: u64, faultless: bool) -> Self {
        let mut ledger = Ledger {
            agreement: Agreement::new(),
            stability: Stability::new(),
            validity: Validity::new(),
            non_triviality: NonTriviality::new(),
            faultless,
            termination: Termination::new(bound_us),
            revisions: OneRevision::new(),
            durable: ToldIsDurable::new(),
            open: BTreeMap::new(),
            certain: BTreeSet::new(),
            fates: BTreeMap::new(),
            healed_at: None,
            drivers: vec![BTreeSet::new(); sites],
            doubts: Doubts::default(),
            history: Vec::new(),
            balances: Vec::new(),
        };
        // Until the faults end; then everything that is open must end too.
        ledger.termination.failed();
        if !faultless {
            ledger.non_triviality.failed();
        }
        ledger
    }

    /// The faults have ended.
    pub fn healed(&mut self, now: u64) {
        self.healed_at = Some(now);
        self.look_whether_healed(now);
    }

    /// A node begins to drive a site.
    pub fn driver_found(&mut self, now: u64, site: usize, node: usize) {
        self.drivers[site].insert(node);
        self.look_whether_healed(now);
    }

    /// It drives no longer.
    pub fn driver_gone(&mut self, site: usize, node: usize) {
        self.drivers[site].remove(&node);
        if self.drivers[site].is_empty() {
            self.termination.failed();
        }
    }

    fn look_whether_healed(&mut self, now: u64) {
        if self.healed_at.is_some() && self.drivers.iter().all(|nodes| !nodes.is_empty()) {
            self.termination.healed(now);
        }
    }

    /// A client begins a transaction at these sites.
    pub fn begun(&mut self, txn: Txn, sites: impl Iterator<Item = u64> + Clone) {
        self.validity.begun(txn, sites.clone());
        self.non_triviality.begun(txn, sites);
    }

    /// A site has recorded its vote.
    pub fn voted(&mut self, now: u64, site: usize, txn: Txn, vote: Vote) -> Result<(), Violation> {
        let first = !self.certain.contains(&(txn, site)) && !self.open.contains_key(&(txn, site));
        if vote == Vote::Yes && first {
            self.open.insert((txn, site), Open { since: now, met: Met::Nothing });
            self.termination.involved(now, site as u64, txn);
        }
        self.validity.voted(site as u64, txn, vote)?;
        self.non_triviality.voted(site as u64, txn, vote)
    }

    /// A site has voted Yes and decided in one record.
    pub fn voted_alone(&mut self, site: usize, txn: Txn) -> Result<(), Violation> {
        self.validity.voted(site as u64, txn, Vote::Yes)?;
        self.non_triviality.voted(site as u64, txn, Vote::Yes)
    }

    /// A site has recorded its No, or what amounts to it.
    pub fn refused(&mut self, now: u64, site: usize, txn: Txn) -> Result<(), Violation> {
        self.voted(now, site, txn, Vote::No)
    }

    /// A site has decided as a participant, or is found to have.
    pub fn resolved(&mut self, now: u64, site: usize, txn: Txn, decision: Decision) -> Result<(), Violation> {
        self.termination.decided(site as u64, txn);
        self.certain.insert((txn, site));
        if let Some(Open { since, met }) = self.open.remove(&(txn, site)) {
            self.doubts.ended(met, now - since);
            if let Some(healed_at) = self.healed_at.filter(|at| since < *at) {
                self.doubts.healed_us = self.doubts.healed_us.max(now - healed_at);
            }
        }
        self.decided(site, txn, decision)
    }

    /// A site has decided, as coordinator or participant.
    pub fn decided(&mut self, site: usize, txn: Txn, decision: Decision) -> Result<(), Violation> {
        self.fates.entry(txn).or_insert(decision);
        let site = site as u64;
        self.stability.decided(site, txn, decision)?;
        self.agreement.decided(site, txn, decision)?;
        self.validity.decided(site, txn, decision)?;
        self.non_triviality.decided(site, txn, decision)?;
        self.durable.durable(txn, decision)
    }

    /// A site has carried a transaction out, as this revision.
    pub fn carried_out(&mut self, site: usize, txn: Txn, revision: u64) -> Result<(), Violation> {
        self.revisions.applied(site as u64, txn, revision)
    }

    /// Whoever drives a site goes down.
    pub fn driver_lost(&mut self, site: usize, node: usize) {
        self.driver_gone(site, node);
        for ((txn, at), open) in &mut self.open {
            let met = if *at == site {
                Met::OwnLoss
            } else if txn.coordinator != site as u64 {
                continue;
            } else if self.fates.contains_key(txn) {
                Met::LossAfterDecision
            } else {
                Met::LossBeforeDecision
            };
            open.met = open.met.max(met);
        }
    }

    /// A coordinator has not waited any longer for votes: AC4 excuses what takes too long, say because of locks.
    pub fn timed_out(&mut self) {
        self.non_triviality.failed();
        if self.faultless {
            self.non_triviality.healed();
        }
    }

    /// A client is told what became of it.
    pub fn told(&mut self, client: usize, txn: Txn, decision: Decision) -> Result<(), Violation> {
        self.durable.told(client as u64, txn, decision)
    }

    /// Whether nobody is in doubt for too long.
    pub fn check(&self, now: u64) -> Result<(), Violation> {
        self.termination.check(now)
    }

    /// How many sites are in doubt now, about one transaction each.
    pub fn in_doubt(&self) -> u64 {
        self.termination.open() as u64
    }

    /// Transactions that were committed, and that were aborted.
    pub fn counts(&self) -> (u64, u64) {
        let committed = self.fates.values().filter(|fate| **fate == Decision::Commit).count();
        (committed as u64, (self.fates.len() - committed) as u64)
    }

    /// The verdicts at the end. `state` is what the sites then hold of lists and registers, `accounts` of money.
    pub fn conclude(
        &mut self,
        now: u64,
        state: Found,
        accounts: Vec<i64>,
        total: i64,
    ) -> Result<(), Violation> {
        let (id, count) = (self.history.len() as u64, accounts.len());
        self.history.push(Transaction {
            id,
            process: u64::MAX,
            invoked: now + 1,
            completed: now + 2,
            status: Status::Committed,
            ops: state.into_iter().map(|(key, values)| read(key, &values)).collect(),
        });
        self.balances.push((id, accounts));
        isolation::check(&self.history, Level::Strict)?;
        isolation::fractured::check(&self.history)?;
        bank::check(&self.balances, count, total, Some(0))
    }
}

/// Whether a key is a list; the others are registers, and accounts, which are no part of a history.
pub fn is_list(key: &Bytes) -> bool {
    key.starts_with(b"l")
}

/// What was read of a list or a register, by its versions.
pub fn read(key: Bytes, versions: &[i64]) -> Op {
    let value = |value: &i64| *value as u64;
    if is_list(&key) {
        return Op::List { key, values: versions.iter().map(value).collect() };
    }
    Op::Read {
        key,
        value: versions.last().map(value),
        version: versions.last().map(|_| versions.len() as u64),
    }
}
