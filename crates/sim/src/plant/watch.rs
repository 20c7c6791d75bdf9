//! Mistakes in how watches and leases are served.

use super::Plant;

/// The revision from which a watcher that has seen everything below `next` asks again.
pub fn resume_from(plant: Option<Plant>, next: u64) -> u64 {
    match plant {
        Some(Plant::WatchResumesOneLate) => next + 1,
        _ => next,
    }
}

/// The revision from which a node serves a watch that asks for this one.
pub fn serve_from(plant: Option<Plant>, start: i64) -> i64 {
    match plant {
        Some(Plant::WatchRepeats) if start > 1 => start - 1,
        _ => start,
    }
}

/// The time from which a new leader counts its leases.
pub fn leases_from(plant: Option<Plant>, now_ms: u64) -> u64 {
    match plant {
        Some(Plant::LeaseCutShort) => 0,
        _ => now_ms,
    }
}
