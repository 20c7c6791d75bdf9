//! The table: every flag, what kind of value it takes, its default, and what it does here.

use std::fmt::Write;

use quorate_server::Protocol;
use quorate_server::config::{Url, parse_duration};

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything.
    Text,
    /// `--flag` or `--flag=false`.
    Bool,
    /// A whole number, not negative.
    Number,
    /// A whole number.
    Signed,
    /// `5s`, `1h30m`.
    Duration,
    /// `http://host:port,...`.
    Urls,
    /// One of these.
    OneOf(&'static [&'static str]),
}

impl Kind {
    /// Whether `value` is of this kind; if not, what would be.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        let good = match self {
            Kind::Text => true,
            Kind::Bool => boolean(value).is_some(),
            Kind::Number => value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<u64>().is_ok(),
            Kind::Signed => value.parse::<i64>().is_ok(),
            Kind::Duration => parse_duration(value).is_some(),
            Kind::Urls => return Url::parse_list(value).map(drop).map_err(|error| error.to_string()),
            Kind::OneOf(choices) => choices.contains(&value),
        };
        let taken = match self {
            _ if good => return Ok(()),
            Kind::Bool => "write --flag, --flag=true or --flag=false".into(),
            Kind::Number => "a whole number that is not negative".into(),
            Kind::Signed => "a whole number".into(),
            Kind::Duration => "a duration such as 100ms, 5s or 1h30m".into(),
            Kind::OneOf(choices) => format!("one of {}", choices.join(", ")),
            Kind::Text | Kind::Urls => String::new(),
        };
        Err(taken)
    }

    /// Whether two texts mean the same value.
    pub(super) fn same(self, a: &str, b: &str) -> bool {
        match self {
            Kind::Bool => boolean(a) == boolean(b),
            Kind::Duration => parse_duration(a) == parse_duration(b),
            Kind::Number | Kind::Signed => a.parse::<i128>().ok() == b.parse::<i128>().ok(),
            _ => a == b,
        }
    }
}

/// A boolean as Go reads one.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What setting a flag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// What it says.
    Honoured,
    /// Nothing yet, and nothing is lost by that: a warning is logged.
    None,
    /// The node does not start, for this reason.
    Refused(&'static str),
}

/// A row.
#[derive(Debug)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    pub(super) effect: Effect,
    /// For honoured flags; the others are listed by name.
    pub(super) help: &'static str,
}

const fn honoured(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, effect: Effect::Honoured, help }
}

const fn none(name: &'static str, kind: Kind, default: &'static str) -> Flag {
    Flag { name, kind, default, effect: Effect::None, help: "" }
}

const fn refused(name: &'static str, kind: Kind, default: &'static str, why: &'static str) -> Flag {
    Flag { name, kind, default, effect: Effect::Refused(why), help: "" }
}

const TLS: &str = "TLS is not supported yet; run without it on a network that is private";
const DISCOVERY: &str = "list the members in --initial-cluster instead";
const ONE_PORT: &str = "everything is served on --listen-client-urls";

use Kind::{Bool, Duration, Number, OneOf, Signed, Text, Urls};

