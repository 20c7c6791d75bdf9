//! The participant: locks, votes, doubt.
//!
//! `Idle → VotedNo | Prepared → Committed | Aborted`. Its vote is a record, also a No: so a vote once sent is the only
//! one there ever was. After Yes it asks, the coordinator first, then its peers too; a peer that has not voted makes
//! sure that it never will vote Yes, and can then say that it is aborted.

use alloc::vec::Vec;

use crate::contract::Effects;
use crate::ids::{SiteId, TxnId};
use crate::message::{Body, Vote};
use crate::record::{Decision, Protocol, Reason, Record};
use crate::rules::Rules;
use crate::site::{Site, backoff, nothing, send};
use crate::termination::Attempt;
use crate::work::Resource;

/// A transaction that has prepared and is not decided, as its driver sees it.
#[derive(Clone, Debug)]
pub(crate) struct Doubt {
    /// When to do something about it.
    pub(crate) at: u64,
    /// How often something was done.
    pub(crate) asked: u64,
    /// It has driven since it prepared: it did not fail meanwhile.
    pub(crate) steady: bool,
    /// An attempt to end it, which this site leads.
    pub(crate) attempt: Option<Attempt>,
}

impl<S: Resource, R: Rules> Site<S, R> {
    /// The coordinator asks for a vote.
    pub(crate) fn asked_to_prepare(&mut self, txn: TxnId, record: Record, effects: &mut Effects) {
        if self.state.is_stale::<R>(txn) && self.state.is_unvoted(txn) {
            send(effects, txn.coordinator, txn, Body::Vote(Vote::No(Reason::Stale)));
        } else if !self.state.is_unvoted(txn) {
            self.say_vote(txn, effects);
        } else {
            self.acquire(record, effects);
        }
    }

    /// Say how this site voted, or what it knows since.
    pub(crate) fn say_vote(&self, txn: TxnId, effects: &mut Effects) {
        let body = if let Some(prepared) = self.state.prepared.get(&txn) {
            let (ts, holds, answer) = (prepared.ts, prepared.holds, prepared.answer.clone());
            Body::Vote(Vote::Yes { ts, holds, answer })
        } else if let Some(finished) = self.state.finished.get(&txn) {
            match finished.decision {
                Decision::Abort => Body::Vote(Vote::No(finished.reason)),
                commit => Body::Decision(commit),
            }
        } else {
            return;
        };
        send(effects, txn.coordinator, txn, body);
    }

    /// A record about this site's vote was applied.
    pub(crate) fn vote_applied(&mut self, txn: TxnId, effects: &mut Effects) {
        if !self.driving {
            return;
        }
        self.leave_queue(txn);
        if let Some(prepared) = self.state.prepared.get(&txn) {
            let at = self.ticks + self.patience(prepared.protocol, &prepared.participants);
            let doubt = Doubt { at, asked: 0, steady: true, attempt: None };
            self.driver.doubts.entry(txn).or_insert(doubt);
        }
        self.say_vote(txn, effects);
    }

    /// This site knows the decision now, or refused.
    pub(crate) fn resolved(&mut self, txn: TxnId, refused: bool, effects: &mut Effects) {
        if !self.driving {
            return;
        }
        self.leave_queue(txn);
        if self.state.prepared.contains_key(&txn) {
            return;
        }
        self.driver.doubts.remove(&txn);
        let Some(finished) = self.state.finished.get(&txn) else {
            // Committed just now, and already below the floor.
            if self.state.is_stale::<R>(txn) && !refused {
                send(effects, txn.coordinator, txn, Body::Ack { result: nothing() });
            }
            return;
        };
        if refused {
            self.say_vote(txn, effects);
        } else if finished.held {
            send(effects, txn.coordinator, txn, Body::Decision(finished.decision));
        } else if finished.decision != Decision::Abort {
            send(effects, txn.coordinator, txn, Body::Ack { result: finished.result.clone() });
        }
    }

    /// Take up the doubts of who drove before.
    pub(crate) fn resume_doubts(&mut self) {
        for (txn, prepared) in &self.state.prepared {
            let at = self.ticks + self.patience(prepared.protocol, &prepared.participants);
            self.driver.doubts.insert(*txn, Doubt { at, asked: 0, steady: false, attempt: None });
        }
    }

    /// How long to wait before doing something. In three phases what it does may abort what is going well: it waits at
    /// least as long as the coordinator does for others, and participants try in the order of their names.
    pub(crate) fn patience(&self, protocol: Protocol, participants: &[SiteId]) -> u64 {
        let before = participants.iter().filter(|site| **site < self.config.own).count() as u64;
        match protocol {
            Protocol::TwoPhase | Protocol::Parallel => self.config.doubt_ticks,
            Protocol::ThreePhase(_) => {
                self.config.vote_ticks + self.config.doubt_ticks + before * self.config.retry_ticks
            }
        }
    }

