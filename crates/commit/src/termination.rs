//! Three phases: how participants end a transaction when the coordinator is not heard.
//!
//! | [`Termination`] | an uncertain one | a pre-committed one | what it needs |
//! |---|---|---|---|
//! | `Classical` | aborts | commits | a network that loses nothing, and that silence is death |
//! | `Skeen` | asks all; of those who answer within a time the state of any decides | the same | that silence is death |
//! | `Quorum` | asks all; goes on only with a majority | the same | a majority that can talk |
//!
//! Classical and Skeen's are right where their assumption holds, and are here to be seen failing where it does not.
//!
//! Quorum is Keidar and Dolev's E3PC, in which what makes an attempt safe is the same as in Paxos: who joins an
//! attempt joins no earlier one any more; an attempt takes up what the latest attempt it hears of was for; and two
//! majorities have a member in common. The coordinator's own attempt is the earliest, and for Commit only. One who has
//! not voted refuses when asked, so that there can be no commit.
//!
//! In Skeen's, one that has failed since it voted says so, and counts only if all have answered (BHG §7.5, recovery and
//! total failure).

use alloc::collections::{BTreeMap, BTreeSet};

use crate::contract::Effects;
use crate::ids::{Ballot, SiteId, TxnId};
use crate::message::Body;
use crate::record::{Decision, Protocol, Record, Termination};
use crate::rules::Rules;
use crate::site::{Site, backoff, later, send};
use crate::work::Resource;

/// What a participant answers: its latest attempt, and whether it has failed since it voted.
type Told = (Option<(Ballot, Decision)>, bool);

/// An attempt to end a transaction, which this site leads.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    ballot: Ballot,
    told: BTreeMap<SiteId, Told>,
    /// What it goes for, once it knows.
    goal: Option<Decision>,
    acks: BTreeSet<SiteId>,
}

impl<S: Resource, R: Rules> Site<S, R> {
    /// It has been in doubt for too long.
    pub(crate) fn terminate(
        &mut self,
        txn: TxnId,
        termination: Termination,
        peers: &[SiteId],
        effects: &mut Effects,
    ) {
        let Some(doubt) = self.driver.doubts.get(&txn) else { return };
        let accepted = self.state.prepared.get(&txn).and_then(|prepared| prepared.accepted);
        match termination {
            Termination::Classical if doubt.steady => {
                let decision = accepted.map_or(Decision::Abort, |(_, decision)| decision);
                self.propose(Record::Resolve { txn, decision, known: false }, effects);
            }
            Termination::Classical => self.ask(txn, peers, effects),
            Termination::Skeen if doubt.attempt.as_ref().is_some_and(|attempt| attempt.goal.is_none()) => {
                self.go_by_those_who_answered(txn, peers, effects);
            }
            Termination::Skeen if doubt.attempt.is_some() => self.conclude(txn, peers, effects),
            _ => self.attempt(txn, peers, effects),
        }
    }

    /// Begin an attempt, later than any this site has heard of.
    fn attempt(&mut self, txn: TxnId, peers: &[SiteId], effects: &mut Effects) {
        let Some(prepared) = self.state.prepared.get(&txn) else { return };
        let Some(doubt) = self.driver.doubts.get_mut(&txn) else { return };
        let before = doubt.attempt.as_ref().map_or(prepared.promised, |attempt| attempt.ballot);
        let ballot = later(before.max(prepared.promised), self.config.own);
        doubt.asked += 1;
        // Those with later names wait longer, so that not all try at the same time for ever.
        let rank = peers.iter().filter(|site| **site < self.config.own).count() as u64;
        let spread = rank * self.config.retry_ticks / 2;
        doubt.at = self.ticks + backoff(self.config.retry_ticks, doubt.asked) + spread;
        let mut told = BTreeMap::new();
        if prepared.protocol == Protocol::ThreePhase(Termination::Skeen) {
            told.insert(self.config.own, (prepared.accepted, !doubt.steady));
        }
        doubt.attempt = Some(Attempt { ballot, told, goal: None, acks: BTreeSet::new() });
        peers.iter().for_each(|to| send(effects, *to, txn, Body::Query { ballot }));
        // The coordinator may know, or make sure that it never was ready.
        send(effects, txn.coordinator, txn, Body::Enquiry);
    }

