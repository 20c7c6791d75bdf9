//! The links between the nodes: bytes go in, and come out later, twice, in another order, or never.
//!
//! A parcel is what one send puts on the wire: a message's frame, with the frames of an image before it if it
//! carries one. Links may be cut, each direction for itself; a cut is looked at when a parcel leaves and when it
//! arrives. When links keep their order, a parcel is never overtaken by a later one on the same link, as with TCP.

use bytes::Bytes;

use crate::env::{Env, Event};
use crate::node::NodeEvent;
use crate::report::Fault;
use crate::trace::tell;

/// The state of all links.
pub struct Network {
    nodes: usize,
    cut: Vec<bool>,
    /// The last arrival on each link.
    arrivals: Vec<u64>,
    /// Counts the cuts, so that a healing ends only its own.
    pub cuts: u64,
}

impl Network {
    pub fn new(nodes: usize) -> Self {
        Network { nodes, cut: vec![false; nodes * nodes], arrivals: vec![0; nodes * nodes], cuts: 0 }
    }

    fn link(&self, from: usize, to: usize) -> usize {
        from * self.nodes + to
    }

    /// Whether what `from` sends does not reach `to`.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[self.link(from, to)]
    }

    /// Cut one direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        let link = self.link(from, to);
        self.cut[link] = true;
    }

    /// Repair everything; answers the links that were cut.
    pub fn heal(&mut self) -> Vec<(usize, usize)> {
        self.cuts += 1;
        let nodes = self.nodes;
        let cut =
            self.cut.iter_mut().enumerate().filter_map(|(link, cut)| std::mem::take(cut).then_some(link));
        cut.map(|link| (link / nodes, link % nodes)).collect()
    }
}

/// What one send puts on the wire.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Frames.
    pub bytes: Bytes,
    /// If it carries an image: the sender's life, which is to be told what became of it.
    pub image: Option<u64>,
}

/// What a byte costs on the wire, in microseconds for 1024 of them.
const US_PER_KIB: u64 = 10;

impl Env {
    /// Send a parcel.
    pub fn transmit(&mut self, from: usize, to: usize, parcel: Parcel) {
        let image = parcel.image;
        let arrives = self.arrival(from, to, &parcel);
        if let Some(life) = image {
            let (delay, ok) = arrives.map_or((20_000, false), |at| (at - self.now + 500, true));
            self.after_at(delay, from, life, NodeEvent::SnapshotSent { to, ok });
        }
    }

    /// A process began anew: the connections to its former life break, and some peers notice when they use them.
    pub fn reset_links(&mut self, of: usize) {
        for node in (0..self.swarm.nodes).filter(|&node| node != of) {
            if self.dice.network.percent(50) {
                let delay = self.dice.network.between(100, 5_000);
                let event = NodeEvent::LinkReset { peer: of };
                self.after(delay, Event::Node { node, life: None, event });
            }
        }
    }

    /// Repair all links. Some of the connections over those that were cut have broken meanwhile.
    pub fn heal_links(&mut self) {
        for (node, peer) in self.network.heal() {
            if self.dice.network.percent(50) {
                let delay = self.dice.network.between(100, 5_000);
                let event = NodeEvent::LinkReset { peer };
                self.after(delay, Event::Node { node, life: None, event });
            }
        }
    }

    /// Decide a parcel's fate; answers when it arrives, if it does.
    fn arrival(&mut self, from: usize, to: usize, parcel: &Parcel) -> Option<u64> {
        let faults = &self.swarm.faults;
        if self.network.is_cut(from, to) {
            self.stats.fault(Fault::Cut);
            return None;
        }
        if faults.loss > 0 && self.dice.network.below(1000) < faults.loss {
            self.stats.fault(Fault::Loss);
            tell!(self, "  a message from {} to {} is lost", from + 1, to + 1);
            return None;
        }
        let twice = faults.duplicates > 0 && self.dice.network.below(1000) < faults.duplicates;
        let at = self.deliver(from, to, &parcel.bytes);
        if twice {
            self.stats.fault(Fault::Duplicate);
            self.deliver(from, to, &parcel.bytes);
        }
        Some(at)
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: &Bytes) -> u64 {
        let pace = &self.swarm.pace;
        let mut delay = Env::within(&mut self.dice.network, pace.network_us);
        if pace.tail_percent > 0 && self.dice.network.percent(pace.tail_percent) {
            self.stats.fault(Fault::Slow);
            delay += self.dice.network.below(pace.tail_us + 1);
        }
        delay += bytes.len() as u64 * US_PER_KIB / 1024;
        let link = self.network.link(from, to);
        let mut at = self.now + delay;
        if pace.fifo {
            at = at.max(self.network.arrivals[link] + 1);
        }
        self.network.arrivals[link] = at;
        let event = NodeEvent::Parcel { from, bytes: bytes.clone() };
        self.after(at - self.now, Event::Node { node: to, life: None, event });
        at
    }
}
