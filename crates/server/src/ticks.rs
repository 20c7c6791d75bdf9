//! When a tick of the consensus core is due.
//!
//! The core's thread wakes for every tick, but whoever has an input runs the core, and that may happen when the thread
//! has been held up: the machine is busy, or the process was stopped (SIGSTOP, a paused virtual machine) and goes on with
//! a message in hand. Where reads are served by lease, that must not be: a leader that slept through the end of its lease
//! would answer from a state that others have moved on from. So with leases every run of the core looks at the clock
//! first, *after* it has taken its inputs, and the ticks that are due come before everything else. A read in hand was
//! asked for before the clock was looked at, so that moment lies within it, and the lease that held then vouches for it.
//!
//! Without leases ticks only pace elections and heartbeats. Then the clock is looked at when the thread wakes, and ticks
//! missed by more than a few are forgotten: a machine that slept must not make a whole election timeout pass in one step.
//!
//! The clock is the one that goes on while the machine sleeps, where there is one.

use std::time::Duration;

use crate::shared::TICK;

/// Ticks made up for at once when reads need no lease.
const FEW: u32 = 3;

/// Ticks made up for at once when they do: many times the longest election timeout, after which one more tells a core
/// nothing that it does not know.
const MANY: u32 = 100_000;

/// The ticks of one core.
#[derive(Debug)]
pub struct Ticks {
    /// When the next one is due.
    next: Duration,
    /// Every run looks.
    leases: bool,
}

impl Ticks {
    /// From now on.
    pub fn begin(leases: bool) -> Self {
        Ticks { next: now() + TICK, leases }
    }

    /// How many ticks come before the inputs in hand; `woken` if the thread came for the time.
    pub fn due(&mut self, woken: bool) -> u32 {
        match woken || self.leases {
            true => self.due_at(now()),
            false => 0,
        }
    }

    fn due_at(&mut self, now: Duration) -> u32 {
        let Some(late) = now.checked_sub(self.next) else { return 0 };
        let due = u32::try_from(late.as_nanos() / TICK.as_nanos()).unwrap_or(u32::MAX).saturating_add(1);
        self.next += TICK * due;
        due.min(if self.leases { MANY } else { FEW })
    }
}

/// The time since some moment in the past.
fn now() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(CLOCK);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(leases: bool) -> Ticks {
        Ticks { next: TICK, leases }
    }

    #[test]
    fn every_tick_comes_once() {
        for leases in [false, true] {
            let mut ticks = ticks(leases);
            let at = |tenths: u32| TICK * tenths / 10;
            let due = [5, 9, 10, 11, 19, 25, 30, 59].map(|tenths| ticks.due_at(at(tenths)));
            assert_eq!(due, [0, 0, 1, 0, 0, 1, 1, 2]);
        }
    }

    #[test]
    fn a_long_stop_is_made_up_for_where_a_lease_may_have_ended_and_forgotten_elsewhere() {
        assert_eq!(ticks(true).due_at(TICK * 500), 500);
        let mut forgetful = ticks(false);
        assert_eq!((forgetful.due_at(TICK * 500), forgetful.due_at(TICK * 501)), (FEW, 1));
    }

    #[test]
    fn without_leases_only_the_thread_looks_at_the_clock() {
        let mut ticks = Ticks { next: now(), leases: false };
        std::thread::sleep(TICK);
        assert_eq!(ticks.due(false), 0);
        assert!(ticks.due(true) > 0);
        let mut careful = Ticks { next: now(), leases: true };
        assert!(careful.due(false) > 0);
    }
}
