//! What is durable at a site, and how records change it.
//!
//! Every replica of a site applies the same records in the same order and so holds the same state, to the byte. All of
//! safety is here: what is sent only tells what stands here.
//!
//! Each vote and each decision is a register that is written once: a record that finds it written changes nothing.
//!
//! # Invariants ([`State::check`])
//!
//! 1. Who has prepared holds its locks, nobody else does, and no two of them conflict.
//! 2. Nobody is both prepared and finished; nothing is both ready and decided.
//! 3. What is closed is before every moment at which somebody is prepared; those are all different.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use quorate_protocol::Violation;

use crate::ids::{Age, Ballot, SiteId, Timestamp, TxnId};
use crate::locks::Locks;
use crate::record::{Decision, Protocol, Reason, Record};
use crate::rules::Rules;
use crate::work::{Resource, Span, Work};

/// A participant's Yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction's age.
    pub age: Age,
    /// How it is committed.
    pub protocol: Protocol,
    /// All its participants.
    pub participants: Vec<SiteId>,
    /// What is to be done here.
    pub work: Work,
    /// When it prepared.
    pub ts: Timestamp,
    /// Its compares hold.
    pub holds: bool,
    /// What was read.
    pub answer: Bytes,
    /// The latest attempt it joined.
    pub promised: Ballot,
    /// The latest attempt in which it pre-committed or pre-aborted.
    pub accepted: Option<(Ballot, Decision)>,
}

/// A participant's end of it: it voted No, or knows the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The decision.
    pub decision: Decision,
    /// Why, if it is to abort.
    pub reason: Reason,
    /// What the resource answered.
    pub result: Bytes,
    /// Committed in three phases, by the participants among themselves perhaps: not to be forgotten before the coordinator
    /// has said that it knows.
    pub held: bool,
}

/// A coordinator of three phases that has all votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// How it is committed.
    pub protocol: Protocol,
    /// What it will decide.
    pub decision: Decision,
    /// By whom it is carried out.
    pub participants: Vec<SiteId>,
    /// What they read.
    pub answers: Vec<(SiteId, Bytes)>,
}

/// A coordinator's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Why, if it is to abort.
    pub reason: Reason,
    /// Who must be told.
    pub participants: Vec<SiteId>,
    /// What they read.
    pub answers: Vec<(SiteId, Bytes)>,
}

/// What came of a record: where to look now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// At the participant's vote, or what it knows since.
    Voted(TxnId),
    /// At the locks: one is in the way.
    Clash(TxnId),
    /// At the participant's decision; with the result if it was made just now.
    Resolved(TxnId, Option<(Decision, Bytes)>),
    /// At the attempts it joined.
    Joined(TxnId),
    /// At the coordinator's decision, or its being ready; with the participant's, if it is the same.
    Decided(TxnId, Option<(Decision, Bytes)>),
    /// At the epoch, which is refused.
    Stale(TxnId),
    /// At what must still be told.
    Forgot(TxnId),
    /// At the closed moment, or the floor.
    Moved,
}

/// A site's durable state.
#[derive(Clone, Debug)]
pub struct State<S> {
    pub(crate) resource: S,
    pub(crate) prepared: BTreeMap<TxnId, Prepared>,
    pub(crate) finished: BTreeMap<TxnId, Finished>,
    pub(crate) ready: BTreeMap<TxnId, Ready>,
    pub(crate) verdicts: BTreeMap<TxnId, Verdict>,
    /// Committed, and not all participants are known to know.
    pub(crate) open: BTreeSet<TxnId>,
    /// Follow from `prepared`.
    pub(crate) locks: Locks,
    pub(crate) closed: Timestamp,
    pub(crate) high: Timestamp,
    pub(crate) floor: u64,
}

/// The part of the work that is locked: all of it.
pub(crate) fn locked<R: Rules>(work: &Work) -> Cow<'_, Work> {
    if R::locks_ranges() {
        return Cow::Borrowed(work);
    }
    let mut work = work.clone();
    work.reads.retain(|span| matches!(span, Span::Key(_)));
    Cow::Owned(work)
}

impl<S: Resource> State<S> {
    pub(crate) fn new(resource: S) -> Self {
        State {
            resource,
            prepared: BTreeMap::new(),
            finished: BTreeMap::new(),
            ready: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            open: BTreeSet::new(),
            locks: Locks::new(),
            closed: Timestamp::default(),
            high: Timestamp::default(),
            floor: 0,
        }
    }

    /// Whether a transaction is of an epoch that is refused.
    pub(crate) fn is_stale<R: Rules>(&self, txn: TxnId) -> bool {
        R::refuses_below_floor() && txn.epoch < self.floor
    }

    /// Whether it is unknown here as a participant.
    pub(crate) fn is_unvoted(&self, txn: TxnId) -> bool {
        !self.prepared.contains_key(&txn) && !self.finished.contains_key(&txn)
    }

