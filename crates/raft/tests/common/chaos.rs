//! Raft in the storms that all cores must weather.

use quorate_golden::storm::{Seen, storm, storm_with};
use quorate_golden::{Detail, Planted};
use quorate_raft::Rules;

use super::Spoken;

/// A storm of `steps`, then the calm. The error names the seed and what was broken.
pub fn chaos<R: Rules>(seed: u64, steps: usize, detail: Detail) -> Result<Seen, String> {
    storm::<Spoken<R>>(seed, steps, detail)
}

/// The same, with a bug planted in the hosts.
pub fn chaos_with<R: Rules>(
    seed: u64,
    steps: usize,
    detail: Detail,
    planted: Option<Planted>,
) -> Result<Seen, String> {
    storm_with::<Spoken<R>>(seed, steps, detail, planted)
}
