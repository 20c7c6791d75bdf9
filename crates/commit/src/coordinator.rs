//! The coordinator: votes, the decision, and telling it until everybody knows.
//!
//! `Init → Preparing → Deciding → Committed | Aborted → Notifying → Forgotten`. Before the decision nothing is durable: who drives
//! next knows nothing of the transaction, and whoever asks it is told Abort, once that is durable. Three phases have
//! one more step, in which it is `Ready`: that is durable, for from then on others may commit without it.
//!
//! An abort needs no acknowledgement (presumed abort): who does not hear of it will ask.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::contract::{Effect, Effects, Outcome, Refusal};
use crate::ids::{Age, Ballot, SiteId, Timestamp, TxnId};
use crate::message::{Body, Vote};
use crate::record::{Decision, Protocol, Reason, Record, Termination};
use crate::rules::Rules;
use crate::site::{Site, backoff, send};
use crate::state::Verdict;
use crate::work::{OPERATIONS, PARTICIPANTS, Resource, Work};

/// A Yes: when, whether the compares hold, what was read.
type Yes = (Timestamp, bool, Bytes);

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Votes are missing.
    Preparing,
    /// A record that decides it is proposed, or, in three phases, one that it is ready.
    Deciding,
    /// Three phases: it is ready, and acknowledgements are missing.
    PreCommitting,
    /// In parallel: it asks how those have voted who have not told.
    Asking,
}

/// A transaction on its way to a decision.
#[derive(Clone, Debug)]
pub(crate) struct Coordinating {
    pub(crate) age: Age,
    pub(crate) protocol: Protocol,
    /// What is to be done; of a transaction taken over from an earlier driver only the sites are known.
    pub(crate) works: BTreeMap<SiteId, Work>,
    pub(crate) ts: Timestamp,
    pub(crate) votes: BTreeMap<SiteId, Yes>,
    /// Who has pre-committed.
    pub(crate) acks: BTreeSet<SiteId>,
    pub(crate) stage: Stage,
    /// A client waits for it here.
    pub(crate) client: bool,
    /// It has been told: in parallel that is before the decision's record is durable.
    pub(crate) told: bool,
    pub(crate) at: u64,
    pub(crate) tries: u64,
    pub(crate) deadline: u64,
}

impl Coordinating {
    /// It is done here alone, and takes no messages.
    fn is_local(&self, own: SiteId) -> bool {
        self.works.len() == 1 && self.works.contains_key(&own)
    }
}

/// A committed transaction that not all participants are known to know of.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    left: BTreeSet<SiteId>,
    results: Vec<(SiteId, Bytes)>,
    client: bool,
    at: u64,
    tries: u64,
}

impl<S: Resource, R: Rules> Site<S, R> {
    /// A client begins, or asks again.
    pub(crate) fn begin(
        &mut self,
        txn: TxnId,
        age: Age,
        protocol: Protocol,
        works: Vec<(SiteId, Work)>,
        effects: &mut Effects,
    ) {
        if let Some(verdict) = self.state.verdicts.get(&txn)
            && self.driving
        {
            return effects.push(Effect::Outcome { txn, outcome: outcome(verdict) });
        }
        if let Some(coordinating) = self.driver.coordinating.get_mut(&txn) {
            coordinating.client = true;
            return;
        }
        if let Some(why) = self.refuses(txn, &works) {
            return effects.push(Effect::Outcome { txn, outcome: Outcome::Refused(why) });
        }
        let coordinating = Coordinating {
            age,
            protocol,
            works: works.into_iter().collect(),
            ts: self.now,
            votes: BTreeMap::new(),
            acks: BTreeSet::new(),
            stage: Stage::Preparing,
            client: true,
            told: false,
            at: self.ticks + self.config.retry_ticks,
            tries: 0,
            deadline: self.ticks + self.config.vote_ticks,
        };
        let local =
            coordinating.is_local(self.config.own).then(|| coordinating.works[&self.config.own].clone());
        self.driver.coordinating.insert(txn, coordinating);
        match local {
            Some(work) => self.acquire(Record::Local { txn, age, work, ts: self.now }, effects),
            None => {
                self.send_prepares(txn, effects);
                if protocol == Protocol::Parallel {
                    self.stage(txn, effects);
                }
            }
        }
    }

