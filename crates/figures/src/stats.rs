//! Trials by the thousand, and what they add up to.
//!
//! Trial `n` is decided by its number and by nothing else, so the answer is the same however many threads
//! share the work.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Trials that one thread takes at a time.
const CHUNK: u64 = 256;

/// The results of trials `0..n`, in order.
pub(crate) fn trials<T: Send>(n: u64, trial: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= n {
                return done;
            }
            done.push((from, (from..(from + CHUNK).min(n)).map(&trial).collect::<Vec<T>>()));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut chunks: Vec<(u64, Vec<T>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a trial does not panic")).collect()
    });
    chunks.sort_by_key(|(from, _)| *from);
    chunks.into_iter().flat_map(|(_, results)| results).collect()
}

/// Measured values, in milliseconds; those that never came are counted.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    sorted: Vec<f64>,
    never: usize,
}

impl Times {
    /// Of these.
    pub fn new(values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let mut never = 0;
        let mut sorted: Vec<f64> = Vec::new();
        for value in values {
            match value {
                Some(value) => sorted.push(value),
                None => never += 1,
            }
        }
        sorted.sort_by(f64::total_cmp);
        Times { sorted, never }
    }

    /// How many never came.
    pub fn never(&self) -> usize {
        self.never
    }

    /// How many there are, with those that never came.
    pub fn len(&self) -> usize {
        self.sorted.len() + self.never
    }

    /// The mean of those that came.
    pub fn mean(&self) -> f64 {
        self.sorted.iter().sum::<f64>() / self.sorted.len() as f64
    }

    /// The value that so large a share does not exceed; none if that many never came.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (share * self.len() as f64).ceil() as usize;
        self.sorted.get(rank.max(1) - 1).copied()
    }

    /// Points of the distribution function, at most about `n`: value, and the share that does not exceed it.
    pub fn distribution(&self, n: usize) -> Vec<(f64, f64)> {
        let step = (self.sorted.len() / n).max(1);
        let ranks = (0..self.sorted.len()).step_by(step).chain(self.sorted.len().checked_sub(1));
        ranks.map(|rank| (self.sorted[rank], (rank + 1) as f64 / self.len() as f64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_come_in_order_whoever_did_them() {
        assert_eq!(trials(1_000, |n| n * n), (0..1_000).map(|n| n * n).collect::<Vec<u64>>());
        assert!(trials(0, |n| n).is_empty());
    }

    #[test]
    fn quantiles_count_what_never_came() {
        let times = Times::new([Some(3.0), None, Some(1.0), Some(2.0)]);
        assert_eq!((times.len(), times.never(), times.mean()), (4, 1, 2.0));
        assert_eq!((times.quantile(0.5), times.quantile(0.75)), (Some(2.0), Some(3.0)));
        assert_eq!((times.quantile(1.0), times.quantile(0.0)), (None, Some(1.0)));
        assert_eq!(times.distribution(9), [(1.0, 0.25), (2.0, 0.5), (3.0, 0.75), (3.0, 0.75)]);
    }
}
