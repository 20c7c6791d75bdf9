//! Messages that wait for a write.
//!
//! The one place where "durable before sent" is enforced: whoever carries out a core's effects puts every
//! send in here and sends only what comes out. Messages to one receiver leave in the order they were put
//! in, except that one which waits for nothing may pass others that wait.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::{NodeId, Seq};

/// Holds messages until the write they wait for is durable.
#[derive(Clone, Debug)]
pub struct Outbox<M> {
    durable: Seq,
    waiting: VecDeque<(Seq, NodeId, M)>,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Outbox { durable: Seq(0), waiting: VecDeque::new() }
    }
}

impl<M> Outbox<M> {
    /// Put a message in; it comes right back if there is nothing to wait for.
    #[must_use = "a message that comes back is to be sent now"]
    pub fn put(&mut self, to: NodeId, message: M, after: Seq) -> Option<(NodeId, M)> {
        if after <= self.durable {
            return Some((to, message));
        }
        self.waiting.push_back((after, to, message));
        None
    }

    /// Every write up to `seq` is durable: take out what waited for them.
    pub fn durable(&mut self, seq: Seq) -> Vec<(NodeId, M)> {
        assert!(seq >= self.durable, "durability is reported in order");
        self.durable = seq;
        let mut ready = Vec::new();
        let mut kept = VecDeque::new();
        // A core's waits ascend, so this is a prefix in practice; nothing depends on it.
        for (after, to, message) in self.waiting.drain(..) {
            match after <= seq {
                true => ready.push((to, message)),
                false => kept.push_back((after, to, message)),
            }
        }
        self.waiting = kept;
        ready
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_its_write() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.put(NodeId(1), "now", Seq(0)), Some((NodeId(1), "now")));
        assert_eq!(outbox.put(NodeId(1), "a", Seq(2)), None);
        assert_eq!(outbox.put(NodeId(2), "b", Seq(3)), None);
        assert_eq!(outbox.durable(Seq(1)), []);
        assert_eq!(outbox.durable(Seq(2)), [(NodeId(1), "a")]);
        assert_eq!(outbox.put(NodeId(1), "c", Seq(2)), Some((NodeId(1), "c")));
        assert_eq!(outbox.durable(Seq(7)), [(NodeId(2), "b")]);
        assert!(outbox.is_empty());
    }
}
