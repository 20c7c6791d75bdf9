//! What all methods share: keys, nodes, zones, and preference lists.
//!
//! # Preference lists
//!
//! "The list of nodes that is responsible for storing a particular key is called the preference list" (Dynamo,
//! §4.6). Each method has a *walk* of a key: all nodes, each once, the owner first. A preference list takes nodes off
//! the walk, but a node whose zone is in the list already waits until every other zone has had its turn. So copies
//! are lost together only when there are fewer zones than copies, and the first in the list is always the owner.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::hash::xxh64;

/// A key's place: what all methods work on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

impl Key {
    /// The place of a key of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Key(xxh64(bytes, 0))
    }
}

/// What fails together: a rack, a building, a region. Numbered by whoever configures the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(pub u32);

/// A node as placement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Itself.
    pub id: NodeId,
    /// Its share, relative to the others'. 0 for none: it owns nothing, and is in no list.
    pub weight: u32,
    /// Where it is.
    pub zone: Zone,
}

impl Node {
    /// A node of weight 1 in zone 0.
    pub fn new(id: u64) -> Self {
        Node { id: NodeId(id), weight: 1, zone: Zone(0) }
    }

    /// With this weight.
    pub fn weighing(self, weight: u32) -> Self {
        Node { weight, ..self }
    }

    /// In this zone.
    pub fn at(self, zone: u32) -> Self {
        Node { zone: Zone(zone), ..self }
    }
}

/// Why a set of nodes cannot be placed on. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The node is in already: remove it first.
    Known(NodeId),
    /// This method takes only nodes of weight 1: use the ring, rendezvous or Maglev.
    Weight(NodeId),
    /// More nodes, or more weight, than the table has room for: make a larger table, or smaller weights.
    Full,
    /// The table's size must be a prime above 2.
    NotPrime(u32),
}

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refused::Known(node) => write!(f, "node {} is in already; remove it first", node.0),
            Refused::Weight(node) => {
                write!(f, "node {} has a weight other than 1, which this method cannot honour", node.0)
            }
            Refused::Full => write!(f, "the table is too small for these nodes; use a larger one"),
            Refused::NotPrime(size) => {
                write!(f, "a table of {size} entries will not do; use a prime above 2")
            }
        }
    }
}

impl core::error::Error for Refused {}

/// A method of placing keys on nodes.
pub trait Placement {
    /// What it is called in tables.
    const NAME: &'static str;

    /// Whether it honours weights other than 1.
    const WEIGHTED: bool;

    /// The nodes, those of weight 0 included.
    fn nodes(&self) -> &[Node];

    /// Takes a node in.
    fn add(&mut self, node: Node) -> Result<(), Refused>;

    /// Leaves a node out; answers whether it was in.
    fn remove(&mut self, id: NodeId) -> bool;

    /// The node responsible for a key; none if there are no nodes.
    fn owner(&self, key: Key) -> Option<NodeId>;

    /// All nodes that have a weight, each once, in the order in which this key prefers them; the owner first.
    fn walk(&self, key: Key) -> impl Iterator<Item = Node>;

    /// The first `count` nodes for a key, spread over zones; fewer only if there are fewer.
    fn preference(&self, key: Key, count: usize) -> Vec<NodeId> {
        let zones: BTreeSet<Zone> =
            self.nodes().iter().filter(|node| node.weight > 0).map(|node| node.zone).collect();
        spread(self.walk(key), zones.len(), count)
    }
}

/// Takes `count` nodes off a walk over nodes in so many zones.
fn spread(walk: impl Iterator<Item = Node>, zones: usize, count: usize) -> Vec<NodeId> {
    let mut chosen = Vec::with_capacity(count.min(64));
    let mut seen = BTreeSet::new();
    let mut passed = Vec::new();
    if count == 0 {
        return chosen;
    }
    let first_round = count.min(zones);
    for node in walk {
        if chosen.len() < first_round && seen.insert(node.zone) {
            chosen.push(node.id);
        } else {
            passed.push(node);
        }
        if chosen.len() == count {
            return chosen;
        }
    }
    // Further rounds: of each zone, the n-th of those passed over belongs to round n.
    let mut turns: BTreeMap<Zone, u32> = BTreeMap::new();
    let mut rounds: Vec<(u32, NodeId)> = passed
        .into_iter()
        .map(|node| {
            let turn = turns.entry(node.zone).or_default();
            *turn += 1;
            (*turn, node.id)
        })
        .collect();
    rounds.sort_by_key(|(turn, _)| *turn);
    chosen.extend(rounds.into_iter().map(|(_, id)| id).take(count - chosen.len()));
    chosen
}
