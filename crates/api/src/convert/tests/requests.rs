//! From messages to commands.

use proptest::prelude::*;
use quorate_kv::{
    Compare, CompareResult, CompareTarget, DeleteRange, Error, KeyRange, Op, Put, Range, SortOrder,
    SortTarget, Txn,
};

use super::b;
use crate::convert::{lease, watch};
use crate::proto::etcdserverpb as pb;
use pb::compare::TargetUnion;
use pb::request_op::Request;

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

#[test]
fn a_range_keeps_every_field() {
    let request = pb::RangeRequest {
        key: b("a"),
        range_end: b("z"),
        limit: -1,
        revision: -5,
        sort_order: 2,
        sort_target: 3,
        serializable: true,
        keys_only: true,
        count_only: true,
        min_mod_revision: 1,
        max_mod_revision: 2,
        min_create_revision: 3,
        max_create_revision: 4,
    };
    let wanted = Range {
        range: KeyRange { key: b("a"), end: b("z") },
        limit: -1,
        revision: -5,
        sort_order: SortOrder::Descend,
        sort_target: SortTarget::Mod,
        serializable: true,
        keys_only: true,
        count_only: true,
        min_mod_revision: 1,
        max_mod_revision: 2,
        min_create_revision: 3,
        max_create_revision: 4,
    };
    assert_eq!(Range::try_from(request), Ok(wanted));
    // The flags one at a time, so that none stands for another.
    let key = || KeyRange { key: b("k"), ..Default::default() };
    let flag = |serializable, keys_only, count_only| pb::RangeRequest {
        key: b("k"),
        serializable,
        keys_only,
        count_only,
        ..Default::default()
    };
    let base = || Range { range: key(), ..Default::default() };
    assert_eq!(Range::try_from(flag(true, false, false)), Ok(Range { serializable: true, ..base() }));
    assert_eq!(Range::try_from(flag(false, true, false)), Ok(Range { keys_only: true, ..base() }));
    assert_eq!(Range::try_from(flag(false, false, true)), Ok(Range { count_only: true, ..base() }));
}

#[test]
fn sort_numbers() {
    let range = |order, target, key| {
        Range::try_from(pb::RangeRequest {
            key: b(key),
            sort_order: order,
            sort_target: target,
            ..Default::default()
        })
        .map(|range| (range.sort_order, range.sort_target))
    };
    let orders = [(0, SortOrder::None), (1, SortOrder::Ascend), (2, SortOrder::Descend)];
    let targets = [
        (0, SortTarget::Key),
        (1, SortTarget::Version),
        (2, SortTarget::Create),
        (3, SortTarget::Mod),
        (4, SortTarget::Value),
    ];
    for (order, wanted_order) in orders {
        for (target, wanted_target) in targets {
            assert_eq!(range(order, target, "k"), Ok((wanted_order, wanted_target)));
        }
    }
    for (order, target) in [(3, 0), (-1, 0), (0, 5), (0, -1), (i32::MAX, i32::MIN)] {
        assert_eq!(range(order, target, "k"), Err(Error::InvalidSort));
        assert_eq!(range(order, target, ""), Err(Error::EmptyKey), "the key is looked at first");
    }
    // A key alone is the state machine's to refuse.
    assert!(range(0, 0, "").is_ok());
}

#[test]
fn puts_and_removals_keep_every_field() {
    let put = pb::PutRequest { key: b("k"), value: b("v"), lease: 5, prev_kv: true, ..Default::default() };
    let wanted = Put { key: b("k"), value: b("v"), lease: 5, prev_kv: true, ..Default::default() };
    assert_eq!(Put::from(put), wanted);
    let ignore_value = Put::from(pb::PutRequest { ignore_value: true, ..Default::default() });
    assert_eq!(ignore_value, Put { ignore_value: true, ..Default::default() });
    let ignore_lease = Put::from(pb::PutRequest { ignore_lease: true, ..Default::default() });
    assert_eq!(ignore_lease, Put { ignore_lease: true, ..Default::default() });
    let delete = pb::DeleteRangeRequest { key: b("a"), range_end: b("c"), prev_kv: true };
    let wanted = DeleteRange { range: KeyRange { key: b("a"), end: b("c") }, prev_kv: true };
    assert_eq!(DeleteRange::from(delete), wanted);
}

