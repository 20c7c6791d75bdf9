//! Who is in a group, and how that changes.
//!
//! A [`Membership`] names the voters and the learners. While it changes it is *joint*: the voters of the old
//! and of the new configuration each form a quorum of their own, and nothing is decided without both (Raft
//! §6; dissertation §4.3). A joint membership is entered by one entry of the log and left by another, and each takes effect
//! when it is *appended*, committed or not; so a log that is cut back takes the membership back with it, which is what
//! [`Memberships`] remembers.
//!
//! All protocols here share this: one change at a time, begun only when an entry of the present leadership is
//! committed (etcd issue 12359 and the erratum to Raft's single-server changes show why both matter).
//!
//! # Invariants
//!
//! 1. No node is both a voter of the configuration aimed at and a learner. (An outgoing voter may be a learner.)
//! 2. The memberships remembered ascend by index, and the first is the one that everything else builds on.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::codec::{Decode, Encode, Malformed, Reader, Writer};
use crate::ids::{Index, NodeId};
use crate::quorum::Voters;

/// The voters and learners of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    voters: Voters,
    /// The voters of the configuration being left; empty unless joint.
    outgoing: Voters,
    learners: BTreeSet<NodeId>,
    /// How many voters accept a value; 0 for a majority, which is all that Raft and Zab know.
    write_quorum: u32,
    /// The same of the configuration being left.
    outgoing_write_quorum: u32,
}

impl Membership {
    /// A settled membership. Who votes is no learner.
    pub fn new(voters: impl IntoIterator<Item = NodeId>, learners: impl IntoIterator<Item = NodeId>) -> Self {
        let voters = Voters::new(voters.into_iter().collect());
        let learners = learners.into_iter().filter(|node| !voters.contains(*node)).collect();
        Membership { voters, learners, ..Membership::default() }
    }

    /// The same, with so many voters to accept a value, and as many to elect a leader as are then needed; 0 for a
    /// majority of both.
    pub fn with_write_quorum(self, write_quorum: u32) -> Self {
        Membership { write_quorum, ..self }
    }

    /// How many voters accept a value; 0 for a majority.
    pub fn write_quorum(&self) -> u32 {
        self.write_quorum
    }

    /// The membership on the way from this settled one to `target`.
    pub fn towards(&self, target: &Membership) -> Membership {
        Membership {
            outgoing: self.voters.clone(),
            outgoing_write_quorum: self.write_quorum,
            ..target.clone()
        }
    }

    /// The membership that a joint one is on the way to.
    pub fn settled(&self) -> Membership {
        Membership { outgoing: Voters::default(), outgoing_write_quorum: 0, ..self.clone() }
    }

    /// Whether two configurations must agree.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Nothing is known: what a node has that waits to be told whom it belongs to.
    pub fn is_unknown(&self) -> bool {
        self.voters.is_empty() && self.learners.is_empty()
    }

    /// The voters of the configuration that is or will be.
    pub fn voters(&self) -> &Voters {
        &self.voters
    }

    /// The voters of the configuration being left; empty unless joint.
    pub fn outgoing(&self) -> &Voters {
        &self.outgoing
    }

    /// The learners.
    pub fn learners(&self) -> &BTreeSet<NodeId> {
        &self.learners
    }

    /// Whether a node's vote counts, in either configuration.
    pub fn votes(&self, node: NodeId) -> bool {
        self.voters.contains(node) || self.outgoing.contains(node)
    }

    /// Whether a node is voter or learner.
    pub fn contains(&self, node: NodeId) -> bool {
        self.votes(node) || self.learners.contains(&node)
    }

    /// Everybody, ascending.
    pub fn nodes(&self) -> BTreeSet<NodeId> {
        let voters = self.voters.nodes().iter().chain(self.outgoing.nodes());
        voters.copied().chain(self.learners.iter().copied()).collect()
    }

    /// Whether those for which `holds` make a quorum of each configuration.
    pub fn any_quorum(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        self.voters.any_quorum(&holds) && (self.outgoing.is_empty() || self.outgoing.any_quorum(&holds))
    }

