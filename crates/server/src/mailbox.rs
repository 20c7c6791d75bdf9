//! The queues between a node's threads.
//!
//! Many senders, one receiver, which takes *everything* that has gathered at once: that is what makes
//! batches grow with the load. The receiver sleeps as soon as there is nothing to do. The usual channel
//! libraries spin for a while first, which pays where there are more processors than busy threads; a
//! cluster of small machines has it the other way round (measured in docs/benchmarks.md: a seventh of all
//! processor time went into spinning).

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
struct Inner<T> {
    queue: Mutex<Queue<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    items: Vec<T>,
    /// The receiver sleeps, and somebody must wake it.
    asleep: bool,
    /// The receiver is gone, and with it whoever could care.
    closed: bool,
}

/// Puts things into a mailbox.
#[derive(Debug)]
pub struct Sender<T>(Arc<Inner<T>>);

/// Takes things out of a mailbox.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Inner<T>>);

/// A mailbox.
pub fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Queue { items: Vec::new(), asleep: false, closed: false };
    let inner = Arc::new(Inner { queue: Mutex::new(queue), ready: Condvar::new() });
    (Sender(Arc::clone(&inner)), Receiver(inner))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Sender<T> {
    /// Put something in. If the receiver has ended there is nobody to be told, and it is dropped.
    pub fn send(&self, item: T) {
        self.offer(item, usize::MAX);
    }

    /// Put something in unless `max` things wait already; answers whether it went in.
    pub fn offer(&self, item: T, max: usize) -> bool {
        let mut queue = self.0.queue.lock();
        if queue.closed || queue.items.len() >= max {
            return false;
        }
        queue.items.push(item);
        let wake = std::mem::take(&mut queue.asleep);
        drop(queue);
        if wake {
            self.0.ready.notify_one();
        }
        true
    }
}

impl<T> Receiver<T> {
    /// Wait until there is something, or until `deadline`, and take all of it into `items`, which must be
    /// empty. What `items` had room for is reused, so that a busy mailbox allocates nothing.
    pub fn take_all(&self, items: &mut Vec<T>, deadline: Option<Instant>) {
        debug_assert!(items.is_empty(), "what was taken before has been dealt with");
        let mut queue = self.0.queue.lock();
        while queue.items.is_empty() {
            queue.asleep = true;
            let timed_out = match deadline {
                Some(deadline) => self.0.ready.wait_until(&mut queue, deadline).timed_out(),
                None => {
                    self.0.ready.wait(&mut queue);
                    false
                }
            };
            queue.asleep = false;
            if timed_out {
                break;
            }
        }
        std::mem::swap(&mut queue.items, items);
    }

    /// Whether nothing waits at the moment.
    pub fn is_empty(&self) -> bool {
        self.0.queue.lock().items.is_empty()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.closed = true;
        let old = std::mem::take(&mut queue.items);
        drop(queue);
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn everything_arrives_once_and_each_senders_things_in_order() {
        let (sender, receiver) = mailbox();
        let threads: Vec<_> = (0..4u64)
            .map(|who| {
                let sender = sender.clone();
                std::thread::spawn(move || (0..10_000u64).for_each(|n| sender.send((who, n))))
            })
            .collect();
        let (mut next, mut items) = ([0; 4], Vec::new());
        while next.iter().sum::<u64>() < 40_000 {
            receiver.take_all(&mut items, Some(Instant::now() + Duration::from_secs(10)));
            assert!(!items.is_empty(), "a send was lost or its wake-up was");
            for (who, n) in items.drain(..) {
                assert_eq!(n, next[who as usize]);
                next[who as usize] += 1;
            }
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a sender does not panic"));
    }

    #[test]
    fn bounds_deadlines_and_ends_are_kept() {
        let (sender, receiver) = mailbox();
        assert!(sender.offer(1, 2) && sender.offer(2, 2) && !sender.offer(3, 2));
        let mut items = Vec::new();
        receiver.take_all(&mut items, None);
        assert_eq!(items, [1, 2]);
        items.clear();
        receiver.take_all(&mut items, Some(Instant::now() + Duration::from_millis(5)));
        assert_eq!(items, []);
        drop(receiver);
        assert!(!sender.offer(4, 2));
    }
}
