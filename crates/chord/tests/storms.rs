//! Members come, go and fail while messages take their time, and Zave's invariant is checked after every step; then
//! with losses and repetitions, after which the ring must come back to what it should be.
//!
//! Within the assumptions (nobody alive is taken for dead, nobody goes whose going would leave a member without a live
//! successor, or too few principals) nothing may ever be wrong. Beyond them, service must come back once it is calm.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::variants::{OriginalJoin, Unheard};
use common::world::World;
use common::{ideal, nodes, peer, wrong};
use proptest::prelude::*;
use quorate_checker::chord_ring;
use quorate_chord::{Chord, Corrected, Effect, Event, Id, Manner, Peer, Phase, Rules};
use quorate_protocol::NodeId;

/// r.
const SUCCESSORS: usize = 3;

/// Zave's invariant, for lists of this length.
fn check<R: Rules, const SUCCESSORS: usize>(world: &World<R>) -> Option<String> {
    wrong(&world.views(), SUCCESSORS + 1)
}

/// Whether this member may go.
fn may_go<R: Rules>(world: &World<R>, gone: Peer, successors: usize) -> bool {
    chord_ring::may_go(&nodes(&world.views()), gone.id.0, successors + 1)
}

/// One storm: `changes` times somebody joins, leaves or fails.
fn storm<R: Rules, const SUCCESSORS: usize>(seed: u64, changes: u64) -> World<R> {
    let mut world = World::new(seed);
    let mut next = 0;
    let mut fresh = |world: &mut World<R>| {
        next += 1;
        // Places at random, addresses in order.
        Peer { id: Id(world.random.next_u64()), node: NodeId(next) }
    };
    let mut first: Vec<_> = (0..6).map(|_| fresh(&mut world)).collect();
    first.sort_unstable();
    world.found(&first, SUCCESSORS);
    world.check = check::<R, SUCCESSORS>;
    for _ in 0..changes {
        let wait = world.random.between(1, 40);
        world.run(wait);
        let members = world.members();
        let some = members[world.random.below(members.len() as u64) as usize];
        match world.random.below(10) {
            0..5 => {
                let own = fresh(&mut world);
                world.join(own, SUCCESSORS, some.node);
            }
            5..7 if may_go(&world, some, SUCCESSORS) => world.step(some.node, Event::Leave),
            7..10 if may_go(&world, some, SUCCESSORS) => world.fail(some.node),
            _ => {}
        }
    }
    world
}

#[test]
fn within_the_assumptions_nothing_is_ever_wrong() {
    for seed in 0..16 {
        let mut world = storm::<Corrected, SUCCESSORS>(seed, 40);
        world.run(600);
        assert_eq!(world.wrong, None, "seed {seed}");
        assert!(ideal(&world.views(), SUCCESSORS), "seed {seed}: {:#?}", world.views());
        let (found, right, _) = world.ask_around(50, Manner::Iterative);
        assert_eq!((found, right), (50, 50), "seed {seed}");
        let (found, right, _) = world.ask_around(50, Manner::Recursive);
        assert_eq!((found, right), (50, 50), "seed {seed}");
    }
}

/// The first seed whose storm shows that something is wrong, where nothing is with the rules as they should be.
fn first_wrong<R: Rules, const SUCCESSORS: usize>() -> (u64, String) {
    let sound = |seed| storm::<Corrected, SUCCESSORS>(seed, 40).wrong.is_none();
    let found =
        |seed| storm::<R, SUCCESSORS>(seed, 40).wrong.filter(|_| sound(seed)).map(|what| (seed, what));
    (0..1_000).find_map(found).expect("it is found within a thousand seeds")
}

#[test]
fn broken_rules_are_found() {
    let (seed, what) = first_wrong::<OriginalJoin, SUCCESSORS>();
    println!("original join: seed {seed}, {what}");
    let (seed, what) = first_wrong::<Unheard, 1>();
    println!("unheard pointer: seed {seed}, {what}");
}

