//! Nothing is wrong in the small worlds, as far as a test's time goes; and their counts are those of the
//! book.

use quorate_search::{Bounds, Outcome, Scenario, Searched};

fn searched(protocol: &str, name: &str, states: usize) -> Outcome {
    let protocol = Searched::named(protocol).expect("the protocol exists");
    let scenario = Scenario::named(name).expect("the scenario exists");
    protocol.run(&scenario, None, Bounds { states, depth: 1_000 }, |_, _| {})
}

/// Completely.
#[test]
fn one_round_has_this_many_states_and_nothing_wrong() {
    let outcome = searched("raft", "stale", 100_000);
    assert_eq!(outcome.counterexample, None);
    assert_eq!((outcome.states, outcome.depth, outcome.complete), (14_632, 19, true));
}

/// The same of Zab: an epoch among three, from its election to a command.
#[test]
fn an_epoch_of_zabs_has_this_many_states_and_nothing_wrong() {
    let outcome = searched("zab", "one-leader", 100_000);
    assert_eq!(outcome.counterexample, None);
    assert_eq!((outcome.states, outcome.depth, outcome.complete), (18_656, 20, true));
}

/// As far as they go in a second or two; the command line goes to their ends.
#[test]
fn the_first_states_of_every_scenario_have_nothing_wrong() {
    for protocol in Searched::ALL {
        for scenario in Scenario::ALL {
            let outcome = searched(protocol.name, scenario.name, 10_000);
            assert_eq!(outcome.counterexample, None, "{}, {}", protocol.name, scenario.name);
        }
    }
}

#[test]
fn the_same_search_sees_the_same() {
    assert_eq!(searched("zab", "crashes", 5_000), searched("zab", "crashes", 5_000));
}