    /// Why not to begin this.
    fn refuses(&self, txn: TxnId, works: &[(SiteId, Work)]) -> Option<Refusal> {
        let sites: BTreeSet<SiteId> = works.iter().map(|(site, _)| *site).collect();
        let operations: usize = works.iter().map(|(_, work)| work.operations()).sum();
        let malformed = sites.len() != works.len()
            || sites.is_empty()
            || sites.len() > PARTICIPANTS
            || operations > OPERATIONS;
        if !self.driving {
            Some(Refusal::NotDriving)
        } else if txn.coordinator != self.config.own {
            Some(Refusal::NotCoordinator)
        } else if self.state.is_stale::<R>(txn) {
            Some(Refusal::Stale)
        } else if malformed {
            Some(Refusal::Malformed)
        } else if self.driver.coordinating.len() >= self.config.max_coordinating {
            Some(Refusal::Overloaded)
        } else {
            None
        }
    }

    /// Ask whoever has not voted.
    pub(crate) fn send_prepares(&self, txn: TxnId, effects: &mut Effects) {
        let Some(asked) = self.driver.coordinating.get(&txn) else { return };
        let participants: Vec<SiteId> = asked.works.keys().copied().collect();
        for (to, work) in asked.works.iter().filter(|(site, _)| !asked.votes.contains_key(site)) {
            let body = Body::Prepare {
                age: asked.age,
                protocol: asked.protocol,
                participants: participants.clone(),
                work: work.clone(),
                ts: asked.ts,
            };
            send(effects, *to, txn, body);
        }
    }

    /// A vote has come.
    pub(crate) fn voted(&mut self, from: SiteId, txn: TxnId, vote: Vote, effects: &mut Effects) {
        if txn.coordinator != self.config.own {
            return;
        }
        if let Some(verdict) = self.state.verdicts.get(&txn) {
            // It votes once more because it has not heard.
            if matches!(vote, Vote::Yes { .. }) {
                send(effects, from, txn, Body::Decision(verdict.decision));
            }
            return;
        }
        let Some(asked) = self.driver.coordinating.get_mut(&txn) else { return };
        let open = matches!(asked.stage, Stage::Preparing | Stage::Asking);
        if !open || !asked.works.contains_key(&from) {
            return;
        }
        match vote {
            Vote::No(reason) => {
                let learnt = asked.protocol == Protocol::Parallel;
                self.abort(txn, reason, learnt, effects);
            }
            Vote::Yes { ts, holds, answer } => {
                asked.votes.insert(from, (ts, holds, answer));
                let missing = asked.works.len() - asked.votes.len();
                if missing == 0 || (!R::needs_all_votes() && missing == 1) {
                    self.all_voted(txn, effects);
                }
            }
        }
    }

    /// Everybody has voted Yes.
    pub(crate) fn all_voted(&mut self, txn: TxnId, effects: &mut Effects) {
        let staged = self.state.ready.contains_key(&txn) || !R::tells_once_staged();
        let Some(asked) = self.driver.coordinating.get_mut(&txn) else { return };
        if asked.protocol == Protocol::Parallel && (!staged || asked.votes.len() < asked.works.len()) {
            return;
        }
        asked.stage = Stage::Deciding;
        let moments = asked.votes.values().map(|(ts, ..)| *ts);
        let ts = if R::commits_at_latest() { moments.max() } else { moments.min() }.unwrap_or_default();
        let first = asked.votes.values().all(|(_, holds, _)| *holds);
        let decision = Decision::Commit { ts, first };
        let participants: Vec<SiteId> = asked.works.keys().copied().collect();
        let answers: Vec<(SiteId, Bytes)> =
            asked.votes.iter().map(|(site, (.., answer))| (*site, answer.clone())).collect();
        match asked.protocol {
            Protocol::Parallel | Protocol::TwoPhase => {
                if asked.protocol == Protocol::Parallel && asked.client {
                    asked.told = true;
                    let outcome = Outcome::Committed { ts, first, answers: answers.clone() };
                    effects.push(Effect::Outcome { txn, outcome });
                }
                if !R::decides_before_telling() {
                    participants.iter().for_each(|to| send(effects, *to, txn, Body::Decision(decision)));
                }
                let (reason, learnt) = (Reason::Decided, false);
                let decide = Record::Decide { txn, decision, reason, learnt, participants, answers };
                self.propose(decide, effects);
            }
            protocol => {
                self.propose(Record::Ready { txn, protocol, decision, participants, answers }, effects);
            }
        }
    }

