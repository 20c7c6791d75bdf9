//! What an operator says to a node, and what is refused before anything is touched.
//!
//! A [`Config`] is a plain value: whoever starts a node fills it (from flags, from a test, from `quorate
//! dev`), and [`Config::validate`] decides whether a node may start with it. Validation reads nothing but
//! the value: no file, no name service, no clock. Only [`Config::has_run`] looks at the disk.
//!
//! Source: etcd's flags and startup refusals (ETCD.md section 16). Each refusal names the flag as the
//! operator wrote it and what to write instead.
//!
//! Invariants of a valid configuration, relied upon by the node:
//!
//! 1. every listening URL has a [`Url::bind_address`], is plain HTTP, and is listed once;
//! 2. `name` has exactly one entry in `initial_cluster`, and its URLs are `initial_advertise_peer_urls`;
//! 3. no name and no peer URL appears twice in `initial_cluster`, so member ids differ;
//! 4. five heartbeats fit into an election timeout, and nothing that divides or paces is zero;
//! 5. a record of the largest request fits into one segment of the log.
//!
//! Caveats: two spellings of one address (`localhost`, `127.0.0.1`) count as two, because ids are hashed from
//! the text. Names are compared without resolving them, where etcd resolves and then compares.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

mod error;
mod parse;
#[cfg(test)]
mod tests;
mod url;

pub use error::ConfigError;
pub use parse::{parse_cluster, parse_compaction, parse_duration};
pub use url::{Scheme, Url, UrlError};

use crate::protocols::Protocol;

/// The longest election timeout that etcd accepts.
pub const MAX_ELECTION_MS: u64 = 50_000;

/// The quota when `--quota-backend-bytes` is 0, as in etcd.
pub const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

/// Clocks further apart than this are broken, and a lease that allowed for it would be of no use.
pub const MAX_DRIFT_PERCENT: u8 = 50;

/// What one request may grow by on its way into the log: its framing and what the leader adds.
const RECORD_OVERHEAD_BYTES: u64 = 64 << 10;

/// Whether the members found a cluster or this one joins a running one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterState {
    /// `new`: these members found the cluster together.
    New,
    /// `existing`: the cluster runs already.
    Existing,
}

/// What is compacted without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Nothing.
    Off,
    /// Everything older than this.
    Periodic(Duration),
    /// Everything but this many of the newest revisions.
    Revision(i64),
}

/// The least severe line that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything an operator may ever want.
    Debug,
    /// Ordinary events.
    Info,
    /// What needs attention.
    Warn,
    /// What failed. etcd's `panic` and `fatal` also mean this.
    Error,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Console,
}

/// Everything an operator can say to a node. The defaults are etcd's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This member's name; has an entry in `initial_cluster`.
    pub name: String,
    /// Where everything durable lives; created if missing.
    pub data_dir: PathBuf,
    /// Where clients are served.
    pub listen_client_urls: Vec<Url>,
    /// What clients are told to dial.
    pub advertise_client_urls: Vec<Url>,
    /// Where peers are served.
    pub listen_peer_urls: Vec<Url>,
    /// What peers are told to dial; this member's entry in `initial_cluster`.
    pub initial_advertise_peer_urls: Vec<Url>,
    /// Every founding member and its peer URLs.
    pub initial_cluster: Vec<(String, Vec<Url>)>,
    /// Founding or joining.
    pub initial_cluster_state: ClusterState,
    /// The consensus protocol. The same on all members, for good.
    pub protocol: Protocol,
    /// Voters that accept a write, in a cluster that is founded; none for a majority.
    pub write_quorum: Option<u32>,
    /// Voters that elect a leader, by which the operator checks what follows from the above.
    pub election_quorum: Option<u32>,
    /// Salt of all ids, so that two clusters with equal URLs do not mix.
    pub initial_cluster_token: String,
    /// Between two heartbeats of a leader.
    pub heartbeat_interval_ms: u64,
    /// Silence after which a follower stands for election (up to twice that, at random).
    pub election_timeout_ms: u64,
    /// Applied entries that stay in the log for followers that fall behind, at most; 16 MiB of them.
    pub snapshot_count: u64,
    /// 0 is [`DEFAULT_QUOTA_BYTES`], negative is no quota; see [`Config::quota_bytes`].
    pub quota_backend_bytes: i64,
    /// What is compacted without being asked.
    pub auto_compaction: AutoCompaction,
    /// Operations in one transaction, at most.
    pub max_txn_ops: usize,
    /// Bytes of one client request, at most.
    pub max_request_bytes: usize,
    /// Between two progress answers of an idle watch that asked for them.
    pub watch_progress_notify_interval: Duration,
    /// Size of one preallocated segment of the log.
    pub wal_segment_bytes: u64,
    /// The least severe line logged.
    pub log_level: LogLevel,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Refuse changes of members that the cluster might not survive.
    pub strict_reconfig_check: bool,
    /// Learners at a time, at most.
    pub max_learners: u32,
    /// Who should rather lead: higher wins; 0 for no preference.
    pub election_priority: u8,
    /// Serve reads by lease, if clocks of members run apart by no more than so many of a hundred. The same on all.
    pub read_lease_drift_percent: Option<u8>,
    /// Bytes of images sent to followers in a second, at most; 0 for any number.
    pub snapshot_rate_bytes: u64,
    /// This member lost its disk: come back as somebody else in its place.
    pub replace_lost_disk: bool,
    /// Acknowledge what is not on disk. Loses data at a power failure; for tests.
    pub unsafe_no_fsync: bool,
}

