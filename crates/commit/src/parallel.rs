//! The parallel form of two phases: one consensus round less before the client is told.
//!
//! Two phases make two things durable one after the other: the votes, then the decision. Here it is made durable
//! *while* the votes are gathered that the transaction is under way, and who takes part ([`Record::Ready`]). Once that and
//! all votes are durable it is committed: each of these is written once, so that anybody who looks will find the same. The
//! driver tells the client at once, and records the decision afterwards. CockroachDB calls it parallel commits; Gray and
//! Lamport's Paxos Commit (2006) saves the same round, each vote being a consensus of its own.
//!
//! The price: the coordinator may not abort of its own will any more. When its time is over, or it takes over from an
//! earlier driver, it asks all for their votes; one that has not voted refuses first, so that it never will; and only
//! with a No is it aborted. While a participant's site is down that may have voted, it waits.

use crate::contract::Effects;
use crate::coordinator::Stage;
use crate::ids::{Ballot, Timestamp, TxnId};
use crate::message::Body;
use crate::record::{Decision, Protocol, Record, Subject};
use crate::rules::Rules;
use crate::site::{Site, send};
use crate::work::Resource;

impl<S: Resource, R: Rules> Site<S, R> {
    /// Make it durable that it is under way. When it commits is not known yet: the votes say.
    pub(crate) fn stage(&mut self, txn: TxnId, effects: &mut Effects) {
        let Some(asked) = self.driver.coordinating.get(&txn) else { return };
        let (protocol, decision) = (asked.protocol, Decision::Commit { ts: Timestamp(0), first: true });
        let participants = asked.works.keys().copied().collect();
        let answers = Default::default();
        self.propose(Record::Ready { txn, protocol, decision, participants, answers }, effects);
    }

    /// That is durable; perhaps the votes were faster.
    pub(crate) fn staged(&mut self, txn: TxnId, effects: &mut Effects) {
        let decides = self.proposes(Subject::decision(txn));
        let Some(asked) = self.driver.coordinating.get_mut(&txn) else { return };
        if asked.protocol != Protocol::Parallel || decides {
            return;
        }
        if asked.stage == Stage::Deciding {
            // It proposed to abort, and that came second: now the votes decide.
            asked.stage = Stage::Asking;
        }
        if asked.votes.len() == asked.works.len() {
            self.all_voted(txn, effects);
        }
    }

    /// Ask those who have not told how they voted. Who has not voted will refuse.
    pub(crate) fn ask_for_votes(&mut self, txn: TxnId, effects: &mut Effects) {
        let Some(asked) = self.driver.coordinating.get_mut(&txn) else { return };
        asked.stage = Stage::Asking;
        let ballot = Ballot::default();
        for to in asked.works.keys().filter(|site| !asked.votes.contains_key(site)) {
            send(effects, *to, txn, Body::Query { ballot });
        }
    }
}
