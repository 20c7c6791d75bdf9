//! Command lines and environments, good and bad.

use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_ascii_whitespace().map(String::from).collect()
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn serve(line: &str, pairs: &[(&str, &str)]) -> Result<Serve, FlagError> {
    match parse(&words(line), environment(pairs))? {
        Parsed::Values(values) => values.resolve(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn nothing_said_is_etcds_default_member() {
    let serve = serve("", &[]).expect("defaults");
    assert_eq!(serve.config, quorate_server::config::Config::default());
    assert_eq!(serve.log, LogTarget::Stderr);
    assert_eq!(serve.warnings, [] as [String; 0]);
}

#[test]
fn one_dash_or_two_inline_or_next_and_the_last_wins() {
    let one = "-name=a --heartbeat-interval 50 --election-timeout=900 -unsafe-no-fsync --name a2 -name n1";
    let config = serve(one, &[]).expect("flags").config;
    assert_eq!((config.name.as_str(), config.heartbeat_interval_ms), ("n1", 50));
    assert_eq!((config.election_timeout_ms, config.unsafe_no_fsync), (900, true));
    assert_eq!(config.data_dir.to_str(), Some("n1.etcd"));
    assert_eq!(config.initial_cluster[0].0, "n1");
    let config = serve("--quota-backend-bytes -1 --initial-cluster-token a=b", &[]).expect("flags").config;
    assert_eq!((config.quota_bytes(), config.initial_cluster_token.as_str()), (None, "a=b"));
}

#[test]
fn booleans_are_gos() {
    for (text, expected) in [
        ("--unsafe-no-fsync", true),
        ("--unsafe-no-fsync=T", true),
        ("--unsafe-no-fsync=1", true),
        ("--unsafe-no-fsync=false", false),
        ("--unsafe-no-fsync --unsafe-no-fsync=F", false),
    ] {
        assert_eq!(serve(text, &[]).expect(text).config.unsafe_no_fsync, expected, "{text}");
    }
    let error = serve("--unsafe-no-fsync false", &[]).expect_err("a word");
    assert_eq!(error, FlagError::Positional("false".into()));
    let error = serve("--unsafe-no-fsync=yes", &[]).expect_err("not Go's");
    assert!(matches!(error, FlagError::Value { .. }));
}

#[test]
fn a_whole_cluster() {
    let line = "--name n2 --data-dir /d --listen-client-urls http://127.0.0.1:1,http://10.0.0.2:1 \
                --advertise-client-urls http://n2:1 --listen-peer-urls http://10.0.0.2:2 \
                --initial-advertise-peer-urls http://n2:2 --initial-cluster n1=http://n1:2,n2=http://n2:2 \
                --initial-cluster-state existing --snapshot-count 7 --auto-compaction-mode revision \
                --auto-compaction-retention 1000 --max-txn-ops 9 --max-request-bytes 1000 \
                --watch-progress-notify-interval 5s --log-level fatal --log-format console --log-outputs stdout";
    let serve = serve(line, &[]).expect(line);
    let config = &serve.config;
    assert_eq!((config.listen_client_urls.len(), config.initial_cluster.len()), (2, 2));
    assert_eq!(config.initial_cluster_state, quorate_server::config::ClusterState::Existing);
    assert_eq!((config.snapshot_count, config.max_txn_ops, config.max_request_bytes), (7, 9, 1000));
    assert_eq!(config.auto_compaction, quorate_server::config::AutoCompaction::Revision(1000));
    assert_eq!(config.watch_progress_notify_interval.as_secs(), 5);
    assert_eq!(config.log_level, quorate_server::config::LogLevel::Error);
    assert_eq!(serve.log, LogTarget::Stdout);
}

#[test]
fn flags_beat_the_environment_and_empty_is_unset() {
    let pairs = [("ETCD_NAME", "e"), ("ETCD_SNAPSHOT_COUNT", "5"), ("ETCD_DATA_DIR", ""), ("HOME", "/")];
    let serve1 = serve("--name f", &pairs).expect("both");
    assert_eq!((serve1.config.name.as_str(), serve1.config.snapshot_count), ("f", 5));
    assert_eq!(serve1.config.data_dir.to_str(), Some("f.etcd"));
    assert!(serve1.warnings.iter().any(|w| w.contains("ETCD_NAME is ignored")), "{:?}", serve1.warnings);
    let serve2 = serve("", &pairs).expect("environment");
    assert_eq!(serve2.config.name, "e");
    // A variable counts as set explicitly.
    let error = serve("", &[("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:1")]).expect_err("no advertise");
    assert!(error.to_string().contains("--advertise-client-urls is required"), "{error}");
    let error = serve("", &[("ETCD_HEARTBEAT_INTERVAL", "x")]).expect_err("not a number");
    assert!(error.to_string().contains("ETCD_HEARTBEAT_INTERVAL"), "{error}");
    let error = serve("", &[("ETCD_CLIENT_CERT_AUTH", "true")]).expect_err("TLS");
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn unknown_variables_only_warn() {
    let serve = serve("", &[("ETCD_VERSION", "v3.5"), ("ETCD_FOO", "1")]).expect("warnings");
    assert_eq!(serve.warnings.len(), 2, "{:?}", serve.warnings);
}

/// Line, exit code, and what must be said.
const REFUSALS: &[(&str, u8, &str)] = &[
    ("--foo", 2, "not defined: --foo"),
    ("--foo=1", 2, "not defined: --foo"),
    ("--experimental-name=1", 2, "not defined: --experimental-name"),
    ("-", 2, "\"-\" is not a flag"),
    ("--", 2, "\"--\" is not a flag"),
    ("---name=a", 2, "bad flag syntax"),
    ("--=a", 2, "bad flag syntax"),
    ("gateway", 2, "\"gateway\" is not a flag"),
    ("--name", 2, "needs an argument: --name"),
    ("--heartbeat-interval=1s", 2, "invalid value \"1s\" for --heartbeat-interval"),
    ("--heartbeat-interval=-1", 2, "--heartbeat-interval"),
    ("--heartbeat-interval=", 2, "--heartbeat-interval"),
    ("--heartbeat-interval=99999999999999999999", 2, "--heartbeat-interval"),
    ("--quota-backend-bytes=1G", 2, "--quota-backend-bytes"),
    ("--watch-progress-notify-interval=5", 2, "--watch-progress-notify-interval"),
    ("--listen-client-urls=localhost:2379", 2, "must start with http://"),
    ("--listen-peer-urls=http://127.0.0.1", 2, "--listen-peer-urls"),
    ("--initial-cluster-state=old", 2, "one of new, existing"),
    ("--log-format=xml", 2, "one of json, console"),
    ("--logger=capnslog", 2, "one of zap"),
    ("--log-outputs=/var/log/etcd.log", 2, "one of default, stderr, stdout"),
    ("--feature-gates=AllAlpha", 2, "Name=true"),
    ("--feature-gates=Foo=true", 1, "no gate \"Foo\""),
    ("--feature-gates=LeaseCheckpointPersist=true", 1, "needs LeaseCheckpoint=true"),
    ("--heartbeat-interval=300", 1, "--election-timeout 1000 ms is shorter"),
    ("--election-timeout=60000", 1, "at most 50000 ms"),
    ("--election-timeout=0", 1, "--election-timeout is 0"),
    ("--auto-compaction-mode=weekly", 1, "--auto-compaction-mode \"weekly\""),
    ("--auto-compaction-retention=x", 1, "--auto-compaction-retention \"x\""),
    ("--initial-cluster=a=http://a:1", 1, "--name \"default\" is not in --initial-cluster"),
    ("--initial-cluster=nonsense", 1, "--initial-cluster has \"nonsense\""),
    ("--listen-client-urls=http://127.0.0.1:1", 1, "--advertise-client-urls is required"),
    ("--listen-peer-urls=https://127.0.0.1:1", 1, "TLS is not supported yet"),
    ("--cert-file=a", 1, "--cert-file=a is not supported: TLS"),
    ("--client-cert-auth", 1, "TLS"),
    ("--experimental-peer-skip-client-san-verification", 1, "--peer-skip-client-san-verification"),
    ("--tls-min-version=TLS1.3", 1, "TLS"),
    ("--auth-token=jwt,pub-key=a", 1, "--auth-token"),
    ("--host-whitelist=a", 1, "--host-whitelist"),
    ("--config-file=a.yaml", 1, "--config-file"),
    ("--wal-dir=a", 1, "--wal-dir"),
    ("--force-new-cluster", 1, "--force-new-cluster"),
    ("--discovery-srv=a.b", 1, "--initial-cluster instead"),
];

#[test]
fn refusals_with_their_exit_codes() {
    for (line, code, word) in REFUSALS {
        let error = serve(line, &[]).err().unwrap_or_else(|| panic!("{line} was accepted"));
        assert_eq!(error.exit_code(), *code, "{line}: {error}");
        assert!(error.to_string().contains(word), "{line}: {error}");
    }
}

#[test]
fn a_default_promises_nothing_new() {
    let line = "--client-cert-auth=false --auto-tls=F --cors=* --host-whitelist * --auth-token simple \
                --tls-min-version TLS1.2 --force-new-cluster=0 --pre-vote --grpc-keepalive-interval=120m";
    assert_eq!(serve(line, &[]).expect(line).warnings, [] as [String; 0]);
}

#[test]
fn harmless_flags_and_old_names_warn() {
    let line = "--pre-vote=false --max-wals 3 --experimental-initial-corrupt-check=true --enable-pprof \
                --experimental-watch-progress-notify-interval=5s";
    let serve = serve(line, &[]).expect(line);
    assert_eq!(serve.config.watch_progress_notify_interval.as_secs(), 5);
    let text = serve.warnings.join("\n");
    for word in [
        "--pre-vote=false is accepted",
        "--max-wals=3",
        "--experimental-initial-corrupt-check=true",
        "--enable-pprof=true",
        "old name: write --watch-progress-notify-interval",
    ] {
        assert!(text.contains(word), "{text} lacks {word}");
    }
}

#[test]
fn help_and_version_win_over_what_follows() {
    assert!(matches!(parse(&words("--name a -h --foo"), []), Ok(Parsed::Help)));
    assert!(matches!(parse(&words("--version"), []), Ok(Parsed::Version)));
    assert!(matches!(parse(&words("--foo --help"), []), Err(FlagError::Unknown(_))));
}

#[test]
fn the_table_is_sound() {
    let mut names = std::collections::BTreeSet::new();
    let text = help();
    for flag in FLAGS {
        assert!(names.insert(flag.name), "{} is there twice", flag.name);
        assert!(flag.default.is_empty() || flag.kind.check(flag.default).is_ok(), "{}", flag.name);
        assert_eq!(flag.help.is_empty(), flag.effect != Effect::Honoured, "{}", flag.name);
        assert!(text.contains(&format!("--{}", flag.name)), "help lacks {}", flag.name);
    }
    for alias in ALIASES {
        assert!(find(alias).is_some(), "{alias} is an old name of nothing");
    }
}

/// kubeadm's flags without its certificates, as it writes them.
#[test]
fn kubeadms_flags_without_tls() {
    let line = "--advertise-client-urls=http://10.0.0.2:2379 --data-dir=/var/lib/etcd \
                --experimental-initial-corrupt-check=true --experimental-watch-progress-notify-interval=5s \
                --feature-gates=InitialCorruptCheck=true --initial-advertise-peer-urls=http://10.0.0.2:2380 \
                --initial-cluster=cp=http://10.0.0.2:2380 --listen-client-urls=http://127.0.0.1:2379,http://10.0.0.2:2379 \
                --listen-peer-urls=http://10.0.0.2:2380 --name=cp --snapshot-count=10000";
    serve(line, &[]).expect(line);
}

#[test]
fn members_leases_and_priorities() {
    let line = "--max-learners 2 --strict-reconfig-check=false --election-priority 7 --read-lease-drift-percent 5 \
                --snapshot-rate-bytes 0 --replace-lost-disk";
    let resolved = serve(line, &[]).expect("flags");
    let config = resolved.config;
    assert_eq!(resolved.warnings, [] as [String; 0]);
    assert_eq!((config.max_learners, config.strict_reconfig_check, config.election_priority), (2, false, 7));
    assert_eq!((config.read_lease_drift_percent, config.snapshot_rate_bytes), (Some(5), 0));
    assert!(config.replace_lost_disk);
    let error = serve("--read-lease-drift-percent 80", &[]).expect_err("no clock is that bad");
    assert!(error.to_string().contains("--read-lease-drift-percent 80"), "{error}");
    let error = serve("--election-priority 256", &[]).expect_err("one byte");
    assert!(matches!(error, FlagError::Value { .. }), "{error}");
}
