//! Three members as processes, every call of the API that exists so far through the `etcd-client` crate, at
//! the leader and at followers alike.

use std::time::{Duration, Instant};

use etcd_client::{
    Client, CompactionOptions, Compare, CompareOp, DeleteOptions, Error, EventType, GetOptions,
    LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    WatchFilterType, WatchOptions, WatchStream,
};
use quorate_harness::{Cluster, Setup, raw};
use tonic::Code;

/// A cluster, with a client of each member: the leader first.
struct Three {
    cluster: Cluster,
    clients: Vec<Client>,
    leader: usize,
}

async fn three(protocol: &str) -> Three {
    let cluster = tokio::task::block_in_place(|| {
        Cluster::start(
            Setup::new(env!("CARGO_BIN_EXE_quorate"), 3)
                .protocol(protocol)
                .flag("--watch-progress-notify-interval=300ms"),
        )
    });
    let leader = cluster.leader().await;
    let mut clients = vec![cluster.client(leader).await];
    for at in (0..3).filter(|&at| at != leader) {
        clients.push(cluster.client(at).await);
    }
    Three { cluster, clients, leader }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, code: Code, text: &str) {
    match answer {
        Err(Error::GRpcStatus(status)) => assert_eq!((status.code(), status.message()), (code, text)),
        other => panic!("{text:?} was due: {other:?}"),
    }
}

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const NO_LEASE: &str = "etcdserver: requested lease not found";

quorate_harness::under_each_protocol!(async every_call_at_every_member);

async fn every_call_at_every_member(protocol: &str) {
    let Three { cluster, mut clients, leader } = three(protocol).await;
    for at in 0..3 {
        keys(&mut clients, at).await;
        transactions(&mut clients[at], at).await;
        watches(&mut clients, at).await;
        leases(&mut clients, at).await;
        maintenance(&cluster, &mut clients[at]).await;
    }
    compaction(&mut clients).await;
    members(&cluster, &mut clients).await;
    let (hash, _) = cluster.agree().await;
    for client in &mut clients {
        let answer = client.hash_kv(0).await.expect("hash");
        assert_eq!(answer.hash(), hash);
    }
    assert_eq!(leader, cluster.leader().await, "nobody had a reason to replace the leader");
}

/// Writes at one member are read at once at every other.
async fn keys(clients: &mut [Client], at: usize) {
    let key = |name: &str| format!("keys/{at}/{name}");
    let put = clients[at].put(key("a"), "1", None).await.expect("put");
    let revision = put.header().expect("header").revision();
    for client in clients.iter_mut() {
        let answer = client.get(key("a"), None).await.expect("get");
        let kv = &answer.kvs()[0];
        assert_eq!((kv.value(), kv.version(), kv.lease()), (&b"1"[..], 1, 0));
        assert_eq!((kv.create_revision(), kv.mod_revision()), (revision, revision));
        assert!(answer.header().expect("header").revision() >= revision);
    }
    let client = &mut clients[at];
    let again = client.put(key("a"), "2", Some(PutOptions::new().with_prev_key())).await.expect("put");
    assert_eq!(again.prev_key().expect("a previous value").value(), b"1");
    assert_eq!(again.header().expect("header").revision(), revision + 1);
    let kept = PutOptions::new().with_ignore_value();
    client.put(key("a"), "", Some(kept)).await.expect("put");
    let old = client.get(key("a"), Some(GetOptions::new().with_revision(revision))).await.expect("get");
    assert_eq!(old.kvs()[0].value(), b"1");
    let future = GetOptions::new().with_revision(revision + 1000);
    refused(client.get(key("a"), Some(future)).await, Code::OutOfRange, FUTURE);
    refused(client.put("", "x", None).await, Code::InvalidArgument, "etcdserver: key is not provided");

    for (name, value) in [("p0", "v9"), ("p1", "v8"), ("p2", "v7"), ("p3", "v6")] {
        client.put(key(name), value, None).await.expect("put");
    }
    let prefix = || GetOptions::new().with_prefix();
    let page = client.get(key("p"), Some(prefix().with_limit(2))).await.expect("get");
    assert_eq!((page.kvs().len(), page.more(), page.count()), (2, true, 4));
    let sorted = prefix().with_sort(SortTarget::Value, SortOrder::Ascend).with_keys_only();
    let sorted = client.get(key("p"), Some(sorted)).await.expect("get");
    let names: Vec<&[u8]> = sorted.kvs().iter().map(|kv| &kv.key()[kv.key().len() - 2..]).collect();
    assert_eq!(names, [b"p3", b"p2", b"p1", b"p0"]);
    assert!(sorted.kvs().iter().all(|kv| kv.value().is_empty()));
    let count = client.get(key("p"), Some(prefix().with_count_only())).await.expect("get");
    assert_eq!((count.kvs().len(), count.count()), (0, 4));
    let from = GetOptions::new().with_range(key("p3")).with_serializable();
    assert_eq!(client.get(key("p1"), Some(from)).await.expect("get").count(), 2);

    let options = DeleteOptions::new().with_prefix().with_prev_key();
    let deleted = client.delete(key("p"), Some(options)).await.expect("delete");
    assert_eq!((deleted.deleted(), deleted.prev_kvs().len()), (4, 4));
    let nothing = client.delete(key("p"), None).await.expect("delete");
    assert_eq!(nothing.deleted(), 0);
    assert_eq!(
        nothing.header().expect("header").revision(),
        deleted.header().expect("header").revision(),
        "deleting nothing makes no revision"
    );
}

