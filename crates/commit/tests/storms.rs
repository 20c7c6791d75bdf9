//! Storms of processes and of groups, in two phases and in three. AC1 to AC3 hold after every step, and in the calm after it
//! everything is decided (AC5), serializable, and the same at all replicas.

#[allow(dead_code)]
mod common;

use common::storm::{Tally, Weather, storm};
use quorate_commit::{Paper, Protocol, Termination};

/// Storms of each kind.
const SEEDS: u64 = 100;

fn storms(weather: Weather) {
    let mut all = Tally::default();
    for seed in 0..SEEDS {
        let tally = storm::<Paper>(seed, weather).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        all.committed += tally.committed;
        all.aborted += tally.aborted;
        all.reads += tally.reads;
    }
    println!("{weather:?}: {all:?}");
    assert!(all.committed > 5 * SEEDS as usize && all.aborted > SEEDS as usize && all.reads > SEEDS as usize);
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
