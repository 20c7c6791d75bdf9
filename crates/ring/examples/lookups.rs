//! Look-ups per second of each method, beside a public crate's.
//!
//!     cargo run --release -p quorate-ring --example lookups
//!
//! A hundred nodes; every method looks a million random places up, the slow ones fewer, and answers are added up so
//! that nothing is left out. Each crate hashes in its own way, which costs some of them more than looking up; ours is
//! given the place, and, in the last column, the eight bytes of a key to hash first. About two seconds in all.

use std::hash::Hash;
use std::hint::black_box;
use std::time::Instant;

use maglev::ConsistentHasher;
use quorate_protocol::NodeId;
use quorate_ring::{Jump, Key, Maglev, Node, Placement, Rendezvous, Ring, mix};

const NODES: u64 = 100;
const VIRTUAL_NODES: u32 = 100;
const KEYS: u64 = 1_000_000;

/// Millions of look-ups in a second.
fn rate(keys: u64, lookup: impl Fn(u64) -> u64) -> f64 {
    let places: Vec<u64> = (0..keys).map(|n| mix(n + 1)).collect();
    let began = Instant::now();
    black_box(places.iter().fold(0u64, |sum, place| sum.wrapping_add(lookup(*place))));
    keys as f64 / began.elapsed().as_secs_f64() / 1e6
}

fn row<P: Placement>(what: &str, keys: u64, ours: P, theirs: f64, whose: &str) {
    let owner = |key: Key| ours.owner(key).map_or(0, |node: NodeId| node.0);
    let bare = rate(keys, |place| owner(Key(place)));
    let hashed = rate(keys, |place| owner(Key::of(&place.to_le_bytes())));
    println!("| {what} | {bare:.1} | {hashed:.1} | {theirs:.1} | {whose} |");
}

/// A virtual node of the other ring.
#[derive(Clone, Copy, Debug, Hash)]
struct Virtual {
    node: u64,
    _number: u32,
}

fn main() {
    let nodes: Vec<Node> = (1..=NODES).map(Node::new).collect();
    println!("| method | Mop/s, placed | Mop/s, hashed | Mop/s, other | other |");
    println!("|---|---:|---:|---:|---|");

    let mut theirs = hashring::HashRing::new();
    let virtual_nodes = |node| (0..VIRTUAL_NODES).map(move |number| Virtual { node, _number: number });
    theirs.batch_add((1..=NODES).flat_map(virtual_nodes).collect());
    let other = rate(KEYS, |place| theirs.get(&place).map_or(0, |node| node.node));
    row("ring, 100 virtual nodes", KEYS, Ring::of(VIRTUAL_NODES, &nodes).unwrap(), other, "hashring");

    let mut theirs = rendezvous_hash::RendezvousNodes::default();
    (1..=NODES).for_each(|id| {
        theirs.insert(rendezvous_hash::IdNode::new(id));
    });
    let other = rate(KEYS / 50, |place| theirs.calc_candidates(&place).next().map_or(0, |node| **node));
    row("rendezvous", KEYS / 10, Rendezvous::of(&nodes).unwrap(), other, "rendezvous_hash");

    let other = rate(KEYS, |place| u64::from(jumpch::hash(place, NODES as u32)));
    row("jump", KEYS, Jump::of(&nodes).unwrap(), other, "jumpch");

    let ids: Vec<u64> = (1..=NODES).collect();
    let theirs = maglev::Maglev::with_capacity(ids, 65_537);
    let other = rate(KEYS, |place| theirs.get(&place).copied().unwrap_or(0));
    row("Maglev, 65,537 entries", KEYS, Maglev::of(&nodes).unwrap(), other, "maglev");
}
