//! The search is checked: each bug put in is found, as what it is, by a path that stays short.

use quorate_search::{Bounds, Plant, Scenario, run};

/// What a bug is found as, and in how many steps.
fn found(plant: Plant) -> (String, usize) {
    let scenario = Scenario::named(plant.scenario()).expect("the scenario exists");
    let outcome = run(&scenario, Some(plant), Bounds { states: 400_000, depth: 100 }, |_, _| {});
    let counterexample = outcome.counterexample.unwrap_or_else(|| panic!("{}", plant.name()));
    let property = counterexample.what.split(':').next().unwrap_or_default().to_string();
    (property, counterexample.steps.len())
}

#[test]
fn every_bug_is_found_by_a_shortest_path() {
    for (plant, property, steps) in [
        (Plant::VoteTwice, "ElectionSafety", 8),
        (Plant::VoteWithoutLogCheck, "LeaderCompleteness", 11),
        (Plant::CommitOldTermByCounting, "LeaderCompleteness", 14),
        (Plant::AppendWithoutCheck, "LogMatching", 5),
        (Plant::ForgetVoteOnRestart, "ElectionSafety", 13),
        (Plant::AckBeforeFsync, "Durable commit", 8),
        (Plant::SkipJoint, "LeaderCompleteness", 24),
    ] {
        assert_eq!(found(plant), (property.to_string(), steps), "{}", plant.name());
    }
}
