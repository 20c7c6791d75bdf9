//! The checks are checked: each rule of `rules.rs` broken on its own, and two bugs in the host, must be caught, by
//! the storms within a thousand seeds or, where a storm hardly ever makes the story, by the script that tells it. The same scripts
//! and storms pass under the paper's rules (`scripts.rs`, `random.rs`).

#[allow(dead_code)]
mod common;

use std::path::Path;

use common::Spoken;
use quorate_golden::storm::storm_with;
use quorate_golden::{Detail, Planted, Script};
use quorate_protocol::{Ballot, Index, Membership};
use quorate_zab::{History, Paper, Rules};

/// Steps of a storm.
const STEPS: usize = 2_000;

/// Storms within which a bug must be caught.
const SEEDS: u64 = 1_000;

/// Storms until one breaks; the answer is what it broke.
fn caught_by_storms<R: Rules>(planted: Option<Planted>) -> String {
    let broken = |seed| Some((seed, storm_with::<Spoken<R>>(seed, STEPS, Detail::Silent, planted).err()?));
    let (seed, what) = (0..SEEDS).find_map(broken).expect("the bug is caught");
    println!("caught by seed {seed}: {what}");
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

/// What a leader without committed entries breaks.
const LOST: [&str; 6] = [
    "LeaderCompleteness",
    "StateMachineSafety",
    "Durable commit",
    "LogMatching",
    "Agreement",
    "what is committed is in the log",
];

/// A rule broken: its name, and how.
macro_rules! broken {
    ($(#[$doc:meta])* $name:ident, $rule:ident($($arg:ident: $type:ty),*) -> $answer:ty, $how:expr) => {
        $(#[$doc])*
        struct $name;
        impl Rules for $name {
            fn $rule($($arg: $type),*) -> $answer {
                $how
            }
        }
    };
}

broken!(
    /// Whoever is elected leads, whatever its history.
    AnyHistoryLeads, may_lead(_leader: History, _own: History) -> bool, true
);
broken!(
    /// Histories are compared by their last zxid alone, as if currentEpoch said nothing.
    ForgetsCurrentEpoch, may_lead(leader: History, own: History) -> bool,
    (leader.rank().1, leader.rank().2) >= (own.rank().1, own.rank().2)
);
broken!(PromisesInMemory, promise_is_durable() -> bool, false);
broken!(
    /// ZOOKEEPER-1154: what the leader has at the follower's last zxid is not asked.
    KeepsOrphans, may_extend(known: Option<Ballot>, _prev: Ballot) -> bool, known.is_some()
);
broken!(
    /// ZOOKEEPER-4643.
    EpochFirst, history_before_epoch() -> bool, false
);
broken!(
    /// ZOOKEEPER-4646, 4785.
    AcknowledgesEarly, acknowledges_when_durable() -> bool, false
);
broken!(EstablishedAlone, may_establish(_acknowledged: bool) -> bool, true);
broken!(
    /// ZOOKEEPER-4925: what arrives is appended, whether or not something is missing before it.
    ClosesHoles, place(next: Index, told: Index) -> Option<Index>, Some(told.min(next))
);
broken!(CommitsAlone, may_commit(quorum: Index, own: Index) -> Index, quorum.max(own));
broken!(ForgetsWhatItHeld, heeds_what_was_held() -> bool, false);
broken!(ReadsAlone, read_needs_quorum() -> bool, false);
broken!(SkipsJoint, towards(_current: &Membership, target: &Membership) -> Membership, target.clone());
broken!(
    /// A membership is proposed while the one before it is under way.
    ChangesAtOnce, may_change(_committed: (Index, u64), _since: Index, _current: u64) -> bool, true
);
broken!(ReadsBeforeItsEntry, may_read(_committed: u64, _current: u64) -> bool, true);
broken!(TrustsClocks, lease_ticks(election_ticks: u32, _drift: u8) -> u32, election_ticks);
broken!(LeadsTwice, gives_up_lease_to_transfer() -> bool, false);
broken!(OwesNothing, keeps_promises_over_restarts() -> bool, false);

#[test]
fn leading_without_the_best_history_is_caught() {
    // A leader may also be so far behind that those who know more never join it.
    names(&caught_by_storms::<AnyHistoryLeads>(None), &[&LOST[..], &["leaders after the storm"]].concat());
    names(&caught_by_script::<AnyHistoryLeads>("better_history.txt"), &["expected leader 2"]);
}

#[test]
fn comparing_zxids_alone_is_caught() {
    names(&caught_by_script::<ForgetsCurrentEpoch>("better_history.txt"), &["expected leader 2"]);
}

#[test]
fn promising_in_memory_is_caught() {
    names(&caught_by_storms::<PromisesInMemory>(None), &["Durable before sent"]);
}

#[test]
fn an_orphan_left_inside_is_caught() {
    let properties = ["LogMatching", "StateMachineSafety", "LocalPrimaryOrder", "Agreement"];
    names(&caught_by_script::<KeepsOrphans>("orphan.txt"), &properties);
}

#[test]
fn an_epoch_before_its_history_is_caught() {
    let early = "expected joined 3 1, but it is '2'";
    names(&caught_by_script::<EpochFirst>("epoch_before_history.txt"), &[early]);
}

#[test]
fn acknowledging_newleader_early_is_caught() {
    names(&caught_by_storms::<AcknowledgesEarly>(None), &["Durable before sent"]);
    names(&caught_by_script::<AcknowledgesEarly>("newleader_before_disk.txt"), &["Durable before sent"]);
}

#[test]
fn establishing_without_a_quorum_is_caught() {
    names(&caught_by_storms::<EstablishedAlone>(None), &LOST);
}

#[test]
fn closing_a_hole_is_caught() {
    names(&caught_by_storms::<ClosesHoles>(None), &["LogMatching"]);
    names(&caught_by_script::<ClosesHoles>("hole.txt"), &["LogMatching"]);
}

#[test]
fn committing_alone_is_caught() {
    names(&caught_by_storms::<CommitsAlone>(None), &LOST);
}

#[test]
fn voting_as_a_shorter_log_after_damage_is_caught() {
    names(&caught_by_storms::<ForgetsWhatItHeld>(None), &LOST);
}

#[test]
fn reading_without_a_quorum_is_caught() {
    names(&caught_by_storms::<ReadsAlone>(None), &["Linearizable reads"]);
}

/// It does no harm here: a leader serves nothing before its epoch is established, and then it knows what is committed. The
/// script tells the difference all the same.
#[test]
fn reading_before_the_own_entry_is_seen() {
    let early = "expected read 2 1 waiting, but it is 'served'";
    names(&caught_by_script::<ReadsBeforeItsEntry>("read_before_noop.txt"), &[early]);
}

#[test]
fn changing_voters_without_the_joint_step_is_caught() {
    let demand = "expected members 1 1 4 5 from 1 2 3, but it is '1 4 5'";
    names(&caught_by_script::<SkipsJoint>("joint_needs_both.txt"), &[demand]);
    let properties = [&LOST[..], &["ElectionSafety"]].concat();
    names(&caught_by_storms::<SkipsJoint>(None), &properties);
}

/// It does no harm here, either: docs/zab.md tells why. The script tells the difference.
#[test]
fn changing_before_the_last_change_is_committed_is_seen() {
    let early = "expected members 1 1 2 3 learners 4, but it is '1 2 from 1 2 3'";
    names(&caught_by_script::<ChangesAtOnce>("change_waits.txt"), &[early]);
}

#[test]
fn leases_without_their_rules_are_caught() {
    let still = "expected read 1 3 waiting, but it is 'served'";
    names(&caught_by_script::<TrustsClocks>("lease.txt"), &[still]);
    let still = "expected read 1 1 waiting, but it is 'served'";
    names(&caught_by_script::<LeadsTwice>("lease_transfer.txt"), &[still]);
    names(&caught_by_script::<OwesNothing>("lease_restart.txt"), &["expected round 2 1, but it is '2'"]);
}

#[test]
fn hosts_that_send_early_or_forget_are_caught() {
    names(&caught_by_storms::<Paper>(Some(Planted::SendsEarly)), &["Durable before sent"]);
    let properties = ["votes for", "ElectionSafety", "goes back", "joined"];
    names(&caught_by_storms::<Paper>(Some(Planted::ForgetsPromise)), &properties);
}