/// Every target with every operand: the operand counts only when it is the target's own.
#[test]
fn the_target_decides_and_a_strange_operand_is_zero() {
    let operands = [
        Some(TargetUnion::Version(11)),
        Some(TargetUnion::CreateRevision(12)),
        Some(TargetUnion::ModRevision(13)),
        Some(TargetUnion::Value(b("x"))),
        Some(TargetUnion::Lease(15)),
        None,
    ];
    let own = [
        CompareTarget::Version(11),
        CompareTarget::Create(12),
        CompareTarget::Mod(13),
        CompareTarget::Value(b("x")),
        CompareTarget::Lease(15),
    ];
    let absent = [
        CompareTarget::Version(0),
        CompareTarget::Create(0),
        CompareTarget::Mod(0),
        CompareTarget::Value(b("")),
        CompareTarget::Lease(0),
    ];
    let target_of = |target, target_union| {
        Compare::from(pb::Compare { target, target_union, ..Default::default() }).target
    };
    for target in 0..5 {
        for (arm, operand) in operands.iter().enumerate() {
            let wanted = if arm == target { &own[target] } else { &absent[target] };
            assert_eq!(target_of(target as i32, operand.clone()), *wanted, "target {target}, arm {arm}");
        }
    }
    for unknown in [5, -1, i32::MAX] {
        assert_eq!(target_of(unknown, Some(TargetUnion::Version(1))), CompareTarget::Unknown);
    }
}

#[test]
fn compare_results_and_ranges() {
    let results = [
        (0, CompareResult::Equal),
        (1, CompareResult::Greater),
        (2, CompareResult::Less),
        (3, CompareResult::NotEqual),
        (4, CompareResult::Unknown),
        (-1, CompareResult::Unknown),
    ];
    for (number, wanted) in results {
        let compare = pb::Compare { result: number, key: b("a"), range_end: b("z"), ..Default::default() };
        let compare = Compare::from(compare);
        assert_eq!(compare.result, wanted, "{number}");
        assert_eq!(compare.range, KeyRange { key: b("a"), end: b("z") });
    }
}

/// Branches stay apart, order stays, nesting stays, and an operation without an arm is kept as such: it is
/// refused when the transaction is validated (row 37).
#[test]
fn a_transaction_keeps_its_shape() {
    let put = |key| op(Request::RequestPut(pb::PutRequest { key: b(key), ..Default::default() }));
    let inner = pb::TxnRequest { failure: vec![put("f")], ..Default::default() };
    let request = pb::TxnRequest {
        compare: vec![pb::Compare { key: b("c"), ..Default::default() }],
        success: vec![put("1"), op(Request::RequestTxn(inner)), pb::RequestOp { request: None }],
        failure: vec![
            op(Request::RequestRange(pb::RangeRequest { key: b("r"), ..Default::default() })),
            op(Request::RequestDeleteRange(pb::DeleteRangeRequest { key: b("d"), ..Default::default() })),
        ],
    };
    let kv_put = |key| Op::Put(Put { key: b(key), ..Default::default() });
    let single = |key| KeyRange { key: b(key), ..Default::default() };
    let wanted = Txn {
        compare: vec![Compare {
            range: single("c"),
            result: CompareResult::Equal,
            target: CompareTarget::Version(0),
        }],
        success: vec![
            kv_put("1"),
            Op::Txn(Txn { failure: vec![kv_put("f")], ..Default::default() }),
            Op::Empty,
        ],
        failure: vec![
            Op::Range(Range { range: single("r"), ..Default::default() }),
            Op::DeleteRange(DeleteRange { range: single("d"), ..Default::default() }),
        ],
    };
    assert_eq!(Txn::try_from(request), Ok(wanted));
}

/// A sort option nobody knows is found at any depth and in either branch.
#[test]
fn a_bad_sort_inside_a_transaction_is_refused() {
    let bad = || {
        let range = pb::RangeRequest { key: b("k"), sort_order: 9, ..Default::default() };
        vec![op(Request::RequestRange(range))]
    };
    let inside = pb::TxnRequest { failure: bad(), ..Default::default() };
    let around =
        pb::TxnRequest { success: vec![op(Request::RequestTxn(inside.clone()))], ..Default::default() };
    assert_eq!(Txn::try_from(inside), Err(Error::InvalidSort));
    assert_eq!(Txn::try_from(around), Err(Error::InvalidSort));
}