    /// Decide to abort.
    pub(crate) fn abort(&mut self, txn: TxnId, reason: Reason, learnt: bool, effects: &mut Effects) {
        let Some(asked) = self.driver.coordinating.get_mut(&txn) else { return };
        asked.stage = Stage::Deciding;
        let participants = asked.works.keys().copied().collect();
        let (decision, answers) = (Decision::Abort, Vec::new());
        self.propose(Record::Decide { txn, decision, reason, learnt, participants, answers }, effects);
    }

    /// Three phases: decide as it was ready to.
    fn decide_ready(&mut self, txn: TxnId, effects: &mut Effects) {
        let Some(ready) = self.state.ready.get(&txn) else { return };
        let decision = if R::third_round_commits() { ready.decision } else { Decision::Abort };
        let (participants, answers) = (ready.participants.clone(), ready.answers.clone());
        let (reason, learnt) = (Reason::Timeout, false);
        self.propose(Record::Decide { txn, decision, reason, learnt, participants, answers }, effects);
    }

    /// A record about the decision was applied here: look at what stands.
    pub(crate) fn decided(&mut self, txn: TxnId, made: Option<(Decision, Bytes)>, effects: &mut Effects) {
        if let Some((decision, result)) = made.clone() {
            effects.push(Effect::Resolved { txn, decision, result });
        }
        if !self.driving {
            return;
        }
        if self.state.ready.contains_key(&txn) {
            self.resume_ready();
            self.staged(txn, effects);
            return self.pre_commit(txn, effects);
        }
        let Some(verdict) = self.state.verdicts.get(&txn).cloned() else { return };
        self.leave_queue(txn);
        let asked = self.driver.coordinating.remove(&txn);
        let client = asked.as_ref().is_some_and(|asked| asked.client);
        let mut tell: BTreeSet<SiteId> = verdict.participants.iter().copied().collect();
        tell.extend(asked.iter().flat_map(|asked| asked.works.keys()).copied());
        if self.state.open.contains(&txn) && !self.driver.telling.contains_key(&txn) {
            let at = self.ticks + self.config.retry_ticks;
            let left = verdict.participants.iter().copied().collect();
            self.driver.telling.insert(txn, Telling { left, results: Vec::new(), client, at, tries: 0 });
        }
        let local = asked.as_ref().is_some_and(|asked| asked.is_local(self.config.own));
        if asked.is_some() && !local {
            tell.iter().for_each(|to| send(effects, *to, txn, Body::Decision(verdict.decision)));
        }
        if client && !asked.as_ref().is_some_and(|asked| asked.told) {
            effects.push(Effect::Outcome { txn, outcome: outcome(&verdict) });
        }
        if let Some((_, result)) = made
            && client
        {
            effects.push(Effect::Settled { txn, results: Vec::from([(self.config.own, result)]) });
        }
    }

    /// Its epoch fell below the floor on the way: nothing can commit it any more.
    pub(crate) fn found_stale(&mut self, txn: TxnId, effects: &mut Effects) {
        if !self.driving || self.state.ready.contains_key(&txn) {
            return;
        }
        self.leave_queue(txn);
        let Some(asked) = self.driver.coordinating.remove(&txn) else {
            return send(effects, txn.coordinator, txn, Body::Vote(Vote::No(Reason::Stale)));
        };
        asked.works.keys().for_each(|to| send(effects, *to, txn, Body::Decision(Decision::Abort)));
        if asked.client {
            effects.push(Effect::Outcome { txn, outcome: Outcome::Aborted(Reason::Stale) });
        }
    }

