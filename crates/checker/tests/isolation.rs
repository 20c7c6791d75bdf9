//! Each anomaly in a history of its own, found and called by its name; good histories pass; a large one in seconds.

#[path = "common/txns.rs"]
mod txns;

use std::time::{Duration, Instant};

use quorate_checker::isolation::{
    Anomaly, Kind, Level, Op, Time, Transaction, anomalies, bank, check, fractured, long_fork,
};
use txns::*;

/// The worst of a history.
#[track_caller]
fn worst(history: &[Transaction], level: Level) -> Anomaly {
    anomalies(history, level).into_iter().next().expect("something is wrong")
}

/// The worst is this, and the data alone show it.
#[track_caller]
fn is(kind: Kind, history: &[Transaction]) {
    let found = worst(history, Level::Serializable);
    assert_eq!((found.kind, found.time), (kind, Time::None), "{found}");
    let violation = check(history, Level::Strict).unwrap_err();
    assert_eq!(violation.property, "StrictSerializable");
    assert!(violation.detail.contains(kind.name()), "{violation}");
}

#[track_caller]
fn fine(history: &[Transaction]) {
    check(history, Level::Strict).unwrap();
}

#[test]
fn a_good_history_passes() {
    fine(&[]);
    fine(&[
        during(0, 10, txn(1, &[list("x", &[]), append("x", 1), append("y", 1), list("x", &[1])])),
        during(11, 20, txn(2, &[append("x", 2), list("y", &[1])])),
        during(21, 30, txn(3, &[list("x", &[1, 2]), list("x", &[1, 2]), append("x", 3)])),
        during(21, 40, txn(4, &[list("x", &[1, 2])])),
        during(21, 40, unknown(5, &[append("y", 2)])),
        during(5, 40, aborted(6, &[append("y", 3), list("x", &[77])])),
        during(
            50,
            60,
            txn(7, &[list("y", &[1, 2]), nothing("r"), write("r", 1), read("r", 1), write("r", 2)]),
        ),
        during(70, 80, txn(8, &[read("r", 2), write("r", 3)])),
        during(75, 90, txn(9, &[at(2, read("r", 2)), at(3, read("s", 9))])),
        during(75, 90, txn(10, &[at(3, write("s", 9))])),
    ]);
}

#[test]
fn a_dirty_write_is_g0() {
    let history = [
        txn(1, &[append("x", 1), append("y", 1)]),
        txn(2, &[append("x", 2), append("y", 2)]),
        txn(3, &[list("x", &[1, 2])]),
        txn(4, &[list("y", &[2, 1])]),
    ];
    is(Kind::G0, &history);
    let told = worst(&history, Level::Serializable).detail;
    assert!(told.contains("ww: T2's 2 in x comes after T1's 1"), "{told}");
    assert!(told.contains("ww: T1's 1 in y comes after T2's 2"), "{told}");
    // The same in registers, where the store tells the versions.
    is(
        Kind::G0,
        &[
            txn(1, &[at(1, write("x", 1)), at(2, write("y", 1))]),
            txn(2, &[at(2, write("x", 2)), at(1, write("y", 2))]),
        ],
    );
}

#[test]
fn an_aborted_read_is_g1a() {
    is(Kind::G1a, &[aborted(1, &[append("x", 1)]), txn(2, &[list("x", &[1])])]);
    is(Kind::G1a, &[aborted(1, &[append("x", 1)]), txn(3, &[append("x", 2)]), txn(2, &[list("x", &[1, 2])])]);
    is(Kind::G1a, &[aborted(1, &[write("x", 1)]), txn(2, &[read("x", 1)])]);
}

#[test]
fn an_intermediate_read_is_g1b() {
    is(Kind::G1b, &[txn(1, &[append("x", 1), append("x", 2)]), txn(2, &[list("x", &[1])])]);
    is(Kind::G1b, &[txn(1, &[write("x", 1), write("x", 2)]), txn(2, &[read("x", 1)])]);
}

#[test]
fn circular_information_is_g1c() {
    is(Kind::G1c, &[txn(1, &[write("x", 1), read("y", 2)]), txn(2, &[write("y", 2), read("x", 1)])]);
    is(
        Kind::G1c,
        &[
            txn(1, &[append("x", 1), list("y", &[1])]),
            txn(2, &[append("x", 2), append("y", 1)]),
            txn(3, &[list("x", &[1, 2])]),
        ],
    );
}

#[test]
fn a_torn_read_is_g_single() {
    let history = [txn(1, &[write("x", 1), write("y", 1)]), txn(2, &[read("x", 1), nothing("y")])];
    is(Kind::GSingle, &history);
    let told = worst(&history, Level::Serializable).detail;
    assert!(told.contains("wr: T2 read 1 of x, which T1 wrote"), "{told}");
    assert!(told.contains("rw: T2 read y up to nothing, and T1's 1 was not there yet"), "{told}");
    assert!(fractured::check(&history).unwrap_err().detail.contains("before all writes"));
    is(
        Kind::GSingle,
        &[txn(1, &[append("x", 1), append("y", 1)]), txn(2, &[list("x", &[1]), list("y", &[])])],
    );
}

