//! What genuine etcd answered, row by row: Appendix A of our compatibility notes, as far as it concerns the
//! state machine. The numbers are the rows'.

mod common;

use common::*;
use quorate_kv::*;

fn page(limit: i64) -> Range {
    Range { limit, ..get("p/", "p0") }
}

/// Rows 1 to 15.
fn kv_block() -> Store {
    let mut store = Store::new();
    assert_eq!(store.state.revision(), 1);
    assert_eq!(store.range(get("\0", "\0")), RangeOutcome::default(), "1");
    assert_eq!(store.range_refused(get("", "")), Error::EmptyKey, "2");
    assert_eq!(store.refused(Command::Put(put("", "x"))), Error::EmptyKey, "2");
    assert_eq!(store.refused(Command::DeleteRange(delete("", ""))), Error::EmptyKey, "2");
    assert_eq!(store.put("a", "1"), 2, "3");
    let again = Put { prev_kv: true, ..put("a", "2") };
    assert_eq!(store.ok(Command::Put(again)), (3, Outcome::Put(Some(kv("a", "1", 2, 2, 1)))), "4");
    let row = Put { ignore_value: true, ..put("a", "x") };
    assert_eq!(store.refused(Command::Put(row)), Error::ValueProvided, "5");
    let row = Put { ignore_value: true, ..put("zz", "") };
    assert_eq!(store.refused(Command::Put(row)), Error::KeyNotFound, "6");
    let row = Put { ignore_value: true, prev_kv: true, ..put("a", "") };
    assert_eq!(store.ok(Command::Put(row)), (4, Outcome::Put(Some(kv("a", "2", 2, 3, 2)))), "7");
    assert_eq!(store.range(get("a", "")).kvs, [kv("a", "2", 2, 4, 3)], "7");
    let row = Put { ignore_lease: true, lease: 5, ..put("a", "") };
    assert_eq!(store.refused(Command::Put(row)), Error::LeaseProvided, "8");
    assert_eq!(store.refused(Command::Put(Put { lease: 999, ..put("a", "") })), Error::LeaseNotFound, "9");
    assert_eq!(store.range(get_at("a", 2)).kvs, [kv("a", "1", 2, 2, 1)], "10");
    assert_eq!(store.range(get_at("a", 1)), RangeOutcome::default(), "11");
    assert_eq!(store.range(get_at("a", -5)).kvs, [kv("a", "2", 2, 4, 3)], "12");
    assert_eq!(store.range_refused(get_at("a", 100)), Error::FutureRevision, "13");
    let nothing = Outcome::DeleteRange { deleted: 0, prev_kvs: vec![] };
    assert_eq!(store.ok(Command::DeleteRange(delete("nokey", ""))), (4, nothing), "14");
    for (at, value) in ["v9", "v8", "v7", "v6", "v5", "v4"].iter().enumerate() {
        assert_eq!(store.put(&format!("p/{at}"), value), 5 + at as i64, "15");
    }
    store
}

#[test]
fn rows_16_to_26_pages_and_sorting() {
    let store = kv_block();
    let check = |row: &str, range: Range, expected: &[&str], more: bool, count: i64| {
        let outcome = store.range(range);
        assert_eq!(names(&outcome), expected, "{row}");
        assert_eq!((outcome.more, outcome.count), (more, count), "{row}");
    };
    check("16", page(2), &["p/0", "p/1"], true, 6);
    check("17", Range { count_only: true, ..page(2) }, &[], false, 6);
    check("18", Range { keys_only: true, ..page(1) }, &["p/0"], true, 6);
    assert_eq!(store.range(Range { keys_only: true, ..page(1) }).kvs, [kv("p/0", "", 5, 5, 1)], "18");
    let by_value = Range { sort_target: SortTarget::Value, ..page(2) };
    let falling = Range { sort_order: SortOrder::Descend, ..by_value.clone() };
    check("19", falling, &["p/0", "p/1"], true, 6);
    check("20", by_value.clone(), &["p/2", "p/1"], true, 6);
    let rising = Range { sort_order: SortOrder::Ascend, keys_only: true, ..by_value };
    check("20a", rising.clone(), &["p/5", "p/4"], true, 6);
    assert_eq!(store.range(rising).kvs[0], kv("p/5", "", 10, 10, 1), "20a");
    check("21", Range { sort_order: SortOrder::Descend, ..page(2) }, &["p/5", "p/4"], true, 6);
    check("22", Range { min_mod_revision: 8, ..page(1) }, &["p/3"], true, 6);
    check("23", Range { max_create_revision: 6, ..page(0) }, &["p/0", "p/1"], false, 6);
    check("23a", Range { count_only: true, min_mod_revision: 8, ..page(0) }, &[], false, 6);
    check("24", get("p/4", "\0"), &["p/4", "p/5"], false, 2);
    check("24a", get("\0", "\0"), &["a", "p/0", "p/1", "p/2", "p/3", "p/4", "p/5"], false, 7);
    check("25", get("b", "a"), &[], false, 0);
    check("25", get("b", "b"), &[], false, 0);
    check("26", page(-1), &["p/0", "p/1", "p/2", "p/3", "p/4", "p/5"], false, 6);
}

