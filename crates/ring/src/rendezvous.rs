//! Rendezvous, or highest random weight.
//!
//! Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (IEEE/ACM Transactions on
//! Networking, 1998); the weights by logarithms as in Schindelhauer and Schomaker, "Weighted Distributed Hash
//! Tables" (SPAA 2005).
//!
//! Every node has a score for every key, a hash of both; the highest wins. So the keys of a node that leaves spread
//! evenly over the others, and nothing else moves. The price is that all nodes are asked for every key.
//!
//! # Weights
//!
//! With u = score / 2^64, the node with the least -ln(u)/w wins: the first of several exponential clocks of rate w
//! to ring, which is each with probability w / Σw. All weights being equal, the greatest u wins, and no logarithm is
//! taken. The logarithm is computed here from additions, multiplications and a division, in an order that is fixed:
//! those of the platforms differ in the last bit, and two members must not.

use alloc::vec::Vec;
use core::cmp::Ordering;

use quorate_protocol::NodeId;

use crate::hash::{mix, xxh64};
use crate::placement::{Key, Node, Placement, Refused};

/// Nodes and their hashes.
#[derive(Clone, Debug, Default)]
pub struct Rendezvous {
    /// By id.
    nodes: Vec<Node>,
    /// Of each node, XXH64 of its id.
    hashes: Vec<u64>,
    /// The weight all have, if there is one.
    even: bool,
}

impl Rendezvous {
    /// These nodes.
    pub fn of(nodes: &[Node]) -> Result<Self, Refused> {
        let mut all = Rendezvous::default();
        nodes.iter().try_for_each(|node| all.add(*node))?;
        Ok(all)
    }

    fn refresh(&mut self) {
        self.even = self.nodes.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    }

    /// The nodes that have a weight, each with its score.
    fn scores(&self, key: Key) -> impl Iterator<Item = Score> {
        self.nodes.iter().zip(&self.hashes).filter(|(node, _)| node.weight > 0).map(move |(node, hash)| {
            let raw = mix(key.0 ^ hash);
            let clock = if self.even { 0.0 } else { waiting(raw) / f64::from(node.weight) };
            Score { clock, raw, node: *node }
        })
    }
}

/// A node's bid for a key; the least one wins.
#[derive(Clone, Copy)]
struct Score {
    /// When the node's clock rings; 0 where weights do not differ.
    clock: f64,
    raw: u64,
    node: Node,
}

impl Score {
    fn compare(&self, other: &Self) -> Ordering {
        self.clock
            .total_cmp(&other.clock)
            .then(other.raw.cmp(&self.raw))
            .then(self.node.id.cmp(&other.node.id))
    }
}

/// -ln(u) for u = (raw + ½) / 2^64, of which 53 bits are used.
fn waiting(raw: u64) -> f64 {
    // In (0, 1): an odd multiple of 2^-54.
    let uniform = ((raw >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0);
    -ln(uniform)
}

/// The natural logarithm of a positive normal number, within a few units of the last place.
///
/// x = m · 2^e with m in √½..√2; ln m = 2 artanh(s) with s = (m-1)/(m+1), |s| < 0.172, so the eleventh term of
/// artanh's series is below 2^-56 of the first.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64 - 1023) as f64;
    let mut m = f64::from_bits((bits & MANTISSA) | (1023 << 52));
    if m > core::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1.0;
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..11).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent * core::f64::consts::LN_2 + 2.0 * s * series
}

impl Placement for Rendezvous {
    const NAME: &'static str = "rendezvous";
    const WEIGHTED: bool = true;

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn add(&mut self, node: Node) -> Result<(), Refused> {
        let Err(at) = self.nodes.binary_search_by_key(&node.id, |node| node.id) else {
            return Err(Refused::Known(node.id));
        };
        self.nodes.insert(at, node);
        self.hashes.insert(at, xxh64(&node.id.0.to_le_bytes(), 0));
        self.refresh();
        Ok(())
    }

    fn remove(&mut self, id: NodeId) -> bool {
        let Ok(at) = self.nodes.binary_search_by_key(&id, |node| node.id) else { return false };
        self.nodes.remove(at);
        self.hashes.remove(at);
        self.refresh();
        true
    }

    fn owner(&self, key: Key) -> Option<NodeId> {
        self.scores(key).min_by(Score::compare).map(|score| score.node.id)
    }

    fn walk(&self, key: Key) -> impl Iterator<Item = Node> {
        let mut scores: Vec<Score> = self.scores(key).collect();
        scores.sort_unstable_by(Score::compare);
        scores.into_iter().map(|score| score.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;

    #[test]
    fn the_logarithm_is_the_librarys_to_a_few_units_of_the_last_place() {
        for n in 1..100_000u64 {
            let x = ((mix(n) >> 11) as f64 + 0.5) / 2f64.powi(53);
            let (ours, theirs) = (ln(x), x.ln());
            assert!((ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs.abs(), "ln {x}: {ours} {theirs}");
        }
    }

    #[test]
    fn the_logarithm_is_the_same_everywhere() {
        assert_eq!(ln(0.5).to_bits(), (-core::f64::consts::LN_2).to_bits());
        assert_eq!(waiting(0x0123_4567_89ab_cdef).to_bits(), WAITING);
    }

    /// Recorded once.
    const WAITING: u64 = 0x4015_aa16_394d_4826;
}