    /// Somebody leads an attempt, and asks this site to join.
    pub(crate) fn queried(&mut self, from: SiteId, txn: TxnId, ballot: Ballot, effects: &mut Effects) {
        if let Some(finished) = self.state.finished.get(&txn) {
            return send(effects, from, txn, Body::Decision(finished.decision));
        }
        let Some(prepared) = self.state.prepared.get(&txn) else {
            if !self.state.is_stale::<R>(txn) {
                self.fence(from, txn, effects);
            } else if ballot.round == 0 && from == txn.coordinator {
                // It asks, so it has not decided; and who forgot was told Abort, or never voted.
                send(effects, from, txn, Body::Decision(Decision::Abort));
            }
            return;
        };
        if prepared.protocol == Protocol::Parallel && from == txn.coordinator {
            return self.say_vote(txn, effects);
        }
        if ballot.site != from || ballot.round == 0 {
            return;
        }
        // Another is at it: give it time.
        let wait = self.ticks + 2 * self.config.retry_ticks;
        if from != self.config.own
            && ballot > prepared.promised
            && let Some(doubt) = self.driver.doubts.get_mut(&txn)
        {
            doubt.at = doubt.at.max(wait);
        }
        match prepared.protocol {
            Protocol::ThreePhase(Termination::Quorum) => {
                if prepared.promised == ballot {
                    self.tell_state(txn, ballot, effects);
                } else if ballot > prepared.promised || !R::joins_later_attempts_only() {
                    self.propose(Record::Promise { txn, ballot }, effects);
                }
            }
            Protocol::ThreePhase(_) => self.tell_state(txn, ballot, effects),
            Protocol::TwoPhase | Protocol::Parallel => {}
        }
    }

    fn tell_state(&self, txn: TxnId, ballot: Ballot, effects: &mut Effects) {
        let Some(prepared) = self.state.prepared.get(&txn) else { return };
        let recovered = self.driver.doubts.get(&txn).is_none_or(|doubt| !doubt.steady);
        let accepted = prepared.accepted;
        send(effects, ballot.site, txn, Body::State { ballot, accepted, recovered });
    }

    /// An attempt was joined, or pre-committed in.
    pub(crate) fn joined(&mut self, txn: TxnId, effects: &mut Effects) {
        let Some(prepared) = self.state.prepared.get(&txn) else { return };
        if !self.driving {
            return;
        }
        let ballot = prepared.promised;
        if prepared.accepted.is_some_and(|(accepted, _)| accepted == ballot) {
            let to = if ballot.round == 0 { txn.coordinator } else { ballot.site };
            send(effects, to, txn, Body::PreAck { ballot });
        } else if ballot.round > 0 {
            self.tell_state(txn, ballot, effects);
        }
    }

    /// Somebody who leads an attempt asks to pre-commit, or to pre-abort.
    pub(crate) fn asked_to_accept(
        &mut self,
        from: SiteId,
        txn: TxnId,
        ballot: Ballot,
        decision: Decision,
        effects: &mut Effects,
    ) {
        if let Some(finished) = self.state.finished.get(&txn) {
            return send(effects, from, txn, Body::Decision(finished.decision));
        }
        let Some(prepared) = self.state.prepared.get(&txn) else {
            // It voted, or nobody would ask. A commit it would remember until the coordinator knows of it.
            if self.state.is_stale::<R>(txn) && from == txn.coordinator {
                send(effects, from, txn, Body::Decision(Decision::Abort));
            }
            return;
        };
        let leads = if ballot.round == 0 { from == txn.coordinator } else { from == ballot.site };
        if !leads || !prepared.protocol.has_three() {
            return;
        }
        if prepared.accepted == Some((ballot, decision)) {
            send(effects, from, txn, Body::PreAck { ballot });
        } else if ballot >= prepared.promised || !R::joins_later_attempts_only() {
            // Only what is news gives the leader more time: one that repeats itself may not hear the answers.
            let wait = self.ticks + self.patience(prepared.protocol, &prepared.participants);
            if let Some(doubt) = self.driver.doubts.get_mut(&txn)
                && from != self.config.own
            {
                doubt.at = doubt.at.max(wait);
            }
            self.propose(Record::Accept { txn, ballot, decision }, effects);
        }
    }