#[test]
fn a_fractured_read_is_found_without_an_order() {
    let pair = |id| txn(id, &[write("x", id), write("y", id)]);
    let torn = [pair(1), pair(2), txn(3, &[read("x", 1), read("y", 2)])];
    assert_eq!(fractured::check(&torn).unwrap_err().property, "NoFracturedRead");
    fractured::check(&[pair(1), pair(2), txn(3, &[read("x", 2), read("y", 2)])]).unwrap();
    // Somebody else wrote only one of them, later for all we know.
    fractured::check(&[pair(1), txn(2, &[write("y", 2)]), txn(3, &[read("x", 1), read("y", 2)])]).unwrap();
}

#[test]
fn a_lost_update_is_found() {
    is(Kind::LostUpdate, &[txn(1, &[nothing("x"), write("x", 1)]), txn(2, &[nothing("x"), write("x", 2)])]);
    // Nobody has to have seen the result.
    is(
        Kind::LostUpdate,
        &[
            txn(0, &[append("x", 9)]),
            txn(1, &[list("x", &[9]), append("x", 1)]),
            txn(2, &[list("x", &[9]), append("x", 2)]),
        ],
    );
    fine(&[txn(1, &[nothing("x"), write("x", 1)]), txn(2, &[read("x", 1), write("x", 2)])]);
}

#[test]
fn an_append_that_is_not_where_it_was_made_is_found() {
    // T3 read all there was, and yet its append came after another's.
    let history = [
        txn(1, &[append("x", 1)]),
        txn(2, &[append("x", 2)]),
        txn(3, &[list("x", &[1]), append("x", 3)]),
        txn(4, &[list("x", &[1, 2])]),
    ];
    is(Kind::GSingle, &history);
    fine(&history[..3]);
}

#[test]
fn write_skew_is_g2_item() {
    is(Kind::G2Item, &[txn(1, &[list("x", &[]), append("y", 1)]), txn(2, &[list("y", &[]), append("x", 1)])]);
    is(
        Kind::G2Item,
        &[
            txn(1, &[at(1, write("x", 1)), at(1, write("y", 1))]),
            txn(2, &[read("x", 1), read("y", 1), at(2, write("y", 2))]),
            txn(3, &[read("x", 1), read("y", 1), at(2, write("x", 2))]),
        ],
    );
}

#[test]
fn a_long_fork_is_found() {
    let history = [
        txn(1, &[write("x", 1)]),
        txn(2, &[write("y", 2)]),
        txn(3, &[read("x", 1), nothing("y")]),
        txn(4, &[nothing("x"), read("y", 2)]),
    ];
    is(Kind::LongFork, &history);
    assert_eq!(long_fork::check(&history).unwrap_err().property, "NoLongFork");
    long_fork::check(&[txn(3, &[read("x", 1), nothing("y")]), txn(4, &[nothing("x"), nothing("y")])])
        .unwrap();
}

#[test]
fn what_contradicts_itself_is_found() {
    is(Kind::Internal, &[txn(1, &[append("x", 1), list("x", &[])])]);
    is(Kind::Internal, &[txn(1, &[write("x", 1), nothing("x")])]);
    is(Kind::Internal, &[txn(1, &[write("x", 1)]), txn(2, &[nothing("x"), read("x", 1)])]);
    is(Kind::Internal, &[txn(1, &[append("x", 1)]), txn(2, &[list("x", &[]), list("x", &[1])])]);
    is(Kind::Garbage, &[txn(1, &[read("x", 1)])]);
    is(Kind::Garbage, &[txn(1, &[list("x", &[1])])]);
    is(Kind::Duplicate, &[txn(1, &[append("x", 1)]), txn(2, &[list("x", &[1, 1])])]);
    let two = |one: &[u64], other: &[u64]| {
        [
            txn(1, &[append("x", 1)]),
            txn(2, &[append("x", 2)]),
            txn(3, &[list("x", one)]),
            txn(4, &[list("x", other)]),
        ]
    };
    is(Kind::IncompatibleOrder, &two(&[1, 2], &[2]));
    fine(&two(&[1, 2], &[1]));
    is(Kind::IncompatibleOrder, &[txn(1, &[at(1, write("x", 1))]), txn(2, &[at(1, write("x", 2))])]);
    is(Kind::IncompatibleOrder, &[txn(1, &[at(1, write("x", 1))]), txn(2, &[at(2, read("x", 1))])]);
    is(Kind::Unusable, &[txn(1, &[write("x", 1)]), txn(2, &[write("x", 1)])]);
    is(Kind::Unusable, &[txn(1, &[write("x", 1)]), txn(2, &[append("x", 2)])]);
    is(Kind::Unusable, &[during(2, 1, txn(1, &[]))]);
}