    /// Whether those for which `holds` may choose a value: enough of each configuration.
    pub fn chooses(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        let enough = |voters: &Voters, write| voters.any_of(voters.write_quorum(write), &holds);
        enough(&self.voters, self.write_quorum)
            && (self.outgoing.is_empty() || enough(&self.outgoing, self.outgoing_write_quorum))
    }

    /// Whether those for which `holds` may elect a leader: in each configuration they meet everybody who may choose.
    pub fn elects(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        let enough = |voters: &Voters, write| voters.any_of(voters.election_quorum(write), &holds);
        enough(&self.voters, self.write_quorum)
            && (self.outgoing.is_empty() || enough(&self.outgoing, self.outgoing_write_quorum))
    }

    /// The largest value that a quorum of each configuration has reached; nothing if nobody votes.
    pub fn reached<T: Ord>(&self, value: impl Fn(NodeId) -> T) -> Option<T> {
        let new = self.voters.reached(&value)?;
        match self.outgoing.reached(&value) {
            Some(old) => Some(new.min(old)),
            None => Some(new),
        }
    }

    /// As the content of an entry of kind [`Config`](crate::EntryKind::Config).
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Writer::new();
        self.encode(&mut out);
        out.into_bytes()
    }

    /// The content of such an entry.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Malformed> {
        Reader::whole(bytes)
    }
}

impl Encode for Membership {
    fn encode(&self, out: &mut Writer) {
        out.list(self.voters.nodes());
        out.list(self.outgoing.nodes());
        let learners: Vec<NodeId> = self.learners.iter().copied().collect();
        out.list(&learners);
        out.u32(self.write_quorum);
        out.u32(self.outgoing_write_quorum);
    }
}

impl Decode for Membership {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let voters = Voters::new(input.list()?);
        let outgoing = Voters::new(input.list()?);
        let learners: Vec<NodeId> = input.list()?;
        let learners: BTreeSet<NodeId> = learners.into_iter().collect();
        let (write_quorum, outgoing_write_quorum) = (input.u32()?, input.u32()?);
        match learners.iter().any(|node| voters.contains(*node)) {
            true => Err(Malformed("membership: a voter is a learner")),
            false => Ok(Membership { voters, outgoing, learners, write_quorum, outgoing_write_quorum }),
        }
    }
}

/// The memberships along a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memberships {
    /// What holds where the log begins.
    base: Membership,
    /// The memberships its entries bring, each from its index on.
    later: VecDeque<(Index, Membership)>,
}

impl Memberships {
    /// Of a log without an entry that changes it.
    pub fn new(base: Membership) -> Self {
        Memberships { base, later: VecDeque::new() }
    }

    /// The one in force: the last, committed or not.
    pub fn current(&self) -> &Membership {
        self.later.back().map_or(&self.base, |(_, membership)| membership)
    }

    /// The index of the entry that brought the one in force; 0 if the log holds none.
    pub fn since(&self) -> Index {
        self.later.back().map_or(Index(0), |(index, _)| *index)
    }

    /// The one in force at `index`.
    pub fn at(&self, index: Index) -> &Membership {
        self.later
            .iter()
            .rev()
            .find(|(since, _)| *since <= index)
            .map_or(&self.base, |(_, membership)| membership)
    }

    /// Whether `holds` for the one in force at `index` or for a later one.
    pub fn any_since(&self, index: Index, holds: impl Fn(&Membership) -> bool) -> bool {
        holds(self.at(index))
            || self.later.iter().any(|(since, membership)| *since > index && holds(membership))
    }

    /// An entry at `index` brings another.
    pub fn appended(&mut self, index: Index, membership: Membership) {
        debug_assert!(index > self.since(), "entries are appended in order");
        self.later.push_back((index, membership));
    }

    /// The log was cut back: the entries from `index` on are gone. Answers whether that changed what is in force.
    pub fn truncated_from(&mut self, index: Index) -> bool {
        let before = self.later.len();
        while self.later.back().is_some_and(|(since, _)| *since >= index) {
            self.later.pop_back();
        }
        self.later.len() < before
    }

