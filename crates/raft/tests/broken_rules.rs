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
use quorate_protocol::{Ballot, Index, LogId, Membership, NodeId};
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

/// A vote is given to whoever asks while no leader is known, as some textbooks have it.
struct VotesAgain;

impl Rules for VotesAgain {
    fn may_choose(_: Option<NodeId>, _: NodeId) -> bool {
        true
    }
}

#[test]
fn voting_twice_is_caught() {
    names(&caught_by_storms::<VotesAgain>(None), &["votes for", "ElectionSafety"]);
}

/// A log is extended without looking at what it is extended from.
struct ExtendsAnything;

impl Rules for ExtendsAnything {
    fn may_follow(known: Option<Ballot>, _: Ballot) -> bool {
        known.is_some()
    }
}

#[test]
fn extending_without_the_consistency_check_is_caught() {
    names(&caught_by_storms::<ExtendsAnything>(None), &["LogMatching", "StateMachineSafety"]);
}

/// The voters are replaced in one step.
struct SkipsJoint;

impl Rules for SkipsJoint {
    fn towards(_: &Membership, target: &Membership) -> Membership {
        target.clone()
    }
}

#[test]
fn changing_voters_without_the_joint_step_is_caught() {
    let properties = ["ElectionSafety", "LeaderCompleteness", "StateMachineSafety", "Durable commit"];
    names(&caught_by_storms::<SkipsJoint>(None), &properties);
    // 1 and its new voters decide among themselves what the old ones know nothing of.
    let demand = "expected members 1 1 4 5 from 1 2 3, but it is '1 4 5'";
    names(&caught_by_script::<SkipsJoint>("joint_needs_both.txt"), &[demand]);
}

/// A second change begins before the first is settled, and before the leader's own entry is committed.
struct ChangesTooSoon;

impl Rules for ChangesTooSoon {
    fn may_change(_: (Index, Term), _: Index, _: Term) -> bool {
        true
    }
}

#[test]
fn changing_before_the_own_entry_is_committed_is_caught() {
    let demand = "expected members 2 1 2 3 4, but it is '2 3 4 6 from 1 2 3 4'";
    names(&caught_by_script::<ChangesTooSoon>("one_change_at_a_time.txt"), &[demand]);
}

/// A damaged log votes as if it were short.
struct ForgetsWhatItHeld;

impl Rules for ForgetsWhatItHeld {
    fn heeds_what_was_held() -> bool {
        false
    }
}

#[test]
fn voting_as_a_shorter_log_after_damage_is_caught() {
    let properties = ["LeaderCompleteness", "StateMachineSafety", "Durable commit"];
    names(&caught_by_storms::<ForgetsWhatItHeld>(None), &properties);
    names(&caught_by_script::<ForgetsWhatItHeld>("damaged.txt"), &properties);
}

/// The lease lasts as long as the voters' promise, as if clocks were equal and ticks began together.
struct TrustsClocks;

impl Rules for TrustsClocks {
    fn lease_ticks(election_ticks: u32, _: u8) -> u32 {
        election_ticks
    }
}

/// The lease outlives the word to the next leader.
struct LeadsTwice;

impl Rules for LeadsTwice {
    fn gives_up_lease_to_transfer() -> bool {
        false
    }
}

/// A restarted voter owes nothing.
struct OwesNothing;

impl Rules for OwesNothing {
    fn keeps_promises_over_restarts() -> bool {
        false
    }
}

#[test]
fn leases_without_their_rules_are_caught() {
    let still = "expected read 1 3 waiting, but it is 'served'";
    names(&caught_by_script::<TrustsClocks>("lease.txt"), &[still]);
    let still = "expected read 1 1 waiting, but it is 'served'";
    names(&caught_by_script::<LeadsTwice>("lease_transfer.txt"), &[still]);
    names(&caught_by_script::<OwesNothing>("lease_restart.txt"), &["expected round 2 1, but it is '2'"]);
}