async fn transactions(client: &mut Client, at: usize) {
    let key = format!("txn/{at}");
    let create = || {
        Txn::new()
            .when([Compare::create_revision(key.as_str(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key.as_str(), "made", None), TxnOp::get(key.as_str(), None)])
            .or_else([TxnOp::get(key.as_str(), None)])
    };
    let first = client.txn(create()).await.expect("txn");
    assert!(first.succeeded());
    let responses = first.op_responses();
    let revision = first.header().expect("header").revision();
    let [TxnOpResponse::Put(_), TxnOpResponse::Get(get)] = &responses[..] else { panic!("{responses:?}") };
    assert_eq!(get.kvs()[0].mod_revision(), revision, "a later operation sees an earlier one");
    let second = client.txn(create()).await.expect("txn");
    assert!(!second.succeeded());
    assert_eq!(second.header().expect("header").revision(), revision, "reading makes no revision");

    let nested = Txn::new().and_then([TxnOp::txn(
        Txn::new()
            .when([Compare::value(key.as_str(), CompareOp::NotEqual, "made")])
            .or_else([TxnOp::delete(key.as_str(), None), TxnOp::put(format!("{key}/nested"), "x", None)]),
    )]);
    let nested = client.txn(nested).await.expect("txn");
    assert_eq!(nested.header().expect("header").revision(), revision + 1);
    assert_eq!(client.get(key.as_str(), None).await.expect("get").count(), 0);

    let twice = Txn::new().and_then([TxnOp::put("k", "1", None), TxnOp::put("k", "2", None)]);
    let text = "etcdserver: duplicate key given in txn request";
    refused(client.txn(twice).await, Code::InvalidArgument, text);
    let many = |count: u32| {
        let ops: Vec<TxnOp> = (0..count).map(|n| TxnOp::put(format!("many/{n}"), "", None)).collect();
        Txn::new().and_then(ops)
    };
    let text = "etcdserver: too many operations in txn request";
    refused(client.txn(many(129)).await, Code::InvalidArgument, text);
    let whole = client.txn(many(128)).await.expect("txn");
    assert_eq!(whole.header().expect("header").revision(), revision + 2);
}

/// The next response with events.
async fn events(watch: &mut WatchStream) -> Vec<(EventType, Vec<u8>, Vec<u8>, Option<Vec<u8>>)> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let message = tokio::time::timeout(Duration::from_secs(20), watch.message()).await;
        let response = message.expect("a message in time").expect("no error").expect("the stream goes on");
        if !response.events().is_empty() {
            let of = |event: &etcd_client::Event| {
                let kv = event.kv().expect("every event has a record");
                let previous = event.prev_kv().map(|kv| kv.value().to_vec());
                (event.event_type(), kv.key().to_vec(), kv.value().to_vec(), previous)
            };
            return response.events().iter().map(of).collect();
        }
    }
    panic!("no events came");
}

