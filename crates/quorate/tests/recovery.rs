//! Members that were away: caught up by the log, by a snapshot, or killed in the middle of being caught up;
//! members that slept with clients connected; a compaction cut short; damage found while a member runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use etcd_client::{
    Client, CompactionOptions, GetOptions, LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions,
};
use quorate_harness::follow::{self, Seen};
use quorate_harness::{Cluster, PATIENCE, Setup};

/// More than a leader keeps of its log for followers (10,000 entries by default).
const PUTS: u64 = 20_500;

/// Puts in flight at a time.
const AT_ONCE: u64 = 64;

quorate_harness::under_each_protocol!(
    async a_follower_long_away_is_given_a_snapshot_even_if_killed_meanwhile,
    followers_and_leaders_come_back_from_a_clean_stop,
    a_leader_that_slept_ends_no_lease_that_others_kept_alive
);

fn binary() -> Setup {
    Setup::new(env!("CARGO_BIN_EXE_quorate"), 3)
}

/// Puts `count` keys, many at a time; each must succeed.
async fn fill(client: &Client, prefix: &str, count: u64, value: &str) {
    let mut tasks = Vec::new();
    for lane in 0..AT_ONCE {
        let (mut client, prefix, value) = (client.clone(), prefix.to_owned(), value.to_owned());
        tasks.push(tokio::spawn(async move {
            for n in (lane..count).step_by(AT_ONCE as usize) {
                client.put(format!("{prefix}{n:06}"), value.as_str(), None).await.expect("put");
            }
        }));
    }
    for task in tasks {
        task.await.expect("every put succeeds");
    }
}

async fn count(client: &mut Client) -> i64 {
    let options = GetOptions::new().with_all_keys().with_count_only();
    client.get("", Some(options)).await.expect("get").count()
}

/// Runs what blocks without blocking the runtime.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// A follower is away for longer than the log reaches back, is killed while it is given a snapshot, again
/// and again, and is complete in the end.
async fn a_follower_long_away_is_given_a_snapshot_even_if_killed_meanwhile(protocol: &str) {
    let mut cluster = blocking(|| Cluster::start(binary().protocol(protocol)));
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    let mut client = cluster.client(leader).await;
    client.put("before", "1", None).await.expect("put");
    blocking(|| cluster.kill(away));
    fill(&client, "snapshot/", PUTS, &"v".repeat(300)).await;
    // A checkpoint must come by before the log is shortened.
    tokio::time::sleep(Duration::from_secs(6)).await;
    fill(&client, "after/", 200, "v").await;
    // Nobody is there to take one: making them all the same would slow everything down.
    let made = cluster.log(leader).matches("sending a snapshot").count();
    assert!(made <= 1, "{made} snapshots were made for a member that is away");

    let line = "receiving a snapshot";
    let mut killed = 0;
    for delay_ms in [0, 10, 40, 100, 200] {
        let before = cluster.log(away).matches(line).count();
        blocking(|| cluster.launch(away));
        let begun = Instant::now();
        while cluster.log(away).matches(line).count() == before && begun.elapsed() < Duration::from_secs(8) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        killed += usize::from(cluster.log(away).matches(line).count() > before);
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        blocking(|| cluster.kill(away));
    }
    assert!(killed > 0, "no snapshot was ever sent: {}", cluster.post_mortem());
    blocking(|| cluster.restart(away));
    let (_, revision) = cluster.agree().await;
    assert!(revision > PUTS as i64);
    let mut there = cluster.client(away).await;
    assert_eq!(count(&mut there).await, PUTS as i64 + 201);

    // What came by snapshot is there after a restart, and leads as well as anybody.
    (0..3).for_each(|at| blocking(|| cluster.kill(at)));
    blocking(|| cluster.start_all());
    assert_eq!(cluster.agree().await.1, revision);
    let leader = cluster.leader().await;
    let mut client = cluster.client(leader).await;
    assert_eq!(count(&mut client).await, PUTS as i64 + 201);
    for at in 0..3 {
        let leftovers = std::fs::read_dir(cluster.data_dir(at).join("state")).expect("a directory");
        let names: Vec<_> = leftovers.flatten().map(|entry| entry.file_name()).collect();
        assert!(names.len() <= 3, "member {at} keeps old state: {names:?}");
    }
}