fn responses(outcome: &TxnOutcome) -> Vec<i64> {
    outcome.responses.iter().map(|response| response.revision).collect()
}

fn deletion(deleted: i64, prev_kvs: Vec<KeyValue>) -> OpResult {
    OpResult::DeleteRange { deleted, prev_kvs }
}

#[test]
fn rows_30_to_36_operations_of_a_transaction() {
    let mut store = kv_block();
    assert_eq!(store.txn(Txn::default()), (10, TxnOutcome { succeeded: true, responses: vec![] }), "30");
    let ops = [
        Op::Put(put("t1", "x")),
        Op::Put(put("t2", "y")),
        Op::Range(get("t", "u")),
        Op::DeleteRange(delete("none", "")),
    ];
    let (revision, outcome) = store.txn(then(ops));
    assert_eq!((revision, responses(&outcome)), (11, vec![11; 4]), "31");
    let both =
        RangeOutcome { kvs: vec![kv("t1", "x", 11, 11, 1), kv("t2", "y", 11, 11, 1)], more: false, count: 2 };
    assert_eq!(outcome.responses[2].outcome, OpResult::Range(both), "31");
    assert_eq!(outcome.responses[3].outcome, deletion(0, vec![]), "31");
    let twice = [Op::Put(put("k", "1")), Op::Put(put("k", "2"))];
    assert_eq!(store.txn_refused(then(twice)), Error::DuplicateKey, "32");
    let gone = [Op::Put(put("k", "1")), Op::DeleteRange(delete("k", ""))];
    assert_eq!(store.txn_refused(then(gone)), Error::DuplicateKey, "32");
    let (revision, outcome) =
        store.txn(then([Op::DeleteRange(delete("t1", "")), Op::DeleteRange(delete("p/1", "z"))]));
    assert_eq!((revision, responses(&outcome)), (12, vec![12, 12]), "33");
    assert_eq!(outcome.responses[1].outcome, deletion(6, vec![]), "33");
    let either = Txn { failure: vec![Op::Put(put("n", ""))], ..then([Op::Put(put("n", ""))]) };
    let (revision, outcome) = store.txn(then([Op::Txn(either)]));
    assert_eq!(revision, 13, "34");
    assert!(matches!(&outcome.responses[0].outcome, OpResult::Txn(nested) if nested.succeeded), "34");
    let ops = [
        Op::Range(get("n", "")),
        Op::DeleteRange(DeleteRange { prev_kv: true, ..delete("n", "") }),
        Op::Range(get("n", "")),
        Op::Put(put("m", "")),
        Op::Range(get("m", "")),
    ];
    let (revision, outcome) = store.txn(then(ops));
    assert_eq!((revision, responses(&outcome)), (14, vec![13, 14, 14, 14, 14]), "35");
    assert_eq!(outcome.responses[1].outcome, deletion(1, vec![kv("n", "", 13, 13, 1)]), "35");
    assert_eq!(outcome.responses[2].outcome, OpResult::Range(RangeOutcome::default()), "35");
    let many =
        |count: usize| then((0..count).map(|at| Op::Put(put(&format!("many{at}"), ""))).collect::<Vec<_>>());
    assert_eq!(store.txn_refused(many(129)), Error::TooManyOps, "36");
    assert_eq!(store.txn(many(128)).0, 15, "36");
    let nested = |outer: usize, inner: usize| {
        let mut txn = many(outer - 1);
        txn.success.push(Op::Txn(Txn { failure: many(inner).success, ..Txn::default() }));
        txn
    };
    assert_eq!(store.txn_refused(nested(64, 65)), Error::TooManyOps, "36a");
    assert_eq!(validate_txn(&nested(64, 64), 128), Err(Error::DuplicateKey), "36a");
}

