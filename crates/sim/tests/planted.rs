//! The checks are checked: each bug put in on purpose is caught within a bounded number of seeds.

use quorate_sim::{Failure, Options, Plant, explore, run};

/// The bound of the acceptance line.
const SEEDS: u64 = 1_000;

/// The lowest seed whose run breaks one of these properties. A bug may also show in another way, say by standing
/// still; what is asked for here is that the promise itself is seen broken.
fn first(plant: Plant, properties: &[&str]) -> Failure {
    let mut failures: Vec<Failure> = Vec::new();
    let options = Options { plant: Some(plant), ..Options::default() };
    explore(0..SEEDS, 2, options, |report| {
        let wanted = |failure: &&Failure| properties.contains(&failure.property.as_str());
        failures.extend(report.failure.as_ref().filter(wanted).cloned());
        failures.is_empty()
    });
    failures.sort_by_key(|failure| failure.seed);
    failures.into_iter().next().unwrap_or_else(|| panic!("{} was not caught", plant.name()))
}

/// Caught by one of the properties that it breaks.
fn caught_by(plant: Plant, properties: &[&str]) {
    let failure = first(plant, properties);
    println!("| {} | {} | {} |", plant.name(), failure.seed, failure.property);
    assert!(failure.to_string().starts_with(&failure.command()), "the command comes first");
    let again = run(&Options { seed: failure.seed, plant: Some(plant), nodes: None }, None);
    assert_eq!(again.failure, Some(failure), "the command repeats it");
}

#[test]
fn forget_vote_on_restart() {
    caught_by(Plant::ForgetVoteOnRestart, &["ElectionSafety"]);
}

#[test]
fn vote_without_log_check() {
    caught_by(Plant::VoteWithoutLogCheck, &["LeaderCompleteness", "CommittedStable"]);
}

#[test]
fn commit_old_term_by_counting() {
    caught_by(Plant::CommitOldTermByCounting, &["LeaderCompleteness", "CommittedStable"]);
}

#[test]
fn ack_before_fsync() {
    let properties = ["LeaderCompleteness", "CommittedStable", "ElectionSafety", "Acknowledged"];
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
