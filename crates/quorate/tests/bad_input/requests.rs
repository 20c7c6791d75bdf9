//! Requests that are too large, make no sense, or are given up by who sent them.

use std::time::Duration;

use bytes::Bytes;
use quorate_api::proto::etcdserverpb as pb;
use quorate_api::proto::etcdserverpb::request_op::Request;
use quorate_harness::{Cluster, raw};
use tonic::{Code, Status};

use crate::{blocking, setup, unharmed};

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, text: &str) {
    let status = answer.expect_err("a refusal");
    assert_eq!((status.code(), status.message()), (code, text));
}

fn put(key: &str, bytes: usize) -> pb::PutRequest {
    pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: vec![7; bytes].into(),
        ..Default::default()
    }
}

fn range(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_and_senseless_requests() {
    let cluster = blocking(|| Cluster::start(setup(3)));
    for at in 0..3 {
        let mut raw = raw::at(&cluster.endpoint(at));
        sizes(&mut raw, at).await;
        senseless(&mut raw).await;
    }
    unharmed(&cluster, "bad requests").await;
    given_up(&cluster).await;
    unharmed(&cluster, "requests given up").await;
}

async fn sizes(raw: &mut raw::Raw, at: usize) {
    raw.kv.put(put("large", 1_500_000)).await.expect("1.5 MB pass");
    let large = raw.kv.range(range("large")).await.expect("and are read").into_inner();
    assert_eq!(large.kvs[0].value.len(), 1_500_000);
    let text = "etcdserver: request is too large";
    refused(raw.kv.put(put("large", 1_572_864)).await, Code::InvalidArgument, text);
    let op = |key: String| pb::RequestOp { request: Some(Request::RequestPut(put(&key, 100_000))) };
    let success = (0..16).map(|n| op(format!("large/{n}"))).collect();
    let txn = pb::TxnRequest { success, ..Default::default() };
    refused(raw.kv.txn(txn).await, Code::InvalidArgument, text);
    let huge = raw.kv.put(put("large", 2_100_000)).await.expect_err("a refusal");
    assert_eq!(huge.code(), Code::ResourceExhausted, "{huge:?}");
    let text = huge.message();
    let whole = text.strip_prefix("grpc: received message larger than max (");
    let bytes =
        whole.and_then(|rest| rest.strip_suffix(" vs. 2097152)")).and_then(|bytes| bytes.parse().ok());
    assert!(bytes.is_some_and(|bytes: usize| (2_100_000..2_100_100).contains(&bytes)), "{text}");
    let put = put(&"k".repeat(100_000), at);
    raw.kv.put(put).await.expect("a long key is a key");
}

async fn senseless(raw: &mut raw::Raw) {
    raw.kv.put(put("a", 1)).await.expect("put");
    let negative = pb::RangeRequest { limit: -5, revision: -5, min_mod_revision: -1, ..range("a") };
    assert_eq!(raw.kv.range(negative).await.expect("etcd takes them for none").into_inner().count, 1);
    let future = pb::RangeRequest { revision: i64::MAX, ..range("a") };
    let text = "etcdserver: mvcc: required revision is a future revision";
    refused(raw.kv.range(future).await, Code::OutOfRange, text);
    let text = "etcdserver: invalid sort option";
    for (sort_order, sort_target) in [(9, 0), (0, 9), (-1, 0)] {
        let sorted = pb::RangeRequest { sort_order, sort_target, ..range("a") };
        refused(raw.kv.range(sorted).await, Code::InvalidArgument, text);
    }
    let compare = |target, result| {
        let compare = pb::Compare { target, result, key: "a".into(), ..Default::default() };
        pb::TxnRequest { compare: vec![compare], ..Default::default() }
    };
    // A number that means nothing compares as true in etcd; the operand is missing as well.
    assert!(raw.kv.txn(compare(0, 77)).await.expect("txn").into_inner().succeeded);
    assert!(raw.kv.txn(compare(-3, 77)).await.expect("txn").into_inner().succeeded);
    raw.kv.txn(compare(77, 1)).await.expect("an answer, whatever it is");
    let empty = pb::TxnRequest { success: vec![pb::RequestOp { request: None }], ..Default::default() };
    refused(raw.kv.txn(empty).await, Code::InvalidArgument, "etcdserver: key not found");
    let mut deep = pb::TxnRequest::default();
    for _ in 0..60 {
        let op = pb::RequestOp { request: Some(Request::RequestTxn(deep)) };
        deep = pb::TxnRequest { success: vec![op], ..Default::default() };
    }
    // As deep as messages go; whether it is taken matters less than that there is an answer.
    let _ = raw.kv.txn(deep).await;
    let text = "etcdserver: mvcc: required revision is a future revision";
    let compact = pb::CompactionRequest { revision: i64::MAX, physical: true };
    refused(raw.kv.compact(compact).await, Code::OutOfRange, text);
    let hash = pb::HashKvRequest { revision: i64::MAX };
    refused(raw.maintenance.hash_kv(hash).await, Code::OutOfRange, text);
    let granted = raw.lease.lease_grant(pb::LeaseGrantRequest { ttl: i64::MIN, id: 0 }).await.expect("grant");
    assert_eq!(granted.into_inner().ttl, 2);
    let alarm = pb::AlarmRequest { action: 9, ..Default::default() };
    raw.maintenance.alarm(alarm).await.expect_err("no such action");
}

/// Clients that go away before their answer: nothing piles up, whatever was under way is done or not.
async fn given_up(cluster: &Cluster) {
    for round in 0..200u64 {
        let mut raw = raw::at(&cluster.endpoint((round % 3) as usize));
        let request = put(&format!("given-up/{round}"), 10_000);
        let patience = Duration::from_micros(round * 50);
        let _ = tokio::time::timeout(patience, raw.kv.put(request)).await;
        let _ = tokio::time::timeout(patience, raw.kv.range(range("given-up/0"))).await;
    }
}
