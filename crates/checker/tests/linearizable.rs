//! The linearizability check against planted histories, and its speed on long ones.

mod common;

use common::*;
use quorate_checker::history::{Answer, Call, Operation, Outcome, Recorder};
use quorate_checker::linearizable::check;
use std::time::Instant;

const NAME: &str = "Linearizability";

#[test]
fn sequential_history_passes() {
    let history = [
        get((1, 2), 1, None),
        put((3, 4), "a", 2),
        get((5, 6), 2, Some(record("a", 2, 2, 1))),
        put((7, 8), "b", 4),
        get((9, 10), 4, Some(record("b", 2, 4, 2))),
        cas((11, 12), 4, "c", 5),
        refused_cas((13, 14), 4, 5, Some(record("c", 2, 5, 3))),
        delete((15, 16), 6, 1),
        delete((17, 18), 6, 0),
        cas((19, 20), 0, "d", 7),
        get((21, 22), 9, Some(record("d", 7, 7, 1))),
    ];
    check(&history).unwrap();
}

#[test]
fn concurrent_read_may_see_either_side() {
    check(&[put((1, 10), "a", 2), get((2, 3), 1, None), get((4, 5), 2, Some(record("a", 2, 2, 1)))]).unwrap();
}

#[test]
fn stale_read_fails() {
    let stale = get((5, 6), 1, None);
    broken(check(&[put((1, 2), "a", 2), stale]), NAME, "answered already");
    // The same with a header that lies.
    let lying = get((5, 6), 2, None);
    broken(check(&[put((1, 2), "a", 2), lying]), NAME, "no order explains\n  client 1 [5..6] get");
}

#[test]
fn lost_update_fails() {
    let history = [put((1, 2), "a", 2), put((3, 4), "b", 3), get((5, 6), 3, Some(record("a", 2, 2, 1)))];
    broken(check(&history), NAME, "no order explains");
    // Two swaps from one revision cannot both succeed.
    broken(check(&[put((1, 2), "a", 2), cas((3, 9), 2, "b", 3), cas((3, 9), 2, "c", 4)]), NAME, "put \"c\"");
}

#[test]
fn wrong_version_or_creation_fails() {
    let puts = [put((1, 2), "a", 2), put((3, 4), "b", 3)];
    let with = |read: Operation| [puts[0].clone(), puts[1].clone(), read];
    check(&with(get((5, 6), 3, Some(record("b", 2, 3, 2))))).unwrap();
    broken(check(&with(get((5, 6), 3, Some(record("b", 2, 3, 1))))), NAME, "no order explains");
    broken(check(&with(get((5, 6), 3, Some(record("b", 3, 3, 1))))), NAME, "no order explains");
    broken(check(&with(get((5, 6), 3, Some(record("x", 2, 3, 2))))), NAME, "no order explains");
    broken(check(&with(delete((5, 6), 3, 0))), NAME, "no order explains");
}

#[test]
fn impossible_answers_fail() {
    broken(check(&[delete((1, 2), 2, 2)]), NAME, "impossible in itself");
    broken(check(&[put((2, 1), "a", 2)]), NAME, "impossible in itself");
    broken(check(&[refused_cas((1, 2), 0, 2, None)]), NAME, "impossible in itself");
    let answer = Outcome::Ok(Answer::Put { revision: 2 });
    broken(check(&[op(1, 2, Call::Get { key: b("k") }, answer)]), NAME, "impossible in itself");
    broken(check(&[put((1, 2), "a", 2), put((1, 2), "b", 2)]), NAME, "one revision for two writes");
    broken(check(&[put((1, 2), "a", 1)]), NAME, "no order explains");
}

#[test]
fn ambiguous_write_may_take_effect_late_once_or_never() {
    let seen = |at: (u64, u64), revision| get(at, revision, Some(record("x", 3, 3, 1)));
    check(&[lost_put(1, "x"), get((5, 6), 2, None)]).unwrap();
    check(&[lost_put(1, "x"), get((5, 6), 2, None), seen((7, 8), 3)]).unwrap();
    // Not before it was invoked, not twice.
    broken(check(&[seen((5, 6), 3), lost_put(7, "x")]), NAME, "get");
    let twice = get((9, 10), 5, Some(record("x", 3, 5, 3)));
    let history = [lost_put(1, "x"), seen((3, 4), 3), put((5, 6), "y", 4), twice];
    broken(check(&history), NAME, "1 unanswered writes of a value cannot explain");
}

