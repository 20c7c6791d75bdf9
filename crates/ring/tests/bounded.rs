//! Bounded loads: never exceeded, independent of history, and each key as near its beginning as may be.

mod common;

use std::collections::BTreeMap;

use common::{keys, nodes};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use quorate_protocol::NodeId;
use quorate_ring::{Bounded, Factor, Key, Move, Node, Placement, Ring};

/// Every invariant of a directory.
fn check(directory: &Bounded) {
    let ring = directory.ring();
    let loads: BTreeMap<NodeId, usize> =
        ring.nodes().iter().map(|node| (node.id, directory.load(node.id))).collect();
    for (node, load) in &loads {
        assert!(*load <= directory.capacity(*node), "{node:?} holds {load}");
    }
    for (key, owner) in directory.owners() {
        let Some(owner) = owner else {
            assert_eq!(ring.walk(key).count(), 0, "only where there are no nodes has a key no owner");
            continue;
        };
        for node in ring.walk(key).take_while(|node| node.id != owner) {
            assert_eq!(loads[&node.id], directory.capacity(node.id), "{key:?} passed by a node with room");
        }
    }
}

/// Carries moves out over a map, and fails if they do not fit.
fn carry_out(moves: &[Move], owners: &mut BTreeMap<Key, NodeId>) {
    for Move { key, from, to } in moves {
        assert_eq!(owners.remove(key), *from);
        to.iter().for_each(|to| assert_eq!(owners.insert(*key, *to), None));
    }
}

#[test]
fn no_factor_is_exceeded_and_the_tightest_is_even() {
    for percent in [100, 101, 110, 125, 200] {
        let ring = Ring::of(1, &nodes(1..=20)).unwrap();
        let mut directory = Bounded::new(ring, Factor::percent(percent));
        directory.insert(keys(1_000));
        check(&directory);
        let highest = (1..=20).map(|id| directory.load(NodeId(id))).max().unwrap();
        assert!(highest <= (percent * 50).div_ceil(100) as usize, "{percent}: {highest}");
    }
}

#[test]
fn without_bounds_it_is_the_ring() {
    let ring = Ring::of(10, &nodes(1..=20)).unwrap();
    let mut directory = Bounded::new(ring.clone(), Factor::percent(100_000));
    directory.insert(keys(1_000));
    assert!(directory.owners().all(|(key, owner)| owner == ring.owner(key)));
}

#[test]
fn capacity_follows_weight() {
    let weighted: Vec<Node> = (1..=4).map(|id| Node::new(id).weighing(id as u32)).collect();
    let mut directory = Bounded::new(Ring::of(20, &weighted).unwrap(), Factor::percent(100));
    directory.insert(keys(1_000));
    assert_eq!([1, 2, 3, 4].map(|id| directory.load(NodeId(id))), [100, 200, 300, 400]);
    check(&directory);
}

#[test]
fn a_node_that_joins_moves_about_its_share() {
    let ring = Ring::of(100, &nodes(1..=20)).unwrap();
    let mut directory = Bounded::new(ring, Factor::percent(125));
    directory.insert(keys(2_000));
    let moves = directory.add(Node::new(21)).unwrap();
    check(&directory);
    // A twenty-first of the keys, and what the smaller capacities displace.
    assert!(moves.len() < 4 * 2_000 / 21, "{} moves", moves.len());
}

#[test]
fn who_knows_the_loads_of_the_moment_asks_the_ring() {
    let ring = Ring::of(10, &nodes(1..=5)).unwrap();
    let key = Key(42);
    let walk: Vec<NodeId> = ring.walk(key).map(|node| node.id).collect();
    assert_eq!(ring.first_with_room(key, |_| true), Some(walk[0]));
    assert_eq!(ring.first_with_room(key, |node| node != walk[0] && node != walk[1]), Some(walk[2]));
    assert_eq!(ring.first_with_room(key, |_| false), None);
}

/// What happens to a directory.
#[derive(Clone, Debug)]
enum Change {
    Insert(Vec<u8>),
    Forget(Vec<u8>),
    Add(u64, u32),
    Remove(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => vec(any::<u8>(), 1..20).prop_map(Change::Insert),
        1 => vec(any::<u8>(), 1..20).prop_map(Change::Forget),
        1 => (1..12u64, 0..4u32).prop_map(|(id, weight)| Change::Add(id, weight)),
        1 => (1..12u64).prop_map(Change::Remove),
    ]
}

fn places(names: &[u8]) -> impl Iterator<Item = Key> {
    names.iter().map(|name| Key::of(&[*name]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_bounds_hold(changes in vec(change(), 1..25), percent in 100..200u32) {
        let mut directory = Bounded::new(Ring::new(5), Factor::percent(percent));
        let mut followed = BTreeMap::new();
        for change in changes {
            let moves = match change {
                Change::Insert(names) => directory.insert(places(&names)),
                Change::Forget(names) => directory.forget(places(&names)),
                Change::Add(id, weight) => directory.add(Node::new(id).weighing(weight)).unwrap_or_default(),
                Change::Remove(id) => directory.remove(NodeId(id)),
            };
            carry_out(&moves, &mut followed);
            check(&directory);
        }
        let owned = |(key, owner): (Key, Option<NodeId>)| owner.map(|owner| (key, owner));
        prop_assert_eq!(&followed, &directory.owners().filter_map(owned).collect());
        // The same at once.
        let mut whole = Bounded::new(directory.ring().clone(), Factor::percent(percent));
        whole.insert(directory.owners().map(|(key, _)| key));
        prop_assert!(whole.owners().eq(directory.owners()));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(names in btree_set(any::<u8>(), 1..60), turn: usize) {
        let ring = Ring::of(3, &nodes(1..=7)).unwrap();
        let mut one = Bounded::new(ring.clone(), Factor::percent(110));
        let mut other = one.clone();
        let mut names: Vec<u8> = names.into_iter().collect();
        names.iter().for_each(|name| drop(one.insert(places(&[*name]))));
        let turn = turn % names.len();
        names.rotate_left(turn);
        names.iter().rev().for_each(|name| drop(other.insert(places(&[*name]))));
        prop_assert!(one.owners().eq(other.owners()));
    }
}
