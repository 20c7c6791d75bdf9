//! One table of refusals: a valid configuration, one thing spoiled, and the words an operator must see.

use super::*;

fn urls(text: &str) -> Vec<Url> {
    Url::parse_list(text).expect(text)
}

/// A configuration of three members that validates.
fn three() -> Config {
    Config {
        name: "n1".into(),
        data_dir: "n1.etcd".into(),
        listen_client_urls: urls("http://127.0.0.1:2379"),
        advertise_client_urls: urls("http://n1.example.org:2379"),
        listen_peer_urls: urls("http://127.0.0.1:2380"),
        initial_advertise_peer_urls: urls("http://n1.example.org:2380"),
        initial_cluster: parse_cluster(
            "n1=http://n1.example.org:2380,n2=http://n2.example.org:2380,n3=http://n3.example.org:2380",
        )
        .expect("cluster"),
        ..Config::default()
    }
}

#[test]
fn defaults_and_a_cluster_of_three_are_valid() {
    Config::default().validate().expect("defaults");
    three().validate().expect("three");
}

type Spoil = fn(&mut Config);

fn quorums(config: &mut Config, write: Option<u32>, election: Option<u32>) {
    (config.protocol, config.write_quorum, config.election_quorum) = (Protocol::Paxos, write, election);
}

/// What is spoiled, and what the refusal must say.
const REFUSALS: &[(Spoil, &[&str])] = &[
    (|c| c.name.clear(), &["--name is empty"]),
    (|c| c.data_dir = "".into(), &["--data-dir is empty"]),
    (|c| c.heartbeat_interval_ms = 0, &["--heartbeat-interval is 0", "usual value is 100"]),
    (|c| c.election_timeout_ms = 0, &["--election-timeout is 0", "usual value is 1000"]),
    (|c| c.heartbeat_interval_ms = 201, &["--election-timeout 1000 ms", "at least 1005 ms"]),
    (|c| c.heartbeat_interval_ms = u64::MAX, &["--heartbeat-interval", "shorter than 5 x"]),
    (|c| c.election_timeout_ms = 50_001, &["--election-timeout 50001 ms", "at most 50000 ms"]),
    (|c| c.advertise_client_urls.clear(), &["--advertise-client-urls is required", "--listen-client-urls"]),
    (|c| c.listen_client_urls.clear(), &["--listen-client-urls names no URL"]),
    (|c| c.listen_peer_urls.clear(), &["--listen-peer-urls names no URL"]),
    (|c| c.initial_advertise_peer_urls.clear(), &["--initial-advertise-peer-urls names no URL"]),
    (
        |c| c.listen_client_urls = urls("https://127.0.0.1:1"),
        &["--listen-client-urls", "TLS is not supported yet"],
    ),
    (
        |c| c.listen_peer_urls = urls("https://127.0.0.1:1"),
        &["--listen-peer-urls", "TLS is not supported yet"],
    ),
    (|c| c.advertise_client_urls = urls("https://a:1"), &["--advertise-client-urls", "TLS"]),
    (
        |c| c.listen_client_urls = urls("http://example.org:1"),
        &["--listen-client-urls", "IP address or localhost"],
    ),
    (
        |c| c.listen_peer_urls = urls("http://example.org:1"),
        &["--listen-peer-urls", "IP address or localhost"],
    ),
    (|c| c.listen_client_urls = urls("http://127.0.0.1:2380"), &["--listen-client-urls", "already listens"]),
    (
        |c| c.listen_peer_urls = urls("http://127.0.0.1:5,http://localhost:5"),
        &["--listen-peer-urls", "http://localhost:5", "already listens"],
    ),
    (|c| c.advertise_client_urls = urls("http://:2379"), &["--advertise-client-urls", "nobody can dial"]),
    (|c| c.advertise_client_urls = urls("http://a:0"), &["--advertise-client-urls", "nobody can dial"]),
    (|c| c.snapshot_count = 0, &["--snapshot-count is 0"]),
    (|c| c.write_quorum = Some(2), &["--write-quorum does not go with --protocol raft", "--protocol paxos"]),
    (|c| quorums(c, Some(0), None), &["--write-quorum 0 is out of range", "from 1 to 3"]),
    (|c| quorums(c, Some(4), None), &["--write-quorum 4 is out of range", "3 founding voters"]),
    (|c| quorums(c, Some(1), Some(2)), &["need not intersect among 3 voters", "elect with 3"]),
    (|c| quorums(c, Some(2), Some(3)), &["--election-quorum 3 is more than it takes", "2 of 3 voters elect"]),
    (|c| quorums(c, None, Some(2)), &["--election-quorum follows from --write-quorum"]),
    (|c| c.max_txn_ops = 0, &["--max-txn-ops is 0"]),
    (|c| c.max_request_bytes = 0, &["--max-request-bytes is 0"]),
    (
        |c| c.watch_progress_notify_interval = Duration::ZERO,
        &["--watch-progress-notify-interval is 0", "10m"],
    ),
    (|c| c.wal_segment_bytes = 1 << 20, &["--wal-segment-bytes 1048576", "--max-request-bytes"]),
    (|c| c.max_request_bytes = usize::MAX, &["--wal-segment-bytes", "--max-request-bytes"]),
    (|c| c.auto_compaction = AutoCompaction::Revision(-1), &["--auto-compaction-retention \"-1\""]),
    (|c| c.auto_compaction = AutoCompaction::Periodic(Duration::ZERO), &["--auto-compaction-retention"]),
    (|c| c.name = "n4".into(), &["--name \"n4\" is not in --initial-cluster", "\"n1\", \"n2\", \"n3\""]),
    (|c| c.initial_cluster.clear(), &["is not in --initial-cluster (it has no entries)"]),
    (
        |c| c.initial_advertise_peer_urls = urls("http://n1.example.org:1"),
        &["n1=http://n1.example.org:2380", "--initial-advertise-peer-urls has http://n1.example.org:1"],
    ),
    (
        |c| c.initial_advertise_peer_urls.push(Url::http("b", 1)),
        &["--initial-advertise-peer-urls", "make them equal"],
    ),
    (
        |c| c.initial_cluster.push(("n2".into(), urls("http://b:1"))),
        &["--initial-cluster names \"n2\" in two entries"],
    ),
    (
        |c| c.initial_cluster.push(("n4".into(), urls("http://n2.example.org:2380"))),
        &["--initial-cluster has http://n2.example.org:2380 twice"],
    ),
    (|c| c.initial_cluster[1].1 = urls("https://a:1"), &["--initial-cluster has https://a:1", "TLS"]),
    (|c| c.initial_cluster[1].1.clear(), &["--initial-cluster names no URL"]),
    (|c| c.initial_cluster[1].1 = urls("http://a:0"), &["--initial-cluster has http://a:0", "dial"]),
];