#[test]
fn after_losses_and_false_suspicions_the_ring_comes_back() {
    for seed in 100..112 {
        let mut world: World<Corrected> = World::new(seed);
        let members: Vec<_> = (1..=16).map(|n| peer(n << 59)).collect();
        world.found(&members, 6);
        (world.loss, world.repetition, world.delay) = (15, 15, 6);
        for round in 0..20 {
            world.run(60);
            let own = peer((round << 58) + 77);
            world.join(own, 6, NodeId(1 << 59));
            if round % 4 == 0 {
                let some = world.members()[round as usize % 7].node;
                if some != NodeId(1 << 59) {
                    world.fail(some);
                }
            }
        }
        world.ask_around(40, Manner::Recursive);
        (world.loss, world.repetition, world.delay) = (0, 0, 3);
        // Who was lost to the ring, or could not join, tries again.
        for _ in 0..8 {
            let outside = world.views().into_iter().filter(|view| view.phase == Phase::Outside);
            for view in outside.collect::<Vec<_>>() {
                world.step(view.own.node, Event::Join(NodeId(1 << 59)));
            }
            world.run(300);
        }
        assert!(world.members().len() > 20, "seed {seed}: {} members", world.members().len());
        assert!(ideal(&world.views(), 6), "seed {seed}: {:#?}", world.views());
        let (found, right, _) = world.ask_around(60, Manner::Iterative);
        assert_eq!((found, right), (60, 60), "seed {seed}");
    }
}

#[test]
fn a_ring_that_grew_by_joins_has_the_fingers_it_should() {
    let mut world: World<Corrected> = World::new(5);
    world.nodes.insert(NodeId(1), Chord::alone(World::<Corrected>::config(peer(1), 4), 5));
    for number in 1..40u64 {
        let own = Peer { id: Id(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)), node: NodeId(number + 1) };
        world.join(own, 4, NodeId(1));
        world.run(100);
    }
    world.run(2_500);
    assert_eq!(world.members().len(), 40);
    assert!(ideal(&world.views(), 4));
    let mut members = world.members();
    members.sort_unstable();
    for node in world.nodes.values() {
        let whole: Chord<Corrected> = Chord::among(World::<Corrected>::config(node.own(), 4), &members, 1);
        assert!(node.fingers().eq(whole.fingers()), "{:?}", node.own());
    }
}

/// Moves keys as the nodes say, and checks that each is at the node responsible. Answers how many moved.
fn keys_follow(seed: u64, changes: &[(bool, u64)]) -> usize {
    let mut world: World<Corrected> = World::new(seed);
    // Messages overtake each other: a late word of one who has left is not believed.
    world.delay = 4;
    world.nodes.insert(NodeId(1), Chord::alone(World::<Corrected>::config(peer(1), 4), seed));
    let keys: Vec<Id> = (0..100).map(|_| Id(world.random.next_u64())).collect();
    let mut held: BTreeMap<NodeId, BTreeSet<Id>> =
        BTreeMap::from([(NodeId(1), keys.iter().copied().collect())]);
    let mut moved_in_all = 0;
    for (join, place) in changes {
        let members = world.members();
        let some = members[*place as usize % members.len()].node;
        if *join {
            let own = peer(*place);
            if !members.contains(&own) {
                world.join(own, 4, some);
            }
        } else if members.len() > 1 {
            world.step(some, Event::Leave);
        }
        world.run(250);
        for (node, effect) in world.told.drain(..) {
            let Effect::Given { from, upto, to } = effect else { continue };
            let mine = held.entry(node).or_default();
            let moved: BTreeSet<Id> = mine.iter().copied().filter(|key| key.within(from, upto)).collect();
            mine.retain(|key| !moved.contains(key));
            moved_in_all += moved.len();
            held.entry(to.node).or_default().extend(moved);
        }
        for key in &keys {
            let owner = world.owner(*key).unwrap();
            assert!(held[&owner.node].contains(key), "{key:?} is not at {owner:?}");
        }
        assert_eq!(held.values().map(BTreeSet::len).sum::<usize>(), keys.len(), "each once");
    }
    moved_in_all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn keys_follow_their_nodes(seed: u64, changes in proptest::collection::vec((any::<bool>(), 2..u64::MAX), 0..12)) {
        keys_follow(seed, &changes);
    }
}

#[test]
fn keys_follow_a_ring_that_grows_and_shrinks_to_one() {
    let places = (1..=6u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let changes: Vec<_> =
        places.clone().map(|place| (true, place)).chain(places.map(|place| (false, place))).collect();
    assert!(keys_follow(9, &changes) >= 200, "all that the first had went to others, and came back");
}