    /// The log now begins after `index`.
    pub fn purged(&mut self, index: Index) {
        while self.later.front().is_some_and(|(since, _)| *since <= index) {
            self.base = self.later.pop_front().expect("it was just looked at").1;
        }
    }

    /// The log begins anew, with this in force.
    pub fn reset(&mut self, base: Membership) {
        *self = Memberships::new(base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_joint_membership_needs_both() {
        let old = Membership::new(nodes(&[1, 2, 3]), nodes(&[4]));
        let joint = old.towards(&Membership::new(nodes(&[3, 4, 5]), nodes(&[1])));
        assert!(joint.is_joint() && joint.votes(NodeId(1)) && joint.learners().contains(&NodeId(1)));
        assert!(!joint.any_quorum(|node| [1, 2].contains(&node.0)), "the old ones alone");
        assert!(!joint.any_quorum(|node| [4, 5].contains(&node.0)), "the new ones alone");
        assert!(joint.any_quorum(|node| [2, 3, 4].contains(&node.0)));
        assert_eq!(joint.reached(|node| node.0), Some(2), "3 and 2 of the old, 5 and 4 of the new");
        assert_eq!(joint.settled().nodes().into_iter().collect::<Vec<_>>(), nodes(&[1, 3, 4, 5]));
        assert_eq!(Membership::from_bytes(joint.to_bytes()), Ok(joint));
    }

    /// Whoever elects meets whoever chose, also across a change of the membership and of the quorums.
    #[test]
    fn who_elects_meets_who_chose() {
        let group = nodes(&[1, 2, 3, 4, 5]);
        let within = |set: u32| move |node: NodeId| set >> (node.0 - 1) & 1 == 1;
        for (before, after) in (0..=6).flat_map(|before| (0..=6).map(move |after| (before, after))) {
            let old = Membership::new(group[..3].to_vec(), []).with_write_quorum(before);
            let new = Membership::new(group.clone(), []).with_write_quorum(after);
            let joint = old.towards(&new);
            for (a, b) in [(&old, &old), (&old, &joint), (&joint, &old), (&joint, &new), (&new, &joint)] {
                assert!(a.chooses(|_| true) && a.elects(|_| true));
                let chose = (0..32).find(|&set| a.chooses(within(set)) && b.elects(within(!set)));
                assert_eq!(chose, None, "these choose under {a:?}, the others elect under {b:?}");
            }
        }
        let two_of_five = Membership::new(group, []).with_write_quorum(2);
        assert!(two_of_five.chooses(|node| node.0 <= 2) && !two_of_five.chooses(|node| node.0 == 1));
        assert!(two_of_five.elects(|node| node.0 <= 4) && !two_of_five.elects(|node| node.0 <= 3));
    }

    #[test]
    fn nobody_is_no_quorum() {
        let unknown = Membership::default();
        assert!(unknown.is_unknown() && !unknown.any_quorum(|_| true));
        assert_eq!(unknown.reached(|node| node), None);
    }

    #[test]
    fn what_is_cut_back_is_undone_and_what_is_purged_is_kept() {
        let of = |id| Membership::new(nodes(&[id]), []);
        let mut all = Memberships::new(of(1));
        all.appended(Index(5), of(2));
        all.appended(Index(9), of(3));
        assert_eq!((all.at(Index(4)), all.at(Index(8)), all.current()), (&of(1), &of(2), &of(3)));
        assert!(all.any_since(Index(5), |one| *one == of(2)) && all.any_since(Index(5), |one| *one == of(3)));
        assert!(!all.any_since(Index(5), |one| *one == of(1)));
        all.purged(Index(6));
        assert_eq!((all.at(Index(4)), all.since()), (&of(2), Index(9)));
        assert!(all.truncated_from(Index(9)));
        assert!(!all.truncated_from(Index(7)));
        assert_eq!((all.current(), all.since()), (&of(2), Index(0)));
    }
}
