//! The proposer: begins ballots for a value it wants, and proposes what it may.

use alloc::collections::BTreeSet;
use core::marker::PhantomData;

use quorate_protocol::{Ballot, NodeId};

use crate::quorums::Quorums;
use crate::rules::{Paper, Rules};
use crate::{AfterSave, Message, Proposal};

/// Where a ballot stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase<V> {
    /// None is under way.
    Idle,
    /// Phase 1: who has promised, and the greatest proposal that they report.
    Preparing { promised: BTreeSet<NodeId>, reported: Option<Proposal<V>> },
    /// Phase 2: this is proposed.
    Proposing(V),
}

/// One that wants a value to be chosen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposer<V, R = Paper> {
    node: NodeId,
    wanted: V,
    /// The last round begun: durable, for a ballot begun twice could propose two values.
    round: u64,
    /// The greatest round heard of.
    seen: u64,
    phase: Phase<V>,
    rules: PhantomData<R>,
}

impl<V: Clone, R> Clone for Proposer<V, R> {
    fn clone(&self) -> Self {
        Proposer {
            node: self.node,
            wanted: self.wanted.clone(),
            round: self.round,
            seen: self.seen,
            phase: self.phase.clone(),
            rules: PhantomData,
        }
    }
}

impl<V: Clone + Ord, R: Rules> Proposer<V, R> {
    /// One that wants `wanted`, and has begun rounds up to `round` in its former lives; 0 for none.
    pub fn new(node: NodeId, wanted: V, round: u64) -> Self {
        Proposer { node, wanted, round, seen: round, phase: Phase::Idle, rules: PhantomData }
    }

    /// The last round begun, which must outlive a crash.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// The greatest round heard of: the next ballot is greater.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The ballot last begun.
    pub fn ballot(&self) -> Ballot {
        Ballot { round: self.round, node: self.node }
    }

    /// Begin a ballot greater than any heard of. Nothing if there are no more.
    pub fn begin(&mut self) -> Option<AfterSave<V>> {
        self.round = self.seen.checked_add(1)?;
        self.seen = self.round;
        self.phase = Phase::Preparing { promised: BTreeSet::new(), reported: None };
        Some(AfterSave(Message::Prepare(self.ballot())))
    }

    /// What it makes of a message of an acceptor's: with enough promises, the proposal.
    pub fn receive(
        &mut self,
        from: NodeId,
        message: &Message<V>,
        quorums: &impl Quorums,
    ) -> Option<Message<V>> {
        let own = self.ballot();
        match message {
            Message::Refused { promised } if *promised > own => {
                self.seen = self.seen.max(promised.round);
                self.phase = Phase::Idle;
                None
            }
            Message::Promise { ballot, accepted } if *ballot == own => {
                let Phase::Preparing { promised, reported } = &mut self.phase else { return None };
                promised.insert(from);
                if let Some(other) = accepted.as_ref().filter(|_| R::is_bound_by_reports())
                    && reported.as_ref().is_none_or(|known| {
                        R::outranks((other.ballot, &other.value), (known.ballot, &known.value))
                    })
                {
                    *reported = Some(other.clone());
                }
                if !quorums.elects(|node| promised.contains(&node)) {
                    return None;
                }
                let value = reported.take().map_or_else(|| self.wanted.clone(), |proposal| proposal.value);
                self.phase = Phase::Proposing(value.clone());
                Some(Message::Accept(Proposal { ballot: own, value }))
            }
            _ => None,
        }
    }

    /// What is proposed under the ballot last begun, if it has come to that: to be sent again when it may be lost.
    pub fn proposal(&self) -> Option<Message<V>> {
        match &self.phase {
            Phase::Proposing(value) => {
                Some(Message::Accept(Proposal { ballot: self.ballot(), value: value.clone() }))
            }
            _ => None,
        }
    }
}
