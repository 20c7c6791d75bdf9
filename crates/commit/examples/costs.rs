//! What each mistake costs: of so many storms, how many end in a wrong decision, a wrong read, or in none at all. The
//! tables of `docs/commit.md` are this program's: `cargo run --release -p quorate-commit --example costs`.

#[allow(dead_code)]
#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use common::storm::{Weather, storm};
use quorate_commit::{Paper, Protocol, Rules, Termination};

/// Storms of each kind.
const STORMS: u64 = 500;

/// How many storms break what, by the property's first word.
fn costs<R: Rules>(name: &str, weather: Weather) {
    let mut broken: BTreeMap<String, u64> = BTreeMap::new();
    let weather = Weather { blind: true, ..weather };
    for seed in 0..STORMS {
        if let Err(what) = storm::<R>(seed, weather) {
            let what = what.split_once(": ").map_or(what.as_str(), |(_, what)| what);
            let property = what.split([':', '\n']).next().unwrap_or(what);
            *broken.entry(property.to_owned()).or_default() += 1;
        }
    }
    let all: u64 = broken.values().sum();
    let parts: Vec<String> = broken.iter().map(|(property, times)| format!("{property} {times}")).collect();
    println!("| {name} | {:.1} % | {} |", 100.0 * all as f64 / STORMS as f64, parts.join(", "));
}

macro_rules! broken {
    ($($name:literal: $rule:ident, $replicas:literal, $protocol:expr;)*) => {$({
        struct Broken;
        impl Rules for Broken {
            fn $rule() -> bool {
                false
            }
        }
        costs::<Broken>($name, Weather::all($replicas, $protocol));
    })*};
}

fn main() {
    let quorum = Protocol::ThreePhase(Termination::Quorum);
    println!("| mistake | storms broken | as |\n|---|---:|---|");
    costs::<Paper>("none, two phases", Weather::all(1, Protocol::TwoPhase));
    costs::<Paper>("none, two phases in parallel", Weather::all(1, Protocol::Parallel));
    costs::<Paper>("none, three phases with quorums", Weather::all(1, quorum));
    broken! {
        "the participant's Yes is not durable": records_its_yes, 1, Protocol::TwoPhase;
        "an enquiry is answered before the fence (groups of 3)": fences_before_answering, 3, Protocol::TwoPhase;
        "commit is sent before it is decided": decides_before_telling, 1, Protocol::TwoPhase;
        "one vote is not waited for": needs_all_votes, 1, Protocol::TwoPhase;
        "the last decision written counts (groups of 3)": decision_is_final, 3, Protocol::TwoPhase;
        "the participant presumes abort": asks_when_in_doubt, 1, Protocol::TwoPhase;
        "range reads are not locked": locks_ranges, 1, Protocol::TwoPhase;
        "locks are released at Yes": holds_until_decided, 1, Protocol::TwoPhase;
        "prepared below what is closed": prepares_above_closed, 1, Protocol::TwoPhase;
        "committed at the earliest": commits_at_latest, 1, Protocol::TwoPhase;
        "names below the floor are taken": refuses_below_floor, 1, Protocol::TwoPhase;
        "parallel: the client is told before it is staged": tells_once_staged, 1, Protocol::Parallel;
        "parallel: aborted since votes are late": staged_waits_for_a_no, 1, Protocol::Parallel;
        "the third round is a rollback": third_round_commits, 1, quorum;
        "earlier attempts are joined": joins_later_attempts_only, 1, quorum;
        "an attempt always aborts": takes_up_latest_attempt, 1, quorum;
    }
    for (name, termination) in [("classical", Termination::Classical), ("Skeen's", Termination::Skeen)] {
        let all = Weather::all(1, Protocol::ThreePhase(termination));
        let prompt = Weather { partitions: false, losses: false, prompt: true, ..all };
        costs::<Paper>(&format!("{name} termination, only sites fail"), prompt);
        costs::<Paper>(
            &format!("{name} termination, and partitions"),
            Weather { partitions: true, ..prompt },
        );
        costs::<Paper>(&format!("{name} termination, and losses and delays"), all);
    }
}
