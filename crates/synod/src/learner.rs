//! The learner: finds out what is chosen.

use alloc::collections::{BTreeMap, BTreeSet};

use quorate_protocol::{Ballot, NodeId};

use crate::Message;
use crate::quorums::Quorums;

/// One that is told what was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Learner<V> {
    /// What is proposed under each ballot, and who has accepted it. Acceptances under two ballots do not add up, be they
    /// of the same value: each could be undone.
    accepted: BTreeMap<Ballot, (V, BTreeSet<NodeId>)>,
    chosen: Option<V>,
}

impl<V: Clone> Learner<V> {
    /// One that knows nothing.
    pub fn new() -> Self {
        Learner { accepted: BTreeMap::new(), chosen: None }
    }

    /// What is chosen, as far as it has learned.
    pub fn chosen(&self) -> Option<&V> {
        self.chosen.as_ref()
    }

    /// What it makes of an acceptor's message: the value, if that one chooses it.
    pub fn receive(&mut self, from: NodeId, message: &Message<V>, quorums: &impl Quorums) -> Option<&V> {
        let Message::Accepted(proposal) = message else { return None };
        let new = || (proposal.value.clone(), BTreeSet::new());
        let (value, nodes) = self.accepted.entry(proposal.ballot).or_insert_with(new);
        nodes.insert(from);
        if self.chosen.is_some() || !quorums.chooses(|node| nodes.contains(&node)) {
            return None;
        }
        self.chosen = Some(value.clone());
        self.chosen.as_ref()
    }
}