    /// Somebody asks about a transaction of this site.
    pub(crate) fn enquired(&mut self, from: SiteId, txn: TxnId, effects: &mut Effects) {
        if let Some(verdict) = self.state.verdicts.get(&txn) {
            return send(effects, from, txn, Body::Decision(verdict.decision));
        }
        if self.state.ready.contains_key(&txn) || self.driver.coordinating.contains_key(&txn) {
            return send(effects, from, txn, Body::Wait);
        }
        if self.state.is_stale::<R>(txn) || !R::fences_before_answering() {
            send(effects, from, txn, Body::Decision(Decision::Abort));
        }
        if !self.state.is_stale::<R>(txn) {
            let (decision, reason, learnt) = (Decision::Abort, Reason::Fenced, false);
            let (participants, answers) = (Vec::new(), Vec::new());
            let fence = Record::Decide { txn, decision, reason, learnt, participants, answers };
            self.propose_for(from, fence, effects);
        }
    }

    /// Three phases: a participant knows the decision, because the participants have ended it among themselves.
    pub(crate) fn learn(&mut self, from: SiteId, txn: TxnId, decision: Decision, effects: &mut Effects) {
        let asked = self.driver.coordinating.get(&txn);
        let ready = self.state.ready.get(&txn);
        let takes_part = asked.is_some_and(|asked| asked.works.contains_key(&from))
            || ready.is_some_and(|ready| ready.participants.contains(&from));
        let three = |protocol: Protocol| protocol != Protocol::TwoPhase;
        if !takes_part || !asked.is_some_and(|asked| three(asked.protocol)) {
            return;
        }
        let answers = ready.map_or(Vec::new(), |ready| ready.answers.clone());
        let participants = asked.map_or(Vec::new(), |asked| asked.works.keys().copied().collect());
        let (reason, learnt) = (Reason::Decided, true);
        self.propose(Record::Decide { txn, decision, reason, learnt, participants, answers }, effects);
    }

    /// Do what is due of what is not decided.
    pub(crate) fn coordinate(&mut self, effects: &mut Effects) {
        let (ticks, own) = (self.ticks, self.config.own);
        let mut due = Vec::new();
        for (txn, asked) in &mut self.driver.coordinating {
            if asked.at <= ticks {
                asked.tries += 1;
                asked.at = ticks + backoff(self.config.retry_ticks, asked.tries);
                if asked.deadline > ticks {
                    asked.at = asked.at.min(asked.deadline);
                }
                due.push((*txn, asked.deadline <= ticks, asked.is_local(own), asked.stage, asked.protocol));
            }
        }
        for (txn, late, local, stage, protocol) in due {
            match (stage, late) {
                (Stage::PreCommitting, true)
                    if protocol != Protocol::ThreePhase(Termination::Quorum) || !R::third_round_commits() =>
                {
                    self.decide_ready(txn, effects);
                }
                (Stage::PreCommitting, _) => self.pre_commit(txn, effects),
                (Stage::Deciding, _) => {}
                (Stage::Asking, true) if !R::staged_waits_for_a_no() => {
                    self.abort(txn, Reason::Timeout, true, effects);
                }
                (Stage::Asking, _) => self.ask_for_votes(txn, effects),
                (Stage::Preparing, true) if self.state.ready.contains_key(&txn) => {
                    self.ask_for_votes(txn, effects);
                }
                (Stage::Preparing, true) => self.abort(txn, Reason::Timeout, false, effects),
                (Stage::Preparing, false) if local => {}
                (Stage::Preparing, false) => self.send_prepares(txn, effects),
            }
        }
    }