#[test]
fn rows_37_to_46_conditions_and_refusals() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let mut store = kv_block();
    assert_eq!(store.txn_refused(then([Op::Empty])), Error::KeyNotFound, "37");
    assert_eq!(store.txn_refused(when(keys("", ""), CompareTarget::Mod(0), Equal)), Error::EmptyKey, "38");
    let mut holds = |range, target, result| store.txn(when(range, target, result)).1.succeeded;
    assert!(!holds(keys("none", ""), CompareTarget::Value(bytes("x")), NotEqual), "39");
    assert!(!holds(keys("none", ""), CompareTarget::Value(bytes("")), CompareResult::Unknown), "39a");
    assert!(holds(keys("none", ""), CompareTarget::Version(0), Equal), "40");
    assert!(!holds(keys("x", "y"), CompareTarget::Create(0), Greater), "41");
    assert!(
        holds(keys("x", "a"), CompareTarget::Create(0), Equal),
        "41a: a span that is empty by its bounds"
    );
    assert!(holds(keys("p/", "p0"), CompareTarget::Mod(1000), Less), "42");
    assert!(!holds(keys("p/", "p0"), CompareTarget::Mod(10), Less), "42a: all must");
    assert!(holds(keys("a", ""), CompareTarget::Lease(0), Equal), "42b");
    assert!(holds(keys("a", ""), CompareTarget::Value(bytes("1")), Greater), "42c");
    assert!(holds(keys("a", ""), CompareTarget::Mod(77), CompareResult::Unknown), "42d");
    assert!(holds(keys("none", ""), CompareTarget::Mod(0), Equal), "43");
    let future = Op::Range(get_at("a", 1000));
    assert_eq!(store.txn_refused(then([future.clone()])), Error::FutureRevision, "44");
    assert_eq!(store.txn_refused(then([Op::Put(put("w", "")), future])), Error::FutureRevision, "44");
    let next = Op::Range(get_at("w", 11));
    assert_eq!(store.txn_refused(then([Op::Put(put("w", "")), next])), Error::FutureRevision, "44a: its own");
    let leased = Op::Put(Put { lease: 999, ..put("w", "") });
    assert_eq!(store.txn_refused(then([leased.clone()])), Error::LeaseNotFound, "45");
    let keep = |key| Op::Put(Put { ignore_value: true, ..put(key, "") });
    let nested = Op::Txn(Txn { failure: vec![leased], ..then([keep("new")]) });
    assert_eq!(store.txn_refused(then([Op::Put(put("new2", "")), nested.clone()])), Error::KeyNotFound, "46");
    let created = Op::Txn(then([Op::Put(put("new", ""))]));
    assert_eq!(store.txn_refused(then([created, Op::Txn(then([keep("new")]))])), Error::DuplicateKey, "46a");
    let open = Op::DeleteRange(delete("a", "\0"));
    assert_eq!(store.txn_refused(then([open.clone(), keep("a")])), Error::KeyNotFound, "46b: etcd panics");
    assert_eq!(store.txn(then([open, Op::Put(put("b", ""))])).0, 11, "46c");
    assert_eq!(names(&store.range(get("\0", "\0"))), ["b"], "46c");
}

#[test]
fn nested_conditions_see_the_state_before_everything() {
    let mut store = Store::new();
    let nested = Txn {
        success: vec![Op::Put(put("seen", "before"))],
        failure: vec![Op::Put(put("seen", "after"))],
        ..when(keys("a", ""), CompareTarget::Version(0), CompareResult::Equal)
    };
    let (_, outcome) = store.txn(then([Op::Put(put("a", "")), Op::Txn(nested)]));
    assert!(matches!(&outcome.responses[1].outcome, OpResult::Txn(txn) if txn.succeeded));
    assert_eq!(store.range(get("seen", "")).kvs[0].value, "before");
}