#[test]
fn each_refusal_names_the_flag_and_the_remedy() {
    for (row, (spoil, words)) in REFUSALS.iter().enumerate() {
        let mut config = three();
        spoil(&mut config);
        let text = match config.validate() {
            Ok(()) => panic!("row {row} ({words:?}) was accepted"),
            Err(error) => error.to_string(),
        };
        for word in *words {
            assert!(text.contains(word), "row {row}: {text:?} lacks {word:?}");
        }
    }
}

#[test]
fn the_edges_of_what_is_accepted() {
    let edges: &[Spoil] = &[
        |c| c.heartbeat_interval_ms = 200,
        |c| c.election_timeout_ms = 50_000,
        |c| c.listen_client_urls = urls("http://127.0.0.1:0,http://127.0.0.1:0"),
        |c| c.listen_client_urls = urls("http://:2379,http://[::1]:2379"),
        |c| c.max_request_bytes = (64 << 20) - (64 << 10),
        |c| c.initial_cluster_state = ClusterState::Existing,
        |c| quorums(c, None, None),
        |c| quorums(c, Some(1), Some(3)),
        |c| quorums(c, Some(3), Some(1)),
    ];
    for (row, spoil) in edges.iter().enumerate() {
        let mut config = three();
        spoil(&mut config);
        assert_eq!(config.validate(), Ok(()), "row {row}");
    }
}

#[test]
fn the_order_of_a_members_urls_is_no_matter() {
    let mut config = three();
    config.initial_cluster[0].1 = urls("http://a:1,http://b:2");
    config.initial_advertise_peer_urls = urls("http://b:2,http://a:1");
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn quotas() {
    let quota = |bytes| Config { quota_backend_bytes: bytes, ..Config::default() }.quota_bytes();
    assert_eq!(quota(0), Some(2 << 30));
    assert_eq!(quota(-1), None);
    assert_eq!(quota(7), Some(7));
}

#[test]
fn clusters_parse_and_names_may_repeat() {
    let members = parse_cluster("b=http://b:1, a=http://a:1,b=http://b:2").expect("cluster");
    assert_eq!(members, [("b".into(), urls("http://b:1,http://b:2")), ("a".into(), urls("http://a:1"))]);
    for (text, word) in [
        ("", "no ="),
        ("a", "no ="),
        ("=http://a:1", "name is missing"),
        ("a=b:1", "must start with http://"),
        ("a=http://a:1,", "no ="),
    ] {
        let error = parse_cluster(text).expect_err(text).to_string();
        assert!(error.contains("--initial-cluster") && error.contains(word), "{text}: {error}");
    }
}

#[test]
fn durations_are_gos() {
    for (text, nanos) in [
        ("0", 0),
        ("0s", 0),
        ("5s", 5_000_000_000),
        ("+5s", 5_000_000_000),
        ("100ms", 100_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("2us3ns", 2_003),
        ("2\u{b5}s", 2_000),
        ("0.3333333333333333333h", 1_199_999_999_999),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_nanos(nanos)), "{text}");
    }
    for text in ["", "+", "5", "s", ".s", "1.2.3s", "-1s", "1 s", "5x", "99999999999h", "1s2"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

#[test]
fn retentions_by_mode() {
    let hours = |n: u64| Ok(AutoCompaction::Periodic(Duration::from_secs(n * 3600)));
    assert_eq!(parse_compaction("periodic", "2"), hours(2));
    assert_eq!(parse_compaction("periodic", "3h"), hours(3));
    assert_eq!(parse_compaction("periodic", "0"), Ok(AutoCompaction::Off));
    assert_eq!(parse_compaction("revision", "1000"), Ok(AutoCompaction::Revision(1000)));
    assert_eq!(parse_compaction("revision", "0"), Ok(AutoCompaction::Off));
    for (mode, text) in [("revision", "5m"), ("revision", "-1"), ("periodic", "x"), ("periodic", "-1")] {
        let error = parse_compaction(mode, text).expect_err(text).to_string();
        assert!(error.contains("--auto-compaction-retention"), "{error}");
    }
    let error = parse_compaction("weekly", "1").expect_err("mode").to_string();
    assert!(error.contains("--auto-compaction-mode \"weekly\""), "{error}");
}