impl Default for Config {
    /// A lone member named `default` on etcd's ports.
    fn default() -> Config {
        let client = vec![Url::http("localhost", 2379)];
        let peer = vec![Url::http("localhost", 2380)];
        Config {
            name: "default".into(),
            data_dir: "default.etcd".into(),
            listen_client_urls: client.clone(),
            advertise_client_urls: client,
            listen_peer_urls: peer.clone(),
            initial_advertise_peer_urls: peer.clone(),
            initial_cluster: vec![("default".into(), peer)],
            initial_cluster_state: ClusterState::New,
            protocol: Protocol::default(),
            write_quorum: None,
            election_quorum: None,
            initial_cluster_token: "etcd-cluster".into(),
            heartbeat_interval_ms: 100,
            election_timeout_ms: 1000,
            snapshot_count: 10_000,
            quota_backend_bytes: 0,
            auto_compaction: AutoCompaction::Off,
            max_txn_ops: 128,
            max_request_bytes: 1_572_864,
            watch_progress_notify_interval: Duration::from_secs(600),
            wal_segment_bytes: 64 << 20,
            strict_reconfig_check: true,
            max_learners: 1,
            election_priority: 0,
            read_lease_drift_percent: None,
            snapshot_rate_bytes: 64 << 20,
            replace_lost_disk: false,
            log_level: LogLevel::Info,
            log_format: LogFormat::Json,
            unsafe_no_fsync: false,
        }
    }
}

impl Config {
    /// The size at which writes are refused, or `None` for no such size.
    pub fn quota_bytes(&self) -> Option<u64> {
        match self.quota_backend_bytes {
            0 => Some(DEFAULT_QUOTA_BYTES),
            bytes => u64::try_from(bytes).ok(),
        }
    }

