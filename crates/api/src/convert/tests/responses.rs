//! From outcomes to messages.

use quorate_kv::{Event, KeyValue, Member, OpOutcome, OpResult, RangeOutcome, Record, Revision, TxnOutcome};

use super::b;
use crate::convert::{Answering, response, watch};
use crate::proto::{etcdserverpb as pb, mvccpb};
use pb::response_op::Response;

const WHO: Answering = Answering { cluster_id: 11, member_id: 12, raft_term: 13 };

fn kv(key: &'static str) -> KeyValue {
    KeyValue { key: b(key), create_revision: 2, mod_revision: 3, version: 4, value: b("v"), lease: 5 }
}

fn pb_kv(key: &'static str) -> mvccpb::KeyValue {
    mvccpb::KeyValue { key: b(key), create_revision: 2, mod_revision: 3, version: 4, value: b("v"), lease: 5 }
}

#[test]
fn headers() {
    let full = pb::ResponseHeader { cluster_id: 11, member_id: 12, revision: 7, raft_term: 13 };
    assert_eq!(WHO.header(7), full);
    assert_eq!(WHO.cluster_header(), pb::ResponseHeader { revision: 0, ..full });
}

#[test]
fn answers_of_single_operations() {
    let header = WHO.header(9);
    let outcome = RangeOutcome { kvs: vec![kv("a"), kv("b")], more: true, count: 6 };
    let range = response::range(header, outcome);
    let kvs = vec![pb_kv("a"), pb_kv("b")];
    assert_eq!(range, pb::RangeResponse { header: Some(header), kvs: kvs.clone(), more: true, count: 6 });
    let put = response::put(header, Some(kv("a")));
    assert_eq!(put, pb::PutResponse { header: Some(header), prev_kv: Some(pb_kv("a")) });
    assert_eq!(response::put(header, None).prev_kv, None);
    let delete = response::delete_range(header, 2, vec![kv("a"), kv("b")]);
    assert_eq!(delete, pb::DeleteRangeResponse { header: Some(header), deleted: 2, prev_kvs: kvs });
}

/// Rows 34 and 35: an operation's header has its revision and nothing else; a nested transaction's is there
/// and empty; the outermost one's is full.
#[test]
fn headers_inside_a_transaction() {
    let at = |revision, outcome| OpOutcome { revision, outcome };
    let nested = TxnOutcome { succeeded: true, responses: vec![at(20, OpResult::Put(Some(kv("p"))))] };
    let outcome = TxnOutcome {
        succeeded: false,
        responses: vec![
            at(19, OpResult::Range(RangeOutcome { count: 1, ..Default::default() })),
            at(20, OpResult::DeleteRange { deleted: 1, prev_kvs: vec![kv("n")] }),
            at(20, OpResult::Put(None)),
            at(20, OpResult::Txn(nested)),
        ],
    };
    let only = |revision| Some(pb::ResponseHeader { revision, ..Default::default() });
    let op = |response| pb::ResponseOp { response: Some(response) };
    let range = pb::RangeResponse { header: only(19), count: 1, ..Default::default() };
    let delete = pb::DeleteRangeResponse { header: only(20), deleted: 1, prev_kvs: vec![pb_kv("n")] };
    let put = pb::PutResponse { header: only(20), prev_kv: None };
    let inner_put = pb::PutResponse { header: only(20), prev_kv: Some(pb_kv("p")) };
    let txn = pb::TxnResponse {
        header: Some(pb::ResponseHeader::default()),
        succeeded: true,
        responses: vec![op(Response::ResponsePut(inner_put))],
    };
    let wanted = pb::TxnResponse {
        header: Some(WHO.header(20)),
        succeeded: false,
        responses: vec![
            op(Response::ResponseRange(range)),
            op(Response::ResponseDeleteRange(delete)),
            op(Response::ResponsePut(put)),
            op(Response::ResponseTxn(txn)),
        ],
    };
    assert_eq!(response::txn(WHO.header(20), outcome), wanted);
}

#[test]
fn members() {
    let of = |id, is_learner| Member {
        id,
        name: "m".into(),
        peer_urls: vec!["http://p:1".into()],
        client_urls: vec!["http://c:1".into(), "http://c:2".into()],
        is_learner,
        is_returning: is_learner,
    };
    let pb_of = |id, is_learner| pb::Member {
        id,
        name: "m".into(),
        peer_ur_ls: vec!["http://p:1".into()],
        client_ur_ls: vec!["http://c:1".into(), "http://c:2".into()],
        is_learner,
    };
    let listed = response::members(&[of(1, false), of(2, true)]);
    assert_eq!(listed, [pb_of(1, false), pb_of(2, true)]);
}

/// Row 71: a deletion's record is its key and its revision, the record before only beside it.
#[test]
fn events() {
    let revision = Revision { main: 31, sub: 1 };
    let put = Event { revision, record: Record::Put(kv("w")) };
    let wanted = mvccpb::Event { r#type: 0, kv: Some(pb_kv("w")), prev_kv: None };
    assert_eq!(watch::event(&put, None), wanted);
    let delete = Event { revision, record: Record::Tombstone { key: b("w") } };
    let gone = mvccpb::KeyValue { key: b("w"), mod_revision: 31, ..Default::default() };
    let wanted = mvccpb::Event { r#type: 1, kv: Some(gone), prev_kv: Some(pb_kv("w")) };
    assert_eq!(watch::event(&delete, Some(kv("w"))), wanted);
}

/// Many watchers get one event: its bytes are shared, not copied.
#[test]
fn events_share_their_bytes() {
    let key = bytes::Bytes::from(vec![b'k'; 64]);
    let value = bytes::Bytes::from(vec![b'v'; 64]);
    let record = KeyValue { key: key.clone(), value: value.clone(), ..Default::default() };
    let event = Event { revision: Revision { main: 2, sub: 0 }, record: Record::Put(record) };
    let sent = watch::event(&event, None).kv.unwrap();
    assert_eq!((sent.key.as_ptr(), sent.value.as_ptr()), (key.as_ptr(), value.as_ptr()));
}
