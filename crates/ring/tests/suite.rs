//! One suite over all methods.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{keys, loads, nodes, spread};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use quorate_protocol::NodeId;
use quorate_ring::{Jump, Key, Maglev, Node, Placement, Refused, Rendezvous, Ring, Zone};

/// Keys enough for shares of a tenth to be known to within a hundredth.
const KEYS: u64 = 100_000;

/// Four standard deviations of how often an event of this probability happens in `KEYS` trials, as a share.
fn error(p: f64) -> f64 {
    4.0 * (p * (1.0 - p) / KEYS as f64).sqrt()
}

/// The owners of the first keys.
fn owners(placement: &impl Placement) -> Vec<NodeId> {
    keys(KEYS).map(|key| placement.owner(key).unwrap()).collect()
}

/// A node joins: of all keys, what share the newcomer took, and what share moved between the others.
fn joined<P: Placement>(mut placement: P, node: Node) -> (f64, f64) {
    let before = owners(&placement);
    placement.add(node).unwrap();
    let after = owners(&placement);
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new);
    let (mut taken, mut others) = (0, 0);
    moved.for_each(|(_, new)| if *new == node.id { taken += 1 } else { others += 1 });
    (f64::from(taken) / KEYS as f64, f64::from(others) / KEYS as f64)
}

/// A node leaves: what share it had, and what share moved between the others.
fn left<P: Placement>(mut placement: P, node: NodeId) -> (f64, f64) {
    let before = owners(&placement);
    assert!(placement.remove(node));
    let after = owners(&placement);
    assert!(!after.contains(&node));
    let had = before.iter().filter(|old| **old == node).count() as f64;
    let others = before.iter().zip(&after).filter(|(old, new)| old != new && **old != node).count() as f64;
    (had / KEYS as f64, others / KEYS as f64)
}

/// What every method promises of small sets of nodes.
fn promises<P: Placement>(make: impl Fn(&[Node]) -> P) {
    let mut none = make(&[]);
    assert_eq!((none.owner(Key(7)), none.walk(Key(7)).count()), (None, 0));
    assert!(none.preference(Key(7), 3).is_empty() && !none.remove(NodeId(1)));
    none.add(Node::new(4)).unwrap();
    assert_eq!(none.owner(Key(u64::MAX)), Some(NodeId(4)));
    assert_eq!(none.add(Node::new(4)), Err(Refused::Known(NodeId(4))));
    let twelve = make(&nodes(1..=12));
    for key in keys(2_000) {
        let walk: Vec<Node> = twelve.walk(key).collect();
        let distinct: BTreeSet<NodeId> = walk.iter().map(|node| node.id).collect();
        assert_eq!((walk.len(), distinct.len()), (12, 12));
        assert_eq!(twelve.owner(key), Some(walk[0].id));
        preferences(&twelve, key);
    }
}

/// What must hold of a key's preference lists.
fn preferences(placement: &impl Placement, key: Key) {
    let zone_of: BTreeMap<NodeId, Zone> = placement.nodes().iter().map(|node| (node.id, node.zone)).collect();
    let walk: Vec<NodeId> = placement.walk(key).map(|node| node.id).collect();
    for count in 0..=walk.len() + 1 {
        let list = placement.preference(key, count);
        assert_eq!(list.len(), count.min(walk.len()));
        assert_eq!(list.first(), walk.first().filter(|_| count > 0), "the owner is first");
        assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len(), "each once");
        // A naive twin: always the first on the walk of those in the zones that have been chosen least.
        let (mut twin, mut left) = (Vec::new(), walk.clone());
        while twin.len() < list.len() {
            let chosen = |node: &NodeId| twin.iter().filter(|other| zone_of[other] == zone_of[node]).count();
            let least = left.iter().map(chosen).min().unwrap();
            let at = left.iter().position(|node| chosen(node) == least).unwrap();
            let node = left.remove(at);
            twin.push(node);
        }
        // Within a round the twin goes round by the walk, as the list does.
        assert_eq!(list, twin);
    }
}

#[test]
fn every_method_keeps_the_promises() {
    promises(|nodes| Ring::of(64, nodes).unwrap());
    promises(|nodes| Rendezvous::of(nodes).unwrap());
    promises(|nodes| Jump::of(nodes).unwrap());
    promises(|nodes| Maglev::sized(1_021, nodes).unwrap());
}

#[test]
fn who_joins_takes_its_share_and_nothing_else_moves() {
    let ten = nodes(1..=10);
    let share = 1.0 / 11.0;
    for (taken, others) in
        [joined(Rendezvous::of(&ten).unwrap(), Node::new(77)), joined(Jump::of(&ten).unwrap(), Node::new(77))]
    {
        assert!((taken - share).abs() < error(share), "{taken}");
        assert_eq!(others, 0.0);
    }
    let ring = Ring::of(200, &ten).unwrap();
    let exact = arc(&Ring::of(200, &[&ten[..], &[Node::new(77)]].concat()).unwrap(), NodeId(77));
    let (taken, others) = joined(ring, Node::new(77));
    assert!((taken - exact).abs() < error(exact) && others == 0.0, "{taken} {exact} {others}");
    let (taken, others) = joined(Maglev::of(&ten).unwrap(), Node::new(77));
    assert!((taken - share).abs() < error(share) + 1.0 / 65_537.0, "{taken}");
    assert!(others > 0.0 && others < 0.02, "Maglev moves a little between the others: {others}");
}

