//! Storms: many seeds, every property checked after every step, then service demanded.

#[allow(dead_code)]
mod common;

use common::chaos::{Seen, chaos};
use quorate_golden::Detail;
use quorate_raft::Paper;

/// Steps of a storm.
const STEPS: usize = 2_000;

/// Storms.
const SEEDS: u64 = 300;

#[test]
fn storms_break_nothing_and_service_returns() {
    if let Some(seed) = std::env::var("RAFT_SEED").ok().and_then(|seed| seed.parse().ok()) {
        chaos::<Paper>(seed, STEPS, Detail::Full).unwrap_or_else(|what| panic!("{what}"));
        return;
    }
    let mut all = Seen::default();
    for seed in 0..SEEDS {
        let seen = chaos::<Paper>(seed, STEPS, Detail::Silent).unwrap_or_else(|what| panic!("{what}"));
        all.leaders += seen.leaders;
        all.committed += seen.committed;
        all.snapshots += seen.snapshots;
        all.served += seen.served;
    }
    println!("{all:?}");
    // They were storms, and not a calm that breaks nothing because nothing happens.
    assert!(all.leaders > 4 * SEEDS as usize, "{all:?}");
    assert!(all.committed > 40 * SEEDS, "{all:?}");
    assert!(all.snapshots > SEEDS as usize / 2, "{all:?}");
    assert!(all.served > 4 * SEEDS as usize, "{all:?}");
}