/// Rows 60, 62 and 63: the shortest is two seconds, the longest nine thousand million, ids may be negative.
#[test]
fn lease_grants() {
    let min_ttl = lease::min_ttl_seconds(1000);
    assert_eq!(min_ttl, 2);
    let grant = |ttl, id| lease::grant(&pb::LeaseGrantRequest { ttl, id }, min_ttl);
    assert_eq!(grant(0, 0), Ok((None, 2)));
    assert_eq!(grant(-5, 4), Ok((Some(4), 2)));
    assert_eq!(grant(1, 123), Ok((Some(123), 2)));
    assert_eq!(grant(3, -7), Ok((Some(-7), 3)));
    assert_eq!(grant(9_000_000_000, 1), Ok((Some(1), 9_000_000_000)));
    assert_eq!(grant(9_000_000_001, 1), Err(Error::LeaseTtlTooLarge));
    assert_eq!(grant(i64::MIN, 1), Ok((Some(1), 2)));
    let minima = [100, 500, 1000, 1334, 2000, 50_000].map(lease::min_ttl_seconds);
    assert_eq!(minima, [1, 1, 2, 3, 3, 75]);
}

/// Row 77: an empty key starts at the smallest one; nothing else of the span is touched.
#[test]
fn watch_spans() {
    for (key, end, wanted) in
        [("", "\0", ("\0", "\0")), ("", "", ("\0", "")), ("k", "", ("k", "")), ("k", "a", ("k", "a"))]
    {
        let mut request = pb::WatchCreateRequest {
            key: b(key),
            range_end: b(end),
            start_revision: 3,
            ..Default::default()
        };
        let wanted = KeyRange { key: b(wanted.0), end: b(wanted.1) };
        assert_eq!(watch::range(&mut request), wanted);
        assert_eq!(request.start_revision, 3);
    }
}

/// Row 81, and what it leaves open.
#[test]
fn watch_filters() {
    let filters = |numbers: &[i32]| {
        let request = pb::WatchCreateRequest { filters: numbers.to_vec(), ..Default::default() };
        let filters = watch::filters(&request);
        (filters.no_put, filters.no_delete)
    };
    assert_eq!(filters(&[]), (false, false));
    assert_eq!(filters(&[0]), (true, false));
    assert_eq!(filters(&[1]), (false, true));
    assert_eq!(filters(&[1, 0, 1]), (true, true));
    assert_eq!(filters(&[2, -1]), (false, false));
}

/// Operations with numbers in and out of bounds, nested so deep.
pub(super) fn any_op(depth: u32) -> BoxedStrategy<pb::RequestOp> {
    let key = || prop::collection::vec(any::<u8>(), 0..4).prop_map(bytes::Bytes::from);
    let range =
        (key(), -1..4i32, -1..6i32, any::<i64>()).prop_map(|(key, sort_order, sort_target, limit)| {
            Some(Request::RequestRange(pb::RangeRequest {
                key,
                sort_order,
                sort_target,
                limit,
                ..Default::default()
            }))
        });
    let put = (key(), key(), any::<i64>()).prop_map(|(key, value, lease)| {
        Some(Request::RequestPut(pb::PutRequest { key, value, lease, ..Default::default() }))
    });
    let leaf = prop_oneof![Just(None), range, put];
    if depth == 0 {
        return leaf.prop_map(|request| pb::RequestOp { request }).boxed();
    }
    let ops = || prop::collection::vec(any_op(depth - 1), 0..3);
    let txn = (ops(), ops()).prop_map(|(success, failure)| {
        Some(Request::RequestTxn(pb::TxnRequest { success, failure, ..Default::default() }))
    });
    prop_oneof![3 => leaf, 1 => txn].prop_map(|request| pb::RequestOp { request }).boxed()
}

/// The first range in order with a number out of bounds, found the plain way.
fn first_bad_sort(ops: &[pb::RequestOp]) -> Option<Error> {
    ops.iter().find_map(|op| match &op.request {
        Some(Request::RequestRange(range)) => {
            let known = (0..3).contains(&range.sort_order) && (0..5).contains(&range.sort_target);
            (!known).then_some(if range.key.is_empty() { Error::EmptyKey } else { Error::InvalidSort })
        }
        Some(Request::RequestTxn(txn)) => first_bad_sort(&txn.success).or(first_bad_sort(&txn.failure)),
        _ => None,
    })
}

proptest! {
    /// Whatever a transaction holds, it converts or is refused for a bad sort; never a panic.
    #[test]
    fn transactions_convert_unless_a_sort_is_unknown(ops in prop::collection::vec(any_op(2), 0..5)) {
        let wanted = first_bad_sort(&ops);
        let count = ops.len();
        let request = pb::TxnRequest { failure: ops, ..Default::default() };
        match Txn::try_from(request) {
            Ok(txn) => {
                prop_assert_eq!(wanted, None);
                prop_assert_eq!(txn.failure.len(), count);
            }
            Err(error) => prop_assert_eq!(wanted, Some(error)),
        }
    }
}
