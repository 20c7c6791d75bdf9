//! The ring: consistent hashing with virtual nodes.
//!
//! Source: Karger and others (STOC 1997), §4; virtual nodes as in Stoica and others (SIGCOMM 2001), §6.1, and
//! Dynamo (SOSP 2007), §6.2.
//!
//! Each node has tokens on a circle of 2^64 places: as many as its weight times the ring's virtual nodes. A key
//! belongs to the node of the first token at or after its place. A node that joins takes its keys from those after
//! its tokens, and nobody else moves anything; a node that leaves gives them back.
//!
//! # Balance
//!
//! With V tokens a node's share varies by about 1/√V of the mean: at V = 1 some node of a hundred has five times its
//! share, at V = 100 a fifth more. The rest of the imbalance is what `bounded` is for.
//!
//! # Lookup
//!
//! Tokens are sorted, and evenly spread, being hashes. So a table by their uppermost bits, as long as there are
//! tokens, names where to begin: one or two comparisons instead of a binary search's seventeen misses.

use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::hash::xxh64;
use crate::placement::{Key, Node, Placement, Refused};

/// The place of a node's n-th token: XXH64 of both, little-endian, with seed 0.
pub fn token(node: NodeId, n: u32) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&node.0.to_le_bytes());
    bytes[8..].copy_from_slice(&n.to_le_bytes());
    xxh64(&bytes, 0)
}

/// A ring of nodes.
///
/// Invariants: `tokens` is sorted by place, then node; `starts[b]` is the first token whose uppermost bits are `b`
/// or more.
#[derive(Clone, Debug)]
pub struct Ring {
    virtual_nodes: u32,
    /// By id.
    nodes: Vec<Node>,
    tokens: Vec<(u64, NodeId)>,
    starts: Vec<u32>,
    shift: u32,
}

impl Ring {
    /// An empty ring on which a node of weight 1 has this many tokens, at least one.
    pub fn new(virtual_nodes: u32) -> Self {
        let virtual_nodes = virtual_nodes.max(1);
        let mut ring =
            Ring { virtual_nodes, nodes: Vec::new(), tokens: Vec::new(), starts: Vec::new(), shift: 0 };
        ring.index();
        ring
    }

    /// A ring of these nodes.
    pub fn of(virtual_nodes: u32, nodes: &[Node]) -> Result<Self, Refused> {
        let mut ring = Ring::new(virtual_nodes);
        for node in nodes {
            ring.enter(*node)?;
        }
        ring.tokens.sort_unstable();
        ring.index();
        Ok(ring)
    }

    /// The tokens in order, and whose they are.
    pub fn tokens(&self) -> &[(u64, NodeId)] {
        &self.tokens
    }

    /// A node that is in.
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.nodes.binary_search_by_key(&id, |node| node.id).ok().map(|at| self.nodes[at])
    }

    /// The first on a key's walk that has room: bounded loads for who knows the loads of the moment.
    pub fn first_with_room(&self, key: Key, room: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        self.walk(key).map(|node| node.id).find(|id| room(*id))
    }

    /// Takes a node's tokens in, unsorted.
    fn enter(&mut self, node: Node) -> Result<(), Refused> {
        let Err(at) = self.nodes.binary_search_by_key(&node.id, |node| node.id) else {
            return Err(Refused::Known(node.id));
        };
        let count = node.weight.checked_mul(self.virtual_nodes).ok_or(Refused::Full)?;
        let total = u32::try_from(self.tokens.len()).ok().and_then(|tokens| tokens.checked_add(count));
        total.filter(|total| *total < 1 << 31).ok_or(Refused::Full)?;
        self.nodes.insert(at, node);
        self.tokens.extend((0..count).map(|n| (token(node.id, n), node.id)));
        Ok(())
    }

    /// Builds the table by uppermost bits anew.
    fn index(&mut self) {
        let bits = self.tokens.len().next_power_of_two().trailing_zeros().max(1);
        self.shift = 64 - bits;
        self.starts.clear();
        for (at, (token, _)) in self.tokens.iter().enumerate() {
            let bucket = (token >> self.shift) as usize;
            while self.starts.len() <= bucket {
                self.starts.push(at as u32);
            }
        }
        self.starts.resize(1 << bits, self.tokens.len() as u32);
    }

    /// The first token at or after a place; the number of tokens if there is none.
    fn seek(&self, place: u64) -> usize {
        let mut at = self.starts[(place >> self.shift) as usize] as usize;
        while self.tokens.get(at).is_some_and(|(token, _)| *token < place) {
            at += 1;
        }
        at
    }
}

impl Placement for Ring {
    const NAME: &'static str = "ring";
    const WEIGHTED: bool = true;

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn add(&mut self, node: Node) -> Result<(), Refused> {
        self.enter(node)?;
        // Nearly sorted: the stable sort takes the two runs as they are.
        let old = self.tokens.len() - (node.weight * self.virtual_nodes) as usize;
        self.tokens[old..].sort_unstable();
        self.tokens.sort();
        self.index();
        Ok(())
    }

    fn remove(&mut self, id: NodeId) -> bool {
        let Ok(at) = self.nodes.binary_search_by_key(&id, |node| node.id) else { return false };
        self.nodes.remove(at);
        self.tokens.retain(|(_, node)| *node != id);
        self.index();
        true
    }

    fn owner(&self, key: Key) -> Option<NodeId> {
        let at = self.seek(key.0);
        self.tokens.get(at).or(self.tokens.first()).map(|(_, node)| *node)
    }

    fn walk(&self, key: Key) -> impl Iterator<Item = Node> {
        let (before, from) = self.tokens.split_at(self.seek(key.0));
        let mut seen = alloc::vec![false; self.nodes.len()];
        let mut left = self.nodes.iter().filter(|node| node.weight > 0).count();
        let mut tokens = from.iter().chain(before);
        core::iter::from_fn(move || {
            while left > 0 {
                let (_, id) = tokens.next()?;
                let at = self.nodes.binary_search_by_key(id, |node| node.id).ok()?;
                if !core::mem::replace(&mut seen[at], true) {
                    left -= 1;
                    return Some(self.nodes[at]);
                }
            }
            None
        })
    }
}
