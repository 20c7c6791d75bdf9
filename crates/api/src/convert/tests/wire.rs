//! The messages as bytes: numbers that surprise, bytes that are not copied, and bytes that mean nothing.

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use quorate_kv::{Op, Put, Txn};

use super::b;
use super::requests::any_op;
use crate::convert::{lease, watch};
use crate::proto::{etcdserverpb as pb, mvccpb};

/// Written by hand from the field numbers: tag, length, content.
#[test]
fn surprising_field_numbers() {
    let compare = pb::Compare { range_end: b("z"), ..Default::default() };
    // Field 64, length-delimited: 64 << 3 | 2 = 514.
    assert_eq!(compare.encode_to_vec(), [0x82, 0x04, 1, b'z']);
    let event = mvccpb::Event { r#type: 1, ..Default::default() };
    let watch = pb::WatchResponse { events: vec![event], ..Default::default() };
    // Field 11, length-delimited: 11 << 3 | 2 = 90.
    assert_eq!(watch.encode_to_vec(), [0x5a, 2, 0x08, 1]);
    let status = pb::StatusResponse { db_size_quota: 1, ..Default::default() };
    assert_eq!(status.encode_to_vec(), [12 << 3, 1]);
    // A negative number is ten bytes, not zigzag: TimeToLive of no lease.
    let ttl = pb::LeaseTimeToLiveResponse { ttl: -1, ..Default::default() };
    assert_eq!(ttl.encode_to_vec(), [0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
}

/// A put as a Go client sends it, with a field this release does not know behind it.
#[test]
fn unknown_fields_are_passed_over() {
    let bytes: &[u8] = &[0x0a, 1, b'k', 0x12, 1, b'v', 0x18, 5, 0x20, 1, 0x78, 9];
    let put = Put::from(pb::PutRequest::decode(bytes).unwrap());
    assert_eq!(put, Put { key: b("k"), value: b("v"), lease: 5, prev_kv: true, ..Default::default() });
}

/// Keys and values of a command lie in the very buffer the message came in.
#[test]
fn nothing_is_copied_on_the_way_in() {
    let put = |fill: u8| pb::PutRequest {
        key: vec![fill; 100].into(),
        value: vec![fill; 1000].into(),
        ..Default::default()
    };
    let op = |put| pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
    let request = pb::TxnRequest { success: vec![op(put(1)), op(put(2))], ..Default::default() };
    let buffer = Bytes::from(request.encode_to_vec());
    let inside: Range<usize> = { buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len() };
    let txn = Txn::try_from(pb::TxnRequest::decode(buffer.clone()).unwrap()).unwrap();
    assert_eq!(txn.success.len(), 2);
    for op in &txn.success {
        let Op::Put(put) = op else { panic!("{op:?}") };
        assert!(inside.contains(&(put.key.as_ptr() as usize)), "the key was copied");
        assert!(inside.contains(&(put.value.as_ptr() as usize)), "the value was copied");
    }
}

/// Nesting without end is refused when decoding, before any conversion walks it.
#[test]
fn deep_nesting_does_not_decode() {
    let mut request = pb::TxnRequest::default();
    for _ in 0..100 {
        let op = pb::RequestOp { request: Some(pb::request_op::Request::RequestTxn(request)) };
        request = pb::TxnRequest { success: vec![op], ..Default::default() };
    }
    let bytes = request.encode_to_vec();
    assert!(pb::TxnRequest::decode(&bytes[..]).is_err());
}

fn convert_whatever_decodes(bytes: &[u8]) {
    if let Ok(request) = pb::TxnRequest::decode(bytes) {
        let _ = Txn::try_from(request);
    }
    if let Ok(request) = pb::RangeRequest::decode(bytes) {
        let _ = quorate_kv::Range::try_from(request);
    }
    if let Ok(mut request) = pb::WatchCreateRequest::decode(bytes) {
        let _ = watch::filters(&request);
        assert!(!watch::range(&mut request).key.is_empty());
    }
    if let Ok(request) = pb::LeaseGrantRequest::decode(bytes) {
        let _ = lease::grant(&request, 2);
    }
}

proptest! {
    /// Any bytes: they decode or not, and what decodes converts or is refused. Never a panic.
    #[test]
    fn garbage_is_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        convert_whatever_decodes(&bytes);
    }

    /// The same for what was a message before a few of its bytes changed.
    #[test]
    fn damaged_messages_are_harmless(
        ops in prop::collection::vec(any_op(2), 1..5),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = pb::TxnRequest { success: ops, ..Default::default() }.encode_to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        convert_whatever_decodes(&bytes);
    }

    /// A record survives the way out and back in.
    #[test]
    fn records_survive_the_wire(
        key in prop::collection::vec(any::<u8>(), 0..20),
        value in prop::collection::vec(any::<u8>(), 0..20),
        numbers in any::<[i64; 4]>(),
    ) {
        let [create_revision, mod_revision, version, lease] = numbers;
        let kv = quorate_kv::KeyValue {
            key: key.into(), value: value.into(), create_revision, mod_revision, version, lease,
        };
        let sent = mvccpb::KeyValue::from(kv.clone()).encode_to_vec();
        let back = mvccpb::KeyValue::decode(&sent[..]).unwrap();
        prop_assert_eq!(back, mvccpb::KeyValue {
            key: kv.key, value: kv.value, create_revision, mod_revision, version, lease,
        });
    }
}
