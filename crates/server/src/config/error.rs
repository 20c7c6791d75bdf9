//! Why a node does not start with a configuration. Nothing was touched: correct what the text names and
//! start again.

use super::{MAX_DRIFT_PERCENT, MAX_ELECTION_MS, Url, UrlError};
use crate::protocols::Protocol;

/// A refused configuration. Each text names the flag and the remedy; starting again unchanged fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The texts say what each field is.
pub enum ConfigError {
    /// An empty name.
    #[error("--name is empty: give this member the name it has in --initial-cluster")]
    NoName,
    /// An empty path.
    #[error("--data-dir is empty: name a directory for this member alone")]
    NoDataDir,
    /// Nothing that paces or divides may be zero.
    #[error("--{flag} is 0 and must be positive; the usual value is {usual}")]
    Zero { flag: &'static str, usual: u64 },
    /// The same for a length of time.
    #[error("--{flag} is 0 and must be positive; the usual value is {usual}")]
    ZeroDuration { flag: &'static str, usual: &'static str },
    /// A follower would stand for election while its leader is well.
    #[error(
        "--election-timeout {election_ms} ms is shorter than 5 x --heartbeat-interval {heartbeat_ms} ms: \
         raise it to at least {} ms, or lower the heartbeat interval",
        heartbeat_ms.saturating_mul(5)
    )]
    ElectionTooShort { election_ms: u64, heartbeat_ms: u64 },
    /// Longer than anyone should wait for a leader.
    #[error("--election-timeout {election_ms} ms is too long: use at most {MAX_ELECTION_MS} ms")]
    ElectionTooLong { election_ms: u64 },
    /// Clocks that run apart by so much are no use for leases.
    #[error(
        "--read-lease-drift-percent {percent} is out of range: give the most that two members' clocks run apart, in \
         percent, from 1 to {MAX_DRIFT_PERCENT} (5 is generous), or 0 to read without leases"
    )]
    Drift { percent: u8 },
    /// A quorum that its protocol does not know.
    #[error(
        "--write-quorum does not go with --protocol {protocol}, whose quorums are majorities: leave it out, or found the \
         cluster with --protocol {}",
        flexible()
    )]
    OnlyMajorities { protocol: Protocol },
    /// Nobody accepts a write, or more than there are.
    #[error(
        "--write-quorum {write} is out of range: give how many of the {voters} founding voters must hold a \
         write, from 1 to {voters}, or leave it out for a majority"
    )]
    WriteQuorum { write: u32, voters: u32 },
    /// A leader could be elected that does not know what was written.
    #[error(
        "--write-quorum {write} and --election-quorum {election} need not intersect among {voters} voters: a leader could be \
         elected by members none of which holds what was written; their sum must exceed {voters}, so elect with {needed}, \
         which is what follows when --election-quorum is left out"
    )]
    QuorumsApart { write: u32, election: u32, voters: u32, needed: u32 },
    /// More than it takes.
    #[error(
        "--election-quorum {election} is more than it takes: with --write-quorum {write}, {needed} of {voters} voters elect; \
         write that, or leave it out"
    )]
    ElectionQuorum { write: u32, election: u32, voters: u32, needed: u32 },
    /// It follows from the other.
    #[error("--election-quorum follows from --write-quorum: give that one, or leave out both for majorities")]
    ElectionQuorumAlone,
    /// A URL flag without a URL.
    #[error("--{flag} names no URL: write it as http://host:port")]
    NoUrl { flag: &'static str },
    /// A URL that is not one.
    #[error("--{flag}: {error}")]
    Url { flag: &'static str, error: UrlError },
    /// TLS was asked for.
    #[error("--{flag} has {url}, but TLS is not supported yet: use http:// on a network that is private")]
    NoTls { flag: &'static str, url: Url },
    /// A name to listen on.
    #[error(
        "--{flag} has {url}, but listening takes an IP address or localhost, not a name: \
         write the address of the interface (names are for the advertise flags)"
    )]
    ListenName { flag: &'static str, url: Url },
    /// One address, two listeners.
    #[error("--{flag} has {url}, which this node already listens on: give every listener its own port")]
    ListenTwice { flag: &'static str, url: Url },
    /// Listening was set, advertising was not.
    #[error(
        "--advertise-client-urls is required when --listen-client-urls is set explicitly: \
         name the URLs by which clients reach this member"
    )]
    NoAdvertise,
    /// Nobody could dial this.
    #[error("--{flag} has {url}, which nobody can dial: write a host and a port other than 0")]
    AdvertiseNowhere { flag: &'static str, url: Url },
    /// Not `name=url,...`.
    #[error("--initial-cluster has \"{item}\", which is not name=http://host:port: {why}")]
    ClusterItem { item: String, why: String },
    /// One name, two entries.
    #[error("--initial-cluster names \"{name}\" in two entries: members need names of their own")]
    NameTwice { name: String },
    /// One URL, two members (or twice one).
    #[error("--initial-cluster has {url} twice: members need peer URLs of their own")]
    PeerTwice { url: Url },
    /// This node is not a founder.
    #[error(
        "--name \"{name}\" is not in --initial-cluster (it has {}): \
         add an entry {name}=<its peer URL>, or correct the name",
        quoted(names)
    )]
    NotInCluster { name: String, names: Vec<String> },
    /// Two stories about one member.
    #[error(
        "--initial-cluster has {name}={} but --initial-advertise-peer-urls has {}: make them equal",
        joined(listed),
        joined(advertised)
    )]
    AdvertiseMismatch { name: String, advertised: Vec<Url>, listed: Vec<Url> },
    /// Neither `new` nor `existing`.
    #[error("--initial-cluster-state \"{0}\" is not known: use new or existing")]
    ClusterState(String),
    /// Neither `periodic` nor `revision`.
    #[error("--auto-compaction-mode \"{0}\" is not known: use periodic or revision")]
    CompactionMode(String),
    /// A retention that its mode does not understand.
    #[error(
        "--auto-compaction-retention \"{text}\" does not fit --auto-compaction-mode {mode}: periodic takes hours \
         or a duration such as 5m, revision takes a number of revisions, and 0 turns compaction off"
    )]
    Retention { mode: String, text: String },
    /// The largest request would not fit.
    #[error(
        "--wal-segment-bytes {segment_bytes} is too small for --max-request-bytes: use at least {needed}, \
         or lower the size of requests"
    )]
    SegmentTooSmall { segment_bytes: u64, needed: u64 },
}

/// The protocols that know other quorums than majorities.
fn flexible() -> String {
    let names = Protocol::ALL.iter().filter(|protocol| protocol.takes_write_quorum());
    names.map(|protocol| protocol.name()).collect::<Vec<_>>().join(" or ")
}

fn joined(urls: &[Url]) -> String {
    urls.iter().map(Url::to_string).collect::<Vec<_>>().join(",")
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "no entries".into();
    }
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}
