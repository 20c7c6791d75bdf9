//! Members come, go, move and hand over, under a light load: etcd's Cluster API with real processes.

mod common;
#[path = "members/lab.rs"]
mod lab;

use std::time::Duration;

use common::{ok, refused, run};
use lab::{Lab, Load};
use quorate_api::proto::etcdserverpb as pb;
use quorate_harness::raw;
use tokio::task::block_in_place as blocking;
use tonic::Code;

quorate_harness::under_each_protocol!(
    async a_cluster_grows_from_one_to_five_and_loses_follower_and_leader,
    a_learner_serves_what_etcds_learners_serve_and_is_promoted_once_in_sync,
    a_damaged_state_is_set_aside_and_sent_anew,
    a_damaged_log_is_read_around_and_named,
    a_member_that_is_alone_waits_for_nobody
);

/// Whoever has just been connected does not count as healthy for five seconds; most tests do not wait for that.
const LAX: &str = "--strict-reconfig-check=false";

async fn a_cluster_grows_from_one_to_five_and_loses_follower_and_leader(protocol: &str) {
    let mut lab = blocking(|| Lab::under(protocol, 5, 1, &[LAX]));
    let load = Load::on(&lab, &[0]);
    for at in 1..5 {
        let cluster: Vec<usize> = (0..=at).collect();
        blocking(|| lab.grow(at, at - 1, &cluster));
        load.goes_on().await;
    }
    let all = [0, 1, 2, 3, 4];
    lab.agree(&all).await;

    // The leader hands over before it is removed, and answers for its own removal.
    blocking(|| ok(&["move-leader", &lab.id(4, 0), "--endpoints", &lab.endpoints(&all)]));
    assert_eq!(lab.leader(&all).await, 4);
    blocking(|| {
        let said = ok(&["member", "remove", &lab.id(4, 0), "--endpoints", &lab.endpoint(4)]);
        assert!(said.contains("removed from cluster"), "{said}");
        lab.ends_as_removed(4);
    });
    load.goes_on().await;
    let follower = if lab.leader(&[0, 1, 2, 3]).await == 3 { 2 } else { 3 };
    blocking(|| {
        ok(&["member", "remove", &lab.id(follower, 0), "--endpoints", &lab.endpoint(0)]);
        lab.ends_as_removed(follower);
        // Started again it is told by its peers, if it had not heard it before.
        lab.start(follower, &[0], &[]);
        lab.ends_as_removed(follower);
        assert_eq!(ok(&["member", "list", "--endpoints", &lab.endpoint(1)]).lines().count(), 3);
    });
    load.goes_on().await;
    load.ends_kept(&lab.endpoint(0)).await;
}

async fn a_learner_serves_what_etcds_learners_serve_and_is_promoted_once_in_sync(protocol: &str) {
    let mut lab = blocking(|| Lab::under(protocol, 3, 1, &[LAX]));
    let load = Load::on(&lab, &[0]);
    let add = |lab: &Lab, at: usize| {
        let (url, endpoint) = (lab.peer_url(at), lab.endpoint(0));
        run(&["member", "add", &format!("m{at}"), "--learner", "--peer-urls", &url, "--endpoints", &endpoint])
    };
    blocking(|| {
        assert!(add(&lab, 1).status.success());
        let second = String::from_utf8(add(&lab, 2).stderr).expect("text");
        assert!(second.contains("etcdserver: too many learner members in cluster"), "{second}");
        let early = refused(&["member", "promote", &lab.id(1, 0), "--endpoints", &lab.endpoint(0)], 1);
        assert!(early.contains("can only promote a learner member which is in sync with leader"), "{early}");
        lab.start(1, &[0, 1], &["--initial-cluster-state=existing"]);
        lab.ready(1);
    });
    load.goes_on().await;
    let mut learner = raw::at(&lab.endpoint(1));
    let refused_words = "etcdserver: rpc not supported for learner";
    let range = |serializable| pb::RangeRequest { key: "load/0".into(), serializable, ..Default::default() };
    let error = learner.kv.range(range(false)).await.expect_err("a linearizable range");
    assert_eq!((error.code(), error.message()), (Code::FailedPrecondition, refused_words));
    learner.kv.range(range(true)).await.expect("a serializable range");
    let error = learner.cluster.member_list(pb::MemberListRequest::default()).await.expect_err("a list");
    assert_eq!(error.message(), refused_words);
    let error = learner.kv.put(pb::PutRequest { key: "k".into(), ..Default::default() }).await;
    assert_eq!(error.expect_err("a put").message(), refused_words);
    assert!(raw::status(&lab.endpoint(1)).await.expect("status").is_learner);
    blocking(|| {
        let id = lab.id(1, 0);
        let leader = refused(&["move-leader", &id, "--endpoints", &lab.endpoint(0)], 1);
        assert!(leader.contains("etcdserver: bad leader transferee"), "{leader}");
        lab.promote(&id, 0);
        let again = refused(&["member", "promote", &id, "--endpoints", &lab.endpoint(1)], 1);
        assert!(again.contains("etcdserver: can only promote a learner member ("), "{again}");
        ok(&["get", "load/0", "--endpoints", &lab.endpoint(1)]);
        ok(&["move-leader", &id, "--endpoints", &lab.endpoints(&[0, 1])]);
    });
    assert_eq!(lab.leader(&[0, 1]).await, 1);
    load.ends_kept(&lab.endpoint(1)).await;
}

