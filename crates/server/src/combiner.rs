//! A value that whoever has something for it runs.
//!
//! Waking a thread costs more than most of what the consensus core and the state machine have to do. So they are not
//! owned by threads: inputs go into a mailbox, and the thread that puts one in also carries the value's work out,
//! unless somebody is at it already, who then finds the new input before leaving (this is known as *flat combining*:
//! Hendler, Incze, Shavit, Tzafrir, "Flat combining and the synchronization-parallelism tradeoff", SPAA
//! 2010). A thread of its own remains as the one that takes over when there is a lot to do, so that nobody is kept from
//! what it came from, and that looks after time.
//!
//! # Invariants
//!
//! 1. An input is worked on once, in the order of the puts.
//! 2. A value that has ended is never run again; what comes later is dropped.
//! 3. After [`Combiner::submit`] returns, the input has been worked on, or somebody is at work and will, or the thread
//!    has been woken for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// How many times a guest looks for more before it leaves the rest to the thread.
const GUEST_ROUNDS: usize = 4;

/// What a combiner runs.
pub trait Work: Send {
    /// What it works on.
    type Input: Send;

    /// Work on these; leaves `inputs` empty. Answers false when it has ended for good.
    fn work(&mut self, inputs: &mut Vec<Self::Input>) -> bool;
}

/// A value with a mailbox.
pub struct Combiner<W: Work> {
    inputs: Mutex<Vec<W::Input>>,
    value: Mutex<Value<W>>,
    ended: AtomicBool,
    /// The thread's alarm clock: true when it was woken and has not looked yet.
    woken: Mutex<bool>,
    alarm: Condvar,
}

struct Value<W: Work> {
    work: W,
    /// Taken inputs; kept for its room.
    taken: Vec<W::Input>,
}

impl<W: Work> Combiner<W> {
    /// Around a value.
    pub fn new(work: W) -> Self {
        Combiner {
            inputs: Mutex::default(),
            value: Mutex::new(Value { work, taken: Vec::new() }),
            ended: AtomicBool::new(false),
            woken: Mutex::new(false),
            alarm: Condvar::new(),
        }
    }

    /// Put an input in without working on it: something else is sure to come soon.
    pub fn put(&self, input: W::Input) {
        self.inputs.lock().push(input);
    }

    /// Put an input in and see that it is worked on.
    pub fn submit(&self, input: W::Input) {
        self.put(input);
        self.visit();
    }

    /// Put an input in and leave the work to the thread.
    pub fn leave(&self, input: W::Input) {
        self.put(input);
        self.wake();
    }

    /// Work on what waits, as a guest.
    pub fn visit(&self) {
        for _ in 0..GUEST_ROUNDS {
            if self.run() {
                return;
            }
        }
        self.wake();
    }

    /// Work until there is nothing left, then sleep until woken or `deadline`. For the thread. Answers false
    /// when the value has ended.
    pub fn attend(&self, deadline: Option<Instant>) -> bool {
        while !self.run() {}
        let mut woken = self.woken.lock();
        while !*woken && !self.ended.load(Ordering::SeqCst) {
            match deadline {
                Some(deadline) if self.alarm.wait_until(&mut woken, deadline).timed_out() => break,
                Some(_) => {}
                None => self.alarm.wait(&mut woken),
            }
        }
        *woken = false;
        !self.ended.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        let mut woken = self.woken.lock();
        let wake = !std::mem::replace(&mut *woken, true);
        drop(woken);
        if wake {
            self.alarm.notify_one();
        }
    }

    /// One round; answers whether nothing is left for us to do.
    fn run(&self) -> bool {
        let Some(mut value) = self.value.try_lock() else { return true };
        let Value { work, taken } = &mut *value;
        std::mem::swap(&mut *self.inputs.lock(), taken);
        if self.ended.load(Ordering::SeqCst) {
            taken.clear();
        }
        if !taken.is_empty() && !work.work(taken) {
            self.ended.store(true, Ordering::SeqCst);
            self.wake();
        }
        taken.clear();
        drop(value);
        // Whoever came meanwhile has seen the lock taken and gone: look again after letting go of it.
        self.inputs.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    struct Sum {
        total: u64,
        count: u64,
        last: Vec<u64>,
        report: crossbeam_channel::Sender<(u64, u64)>,
        expected: u64,
    }

    impl Work for Sum {
        type Input = (usize, u64);
        fn work(&mut self, inputs: &mut Vec<(usize, u64)>) -> bool {
            for (who, n) in inputs.drain(..) {
                assert!(n > self.last[who], "each thread's inputs in order");
                self.last[who] = n;
                self.total += n;
                self.count += 1;
            }
            if self.count == self.expected {
                let _ = self.report.send((self.count, self.total));
            }
            self.count < self.expected
        }
    }

    #[test]
    fn what_has_ended_is_not_run_again() {
        let (report, reported) = crossbeam_channel::bounded(4);
        let sum = Sum { total: 0, count: 0, last: vec![0; 1], report, expected: 1 };
        let combiner = Combiner::new(sum);
        (1..=3).for_each(|n| combiner.submit((0, n)));
        assert_eq!(reported.try_iter().collect::<Vec<_>>(), [(1, 1)]);
        assert_eq!(combiner.value.lock().work.count, 1);
        assert!(!combiner.attend(None));
    }

    #[test]
    fn everything_is_worked_on_once_whoever_does_it() {
        const EACH: u64 = 20_000;
        let (report, reported) = crossbeam_channel::bounded(4);
        let sum = Sum { total: 0, count: 0, last: vec![0; 4], report, expected: 4 * EACH };
        let combiner = Arc::new(Combiner::new(sum));
        let thread = {
            let combiner = Arc::clone(&combiner);
            // No deadline: a lost wake-up would hang here and time the report out.
            std::thread::spawn(move || while combiner.attend(None) {})
        };
        for who in 0..4 {
            let combiner = Arc::clone(&combiner);
            std::thread::spawn(move || {
                for n in 1..=EACH {
                    match n % 3 {
                        0 => combiner.leave((who, n)),
                        _ => combiner.submit((who, n)),
                    }
                }
            });
        }
        let all = reported.recv_timeout(Duration::from_secs(20)).expect("an input was left lying");
        assert_eq!(all, (4 * EACH, 4 * EACH * (EACH + 1) / 2));
        thread.join().expect("the thread ends when the value does");
    }
}