    /// The coordinator is at it: then the peers need not be asked.
    pub(crate) fn told_to_wait(&mut self, from: SiteId, txn: TxnId) {
        let two = self.state.prepared.get(&txn).is_some_and(|prepared| !prepared.protocol.has_three());
        if let Some(doubt) = self.driver.doubts.get_mut(&txn)
            && from == txn.coordinator
            && two
        {
            (doubt.asked, doubt.at) = (0, self.ticks + self.config.doubt_ticks);
        }
    }

    /// Do something about what has been in doubt for too long.
    pub(crate) fn doubt(&mut self, effects: &mut Effects) {
        let ticks = self.ticks;
        let due: Vec<TxnId> =
            self.driver.doubts.iter().filter(|(_, doubt)| doubt.at <= ticks).map(|(txn, _)| *txn).collect();
        for txn in due {
            let Some(prepared) = self.state.prepared.get(&txn) else { continue };
            let (protocol, peers) = (prepared.protocol, prepared.participants.clone());
            match protocol {
                Protocol::TwoPhase | Protocol::Parallel if !R::asks_when_in_doubt() => {
                    self.propose(Record::Resolve { txn, decision: Decision::Abort, known: false }, effects);
                }
                Protocol::TwoPhase | Protocol::Parallel => self.ask(txn, &peers, effects),
                Protocol::ThreePhase(termination) => self.terminate(txn, termination, &peers, effects),
            }
        }
    }

    /// Ask the coordinator; from the second time on, the peers too.
    pub(crate) fn ask(&mut self, txn: TxnId, peers: &[SiteId], effects: &mut Effects) {
        let Some(doubt) = self.driver.doubts.get_mut(&txn) else { return };
        doubt.asked += 1;
        doubt.at = self.ticks + backoff(self.config.retry_ticks, doubt.asked);
        send(effects, txn.coordinator, txn, Body::Enquiry);
        let others = |site: &&SiteId| **site != self.config.own && **site != txn.coordinator;
        if doubt.asked > 1 {
            peers.iter().filter(others).for_each(|peer| send(effects, *peer, txn, Body::Enquiry));
        }
    }

    /// A peer asks.
    pub(crate) fn asked(&mut self, from: SiteId, txn: TxnId, effects: &mut Effects) {
        if let Some(finished) = self.state.finished.get(&txn) {
            send(effects, from, txn, Body::Decision(finished.decision));
        } else if self.state.is_unvoted(txn) && !self.state.is_stale::<R>(txn) {
            self.fence(from, txn, effects);
        }
    }

    /// Make sure that this site never votes Yes, and then say so.
    pub(crate) fn fence(&mut self, from: SiteId, txn: TxnId, effects: &mut Effects) {
        self.leave_queue_of_waiting(txn);
        self.propose_for(from, Record::Refuse { txn, reason: Reason::Fenced }, effects);
    }

    /// Somebody says what is decided.
    pub(crate) fn told(&mut self, from: SiteId, txn: TxnId, decision: Decision, effects: &mut Effects) {
        if txn.coordinator == self.config.own {
            self.learn(from, txn, decision, effects);
        }
        if self.state.prepared.contains_key(&txn) {
            let known = from == txn.coordinator;
            self.propose(Record::Resolve { txn, decision, known }, effects);
        } else if from == txn.coordinator {
            self.told_again(txn, decision, effects);
        }
    }

    /// The coordinator says what is decided, of a transaction that is not in doubt here.
    fn told_again(&mut self, txn: TxnId, decision: Decision, effects: &mut Effects) {
        let known = self.state.finished.get(&txn);
        match (decision, known) {
            (Decision::Commit { .. }, Some(finished)) if finished.decision != Decision::Abort => {
                let (result, held) = (finished.result.clone(), finished.held);
                send(effects, txn.coordinator, txn, Body::Ack { result });
                if held && txn.coordinator != self.config.own {
                    self.propose(Record::Forget { txn }, effects);
                }
            }
            (Decision::Commit { .. }, None) if self.state.is_stale::<R>(txn) => {
                send(effects, txn.coordinator, txn, Body::Ack { result: nothing() });
            }
            (Decision::Abort, None) if !self.state.is_stale::<R>(txn) && !self.is_full() => {
                self.leave_queue_of_waiting(txn);
                self.propose(Record::Resolve { txn, decision, known: true }, effects);
            }
            _ if !R::decision_is_final() => {
                self.propose(Record::Resolve { txn, decision, known: true }, effects)
            }
            _ => {}
        }
    }
}
