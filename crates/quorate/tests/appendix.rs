//! What genuine etcd answered, row by row, over the wire: the rows of Appendix A of our compatibility notes that
//! the `etcd-client` crate cannot ask or does not show, at a member that does not lead. Numbers are the rows'.

use std::time::Duration;

use bytes::Bytes;
use quorate_api::proto::etcdserverpb as pb;
use quorate_api::proto::etcdserverpb::request_op::Request;
use quorate_api::proto::etcdserverpb::response_op::Response;
use quorate_harness::raw::{self, Raw, Watching};
use quorate_harness::{Cluster, Setup};
use tonic::{Code, Status};

/// How long silence has to last to count.
const SILENCE: Duration = Duration::from_millis(300);

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() }
}

fn range(key: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: bytes(key), range_end: bytes(end), ..Default::default() }
}

fn delete(key: &str, prev_kv: bool) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: bytes(key), prev_kv, ..Default::default() }
}

fn ops(requests: Vec<Request>) -> Vec<pb::RequestOp> {
    requests.into_iter().map(|request| pb::RequestOp { request: Some(request) }).collect()
}

fn txn(success: Vec<Request>) -> pb::TxnRequest {
    pb::TxnRequest { success: ops(success), ..Default::default() }
}

fn at(header: Option<pb::ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, text: &str, row: &str) {
    let status = answer.expect_err(row);
    assert_eq!((status.code(), status.message()), (code, text), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_at_a_follower() {
    let cluster =
        tokio::task::block_in_place(|| Cluster::start(Setup::new(env!("CARGO_BIN_EXE_quorate"), 3)));
    let follower = (cluster.leader().await + 1) % 3;
    let mut raw = raw::at(&cluster.endpoint(follower));
    headers(&mut raw).await;
    transactions(&mut raw).await;
    leases(&mut raw).await;
    compactions(&mut raw).await;
    watches(&mut raw).await;
    let status = raw.maintenance.status(pb::StatusRequest {}).await.expect("status").into_inner();
    assert_ne!(status.header.expect("a header").member_id, status.leader, "it came to lead");
}

/// Every header names the cluster, the member that answers, and the term.
async fn headers(raw: &mut Raw) {
    let put = raw.kv.put(put("h", "1")).await.expect("put").into_inner().header.expect("a header");
    let got = raw.kv.range(range("h", "")).await.expect("range").into_inner().header.expect("a header");
    assert_eq!((put.revision, got.revision), (2, 2));
    assert_eq!((put.cluster_id, put.member_id), (got.cluster_id, got.member_id));
    assert!(put.cluster_id != 0 && put.member_id != 0 && put.raft_term > 0);
    let members = raw.cluster.member_list(pb::MemberListRequest { linearizable: true }).await;
    let members = members.expect("members").into_inner();
    assert!(members.members.iter().any(|member| member.id == put.member_id));
    assert_eq!(at(members.header), 0, "the member list has no revision");
}

/// The revision in the header of every response within a transaction.
fn inner(answer: &pb::TxnResponse) -> Vec<i64> {
    let of = |response: &pb::ResponseOp| match response.response.clone().expect("a response") {
        Response::ResponseRange(answer) => at(answer.header),
        Response::ResponsePut(answer) => at(answer.header),
        Response::ResponseDeleteRange(answer) => at(answer.header),
        Response::ResponseTxn(answer) => at(answer.header),
    };
    answer.responses.iter().map(of).collect()
}

async fn transactions(raw: &mut Raw) {
    use Request::{
        RequestDeleteRange as Delete, RequestPut as Put, RequestRange as Range, RequestTxn as Nested,
    };
    let r = at(raw.kv.put(put("n", "1")).await.expect("put").into_inner().header);
    let empty = raw.kv.txn(txn(vec![])).await.expect("30").into_inner();
    assert!(empty.succeeded && at(empty.header) == r, "30");
    let writes =
        vec![Put(put("t1", "")), Put(put("t2", "")), Range(range("t", "u")), Delete(delete("none", false))];
    let answer = raw.kv.txn(txn(writes)).await.expect("31").into_inner();
    assert_eq!(inner(&answer), [r + 1; 4], "31");
    let mixed = vec![
        Range(range("n", "")),
        Delete(delete("n", true)),
        Range(range("n", "")),
        Put(put("m", "")),
        Range(range("m", "")),
    ];
    let answer = raw.kv.txn(txn(mixed)).await.expect("35").into_inner();
    assert_eq!(inner(&answer), [r + 1, r + 2, r + 2, r + 2, r + 2], "35");
    let nested = pb::TxnRequest {
        success: ops(vec![Put(put("k", ""))]),
        failure: ops(vec![Put(put("k", ""))]),
        ..Default::default()
    };
    let answer = raw.kv.txn(txn(vec![Nested(nested)])).await.expect("34").into_inner();
    let Some(Response::ResponseTxn(inside)) = &answer.responses[0].response else { panic!("{answer:?}") };
    let header = inside.header.unwrap_or_default();
    assert_eq!((header.cluster_id, header.member_id, header.revision), (0, 0, 0), "34");
    let leased = pb::PutRequest { lease: 999, ..put("w", "") };
    let text = "etcdserver: requested lease not found";
    refused(raw.kv.txn(txn(vec![Put(put("w1", "")), Put(leased)])).await, Code::NotFound, text, "45");
    let kept = pb::PutRequest { ignore_value: true, ..put("w2", "") };
    let same = vec![Put(put("w2", "")), Nested(txn(vec![Put(kept)]))];
    let text = "etcdserver: duplicate key given in txn request";
    refused(raw.kv.txn(txn(same)).await, Code::InvalidArgument, text, "46: put twice");
    let none = raw.kv.range(range("w", "x")).await.expect("range").into_inner();
    assert_eq!((none.count, at(none.header)), (0, r + 3), "44, 45: nothing was written");
}

async fn leases(raw: &mut Raw) {
    let grant = |ttl, id| pb::LeaseGrantRequest { ttl, id };
    let granted = raw.lease.lease_grant(grant(-5, 4)).await.expect("60").into_inner();
    assert_eq!((granted.id, granted.ttl, granted.error.as_str()), (4, 2, ""), "60");
    assert_eq!(raw.lease.lease_grant(grant(9_000_000_000, -7)).await.expect("62, 63").into_inner().id, -7);
    raw.lease.lease_grant(grant(100, 200)).await.expect("64");
    for key in ["l1", "l2"] {
        raw.kv.put(pb::PutRequest { lease: 200, ..put(key, "x") }).await.expect("64");
    }
    raw.kv.put(put("l2", "x")).await.expect("66");
    raw.kv.put(pb::PutRequest { ignore_lease: true, ..put("l1", "y") }).await.expect("66");
    let asked = pb::LeaseTimeToLiveRequest { id: 200, keys: true };
    let left = raw.lease.lease_time_to_live(asked).await.expect("66").into_inner();
    assert_eq!((left.granted_ttl, left.keys), (100, vec![bytes("l1")]), "66");
    let (requests, receiver) = tokio::sync::mpsc::unbounded_channel();
    for id in [200, 99_999, 200] {
        requests.send(pb::LeaseKeepAliveRequest { id }).expect("asked");
    }
    let mut answers = raw.lease.lease_keep_alive(raw::Requests(receiver)).await.expect("67").into_inner();
    for (id, ttl) in [(200, 100), (99_999, 0), (200, 100)] {
        let answer = answers.message().await.expect("67").expect("67");
        assert_eq!((answer.id, answer.ttl), (id, ttl), "67");
    }
    let before = at(raw.kv.range(range("l1", "")).await.expect("range").into_inner().header);
    let revoked = raw.lease.lease_revoke(pb::LeaseRevokeRequest { id: 200 }).await.expect("68");
    assert_eq!(at(revoked.into_inner().header), before + 1, "68");
    let text = "etcdserver: requested lease not found";
    for id in [200, 0] {
        let revoke = raw.lease.lease_revoke(pb::LeaseRevokeRequest { id }).await;
        refused(revoke, Code::NotFound, text, "68");
    }
}

async fn compactions(raw: &mut Raw) {
    let compact = |revision| pb::CompactionRequest { revision, physical: false };
    let text = "etcdserver: mvcc: required revision has been compacted";
    refused(raw.kv.compact(compact(-1)).await, Code::OutOfRange, text, "52");
    raw.kv.compact(compact(0)).await.expect("51");
    raw.kv.compact(compact(5)).await.expect("53");
    refused(raw.kv.compact(compact(5)).await, Code::OutOfRange, text, "53");
    refused(raw.kv.compact(compact(0)).await, Code::OutOfRange, text, "53");
    for revision in [4, -1] {
        let old = pb::RangeRequest { revision, ..range("a", "") };
        let inside = txn(vec![Request::RequestRange(old.clone())]);
        refused(raw.kv.txn(inside).await, Code::OutOfRange, text, "55");
        let alone = raw.kv.range(pb::RangeRequest { count_only: true, ..old }).await;
        assert_eq!(alone.is_ok(), revision < 0, "54, 12");
    }
}

fn watch(key: &str, end: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: bytes(key), range_end: bytes(end), ..Default::default() }
}

/// The next message is the answer to a create: its id and its header's revision.
async fn created(watching: &mut Watching, row: &str) -> (i64, i64) {
    let answer = watching.next().await.expect(row);
    assert!(answer.created && !answer.canceled && answer.events.is_empty(), "{row}: {answer:?}");
    (answer.watch_id, at(answer.header))
}

async fn watches(raw: &mut Raw) {
    let r = at(raw.kv.put(put("x", "")).await.expect("put").into_inner().header);
    let mut watching = Watching::open(raw, watch("w/", "w0")).await.expect("70");
    assert_eq!(created(&mut watching, "70").await, (0, r), "70");
    raw.kv.put(put("w/1", "1")).await.expect("71");
    raw.kv.put(put("w/1", "2")).await.expect("71");
    raw.kv.delete_range(delete("w/1", false)).await.expect("71");
    let both = vec![Request::RequestPut(put("w/a", "")), Request::RequestPut(put("w/b", ""))];
    raw.kv.txn(txn(both)).await.expect("72");
    for (revision, kind, count) in [(r + 1, 0, 1), (r + 2, 0, 1), (r + 3, 1, 1), (r + 4, 0, 2)] {
        let answer = watching.next().await.expect("71, 72");
        assert_eq!((answer.watch_id, answer.events.len(), answer.events[0].r#type), (0, count, kind));
        assert_eq!(at(answer.header), revision, "71, 72");
        if kind == 1 {
            let kv = answer.events[0].kv.clone().expect("a record");
            assert_eq!((kv.key.as_ref(), kv.mod_revision), (&b"w/1"[..], revision), "71");
            assert_eq!((kv.value.len(), kv.version, kv.create_revision, kv.lease), (0, 0, 0, 0), "71");
        }
    }
    let past = pb::WatchCreateRequest { start_revision: r + 1, prev_kv: true, ..watch("w/", "w0") };
    watching.create(past);
    assert_eq!(created(&mut watching, "73").await, (1, r + 4), "73");
    let caught_up = watching.next().await.expect("73");
    let previous: Vec<bool> = caught_up.events.iter().map(|event| event.prev_kv.is_some()).collect();
    assert_eq!((at(caught_up.header), previous), (r + 4, vec![false, true, true, false, false]), "73");
    ids_and_refusals(&mut watching, r + 4).await;
    watching.progress();
    let progress = watching.next().await.expect("79");
    assert_eq!((progress.watch_id, progress.events.len(), at(progress.header)), (-1, 0, r + 4), "79");
    let lost = pb::WatchCreateRequest { start_revision: 3, ..watch("w/", "") };
    watching.create(lost);
    let (id, _) = created(&mut watching, "80").await;
    let end = watching.next().await.expect("80");
    assert_eq!((end.watch_id, end.canceled, end.compact_revision), (id, true, 5), "80");
    assert_eq!((at(end.header), end.cancel_reason.as_str(), end.events.len()), (0, "", 0), "80");
    filters(raw, r + 1).await;
}

async fn ids_and_refusals(watching: &mut Watching, revision: i64) {
    let seventh = || pb::WatchCreateRequest { watch_id: 7, ..watch("none", "") };
    watching.create(seventh());
    assert_eq!(created(watching, "74").await.0, 7, "74");
    for (request, reason, row) in [
        (seventh(), "mvcc: duplicate watch ID provided on the WatchStream", "74"),
        (watch("b", "a"), "mvcc: watcher range is empty", "76"),
        (watch("b", "b"), "mvcc: watcher range is empty", "76"),
    ] {
        watching.create(request);
        let answer = watching.next().await.expect(row);
        assert!(answer.created && answer.canceled && answer.watch_id == -1, "{row}: {answer:?}");
        assert_eq!((answer.cancel_reason.as_str(), at(answer.header)), (reason, revision), "{row}");
    }
    watching.create(watch("none", ""));
    assert_eq!(created(watching, "75").await.0, 2, "75");
    watching.create(pb::WatchCreateRequest { start_revision: 1_000_000, ..watch("", "\0") });
    assert_eq!(created(watching, "77").await.0, 3, "77");
    watching.cancel(99);
    assert!(watching.within(SILENCE).await.is_none(), "78: an unknown id is met with silence");
    watching.cancel(0);
    let canceled = watching.next().await.expect("78");
    assert_eq!((canceled.watch_id, canceled.canceled, at(canceled.header)), (0, true, revision), "78");
    watching.cancel(0);
    assert!(watching.within(SILENCE).await.is_none(), "78");
    watching.cancel(3);
    assert!(watching.next().await.expect("78").canceled, "78");
}

async fn filters(raw: &mut Raw, start_revision: i64) {
    for (filters, kinds) in [(vec![0], vec![1]), (vec![1], vec![0, 0, 0, 0]), (vec![0, 1, 1], vec![])] {
        let request = pb::WatchCreateRequest { start_revision, filters, ..watch("w/", "w0") };
        let mut watching = Watching::open(raw, request).await.expect("81");
        created(&mut watching, "81").await;
        let mut seen = Vec::new();
        while seen.len() < kinds.len() {
            seen.extend(watching.next().await.expect("81").events.iter().map(|event| event.r#type));
        }
        assert_eq!(seen, kinds, "81");
        assert!(watching.within(SILENCE).await.is_none(), "81");
    }
}