#[test]
fn a_revision_asked_for_in_a_transaction_is_as_it_was() {
    let mut store = kv_block();
    let ops = [Op::Put(put("a", "new")), Op::Range(get_at("a", 10)), Op::Range(get("a", ""))];
    let (_, outcome) = store.txn(then(ops));
    let values: Vec<_> = outcome.responses[1..]
        .iter()
        .map(|response| match &response.outcome {
            OpResult::Range(range) => range.kvs[0].value.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, ["2", "new"]);
}

#[test]
fn rows_50_to_55_compaction() {
    let mut store = kv_block();
    let compact = |revision| Command::Compact { revision };
    let txn_at = |revision| then([Op::Range(get_at("a", revision))]);
    assert_eq!(store.refused(compact(100)), Error::FutureRevision, "50");
    assert!(store.txn(txn_at(-1)).1.succeeded, "50a");
    assert_eq!(store.ok(compact(0)), (10, Outcome::Compact), "51");
    assert_eq!(store.refused(compact(-1)), Error::Compacted, "52");
    assert_eq!(store.ok(compact(5)), (10, Outcome::Compact), "53");
    assert_eq!(store.refused(compact(5)), Error::Compacted, "53");
    assert_eq!(store.refused(compact(0)), Error::Compacted, "53");
    for done in [false, true] {
        assert_eq!(store.range_refused(get_at("a", 4)), Error::Compacted, "54");
        assert_eq!(store.range(get_at("a", 5)).kvs, [kv("a", "2", 2, 4, 3)], "54");
        let counted = Range { count_only: true, ..get_at("a", 4) };
        assert_eq!(store.range_refused(counted), Error::Compacted, "54");
        assert_eq!(store.txn_refused(txn_at(4)), Error::Compacted, "55");
        assert_eq!(store.txn_refused(txn_at(-1)), Error::Compacted, "55");
        assert_eq!(store.state.txn_read(&txn_at(4)), Err(Error::Compacted), "55");
        assert_eq!(store.state.meta().finished_compaction == 5, done);
        while store.state.compact_step(1) {}
    }
}

#[test]
fn rows_60_to_68_leases() {
    let mut store = Store::new();
    let grant = |id, ttl| Command::LeaseGrant { id, ttl };
    for (asked, granted) in [(0, 2), (-5, 2), (1, 2), (3, 3), (MAX_TTL, MAX_TTL)] {
        assert_eq!(clamp_ttl(asked, 2), Ok(granted), "60");
    }
    assert_eq!(clamp_ttl(MAX_TTL + 1, 2), Err(Error::LeaseTtlTooLarge), "62");
    assert_eq!(store.refused(grant(5, MAX_TTL + 1)), Error::LeaseTtlTooLarge, "62");
    assert_eq!(store.ok(grant(123, 2)), (1, Outcome::LeaseGrant { id: 123, ttl: 2 }), "60");
    assert_eq!(store.refused(grant(123, 2)), Error::LeaseExists, "61");
    assert_eq!(store.ok(grant(-7, 100)).0, 1, "63");
    store.ok(grant(200, 100));
    for key in ["l2", "l1"] {
        store.ok(Command::Put(Put { lease: 200, ..put(key, "x") }));
    }
    let both = LeaseView { ttl: 100, keys: vec![bytes("l1"), bytes("l2")] };
    assert_eq!(store.state.lease(200), Some(both), "64");
    assert_eq!(store.state.lease(99999), None, "65");
    assert_eq!(store.put("l2", "y"), 4, "66");
    assert_eq!(store.ok(Command::Put(Put { ignore_lease: true, ..put("l1", "y") })).0, 5, "66");
    assert_eq!(store.state.lease(200).expect("exists").keys, ["l1"], "66");
    assert_eq!(store.range(get("l1", "")).kvs, [KeyValue { lease: 200, ..kv("l1", "y", 3, 5, 2) }], "66");
    let only_keys = Range { keys_only: true, ..get("l1", "") };
    assert_eq!(store.range(only_keys).kvs, [KeyValue { lease: 200, ..kv("l1", "", 3, 5, 2) }], "66");
    let revoke = |id| Command::LeaseRevoke { id };
    let applied = store.apply(revoke(200));
    assert_eq!((applied.revision, applied.outcome), (6, Ok(Outcome::LeaseRevoke)), "68");
    let gone =
        Event { revision: Revision { main: 6, sub: 0 }, record: Record::Tombstone { key: bytes("l1") } };
    assert_eq!(applied.events, [gone], "68");
    assert_eq!(store.refused(revoke(200)), Error::LeaseNotFound, "68");
    assert_eq!(store.refused(revoke(0)), Error::LeaseNotFound, "68");
    assert_eq!(store.ok(revoke(-7)), (6, Outcome::LeaseRevoke), "68: nothing attached");
    assert_eq!(store.state.leases().collect::<Vec<_>>(), [(123, 2)]);
}

/// The same commands were given to etcd 3.5.1, which answered with these hashes. (At the compact revision it
/// refuses to answer, unlike later releases.)
#[test]
fn hashes_of_a_small_history() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    store.ok(Command::LeaseGrant { id: 77, ttl: 1000 });
    store.ok(Command::Put(Put { lease: 77, ..put("b", "leased") }));
    store.delete("a", "");
    let ops = [Op::Put(put("a", "3")), Op::DeleteRange(delete("b", "")), Op::Put(put("c", &"x".repeat(300)))];
    store.txn(then(ops));
    store.put("a", "4");
    assert_eq!(store.delete("c", ""), 8);
    let check = |store: &Store, compact_revision, expected: &[(i64, u32)]| {
        for (hash_revision, hash) in expected.iter().copied() {
            let expected = HashKv { hash, compact_revision, hash_revision };
            assert_eq!(store.state.hash_kv(hash_revision), Ok(expected));
        }
    };
    let whole = [
        (1, 1_084_519_789),
        (2, 2_587_454_935),
        (3, 535_221_974),
        (4, 3_920_151_740),
        (5, 1_286_443_319),
        (6, 762_082_442),
        (7, 2_708_828_526),
        (8, 2_008_360_594),
    ];
    check(&store, -1, &whole);
    store.compact(5);
    check(&store, 5, &[(6, 3_243_901_311), (7, 1_800_097_096), (8, 2_629_905_935)]);
    while store.state.compact_step(1) {}
    check(&store, 5, &[(6, 3_243_901_311), (7, 1_800_097_096), (8, 2_629_905_935)]);
    store.compact(7);
    check(&store, 7, &[(8, 510_521_204)]);
}

