//! Who waits for what.
//!
//! A request that goes through the log is named by (node, number); the node that proposed it keeps a waiter
//! under the number until the entry is applied here or the client gives up. Reads wait the same way. The
//! number of waiters is bounded: what a node cannot answer in time it must refuse, not queue.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Waiters for values of one kind.
#[derive(Debug)]
pub struct Waiters<T> {
    next: AtomicU64,
    max: usize,
    closed: AtomicBool,
    /// By number: who waits, and which leader is to answer, 0 where that is not known.
    waiting: Mutex<HashMap<u64, (u64, oneshot::Sender<T>)>>,
}

/// A place in [`Waiters`]; gives itself up when dropped.
#[derive(Debug)]
pub struct Waiter<'a, T> {
    waiters: &'a Waiters<T>,
    number: u64,
    receiver: oneshot::Receiver<T>,
    done: bool,
}

impl<T> Waiters<T> {
    /// At most `max` at a time, numbered from `first`, which should differ between lives of a node.
    pub fn new(first: u64, max: usize) -> Self {
        Waiters {
            next: AtomicU64::new(first),
            max,
            closed: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Take a place, if there is one, to wait for what this leader makes of it (0: whoever).
    pub fn register(&self, leader: u64) -> Option<Waiter<'_, T>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.max {
            return None;
        }
        // A waiter of a node that stops is given up at once: its sender is dropped here.
        if !self.closed.load(Ordering::SeqCst) {
            waiting.insert(number, (leader, sender));
        }
        drop(waiting);
        Some(Waiter { waiters: self, number, receiver, done: false })
    }

    /// Give everybody up who waits, and take nobody in any more: the node stops.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.waiting.lock().clear();
    }

    /// The number that comes next.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The numbers before this one under which somebody waits for another leader than `leader`.
    pub fn left_behind(&self, before: u64, leader: u64) -> Vec<u64> {
        let waiting = self.waiting.lock();
        let left = |(&number, &(to, _)): (&u64, &(u64, _))| {
            (number < before && to != 0 && to != leader).then_some(number)
        };
        waiting.iter().filter_map(left).collect()
    }

    /// A number nobody waits under.
    pub fn unwatched(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Give these their values; those nobody waits for any more are dropped.
    pub fn complete(&self, values: impl IntoIterator<Item = (u64, T)>) {
        let mut ready = Vec::new();
        let mut waiting = self.waiting.lock();
        for (number, value) in values {
            if let Some((_, sender)) = waiting.remove(&number) {
                ready.push((sender, value));
            }
        }
        drop(waiting);
        for (sender, value) in ready {
            // The receiver may have gone between: nothing is lost, it gave up.
            let _ = sender.send(value);
        }
    }
}

impl<T> Waiter<'_, T> {
    /// The number to be completed.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The value; `None` if the node stops first.
    pub async fn wait(mut self) -> Option<T> {
        let value = (&mut self.receiver).await.ok();
        self.done = true;
        value
    }
}

impl<T> Drop for Waiter<'_, T> {
    fn drop(&mut self) {
        if !self.done {
            self.waiters.waiting.lock().remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_another_leader_is_left_behind_and_who_waits_for_anybody_is_not() {
        let waiters: Waiters<()> = Waiters::new(10, 10);
        let places = [1, 2, 0, 1].map(|leader| waiters.register(leader).expect("a place"));
        let before = places[3].number();
        assert_eq!(waiters.left_behind(before, 2), [places[0].number()], "the last came later");
        waiters.complete([(places[0].number(), ())]);
        assert_eq!(waiters.left_behind(before, 2), [0; 0], "it has its answer");
        assert_eq!(waiters.left_behind(waiters.next(), 2), [before]);
    }
}
