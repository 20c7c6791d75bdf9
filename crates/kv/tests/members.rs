//! The members table: etcd's rules one by one, and the facts that travel with it.

mod common;
mod model;

use std::sync::Arc;

use bytes::Bytes;
use common::random;
use model::members::Roster;
use proptest::prelude::*;
use quorate_kv::*;

fn url(name: &str) -> Vec<String> {
    vec![format!("http://{name}:2380")]
}

fn started(id: u64, name: &str) -> Member {
    let client_urls = vec![format!("http://{name}:2379")];
    Member { id, name: name.into(), peer_urls: url(name), client_urls, ..Member::default() }
}

/// Three voters, all started, with ids 10, 20 and 30.
fn three() -> Members {
    Members::founding([started(20, "b"), started(10, "a"), started(30, "c")])
}

fn add(id: u64, name: &str) -> MemberChange {
    MemberChange::Add { id, peer_urls: url(name), is_learner: false, max_learners: 1, strict: true }
}

fn add_learner(id: u64, name: &str) -> MemberChange {
    MemberChange::Add { id, peer_urls: url(name), is_learner: true, max_learners: 1, strict: true }
}

fn remove(id: u64) -> MemberChange {
    MemberChange::Remove { id, strict: true }
}

fn promote(id: u64) -> MemberChange {
    MemberChange::Promote { id, strict: true }
}

/// Carry out changes that must succeed.
fn with(mut members: Members, changes: &[MemberChange]) -> Members {
    for change in changes {
        assert_eq!(members.change(change), Ok(()), "{change:?}");
    }
    members
}

/// What a change is refused with; it must leave the table alone.
fn refused(members: &Members, change: MemberChange) -> Error {
    let mut copy = members.clone();
    let error = copy.change(&change).expect_err("refused");
    assert_eq!(copy, *members, "{change:?}");
    error
}

fn ids(members: &Members) -> (Vec<u64>, Vec<u64>) {
    (members.voters().collect(), members.learners().collect())
}

#[test]
fn a_member_is_added_promoted_moved_and_removed() {
    let members = with(three(), &[add_learner(25, "d")]);
    assert_eq!(ids(&members), (vec![10, 20, 30], vec![25]));
    let members = with(members, &[promote(25)]);
    assert_eq!(ids(&members), (vec![10, 20, 25, 30], vec![]));
    let members = with(members, &[MemberChange::Update { id: 25, peer_urls: url("e") }]);
    let moved = members.get(25).unwrap();
    assert_eq!((&moved.peer_urls, moved.is_learner, moved.is_started()), (&url("e"), false, false));
    let members = with(members, &[remove(25)]);
    assert_eq!((members.get(25), members.is_removed(25)), (None, true));
    assert_eq!(ids(&members).0, [10, 20, 30]);
}

#[test]
fn what_is_taken_is_refused() {
    let members = with(three(), &[remove(30)]);
    assert_eq!(refused(&members, add(10, "x")), Error::MemberExists);
    assert_eq!(refused(&members, add(0, "x")), Error::MemberExists, "0 is nobody's");
    assert_eq!(refused(&members, add(40, "a")), Error::PeerUrlExists);
    assert_eq!(refused(&members, MemberChange::Update { id: 10, peer_urls: url("b") }), Error::PeerUrlExists);
    // Its own URL is not in its way, and a removed member's is free.
    let members = with(members, &[MemberChange::Update { id: 10, peer_urls: url("a") }]);
    drop(with(members, &[add(40, "c")]));
}

/// A removed id does not return, and its member is as unknown as one that never was: etcd's clients see one text.
#[test]
fn a_removed_id_is_gone_for_good() {
    let members = with(three(), &[remove(30)]);
    for change in [
        add(30, "x"),
        add_learner(30, "x"),
        remove(30),
        promote(30),
        MemberChange::Replace { old: 10, new: 30 },
    ] {
        assert_eq!(refused(&members, change), Error::MemberNotFound);
    }
    for change in [remove(99), promote(99), MemberChange::Replace { old: 99, new: 40 }] {
        assert_eq!(refused(&members, change), Error::MemberNotFound);
    }
    assert_eq!(
        refused(&members, MemberChange::Update { id: 99, peer_urls: url("x") }),
        Error::MemberNotFound
    );
}

#[test]
fn learners_are_few_and_only_they_are_promoted() {
    let members = with(three(), &[add_learner(40, "d")]);
    assert_eq!(refused(&members, add_learner(50, "e")), Error::TooManyLearners);
    assert_eq!(refused(&members, promote(10)), Error::MemberNotLearner);
    drop(with(members, &[promote(40), add_learner(50, "e")]));
}