#[test]
fn who_leaves_gives_its_share_back_and_nothing_else_moves() {
    let ten = nodes(1..=10);
    let share = 0.1;
    let (had, others) = left(Rendezvous::of(&ten).unwrap(), NodeId(4));
    assert!((had - share).abs() < error(share) && others == 0.0);
    assert_eq!(left(Ring::of(200, &ten).unwrap(), NodeId(4)).1, 0.0);
    let (had, others) = left(Jump::of(&ten).unwrap(), NodeId(10));
    assert!((had - share).abs() < error(share) && others == 0.0, "the last one leaves Jump like any other");
    let (_, others) = left(Jump::of(&ten).unwrap(), NodeId(4));
    // Else the last one's keys move too, but for the ninth of them that fall on its new number.
    let moved = share * 8.0 / 9.0;
    assert!((others - moved).abs() < error(moved), "{others}");
    let (_, others) = left(Maglev::of(&ten).unwrap(), NodeId(4));
    assert!(others > 0.0 && others < 0.02, "{others}");
}

/// The part of the circle that is a node's.
fn arc(ring: &Ring, node: NodeId) -> f64 {
    let tokens = ring.tokens();
    let mine = (0..tokens.len()).filter(|at| tokens[*at].1 == node);
    mine.map(|at| {
        let before = tokens[(at + tokens.len() - 1) % tokens.len()].0;
        tokens[at].0.wrapping_sub(before) as f64 / 2f64.powi(64)
    })
    .sum()
}

#[test]
fn loads_are_the_ones_the_arcs_say() {
    let ring = Ring::of(16, &nodes(1..=10)).unwrap();
    for (node, load) in loads(&ring, KEYS) {
        let (share, exact) = (load as f64 / KEYS as f64, arc(&ring, node));
        assert!((share - exact).abs() < error(exact), "{node:?} {share} {exact}");
    }
}

#[test]
fn shares_are_proportional_to_weights() {
    let weighted: Vec<Node> = (1..=4).map(|id| Node::new(id).weighing(id as u32)).collect();
    let check = |loads: BTreeMap<NodeId, u64>, slack: f64| {
        for (node, load) in loads {
            let (share, fair) = (load as f64 / KEYS as f64, node.0 as f64 / 10.0);
            assert!((share - fair).abs() < error(fair) + slack * fair, "{node:?} {share} {fair}");
        }
    };
    check(loads(&Rendezvous::of(&weighted).unwrap(), KEYS), 0.0);
    check(loads(&Maglev::of(&weighted).unwrap(), KEYS), 0.001);
    // A share of w thousand tokens varies by 1/√(1000 w) of itself.
    check(loads(&Ring::of(1_000, &weighted).unwrap(), KEYS), 4.0 / 1_000f64.sqrt());
    assert_eq!(Jump::of(&weighted).unwrap_err(), Refused::Weight(NodeId(2)));
}

#[test]
fn weight_nought_owns_nothing() {
    let mut drained = nodes(1..=5);
    drained[2].weight = 0;
    fn check(placement: impl Placement) {
        for key in keys(3_000) {
            assert!(placement.walk(key).all(|node| node.id != NodeId(3)));
            assert_ne!(placement.owner(key), Some(NodeId(3)));
            assert_eq!(placement.preference(key, 9).len(), 4);
        }
    }
    check(Ring::of(50, &drained).unwrap());
    check(Rendezvous::of(&drained).unwrap());
    check(Maglev::sized(251, &drained).unwrap());
}

#[test]
fn a_weight_that_differs_moves_only_what_it_must() {
    // All weights equal, no logarithm is taken; a node of another weight joins, and one is.
    let (taken, others) = joined(Rendezvous::of(&nodes(1..=10)).unwrap(), Node::new(77).weighing(5));
    assert!((taken - 5.0 / 15.0).abs() < error(5.0 / 15.0), "{taken}");
    assert_eq!(others, 0.0);
}

#[test]
fn tables_refuse_what_they_cannot_hold() {
    assert_eq!(Maglev::sized(1_000, &nodes(1..=3)).unwrap_err(), Refused::NotPrime(1_000));
    assert_eq!(Maglev::sized(2, &[]).unwrap_err(), Refused::NotPrime(2));
    assert_eq!(Maglev::sized(7, &nodes(1..=7)).unwrap_err(), Refused::Full);
    let mut six = Maglev::sized(7, &nodes(1..=6)).unwrap();
    assert_eq!(six.add(Node::new(9)), Err(Refused::Full));
    assert_eq!(Ring::of(2, &[Node::new(1).weighing(u32::MAX)]).unwrap_err(), Refused::Full);
}