    /// Three phases: ask those who have not to pre-commit.
    fn pre_commit(&mut self, txn: TxnId, effects: &mut Effects) {
        let Some(ready) = self.state.ready.get(&txn).filter(|ready| ready.protocol.has_three()) else {
            return;
        };
        let Some(asked) = self.driver.coordinating.get_mut(&txn) else { return };
        if asked.stage != Stage::PreCommitting {
            asked.stage = Stage::PreCommitting;
            asked.at = self.ticks + self.config.retry_ticks;
            (asked.tries, asked.deadline) = (0, self.ticks + self.config.vote_ticks);
        }
        let (ballot, decision) = (Ballot::default(), ready.decision);
        for to in asked.works.keys().filter(|site| !asked.acks.contains(site)) {
            send(effects, *to, txn, Body::PreCommit { ballot, decision });
        }
    }

    /// Take over what an earlier driver was ready to commit, or a record of its that is applied only now.
    pub(crate) fn resume_ready(&mut self) {
        for (txn, ready) in &self.state.ready {
            let asked = Coordinating {
                age: Age::default(),
                protocol: ready.protocol,
                works: ready.participants.iter().map(|site| (*site, Work::default())).collect(),
                ts: Timestamp::default(),
                votes: BTreeMap::new(),
                acks: BTreeSet::new(),
                stage: if ready.protocol.has_three() { Stage::PreCommitting } else { Stage::Asking },
                client: false,
                told: false,
                at: self.ticks,
                tries: 0,
                deadline: self.ticks + self.config.vote_ticks,
            };
            self.driver.coordinating.entry(*txn).or_insert(asked);
        }
    }

    /// Three phases: a participant has pre-committed, as the coordinator asked.
    pub(crate) fn pre_committed(&mut self, from: SiteId, txn: TxnId, effects: &mut Effects) {
        let Some(ready) = self.state.ready.get(&txn) else { return };
        let Some(asked) = self.driver.coordinating.get_mut(&txn) else { return };
        if !ready.participants.contains(&from) {
            return;
        }
        asked.acks.insert(from);
        let (all, have) = (ready.participants.len(), asked.acks.len());
        let quorum = ready.protocol == Protocol::ThreePhase(Termination::Quorum);
        if have == all || (quorum && have > all / 2) {
            let (decision, reason, learnt) = (ready.decision, Reason::Decided, false);
            let (participants, answers) = (ready.participants.clone(), ready.answers.clone());
            self.propose(Record::Decide { txn, decision, reason, learnt, participants, answers }, effects);
        }
    }

    /// A participant has carried it out.
    pub(crate) fn acked(&mut self, from: SiteId, txn: TxnId, result: Bytes, effects: &mut Effects) {
        let Some(telling) = self.driver.telling.get_mut(&txn) else { return };
        if !telling.left.remove(&from) {
            return;
        }
        telling.results.push((from, result));
        if telling.left.is_empty() {
            let mut results = core::mem::take(&mut telling.results);
            results.sort();
            if telling.client {
                effects.push(Effect::Settled { txn, results });
            }
            self.propose(Record::Forget { txn }, effects);
        }
    }

    /// Take up telling where an earlier driver left it.
    pub(crate) fn resume_telling(&mut self) {
        for txn in &self.state.open {
            let participants = self.state.verdicts.get(txn).map(|verdict| verdict.participants.clone());
            let left = participants.unwrap_or_default().into_iter().collect();
            let (results, client, at, tries) = (Vec::new(), false, self.ticks, 0);
            self.driver.telling.insert(*txn, Telling { left, results, client, at, tries });
        }
    }

    /// Tell those again who have not said that they know.
    pub(crate) fn tell_again(&mut self, effects: &mut Effects) {
        for (txn, telling) in &mut self.driver.telling {
            let Some(verdict) = self.state.verdicts.get(txn) else { continue };
            if telling.at > self.ticks {
                continue;
            }
            telling.tries += 1;
            telling.at = self.ticks + backoff(self.config.retry_ticks, telling.tries);
            telling.left.iter().for_each(|to| send(effects, *to, *txn, Body::Decision(verdict.decision)));
        }
    }
}

/// What a client is told.
fn outcome(verdict: &Verdict) -> Outcome {
    match verdict.decision {
        Decision::Commit { ts, first } => Outcome::Committed { ts, first, answers: verdict.answers.clone() },
        Decision::Abort => Outcome::Aborted(verdict.reason),
    }
}
