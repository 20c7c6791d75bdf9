//! Revision order, event history, acknowledged writes and replay: each passes a good history and fails on
//! planted bad ones.

mod common;

use common::*;
use quorate_checker::events::Event;
use quorate_checker::history::{Call, Operation, Outcome, Record, Recorder};
use quorate_checker::{acknowledged, digest, events, replay, revision_order};
use std::collections::BTreeMap;

fn good() -> (Vec<Operation>, Vec<Event>) {
    let operations = vec![
        put((1, 2), "a", 2),
        on("other", put((1, 5), "b", 3)),
        get((3, 4), 2, Some(record("a", 2, 2, 1))),
        cas((6, 7), 2, "c", 4),
        refused_cas((8, 9), 2, 4, Some(record("c", 2, 4, 2))),
        lost_put(8, "x"),
        delete((10, 11), 6, 1),
        delete((12, 13), 6, 0),
        get((14, 15), 6, None),
        op(16, 17, Call::Put { key: b("k"), value: b("failed") }, Outcome::Failed),
    ];
    let events = vec![
        event(2, "k", "a", 2, 1),
        event(3, "other", "b", 3, 1),
        event(4, "k", "c", 2, 2),
        event(5, "k", "x", 2, 3),
        deletion(6, "k"),
    ];
    (operations, events)
}

#[test]
fn good_history_passes_all() {
    let (operations, events) = good();
    revision_order::check(&operations).unwrap();
    quorate_checker::linearizable::check(&operations).unwrap();
    events::check(&events).unwrap();
    acknowledged::check(&operations, &events).unwrap();
    replay::check(&operations, &events).unwrap();
}

#[test]
fn revision_order_fails_on_stale_reads_across_keys() {
    let stale = [put((1, 2), "a", 5), on("other", get((3, 4), 4, None))];
    broken(revision_order::check(&stale), "RevisionOrder", "older revision");
    revision_order::check(&[put((1, 3), "a", 5), on("other", get((3, 4), 4, None))]).unwrap();
    // Many operations between the two must not hide it.
    let mut far = vec![put((1, 2), "a", 9), get((20, 21), 8, None)];
    far.extend((3..18).map(|at| get((at, at + 1), 10, None)));
    broken(revision_order::check(&far), "RevisionOrder", "[20..21]");
}

#[test]
fn revision_order_fails_on_repeated_revisions() {
    let twice = [put((1, 9), "a", 2), Operation { client: 2, ..on("other", put((1, 9), "b", 2)) }];
    broken(revision_order::check(&twice), "RevisionOrder", "two writes were given revision 2");
    broken(revision_order::check(&[put((1, 9), "a", 2), put((1, 9), "b", 2)]), "RevisionOrder", "two writes");
    // Parts of one transaction.
    revision_order::check(&[put((1, 9), "a", 2), on("other", put((1, 9), "b", 2))]).unwrap();
    // A write that follows an answer cannot take the revision that was answered.
    broken(
        revision_order::check(&[get((1, 2), 4, None), put((3, 4), "a", 4)]),
        "RevisionOrder",
        "older revision",
    );
}

#[test]
fn revision_order_fails_on_records_from_the_future() {
    let read = get((1, 2), 3, Some(record("a", 4, 4, 1)));
    broken(revision_order::check(&[read]), "RevisionOrder", "newer than the store");
    broken(revision_order::check(&[get((2, 1), 3, None)]), "RevisionOrder", "answered before");
}

#[test]
fn event_history_fails_on_gaps_disorder_and_wrong_versions() {
    let (_, good) = good();
    let broken_by = |change: &dyn Fn(&mut Vec<Event>), needle: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        broken(events::check(&bad), "EventHistory", needle);
    };
    broken_by(&|bad| drop(bad.remove(1)), "missing");
    broken_by(&|bad| bad.swap(0, 4), "missing");
    broken_by(&|bad| bad.swap(2, 3), "missing");
    broken_by(&|bad| bad.push(event(5, "k", "y", 2, 4)), "after revision 6");
    broken_by(&|bad| bad.push(event(7, "k", "y", 2, 4)), "create 7 and version 1 were due");
    broken_by(&|bad| bad[2] = event(4, "k", "c", 2, 3), "version 2 were due");
    broken_by(&|bad| bad.push(deletion(7, "k")), "does not exist");
}

