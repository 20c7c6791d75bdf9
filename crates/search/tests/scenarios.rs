//! Nothing is wrong in the small worlds, as far as a test's time goes; and their counts are those of the
//! book.

use quorate_search::{Bounds, Outcome, Scenario, run};

fn searched(name: &str, states: usize) -> Outcome {
    let scenario = Scenario::named(name).expect("the scenario exists");
    run(&scenario, None, Bounds { states, depth: 1_000 }, |_, _| {})
}

/// Completely.
#[test]
fn one_round_has_this_many_states_and_nothing_wrong() {
    let outcome = searched("stale", 100_000);
    assert_eq!(outcome.counterexample, None);
    assert_eq!((outcome.states, outcome.depth, outcome.complete), (14_632, 19, true));
}

/// As far as they go in a second or two; the command line goes to their ends.
#[test]
fn the_first_states_of_every_scenario_have_nothing_wrong() {
    for scenario in Scenario::ALL {
        let outcome = searched(scenario.name, 10_000);
        assert_eq!(outcome.counterexample, None, "{}", scenario.name);
    }
}

#[test]
fn the_same_search_sees_the_same() {
    assert_eq!(searched("crashes", 5_000), searched("crashes", 5_000));
}
