//! Storms: many seeds, every property checked after every step, then service demanded.
//!
//! `PAXOS_SEED=n` runs one storm and shows the end of its transcript if it fails; `PAXOS_SEEDS=n` runs as many.
//!
//! What storms, and reading the code for them, have found so far:
//!
//! * An acceptor that had promised, restarted with a damaged disk, and was asked for the next part of its report gave it:
//!   half of the report was from before the damage, half from after. It may not go on with a promise either.
//! * A node had restarted and held everything without knowing it to be chosen; another, whose promise it needed, had let go
//!   of that, and could not lead itself. Nobody ever led (storm 2475): who has let go of slots says so now, and under which ballot.
//! * An acceptance that arrived while a gap before it was being filled was taken for the answer to that, and everything was
//!   sent again.

#[allow(dead_code)]
mod common;

use common::Spoken;
use quorate_golden::Detail;
use quorate_golden::storm::{Seen, storm};

/// Steps of a storm.
const STEPS: usize = 2_000;

/// Storms.
const SEEDS: u64 = 300;

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn storms_break_nothing_and_service_returns() {
    if let Some(seed) = given("PAXOS_SEED") {
        storm::<Spoken>(seed, STEPS, Detail::Full).unwrap_or_else(|what| panic!("{what}"));
        return;
    }
    let seeds = given("PAXOS_SEEDS").unwrap_or(SEEDS);
    let mut all = Seen::default();
    for seed in 0..seeds {
        all.add(storm::<Spoken>(seed, STEPS, Detail::Silent).unwrap_or_else(|what| panic!("{what}")));
    }
    println!("{all:?}");
    // They were storms, and not a calm that breaks nothing because nothing happens.
    assert!(all.leaders as u64 > 3 * seeds / 2, "{all:?}");
    assert!(all.committed > 40 * seeds, "{all:?}");
    assert!(all.snapshots as u64 > seeds, "{all:?}");
    assert!(all.served as u64 > 8 * seeds, "{all:?}");
    assert!(all.changes as u64 > seeds, "{all:?}");
    assert!(all.transfers as u64 > seeds / 2, "{all:?}");
    assert!(all.damaged as u64 > seeds / 2, "{all:?}");
}