/// A follower away for a moment is caught up from the log, and a clean stop loses nothing either.
async fn followers_and_leaders_come_back_from_a_clean_stop(protocol: &str) {
    let mut cluster = blocking(|| Cluster::start(binary().protocol(protocol)));
    for round in 0..3 {
        let leader = cluster.leader().await;
        let at = if round == 0 { (leader + 1) % 3 } else { leader };
        blocking(|| cluster.stop(at));
        let other = cluster.leader().await;
        assert_ne!(other, at);
        fill(&cluster.client(other).await, &format!("{round}/"), 300, "v").await;
        blocking(|| cluster.restart(at));
    }
    let (_, revision) = cluster.agree().await;
    assert_eq!(revision, 901);
    (0..3).for_each(|at| blocking(|| cluster.stop(at)));
    blocking(|| cluster.start_all());
    assert_eq!(cluster.agree().await.1, revision);
    assert!(!cluster.log(0).contains("a snapshot from the leader is in place"), "{}", cluster.log(0));
}

/// A leader that sleeps is replaced; when it wakes it must not end leases that were renewed meanwhile.
async fn a_leader_that_slept_ends_no_lease_that_others_kept_alive(protocol: &str) {
    let cluster = blocking(|| Cluster::start(binary().protocol(protocol)));
    let mut made = cluster.client(cluster.leader().await).await;
    made.lease_grant(3, Some(LeaseGrantOptions::new().with_id(7))).await.expect("grant");
    made.put("held", "x", Some(PutOptions::new().with_lease(7))).await.expect("put");
    for _ in 0..2 {
        let asleep = cluster.leader().await;
        cluster.hang(asleep, true);
        let awake = (asleep + 1) % 3;
        let mut client = cluster.client(awake).await;
        let (mut keeper, mut answers) = client.lease_keep_alive(7).await.expect("keep-alive");
        // Until well after the sleeper has woken.
        for beat in 0..13 {
            if beat == 9 {
                wakes_to_the_present(&cluster, asleep, &mut client).await;
            }
            keeper.keep_alive().await.expect("asked");
            let answer = answers.message().await.expect("no error").expect("an answer");
            assert_eq!(answer.ttl(), 3, "the lease is gone: {}", cluster.post_mortem());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(client.get("held", None).await.expect("get").count(), 1);
        cluster.agree().await;
    }
}

/// Whoever slept as leader must not answer from what was true before it fell asleep.
async fn wakes_to_the_present(cluster: &Cluster, asleep: usize, awake: &mut Client) {
    let put = awake.put("fresh", "x", None).await.expect("put");
    let revision = put.header().expect("header").revision();
    let mut sleeper = cluster.client(asleep).await;
    let mut reads = Vec::new();
    for _ in 0..8 {
        let mut client = sleeper.clone();
        reads.push(tokio::spawn(async move { client.get("fresh", None).await }));
    }
    cluster.hang(asleep, false);
    for read in reads {
        let kvs = read.await.expect("no panic").expect("get").take_kvs();
        assert_eq!(kvs.first().map(etcd_client::KeyValue::mod_revision), Some(revision), "a stale read");
    }
    let kvs = sleeper.get("fresh", None).await.expect("get").take_kvs();
    assert_eq!(kvs.first().map(etcd_client::KeyValue::mod_revision), Some(revision), "a stale read");
}

/// A follower sleeps for longer than the log reaches back while a client watches through it. The snapshot that
/// brings it up to date must not cost the watch an event.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_survives_the_snapshot_its_member_is_given() {
    let cluster = blocking(|| Cluster::start(binary()));
    let leader = cluster.leader().await;
    let asleep = (leader + 1) % 3;
    let mut writer = cluster.client(leader).await;
    let seen = Arc::new(Seen::default());
    let endpoint = vec![cluster.endpoint(asleep)];
    let watching = tokio::spawn(follow::everything(endpoint, 0, Arc::clone(&seen)));
    writer.put("before", "1", None).await.expect("put");
    wait_for(&cluster, &seen, 2).await;
    cluster.hang(asleep, true);
    fill(&writer, "asleep/", PUTS, &"v".repeat(300)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    fill(&writer, "later/", 300, "v").await;
    cluster.hang(asleep, false);
    let revision = 2 + PUTS as i64 + 300;
    let got = cluster.client(asleep).await.get("later/000299", None).await.expect("get");
    assert_eq!((got.count(), got.header().expect("header").revision()), (1, revision));
    wait_for(&cluster, &seen, revision as u64).await;
    let log = cluster.log(asleep);
    assert!(log.contains("a snapshot from the leader is in place"), "it needed none: {log}");
    seen.over.store(true, Ordering::SeqCst);
    let mut stream = watching.await.expect("no panic");
    assert_eq!(seen.resumed.load(Ordering::SeqCst), 0, "the watch was cut off");
    stream.complete_through = revision as u64;
    let elsewhere = Arc::new(Seen::default());
    let reading = tokio::spawn(follow::everything(vec![cluster.endpoint(leader)], 0, Arc::clone(&elsewhere)));
    wait_for(&cluster, &elsewhere, revision as u64).await;
    elsewhere.over.store(true, Ordering::SeqCst);
    let history = follow::events(&reading.await.expect("no panic"));
    let verdict = quorate_checker::events::check(&history)
        .and_then(|()| quorate_checker::watch::check(&stream, &history));
    verdict.unwrap_or_else(|violation| panic!("{violation}\n{}", cluster.post_mortem()));
}

async fn wait_for(cluster: &Cluster, seen: &Seen, revision: u64) {
    let begun = Instant::now();
    while seen.revision.load(Ordering::SeqCst) < revision {
        let at = seen.revision.load(Ordering::SeqCst);
        assert!(begun.elapsed() < PATIENCE, "the watch stands at {at}: {}", cluster.post_mortem());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All are killed right after a compaction, before it can have been carried out; leases and what is left of the
/// history come back alike on all.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_cut_short_is_finished_and_leases_come_back() {
    let mut cluster = blocking(|| Cluster::start(binary()));
    let leader = cluster.leader().await;
    let mut client = cluster.client(leader).await;
    client.lease_grant(600, Some(LeaseGrantOptions::new().with_id(9))).await.expect("grant");
    client.put("held", "x", Some(PutOptions::new().with_lease(9))).await.expect("put");
    for _ in 0..8 {
        fill(&client, "versions/", 500, "v").await;
    }
    client.delete("versions/", Some(etcd_client::DeleteOptions::new().with_prefix())).await.expect("delete");
    fill(&client, "versions/", 100, "w").await;
    let revision = 2 + 4_000 + 1 + 100;
    client.compact(revision - 50, None).await.expect("compact");
    (0..3).for_each(|at| blocking(|| cluster.kill(at)));
    blocking(|| cluster.start_all());
    let before = cluster.agree().await;
    assert_eq!(before.1, revision);
    let mut physical = true;
    for at in 0..3 {
        let mut client = cluster.client(at).await;
        assert_eq!(client.get("versions/", Some(prefix())).await.expect("get").count(), 100);
        let old = client.get("versions/", Some(prefix().with_revision(revision - 51))).await;
        assert!(old.expect_err("it was compacted").to_string().contains("has been compacted"));
        let kept = client.get("versions/", Some(prefix().with_revision(revision - 20))).await.expect("get");
        assert_eq!(kept.count(), 80);
        let lease = client.lease_time_to_live(9, Some(LeaseTimeToLiveOptions::new().with_keys())).await;
        let lease = lease.expect("time to live");
        assert!(lease.ttl() > 590 && lease.keys() == [b"held".to_vec()], "{lease:?}");
        if std::mem::take(&mut physical) {
            let options = CompactionOptions::new().with_physical();
            client.compact(revision - 20, Some(options)).await.expect("compact");
        }
    }
    cluster.agree().await;
    (0..3).for_each(|at| blocking(|| cluster.kill(at)));
    blocking(|| cluster.start_all());
    assert_eq!(cluster.agree().await.1, revision);
}

fn prefix() -> GetOptions {
    GetOptions::new().with_prefix()
}

/// What a disk damages while its member runs is found without a restart, said, and repaired by one.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_while_a_member_runs_and_repaired_by_a_restart() {
    let mut cluster = blocking(|| Cluster::start(binary()));
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    fill(&cluster.client(leader).await, "scrubbed/", 300, "v").await;
    cluster.agree().await;
    blocking(|| cluster.shows(away, "quorate_wal_damaged_places 0"));

    let log = cluster.data_dir(away).join("wal");
    let files = std::fs::read_dir(log).expect("a directory").flatten().map(|entry| entry.path());
    let held = |file: &std::path::PathBuf| {
        let bytes = std::fs::read(file).expect("a file");
        bytes.windows(15).position(|window| window == b"scrubbed/000150")
    };
    let (file, at) = files.filter_map(|file| held(&file).map(|at| (file, at))).next().expect("the entry");
    let mut bytes = std::fs::read(&file).expect("a file")[at..=at].to_vec();
    bytes[0] ^= 4;
    let open = std::fs::File::options().write(true).open(&file).expect("the file");
    std::os::unix::fs::FileExt::write_all_at(&open, &bytes, at as u64).expect("a byte");

    blocking(|| cluster.shows(away, "quorate_wal_damaged_places 1"));
    let said = cluster.log(away);
    assert!(said.contains("restart this member while the others are well"), "{said}");
    blocking(|| {
        cluster.stop(away);
        cluster.restart(away);
        cluster.shows(away, "quorate_log_repairing 0");
    });
    cluster.agree().await;
    assert_eq!(count(&mut cluster.client(away).await).await, 300);
}
