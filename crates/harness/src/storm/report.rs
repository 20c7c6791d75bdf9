//! The figures of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Windows shown one by one, the longest first.
const WINDOWS_SHOWN: usize = 12;

/// A time without an acknowledged write.
#[derive(Clone, Debug)]
pub struct Window {
    /// When it began.
    pub at: Duration,
    /// How long it was.
    pub length: Duration,
    /// What was being done to the cluster.
    pub amid: String,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How long the trouble lasted.
    pub duration: Duration,
    /// Operations recorded; one on each key a request was about.
    pub operations: usize,
    /// Of these, those whose outcome nobody knows.
    pub ambiguous: usize,
    /// Serializable reads, beside them.
    pub stale_reads: usize,
    /// Leases granted.
    pub leases: u64,
    /// Events in the store's history.
    pub events: usize,
    /// The last revision.
    pub revision: u64,
    /// The members' common hash.
    pub hash: u32,
    /// Faults by class.
    pub faults: BTreeMap<&'static str, u64>,
    /// Whether the fault of a full disk was left out.
    pub disk_skipped: bool,
    /// How often a member ended because its disk was full.
    pub ended_of_full_disk: u64,
    /// How often watchers began anew.
    pub resumed: u64,
    /// From the end of the trouble to a write and a read through every member.
    pub served_in: Duration,
    /// From the end of the trouble to one state on all, the last leases having ended.
    pub converged_in: Duration,
    /// Times without an acknowledged write.
    pub windows: Vec<Window>,
    /// Latency of answered operations: median, 99th percentile, longest.
    pub latency: [Duration; 3],
}

impl Report {
    /// From all latencies, in order.
    pub fn latencies(&mut self, sorted_ns: &[u64]) {
        let rank = |percent: usize| (sorted_ns.len() * percent).div_ceil(100).saturating_sub(1);
        self.latency = [50, 99, 100]
            .map(|percent| Duration::from_nanos(sorted_ns.get(rank(percent)).copied().unwrap_or(0)));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1e3);
        let total: u64 = self.faults.values().sum();
        writeln!(f, "{:<28}{:.0} s", "trouble", self.duration.as_secs_f64())?;
        writeln!(f, "{:<28}{}", "operations", self.operations)?;
        writeln!(f, "{:<28}{}", "  of unknown outcome", self.ambiguous)?;
        writeln!(f, "{:<28}{}", "serializable reads", self.stale_reads)?;
        writeln!(f, "{:<28}{}", "leases", self.leases)?;
        writeln!(f, "{:<28}{} at revision {}", "events", self.events, self.revision)?;
        writeln!(f, "{:<28}{}", "watchers began anew", self.resumed)?;
        let [median, p99, max] = self.latency.map(ms);
        writeln!(f, "{:<28}median {median}, p99 {p99}, max {max}", "latency when answered")?;
        writeln!(f, "{:<28}{total}", "faults")?;
        for (class, count) in &self.faults {
            writeln!(f, "  {class:<26}{count}")?;
        }
        if self.disk_skipped {
            writeln!(f, "  {:<26}SKIPPED: this process may not mount a tmpfs", "disk full")?;
        }
        writeln!(f, "{:<28}{}", "ended of a full disk", self.ended_of_full_disk)?;
        let all: Duration = self.windows.iter().map(|window| window.length).sum();
        let longest = self.windows.iter().map(|window| window.length).max().unwrap_or_default();
        let count = self.windows.len();
        writeln!(
            f,
            "{:<28}{count}, together {}, longest {}",
            "without a write > 300 ms",
            ms(all),
            ms(longest)
        )?;
        let mut windows: Vec<&Window> = self.windows.iter().collect();
        windows.sort_by_key(|window| std::cmp::Reverse(window.length));
        for window in windows.iter().take(WINDOWS_SHOWN) {
            writeln!(
                f,
                "  at {:>7.1} s {:>10}  {}",
                window.at.as_secs_f64(),
                ms(window.length),
                window.amid
            )?;
        }
        writeln!(f, "{:<28}{}", "served everywhere after", ms(self.served_in))?;
        writeln!(
            f,
            "{:<28}{}, hash {:08x} on all",
            "one state, no lease after",
            ms(self.converged_in),
            self.hash
        )
    }
}
