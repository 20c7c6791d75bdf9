//! A small part of the paper's figures, within their bands; the rest takes a release build.

use super::measure::{Paper, churn, failures, loads, paths, virtual_loads};
use quorate_chord::{Corrected, Manner};

#[test]
fn paths_are_as_long_as_published() {
    for (nodes, published) in [(256, 3.9), (1_024, 4.9)] {
        for seed in 1..3 {
            let fingers = paths::<Paper>(nodes, 8_000, Manner::Recursive, seed);
            assert!((fingers.mean - published).abs() < 0.15, "{nodes}: {fingers:?}");
            let both = paths::<Corrected>(nodes, 2_000, Manner::Iterative, seed);
            assert!(both.mean < fingers.mean && both.wrong == 0.0, "{nodes}: {both:?}");
        }
    }
}

#[test]
fn manners_agree() {
    let [iterative, recursive] =
        [Manner::Iterative, Manner::Recursive].map(|manner| paths::<Corrected>(256, 2_000, manner, 3));
    assert_eq!(iterative.mean, recursive.mean, "the same nodes are gone through");
    assert!(recursive.messages < iterative.messages);
}

#[test]
fn loads_are_as_uneven_as_published() {
    let one = loads(2_000, 100_000, 1);
    assert!((one.p99 - 4.6).abs() < 4.6 * 0.15, "{one:?}");
    let [one, twenty] = [1, 20].map(|each| virtual_loads(10_000, each, 1_000_000, 1));
    assert!(
        (one.p99 - 4.8).abs() < 4.8 * 0.10 && (twenty.p99 - 1.6).abs() < 1.6 * 0.05,
        "{one:?} {twenty:?}"
    );
}

#[test]
fn lookups_fail_for_what_the_dead_had_and_nothing_else() {
    let (lost, wrong) = failures(400, 20, 1_000, 1);
    assert!((lost - 0.20).abs() < 0.08 && wrong < 0.002, "{lost} {wrong}");
}

#[test]
fn under_churn_trying_others_helps() {
    let [paper, ours] = [churn::<Paper>(200, 0.2, 400, 1), churn::<Corrected>(200, 0.2, 400, 1)];
    assert!(paper.lookups > 300 && paper.failed > 2 * ours.failed.max(1), "{paper:?} {ours:?}");
}
