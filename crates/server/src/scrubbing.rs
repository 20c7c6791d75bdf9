//! Reading the log again, a little every second, while the peers are there to make up for what is lost.
//!
//! Disks damage what they keep without being asked for it. What a start finds damaged is fetched from the peers
//! again; but between two starts lie months, and what each of two members has lost by then may be the same. So
//! the log thread, when it has nothing else to do, or at the latest after a while, reads what [`Wal::scrub`] is given:
//! a few hundred microseconds' worth, so that a write which comes meanwhile hardly waits.
//!
//! Nothing is repaired here. An operator sees `quorate_wal_damaged_places`, reads in the log what to do, and restarts
//! this member at a time of their choice.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_wal::{RealDisk, Wal};

use crate::metrics::Metrics;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// A look is not put off longer than this, however much there is to write.
const AT_LATEST: Duration = Duration::from_secs(10);

/// Read at a look, about: a log of 64 MiB is read in four minutes.
const BYTES: u64 = 256 << 10;

/// When to look again.
#[derive(Debug)]
pub struct Scrubber {
    looked: Instant,
}

impl Scrubber {
    /// The first look is a second from now.
    pub fn new(wal: &Wal<RealDisk>, metrics: &Metrics) -> Self {
        count(wal, metrics);
        Scrubber { looked: Instant::now() }
    }

    /// When the log thread should have a look if nothing comes before.
    pub fn due(&self) -> Instant {
        self.looked + EVERY
    }

    /// Have a look, if it is time for one: soon when there is nothing else to do, later when there is.
    pub fn tend(&mut self, wal: &mut Wal<RealDisk>, metrics: &Metrics, idle: bool) {
        let now = Instant::now();
        if now.duration_since(self.looked) < if idle { EVERY } else { AT_LATEST } {
            return;
        }
        self.looked = now;
        match wal.scrub(BYTES) {
            Ok(found) => found.iter().for_each(|damage| {
                tracing::error!(
                    "{damage}: restart this member while the others are well, and it fetches from them what is lost; if \
                     more is found damaged, replace the disk and start with --replace-lost-disk"
                );
            }),
            // Too few descriptors, perhaps. If it is the disk, the next write says so, and that ends the node.
            Err(error) => tracing::warn!("the log could not be checked for damage: {error}"),
        }
        count(wal, metrics);
    }
}

fn count(wal: &Wal<RealDisk>, metrics: &Metrics) {
    let (counts, places) = (wal.metrics(), wal.damage().len() as u64);
    metrics.wal_damaged_places.store(places, Ordering::Relaxed);
    metrics.wal_scrubbed_bytes.store(counts.scrubbed_bytes, Ordering::Relaxed);
    metrics.wal_scrub_rounds.store(counts.scrub_rounds, Ordering::Relaxed);
}
