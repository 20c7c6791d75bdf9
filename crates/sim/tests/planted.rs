//! The checks are checked: each bug put in on purpose is caught within a bounded number of seeds.

use quorate_sim::{Failure, Options, Plant, explore};

/// The bound of the acceptance line.
const SEEDS: u64 = 1_000;

/// The failure with the lowest seed.
fn first(plant: Plant) -> Failure {
    let mut failures: Vec<Failure> = Vec::new();
    let options = Options { plant: Some(plant), ..Options::default() };
    explore(0..SEEDS, 2, options, |report| {
        failures.extend(report.failure.clone());
        failures.is_empty()
    });
    failures.sort_by_key(|failure| failure.seed);
    failures.into_iter().next().unwrap_or_else(|| panic!("{} was not caught", plant.name()))
}

/// Caught, and by one of the properties that it breaks.
fn caught_by(plant: Plant, properties: &[&str]) {
    let failure = first(plant);
    println!("{:<28} seed {:>4}  {}", plant.name(), failure.seed, failure.property);
    assert!(properties.contains(&failure.property.as_str()), "{failure}");
    assert!(failure.to_string().starts_with(&failure.command()), "the command comes first");
}

#[test]
fn forget_vote_on_restart() {
    caught_by(Plant::ForgetVoteOnRestart, &["ElectionSafety", "CoreInvariant"]);
}

#[test]
fn vote_without_log_check() {
    caught_by(Plant::VoteWithoutLogCheck, &["LeaderCompleteness", "CommittedStable", "CoreInvariant"]);
}

#[test]
fn commit_old_term_by_counting() {
    caught_by(Plant::CommitOldTermByCounting, &["LeaderCompleteness", "CommittedStable", "CoreInvariant"]);
}

#[test]
fn ack_before_fsync() {
    let properties = [
        "LeaderCompleteness",
        "CommittedStable",
        "ElectionSafety",
        "Acknowledged",
        "CoreInvariant",
        "Liveness",
    ];
    caught_by(Plant::AckBeforeFsync, &properties);
}

#[test]
fn read_without_quorum_round() {
    caught_by(Plant::ReadWithoutQuorumRound, &["RevisionOrder", "Linearizability"]);
}

#[test]
fn watch_resumes_one_late() {
    caught_by(Plant::WatchResumesOneLate, &["WatchResumable", "WatchReliable"]);
}
