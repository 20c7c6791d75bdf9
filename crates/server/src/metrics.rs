//! What a node counts, under etcd's names, so that the dashboards and alerts people have keep working.
//!
//! A first form: the names that alerts use. Gauges are read off the node when they are asked for.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use quorate_kv::{Event, Record, Storage};

use crate::shared::Shared;

/// Everything counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Seconds a log fdatasync took.
    pub wal_fsync: Histogram,
    /// Seconds a checkpoint took.
    pub checkpoint: Histogram,
    /// Proposals under way.
    pub pending: Gauge,
    /// Proposals that failed.
    pub proposals_failed: Counter,
    /// Reads that could not be confirmed.
    pub reads_failed: Counter,
    /// Leases that expired.
    pub leases_expired: Counter,
    /// Bytes written to the log.
    pub wal_bytes: AtomicU64,
    /// Places of the log that are known to be damaged.
    pub wal_damaged_places: AtomicU64,
    /// Bytes of the log that were read again.
    pub wal_scrubbed_bytes: AtomicU64,
    /// Times that all of it was.
    pub wal_scrub_rounds: AtomicU64,
    /// Whether the store is larger than its quota.
    pub over_quota: AtomicBool,
    /// Watchers open.
    pub watchers: AtomicI64,
    leader_changes: Counter,
    puts: Counter,
    deletes: Counter,
    events: Counter,
    /// Ranges served.
    pub ranges: Counter,
    /// Transactions served.
    pub txns: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let millis = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let metrics = Metrics {
            wal_fsync: millis(),
            checkpoint: millis(),
            pending: Gauge::default(),
            proposals_failed: Counter::default(),
            reads_failed: Counter::default(),
            leases_expired: Counter::default(),
            wal_bytes: AtomicU64::new(0),
            wal_damaged_places: AtomicU64::new(0),
            wal_scrubbed_bytes: AtomicU64::new(0),
            wal_scrub_rounds: AtomicU64::new(0),
            over_quota: AtomicBool::new(false),
            watchers: AtomicI64::new(0),
            leader_changes: Counter::default(),
            puts: Counter::default(),
            deletes: Counter::default(),
            events: Counter::default(),
            ranges: Counter::default(),
            txns: Counter::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register(
            "etcd_disk_wal_fsync_duration_seconds",
            "Duration of the log's fdatasync",
            m.wal_fsync.clone(),
        );
        registry.register(
            "etcd_disk_backend_commit_duration_seconds",
            "Duration of checkpoints of the state",
            m.checkpoint.clone(),
        );
        registry.register("etcd_server_proposals_pending", "Proposals under way", m.pending.clone());
        let counters = [
            ("etcd_server_proposals_failed", "Proposals that failed", &m.proposals_failed),
            ("etcd_server_read_indexes_failed", "Reads that could not be confirmed", &m.reads_failed),
            ("etcd_debugging_server_lease_expired", "Leases that expired", &m.leases_expired),
            ("etcd_server_leader_changes_seen", "Leaders this member has seen", &m.leader_changes),
            ("etcd_mvcc_put", "Puts applied", &m.puts),
            ("etcd_mvcc_delete", "Deletions applied", &m.deletes),
            ("etcd_debugging_mvcc_events", "Events made", &m.events),
            ("etcd_mvcc_range", "Ranges served", &m.ranges),
            ("etcd_mvcc_txn", "Transactions served", &m.txns),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    /// Note a change of leadership.
    pub fn leader_changed(&self, known: bool) {
        if known {
            self.leader_changes.inc();
        }
    }

    /// Note what was applied.
    pub fn applied(&self, batches: &[(i64, Vec<Event>)]) {
        let all = batches.iter().flat_map(|(_, events)| events);
        let (mut puts, mut deletes) = (0, 0);
        all.for_each(|event| match event.record {
            Record::Put(_) => puts += 1,
            Record::Tombstone { .. } => deletes += 1,
        });
        self.puts.inc_by(puts);
        self.deletes.inc_by(deletes);
        self.events.inc_by(puts + deletes);
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self, shared: &Shared) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        let mut now = Registry::default();
        let readings = gauges(shared).into_iter().chain(log_counts(&shared.metrics));
        now.register_collector(Box::new(Now(readings.collect())));
        let _ = prometheus_client::encoding::text::encode(&mut text, &now);
        // Each part ends with the format's end mark; one is enough.
        let (parts, end) = (text.replace("# EOF\n", ""), "# EOF\n");
        parts + end
    }
}

