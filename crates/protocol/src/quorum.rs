//! Who must agree.
//!
//! A majority of the voters. Every question a core asks of a quorum goes through here or through a
//! [`Membership`](crate::Membership), which asks two sets of voters while it changes.

use alloc::vec::Vec;

use crate::ids::NodeId;

/// The voters of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Voters(Vec<NodeId>);

impl Voters {
    /// Of these nodes; ascending, without repetition.
    pub fn new(mut nodes: Vec<NodeId>) -> Self {
        nodes.sort_unstable();
        nodes.dedup();
        Voters(nodes)
    }

    /// The nodes, ascending.
    pub fn nodes(&self) -> &[NodeId] {
        &self.0
    }

    /// Whether a node votes.
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.binary_search(&node).is_ok()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many make a quorum.
    pub fn quorum(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Whether those for which `holds` make a quorum.
    pub fn any_quorum(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        self.any_of(self.quorum(), holds)
    }

    /// How many accept a value, where as many as `write` were agreed on for that (0: a majority); no more than there are.
    pub fn write_quorum(&self, write: u32) -> usize {
        match write {
            0 => self.quorum(),
            _ => (write as usize).min(self.0.len().max(1)),
        }
    }

    /// How many elect a leader, so that they meet every set that can have accepted a value (Howard, Malkhi and
    /// Spiegelman, "Flexible Paxos", 2016: two elections need not meet each other). A majority if that is what accepts.
    pub fn election_quorum(&self, write: u32) -> usize {
        match write {
            0 => self.quorum(),
            _ => self.0.len() + 1 - self.write_quorum(write).min(self.0.len()),
        }
    }

    /// Whether at least `count` voters are among those for which `holds`.
    pub fn any_of(&self, count: usize, holds: impl Fn(NodeId) -> bool) -> bool {
        self.0.iter().filter(|&&node| holds(node)).count() >= count
    }

    /// The largest value that a quorum has reached; nothing if nobody votes.
    pub fn reached<T: Ord>(&self, value: impl Fn(NodeId) -> T) -> Option<T> {
        let mut values: Vec<T> = self.0.iter().map(|&node| value(node)).collect();
        values.sort_unstable();
        let at = values.len().checked_sub(self.quorum())?;
        Some(values.swap_remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The obvious definition, against the clever one.
    #[test]
    fn reached_is_what_a_quorum_has() {
        let mut random = Random::new(3);
        for _ in 0..2_000 {
            let n = random.between(1, 8);
            let values: Vec<u64> = (0..n).map(|_| random.below(6)).collect();
            let voters = Voters::new((0..n).map(|i| NodeId(i + 1)).collect());
            let of = |node: NodeId| values[node.0 as usize - 1];
            let naive = (0..6)
                .filter(|&v| values.iter().filter(|&&x| x >= v).count() > values.len() / 2)
                .max()
                .expect("everybody has reached 0");
            assert_eq!(voters.reached(of), Some(naive), "{values:?}");
            assert!(voters.any_quorum(|node| of(node) >= naive));
            assert!(!voters.any_quorum(|node| of(node) > naive));
        }
    }
}
