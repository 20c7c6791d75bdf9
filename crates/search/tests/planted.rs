//! The search is checked: each bug put in is found, as what it is, by a path that stays short.

use quorate_search::{Bounds, Scenario, Searched};

/// What a bug is found as, and in how many steps.
fn found(protocol: &str, plant: &str) -> (String, usize) {
    let protocol = Searched::named(protocol).expect("the protocol exists");
    let plant = protocol.plant(plant).expect("the bug exists");
    let scenario = Scenario::named(plant.scenario).expect("the scenario exists");
    let outcome = protocol.run(&scenario, Some(plant), Bounds { states: 400_000, depth: 100 }, |_, _| {});
    let counterexample = outcome.counterexample.unwrap_or_else(|| panic!("{}", plant.name));
    let property = counterexample.what.split(':').next().unwrap_or_default().to_string();
    (property, counterexample.steps.len())
}

#[test]
fn every_bug_is_found_by_a_shortest_path() {
    for (protocol, plant, property, steps) in [
        ("raft", "vote-twice", "ElectionSafety", 8),
        ("raft", "vote-without-log-check", "LeaderCompleteness", 11),
        ("raft", "commit-old-term-by-counting", "LeaderCompleteness", 14),
        ("raft", "append-without-check", "LogMatching", 5),
        ("raft", "forget-vote-on-restart", "ElectionSafety", 13),
        ("raft", "ack-before-fsync", "Durable commit", 8),
        ("raft", "skip-joint", "LeaderCompleteness", 24),
        ("paxos", "accept-any-ballot", "CoreInvariant", 9),
        ("paxos", "promise-reports-nothing", "LeaderCompleteness", 13),
        ("paxos", "elect-without-quorum", "LeaderCompleteness", 9),
        ("paxos", "forget-vote-on-restart", "LeaderCompleteness", 13),
        ("paxos", "ack-before-fsync", "Durable commit", 8),
        ("paxos", "skip-joint", "LeaderCompleteness", 20),
        ("zab", "establish-alone", "Durable commit", 13),
        ("zab", "ack-before-fsync", "Durable commit", 14),
    ] {
        assert_eq!(found(protocol, plant), (property.to_string(), steps), "{protocol}, {plant}");
    }
}