/// All flags, the honoured first, each group in etcd's order.
pub(super) const FLAGS: &[Flag] = &[
    honoured("name", Text, "default", "name of this member, as in --initial-cluster"),
    honoured("data-dir", Text, "", "directory of this member alone [default: <name>.etcd]"),
    honoured("listen-client-urls", Urls, "http://localhost:2379", "where clients are served"),
    honoured("advertise-client-urls", Urls, "http://localhost:2379", "what clients are told to dial"),
    honoured("listen-peer-urls", Urls, "http://localhost:2380", "where peers are served"),
    honoured("initial-advertise-peer-urls", Urls, "http://localhost:2380", "what peers are told to dial"),
    honoured("initial-cluster", Text, "", "founding members: name=url,name=url,... [default: this member]"),
    honoured("initial-cluster-state", OneOf(&["new", "existing"]), "new", "new or existing"),
    honoured("initial-cluster-token", Text, "etcd-cluster", "tells clusters with equal URLs apart"),
    honoured(
        "protocol",
        OneOf(&Protocol::NAMES),
        Protocol::NAMES[0],
        "consensus protocol, the same on all members for good",
    ),
    honoured(
        "write-quorum",
        Number,
        "",
        "voters that must hold a write, of a cluster that is founded; as many elect as meet all of these \
         [default: a majority of both]",
    ),
    honoured("election-quorum", Number, "", "a check of what follows from --write-quorum"),
    honoured("heartbeat-interval", Number, "100", "milliseconds between heartbeats"),
    honoured("election-timeout", Number, "1000", "milliseconds of silence before an election"),
    honoured("snapshot-count", Number, "10000", "applied entries kept for followers that fall behind"),
    honoured(
        "quota-backend-bytes",
        Signed,
        "0",
        "size at which writes are refused (0: 2 GiB, negative: none)",
    ),
    honoured("auto-compaction-mode", Text, "periodic", "periodic or revision"),
    honoured("auto-compaction-retention", Text, "0", "hours, a duration, or revisions (0: off)"),
    honoured("strict-reconfig-check", Bool, "true", "refuse changes of members that could cost the quorum"),
    honoured("max-learners", Number, "1", "learners at a time, at most"),
    honoured("election-priority", Number, "0", "0 to 255: the cluster is led by the highest that is well"),
    honoured(
        "read-lease-drift-percent",
        Number,
        "0",
        "read by lease, if members' clocks run apart by no more than this; the same on all (0: no leases)",
    ),
    honoured("snapshot-rate-bytes", Number, "67108864", "bytes a second of state sent to followers (0: any)"),
    honoured(
        "replace-lost-disk",
        Bool,
        "false",
        "once, with an empty or damaged --data-dir: come back in this member's place as a new one",
    ),
    honoured("max-txn-ops", Number, "128", "operations in a transaction, at most"),
    honoured("max-request-bytes", Number, "1572864", "bytes of a client's request, at most"),
    honoured("watch-progress-notify-interval", Duration, "10m", "between progress answers of an idle watch"),
    honoured("logger", OneOf(&["zap"]), "zap", "only zap is known"),
    honoured("log-outputs", OneOf(&["default", "stderr", "stdout"]), "default", "default is stderr"),
    honoured(
        "log-level",
        OneOf(&["debug", "info", "warn", "error", "panic", "fatal"]),
        "info",
        "debug, info, warn or error",
    ),
    honoured("log-format", OneOf(&["json", "console"]), "json", "json or console"),
    honoured("wal-segment-bytes", Number, "67108864", "size of one file of the log (not a flag of etcd)"),
    honoured("unsafe-no-fsync", Bool, "false", "acknowledge what is not on disk: loses data, for tests"),
    honoured("feature-gates", Text, "", "Name=true,...; etcd's names are known, none has an effect yet"),
    // Tuning of what is not there to be tuned, and features that only add.
    none("snapshot-catchup-entries", Number, "5000"),
    none("initial-election-tick-advance", Bool, "true"),
    none("max-snapshots", Number, "5"),
    none("max-wals", Number, "5"),
    none("backend-bbolt-freelist-type", Text, "map"),
    none("backend-batch-interval", Text, ""),
    none("backend-batch-limit", Number, "0"),
    none("max-concurrent-streams", Number, "4294967295"),
    none("grpc-keepalive-min-time", Duration, "5s"),
    none("grpc-keepalive-interval", Duration, "2h"),
    none("grpc-keepalive-timeout", Duration, "20s"),
    none("socket-reuse-port", Bool, "false"),
    none("socket-reuse-address", Bool, "false"),
    none("raft-read-timeout", Duration, "5s"),
    none("raft-write-timeout", Duration, "5s"),
    none("memory-mlock", Bool, "false"),
    none("compaction-batch-limit", Number, "1000"),
    none("compaction-sleep-interval", Duration, "10ms"),
    none("bootstrap-defrag-threshold-megabytes", Number, "0"),
    none("compact-hash-check-time", Duration, "1m"),
    none("corrupt-check-time", Duration, "0s"),
    none("downgrade-check-time", Duration, "5s"),
    none("warning-apply-duration", Duration, "100ms"),
    none("warning-unary-request-duration", Duration, "300ms"),
    none("pre-vote", Bool, "true"),
    none("enable-grpc-gateway", Bool, "true"),
    none("enable-pprof", Bool, "false"),
    none("metrics", OneOf(&["basic", "extensive"]), "basic"),
    none("bcrypt-cost", Number, "10"),
    none("auth-token-ttl", Number, "300"),
    none("self-signed-cert-validity", Number, "1"),
    none("log-rotation-config-json", Text, ""),
    none("enable-distributed-tracing", Bool, "false"),
    none("distributed-tracing-address", Text, "localhost:4317"),
    none("distributed-tracing-service-name", Text, "etcd"),
    none("distributed-tracing-instance-id", Text, ""),
    none("distributed-tracing-sampling-rate", Number, "0"),
    // Names of older releases, where they did something that is the only way now.
    none("experimental-initial-corrupt-check", Bool, "false"),
    none("experimental-compact-hash-check-enabled", Bool, "false"),
    none("experimental-stop-grpc-service-on-defrag", Bool, "false"),
    none("experimental-txn-mode-write-with-shared-buffer", Bool, "true"),
    none("experimental-enable-lease-checkpoint", Bool, "false"),
    none("experimental-enable-lease-checkpoint-persist", Bool, "false"),
    none("v2-deprecation", Text, "not-yet"),
    none("enable-v2", Bool, "false"),
    none("experimental-enable-v2v3", Text, ""),
    none("debug", Bool, "false"),
    none("log-package-levels", Text, ""),
    none("log-output", Text, "default"),
    none("proxy", OneOf(&["off"]), "off"),
    none("proxy-failure-wait", Number, "5000"),
    none("proxy-refresh-interval", Number, "30000"),
    none("proxy-dial-timeout", Number, "1000"),
    none("proxy-write-timeout", Number, "5000"),
    none("proxy-read-timeout", Number, "0"),
    none("discovery-proxy", Text, ""),
    none("discovery-fallback", Text, "proxy"),
    // What would be a promise broken.
    refused("config-file", Text, "", "give its settings as flags, or as ETCD_ variables"),
    refused("wal-dir", Text, "", "the log lives in --data-dir; make that a directory on the disk you want"),
    refused("listen-client-http-urls", Urls, "", ONE_PORT),
    refused("listen-metrics-urls", Urls, "", ONE_PORT),
    refused("force-new-cluster", Bool, "false", "members cannot be dropped yet; the data is left as it is"),
    refused("enable-log-rotation", Bool, "false", "send the log to stderr and rotate it there"),
    refused("cors", Text, "*", "other origins cannot be kept out yet"),
    refused("host-whitelist", Text, "*", "other host names cannot be kept out yet"),
    refused("auth-token", Text, "simple", "only simple tokens are planned; authentication is not there yet"),
    refused("discovery", Text, "", DISCOVERY),
    refused("discovery-srv", Text, "", DISCOVERY),
    refused("discovery-srv-name", Text, "", DISCOVERY),
    refused("discovery-token", Text, "", DISCOVERY),
    refused("discovery-endpoints", Text, "", DISCOVERY),
    refused("discovery-dial-timeout", Duration, "2s", DISCOVERY),
    refused("discovery-request-timeout", Duration, "5s", DISCOVERY),
    refused("discovery-keepalive-time", Duration, "2s", DISCOVERY),
    refused("discovery-keepalive-timeout", Duration, "6s", DISCOVERY),
    refused("discovery-insecure-transport", Bool, "true", DISCOVERY),
    refused("discovery-insecure-skip-tls-verify", Bool, "false", DISCOVERY),
    refused("discovery-cert", Text, "", DISCOVERY),
    refused("discovery-key", Text, "", DISCOVERY),
    refused("discovery-cacert", Text, "", DISCOVERY),
    refused("discovery-user", Text, "", DISCOVERY),
    refused("discovery-password", Text, "", DISCOVERY),
    refused("cert-file", Text, "", TLS),
    refused("key-file", Text, "", TLS),
    refused("client-cert-file", Text, "", TLS),
    refused("client-key-file", Text, "", TLS),
    refused("client-cert-auth", Bool, "false", TLS),
    refused("client-crl-file", Text, "", TLS),
    refused("client-cert-allowed-hostname", Text, "", TLS),
    refused("trusted-ca-file", Text, "", TLS),
    refused("auto-tls", Bool, "false", TLS),
    refused("peer-cert-file", Text, "", TLS),
    refused("peer-key-file", Text, "", TLS),
    refused("peer-client-cert-file", Text, "", TLS),
    refused("peer-client-key-file", Text, "", TLS),
    refused("peer-client-cert-auth", Bool, "false", TLS),
    refused("peer-trusted-ca-file", Text, "", TLS),
    refused("peer-crl-file", Text, "", TLS),
    refused("peer-cert-allowed-cn", Text, "", TLS),
    refused("peer-cert-allowed-hostname", Text, "", TLS),
    refused("peer-auto-tls", Bool, "false", TLS),
    refused("peer-skip-client-san-verification", Bool, "false", TLS),
    refused("cipher-suites", Text, "", TLS),
    refused("tls-min-version", Text, "TLS1.2", TLS),
    refused("tls-max-version", Text, "", TLS),
];