    /// Apply a record.
    pub(crate) fn apply<R: Rules>(&mut self, record: Record) -> Change {
        match record {
            Record::Prepare { txn, age, protocol, participants, work, ts } => {
                self.prepare::<R>(txn, age, protocol, participants, work, ts)
            }
            Record::Refuse { txn, reason } => {
                if self.is_unvoted(txn) && !self.is_stale::<R>(txn) {
                    let (decision, result) = (Decision::Abort, Bytes::new());
                    self.finished.insert(txn, Finished { decision, reason, result, held: false });
                    return Change::Resolved(txn, Some((Decision::Abort, Bytes::new())));
                }
                Change::Voted(txn)
            }
            Record::Promise { txn, ballot } => self.promise::<R>(txn, ballot),
            Record::Accept { txn, ballot, decision } => self.accept::<R>(txn, ballot, decision),
            Record::Resolve { txn, decision, known } => {
                Change::Resolved(txn, self.resolve::<R>(txn, decision, known))
            }
            Record::Ready { txn, protocol, decision, participants, answers } => {
                if self.verdicts.contains_key(&txn) || self.ready.contains_key(&txn) {
                    return Change::Decided(txn, None);
                }
                if self.is_stale::<R>(txn) {
                    return Change::Stale(txn);
                }
                self.ready.insert(txn, Ready { protocol, decision, participants, answers });
                Change::Decided(txn, None)
            }
            Record::Decide { txn, decision, reason, learnt, participants, answers } => {
                self.decide::<R>(txn, learnt, Verdict { decision, reason, participants, answers })
            }
            Record::Forget { txn } => {
                self.open.remove(&txn);
                if let Some(finished) = self.finished.get_mut(&txn) {
                    finished.held = false;
                }
                self.sweep();
                Change::Forgot(txn)
            }
            Record::Local { txn, work, ts, .. } => self.local::<R>(txn, work, ts),
            Record::Close { ts } => {
                let below = self.prepared.values().map(|prepared| prepared.ts.prev()).min().unwrap_or(ts);
                self.closed = self.closed.max(ts.min(below));
                Change::Moved
            }
            Record::Floor { epoch } => {
                self.floor = self.floor.max(epoch);
                self.sweep();
                Change::Moved
            }
        }
    }

    /// Forget what is below the floor and over.
    fn sweep(&mut self) {
        let (floor, open) = (self.floor, &self.open);
        self.finished.retain(|txn, finished| txn.epoch >= floor || finished.held);
        self.verdicts.retain(|txn, _| txn.epoch >= floor || open.contains(txn));
    }

    /// A participant votes Yes.
    fn prepare<R: Rules>(
        &mut self,
        txn: TxnId,
        age: Age,
        protocol: Protocol,
        participants: Vec<SiteId>,
        work: Work,
        ts: Timestamp,
    ) -> Change {
        if !self.is_unvoted(txn) {
            return Change::Voted(txn);
        }
        if self.is_stale::<R>(txn) {
            return Change::Stale(txn);
        }
        if !self.locks.conflicts(txn, &locked::<R>(&work)).is_empty() {
            return Change::Clash(txn);
        }
        let evaluation = self.resource.evaluate(&work.payload);
        let ts = self.moment::<R>(ts);
        if R::holds_until_decided() {
            self.locks.hold((age, txn), &locked::<R>(&work));
        }
        let (holds, answer) = (evaluation.holds, evaluation.answer);
        let (promised, accepted) = (Ballot::default(), None);
        let prepared = Prepared { age, protocol, participants, work, ts, holds, answer, promised, accepted };
        self.prepared.insert(txn, prepared);
        Change::Voted(txn)
    }

    /// A moment later than all that was closed or committed here, and not before `ts`.
    fn moment<R: Rules>(&mut self, ts: Timestamp) -> Timestamp {
        let ts =
            if R::prepares_above_closed() { ts.max(self.closed.next()).max(self.high.next()) } else { ts };
        self.high = self.high.max(ts);
        ts
    }

    fn promise<R: Rules>(&mut self, txn: TxnId, ballot: Ballot) -> Change {
        if let Some(prepared) = self.prepared.get_mut(&txn)
            && (!R::joins_later_attempts_only() || ballot > prepared.promised)
        {
            prepared.promised = ballot;
        }
        Change::Joined(txn)
    }

    fn accept<R: Rules>(&mut self, txn: TxnId, ballot: Ballot, decision: Decision) -> Change {
        if let Some(prepared) = self.prepared.get_mut(&txn)
            && (!R::joins_later_attempts_only() || ballot >= prepared.promised)
        {
            prepared.promised = ballot;
            prepared.accepted = Some((ballot, decision));
        }
        Change::Joined(txn)
    }