/// Watches at one member see what is written at all of them.
async fn watches(clients: &mut [Client], at: usize) {
    let prefix = format!("watch/{at}/");
    let key = |name: &str| format!("{prefix}{name}").into_bytes();
    let put = clients[0].put(key("old"), "1", None).await.expect("put");
    let start = put.header().expect("header").revision();
    // A watch "from now" begins at what its member has applied: a linearizable read makes that no less than the put.
    clients[at].get(key("old"), None).await.expect("get");
    let options = || WatchOptions::new().with_prefix().with_prev_key();
    let mut live = clients[at].watch(prefix.as_str(), Some(options())).await.expect("watch");
    let past = options().with_start_revision(start);
    let mut past = clients[at].watch(prefix.as_str(), Some(past)).await.expect("watch");
    let deletes = options().with_filters([WatchFilterType::NoPut]);
    let mut deletes = clients[at].watch(prefix.as_str(), Some(deletes)).await.expect("watch");
    for watch in [&mut live, &mut past, &mut deletes] {
        assert!(watch.message().await.expect("no error").expect("a message").created());
    }
    for (writer, client) in clients.iter_mut().enumerate() {
        client.put(key("live"), format!("by {writer}"), None).await.expect("put");
    }
    let old = (EventType::Put, key("old"), b"1".to_vec(), None);
    assert_eq!(events(&mut past).await, [old]);
    let mut previous = None;
    for writer in 0..clients.len() {
        let value = format!("by {writer}").into_bytes();
        let due = [(EventType::Put, key("live"), value.clone(), previous.replace(value))];
        assert_eq!(events(&mut live).await, due);
        assert_eq!(events(&mut past).await, due);
    }
    let both = Txn::new().and_then([TxnOp::put(key("x"), "x", None), TxnOp::delete(key("live"), None)]);
    clients[1].txn(both).await.expect("txn");
    let put = (EventType::Put, key("x"), b"x".to_vec(), None);
    let delete = (EventType::Delete, key("live"), vec![], previous);
    assert_eq!(events(&mut live).await, [put, delete.clone()], "one revision, one response");
    assert_eq!(events(&mut deletes).await, [delete]);

    let current = clients[0].get("none", None).await.expect("get").header().expect("header").revision();
    live.request_progress().await.expect("asked");
    let progress = live.message().await.expect("no error").expect("a message");
    assert_eq!((progress.events().len(), progress.watch_id()), (0, -1));
    assert!(progress.header().expect("header").revision() >= current);
    live.cancel(0).await.expect("asked");
    assert!(live.message().await.expect("no error").expect("a message").canceled());

    let noticed = WatchOptions::new().with_progress_notify();
    let mut noticed = clients[at].watch(key("silent"), Some(noticed)).await.expect("watch");
    assert!(noticed.message().await.expect("no error").expect("a message").created());
    let notice = tokio::time::timeout(Duration::from_secs(10), noticed.message()).await;
    let notice = notice.expect("progress without asking").expect("no error").expect("a message");
    assert!(notice.events().is_empty() && notice.header().expect("header").revision() >= current);
}

