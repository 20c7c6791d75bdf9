//! From flags to a node's configuration.

use std::path::PathBuf;

use quorate_server::config::{
    ClusterState, Config, ConfigError, LogFormat, LogLevel, Url, parse_cluster, parse_compaction,
    parse_duration,
};

use super::table::boolean;
use super::{FlagError, Values};

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogTarget {
    /// The usual.
    Stderr,
    /// On request.
    Stdout,
}

/// Everything `quorate serve` needs.
#[derive(Debug)]
pub(crate) struct Serve {
    /// The node; valid.
    pub(crate) config: Config,
    /// Where log lines go.
    pub(crate) log: LogTarget,
    /// What an operator should hear once there is a log.
    pub(crate) warnings: Vec<String>,
}

/// Gates of etcd's releases.
const GATES: [&str; 11] = [
    "StopGRPCServiceOnDefrag",
    "TxnModeWriteWithSharedBuffer",
    "InitialCorruptCheck",
    "CompactHashCheck",
    "LeaseCheckpoint",
    "LeaseCheckpointPersist",
    "SetMemberLocalAddr",
    "FastLeaseKeepAlive",
    "PriorityRequest",
    "AllAlpha",
    "AllBeta",
];

impl Values {
    /// The configuration that these flags mean, validated.
    pub(crate) fn resolve(mut self) -> Result<Serve, FlagError> {
        self.check_gates()?;
        let config = self.config()?;
        match config.has_run() {
            true => config.validate_again()?,
            false => config.validate()?,
        }
        let log = if self.get("log-outputs") == "stdout" { LogTarget::Stdout } else { LogTarget::Stderr };
        Ok(Serve { config, log, warnings: self.warnings })
    }

    fn config(&self) -> Result<Config, FlagError> {
        let name = self.get("name").to_owned();
        let data_dir = match self.get("data-dir") {
            "" => PathBuf::from(format!("{name}.etcd")),
            path => path.into(),
        };
        let initial_advertise_peer_urls = self.urls("initial-advertise-peer-urls")?;
        let initial_cluster = match self.get("initial-cluster") {
            "" => vec![(name.clone(), initial_advertise_peer_urls.clone())],
            text => parse_cluster(text)?,
        };
        // Left empty, so that validation refuses it: the default would advertise what is not listened on.
        let unsaid = self.is_set("listen-client-urls") && !self.is_set("advertise-client-urls");
        let advertise_client_urls = if unsaid { Vec::new() } else { self.urls("advertise-client-urls")? };
        Ok(Config {
            data_dir,
            listen_client_urls: self.urls("listen-client-urls")?,
            advertise_client_urls,
            listen_peer_urls: self.urls("listen-peer-urls")?,
            initial_advertise_peer_urls,
            initial_cluster,
            initial_cluster_state: self.cluster_state()?,
            initial_cluster_token: self.get("initial-cluster-token").into(),
            protocol: self.number("protocol")?,
            write_quorum: self.optional("write-quorum")?,
            election_quorum: self.optional("election-quorum")?,
            heartbeat_interval_ms: self.number("heartbeat-interval")?,
            election_timeout_ms: self.number("election-timeout")?,
            snapshot_count: self.number("snapshot-count")?,
            quota_backend_bytes: self.number("quota-backend-bytes")?,
            auto_compaction: parse_compaction(
                self.get("auto-compaction-mode"),
                self.get("auto-compaction-retention"),
            )?,
            max_txn_ops: self.number("max-txn-ops")?,
            max_request_bytes: self.number("max-request-bytes")?,
            watch_progress_notify_interval: self.duration("watch-progress-notify-interval")?,
            wal_segment_bytes: self.number("wal-segment-bytes")?,
            strict_reconfig_check: self.truth("strict-reconfig-check"),
            max_learners: self.number("max-learners")?,
            election_priority: self.number("election-priority")?,
            read_lease_drift_percent: Some(self.number("read-lease-drift-percent")?)
                .filter(|&percent| percent > 0),
            snapshot_rate_bytes: self.number("snapshot-rate-bytes")?,
            replace_lost_disk: self.truth("replace-lost-disk"),
            log_level: self.log_level(),
            log_format: if self.get("log-format") == "console" {
                LogFormat::Console
            } else {
                LogFormat::Json
            },
            unsafe_no_fsync: self.truth("unsafe-no-fsync"),
            name,
        })
    }

    fn value_error(&self, name: &'static str, why: &str) -> FlagError {
        FlagError::Value { flag: format!("--{name}"), value: self.get(name).into(), why: why.into() }
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, FlagError> {
        self.get(name).parse().map_err(|_| self.value_error(name, "a number of this size is not taken"))
    }

    /// A number that may be left out, or set to nothing.
    fn optional<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, FlagError> {
        if self.get(name).is_empty() { Ok(None) } else { self.number(name).map(Some) }
    }

    fn truth(&self, name: &'static str) -> bool {
        boolean(self.get(name)) == Some(true)
    }

    fn duration(&self, name: &'static str) -> Result<std::time::Duration, FlagError> {
        parse_duration(self.get(name)).ok_or_else(|| self.value_error(name, "not a duration"))
    }

    fn urls(&self, name: &'static str) -> Result<Vec<Url>, FlagError> {
        let urls = Url::parse_list(self.get(name));
        urls.map_err(|error| ConfigError::Url { flag: name, error }.into())
    }

    fn cluster_state(&self) -> Result<ClusterState, FlagError> {
        match self.get("initial-cluster-state") {
            "new" => Ok(ClusterState::New),
            "existing" => Ok(ClusterState::Existing),
            other => Err(ConfigError::ClusterState(other.into()).into()),
        }
    }

    fn log_level(&self) -> LogLevel {
        match self.get("log-level") {
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            _ => LogLevel::Error,
        }
    }

    /// Gates are checked as etcd checks them, so that a manifest's spelling mistake shows here too.
    fn check_gates(&mut self) -> Result<(), FlagError> {
        let text = self.get("feature-gates").to_owned();
        let mut on = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let gate = item.split_once('=').and_then(|(name, value)| Some((name, boolean(value)?)));
            let Some((name, value)) = gate else {
                return Err(self.value_error("feature-gates", "write Name=true or Name=false, with commas"));
            };
            if !GATES.contains(&name) {
                let why =
                    format!("no gate \"{name}\" is known; remove it, or correct it to one of {GATES:?}");
                return Err(FlagError::Unsupported { flag: "--feature-gates".into(), why });
            }
            if value {
                on.push(name);
                self.warnings.push(format!("feature gate {name} is accepted and has no effect yet"));
            }
        }
        if on.contains(&"LeaseCheckpointPersist") && !on.contains(&"LeaseCheckpoint") {
            let why = "LeaseCheckpointPersist needs LeaseCheckpoint=true beside it".into();
            return Err(FlagError::Unsupported { flag: "--feature-gates".into(), why });
        }
        Ok(())
    }
}
