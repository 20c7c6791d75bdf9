//! Storms of processes and of groups, in two phases and in three. AC1 to AC3 hold after every step, and in the calm after it
//! everything is decided (AC5), serializable, and the same at all replicas.
//!
//! `COMMIT_SEEDS=n` runs as many of each kind. What they have found, all of it in three phases and none a wrong decision:
//!
//! * A coordinator that repeated PreCommit put off, each time, the participant's own attempt to end it, whose answers it did not
//!   hear, or which had joined a later attempt.
//! * One of a majority that has not voted, and below whose floor the transaction is, could not answer; and the
//!   coordinator, which could, was not asked.
//! * Participants that had committed among themselves forgot it below their floor before the coordinator knew.
//! * A decision to abort what was ready and below the floor was remembered for ever.

#[allow(dead_code)]
mod common;

use common::storm::{Tally, Weather, storm};
use quorate_commit::{Paper, Protocol, Termination};

/// Storms of each kind.
const SEEDS: u64 = 100;

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn storms(weather: Weather) {
    let mut all = Tally::default();
    let seeds = given("COMMIT_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let tally = storm::<Paper>(seed, weather).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        all.committed += tally.committed;
        all.aborted += tally.aborted;
        all.reads += tally.reads;
    }
    println!("{weather:?}: {all:?}");
    let seeds = seeds as usize;
    // They were storms, and not a calm that breaks nothing because nothing happens.
    assert!(all.committed > 5 * seeds && all.aborted > seeds && all.reads > seeds, "{all:?}");
}

#[test]
fn processes_in_two_phases() {
    storms(Weather::all(1, Protocol::TwoPhase));
}

#[test]
fn groups_in_two_phases() {
    storms(Weather::all(3, Protocol::TwoPhase));
}

#[test]
fn processes_in_parallel() {
    storms(Weather::all(1, Protocol::Parallel));
}

#[test]
fn groups_in_parallel() {
    storms(Weather::all(3, Protocol::Parallel));
}

#[test]
fn processes_in_three_phases() {
    storms(Weather::all(1, Protocol::ThreePhase(Termination::Quorum)));
}

#[test]
fn groups_in_three_phases() {
    storms(Weather::all(3, Protocol::ThreePhase(Termination::Quorum)));
}

/// Where silence does mean death, and nothing is lost, Skeen's termination and the classical time-outs are right.
#[test]
fn all_of_three_phases_where_only_sites_fail() {
    for termination in [Termination::Classical, Termination::Skeen] {
        let all = Weather::all(1, Protocol::ThreePhase(termination));
        storms(Weather { partitions: false, losses: false, prompt: true, ..all });
    }
}