async fn leases(clients: &mut [Client], at: usize) {
    let next = (at + 1) % clients.len();
    let id = 1000 + at as i64;
    let options = LeaseGrantOptions::new().with_id(id);
    let granted = clients[at].lease_grant(60, Some(options.clone())).await.expect("grant");
    assert_eq!((granted.id(), granted.ttl()), (id, 60));
    let text = "etcdserver: lease already exists";
    refused(clients[next].lease_grant(60, Some(options)).await, Code::FailedPrecondition, text);
    let text = "etcdserver: too large lease TTL";
    refused(clients[at].lease_grant(9_000_000_001, None).await, Code::OutOfRange, text);
    let chosen = clients[at].lease_grant(1, None).await.expect("grant");
    assert!(chosen.id() > 0 && chosen.ttl() == 2, "{chosen:?}");

    let key = format!("lease/{at}");
    let with = |id| Some(PutOptions::new().with_lease(id));
    clients[next].put(key.as_str(), "held", with(id)).await.expect("put");
    clients[next].put(format!("{key}/short"), "held", with(chosen.id())).await.expect("put");
    refused(clients[at].put("x", "x", with(98_765)).await, Code::NotFound, NO_LEASE);
    for client in clients.iter_mut() {
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let left = client.lease_time_to_live(id, Some(options)).await.expect("time to live");
        assert_eq!((left.granted_ttl(), left.keys()), (60, &[key.clone().into_bytes()][..]));
        assert!((55..=60).contains(&left.ttl()), "{left:?}");
        let unknown = client.lease_time_to_live(98_765, None).await.expect("time to live");
        assert_eq!((unknown.ttl(), unknown.granted_ttl()), (-1, 0));
        let all = client.leases().await.expect("leases");
        assert!(all.leases().iter().any(|lease| lease.id() == id));
    }
    // Kept alive at one member for longer than it was granted, then left alone.
    let (mut keeper, mut answers) = clients[at].lease_keep_alive(chosen.id()).await.expect("keep-alive");
    for _ in 0..6 {
        keeper.keep_alive().await.expect("asked");
        let answer = answers.message().await.expect("no error").expect("an answer");
        assert_eq!((answer.id(), answer.ttl()), (chosen.id(), 2));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(clients[next].get(format!("{key}/short"), None).await.expect("get").count(), 1);
    let begun = Instant::now();
    while clients[next].get(format!("{key}/short"), None).await.expect("get").count() == 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the lease never expires");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(1200), "expired early: {:?}", begun.elapsed());
    keeper.keep_alive().await.expect("asked");
    assert_eq!(answers.message().await.expect("no error").expect("an answer").ttl(), 0);

    clients[next].lease_revoke(id).await.expect("revoke");
    refused(clients[at].lease_revoke(id).await, Code::NotFound, NO_LEASE);
    assert_eq!(clients[at].get(key, None).await.expect("get").count(), 0);
}

async fn maintenance(cluster: &Cluster, client: &mut Client) {
    let status = client.status().await.expect("status");
    assert!(status.version().starts_with("3."), "{status:?}");
    assert!(status.leader() != 0 && status.db_size() > 0 && status.raft_used_db_size() <= status.db_size());
    assert!(
        status.raft_index() >= status.raft_applied_index() && status.raft_term() > 0 && !status.is_learner()
    );
    assert_eq!(status.errors(), [""; 0]);
    client.hash().await.expect("hash");
    let revision = client.get("none", None).await.expect("get").header().expect("header").revision();
    let here = client.hash_kv(revision).await.expect("hash");
    for endpoint in cluster.endpoints() {
        let begun = Instant::now();
        loop {
            let there = raw::hash_kv(&endpoint, revision).await;
            if there.is_some_and(|(hash, ..)| hash == here.hash()) {
                break;
            }
            // A follower may not have heard yet; a future revision is refused until then.
            assert!(begun.elapsed() < Duration::from_secs(10) && there.is_none(), "{there:?} and {here:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    refused(client.hash_kv(revision + 1000).await, Code::OutOfRange, FUTURE);
}

async fn compaction(clients: &mut [Client]) {
    let revision =
        clients[0].put("compacted", "1", None).await.expect("put").header().expect("header").revision();
    clients[1].put("compacted", "2", None).await.expect("put");
    clients[2].put("compacted", "3", None).await.expect("put");
    refused(clients[1].compact(revision + 1000, None).await, Code::OutOfRange, FUTURE);
    let physical = CompactionOptions::new().with_physical();
    clients[1].compact(revision + 1, Some(physical)).await.expect("compact");
    refused(clients[2].compact(revision + 1, None).await, Code::OutOfRange, COMPACTED);
    for client in clients.iter_mut() {
        // A linearizable read first: then this member knows as well.
        assert_eq!(client.get("compacted", None).await.expect("get").kvs()[0].value(), b"3");
        let at = |revision| Some(GetOptions::new().with_revision(revision));
        refused(client.get("compacted", at(revision)).await, Code::OutOfRange, COMPACTED);
        let kept = client.get("compacted", at(revision + 1)).await.expect("get");
        assert_eq!((kept.kvs()[0].value(), kept.kvs()[0].version()), (&b"2"[..], 2));
        refused(client.hash_kv(revision).await, Code::OutOfRange, COMPACTED);
        let options = WatchOptions::new().with_start_revision(revision);
        let mut watch = client.watch("compacted", Some(options)).await.expect("watch");
        assert!(watch.message().await.expect("no error").expect("a message").created());
        let end = watch.message().await.expect("no error").expect("a message");
        assert!(end.canceled() && end.compact_revision() == revision + 1, "{end:?}");
    }
}

async fn members(cluster: &Cluster, clients: &mut [Client]) {
    for client in clients.iter_mut() {
        let answer = client.member_list().await.expect("members");
        let mut seen: Vec<(String, Vec<String>, Vec<String>)> = answer
            .members()
            .iter()
            .map(|member| {
                assert!(member.id() != 0 && !member.is_learner());
                (member.name().to_owned(), member.client_urls().to_vec(), member.peer_urls().to_vec())
            })
            .collect();
        seen.sort();
        let due: Vec<_> = (0..3)
            .map(|at| {
                let peer = format!("http://127.0.0.1:{}", cluster.peer_port(at));
                (format!("m{at}"), vec![cluster.endpoint(at)], vec![peer])
            })
            .collect();
        assert_eq!(seen, due);
    }
}