#[test]
fn more_virtual_nodes_are_more_even() {
    let ten = nodes(1..=10);
    let even = |v| spread(&loads(&Ring::of(v, &ten).unwrap(), KEYS)).0;
    assert!(even(1) > even(30) && even(30) > even(1_000), "{} {} {}", even(1), even(30), even(1_000));
}

#[test]
fn the_answers_are_the_same_for_ever() {
    fn digits(placement: impl Placement) -> String {
        let owner = |n: u32| placement.owner(Key::of(format!("key-{n}").as_bytes())).unwrap().0;
        (0..40).map(|n| char::from_digit(owner(n) as u32, 16).unwrap()).collect()
    }
    let dozen: Vec<Node> = nodes(1..=12);
    let weighted: Vec<Node> = dozen.iter().map(|node| node.weighing(1 + node.id.0 as u32 % 3)).collect();
    assert_eq!(digits(Ring::of(1, &dozen).unwrap()), "79acc691b19111199ac1619919a9a11919191c99");
    assert_eq!(digits(Ring::of(100, &dozen).unwrap()), "c199684bca12a213591987b46bca245769a9a398");
    assert_eq!(digits(Ring::of(100, &weighted).unwrap()), "719228411a822213592824a46bba28576142b39a");
    assert_eq!(digits(Rendezvous::of(&dozen).unwrap()), "297b97511956a2346aa42993aa7842cba9221819");
    assert_eq!(digits(Rendezvous::of(&weighted).unwrap()), "257b2b511a56a2346aa42883aa88422ba9225815");
    assert_eq!(digits(Jump::of(&dozen).unwrap()), "a46871188c896864543a4a3331a3629237217a66");
    assert_eq!(digits(Maglev::of(&dozen).unwrap()), "7ab7911b3794ba758bb3162ab31117c698444143");
    assert_eq!(digits(Maglev::of(&weighted).unwrap()), "7abb815b2794ba758bb5162ab31117a6984b4143");
}

/// What happens to a set of nodes.
#[derive(Clone, Debug)]
enum Change {
    Add(u64, u32),
    Remove(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1..20u64, 0..4u32).prop_map(|(id, w)| Change::Add(id, w)),
        (1..20u64).prop_map(Change::Remove)
    ]
}

/// Applies changes one by one, and compares with the same set built at once.
fn history<P: Placement>(make: impl Fn(&[Node]) -> P, changes: &[Change], seed: u64) {
    let (mut placement, mut set) = (make(&[]), BTreeMap::new());
    for change in changes {
        match change {
            Change::Add(id, weight) => {
                let node = Node::new(*id).weighing(*weight).at((*id % 4) as u32);
                assert_eq!(placement.add(node).is_ok(), !set.contains_key(id));
                set.entry(*id).or_insert(node);
            }
            Change::Remove(id) => assert_eq!(placement.remove(NodeId(*id)), set.remove(id).is_some()),
        }
    }
    let whole = make(&set.into_values().rev().collect::<Vec<_>>());
    for key in keys(50).map(|key| Key(key.0 ^ seed)) {
        assert_eq!(placement.owner(key), whole.owner(key));
        assert!(placement.walk(key).eq(whole.walk(key)));
        assert_eq!(whole.owner(key), whole.walk(key).next().map(|node| node.id));
        preferences(&whole, key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_the_set_of_nodes_matters(changes in vec(change(), 0..30), seed: u64) {
        history(|nodes| Ring::of(7, nodes).unwrap(), &changes, seed);
        history(|nodes| Rendezvous::of(nodes).unwrap(), &changes, seed);
        history(|nodes| Maglev::sized(101, nodes).unwrap(), &changes, seed);
    }

    #[test]
    fn the_ring_answers_as_a_search_from_the_start_would(
        ids in btree_set(1..1_000u64, 1..20), virtual_nodes in 1..20u32, places in vec(any::<u64>(), 50),
    ) {
        let ring = Ring::of(virtual_nodes, &nodes(ids)).unwrap();
        let on_tokens = ring.tokens().iter().flat_map(|(token, _)| [token - 1, *token, token + 1]);
        for place in places.into_iter().chain(on_tokens) {
            let twin = ring.tokens().iter().find(|(token, _)| *token >= place).unwrap_or(&ring.tokens()[0]);
            prop_assert_eq!(ring.owner(Key(place)), Some(twin.1));
        }
    }

    #[test]
    fn a_jump_goes_forward_only(key: u64, buckets in 1..10_000u32) {
        let (fewer, more) = (quorate_ring::jump(Key(key), buckets), quorate_ring::jump(Key(key), buckets + 1));
        prop_assert!(more == fewer || more == buckets);
    }
}
