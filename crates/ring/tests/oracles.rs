//! Other people's implementations, and the papers' examples, give the same answers.

mod common;

use std::hash::{BuildHasher, Hash, Hasher};

use common::{keys, nodes};
use maglev::ConsistentHasher;
use quorate_protocol::NodeId;
use quorate_ring::{Key, Node, Placement, Rendezvous, Ring, fill, jump, mix, token, xxh64};

#[test]
fn the_hash_is_xxh64() {
    // The specification's own: no bytes, and seed 0.
    assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
    let bytes: Vec<u8> = (0..600u32).map(|n| mix(u64::from(n)) as u8).collect();
    for len in 0..bytes.len() {
        for seed in [0, 1, 0x9e37_79b1, u64::MAX] {
            let theirs = xxhash_rust::xxh64::xxh64(&bytes[..len], seed);
            assert_eq!(xxh64(&bytes[..len], seed), theirs, "{len} bytes, seed {seed}");
        }
    }
}

#[test]
fn jump_is_jump() {
    for (n, key) in keys(20_000).enumerate() {
        let buckets = 1 + (n as u32 * 7) % 5_000;
        assert_eq!(jump(key, buckets), jumpch::hash(key.0, buckets));
    }
}

/// A hasher for values that bring their hash along.
#[derive(Clone, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only write_u64 is used")
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for AsIs {
    type Hasher = AsIs;
    fn build_hasher(&self) -> AsIs {
        AsIs(0)
    }
}

/// A virtual node whose hash is our token.
#[derive(Clone, Copy, Debug)]
struct Virtual(NodeId, u32);

impl Hash for Virtual {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(token(self.0, self.1));
    }
}

#[test]
fn the_ring_is_a_hash_ring() {
    let ours = Ring::of(40, &nodes(1..=30)).unwrap();
    let mut theirs = hashring::HashRing::with_hasher(AsIs(0));
    let virtual_nodes = |id: u64| (0..40).map(move |n| Virtual(NodeId(id), n));
    theirs.batch_add((1..=30).flat_map(virtual_nodes).collect());
    for key in keys(50_000) {
        assert_eq!(ours.owner(key), theirs.get(&key.0).map(|node| node.0));
    }
}

/// Our scores, for their nodes.
struct OurScores;

impl rendezvous_hash::NodeHasher<u64> for OurScores {
    fn hash<T: Hash>(&self, node: &u64, item: &T) -> u64 {
        let mut key = AsIs(0);
        item.hash(&mut key);
        mix(key.0 ^ xxh64(&node.to_le_bytes(), 0))
    }
}

#[test]
fn rendezvous_is_rendezvous() {
    let ours = Rendezvous::of(&nodes(1..=30)).unwrap();
    let mut theirs = rendezvous_hash::RendezvousNodes::new(OurScores);
    (1..=30u64).for_each(|id| {
        theirs.insert(rendezvous_hash::IdNode::new(id));
    });
    for key in keys(5_000) {
        let walk: Vec<u64> = ours.walk(key).map(|node| node.id.0).collect();
        let candidates: Vec<u64> = theirs.calc_candidates(&key.0).map(|node| **node).collect();
        assert_eq!(walk, candidates);
    }
}

#[test]
fn weighted_rendezvous_is_weighted_rendezvous() {
    let weighted: Vec<Node> = (1..=12).map(|id| Node::new(id).weighing(1 + id as u32 % 4)).collect();
    let ours = Rendezvous::of(&weighted).unwrap();
    let mut theirs = rendezvous_hash::RendezvousNodes::new(OurScores);
    for node in &weighted {
        let capacity = rendezvous_hash::Capacity::new(f64::from(node.weight)).unwrap();
        theirs.insert(rendezvous_hash::WeightedNode::new(rendezvous_hash::IdNode::new(node.id.0), capacity));
    }
    for key in keys(5_000) {
        let walk: Vec<u64> = ours.walk(key).map(|node| node.id.0).collect();
        let candidates: Vec<u64> =
            theirs.calc_candidates(&key.0).map(|node| *rendezvous_hash::Node::node_id(node)).collect();
        assert_eq!(walk, candidates);
    }
}

#[test]
fn the_table_is_the_papers() {
    // Maglev, table 1: offsets and skips (3, 4), (0, 2), (3, 1) in a table of seven.
    assert_eq!(fill(7, &[(3, 4, 1), (0, 2, 1), (3, 1, 1)]), [1, 0, 1, 0, 2, 2, 0]);
    // The same without the second.
    assert_eq!(fill(7, &[(3, 4, 1), (3, 1, 1)]), [0, 0, 0, 0, 1, 1, 1]);
}

/// What the other Maglev hashes with: the standard library's hash, keyed with nothing, of a number and the value.
fn seeded(seed: u32, value: &impl Hash) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    hasher.write_u32(seed);
    value.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn the_table_is_another_maglevs() {
    let ids: Vec<u64> = (1..=40).collect();
    let theirs = maglev::Maglev::with_capacity(ids.clone(), 4_093);
    let size = theirs.capacity() as u64;
    assert_eq!(size, 4_093);
    let permutation = |id: &u64| {
        let (offset, skip) = (seeded(0xdead_babe, id) % size, seeded(0xdead_beef, id) % (size - 1) + 1);
        (offset as u32, skip as u32, 1)
    };
    let table = fill(size as u32, &ids.iter().map(permutation).collect::<Vec<_>>());
    for key in keys(20_000).map(|Key(key)| key) {
        let entry = seeded(0xdead_babe, &key) % size;
        assert_eq!(Some(&ids[table[entry as usize] as usize]), theirs.get(&key));
    }
}