/// Where no key is live at the hashed revision, etcd leaves out nothing that is still there.
#[test]
fn hashes_where_nothing_is_live() {
    let mut store = Store::new();
    store.put("a", "1");
    store.put("a", "2");
    store.put("b", "x");
    store.compact(3);
    store.delete("a", "");
    store.delete("b", "");
    store.put("c", "y");
    for done in [false, true] {
        for (revision, hash) in [(4, 1_670_052_297), (5, 3_373_979_763), (6, 1_341_112_475), (7, 923_524_447)]
        {
            assert_eq!(store.state.hash_kv(revision).map(|hash| hash.hash), Ok(hash), "{revision} {done}");
        }
        while store.state.compact_step(1) {}
    }
}

/// Which of several errors a client sees, as etcd 3.5.1 answered.
#[test]
fn the_order_of_checks() {
    let mut store = kv_block();
    let keep = |lease| Put { ignore_value: true, lease, ..put("none", "") };
    assert_eq!(store.refused(Command::Put(keep(999))), Error::LeaseNotFound);
    assert_eq!(store.txn_refused(then([Op::Put(keep(999))])), Error::KeyNotFound);
    let future = Op::Range(get_at("a", 1000));
    assert_eq!(store.txn_refused(then([future.clone(), Op::Put(keep(0))])), Error::KeyNotFound);
    let leased = Op::Put(Put { lease: 999, ..put("y", "") });
    assert_eq!(store.txn_refused(then([leased, Op::Put(keep(0))])), Error::LeaseNotFound);
    let twice = [Op::Put(put("y", "")), Op::Put(put("y", "")), Op::Put(put("", ""))];
    assert_eq!(store.txn_refused(then(twice)), Error::EmptyKey);
    for revision in [-2, -5] {
        let before_any = then([Op::Range(get_at("a", revision))]);
        assert_eq!(store.txn_refused(before_any), Error::Compacted);
    }
}

#[test]
fn hash_of_an_empty_store() {
    let store = Store::new();
    let hash = HashKv { hash: 1_084_519_789, compact_revision: -1, hash_revision: 1 };
    assert_eq!(store.state.hash_kv(0), Ok(hash));
    assert_eq!(store.state.hash_kv(-3).map(|hash| hash.hash), Ok(1_084_519_789));
    assert_eq!(store.state.hash_kv(2), Err(Error::FutureRevision));
}
