//! Jump consistent hash.
//!
//! Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014), figure 1.
//!
//! Of n numbered buckets a key jumps from one to a later one, each time with the probability that makes the next
//! count of buckets fair, until it would jump past the last. No table, no memory, perfect balance; but buckets are
//! numbers, and only the last one can go without moving more than it held.
//!
//! # Nodes that leave
//!
//! Here a node that leaves is replaced, in its number, by the last one. So its keys move, and so do those of the
//! last: two shares instead of one. Nodes must leave and join in the same order everywhere.

use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::hash::mix;
use crate::placement::{Key, Node, Placement, Refused};

/// The bucket of a key among `0..buckets`; 0 if there are none.
pub fn jump(key: Key, buckets: u32) -> u32 {
    let mut state = key.0;
    let (mut bucket, mut next) = (0, 0u64);
    while next < u64::from(buckets) {
        bucket = next;
        // The paper's generator and constants, so that the answers are those of every other implementation.
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((state >> 33) + 1) as f64)) as u64;
    }
    bucket as u32
}

/// Numbered nodes.
#[derive(Clone, Debug, Default)]
pub struct Jump {
    nodes: Vec<Node>,
}

impl Jump {
    /// These nodes, numbered as they come.
    pub fn of(nodes: &[Node]) -> Result<Self, Refused> {
        let mut all = Jump::default();
        nodes.iter().try_for_each(|node| all.add(*node))?;
        Ok(all)
    }
}

impl Placement for Jump {
    const NAME: &'static str = "jump";
    const WEIGHTED: bool = false;

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn add(&mut self, node: Node) -> Result<(), Refused> {
        if self.nodes.iter().any(|known| known.id == node.id) {
            return Err(Refused::Known(node.id));
        }
        if node.weight != 1 {
            return Err(Refused::Weight(node.id));
        }
        if self.nodes.len() >= 1 << 31 {
            return Err(Refused::Full);
        }
        self.nodes.push(node);
        Ok(())
    }

    fn remove(&mut self, id: NodeId) -> bool {
        let Some(at) = self.nodes.iter().position(|node| node.id == id) else { return false };
        self.nodes.swap_remove(at);
        true
    }

    fn owner(&self, key: Key) -> Option<NodeId> {
        self.nodes.get(jump(key, self.nodes.len() as u32) as usize).map(|node| node.id)
    }

    /// The n-th choice is where the key, hashed n times more, jumps to among the nodes not chosen yet.
    fn walk(&self, key: Key) -> impl Iterator<Item = Node> {
        let mut left: Vec<Node> = self.nodes.clone();
        let mut key = key;
        core::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            let at = jump(key, left.len() as u32) as usize;
            key = Key(mix(key.0));
            Some(left.swap_remove(at))
        })
    }
}
