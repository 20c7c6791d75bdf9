//! What the operating system says of this process. Zeros where it does not say.

use std::fs;

/// Resources in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory.
    pub resident_bytes: i64,
    /// Processor time.
    pub cpu_seconds: i64,
    /// Open files.
    pub open_files: i64,
    /// Files that may be open.
    pub max_files: i64,
}

/// Read it, from Linux's `/proc`.
pub fn usage() -> Usage {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the command in parentheses and may hold spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |n: usize| fields.get(n - 3).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let ticks = rustix::param::clock_ticks_per_second().max(1) as i64;
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Usage {
        resident_bytes: field(24) * rustix::param::page_size() as i64,
        cpu_seconds: (field(14) + field(15)) / ticks,
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as i64),
        max_files: limits.current.map_or(i64::MAX, |limit| limit.min(i64::MAX as u64) as i64),
    }
}
