//! How fast images go out.
//!
//! A whole state sent as fast as the network takes it would starve the heartbeats and entries that share the wire. So
//! all images together keep to a number of bytes a second: each chunk books its share of time after the ones booked
//! before it, and waits until that time has come. Time nobody used is not saved up, apart from a moment.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Time that may be saved up by sending nothing: large enough that a thread's wake-ups cost no speed.
const SAVED: Duration = Duration::from_millis(20);

/// A bound on bytes a second.
#[derive(Debug)]
pub struct Pace {
    /// None for no bound.
    bytes_per_second: Option<f64>,
    /// Until when time is booked.
    booked: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many bytes a second; 0 for any number.
    pub fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = Some(bytes_per_second as f64).filter(|rate| *rate > 0.0);
        Pace { bytes_per_second, booked: Mutex::new(None) }
    }

    /// Book the time for so many bytes; how long to wait before they may be sent.
    pub fn book(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let mut booked = self.booked.lock();
        let earliest = now.checked_sub(SAVED).unwrap_or(now);
        let begin = booked.map_or(earliest, |until| until.max(earliest));
        *booked = Some(begin + Duration::from_secs_f64(bytes as f64 / rate));
        begin.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_to_the_rate_and_idle_time_is_not_saved_up() {
        let (pace, start) = (Pace::new(1000), Instant::now());
        let mut now = start;
        for _ in 0..20 {
            now += pace.book(500, now);
        }
        let took = now - start;
        assert!(took > Duration::from_secs(9) && took <= Duration::from_secs(10), "{took:?}");
        now += Duration::from_secs(100);
        let before = now;
        for _ in 0..3 {
            now += pace.book(500, now);
        }
        assert!(now - before >= Duration::from_millis(950), "{:?}", now - before);
    }

    #[test]
    fn no_rate_is_no_wait() {
        let pace = Pace::new(0);
        assert_eq!(pace.book(usize::MAX, Instant::now()), Duration::ZERO);
    }
}