    /// Refuses what a node must not start with, in etcd's order: timing, URLs, limits, cluster.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_again()?;
        self.validate_cluster()
    }

    /// [`Config::validate`] for a member that has run before: whatever is said of an initial cluster is ignored then.
    ///
    /// # Errors
    /// As there.
    pub fn validate_again(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::NoName);
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(ConfigError::NoDataDir);
        }
        self.validate_timing()?;
        self.validate_urls()?;
        self.validate_limits()?;
        self.validate_protocol()
    }

    /// Whether a member has run with this directory.
    pub fn has_run(&self) -> bool {
        self.data_dir.join("wal").exists()
    }

    fn validate_timing(&self) -> Result<(), ConfigError> {
        let (heartbeat_ms, election_ms) = (self.heartbeat_interval_ms, self.election_timeout_ms);
        if heartbeat_ms == 0 {
            return Err(ConfigError::Zero { flag: "heartbeat-interval", usual: 100 });
        }
        if election_ms == 0 {
            return Err(ConfigError::Zero { flag: "election-timeout", usual: 1000 });
        }
        if heartbeat_ms.saturating_mul(5) > election_ms {
            return Err(ConfigError::ElectionTooShort { election_ms, heartbeat_ms });
        }
        if election_ms > MAX_ELECTION_MS {
            return Err(ConfigError::ElectionTooLong { election_ms });
        }
        Ok(())
    }

    fn validate_urls(&self) -> Result<(), ConfigError> {
        if self.advertise_client_urls.is_empty() {
            return Err(ConfigError::NoAdvertise);
        }
        let mut bound = BTreeSet::new();
        let listening =
            [("listen-peer-urls", &self.listen_peer_urls), ("listen-client-urls", &self.listen_client_urls)];
        for (flag, urls) in listening {
            check_plain(flag, urls)?;
            for url in urls {
                let address =
                    url.bind_address().ok_or_else(|| ConfigError::ListenName { flag, url: url.clone() })?;
                if address.port() != 0 && !bound.insert(address) {
                    return Err(ConfigError::ListenTwice { flag, url: url.clone() });
                }
            }
        }
        let advertised = [
            ("initial-advertise-peer-urls", &self.initial_advertise_peer_urls),
            ("advertise-client-urls", &self.advertise_client_urls),
        ];
        for (flag, urls) in advertised {
            check_plain(flag, urls)?;
            if let Some(url) = urls.iter().find(|url| url.host().is_empty() || url.port() == 0) {
                return Err(ConfigError::AdvertiseNowhere { flag, url: url.clone() });
            }
        }
        Ok(())
    }

    fn validate_limits(&self) -> Result<(), ConfigError> {
        let positive = [
            ("snapshot-count", self.snapshot_count, 10_000),
            ("max-txn-ops", self.max_txn_ops as u64, 128),
            ("max-request-bytes", self.max_request_bytes as u64, 1_572_864),
        ];
        for (flag, value, usual) in positive {
            if value == 0 {
                return Err(ConfigError::Zero { flag, usual });
            }
        }
        if let Some(percent) =
            self.read_lease_drift_percent.filter(|percent| !(1..=MAX_DRIFT_PERCENT).contains(percent))
        {
            return Err(ConfigError::Drift { percent });
        }
        if self.watch_progress_notify_interval.is_zero() {
            return Err(ConfigError::ZeroDuration { flag: "watch-progress-notify-interval", usual: "10m" });
        }
        let needed = (self.max_request_bytes as u64).saturating_add(RECORD_OVERHEAD_BYTES);
        if self.wal_segment_bytes < needed {
            return Err(ConfigError::SegmentTooSmall { segment_bytes: self.wal_segment_bytes, needed });
        }
        match self.auto_compaction {
            AutoCompaction::Revision(kept) if kept <= 0 => {
                Err(ConfigError::Retention { mode: "revision".into(), text: kept.to_string() })
            }
            AutoCompaction::Periodic(age) if age.is_zero() => {
                Err(ConfigError::Retention { mode: "periodic".into(), text: "0s".into() })
            }
            _ => Ok(()),
        }
    }

    fn validate_protocol(&self) -> Result<(), ConfigError> {
        let protocol = self.protocol;
        match (self.write_quorum, self.election_quorum) {
            (None, Some(_)) => Err(ConfigError::ElectionQuorumAlone),
            (Some(_), _) if !protocol.takes_write_quorum() => Err(ConfigError::OnlyMajorities { protocol }),
            _ => Ok(()),
        }
    }

    /// Whoever elects a leader must meet whoever may have accepted a write.
    fn validate_quorums(&self) -> Result<(), ConfigError> {
        let Some(write) = self.write_quorum else { return Ok(()) };
        let voters = self.initial_cluster.len() as u32;
        if write == 0 || write > voters {
            return Err(ConfigError::WriteQuorum { write, voters });
        }
        let needed = voters + 1 - write;
        match self.election_quorum {
            Some(election) if election < needed => {
                Err(ConfigError::QuorumsApart { write, election, voters, needed })
            }
            Some(election) if election > needed => {
                Err(ConfigError::ElectionQuorum { write, election, voters, needed })
            }
            _ => Ok(()),
        }
    }

    fn validate_cluster(&self) -> Result<(), ConfigError> {
        let mut names = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for (name, urls) in &self.initial_cluster {
            if !names.insert(name) {
                return Err(ConfigError::NameTwice { name: name.clone() });
            }
            check_plain("initial-cluster", urls)?;
            for url in urls {
                if url.host().is_empty() || url.port() == 0 {
                    return Err(ConfigError::AdvertiseNowhere { flag: "initial-cluster", url: url.clone() });
                }
                if !taken.insert(url) {
                    return Err(ConfigError::PeerTwice { url: url.clone() });
                }
            }
        }
        let own = self.initial_cluster.iter().find(|(name, _)| *name == self.name);
        let Some((name, listed)) = own else {
            let names = self.initial_cluster.iter().map(|(name, _)| name.clone()).collect();
            return Err(ConfigError::NotInCluster { name: self.name.clone(), names });
        };
        let said: BTreeSet<_> = self.initial_advertise_peer_urls.iter().collect();
        if said != listed.iter().collect() {
            return Err(ConfigError::AdvertiseMismatch {
                name: name.clone(),
                advertised: self.initial_advertise_peer_urls.clone(),
                listed: listed.clone(),
            });
        }
        self.validate_quorums()
    }
}

/// At least one URL, and none that asks for TLS.
fn check_plain(flag: &'static str, urls: &[Url]) -> Result<(), ConfigError> {
    if urls.is_empty() {
        return Err(ConfigError::NoUrl { flag });
    }
    match urls.iter().find(|url| url.scheme() == Scheme::Https) {
        Some(url) => Err(ConfigError::NoTls { flag, url: url.clone() }),
        None => Ok(()),
    }
}
