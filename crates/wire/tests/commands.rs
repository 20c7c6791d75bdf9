//! Commands: what is written is read back, and nothing that is read can do harm.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_kv::*;
use quorate_protocol::codec::Malformed;
use quorate_wire::command::MAX_DEPTH;
use quorate_wire::{Request, decode_request, encode_request, peek_origin};

/// Short byte strings, with now and then one that the writer keeps as a segment of its own.
fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        1 => (any::<u8>(), 4000usize..5000).prop_map(|(byte, len)| Bytes::from(vec![byte; len])),
    ]
}

fn keys() -> impl Strategy<Value = KeyRange> {
    (bytes(), bytes()).prop_map(|(key, end)| KeyRange { key, end })
}

fn put() -> impl Strategy<Value = Put> {
    (bytes(), bytes(), any::<i64>(), any::<[bool; 3]>()).prop_map(
        |(key, value, lease, [prev_kv, ignore_value, ignore_lease])| Put {
            key,
            value,
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRange> {
    (keys(), any::<bool>()).prop_map(|(range, prev_kv)| DeleteRange { range, prev_kv })
}

fn range() -> impl Strategy<Value = Range> {
    let order = prop::sample::select(vec![SortOrder::None, SortOrder::Ascend, SortOrder::Descend]);
    let target = prop::sample::select(vec![
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ]);
    (keys(), any::<[i64; 6]>(), order, target, any::<[bool; 3]>()).prop_map(
        |(range, n, order, target, flag)| Range {
            range,
            limit: n[0],
            revision: n[1],
            sort_order: order,
            sort_target: target,
            keys_only: flag[0],
            count_only: flag[1],
            min_mod_revision: n[2],
            max_mod_revision: n[3],
            min_create_revision: n[4],
            max_create_revision: n[5],
            serializable: flag[2],
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    let result = prop::sample::select(vec![
        CompareResult::Equal,
        CompareResult::Greater,
        CompareResult::Less,
        CompareResult::NotEqual,
        CompareResult::Unknown,
    ]);
    let target = prop_oneof![
        any::<i64>().prop_map(CompareTarget::Version),
        any::<i64>().prop_map(CompareTarget::Create),
        any::<i64>().prop_map(CompareTarget::Mod),
        bytes().prop_map(CompareTarget::Value),
        any::<i64>().prop_map(CompareTarget::Lease),
        Just(CompareTarget::Unknown),
    ];
    (keys(), result, target).prop_map(|(range, result, target)| Compare { range, result, target })
}

fn txn() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        range().prop_map(Op::Range),
        put().prop_map(Op::Put),
        delete().prop_map(Op::DeleteRange),
        Just(Op::Empty),
    ];
    let op = leaf.prop_recursive(4, 24, 3, |op| {
        (vec(compare(), 0..2), vec(op.clone(), 0..3), vec(op, 0..3))
            .prop_map(|(compare, success, failure)| Op::Txn(Txn { compare, success, failure }))
    });
    (vec(compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..4)).prop_map(|(compare, success, failure)| Txn {
        compare,
        success,
        failure,
    })
}

fn member_change() -> impl Strategy<Value = MemberChange> {
    let urls = || vec(".{0,20}", 0..3);
    prop_oneof![
        (any::<(u64, bool, u32, bool)>(), urls()).prop_map(
            |((id, is_learner, max_learners, strict), peer_urls)| MemberChange::Add {
                id,
                peer_urls,
                is_learner,
                max_learners,
                strict,
            }
        ),
        any::<(u64, bool)>().prop_map(|(id, strict)| MemberChange::Remove { id, strict }),
        (any::<u64>(), urls()).prop_map(|(id, peer_urls)| MemberChange::Update { id, peer_urls }),
        any::<(u64, bool)>().prop_map(|(id, strict)| MemberChange::Promote { id, strict }),
        any::<(u64, u64)>().prop_map(|(old, new)| MemberChange::Replace { old, new }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let publish = (any::<u64>(), ".{0,12}", vec(".{0,20}", 0..3))
        .prop_map(|(member, name, client_urls)| Publish { member, name, client_urls });
    prop_oneof![
        put().prop_map(Command::Put),
        delete().prop_map(Command::DeleteRange),
        txn().prop_map(|txn| Command::Txn(Box::new(txn))),
        any::<i64>().prop_map(|revision| Command::Compact { revision }),
        any::<(i64, i64)>().prop_map(|(id, ttl)| Command::LeaseGrant { id, ttl }),
        any::<i64>().prop_map(|id| Command::LeaseRevoke { id }),
        publish.prop_map(Command::Publish),
        member_change().prop_map(Command::Member),
    ]
}

proptest! {
    #[test]
    fn a_request_is_read_back(origin: u64, request: u64, command in command()) {
        let data = encode_request(origin, request, &command).unwrap();
        prop_assert_eq!(peek_origin(&data), Ok((origin, request)));
        prop_assert_eq!(decode_request(data), Ok(Request { origin, request, command }));
    }

    /// Every prefix is refused, and so is every extension: one value, one layout.
    #[test]
    fn a_cut_or_extended_request_is_refused(command in command(), cut: prop::sample::Index, extra: u8) {
        let data = encode_request(1, 2, &command).unwrap();
        prop_assert!(decode_request(data.slice(..cut.index(data.len()))).is_err());
        let longer = [&data[..], &[extra]].concat();
        prop_assert!(decode_request(longer.into()).is_err());
    }

    /// One changed byte gives an error or another value, never a panic; a value that is read is written back
    /// as the same bytes.
    #[test]
    fn a_damaged_request_never_panics(command in command(), at: prop::sample::Index, byte: u8) {
        let mut data = encode_request(1, 2, &command).unwrap().to_vec();
        let at = at.index(data.len());
        data[at] = byte;
        if let Ok(read) = decode_request(data.clone().into()) {
            let again = encode_request(read.origin, read.request, &read.command).unwrap();
            prop_assert_eq!(&again[..], &data[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut data in vec(any::<u8>(), 0..200), kind in 0u8..10) {
        let _ = peek_origin(&data);
        let _ = decode_request(data.clone().into());
        // The same behind a good head, so that the command's decoder is reached.
        data.splice(0..0, [&[1u8; 17][..], &[kind]].concat());
        let _ = decode_request(data.into());
    }
}

fn nested(depth: usize) -> Command {
    let mut txn = Txn::default();
    for _ in 1..depth {
        txn = Txn { success: vec![Op::Txn(txn)], ..Txn::default() };
    }
    Command::Txn(Box::new(txn))
}

#[test]
fn nesting_is_bounded_when_written() {
    assert!(encode_request(1, 1, &nested(MAX_DEPTH)).is_ok());
    assert_eq!(
        encode_request(1, 1, &nested(MAX_DEPTH + 1)),
        Err(Malformed("transaction: nested more than 64 deep"))
    );
}

/// A megabyte that claims a hundred thousand levels; written by hand, since the encoder refuses to.
#[test]
fn nesting_is_bounded_when_read() {
    let hostile = |levels: usize| {
        let mut data = [&[1u8; 17][..], &[3]].concat();
        for level in 1..=levels {
            data.extend(0u32.to_le_bytes());
            data.extend(u32::from(level < levels).to_le_bytes());
            data.extend((level < levels).then_some(4u8));
        }
        data.extend(std::iter::repeat_n(0u8, levels * 4));
        Bytes::from(data)
    };
    assert_eq!(decode_request(hostile(MAX_DEPTH)).unwrap().command, nested(MAX_DEPTH));
    let refused = Err(Malformed("transaction: nested more than 64 deep"));
    assert_eq!(decode_request(hostile(MAX_DEPTH + 1)), refused);
    assert_eq!(decode_request(hostile(100_000)), refused);
}

#[test]
fn decoding_shares_the_buffer() {
    let value = Bytes::from(vec![7; 100]);
    let put = Command::Put(Put { key: "k".into(), value, ..Put::default() });
    let data = encode_request(1, 1, &put).unwrap();
    let Command::Put(read) = decode_request(data.clone()).unwrap().command else { panic!("another command") };
    let span = data.as_ptr_range();
    assert!(span.contains(&read.value.as_ptr()), "the value is a slice of the input");
}

/// The layout is what is on disks: these bytes may never change under version 1.
#[test]
fn the_layout_is_frozen() {
    let put = Put { key: "k".into(), value: "vw".into(), lease: -2, prev_kv: true, ..Put::default() };
    let mut expected = vec![1, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([1, 1, 0, 0, 0, b'k', 2, 0, 0, 0, b'v', b'w', 254]);
    expected.extend([255; 7]);
    expected.push(1);
    assert_eq!(&encode_request(3, 4, &Command::Put(put)).unwrap()[..], &expected[..]);
}

/// A bit that a later release may give a meaning must not be passed over by this one.
#[test]
fn unknown_flags_are_refused() {
    let mut data = encode_request(1, 1, &Command::Put(Put::default())).unwrap().to_vec();
    *data.last_mut().unwrap() = 1 << 3;
    assert_eq!(decode_request(data.into()), Err(Malformed("flags: unknown bit")));
}