#[test]
fn the_last_voter_stays() {
    let lone = Members::founding([started(10, "a")]);
    for strict in [true, false] {
        assert_eq!(refused(&lone, MemberChange::Remove { id: 10, strict }), Error::NotEnoughStarted);
    }
    let lone = with(lone, &[add_learner(20, "b")]);
    assert_eq!(refused(&lone, MemberChange::Remove { id: 10, strict: false }), Error::NotEnoughStarted);
    assert_eq!(refused(&lone, MemberChange::Replace { old: 10, new: 11 }), Error::NotEnoughStarted);
    drop(with(lone, &[remove(20)]));
}

/// `--strict-reconfig-check`: what would leave no quorum of started voters.
#[test]
fn a_quorum_of_started_voters_remains() {
    let lone = Members::founding([started(10, "a")]);
    // From one to two is how a cluster grows; to three only after the second has started.
    let two = with(lone, &[add(20, "b")]);
    assert_eq!(refused(&two, add(30, "c")), Error::NotEnoughStarted);
    assert_eq!(refused(&two, remove(10)), Error::NotEnoughStarted, "the one left has not started");
    drop(with(two.clone(), &[remove(20)]));
    let lax =
        MemberChange::Add { id: 30, peer_urls: url("c"), is_learner: false, max_learners: 0, strict: false };
    drop(with(two.clone(), &[lax, add_learner(40, "d"), MemberChange::Remove { id: 10, strict: false }]));
    // Two voters of which one runs, and a learner that does: with it there would be two of three.
    let two = with(two, &[add_learner(40, "d"), promote(40)]);
    assert_eq!(ids(&two).0, [10, 20, 40]);
    let mut none = Members::founding([Member { client_urls: Vec::new(), ..started(10, "a") }]);
    none = with(none, &[add_learner(40, "d")]);
    assert_eq!(refused(&none, promote(40)), Error::NotEnoughStarted);
    drop(with(none, &[MemberChange::Promote { id: 40, strict: false }]));
}

/// A lost disk: the member comes back as a learner of another id, at its old place, and nobody can bring the old
/// id back. It does not count against the learners allowed.
#[test]
fn a_lost_member_is_replaced_in_one_step() {
    let members = with(three(), &[add_learner(40, "d"), MemberChange::Replace { old: 20, new: 21 }]);
    assert_eq!(ids(&members), (vec![10, 30], vec![21, 40]));
    let new = members.get(21).unwrap();
    assert_eq!((new.name.as_str(), &new.peer_urls, new.is_returning), ("b", &url("b"), true));
    assert!(!new.is_started() && members.is_removed(20));
    assert_eq!(refused(&members, MemberChange::Replace { old: 21, new: 21 }), Error::MemberExists);
    assert_eq!(refused(&members, MemberChange::Replace { old: 10, new: 40 }), Error::MemberExists);
    // It loses its disk again before it was promoted: it is still to vote in the end.
    let members = with(members, &[MemberChange::Replace { old: 21, new: 22 }]);
    assert!(members.get(22).is_some_and(|member| member.is_returning && member.is_learner));
    // One that was only a learner stays one.
    let members = with(members, &[MemberChange::Replace { old: 40, new: 41 }, promote(22)]);
    assert!(members.get(41).is_some_and(|member| !member.is_returning && member.is_learner));
    assert!(members.get(22).is_some_and(|member| !member.is_returning && !member.is_learner));
}

#[test]
fn parts_that_make_no_table_are_refused() {
    let parts = |ids: &[u64], removed: &[u64]| {
        let list = ids.iter().map(|id| Member { id: *id, ..Member::default() }).collect();
        Members::from_parts(list, removed.iter().copied().collect()).is_some()
    };
    assert!(parts(&[1, 2], &[3]) && parts(&[], &[]));
    assert!(!parts(&[2, 1], &[]) && !parts(&[1, 1], &[]) && !parts(&[0], &[]) && !parts(&[1], &[1]));
}

