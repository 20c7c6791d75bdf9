//! Maglev's table.
//!
//! Source: Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), §3.4 and
//! its pseudocode 1.
//!
//! Each node prefers the entries of a table in an order of its own (a permutation given by an offset and a skip);
//! the nodes take turns, each taking the first entry on its list that is still free, until none is. A key looks at
//! one entry. The shares are equal to within one entry; in return, when a node goes, some entries change hands
//! between the others as well (the paper's §5.3), which rendezvous and the ring never do.
//!
//! # Weights
//!
//! The paper leaves them out. Here a node has a turn in a round for every whole unit of `weight / heaviest` it has
//! gathered, so that the heaviest has a turn in each. With weights that differ, shares are proportional to
//! within an entry or so.

use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::hash::{mix, xxh64};
use crate::placement::{Key, Node, Placement, Refused};

/// Entries of a table in the paper's experiments.
const ENTRIES: u32 = 65_537;

/// An entry that nobody has taken.
const FREE: u32 = u32::MAX;

/// Seeds of the two hashes that make a permutation.
const SEEDS: [u64; 2] = [0, 1];

/// Nodes and their table.
#[derive(Clone, Debug)]
pub struct Maglev {
    size: u32,
    /// By id.
    nodes: Vec<Node>,
    /// Numbers of nodes; empty if none has a weight.
    table: Vec<u32>,
}

impl Maglev {
    /// These nodes, in a table of 65,537 entries.
    pub fn of(nodes: &[Node]) -> Result<Self, Refused> {
        Self::sized(ENTRIES, nodes)
    }

    /// These nodes, in a table of this size, a prime. The paper wants it a hundred times the nodes.
    pub fn sized(size: u32, nodes: &[Node]) -> Result<Self, Refused> {
        let divides = |n: &u64| u64::from(size).is_multiple_of(*n);
        if size < 3 || (2..).take_while(|n| n * n <= u64::from(size)).any(|n| divides(&n)) {
            return Err(Refused::NotPrime(size));
        }
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable_by_key(|node| node.id);
        if let Some(pair) = nodes.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(Refused::Known(pair[0].id));
        }
        if nodes.len() >= size as usize {
            return Err(Refused::Full);
        }
        let mut maglev = Maglev { size, nodes, table: Vec::new() };
        maglev.rebuild();
        Ok(maglev)
    }

    /// The table: for each entry, the number of a node in [`Placement::nodes`].
    pub fn table(&self) -> &[u32] {
        &self.table
    }

    fn rebuild(&mut self) {
        let permutation = |node: &Node| {
            let [offset, skip] = SEEDS.map(|seed| xxh64(&node.id.0.to_le_bytes(), seed));
            let size = u64::from(self.size);
            ((offset % size) as u32, (skip % (size - 1) + 1) as u32, node.weight)
        };
        self.table = fill(self.size, &self.nodes.iter().map(permutation).collect::<Vec<_>>());
    }
}

/// A table of `size` entries, a prime, filled by nodes of these offsets, skips and weights; empty if no node has a
/// weight.
pub fn fill(size: u32, nodes: &[(u32, u32, u32)]) -> Vec<u32> {
    let heaviest = nodes.iter().map(|(_, _, weight)| *weight).max().unwrap_or(0);
    if heaviest == 0 {
        return Vec::new();
    }
    let mut table = alloc::vec![FREE; size as usize];
    let mut next: Vec<(u32, u64)> = nodes.iter().map(|(offset, _, _)| (*offset, 0)).collect();
    let mut left = size;
    loop {
        for (number, (_, skip, weight)) in nodes.iter().enumerate() {
            let (place, gathered) = &mut next[number];
            *gathered += u64::from(*weight);
            if *gathered < u64::from(heaviest) {
                continue;
            }
            *gathered -= u64::from(heaviest);
            while table[*place as usize] != FREE {
                *place = ((u64::from(*place) + u64::from(*skip)) % u64::from(size)) as u32;
            }
            table[*place as usize] = number as u32;
            left -= 1;
            if left == 0 {
                return table;
            }
        }
    }
}

impl Placement for Maglev {
    const NAME: &'static str = "maglev";
    const WEIGHTED: bool = true;

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn add(&mut self, node: Node) -> Result<(), Refused> {
        let Err(at) = self.nodes.binary_search_by_key(&node.id, |node| node.id) else {
            return Err(Refused::Known(node.id));
        };
        if self.nodes.len() + 1 >= self.size as usize {
            return Err(Refused::Full);
        }
        self.nodes.insert(at, node);
        self.rebuild();
        Ok(())
    }

    fn remove(&mut self, id: NodeId) -> bool {
        let Ok(at) = self.nodes.binary_search_by_key(&id, |node| node.id) else { return false };
        self.nodes.remove(at);
        self.rebuild();
        true
    }

    fn owner(&self, key: Key) -> Option<NodeId> {
        // The remainder by multiplication: entry k has the k-th part of all places.
        let at = (u128::from(key.0) * self.table.len() as u128) >> 64;
        self.table.get(at as usize).map(|number| self.nodes[*number as usize].id)
    }

    /// The owner, then the owners of entries that the key, hashed again and again, looks at; who has not been met
    /// after many tries comes by id.
    fn walk(&self, key: Key) -> impl Iterator<Item = Node> {
        let mut seen = alloc::vec![false; self.nodes.len()];
        let mut tries = 32 * self.nodes.len();
        let mut key = key;
        let mut rest = 0;
        core::iter::from_fn(move || {
            while tries > 0 {
                tries -= 1;
                let at = (u128::from(key.0) * self.table.len() as u128) >> 64;
                key = Key(mix(key.0));
                let number = *self.table.get(at as usize)? as usize;
                if !core::mem::replace(&mut seen[number], true) {
                    return Some(self.nodes[number]);
                }
            }
            while rest < seen.len() {
                let number = rest;
                rest += 1;
                if !seen[number] && self.nodes[number].weight > 0 {
                    return Some(self.nodes[number]);
                }
            }
            None
        })
    }
}
