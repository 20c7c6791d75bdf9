//! The checks are checked: each rule of `rules.rs` broken on its own must be caught by the storms within a thousand seeds,
//! or by the script that tells its story.
//! The observer is blind to what the core says of itself and to what is durable, and sees only what comes of the bug.
//! The same storms pass under the rules as they should be (`storms.rs`).

#[allow(dead_code)]
mod common;

use std::path::Path;

use common::script::Script;
use common::storm::{Weather, storm};
use common::world::World;
use quorate_commit::{Age, Outcome, Paper, Protocol, Rules, SiteId, Termination, TxnId};

/// Storms within which a bug must be caught.
const SEEDS: u64 = 1_000;

const TWO: Protocol = Protocol::TwoPhase;
const QUORUM: Protocol = Protocol::ThreePhase(Termination::Quorum);

/// Storms of processes and of groups, by turns, until one breaks; the answer is what it broke.
#[track_caller]
fn caught<R: Rules>(protocol: Protocol) -> String {
    let broken = |seed: u64| {
        let replicas = if seed.is_multiple_of(2) { 1 } else { 3 };
        let weather = Weather { blind: true, ..Weather::all(replicas, protocol) };
        Some((seed, storm::<R>(seed / 2, weather).err()?))
    };
    let (seed, what) = (0..SEEDS).find_map(broken).expect("the bug is caught");
    println!("caught by seed {seed}: {what}");
    what
}

macro_rules! broken {
    ($($test:ident: $rule:ident, $protocol:expr, $($wanted:literal)|+;)*) => {$(
        #[test]
        fn $test() {
            struct Broken;
            impl Rules for Broken {
                fn $rule() -> bool {
                    false
                }
            }
            let what = caught::<Broken>($protocol);
            assert!([$($wanted),+].iter().any(|wanted| what.contains(wanted)), "caught, but as: {what}");
        }
    )*};
}

broken! {
    a_participant_forgets_its_yes: records_its_yes, TWO, "AC1" | "AC2" | "AC5" | "serial order" | "differ";
    an_enquiry_is_answered_before_the_fence: fences_before_answering, TWO, "AC1";
    commit_is_sent_before_it_is_decided: decides_before_telling, TWO, "AC1";
    a_vote_is_missing: needs_all_votes, TWO, "AC3";
    the_last_write_wins: decision_is_final, TWO, "AC2";
    a_participant_presumes_abort: asks_when_in_doubt, TWO, "AC1";
    ranges_are_not_locked: locks_ranges, TWO, "serial order";
    locks_are_released_at_yes: holds_until_decided, TWO, "serial order";
    a_timestamp_is_below_a_closed_one: prepares_above_closed, TWO, "moment" | "serial order";
    commits_at_the_earliest: commits_at_latest, TWO, "serial order";
    names_below_the_floor_are_taken: refuses_below_floor, TWO, "AC1" | "AC2" | "AC5";
    the_client_is_told_before_it_is_staged: tells_once_staged, Protocol::Parallel, "AC1";
    what_is_staged_is_aborted_for_lateness: staged_waits_for_a_no, Protocol::Parallel, "AC1" | "told";
    the_third_round_is_a_rollback: third_round_commits, QUORUM, "AC1";
    an_attempt_always_aborts: takes_up_latest_attempt, QUORUM, "AC1";
}

/// What the termination protocols other than Quorum assume, and what happens where it does not hold.
#[test]
fn classical_and_skeen_break_under_partitions() {
    for termination in [Termination::Classical, Termination::Skeen] {
        let what = caught::<Paper>(Protocol::ThreePhase(termination));
        assert!(what.contains("AC1"), "caught, but as: {what}");
    }
}

/// Run a script of `tests/scripts`; the answer is what it ended with.
fn caught_by_script<R: Rules>(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let input = std::fs::read_to_string(path).expect("the script is there");
    let mut script = Script::<R>::default();
    goldenscript::generate(&mut script, &input).expect_err("the bug is caught").to_string()
}

macro_rules! broken_in_script {
    ($($test:ident: $rule:ident, $script:literal, $wanted:literal;)*) => {$(
        #[test]
        fn $test() {
            struct Broken;
            impl Rules for Broken {
                fn $rule() -> bool {
                    false
                }
            }
            let what = caught_by_script::<Broken>($script);
            assert!(what.contains($wanted), "caught, but as: {what}");
        }
    )*};
}

broken_in_script! {
    an_earlier_attempt_is_joined: joins_later_attempts_only, "33_earlier_attempt.txt", "AC1";
    the_third_round_rolls_back: third_round_commits, "35_third_round_commits.txt", "AC1";
    the_younger_waits_too: younger_dies, "20_crossing.txt", "expected waiting 0";
    the_fence_is_not_waited_for: fences_before_answering, "05_coordinator_dies_after_prepare.txt", "nothing is durable";
    the_last_of_two_drivers_wins: decision_is_final, "19_two_drivers.txt", "only what is committed must be told";
    a_range_is_not_locked: locks_ranges, "03_conflict.txt", "no two prepared transactions conflict";
    who_is_in_doubt_aborts: asks_when_in_doubt, "11_coordinator_down_and_back.txt", "undecided";
}

/// Two transactions cross, and nobody dies: no time-out but the coordinator's ends it, and both are aborted.
#[test]
fn without_wait_die_crossing_transactions_wait_for_each_other() {
    struct Broken;
    impl Rules for Broken {
        fn younger_dies() -> bool {
            false
        }
    }
    fn ticks_to_decide<R: Rules>() -> (u64, usize) {
        let mut world: World<R> = World::new(3, 1, common::config);
        for number in [1, 2] {
            let txn = TxnId { epoch: 0, coordinator: SiteId(1), number };
            let works = [2, 3].map(|site| (SiteId(site), common::store::work("put k 1")));
            world.begin(txn, Age(number), TWO, works.into()).unwrap();
        }
        // Each arrives first at another site.
        world.net.swap(1, 3);
        let begun = world.now;
        world.stabilize().unwrap();
        while world.outcomes.len() < 2 {
            world.tick().unwrap();
            world.stabilize().unwrap();
        }
        let committed = |(_, outcome): &&(TxnId, Outcome)| matches!(outcome, Outcome::Committed { .. });
        (world.now - begun, world.outcomes.iter().filter(committed).count())
    }
    assert_eq!(ticks_to_decide::<Paper>(), (0, 1));
    assert_eq!(ticks_to_decide::<Broken>(), (20, 0));
}
