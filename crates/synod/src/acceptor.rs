//! The acceptor: all of Paxos' memory.

use core::marker::PhantomData;

use quorate_protocol::Ballot;

use crate::rules::{Paper, Rules};
use crate::{AfterSave, Message, Proposal};

/// What it has promised and accepted: durable as a whole, before anything that follows from it is said.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acceptor<V, R = Paper> {
    promised: Ballot,
    accepted: Option<Proposal<V>>,
    rules: PhantomData<R>,
}

impl<V: Clone, R> Clone for Acceptor<V, R> {
    fn clone(&self) -> Self {
        Acceptor { promised: self.promised, accepted: self.accepted.clone(), rules: PhantomData }
    }
}

impl<V, R> Default for Acceptor<V, R> {
    fn default() -> Self {
        Acceptor { promised: Ballot::default(), accepted: None, rules: PhantomData }
    }
}

impl<V: Clone, R: Rules> Acceptor<V, R> {
    /// One that has never run.
    pub fn new() -> Self {
        Self::default()
    }

    /// The greatest ballot promised.
    pub fn promised(&self) -> Ballot {
        self.promised
    }

    /// What was accepted last, which is what was accepted under the greatest ballot.
    pub fn accepted(&self) -> Option<&Proposal<V>> {
        self.accepted.as_ref()
    }

    /// What it makes of a message. A prepare of the ballot already promised is answered again: its answer may have been lost.
    pub fn receive(&mut self, message: &Message<V>) -> Option<AfterSave<V>> {
        match message {
            Message::Prepare(ballot) => {
                if *ballot != self.promised && !R::may_promise(self.promised, *ballot) {
                    return Some(self.refuse());
                }
                self.promised = self.promised.max(*ballot);
                Some(AfterSave(Message::Promise { ballot: *ballot, accepted: self.accepted.clone() }))
            }
            Message::Accept(proposal) => {
                if !R::may_accept(self.promised, proposal.ballot) {
                    return Some(self.refuse());
                }
                self.promised = self.promised.max(proposal.ballot);
                self.accepted = Some(proposal.clone());
                Some(AfterSave(Message::Accepted(proposal.clone())))
            }
            _ => None,
        }
    }

    fn refuse(&self) -> AfterSave<V> {
        AfterSave(Message::Refused { promised: self.promised })
    }
}