#[test]
fn unseen_ambiguous_writes_explain_versions_and_generations() {
    let read = get((9, 10), 7, Some(record("b", 2, 7, 4)));
    let puts = [put((1, 2), "a", 2), lost_put(3, "x"), lost_put(4, "y"), put((5, 6), "b", 7)];
    check(&[&puts[..], std::slice::from_ref(&read)].concat()).unwrap();
    broken(check(&[&puts[1..], std::slice::from_ref(&read)].concat()), NAME, "no order explains");
    // No room for two revisions between 2 and 4.
    let tight = get((9, 10), 4, Some(record("b", 2, 4, 4)));
    broken(
        check(&[puts[0].clone(), puts[1].clone(), puts[2].clone(), put((5, 6), "b", 4), tight]),
        NAME,
        "no order",
    );
    let reborn = get((9, 10), 7, Some(record("b", 7, 7, 1)));
    check(&[put((1, 2), "a", 2), lost_delete(3), put((5, 6), "b", 7), reborn.clone()]).unwrap();
    broken(check(&[put((1, 2), "a", 2), put((5, 6), "b", 7), reborn]), NAME, "no order explains");
}

#[test]
fn ambiguous_swap_takes_effect_only_when_its_comparison_holds() {
    let read =
        |value: &str, modified, version| get((9, 10), modified, Some(record(value, 2, modified, version)));
    check(&[put((1, 2), "a", 2), lost_cas(3, 2, "x"), read("x", 4, 2)]).unwrap();
    broken(check(&[put((1, 2), "a", 2), lost_cas(3, 3, "x"), read("x", 4, 2)]), NAME, "no order explains");
    // A swap on the revision an ambiguous put took.
    check(&[put((1, 2), "a", 2), lost_put(3, "y"), cas((5, 6), 4, "x", 5), read("x", 5, 3)]).unwrap();
    broken(
        check(&[put((1, 2), "a", 2), lost_put(3, "y"), cas((5, 6), 6, "x", 5)]),
        NAME,
        "no order explains",
    );
}

#[test]
fn a_creation_pinned_by_a_swap_is_shown_as_pinned() {
    let history =
        |create| [lost_put(1, "y"), cas((5, 6), 4, "x", 5), get((9, 10), 5, Some(record("x", create, 5, 2)))];
    check(&history(4)).unwrap();
    broken(check(&history(3)), NAME, "no order explains");
}

#[test]
fn ambiguous_write_stays_behind_what_was_answered_before_it() {
    let late = |invoked| {
        let seen = |at, revision| get(at, revision, Some(record("x", 3, 3, 1)));
        [lost_put(invoked, "x"), seen((1, 10), 3), seen((2, 4), 4)]
    };
    check(&late(4)).unwrap();
    broken(check(&late(5)), NAME, "no order explains");
}

#[test]
fn failed_operations_constrain_nothing_and_keys_are_separate() {
    let failed = op(1, 2, Call::Put { key: b("k"), value: b("z") }, Outcome::Failed);
    check(&[failed, get((3, 4), 1, None), on("other", put((5, 6), "z", 2)), get((7, 8), 2, None)]).unwrap();
    let hidden = [on("b", get((1, 2), 3, Some(record("ghost", 3, 3, 1)))), put((3, 4), "a", 4)];
    broken(check(&hidden), NAME, "ghost");
}

/// A long history on one key: some clients time out, and what they wrote arrives late, in time, or never.
fn long_history(operations: u64, lose_one_in: u64, values: u64) -> Vec<Operation> {
    let mut recorder = Recorder::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let (mut revision, mut live) = (1, None);
    let mut late = Vec::new();
    for number in 0..operations {
        let kind = random(10);
        let value = format!("v{}", number % values);
        let call = match kind {
            0..=4 => Call::Put { key: b("k"), value: b(&value) },
            5 => Call::Delete { key: b("k") },
            _ => Call::Get { key: b("k") },
        };
        let ticket = recorder.invoke(number % 30, call);
        if kind <= 5 && random(lose_one_in) == 0 {
            late.push((kind, value));
            continue;
        }
        if random(20) == 0 && !late.is_empty() {
            let (kind, value) = late.swap_remove(random(late.len() as u64) as usize);
            apply(kind, value, &mut revision, &mut live);
        }
        let before = live.clone();
        apply(kind, value, &mut revision, &mut live);
        revision += u64::from(kind > 5 && random(3) == 0); // another key's write
        let answer = match kind {
            0..=4 => Answer::Put { revision },
            5 => Answer::Delete { revision, deleted: u64::from(before.is_some()) },
            _ => Answer::Get { revision, record: live.clone() },
        };
        recorder.end(ticket, Outcome::Ok(answer));
    }
    recorder.into_operations()
}

