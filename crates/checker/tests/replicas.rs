//! The checks on replicas: commits, state hashes, elections, logs.

mod common;

use common::broken;
use quorate_checker::chosen::ChosenStays;
use quorate_checker::committed::Committed;
use quorate_checker::election::Elections;
use quorate_checker::global_primary_order::GlobalPrimaryOrder;
use quorate_checker::integrity::Integrity;
use quorate_checker::leader_completeness::{LEADERS_KEPT, LeaderCompleteness};
use quorate_checker::local_primary_order::LocalPrimaryOrder;
use quorate_checker::log::{Ballot, Entry, Log};
use quorate_checker::log_matching;
use quorate_checker::one_value_per_ballot::OneValuePerBallot;
use quorate_checker::promise::{Promise, PromiseKept};
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

fn ballot(round: u64, node: u64) -> Ballot {
    Ballot { round, node }
}

#[test]
fn whole_ballots_have_one_leader_where_rounds_are_shared() {
    let mut elections = Elections::new();
    elections.observe(ballot(1, 1), 1).unwrap();
    elections.observe(ballot(1, 2), 2).unwrap();
    assert_eq!(elections.rounds(), 2);
    broken(elections.observe(ballot(1, 2), 3), "ElectionSafety", "round 1 of node 2 is led by node 2");
}

#[test]
fn a_leader_may_hold_what_was_chosen_under_another_ballot() {
    let mut check = LeaderCompleteness::ignoring_ballots();
    check.observe_commit(ballot(2, 1), entry(1, 2)).unwrap();
    let rewritten = Entry { round: 9, node: 9, ..entry(1, 2) };
    let log = |entry| Log { node: 3, snapshot_index: 0, entries: vec![entry] };
    check.observe_leader(ballot(2, 3), log(rewritten)).unwrap();
    let other = Entry { digest: 5, ..entry(1, 2) };
    check.observe_leader(ballot(1, 3), log(other)).unwrap();
    broken(
        check.observe_leader(ballot(2, 2), log(other)),
        "LeaderCompleteness",
        "leader of round 2 of node 2",
    );
}

#[test]
fn one_value_under_one_ballot() {
    let mut values = OneValuePerBallot::new();
    values.observe(1, &entry(4, 2)).unwrap();
    values.observe(2, &entry(4, 2)).unwrap();
    values.observe(2, &entry(4, 3)).unwrap();
    let other = Entry { digest: 5, ..entry(4, 2) };
    broken(values.clone().observe(3, &other), "OneValuePerBallot", "where node 1 wrote");
    values.forget_below(5);
    values.observe(3, &other).unwrap();
}

#[test]
fn what_is_chosen_stays() {
    let name = "ChosenStays";
    let accepted = |round, node, digest| Entry { index: 7, round, node, digest };
    let mut chosen = ChosenStays::new();
    chosen.observe_accept(1, &accepted(1, 1, 10)).unwrap();
    chosen.observe_accept(2, &accepted(1, 2, 20)).unwrap();
    let early = chosen.clone();
    chosen.observe_commit(ballot(1, 2), &accepted(1, 2, 20)).unwrap();
    // Late for an early ballot, and again under a later one.
    chosen.observe_accept(3, &accepted(1, 1, 10)).unwrap();
    chosen.observe_accept(1, &accepted(2, 1, 20)).unwrap();
    broken(chosen.clone().observe_accept(1, &accepted(1, 3, 10)), name, "node 1 accepted");
    // Whatever is learned first.
    let mut late = early.clone();
    late.observe_accept(1, &accepted(3, 1, 10)).unwrap();
    broken(
        late.observe_commit(ballot(2, 2), &accepted(2, 2, 20)),
        name,
        "digest 0000000000000014 was chosen",
    );
    // Who learns of it later knows of a later ballot, which says less.
    chosen.observe_commit(ballot(9, 1), &accepted(1, 2, 20)).unwrap();
    broken(chosen.clone().observe_accept(1, &accepted(2, 2, 10)), name, "by ballot 1 of node 2");
    chosen.forget_below(8);
    chosen.observe_accept(1, &accepted(2, 2, 10)).unwrap();
    // Where a round has one leader it is the round that counts.
    let mut rounds = ChosenStays::new();
    rounds.observe_commit(2, &accepted(1, 2, 20)).unwrap();
    rounds.observe_accept(1, &accepted(2, 1, 10)).unwrap();
    broken(rounds.observe_accept(1, &accepted(3, 1, 10)), name, "by ballot 2,");
}