    /// A participant learns the decision; the answer is what was made of it, if this is news.
    fn resolve<R: Rules>(
        &mut self,
        txn: TxnId,
        decision: Decision,
        known: bool,
    ) -> Option<(Decision, Bytes)> {
        if let Some(finished) = self.finished.get_mut(&txn) {
            if !R::decision_is_final() {
                finished.decision = decision;
            }
            return None;
        }
        let prepared = self.prepared.remove(&txn);
        let three = prepared.as_ref().is_some_and(|prepared| prepared.protocol.has_three());
        let held = three && !known && decision != Decision::Abort;
        let result = match (decision, prepared) {
            (Decision::Commit { ts, first }, Some(prepared)) => {
                self.high = self.high.max(ts);
                self.resource.commit(txn, ts, &prepared.work.payload, first)
            }
            (Decision::Commit { .. }, None) => return None,
            (Decision::Abort, None) if self.is_stale::<R>(txn) => return None,
            (Decision::Abort, _) => Bytes::new(),
        };
        self.locks.release(txn);
        if held || txn.epoch >= self.floor {
            let reason = Reason::Decided;
            self.finished.insert(txn, Finished { decision, reason, result: result.clone(), held });
        }
        Some((decision, result))
    }

    /// The coordinator decides, if it has not yet.
    fn decide<R: Rules>(&mut self, txn: TxnId, learnt: bool, verdict: Verdict) -> Change {
        let decided = self.verdicts.contains_key(&txn) && R::decision_is_final();
        let abort = verdict.decision == Decision::Abort;
        if decided || (abort && !learnt && R::third_round_commits() && self.ready.contains_key(&txn)) {
            return Change::Decided(txn, None);
        }
        let ready = self.ready.remove(&txn).is_some();
        if (abort || !ready) && self.is_stale::<R>(txn) {
            return Change::Stale(txn);
        }
        if !abort {
            self.open.insert(txn);
        }
        self.verdicts.insert(txn, verdict);
        Change::Decided(txn, None)
    }

    /// A transaction of this site alone.
    fn local<R: Rules>(&mut self, txn: TxnId, work: Work, ts: Timestamp) -> Change {
        if self.verdicts.contains_key(&txn) {
            return Change::Decided(txn, None);
        }
        if self.is_stale::<R>(txn) {
            return Change::Stale(txn);
        }
        if !self.locks.conflicts(txn, &locked::<R>(&work)).is_empty() {
            return Change::Clash(txn);
        }
        let evaluation = self.resource.evaluate(&work.payload);
        let decision = Decision::Commit { ts: self.moment::<R>(ts), first: evaluation.holds };
        let Decision::Commit { ts, first } = decision else { return Change::Moved };
        let result = self.resource.commit(txn, ts, &work.payload, first);
        let reason = Reason::Decided;
        self.finished.insert(txn, Finished { decision, reason, result: result.clone(), held: false });
        let answers = Vec::from([(txn.coordinator, evaluation.answer)]);
        self.verdicts.insert(txn, Verdict { decision, reason, participants: Vec::new(), answers });
        Change::Decided(txn, Some((decision, result)))
    }

    /// Its invariants.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        let all = |holds: bool, broken| if holds { Ok(()) } else { Err(Violation(broken)) };
        all(self.locks.holders().eq(self.prepared.keys().copied()), "who prepared holds locks, nobody else")?;
        for (txn, prepared) in &self.prepared {
            let conflicts = self.locks.conflicts(*txn, &prepared.work);
            all(conflicts.is_empty(), "no two prepared transactions conflict")?;
            all(!self.finished.contains_key(txn), "nobody is prepared and finished")?;
            all(self.closed < prepared.ts, "the closed moment is before all that is prepared")?;
            all(prepared.ts <= self.high, "no moment is later than the latest")?;
            all(
                prepared.accepted.is_none_or(|(ballot, _)| ballot <= prepared.promised),
                "no attempt is accepted that is later than those joined",
            )?;
        }
        let moments: BTreeSet<Timestamp> = self.prepared.values().map(|prepared| prepared.ts).collect();
        all(moments.len() == self.prepared.len(), "no two prepare at the same moment")?;
        all(!self.ready.keys().any(|txn| self.verdicts.contains_key(txn)), "nothing is ready and decided")?;
        let commits = |txn| self.verdicts.get(txn).is_some_and(|verdict| verdict.decision != Decision::Abort);
        all(self.open.iter().all(commits), "only what is committed must be told until it is known")?;
        let old = |txn: &TxnId| txn.epoch < self.floor;
        let forgotten = !self.finished.iter().any(|(txn, finished)| old(txn) && !finished.held);
        all(forgotten, "nothing finished is below the floor, but for what the coordinator may not know")?;
        all(
            !self.verdicts.keys().any(|txn| old(txn) && !self.open.contains(txn)),
            "nothing told is below the floor",
        )
    }
}