/// Makes room between revisions, as writes to other keys do.
fn spread(operation: &mut Operation) {
    let Outcome::Ok(answer) = &mut operation.outcome else { return };
    let (Answer::Put { revision }
    | Answer::Get { revision, .. }
    | Answer::Delete { revision, .. }
    | Answer::Cas { revision, .. }) = answer;
    *revision *= 10;
    if let Answer::Get { record: Some(record), .. } = answer {
        record.create_revision *= 10;
        record.mod_revision *= 10;
    }
}

type Live = Option<quorate_checker::history::Record>;

fn apply(kind: u64, value: String, revision: &mut u64, live: &mut Live) {
    match kind {
        0..=4 => {
            *revision += 1;
            let (create, version) = live.as_ref().map_or((*revision, 0), |r| (r.create_revision, r.version));
            *live = Some(record(&value, create, *revision, version + 1));
        }
        5 if live.is_some() => {
            *revision += 1;
            *live = None;
        }
        _ => {}
    }
}

#[test]
fn long_histories_with_many_ambiguous_writes_are_decided_quickly() {
    for (lose_one_in, values) in [(3, u64::MAX), (10, u64::MAX), (100, u64::MAX), (5, 7), (100, 3)] {
        let history = long_history(10_000, lose_one_in, values);
        let began = Instant::now();
        check(&history).unwrap();
        let good = began.elapsed();
        // Corrupt the answer of a read near the end: the search has to exhaust what it could try.
        let mut bad = history.clone();
        let read = bad.iter_mut().rev().skip(50).find_map(|operation| match &mut operation.outcome {
            Outcome::Ok(Answer::Get { record: Some(record), .. }) => Some(record),
            _ => None,
        });
        read.unwrap().version += 1_000;
        let began = Instant::now();
        broken(check(&bad), NAME, "no order explains");
        assert!(good.as_secs() < 5 && began.elapsed().as_secs() < 5, "{good:?}, {:?}", began.elapsed());
    }
}

/// Ambiguous writes have to be counted over the whole history: each piece alone is explicable, all together
/// are not, once more versions are shown than writes were lost.
#[test]
fn versions_borrowed_from_too_few_ambiguous_writes_fail() {
    for lose_one_in in [20, 200, 1_000] {
        let mut history = long_history(10_000, lose_one_in, u64::MAX);
        history.iter_mut().for_each(spread);
        check(&history).unwrap();
        let is_lost = |o: &&Operation| o.outcome == Outcome::Ambiguous && o.call.value().is_some();
        let lost = history.iter().filter(is_lost).count();
        // In the later generations, claim one more put than was made.
        let mut bumped = std::collections::BTreeSet::new();
        for operation in history.iter_mut().skip(6_000) {
            let Outcome::Ok(Answer::Get { record: Some(record), .. }) = &mut operation.outcome else {
                continue;
            };
            if bumped.contains(&record.create_revision) || (record.version > 1 && bumped.len() <= lost) {
                bumped.insert(record.create_revision);
                record.version += 1;
            }
        }
        let began = Instant::now();
        broken(check(&history), NAME, "no order explains");
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}

/// Whatever a broken server answers, the check answers too.
#[test]
fn extreme_numbers_do_not_panic() {
    const MAX: u64 = u64::MAX;
    let numbers = [0, 1, MAX - 1, MAX];
    for (revision, modified) in numbers.iter().flat_map(|a| numbers.iter().map(move |b| (*a, *b))) {
        for (create, version) in numbers.iter().flat_map(|a| numbers.iter().map(move |b| (*a, *b))) {
            let history = [
                lost_put(1, "x"),
                lost_cas(1, modified, "z"),
                lost_delete(1),
                get((2, 3), revision, Some(record("y", create, modified, version))),
                put((2, 5), "y", revision),
                cas((2, 5), modified, "x", modified),
                get((4, 5), MAX, Some(record("x", create, modified, version))),
            ];
            for width in 1..=history.len() {
                let _ = check(&history[..width]);
                let _ = quorate_checker::revision_order::check(&history[..width]);
                let _ = quorate_checker::replay::check(&history[..width], &[event(MAX, "k", "x", 0, MAX)]);
            }
        }
    }
}
