//! A queue per link. Nothing moves by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_protocol::NodeId;

use crate::disk::Image;

/// A message under way.
#[derive(Clone, Debug)]
pub struct Packet<M> {
    /// The message.
    pub message: M,
    /// The state machine's image, if the message carries one.
    pub image: Option<Image>,
    /// The sender's life when it was sent.
    pub life: u64,
}

/// The links' queues.
#[derive(Debug)]
pub struct Network<M> {
    queues: BTreeMap<(NodeId, NodeId), VecDeque<Packet<M>>>,
    cut: BTreeSet<(NodeId, NodeId)>,
}

impl<M> Default for Network<M> {
    fn default() -> Self {
        Network { queues: BTreeMap::new(), cut: BTreeSet::new() }
    }
}

impl<M: Clone> Network<M> {
    /// Put a packet on its link. Answers false if the link is cut and the packet is lost.
    pub fn send(&mut self, from: NodeId, to: NodeId, packet: Packet<M>) -> bool {
        if self.is_cut(from, to) {
            return false;
        }
        self.queues.entry((from, to)).or_default().push_back(packet);
        true
    }

    /// Take a packet off a link.
    pub fn take(&mut self, from: NodeId, to: NodeId, at: usize) -> Option<Packet<M>> {
        self.queues.get_mut(&(from, to))?.remove(at)
    }

    /// Put a copy of a packet at the end of its link's queue. Answers whether there was one.
    pub fn duplicate(&mut self, from: NodeId, to: NodeId, at: usize) -> bool {
        let Some(queue) = self.queues.get_mut(&(from, to)) else { return false };
        let Some(copy) = queue.get(at).cloned() else { return false };
        queue.push_back(copy);
        true
    }

    /// The queue of a link.
    pub fn queue(&self, from: NodeId, to: NodeId) -> impl Iterator<Item = &Packet<M>> {
        self.queues.get(&(from, to)).into_iter().flatten()
    }

    /// Links with something in their queues.
    pub fn busy(&self) -> Vec<(NodeId, NodeId)> {
        self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(&link, _)| link).collect()
    }

    /// Lose what is under way between two nodes, both ways.
    pub fn clear(&mut self, a: NodeId, b: NodeId) {
        self.queues.remove(&(a, b));
        self.queues.remove(&(b, a));
    }

    /// Whether a link is cut.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Cut a link in one direction: what is sent from now on is lost. What is under way may still arrive.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    /// Mend every link for which `mends` says so.
    pub fn heal(&mut self, mends: impl Fn(NodeId, NodeId) -> bool) {
        self.cut.retain(|&(from, to)| !mends(from, to));
    }
}
