//! Many runs, several at a time.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::report::{Report, Stats};
use crate::{Options, run};

/// Run one world for every seed, `jobs` at a time, each on a thread of its own. `each` sees every report, in no
/// particular order, and says whether to go on. Answers the sum of the counts of all runs.
///
/// The seeds are begun in ascending order, so that of the failures that are reported one belongs to the lowest seed
/// that fails, if `each` stops at the first.
pub fn explore(
    seeds: Range<u64>,
    jobs: usize,
    options: Options,
    each: impl FnMut(&Report) -> bool + Send,
) -> Stats {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let shared = Mutex::new((each, Stats::default()));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run(&Options { seed, ..options.clone() }, None);
            let mut shared = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            shared.1 += &report.stats;
            if !(shared.0)(&report) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    shared.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).1
}
