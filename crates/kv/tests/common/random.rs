//! Random commands over a small key space, legal and not.
#![allow(dead_code, reason = "each test file uses its own part")]

use proptest::prelude::*;
use quorate_kv::*;

use super::bytes;
use ::bytes::Bytes;

pub fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "ab", "b", "c", "d", "e"]).prop_map(bytes),
        1 => (0..60u8).prop_map(|number| bytes(&format!("n{number:02}"))),
    ]
}

pub fn key_range() -> impl Strategy<Value = KeyRange> {
    let end = prop_oneof![
        3 => Just(bytes("")),
        1 => Just(bytes("\0")),
        3 => prop::sample::select(vec!["a", "b", "c", "f", "n3", "z"]).prop_map(bytes),
    ];
    prop_oneof![
        5 => (key(), end).prop_map(|(key, end)| KeyRange { key, end }),
        1 => Just(KeyRange { key: bytes("\0"), end: bytes("\0") }),
    ]
}

fn lease() -> impl Strategy<Value = LeaseId> {
    prop_oneof![4 => Just(0i64), 3 => 1..4i64, 1 => Just(-1i64)]
}

pub fn put() -> impl Strategy<Value = Put> {
    let value = prop::sample::select(vec!["", "1", "2", "long value"]).prop_map(bytes);
    let keep = || prop::bool::weighted(0.15);
    (key(), value, lease(), any::<bool>(), keep(), keep()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| Put {
            key,
            value: if ignore_value { bytes("") } else { value },
            lease: if ignore_lease { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

pub fn delete() -> impl Strategy<Value = DeleteRange> {
    (key_range(), any::<bool>()).prop_map(|(range, prev_kv)| DeleteRange { range, prev_kv })
}

fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0i64), 1 => -3..0i64, 4 => 1..40i64]
}

fn bound() -> impl Strategy<Value = i64> {
    prop_oneof![5 => Just(0i64), 1 => 1..40i64]
}

pub fn range() -> impl Strategy<Value = Range> {
    let orders = prop::sample::select(vec![SortOrder::None, SortOrder::Ascend, SortOrder::Descend]);
    let targets = prop::sample::select(vec![
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ]);
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    let bounds = (bound(), bound(), bound(), bound());
    (key_range(), -1..5i64, revision(), orders, targets, flags, bounds).prop_map(
        |(range, limit, revision, sort_order, sort_target, (keys_only, count_only), bounds)| Range {
            range,
            limit,
            revision,
            sort_order,
            sort_target,
            keys_only,
            count_only,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
            serializable: false,
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    use CompareResult::*;
    let results = prop::sample::select(vec![Equal, Greater, Less, NotEqual, Unknown]);
    let target = prop_oneof![
        (0..4i64).prop_map(CompareTarget::Version),
        (0..20i64).prop_map(CompareTarget::Create),
        (0..20i64).prop_map(CompareTarget::Mod),
        prop::sample::select(vec!["", "1", "2"]).prop_map(|value| CompareTarget::Value(bytes(value))),
        lease().prop_map(CompareTarget::Lease),
        Just(CompareTarget::Unknown),
    ];
    (key_range(), results, target).prop_map(|(range, result, target)| Compare { range, result, target })
}

pub fn txn() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        2 => range().prop_map(Op::Range),
        4 => put().prop_map(Op::Put),
        2 => delete().prop_map(Op::DeleteRange),
    ];
    let op = leaf.prop_recursive(2, 12, 3, |op| transaction(op, 3).prop_map(Op::Txn));
    transaction(op, 4)
}

fn transaction(op: impl Strategy<Value = Op> + Clone, most: usize) -> impl Strategy<Value = Txn> {
    let ops = || prop::collection::vec(op.clone(), 0..=most);
    (prop::collection::vec(compare(), 0..2), ops(), ops()).prop_map(|(compare, success, failure)| Txn {
        compare,
        success,
        failure,
    })
}

/// A command; compactions are to revisions around the first forty.
pub fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => put().prop_map(Command::Put),
        3 => delete().prop_map(Command::DeleteRange),
        6 => txn().prop_map(|txn| Command::Txn(Box::new(txn))),
        2 => (-1..40i64).prop_map(|revision| Command::Compact { revision }),
        2 => (0..4i64, 1..100i64).prop_map(|(id, ttl)| Command::LeaseGrant { id, ttl }),
        1 => (0..4i64).prop_map(|id| Command::LeaseRevoke { id }),
        1 => membership_command(),
    ]
}

fn urls() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec((0..6u64).prop_map(|at| format!("http://{at}")), 1..3)
}

/// A founding member, started or not.
pub fn member() -> impl Strategy<Value = Member> {
    (1..5u64, urls(), urls(), any::<bool>(), any::<bool>()).prop_map(
        |(id, peer_urls, client_urls, started, is_learner)| Member {
            id,
            peer_urls,
            client_urls: if started { client_urls } else { Vec::new() },
            is_learner,
            ..Member::default()
        },
    )
}

/// Something about members, of few ids.
pub fn membership_command() -> impl Strategy<Value = Command> {
    let id = || 0..9u64;
    let change = prop_oneof![
        4 => (id(), urls(), any::<bool>(), 0..3u32, any::<bool>()).prop_map(
            |(id, peer_urls, is_learner, max_learners, strict)| MemberChange::Add {
                id,
                peer_urls,
                is_learner,
                max_learners,
                strict,
            }
        ),
        2 => (id(), any::<bool>()).prop_map(|(id, strict)| MemberChange::Remove { id, strict }),
        1 => (id(), urls()).prop_map(|(id, peer_urls)| MemberChange::Update { id, peer_urls }),
        2 => (id(), any::<bool>()).prop_map(|(id, strict)| MemberChange::Promote { id, strict }),
        1 => (id(), id()).prop_map(|(old, new)| MemberChange::Replace { old, new }),
    ];
    let publish = (id(), urls()).prop_map(|(member, client_urls)| Publish {
        member,
        name: format!("m{member}"),
        client_urls,
    });
    prop_oneof![3 => change.prop_map(Command::Member), 2 => publish.prop_map(Command::Publish)]
}