/// An election timeout is there to hear from a leader, and nobody else could be that.
async fn a_member_that_is_alone_waits_for_nobody(protocol: &str) {
    let begun = std::time::Instant::now();
    blocking(|| {
        let mut lab = Lab::under(protocol, 1, 1, &["--election-timeout=50000", "--heartbeat-interval=5000"]);
        lab.put(&[0]);
        lab.kill(0);
        lab.start(0, &[0], &[]);
        lab.put(&[0]);
    });
    assert!(begun.elapsed() < Duration::from_secs(50), "it took an election timeout at least");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moves_is_found_again_and_joiners_are_checked() {
    let mut lab = blocking(|| Lab::founded(4, 3, &[LAX]));
    let load = Load::on(&lab, &[0, 1]);
    blocking(|| {
        let (id, moved) = (lab.id(2, 0), lab.other_peer_url(2));
        let (one, taken) = (lab.endpoint(0), lab.peer_url(1));
        let said = refused(&["member", "update", &id, "--peer-urls", &taken, "--endpoints", &one], 1);
        assert!(said.contains("etcdserver: Peer URLs already exists"), "{said}");
        lab.stop(2);
        ok(&["member", "update", &id, "--peer-urls", &moved, "--endpoints", &one]);
        // The flags of a member that has run before are ignored.
        lab.start_at(2, &moved, &[2], &[]);
        lab.ready(2);
        // With two of three the moved one is needed.
        lab.kill(1);
        lab.put(&[2]);
        lab.start(1, &[0, 1, 2], &[]);
        lab.ready(1);
    });
    load.goes_on().await;
    blocking(|| {
        lab.start(3, &[0, 1, 3], &["--initial-cluster-state=existing"]);
        assert_eq!(lab.member(3).ends().code(), Some(1));
        let said = lab.member(3).said();
        assert!(said.contains("no member has the peer URLs"), "{said}");
        let url = lab.peer_url(3);
        ok(&["member", "add", "m3", "--learner", "--peer-urls", &url, "--endpoints", &lab.endpoint(0)]);
        lab.start(3, &[0, 1, 3], &["--initial-cluster-state=existing"]);
        assert_eq!(lab.member(3).ends().code(), Some(1));
        let said = lab.member(3).said();
        assert!(said.contains("member count is unequal"), "{said}");
        assert!(!lab.data_dir(3).exists(), "nothing was touched");
    });
    load.ends_kept(&lab.endpoint(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_disk_is_one_command_and_a_damaged_one_too() {
    let mut lab = blocking(|| Lab::founded(3, 3, &[]));
    let load = Load::on(&lab, &[0, 1, 2]);
    load.goes_on().await;
    let all = [0, 1, 2];
    let lost = lab.leader(&all).await;
    let (one, other) = ((lost + 1) % 3, (lost + 2) % 3);
    let id = blocking(|| {
        let id = lab.id(lost, one);
        lab.kill(lost);
        std::fs::remove_dir_all(lab.data_dir(lost)).expect("the disk is lost");
        lab.start(lost, &all, &[]);
        assert_eq!(lab.member(lost).ends().code(), Some(1));
        let said = lab.member(lost).said();
        assert!(
            said.contains("has already been bootstrapped") && said.contains("--replace-lost-disk"),
            "{said}"
        );
        lab.start(lost, &all, &["--replace-lost-disk"]);
        lab.ready(lost);
        id
    });
    votes_again(&lab, lost, one, &id).await;
    load.goes_on().await;

    // Its vote is needed now.
    blocking(|| {
        lab.kill(other);
        lab.put(&[lost, one]);
        lab.start(other, &all, &[]);
        lab.ready(other);
        lab.stop(lost);
        lab.start(lost, &all, &["--replace-lost-disk"]);
        assert_eq!(lab.member(lost).ends().code(), Some(1));
        let said = lab.member(lost).said();
        assert!(said.contains("is in order, so there is no lost disk to replace"), "{said}");
    });

    // What its log says of itself cannot be read any more.
    let id = blocking(|| {
        let id = lab.id(lost, one);
        for copy in ["superblock-a", "superblock-b"] {
            std::fs::write(lab.data_dir(lost).join("wal").join(copy), [7; 512]).expect("damage");
        }
        lab.start(lost, &all, &[]);
        assert_eq!(lab.member(lost).ends().code(), Some(1));
        let said = lab.member(lost).said();
        assert!(said.contains("cannot be trusted"), "{said}");
        lab.start(lost, &all, &["--replace-lost-disk"]);
        lab.ready(lost);
        assert!(lab.data_dir(lost).with_extension("lost-1").exists(), "it is kept for examination");
        id
    });
    votes_again(&lab, lost, one, &id).await;
    lab.agree(&all).await;
    load.ends_kept(&lab.endpoint(lost)).await;
}

/// Waits until the member at `at`, which was `old`, is somebody else and a voter.
async fn votes_again(lab: &Lab, at: usize, by: usize, old: &str) {
    let begun = std::time::Instant::now();
    while raw::status(&lab.endpoint(at)).await.is_none_or(|status| status.is_learner || status.leader == 0) {
        assert!(begun.elapsed() < quorate_harness::PATIENCE, "it is never promoted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(blocking(|| lab.id(at, by)), old, "it came back under its old name");
}

async fn a_damaged_state_is_set_aside_and_sent_anew(protocol: &str) {
    let mut lab = blocking(|| Lab::under(protocol, 3, 3, &[]));
    let load = Load::on(&lab, &[0, 1]);
    load.goes_on().await;
    blocking(|| {
        lab.stop(2);
        let state = lab.data_dir(2).join("state");
        let file = std::fs::read_dir(&state).expect("a directory").flatten().map(|entry| entry.path());
        let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "redb"));
        let file = file.expect("a state");
        let mut bytes = std::fs::read(&file).expect("read");
        bytes.iter_mut().for_each(|byte| *byte ^= 0x10);
        std::fs::write(&file, bytes).expect("damage");
        lab.start(2, &[0, 1, 2], &[]);
        lab.ready(2);
        assert!(lab.data_dir(2).join("state.damaged-1").exists());
        let said = lab.member(2).said();
        assert!(said.contains("the state cannot be used, is set aside"), "{said}");
    });
    lab.agree(&[0, 1, 2]).await;
    // It is the member it was, and votes.
    blocking(|| lab.kill(1));
    blocking(|| lab.put(&[2]));
    load.ends_kept(&lab.endpoint(0)).await;
}

async fn a_damaged_log_is_read_around_and_named(protocol: &str) {
    let mut lab = blocking(|| Lab::under(protocol, 3, 3, &[]));
    let load = Load::on(&lab, &[0, 1]);
    for _ in 0..4 {
        load.goes_on().await;
    }
    blocking(|| {
        // Killed, so that (most likely) the state has not been written since the start and the log is needed.
        lab.kill(2);
        spoil_a_frame(&lab, 2);
        lab.start(2, &[0, 1, 2], &[]);
        lab.ready(2);
        let said = lab.member(2).said();
        assert!(said.contains("wal-0000000000000001.log is damaged at byte"), "{said}");
    });
    lab.agree(&[0, 1, 2]).await;
    load.goes_on().await;
    blocking(|| lab.kill(1));
    blocking(|| lab.put(&[2]));
    load.ends_kept(&lab.endpoint(0)).await;
}

/// A member that is away while everybody it knows is replaced is found by those who came.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_while_all_others_were_replaced_learns_of_those_who_came() {
    let mut lab = blocking(|| Lab::founded(5, 3, &[LAX]));
    blocking(|| {
        lab.kill(2);
        // It may have led: what was on its way to it then is answered with an error.
        lab.put(&[0, 1]);
        lab.grow(3, 0, &[0, 1, 2, 3]);
        lab.grow(4, 0, &[0, 1, 2, 3, 4]);
        for gone in [0, 1] {
            ok(&["member", "remove", &lab.id(gone, 3), "--endpoints", &lab.endpoint(3)]);
            lab.ends_as_removed(gone);
        }
        // It has heard of nobody but those two, and there are flags for nobody else.
        lab.start(2, &[0, 1, 2], &[]);
        lab.ready(2);
    });
    lab.agree(&[2, 3, 4]).await;
    blocking(|| {
        lab.kill(3);
        lab.put(&[2, 4]);
    });
}

/// While what the disk has lost has not come back, the metric says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_refills_its_log_says_so() {
    let mut lab = blocking(|| Lab::founded(3, 3, &[]));
    blocking(|| (0..20).for_each(|_| lab.put(&[0, 1, 2])));
    lab.agree(&[0, 1, 2]).await;
    blocking(|| {
        (0..3).for_each(|at| lab.kill(at));
        spoil_a_frame(&lab, 2);
        lab.start(2, &[0, 1, 2], &[]);
        lab.shows(2, "quorate_log_repairing 1");
        [0, 1].iter().for_each(|&at| lab.start(at, &[0, 1, 2], &[]));
        lab.shows(2, "quorate_log_repairing 0");
    });
    lab.agree(&[0, 1, 2]).await;
}

/// Spoils one of the first frames of a stopped member's log: they begin at sectors.
fn spoil_a_frame(lab: &Lab, at: usize) {
    let log = lab.data_dir(at).join("wal").join("wal-0000000000000001.log");
    let mut bytes = std::fs::read(&log).expect("read");
    let frame = (4..16).map(|sector| sector * 512).find(|&at| bytes[at] != 0).expect("a frame");
    bytes[frame + 8..frame + 400].iter_mut().for_each(|byte| *byte ^= 0x10);
    std::fs::write(&log, bytes).expect("damage");
}