#[test]
fn a_stale_read_needs_time() {
    let history = [
        during(1, 2, txn(1, &[append("x", 1)])),
        during(3, 4, txn(2, &[list("x", &[])])),
        during(5, 6, txn(3, &[list("x", &[1])])),
    ];
    check(&history, Level::Serializable).unwrap();
    check(&history, Level::Session).unwrap();
    let found = worst(&history, Level::Strict);
    assert_eq!((found.kind, found.time), (Kind::GSingle, Time::Realtime), "{found}");
    assert!(found.detail.contains("realtime: T1 was over at 2, before T2 began"), "{found}");
    // Equal times are concurrent.
    let touching = [during(1, 3, history[0].clone()), history[1].clone()];
    fine(&touching);

    let own: Vec<Transaction> = history.iter().map(|txn| by(7, txn.clone())).collect();
    assert_eq!(worst(&own, Level::Session).time, Time::Process);
    check(&own, Level::Serializable).unwrap();
}

#[test]
fn what_is_unknown_may_have_happened_or_not() {
    let unseen = [during(1, 2, unknown(1, &[append("x", 1)])), during(5, 6, txn(2, &[list("x", &[])]))];
    fine(&unseen);
    // Seen late: it took effect late.
    fine(&[unseen[0].clone(), unseen[1].clone(), during(7, 8, txn(3, &[list("x", &[1])]))]);
    // But all of it.
    is(
        Kind::GSingle,
        &[unknown(1, &[append("x", 1), append("y", 1)]), txn(2, &[list("x", &[1]), list("y", &[])])],
    );
    // Not before it was asked for.
    let early = [during(5, 6, unknown(1, &[append("x", 1)])), during(1, 2, txn(2, &[list("x", &[1])]))];
    check(&early, Level::Serializable).unwrap();
    assert_eq!(worst(&early, Level::Strict).time, Time::Realtime);
    // Through another unknown one.
    is(
        Kind::GSingle,
        &[
            unknown(1, &[append("x", 1), append("y", 1)]),
            unknown(2, &[list("x", &[1]), list("y", &[]), append("z", 1)]),
            txn(3, &[list("z", &[1])]),
        ],
    );
}

#[test]
fn a_bank_loses_nothing() {
    let good = vec![(1, vec![5, 5]), (2, vec![3, 7])];
    bank::check(&good, 2, 10, Some(0)).unwrap();
    assert!(bank::check(&[(3, vec![3, 5])], 2, 10, None).unwrap_err().detail.contains("8 in all"));
    assert!(bank::check(&[(3, vec![-1, 11])], 2, 10, Some(0)).is_err());
    assert!(bank::check(&[(3, vec![10])], 2, 10, None).is_err());
}

/// As a store makes them that runs one after the other: five operations each, on lists of up to fifty and on registers.
fn serial(count: u64) -> Vec<Transaction> {
    let mut lists: std::collections::HashMap<u64, Vec<u64>> = Default::default();
    let mut registers: std::collections::HashMap<u64, u64> = Default::default();
    let mut state = 7u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|id| {
            let ops: Vec<Op> = (0..5)
                .map(|part| {
                    let (key, value) = (id / 100 * 10 + random(10), id * 5 + part + 1);
                    let (named, register) = (format!("l{key}"), format!("r{key}"));
                    match random(4) {
                        0 => {
                            lists.entry(key).or_default().push(value);
                            append(&named, value)
                        }
                        1 => list(&named, lists.get(&key).map_or(&[][..], |values| values)),
                        2 => {
                            registers.insert(key, value);
                            write(&register, value)
                        }
                        _ => registers.get(&key).map_or(nothing(&register), |value| read(&register, *value)),
                    }
                })
                .collect();
            during(id * 10, id * 10 + 50, by(id % 16, txn(id, &ops)))
        })
        .collect()
}

#[test]
fn a_hundred_thousand_take_seconds() {
    let mut history = serial(100_000);
    let begun = Instant::now();
    fine(&history);
    let took = begun.elapsed();
    println!("{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");

    // One stale read among them is found, and told in a few steps.
    let stale = history[50_000..].iter().find_map(|txn| {
        let long = |op: &Op| matches!(op, Op::List { values, .. } if values.len() > 6);
        let Op::List { key, values } = txn.ops.iter().find(|op| long(op))? else { return None };
        let ops = vec![Op::List { key: key.clone(), values: values[..1].to_vec() }];
        Some(Transaction { id: 100_000, process: 99, invoked: txn.completed + 1, ops, ..txn.clone() })
    });
    let mut stale = stale.unwrap();
    stale.completed = stale.invoked + 9;
    history.push(stale);
    let found = anomalies(&history, Level::Strict);
    assert_eq!(
        (found[0].kind, found[0].time, found.len()),
        (Kind::GSingle, Time::Realtime, 1),
        "{}",
        found[0]
    );
    check(&history, Level::Serializable).unwrap();
    let found = &found[0];
    assert!(found.detail.lines().count() < 10, "{found}");
    println!("{:?} {found}", begun.elapsed());
}
