//! How evenly keys fall, against the reference: a hundred nodes, a million keys, measured once elsewhere.
//!
//! The reference is one draw of each method's distribution. So it is compared with several draws of ours: it must be
//! within four of *their* standard deviations of their mean, a fifth of a hundredth being granted for its rounding.
//! And our mean must be what theory says: a deviation of √(1/V + n/m) for a ring of V virtual nodes, √(n/m) for what
//! has no imbalance of its own but the sample's.

mod common;

use common::{keys, loads, moments, nodes, spread};
use quorate_protocol::NodeId;
use quorate_ring::{Jump, Maglev, Node, Placement, Rendezvous, Ring};

const NODES: u64 = 100;
const KEYS: u64 = 1_000_000;

/// Draws: each set of nodes has other ids, so other hashes.
const DRAWS: u64 = 8;

fn draw(number: u64) -> Vec<Node> {
    nodes((1..=NODES).map(|n| number * 1_000 + n))
}

/// Compares `DRAWS` draws with the reference (deviation, maximum) and with theory (deviation).
fn compare<P: Placement>(
    make: impl Fn(&[Node]) -> P,
    reference: (f64, Option<f64>),
    theory: f64,
    draws: u64,
) {
    let drawn: Vec<(f64, f64)> =
        (0..draws).map(|number| spread(&loads(&make(&draw(number)), KEYS))).collect();
    let of = |pick: fn(&(f64, f64)) -> f64| moments(&drawn.iter().map(pick).collect::<Vec<f64>>());
    let (deviation, error) = of(|drawn| drawn.0);
    println!("{}: sd/mean {deviation:.4} ± {error:.4}, max/mean {:.2}", P::NAME, of(|drawn| drawn.1).0);
    assert!((deviation - reference.0).abs() < 4.0 * error + 0.002, "{deviation} ± {error}, {reference:?}");
    // The deviation of a mean of `draws`, with room for what few draws misjudge of their own error.
    assert!((deviation - theory).abs() < 6.0 * error / (draws as f64).sqrt() + 0.001, "{deviation} {theory}");
    if let Some(reference) = reference.1 {
        let (highest, error) = of(|drawn| drawn.1);
        assert!((highest - reference).abs() < 4.0 * error + 0.01, "{highest} ± {error}, {reference}");
    }
}

fn theory(virtual_nodes: f64) -> f64 {
    (1.0 / virtual_nodes + NODES as f64 / KEYS as f64).sqrt()
}

#[test]
fn the_ring_is_as_even_as_it_should() {
    compare(|nodes| Ring::of(1, nodes).unwrap(), (0.724, Some(3.64)), theory(1.0), 2 * DRAWS);
    compare(|nodes| Ring::of(100, nodes).unwrap(), (0.085, Some(1.20)), theory(100.0), DRAWS);
    compare(|nodes| Ring::of(1_000, nodes).unwrap(), (0.035, Some(1.08)), theory(1_000.0), DRAWS);
}

#[test]
fn rendezvous_and_jump_are_as_even_as_the_sample() {
    compare(|nodes| Rendezvous::of(nodes).unwrap(), (0.009, Some(1.03)), theory(f64::INFINITY), 4);
    // Jump knows only numbers: one draw is like another.
    let (deviation, _) = spread(&loads(&Jump::of(&draw(0)).unwrap(), KEYS));
    let error = theory(f64::INFINITY) / (2.0 * NODES as f64).sqrt();
    assert!((deviation - 0.010).abs() < 4.0 * error, "{deviation}");
}

#[test]
fn maglev_is_as_even_as_the_sample_and_moves_a_little_more() {
    compare(|nodes| Maglev::of(nodes).unwrap(), (0.009, None), theory(f64::INFINITY), DRAWS);
    let extra = |number: u64| {
        let nodes = draw(number);
        let (before, mut after) = (Maglev::of(&nodes).unwrap(), Maglev::of(&nodes).unwrap());
        let gone = nodes[(number * 13 % NODES) as usize].id;
        after.remove(gone);
        let moved = |key: &_| before.owner(*key) != after.owner(*key) && before.owner(*key) != Some(gone);
        keys(KEYS).filter(moved).count() as f64 / KEYS as f64
    };
    let (mean, error) = moments(&(0..DRAWS).map(extra).collect::<Vec<_>>());
    println!("maglev: moves beyond the least, on remove: {mean:.4} ± {error:.4}");
    assert!((mean - 0.005).abs() < 4.0 * error + 0.0005, "{mean} ± {error}");
}

#[test]
fn a_node_that_joins_takes_its_share() {
    let (n, m) = (NODES as f64, KEYS as f64);
    let share = 1.0 / (n + 1.0);
    let taken = |mut placement: Box<dyn FnMut(bool) -> Vec<Option<NodeId>>>| {
        let (before, after) = (placement(false), placement(true));
        before.iter().zip(after).filter(|(old, new)| **old != *new).count() as f64 / m
    };
    fn owners<P: Placement + 'static>(mut placement: P) -> Box<dyn FnMut(bool) -> Vec<Option<NodeId>>> {
        Box::new(move |join| {
            if join {
                placement.add(Node::new(9_999)).unwrap();
            }
            keys(KEYS).map(|key| placement.owner(key)).collect()
        })
    }
    let sampled = 4.0 * (share / m).sqrt();
    assert!((taken(owners(Jump::of(&draw(0)).unwrap())) - share).abs() < sampled);
    assert!((taken(owners(Rendezvous::of(&draw(0)).unwrap())) - share).abs() < sampled);
    let varied = 4.0 * share / 1_000f64.sqrt();
    assert!((taken(owners(Ring::of(1_000, &draw(0)).unwrap())) - share).abs() < sampled + varied);
}

#[test]
fn the_hash_modulo_the_node_count_moves_nearly_everything() {
    let moved = keys(KEYS).filter(|key| key.0 % NODES != key.0 % (NODES + 1)).count() as f64 / KEYS as f64;
    let n = NODES as f64;
    assert!((moved - n / (n + 1.0)).abs() < 0.001, "{moved}");
}
