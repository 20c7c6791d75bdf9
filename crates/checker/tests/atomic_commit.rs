//! Each property of atomic commitment passes a good course of events and fails on a planted bad one; what is forgotten takes no room.

mod common;

use std::collections::BTreeSet;

use common::broken;
use quorate_checker::atomic_commit::agreement::Agreement;
use quorate_checker::atomic_commit::non_triviality::NonTriviality;
use quorate_checker::atomic_commit::one_revision::OneRevision;
use quorate_checker::atomic_commit::stability::Stability;
use quorate_checker::atomic_commit::termination::Termination;
use quorate_checker::atomic_commit::told_is_durable::ToldIsDurable;
use quorate_checker::atomic_commit::validity::Validity;
use quorate_checker::atomic_commit::{Decision, Txn, Vote, orphan_lock};

const T: Txn = Txn { epoch: 0, coordinator: 1, number: 5 };
const U: Txn = Txn { epoch: 2, coordinator: 1, number: 6 };

#[test]
fn ac1_fails_when_two_sites_disagree() {
    let mut agreement = Agreement::new();
    agreement.decided(1, T, Decision::Commit).unwrap();
    agreement.decided(2, T, Decision::Commit).unwrap();
    agreement.decided(2, U, Decision::Abort).unwrap();
    broken(
        agreement.decided(3, T, Decision::Abort),
        "AC1",
        "transaction 1.5: site 1 decided commit, site 3 abort",
    );
    agreement.forget(T);
    agreement.decided(3, T, Decision::Abort).unwrap();
    broken(agreement.decided(3, U, Decision::Commit), "AC1", "1.6e2");
}

#[test]
fn ac2_fails_when_a_site_changes_its_mind() {
    let mut stability = Stability::new();
    stability.decided(1, T, Decision::Abort).unwrap();
    stability.decided(1, T, Decision::Abort).unwrap();
    stability.decided(2, T, Decision::Commit).unwrap();
    broken(stability.decided(1, T, Decision::Commit), "AC2", "site 1 had decided abort, now commit");
    stability.forget(T);
    stability.decided(2, T, Decision::Abort).unwrap();
}

#[test]
fn ac3_fails_on_a_commit_without_all_votes() {
    let mut validity = Validity::new();
    validity.begun(T, [1, 2]);
    validity.voted(1, T, Vote::Yes).unwrap();
    validity.decided(1, T, Decision::Abort).unwrap();
    broken(validity.decided(9, T, Decision::Commit), "AC3", "without a yes of sites [2]");
    validity.voted(2, T, Vote::Yes).unwrap();
    validity.decided(9, T, Decision::Commit).unwrap();
    broken(validity.voted(2, T, Vote::No), "AC3", "had voted Yes, now No");
    broken(validity.decided(9, U, Decision::Commit), "AC3", "1.6e2");
    validity.forget(T);
    validity.voted(2, T, Vote::No).unwrap();
    broken(validity.decided(9, T, Decision::Commit), "AC3", "");
}

#[test]
fn ac4_fails_on_an_abort_that_nothing_excuses() {
    let mut calm = NonTriviality::new();
    calm.begun(T, [1, 2]);
    calm.voted(1, T, Vote::Yes).unwrap();
    // An abort before the last vote is judged by that vote.
    calm.decided(3, T, Decision::Abort).unwrap();
    broken(calm.voted(2, T, Vote::Yes), "AC4", "site 3 decided abort");

    let mut rough = NonTriviality::new();
    rough.begun(T, [1]);
    rough.failed();
    rough.begun(U, [1]);
    rough.healed();
    for txn in [T, U] {
        rough.voted(1, txn, Vote::Yes).unwrap();
        rough.decided(1, txn, Decision::Abort).unwrap();
    }
    let after = Txn { number: 7, ..T };
    rough.begun(after, [1, 2]);
    rough.voted(1, after, Vote::Yes).unwrap();
    rough.voted(2, after, Vote::No).unwrap();
    rough.decided(1, after, Decision::Abort).unwrap();
    rough.forget(T);
    rough.begun(T, [1]);
    rough.voted(1, T, Vote::Yes).unwrap();
    broken(rough.decided(1, T, Decision::Abort), "AC4", "1.5");
}

#[test]
fn ac5_fails_when_somebody_waits_too_long_after_healing() {
    let mut termination = Termination::new(10);
    termination.involved(5, 1, T);
    termination.failed();
    termination.check(100).unwrap();
    termination.healed(100);
    termination.involved(105, 2, T);
    termination.check(110).unwrap();
    assert_eq!((termination.longest(110), termination.open()), (10, 2));
    broken(
        termination.check(111),
        "AC5",
        "site 1 takes part since 5, all is well since 100, and it has not decided by 111",
    );
    termination.decided(1, T);
    termination.check(115).unwrap();
    broken(termination.check(116), "AC5", "site 2");
}

#[test]
fn locks_belong_to_unresolved_transactions() {
    let unresolved = BTreeSet::from([T]);
    orphan_lock::check(1, [T, T], &unresolved, [T]).unwrap();
    orphan_lock::check(1, [], &unresolved, []).unwrap();
    broken(orphan_lock::check(1, [T, U], &unresolved, []), "NoOrphanLock", "lock for transaction 1.6e2");
    broken(orphan_lock::check(1, [], &unresolved, [T]), "NoOrphanLock", "holds no lock for it");
}

#[test]
fn a_transaction_makes_one_revision_at_each_site() {
    let mut one = OneRevision::new();
    one.applied(1, T, 7).unwrap();
    one.applied(1, T, 7).unwrap();
    one.applied(2, T, 3).unwrap();
    broken(one.applied(1, T, 8), "OneRevision", "as revision 7 and as 8");
    broken(one.applied(1, U, 7), "OneRevision", "transactions 1.5 and 1.6e2 as revision 7");
    one.forget(1, T);
    one.applied(1, Txn { number: 9, ..T }, 7).unwrap();
}

#[test]
fn what_a_client_was_told_is_durable() {
    let mut told = ToldIsDurable::new();
    broken(told.told(4, T, Decision::Commit), "ToldIsDurable", "no decision is durable");
    told.durable(T, Decision::Commit).unwrap();
    told.told(4, T, Decision::Commit).unwrap();
    broken(told.told(4, T, Decision::Abort), "ToldIsDurable", "commit is durable");
    told.told(4, U, Decision::Abort).unwrap();
    broken(
        told.durable(U, Decision::Commit),
        "ToldIsDurable",
        "client 4 was told that transaction 1.6e2 was aborted",
    );
    told.forget(U);
    told.durable(U, Decision::Abort).unwrap();
    broken(told.told(4, U, Decision::Commit), "ToldIsDurable", "abort is durable");
}
