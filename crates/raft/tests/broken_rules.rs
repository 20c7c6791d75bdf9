//! The checks are checked: each rule of `rules.rs` broken on its own, and two bugs in the host, must be caught, by
//! the storms within a thousand seeds and, where a script tells the story, by that script. The same scripts
//! and storms pass under the paper's rules (`scripts.rs`, `random.rs`). One rule is broken in `directed.rs`
//! instead: a follower that applies what it has not matched does no harm as long as leaders, on their side,
//! tell nobody of more than has been matched.

#[allow(dead_code)]
mod common;

use std::path::Path;

use common::Spoken;
use common::chaos::chaos_with;
use quorate_golden::{Detail, Planted, Script};
use quorate_protocol::LogId;
use quorate_raft::{Paper, Rules, Term};

/// Steps of a storm.
const STEPS: usize = 2_000;

/// Storms within which a bug must be caught.
const SEEDS: u64 = 1_000;

/// Storms until one breaks; the answer is what it broke.
fn caught_by_storms<R: Rules>(planted: Option<Planted>) -> String {
    let broken = |seed| Some((seed, chaos_with::<R>(seed, STEPS, Detail::Silent, planted).err()?));
    let (seed, what) = (0..SEEDS).find_map(broken).expect("the bug is caught");
    println!("caught by seed {seed}");
    what
}

/// Run a script of `tests/scripts`; the answer is what it ended with.
fn caught_by_script<R: Rules>(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let input = std::fs::read_to_string(&path).expect("the script is there");
    let mut script = Script::<Spoken<R>>::new(Detail::Full);
    goldenscript::generate(&mut script, &input).expect_err("the bug is caught").to_string()
}

#[track_caller]
fn names(what: &str, properties: &[&str]) {
    assert!(properties.iter().any(|property| what.contains(property)), "caught, but as: {what}");
}

/// Votes are given without comparing logs.
struct AnyLogWins;

impl Rules for AnyLogWins {
    fn may_vote(_: LogId, _: LogId) -> bool {
        true
    }
}

#[test]
fn votes_without_the_log_check_are_caught() {
    let properties = ["LeaderCompleteness", "StateMachineSafety", "Durable commit"];
    names(&caught_by_storms::<AnyLogWins>(None), &properties);
    names(&caught_by_script::<AnyLogWins>("parallel_fsync.txt"), &properties);
}

/// Replicas of old entries are counted.
struct CountsOldEntries;

impl Rules for CountsOldEntries {
    fn may_commit(_: Term, _: Term) -> bool {
        true
    }
}

#[test]
fn counting_old_entries_is_caught() {
    names(&caught_by_storms::<CountsOldEntries>(None), &["LeaderCompleteness", "StateMachineSafety"]);
    // The script's own demand, that "old" is not committed, comes first; the property comes after it.
    names(&caught_by_script::<CountsOldEntries>("figure8.txt"), &["expected commit 1 0, but it is '2'"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/figure8.txt");
    let input = std::fs::read_to_string(path).expect("the script is there");
    let undemanding = input.lines().map(|line| if line.starts_with("expect") { "(queue)" } else { line });
    let undemanding: String = undemanding.map(|line| line.to_owned() + "\n").collect();
    let mut script = Script::<Spoken<CountsOldEntries>>::new(Detail::Full);
    let what = goldenscript::generate(&mut script, &undemanding).expect_err("figure 8 is caught");
    names(&what.to_string(), &["LeaderCompleteness: 5 leads in round 4 without 2:1@1, committed in round 3"]);
}

/// A leader trusts its commit index before an entry of its own term is committed.
struct ReadsBeforeItKnows;

impl Rules for ReadsBeforeItKnows {
    fn may_read(_: Term, _: Term) -> bool {
        true
    }
}

#[test]
fn reading_before_the_term_has_committed_is_caught() {
    names(&caught_by_storms::<ReadsBeforeItKnows>(None), &["Linearizable reads"]);
    names(&caught_by_script::<ReadsBeforeItKnows>("read_before_noop.txt"), &["Linearizable reads"]);
}

/// A leader does not ask whether it still leads.
struct ReadsAlone;

impl Rules for ReadsAlone {
    fn read_needs_quorum() -> bool {
        false
    }
}

#[test]
fn reading_without_a_quorum_is_caught() {
    names(&caught_by_storms::<ReadsAlone>(None), &["Linearizable reads"]);
}

#[test]
fn acknowledging_before_the_disk_is_caught() {
    names(&caught_by_storms::<Paper>(Some(Planted::SendsEarly)), &["Durable before sent"]);
}

#[test]
fn forgetting_the_vote_is_caught() {
    let properties = ["votes for", "ElectionSafety", "goes back"];
    names(&caught_by_storms::<Paper>(Some(Planted::ForgetsPromise)), &properties);
}