#[test]
fn acknowledged_fails_on_lost_repeated_and_failed_writes() {
    let (operations, good) = good();
    let broken_by = |change: &dyn Fn(&mut Vec<Event>), needle: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        broken(acknowledged::check(&operations, &bad), "Acknowledged", needle);
    };
    broken_by(&|bad| drop(bad.remove(2)), "lost");
    broken_by(&|bad| drop(bad.remove(4)), "lost");
    broken_by(&|bad| bad[2] = event(4, "k", "other", 2, 2), "the store has revision 4: put b\"k\"=\"other\"");
    broken_by(&|bad| bad.truncate(2), "no such revision");
    broken_by(&|bad| bad.push(event(4, "k", "c", 2, 2)), "2 times");
    // Applied again at another revision, after a retry: an acknowledged and an ambiguous put.
    broken_by(&|bad| bad.push(event(7, "k", "a", 7, 1)), "written 2 times where 1 were");
    broken_by(&|bad| bad.push(event(7, "k", "x", 7, 1)), "written 2 times where 1 were");
    broken_by(&|bad| bad.push(event(7, "k", "failed", 7, 1)), "written 1 times where 0 were");
    broken_by(&|bad| bad.push(event(7, "k", "never", 7, 1)), "written 1 times where 0 were");
    // An ambiguous write may be absent.
    let mut without = good.clone();
    without.remove(3);
    acknowledged::check(&operations, &without).unwrap();
}

#[test]
fn replay_fails_on_answers_the_history_does_not_give() {
    let (operations, good) = good();
    let broken_by = |bad: Operation, needle: &str| {
        let all = [&operations[..], &[bad]].concat();
        broken(replay::check(&all, &good), "Replay", needle);
    };
    broken_by(get((20, 21), 5, None), "leaves \"x\"");
    broken_by(get((20, 21), 6, Some(record("x", 2, 5, 3))), "leaves nothing");
    broken_by(get((20, 21), 4, Some(record("c", 2, 4, 3))), "version 2");
    broken_by(delete((20, 21), 5, 0), "leaves \"x\"");
    broken_by(delete((20, 21), 7, 1), "leaves nothing");
    broken_by(cas((20, 21), 2, "z", 6), "mod 5");
    broken_by(refused_cas((20, 21), 5, 5, Some(record("x", 2, 5, 3))), "leaves \"x\"");
    broken_by(refused_cas((20, 21), 1, 5, Some(record("c", 2, 4, 2))), "leaves \"x\"");
    // A stale, serializable read is right at its own revision.
    let stale = get((20, 21), 3, Some(record("a", 2, 2, 1)));
    replay::check(&[&operations[..], &[stale]].concat(), &good).unwrap();
}

#[test]
fn replay_fails_on_a_map_that_differs() {
    let (_, events) = good();
    let map = |entries: &[(&str, Record)]| -> BTreeMap<_, _> {
        entries.iter().map(|(key, record)| (b(key), record.clone())).collect()
    };
    let other = ("other", record("b", 3, 3, 1));
    let x = ("k", record("x", 2, 5, 3));
    replay::check_map(6, &map(std::slice::from_ref(&other)), &events).unwrap();
    replay::check_map(5, &map(&[other.clone(), x.clone()]), &events).unwrap();
    broken(replay::check_map(6, &map(&[other.clone(), x.clone()]), &events), "Replay", "leaves nothing");
    broken(replay::check_map(5, &map(std::slice::from_ref(&other)), &events), "Replay", "missing");
    broken(replay::check_map(4, &map(&[other, x]), &events), "Replay", "leaves \"c\"");
}

#[test]
fn recorder_stamps_and_keeps_unended_operations_ambiguous() {
    let mut recorder = Recorder::new();
    let first = recorder.invoke(1, Call::Get { key: b("k") });
    let second = recorder.invoke(2, Call::Get { key: b("k") });
    recorder.end(first, Outcome::Failed);
    recorder.end(first, Outcome::Ambiguous);
    recorder.end(second, Outcome::Ambiguous);
    let operations = recorder.into_operations();
    assert_eq!((operations[0].invoked, operations[0].answered), (1, 3));
    assert_eq!(operations[0].outcome, Outcome::Failed);
    assert_eq!((operations[1].answered, &operations[1].outcome), (u64::MAX, &Outcome::Ambiguous));
}

#[test]
fn long_values_are_shown_short_and_digests_differ() {
    let text = put((1, 2), &"v".repeat(1_000), 2).to_string();
    assert!(text.len() < 100 && text.contains("(1000 bytes)"), "{text}");
    assert_ne!(digest(b"a"), digest(b"b"));
    assert_eq!(digest(b""), 0xcbf2_9ce4_8422_2325);
}