    /// A participant tells its state to who leads an attempt.
    pub(crate) fn state_told(
        &mut self,
        from: SiteId,
        txn: TxnId,
        ballot: Ballot,
        accepted: Option<(Ballot, Decision)>,
        recovered: bool,
        effects: &mut Effects,
    ) {
        let Some(prepared) = self.state.prepared.get(&txn) else { return };
        let (peers, protocol) = (prepared.participants.clone(), prepared.protocol);
        let Some(doubt) = self.driver.doubts.get_mut(&txn) else { return };
        let Some(attempt) = doubt.attempt.as_mut().filter(|attempt| attempt.ballot == ballot) else { return };
        if attempt.goal.is_some() || !peers.contains(&from) {
            return;
        }
        attempt.told.insert(from, (accepted, recovered));
        let (have, all) = (attempt.told.len(), peers.len());
        match protocol {
            Protocol::ThreePhase(Termination::Quorum) if have > all / 2 => {
                let latest = attempt.told.values().filter_map(|(accepted, _)| *accepted);
                let latest = latest.max_by_key(|(ballot, _)| *ballot).map(|(_, decision)| decision);
                let goal = latest.filter(|_| R::takes_up_latest_attempt()).unwrap_or(Decision::Abort);
                attempt.goal = Some(goal);
                let body = Body::PreCommit { ballot, decision: goal };
                peers.iter().for_each(|to| send(effects, *to, txn, body.clone()));
            }
            Protocol::ThreePhase(Termination::Skeen) if have == all => {
                self.go_by_those_who_answered(txn, &peers, effects);
            }
            _ => {}
        }
    }

    /// Skeen's rule: one pre-committed, commit, after all have pre-committed; all uncertain, abort.
    fn go_by_those_who_answered(&mut self, txn: TxnId, peers: &[SiteId], effects: &mut Effects) {
        let Some(doubt) = self.driver.doubts.get_mut(&txn) else { return };
        let steady = doubt.steady;
        let Some(attempt) = doubt.attempt.as_mut() else { return };
        let all = attempt.told.len() == peers.len();
        if !steady && !all {
            return self.attempt(txn, peers, effects);
        }
        let counts = |(_, recovered): &&Told| all || !recovered;
        let committing = attempt.told.values().filter(counts).find_map(|(accepted, _)| *accepted);
        let goal = committing.map_or(Decision::Abort, |(_, decision)| decision);
        attempt.goal = Some(goal);
        let ballot = attempt.ballot;
        doubt.at = self.ticks + self.config.retry_ticks;
        if goal == Decision::Abort {
            return self.conclude(txn, peers, effects);
        }
        let body = Body::PreCommit { ballot, decision: goal };
        peers.iter().for_each(|to| send(effects, *to, txn, body.clone()));
    }

    /// The attempt has done what it could: its goal is the decision.
    fn conclude(&mut self, txn: TxnId, peers: &[SiteId], effects: &mut Effects) {
        let Some(doubt) = self.driver.doubts.get_mut(&txn) else { return };
        let Some(goal) = doubt.attempt.as_ref().and_then(|attempt| attempt.goal) else { return };
        doubt.at = self.ticks + self.config.doubt_ticks;
        let coordinator = Some(txn.coordinator).filter(|site| !peers.contains(site));
        for to in peers.iter().copied().chain(coordinator) {
            send(effects, to, txn, Body::Decision(goal));
        }
    }

    /// A participant has pre-committed, or pre-aborted.
    pub(crate) fn accepted(&mut self, from: SiteId, txn: TxnId, ballot: Ballot, effects: &mut Effects) {
        if ballot.round == 0 {
            if txn.coordinator == self.config.own {
                self.pre_committed(from, txn, effects);
            }
            return;
        }
        let Some(prepared) = self.state.prepared.get(&txn) else { return };
        let (peers, protocol) = (prepared.participants.clone(), prepared.protocol);
        let Some(doubt) = self.driver.doubts.get_mut(&txn) else { return };
        let Some(attempt) = doubt.attempt.as_mut().filter(|attempt| attempt.ballot == ballot) else { return };
        if attempt.goal.is_none() || !peers.contains(&from) {
            return;
        }
        attempt.acks.insert(from);
        let (have, all) = (attempt.acks.len(), peers.len());
        let quorum = protocol == Protocol::ThreePhase(Termination::Quorum);
        if have == all || (quorum && have > all / 2) {
            self.conclude(txn, &peers, effects);
        }
    }
}
