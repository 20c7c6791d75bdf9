//! What an operator may choose, protocol and quorums, as real processes: a choice is kept, and what does not go together
//! is refused in words.

mod common;
#[path = "members/lab.rs"]
#[allow(dead_code)]
mod lab;

use std::time::{Duration, Instant};

use common::{ok, refused};
use lab::Lab;
use quorate_api::proto::etcdserverpb as pb;
use quorate_harness::raw;
use tokio::task::block_in_place as blocking;

/// A put at one member, with little patience; whether it was acknowledged.
async fn puts(lab: &Lab, at: usize, key: &str) -> bool {
    let mut client = raw::at(&lab.endpoint(at));
    let request = pb::PutRequest { key: key.to_owned().into(), value: "x".into(), ..Default::default() };
    let put = tokio::time::timeout(Duration::from_secs(2), client.kv.put(request)).await;
    matches!(put, Ok(Ok(_)))
}

/// Howard's example: with five voters of which two accept, three may fail while the leader lives, and then four of
/// five must be there to elect another.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_accept_and_four_of_five_elect() {
    let all = [0, 1, 2, 3, 4];
    let mut lab = blocking(|| Lab::under("paxos", 5, 5, &["--write-quorum=2", "--election-quorum=4"]));
    let leader = lab.leader(&all).await;
    assert!(puts(&lab, leader, "by five").await);
    let others: Vec<usize> = all.into_iter().filter(|&at| at != leader).collect();
    let (helper, failed) = (others[0], &others[1..]);
    blocking(|| failed.iter().for_each(|&at| lab.kill(at)));
    // Well past the time after which a leader without a quorum would step down.
    let begun = Instant::now();
    let mut acknowledged = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        assert!(puts(&lab, leader, &format!("by two/{acknowledged}")).await, "after {:?}", begun.elapsed());
        acknowledged += 1;
    }
    assert_eq!(lab.leader(&[leader, helper]).await, leader);

    // The leader goes too. Three of five, though a majority, may not elect: the two that accepted might be the others.
    blocking(|| {
        lab.kill(leader);
        failed[..2].iter().for_each(|&at| lab.start(at, &all, &[]));
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    for at in [helper, failed[0], failed[1]] {
        let status = raw::status(&lab.endpoint(at)).await;
        assert_eq!(status.map(|status| status.leader), Some(0), "member {at} knows a leader");
        assert!(!puts(&lab, at, "by three").await);
    }
    blocking(|| lab.start(failed[2], &all, &[]));
    let now = [helper, failed[0], failed[1], failed[2]];
    let second = lab.leader(&now).await;
    assert!(puts(&lab, second, "by four").await);
    lab.agree(&now).await;
    let range = pb::RangeRequest { key: "by two/".into(), range_end: "by two0".into(), ..Default::default() };
    let answer = raw::at(&lab.endpoint(second)).kv.range(range).await.expect("a range").into_inner();
    assert_eq!(answer.kvs.len(), acknowledged, "what two had accepted is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_and_a_cluster_keep_their_protocol() {
    let protocols = ["raft", "paxos", "zab"];
    for (own, other) in protocols.into_iter().zip(protocols.into_iter().cycle().skip(1)) {
        let mut lab = blocking(|| Lab::under(own, 2, 1, &[]));
        let other_flag = format!("--protocol={other}");
        blocking(|| {
            ok(&["put", "kept", own, "--endpoints", &lab.endpoint(0)]);
            // One that would found a cluster with it, and says what it should run instead.
            lab.start(1, &[0, 1], &[&other_flag]);
            assert_eq!(lab.member(1).ends().code(), Some(1));
            let said = lab.member(1).said();
            assert!(
                said.contains(&format!("run --protocol {own}, this one was started with --protocol {other}")),
                "{said}"
            );
            lab.stop(0);
            lab.start(0, &[0], &[&other_flag]);
            assert_eq!(lab.member(0).ends().code(), Some(1));
            let said = lab.member(0).said();
            assert!(said.contains(&format!("was written under --protocol {own}")), "{said}");
            assert!(said.contains(&format!("start it with --protocol {own}")), "{said}");
            lab.start(0, &[0], &[]);
            lab.ready(0);
            assert_eq!(ok(&["get", "kept", "--endpoints", &lab.endpoint(0)]), format!("kept\n{own}\n"));
        });
    }
}

#[test]
fn quorums_that_do_not_intersect_are_refused() {
    let cluster =
        "--initial-cluster=m0=http://localhost:2380,m1=http://b:1,m2=http://c:1,m3=http://d:1,m4=http://e:1";
    for (flags, words) in [
        ("--protocol=raft --write-quorum=2", "does not go with --protocol raft"),
        ("--protocol=zab --write-quorum=2", "found the cluster with --protocol paxos"),
        ("--protocol=paxos --write-quorum=0", "--write-quorum 0 is out of range"),
        ("--protocol=paxos --write-quorum=6", "5 founding voters"),
        ("--protocol=paxos --write-quorum=2 --election-quorum=3", "need not intersect among 5 voters"),
        ("--protocol=paxos --write-quorum=2 --election-quorum=5", "4 of 5 voters elect"),
        ("--protocol=paxos --election-quorum=4", "--election-quorum follows from --write-quorum"),
    ] {
        let line: Vec<&str> = ["serve", "--name=m0", cluster].into_iter().chain(flags.split(' ')).collect();
        let said = refused(&line, 1);
        assert!(said.contains(words), "{flags}: {said}");
    }
    let said = refused(&["dev", "--nodes", "3", "--protocol", "paxos", "--write-quorum", "4"], 1);
    assert!(said.contains("--write-quorum 4 is out of range"), "{said}");
}

/// Members that were told of different quorums are of different clusters.
#[test]
fn founders_with_other_quorums_do_not_found_together() {
    let mut lab = Lab::new(3, &["--protocol=paxos"]);
    let all = [0, 1, 2];
    [0, 1].iter().for_each(|&at| lab.start(at, &all, &["--write-quorum=2"]));
    [0, 1].iter().for_each(|&at| lab.ready(at));
    lab.start(2, &all, &["--write-quorum=3"]);
    assert_eq!(lab.member(2).ends().code(), Some(1));
    let said = lab.member(2).said();
    assert!(said.contains("was not founded with these flags"), "{said}");
    lab.start(2, &all, &["--write-quorum=2"]);
    lab.ready(2);
}
