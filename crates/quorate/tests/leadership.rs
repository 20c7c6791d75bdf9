//! What depends on who leads, with real processes: reads by lease after a leader was stopped in its tracks, and clean
//! ends.

mod common;
#[path = "members/lab.rs"]
#[allow(dead_code)]
mod lab;

use std::time::Duration;

use lab::Lab;
use quorate_api::proto::etcdserverpb as pb;
use quorate_harness::raw;
use rustix::process::Signal;
use tokio::task::block_in_place as blocking;

quorate_harness::under_each_protocol!(
    async a_leader_that_was_stopped_answers_no_read_by_a_lease_that_has_ended,
    a_leader_that_ends_hands_over_and_tells_its_clients
);

const ALL: [usize; 3] = [0, 1, 2];

fn put(value: &str) -> pb::PutRequest {
    pb::PutRequest { key: "k".into(), value: value.to_owned().into(), ..Default::default() }
}

fn range() -> pb::RangeRequest {
    pb::RangeRequest { key: "k".into(), ..Default::default() }
}

/// Waits until every thread of a process is stopped.
fn stopped(process: u32) {
    let begun = std::time::Instant::now();
    let state = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    };
    let threads = || std::fs::read_dir(format!("/proc/{process}/task")).expect("a process").flatten();
    while !threads().all(|thread| state(thread.path())) {
        assert!(begun.elapsed() < quorate_harness::PATIENCE, "it does not stop");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A leader that slept through the end of its lease must notice before it answers what came meanwhile.
async fn a_leader_that_was_stopped_answers_no_read_by_a_lease_that_has_ended(protocol: &str) {
    let mut lab = blocking(|| Lab::under(protocol, 3, 3, &["--read-lease-drift-percent=5"]));
    for round in 0..3 {
        let old = lab.leader(&ALL).await;
        let others: Vec<usize> = ALL.into_iter().filter(|&at| at != old).collect();
        let mut clients: Vec<raw::Raw> = (0..8).map(|_| raw::at(&lab.endpoint(old))).collect();
        clients[0].kv.put(put("before")).await.expect("put");
        for client in &mut clients {
            client.kv.range(range()).await.expect("a read, and a connection");
        }
        lab.member(old).signal(Signal::STOP);
        // One of its threads takes note for all; until then the others may still answer.
        blocking(|| stopped(lab.member(old).id()));
        let reads: Vec<_> = clients
            .into_iter()
            .map(|mut client| tokio::spawn(async move { client.kv.range(range()).await }))
            .collect();
        let new = lab.leader(&others).await;
        raw::at(&lab.endpoint(new)).kv.put(put("after")).await.expect("put");
        lab.member(old).signal(Signal::CONT);
        for read in reads {
            if let Ok(answer) = read.await.expect("no panic") {
                let kvs = answer.into_inner().kvs;
                assert_eq!(kvs[0].value, "after", "round {round}: a read by a lease that had ended");
            }
        }
    }
}

async fn a_leader_that_ends_hands_over_and_tells_its_clients(protocol: &str) {
    let mut lab = blocking(|| Lab::under(protocol, 3, 3, &[]));
    let first = lab.leader(&ALL).await;
    blocking(|| {
        lab.stop(first);
        let said = lab.member(first).said();
        let handed = said.find("handing the leadership over").expect("it says so");
        assert!(said[handed..].contains("role=Follower"), "it waits until another leads: {said}");
    });
    let others: Vec<usize> = ALL.into_iter().filter(|&at| at != first).collect();
    let second = lab.leader(&others).await;
    let follower = if others[0] == second { others[1] } else { others[0] };
    blocking(|| lab.kill(follower));
    // Without a majority this waits until the end.
    let mut client = raw::at(&lab.endpoint(second));
    let waiting = tokio::spawn(async move { client.kv.put(put("never")).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    blocking(|| lab.stop(second));
    let error = waiting.await.expect("no panic").expect_err("there is no majority");
    assert_eq!(error.message(), "etcdserver: server stopped", "{error:?}");
}

/// What was passed to a leader that is gone is answered once another leads, not when its time is up.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_to_a_leader_that_is_gone_is_answered_soon() {
    let mut lab = blocking(|| Lab::founded(3, 3, &[]));
    let leader = lab.leader(&ALL).await;
    let mut client = raw::at(&lab.endpoint((leader + 1) % 3));
    client.kv.put(put("before")).await.expect("put");
    lab.member(leader).signal(Signal::STOP);
    blocking(|| stopped(lab.member(leader).id()));
    let begun = std::time::Instant::now();
    let error = client.kv.put(put("lost")).await.expect_err("nobody hears it");
    let took = begun.elapsed();
    assert_eq!(error.message(), "etcdserver: request timed out, possibly due to previous leader failure");
    assert!(took < Duration::from_millis(6_500), "that was the time a request may take: {took:?}");
    client.kv.put(put("after")).await.expect("put");
    lab.member(leader).signal(Signal::CONT);
}