/// Flags that older releases knew as `experimental-` and this name.
pub(super) const ALIASES: &[&str] = &[
    "compact-hash-check-time",
    "corrupt-check-time",
    "compaction-batch-limit",
    "watch-progress-notify-interval",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "bootstrap-defrag-threshold-megabytes",
    "memory-mlock",
    "snapshot-catchup-entries",
    "compaction-sleep-interval",
    "downgrade-check-time",
    "peer-skip-client-san-verification",
    "enable-distributed-tracing",
    "distributed-tracing-address",
    "distributed-tracing-service-name",
    "distributed-tracing-instance-id",
    "distributed-tracing-sampling-rate",
    "backend-bbolt-freelist-type",
];

/// The text of `--help`.
pub(crate) fn help() -> String {
    let mut out = String::from(
        "Usage: quorate serve [flags]\n\n\
         Run one member of a cluster. Flags are written --flag=value or --flag value, booleans --flag or\n\
         --flag=false; each can be set by an environment variable too, such as ETCD_DATA_DIR for --data-dir.\n\n\
         Flags:\n",
    );
    for flag in FLAGS.iter().filter(|flag| flag.effect == Effect::Honoured) {
        let default =
            if flag.default.is_empty() { String::new() } else { format!(" [default: {}]", flag.default) };
        let _ = writeln!(out, "  --{}\n        {}{default}", flag.name, flag.help);
    }
    let mut list = |title: &str, keep: fn(&Effect) -> bool| {
        let names: Vec<String> =
            FLAGS.iter().filter(|flag| keep(&flag.effect)).map(|flag| format!("--{}", flag.name)).collect();
        let _ = write!(out, "\n{title}:\n");
        for row in names.chunks(3) {
            let _ = writeln!(out, "  {}", row.join(" "));
        }
    };
    list("Accepted for etcd's sake, without effect yet", |effect| *effect == Effect::None);
    list("Refused unless set to their default, because they are not supported yet", |effect| {
        matches!(effect, Effect::Refused(_))
    });
    out.push_str("\n  --help, -h   this text\n  --version    the version\n");
    out
}
