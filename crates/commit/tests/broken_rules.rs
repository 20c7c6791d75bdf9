//! The checks are checked: each rule of `rules.rs` broken on its own must be caught by the storms within a thousand seeds.
//! The observer is blind to what the core says of itself and to what is durable, and sees only what comes of the bug.
//! The same storms pass under the rules as they should be (`storms.rs`).

#[allow(dead_code)]
mod common;

use common::storm::{Weather, storm};
use quorate_commit::{Protocol, Rules, Termination};

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
    the_third_round_is_a_rollback: third_round_commits, QUORUM, "AC1";
    an_attempt_always_aborts: takes_up_latest_attempt, QUORUM, "AC1";
}

/// What the termination protocols other than Quorum assume, and what happens where it does not hold.
#[test]
fn classical_and_skeen_break_under_partitions() {
    for termination in [Termination::Classical, Termination::Skeen] {
        let what = caught::<quorate_commit::Paper>(Protocol::ThreePhase(termination));
        assert!(what.contains("AC1"), "caught, but as: {what}");
    }
}
