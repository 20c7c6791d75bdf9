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
    waiting: Mutex<HashMap<u64, oneshot::Sender<T>>>,
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

    /// Take a place, if there is one.
    pub fn register(&self) -> Option<Waiter<'_, T>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.max {
            return None;
        }
        // A waiter of a node that stops is given up at once: its sender is dropped here.
        if !self.closed.load(Ordering::SeqCst) {
            waiting.insert(number, sender);
        }
        drop(waiting);
        Some(Waiter { waiters: self, number, receiver, done: false })
    }

    /// Give everybody up who waits, and take nobody in any more: the node stops.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.waiting.lock().clear();
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
            if let Some(sender) = waiting.remove(&number) {
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