#[test]
fn promises_are_kept() {
    let name = "PromiseKept";
    let promise = |promised, joined| Promise { promised, joined: ballot(joined, 0) };
    let mut kept = PromiseKept::new();
    kept.observe(1, promise(ballot(2, 0), 0)).unwrap();
    kept.observe(1, promise(ballot(2, 3), 0)).unwrap();
    kept.observe(2, promise(ballot(1, 0), 0)).unwrap();
    kept.observe(1, promise(ballot(3, 1), 3)).unwrap();
    broken(kept.clone().observe(1, promise(ballot(2, 3), 0)), name, "node 1 goes back on its word");
    broken(kept.clone().observe(1, promise(ballot(3, 2), 3)), name, "node 1 promises a round twice");
    broken(kept.clone().observe(1, promise(ballot(4, 2), 2)), name, "goes from epoch 3 to 2");
    broken(kept.clone().observe(1, promise(ballot(4, 2), 5)), name, "goes from epoch 3 to 5");
    // What was not durable is no promise.
    kept.restarted(1, promise(ballot(2, 0), 0));
    kept.observe(1, promise(ballot(2, 2), 0)).unwrap();
    let mut whole = PromiseKept::of_whole_ballots();
    whole.observe(1, promise(ballot(2, 1), 0)).unwrap();
    whole.observe(1, promise(ballot(2, 3), 0)).unwrap();
    broken(whole.observe(1, promise(ballot(2, 1), 0)), name, "it had promised 2 of node 3, now 2 of node 1");
}

#[test]
fn nothing_is_delivered_that_was_not_proposed() {
    let name = "Integrity";
    let mut integrity = Integrity::new();
    integrity.observe_proposal(&entry(3, 1));
    integrity.observe_commit(2, &entry(3, 1)).unwrap();
    broken(integrity.observe_commit(2, &entry(3, 2)), name, "its leader proposed nothing");
    broken(integrity.observe_commit(2, &Entry { digest: 0, ..entry(3, 1) }), name, "node 2 delivers");
    integrity.forget_below(4);
    broken(integrity.observe_commit(2, &entry(3, 1)), name, "proposed nothing");
}

#[test]
fn a_leaders_proposals_keep_their_order() {
    let mut order = LocalPrimaryOrder::new();
    let of = |index, digest| Entry { index, round: 4, node: 1, digest };
    [of(5, 50), of(6, 60), of(7, 70)].iter().for_each(|entry| order.observe_proposal(entry));
    order.observe_commit(1, &of(5, 50)).unwrap();
    let name = "LocalPrimaryOrder";
    // The second is lost and another takes its place, or nothing does; the third is delivered all the same.
    broken(
        order.clone().observe_commit(2, &of(7, 70)),
        name,
        "not before it what its leader proposed before",
    );
    let mut filled = order.clone();
    filled.observe_commit(2, &entry(6, 9)).unwrap();
    broken(filled.observe_commit(2, &of(7, 70)), name, "node 2 delivers entry 7");
    order.observe_commit(2, &of(6, 60)).unwrap();
    order.observe_commit(2, &of(7, 70)).unwrap();
    order.observe_commit(3, &of(7, 70)).unwrap();
}

#[test]
fn earlier_leaders_come_first() {
    let mut order = GlobalPrimaryOrder::new();
    let name = "GlobalPrimaryOrder";
    order.observe(1, &entry(5, 2)).unwrap();
    order.observe(1, &entry(6, 2)).unwrap();
    order.observe(1, &entry(8, 4)).unwrap();
    broken(order.clone().observe(1, &entry(9, 3)), name, "delivered is also entry 8");
    broken(order.clone().observe(1, &entry(7, 1)), name, "delivered is also entry 6");
    broken(order.clone().observe(1, &entry(7, 5)), name, "delivered is also entry 8");
    order.observe(2, &entry(7, 3)).unwrap();
    order.forget_below(9);
    order.observe(2, &entry(9, 1)).unwrap();
}