type Reading = (&'static str, &'static str, i64);

/// What the log thread has counted.
fn log_counts(metrics: &Metrics) -> [Reading; 4] {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as i64;
    [
        ("etcd_disk_wal_write_bytes_total", "Bytes written to the log", read(&metrics.wal_bytes)),
        (
            "quorate_wal_damaged_places",
            "Places of the log that are known to be damaged",
            read(&metrics.wal_damaged_places),
        ),
        (
            "quorate_wal_scrubbed_bytes_total",
            "Bytes of the log read again to look for damage",
            read(&metrics.wal_scrubbed_bytes),
        ),
        (
            "quorate_wal_scrub_rounds_total",
            "Times that all of the log was read again",
            read(&metrics.wal_scrub_rounds),
        ),
    ]
}

/// What is read off the node when it is asked for.
fn gauges(shared: &Shared) -> Vec<Reading> {
    let state = shared.state.read();
    let (size, compact) = (state.storage().size(), state.compact_revision());
    let keys = state.key_count();
    drop(state);
    let leadership = &shared.leadership;
    // Alerts divide by the quota: without one it is very large, not 0.
    let quota = shared.config.quota_bytes().map_or(i64::MAX, |quota| quota as i64);
    let process = crate::process::usage();
    vec![
        ("etcd_server_has_leader", "Whether a leader is known", leadership.leader().is_some().into()),
        ("etcd_server_is_leader", "Whether this member leads", leadership.leads().into()),
        ("etcd_server_is_learner", "Whether this member is a learner", shared.is_learner().into()),
        (
            "quorate_log_repairing",
            "Whether this member is fetching what its log has lost",
            shared.roll.repairing().into(),
        ),
        (
            "etcd_server_proposals_committed_total",
            "Index committed",
            shared.committed.load(Ordering::Relaxed) as i64,
        ),
        (
            "etcd_server_proposals_applied_total",
            "Index applied",
            shared.applied.load(Ordering::Relaxed) as i64,
        ),
        ("etcd_server_quota_backend_bytes", "Quota of the store", quota),
        ("etcd_mvcc_db_total_size_in_bytes", "Size of the state's file", size.total as i64),
        ("etcd_mvcc_db_total_size_in_use_in_bytes", "Of it, in use", size.in_use as i64),
        ("etcd_debugging_mvcc_keys_total", "Keys", keys as i64),
        ("etcd_debugging_mvcc_watcher_total", "Watchers", shared.metrics.watchers.load(Ordering::Relaxed)),
        ("etcd_debugging_mvcc_current_revision", "Revision", shared.revision()),
        ("etcd_debugging_mvcc_compact_revision", "Compacted up to", compact),
        ("process_resident_memory_bytes", "Resident memory", process.resident_bytes),
        ("process_cpu_seconds_total", "Processor time", process.cpu_seconds),
        ("process_open_fds", "Open files", process.open_files),
        ("process_max_fds", "Files that may be open", process.max_files),
        ("os_fd_used", "Open files", process.open_files),
        ("os_fd_limit", "Files that may be open", process.max_files),
    ]
}

/// A collector over readings.
#[derive(Debug)]
struct Now(Vec<Reading>);

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in &self.0 {
            let gauge = ConstGauge::new(*value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