/// Found the same cluster on two nodes that were told of its members in different order.
#[test]
fn founders_agree_to_the_byte() {
    let membership = Bytes::from_static(b"voters 10 20 30");
    let all = [started(10, "a"), started(20, "b"), started(30, "c")];
    let one = State::found(MemoryStorage::new(), all.clone(), membership.clone());
    let mut reversed = all;
    reversed.reverse();
    let other = State::found(MemoryStorage::new(), reversed, membership.clone());
    assert_eq!((one.digest(), one.storage()), (other.digest(), other.storage()));
    assert_eq!((one.meta().applied_index, one.meta().applied_ballot, one.revision()), (1, (0, 0), 1));
    assert_eq!((one.members(), one.membership(), one.check()), (&three(), &membership, Ok(())));
    let digest = |members: Members, membership: &'static [u8]| {
        let mut storage = MemoryStorage::new();
        let membership = Bytes::from_static(membership);
        storage.set_meta(&Meta { members: Arc::new(members), membership, ..Meta::default() });
        State::restore(storage).digest()
    };
    // Whatever two nodes could differ in, the digest tells.
    let bare = with(three(), &[remove(30)]);
    let digests = [
        digest(three(), b""),
        digest(three(), b"x"),
        digest(bare.clone(), b""),
        digest(Members::founding(bare.iter().cloned()), b""),
        digest(with(three(), &[MemberChange::Update { id: 10, peer_urls: url("x") }]), b""),
        digest(with(three(), &[add_learner(40, "d")]), b""),
        digest(with(three(), &[add(40, "d")]), b""),
        digest(with(three(), &[MemberChange::Replace { old: 10, new: 11 }]), b""),
        digest(with(three(), &[remove(10), add_learner(11, "a")]), b""),
    ];
    let distinct: std::collections::BTreeSet<u64> = digests.into_iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
#[should_panic(expected = "a state is founded once")]
fn a_state_is_founded_once() {
    let state = State::found(MemoryStorage::new(), [started(10, "a")], Bytes::new());
    let _ = State::found(state.into_storage(), [started(10, "a")], Bytes::new());
}

/// An entry with a configuration leaves its content and nothing else, and survives a restart.
#[test]
fn a_configuration_is_kept() {
    let mut state = State::found(MemoryStorage::new(), [started(10, "a")], Bytes::from_static(b"old"));
    state.apply_config(2, (1, 10), b"new");
    state.apply_noop(3, (1, 10));
    let again = State::restore(state.storage().clone());
    let meta = again.meta();
    assert_eq!((&meta.membership[..], meta.applied_index, meta.applied_ballot), (&b"new"[..], 3, (1, 10)));
    assert_eq!((again.revision(), again.check()), (1, Ok(())));
}

#[test]
fn a_change_without_urls_is_not_proposed() {
    for peer_urls in [vec![], vec![String::new()], vec!["http://x:1".into(), String::new()]] {
        let change = MemberChange::Update { id: 1, peer_urls: peer_urls.clone() };
        assert_eq!(validate(&Command::Member(change), 128), Err(Error::BadMemberUrls));
        let change =
            MemberChange::Add { id: 1, peer_urls, is_learner: false, max_learners: 1, strict: false };
        assert_eq!(validate(&Command::Member(change), 128), Err(Error::BadMemberUrls));
    }
    assert_eq!(validate(&Command::Member(remove(1)), 128), Ok(()));
}

proptest! {
    /// Any changes at all, against the twin; and the invariants hold after each.
    #[test]
    fn the_table_is_its_twins(
        founders in prop::collection::vec(random::member(), 1..4),
        changes in prop::collection::vec(random::membership_command(), 1..60),
    ) {
        let mut state = State::found(MemoryStorage::new(), founders, Bytes::new());
        let mut twin = Roster { members: state.members().iter().cloned().collect(), gone: Vec::new() };
        let mut settled = state.members().voters().next().is_some();
        for (at, command) in changes.iter().enumerate() {
            let before = twin.clone();
            let expected = match command {
                Command::Publish(publish) => twin.publish(publish).map(|()| Outcome::Publish),
                Command::Member(change) => twin.change(change).map(|()| Outcome::Members(twin.sorted())),
                other => panic!("{other:?} is no change of members"),
            };
            if expected.is_err() {
                twin = before;
            }
            let applied = state.apply(at as u64 + 2, (1, 1), command);
            prop_assert_eq!(applied.outcome, expected, "{:?}", command);
            prop_assert_eq!((applied.revision, applied.events.len()), (1, 0));
            let members = state.members();
            prop_assert_eq!(members.iter().cloned().collect::<Vec<_>>(), twin.sorted());
            prop_assert_eq!(members.removed().iter().copied().collect::<Vec<_>>(), {
                twin.gone.sort();
                twin.gone.clone()
            });
            let parts = (members.iter().cloned().collect(), members.removed().clone());
            prop_assert!(Members::from_parts(parts.0, parts.1).is_some());
            let voters = members.voters().count();
            prop_assert!(!settled || voters > 0, "a cluster without voters");
            settled |= voters > 0;
        }
        prop_assert_eq!(state.check(), Ok(()));
    }
}
