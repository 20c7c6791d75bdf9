//! The checks on replicas: commits, state hashes, elections, logs.

mod common;

use common::broken;
use quorate_checker::committed::Committed;
use quorate_checker::election::Elections;
use quorate_checker::leader_completeness::{LEADERS_KEPT, LeaderCompleteness};
use quorate_checker::log::{Entry, Log};
use quorate_checker::log_matching;
use quorate_checker::state_hash::StateHash;

fn entry(index: u64, round: u64) -> Entry {
    Entry { index, round, node: round % 3, digest: index * 100 + round }
}

/// A node's log from the rounds of its entries, after a snapshot.
fn log(node: u64, snapshot_index: u64, rounds: &[u64]) -> Log {
    let entries = (snapshot_index + 1..).zip(rounds).map(|(index, round)| entry(index, *round)).collect();
    Log { node, snapshot_index, entries }
}

#[test]
fn committed_index_never_changes() {
    let mut committed = Committed::new();
    committed.observe(1, 1, (1, 1), 7).unwrap();
    committed.observe(2, 1, (1, 1), 7).unwrap();
    committed.observe(1, 2, (1, 1), 8).unwrap();
    assert_eq!(committed.last_index(), 2);
    let name = "CommittedStable";
    broken(committed.clone().observe(3, 1, (1, 1), 9), name, "index 1: node 1");
    broken(committed.clone().observe(3, 1, (2, 1), 7), name, "ballot (2, 1)");
    // A node that contradicts itself after a restart.
    broken(committed.clone().observe(1, 2, (1, 1), 9), name, "node 1 committed");
    committed.forget_below(2);
    committed.observe(3, 1, (9, 9), 9).unwrap();
    broken(committed.observe(3, 2, (1, 1), 9), name, "index 2");
}

#[test]
fn committed_contents_alone_count_when_ballots_are_rewritten() {
    let mut committed = Committed::ignoring_ballots();
    committed.observe(1, 1, (1, 1), 7).unwrap();
    committed.observe(2, 1, (2, 2), 7).unwrap();
    broken(committed.observe(2, 1, (1, 1), 8), "CommittedStable", "digest");
}

#[test]
fn equal_index_equal_state() {
    let mut hashes = StateHash::new();
    hashes.observe(1, 5, 50).unwrap();
    hashes.observe(2, 5, 50).unwrap();
    hashes.observe(2, 6, 51).unwrap();
    broken(hashes.clone().observe(3, 5, 51), "StateHash", "at index 5 node 1");
    hashes.forget_below(6);
    hashes.observe(3, 5, 51).unwrap();
    broken(hashes.observe(3, 6, 50), "StateHash", "node 3");
}

#[test]
fn one_leader_per_round() {
    let mut elections = Elections::new();
    elections.observe(1, 1).unwrap();
    elections.observe(1, 1).unwrap();
    elections.observe(2, 3).unwrap();
    assert_eq!(elections.rounds(), 2);
    broken(elections.observe(1, 2), "ElectionSafety", "round 1 is led by node 1 and by node 2");
}

/// Raft, figure 7: the six followers' logs are all possible, and match the leader's.
#[test]
fn figure_7_matches() {
    let logs = [
        log(0, 0, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6]),
        log(1, 0, &[1, 1, 1, 4, 4, 5, 5, 6, 6]),
        log(2, 0, &[1, 1, 1, 4]),
        log(3, 0, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]),
        log(4, 0, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]),
        log(5, 0, &[1, 1, 1, 4, 4, 4, 4]),
        log(6, 0, &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]),
    ];
    log_matching::check(&logs).unwrap();
}

#[test]
fn logs_that_agree_late_and_differ_early_fail() {
    let name = "LogMatching";
    // A follower that took entry 3 without checking what precedes it.
    broken(log_matching::check(&[log(1, 0, &[1, 1, 2]), log(2, 0, &[1, 2, 2])]), name, "differ at or before");
    // Equal id, other contents.
    let mut other = log(2, 0, &[1, 1, 2]);
    other.entries[2].digest = 0;
    broken(log_matching::check(&[log(1, 0, &[1, 1, 2]), other]), name, "index 3");
    // Snapshots take out of sight what they cover; the rest still counts.
    log_matching::check(&[log(1, 0, &[1, 1, 2]), log(2, 2, &[2])]).unwrap();
    let all = [log(3, 9, &[]), log(1, 1, &[1, 2, 2]), log(2, 0, &[1, 2, 2, 2])];
    broken(log_matching::check(&all), name, "nodes 1 and 2");
}

#[test]
fn misshapen_logs_fail() {
    broken(log_matching::check(&[log(1, 0, &[2, 1])]), "LogMatching", "follows index 1");
    let mut gap = log(1, 0, &[1, 1, 1]);
    gap.entries.remove(1);
    broken(log_matching::check(&[gap]), "LogMatching", "follows index 1");
}

#[test]
fn leader_without_a_committed_entry_fails() {
    let name = "LeaderCompleteness";
    let mut check = LeaderCompleteness::new();
    check.observe_leader(2, log(1, 0, &[1])).unwrap();
    check.observe_commit(2, entry(1, 1)).unwrap();
    check.observe_commit(2, entry(2, 2)).unwrap();
    check.observe_leader(3, log(2, 0, &[1, 2, 2])).unwrap();
    broken(check.clone().observe_leader(4, log(3, 0, &[1])), name, "holds nothing at index 2");
    broken(check.clone().observe_leader(4, log(3, 0, &[1, 1])), name, "ballot (1, 1)");
    check.observe_leader(4, log(3, 2, &[])).unwrap();
    // An old round's leader may be seen late, and need not have later commits.
    check.observe_leader(2, log(3, 0, &[1])).unwrap();
    // A commit learned after the next election counts against that election's log.
    broken(check.clone().observe_commit(2, entry(3, 9)), name, "leader of round 3");
    check.observe_commit(4, entry(3, 4)).unwrap();
}

#[test]
fn leader_completeness_memory_is_bounded() {
    let mut check = LeaderCompleteness::new();
    for round in 2..2 + LEADERS_KEPT as u64 + 1 {
        check.observe_leader(round, log(1, round, &[])).unwrap();
    }
    check.observe_commit(1, entry(1, 1)).unwrap();
    check.forget_below(2);
    check.observe_leader(100, log(1, 0, &[])).unwrap();
}
