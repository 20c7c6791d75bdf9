//! A directory with bounded loads.
//!
//! Source: Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (SODA 2018).
//!
//! No node may hold more than `factor` times its fair share of the keys, rounded up: ⌈factor · m · w / Σw⌉ of m
//! keys for a node of weight w. A key goes to the first node on its walk around the ring that has room for it.
//!
//! # Independent of history
//!
//! The paper hashes keys in the order in which they come, so that equal sets may be placed differently. Here each
//! node that is full keeps the keys that come first by a fixed order, and a key that has to go walks on, perhaps
//! displacing another: Gale and Shapley's deferred acceptance, whose result does not depend on who asks first. So
//! a directory is a function of its nodes and keys: any member can compute it, and an auditor can check it.
//!
//! # Invariants
//!
//! 1. No node holds more than its capacity, ever.
//! 2. No key could be nearer its beginning: each node before its owner on its walk is full, of keys that come before
//!    it in that node's order.
//!
//! # Caveats
//!
//! A change computes the placement anew: O(keys · log keys), some milliseconds for ten thousand keys. It is for
//! directories of groups, not for a load balancer's connections (for those: [`Ring::first_with_room`]).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::hash::mix;
use crate::placement::{Key, Node, Placement, Refused};
use crate::ring::Ring;

/// How much of its fair share a node may hold, in hundredths; above 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor(u32);

impl Factor {
    /// So many hundredths of the fair share; at least 100, at which every load is equal but for rounding.
    pub fn percent(percent: u32) -> Self {
        Factor(percent.max(100))
    }

    /// The capacity of a node that has `weight` of `total`, of `keys`.
    pub fn capacity(self, keys: usize, weight: u32, total: u64) -> usize {
        let share = self.0 as u128 * keys as u128 * u128::from(weight);
        share.div_ceil(100 * u128::from(total.max(1))) as usize
    }
}

/// A key that changes hands. `from` or `to` is nobody when it is new, or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Move {
    /// The key.
    pub key: Key,
    /// Who had it.
    pub from: Option<NodeId>,
    /// Who has it now.
    pub to: Option<NodeId>,
}

/// Keys on a ring of nodes, none of which has too many.
#[derive(Clone, Debug)]
pub struct Bounded {
    ring: Ring,
    factor: Factor,
    owners: BTreeMap<Key, Option<NodeId>>,
}

impl Bounded {
    /// No keys yet, on this ring.
    pub fn new(ring: Ring, factor: Factor) -> Self {
        Bounded { ring, factor, owners: BTreeMap::new() }
    }

    /// The ring.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Whose a key is; none if it is not in the directory, or there are no nodes.
    pub fn owner(&self, key: Key) -> Option<NodeId> {
        self.owners.get(&key).copied().flatten()
    }

    /// Every key and its owner.
    pub fn owners(&self) -> impl Iterator<Item = (Key, Option<NodeId>)> {
        self.owners.iter().map(|(key, owner)| (*key, *owner))
    }

    /// What a node may hold now.
    pub fn capacity(&self, node: NodeId) -> usize {
        let total = self.ring.nodes().iter().map(|node| u64::from(node.weight)).sum();
        let weight = self.ring.node(node).map_or(0, |node| node.weight);
        self.factor.capacity(self.owners.len(), weight, total)
    }

    /// What a node holds.
    pub fn load(&self, node: NodeId) -> usize {
        self.owners.values().filter(|owner| **owner == Some(node)).count()
    }

    /// Takes keys in; answers what moves, the new ones included. Keys that are in already stay.
    pub fn insert(&mut self, keys: impl IntoIterator<Item = Key>) -> Vec<Move> {
        let mut next = self.owners.clone();
        keys.into_iter().for_each(|key| {
            next.entry(key).or_default();
        });
        self.settle(next.into_keys())
    }

    /// Leaves keys out; answers what moves.
    pub fn forget(&mut self, keys: impl IntoIterator<Item = Key>) -> Vec<Move> {
        let gone: BTreeSet<Key> = keys.into_iter().collect();
        let left: Vec<Key> = self.owners.keys().copied().filter(|key| !gone.contains(key)).collect();
        self.settle(left.into_iter())
    }

    /// Takes a node in; answers what moves.
    pub fn add(&mut self, node: Node) -> Result<Vec<Move>, Refused> {
        self.ring.add(node)?;
        Ok(self.settle(self.owners.clone().into_keys()))
    }

    /// Leaves a node out; answers what moves.
    pub fn remove(&mut self, node: NodeId) -> Vec<Move> {
        self.ring.remove(node);
        self.settle(self.owners.clone().into_keys())
    }

    /// Places these keys, and answers the difference from before.
    fn settle(&mut self, keys: impl Iterator<Item = Key>) -> Vec<Move> {
        let keys: Vec<Key> = keys.collect();
        let placed = place(&self.ring, self.factor, &keys);
        let next: BTreeMap<Key, Option<NodeId>> =
            keys.iter().map(|key| (*key, placed.get(key).copied())).collect();
        let before = core::mem::replace(&mut self.owners, next);
        let mut moves = Vec::new();
        for key in before.keys().chain(self.owners.keys().filter(|key| !before.contains_key(key))) {
            let (from, to) = (before.get(key).copied().flatten(), self.owner(*key));
            if from != to {
                moves.push(Move { key: *key, from, to });
            }
        }
        moves.sort_unstable();
        moves
    }
}

/// A node that takes keys in.
struct Holder {
    capacity: usize,
    /// By the node's own order, the last to be displaced first.
    held: BTreeSet<(u64, Key)>,
}

/// Deferred acceptance: keys ask the nodes on their walks in turn; a full node keeps those that come first in its
/// order.
fn place(ring: &Ring, factor: Factor, keys: &[Key]) -> BTreeMap<Key, NodeId> {
    let total = ring.nodes().iter().map(|node| u64::from(node.weight)).sum();
    let holder = |node: &Node| {
        let capacity = factor.capacity(keys.len(), node.weight, total);
        (node.id, Holder { capacity, held: BTreeSet::new() })
    };
    let mut holders: BTreeMap<NodeId, Holder> = ring.nodes().iter().map(holder).collect();
    // How many nodes on its walk have refused a key that is not where it began.
    let mut refused: BTreeMap<Key, usize> = BTreeMap::new();
    for key in keys {
        let mut asking = Some(*key);
        while let Some(key) = asking.take() {
            let met = refused.get(&key).copied().unwrap_or(0);
            // The capacities add up to all keys or more, so the walk ends only where there are no nodes.
            let Some(node) = ring.walk(key).nth(met) else { break };
            let Some(holder) = holders.get_mut(&node.id) else { break };
            // An order of the node's own, so that no key is displaced everywhere.
            holder.held.insert((mix(key.0 ^ mix(node.id.0)), key));
            if holder.held.len() > holder.capacity
                && let Some((_, last)) = holder.held.pop_last()
            {
                *refused.entry(last).or_default() += 1;
                asking = Some(last);
            }
        }
    }
    let owned = |(id, holder): (NodeId, Holder)| holder.held.into_iter().map(move |(_, key)| (key, id));
    holders.into_iter().flat_map(owned).collect()
}
