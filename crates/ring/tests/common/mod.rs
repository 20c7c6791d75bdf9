//! Keys, nodes, and how evenly they fall.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;

use quorate_protocol::NodeId;
use quorate_ring::{Key, Node, Placement, mix};

/// `count` keys as a hash would give them.
pub fn keys(count: u64) -> impl Iterator<Item = Key> {
    (1..=count).map(|n| Key(mix(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// Nodes of weight 1, in three zones.
pub fn nodes(ids: impl IntoIterator<Item = u64>) -> Vec<Node> {
    ids.into_iter().map(|id| Node::new(id).at((id % 3) as u32)).collect()
}

/// How many keys each node has.
pub fn loads(placement: &impl Placement, count: u64) -> BTreeMap<NodeId, u64> {
    let mut loads: BTreeMap<NodeId, u64> = placement.nodes().iter().map(|node| (node.id, 0)).collect();
    keys(count).for_each(|key| *loads.get_mut(&placement.owner(key).unwrap()).unwrap() += 1);
    loads
}

/// Standard deviation and maximum, in parts of the mean.
pub fn spread(loads: &BTreeMap<NodeId, u64>) -> (f64, f64) {
    let mean = loads.values().sum::<u64>() as f64 / loads.len() as f64;
    let square = loads.values().map(|load| (*load as f64 - mean).powi(2)).sum::<f64>() / loads.len() as f64;
    (square.sqrt() / mean, *loads.values().max().unwrap() as f64 / mean)
}

/// Mean and standard deviation of a sample.
pub fn moments(sample: &[f64]) -> (f64, f64) {
    let mean = sample.iter().sum::<f64>() / sample.len() as f64;
    let square = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (sample.len() - 1) as f64;
    (mean, square.sqrt())
}
