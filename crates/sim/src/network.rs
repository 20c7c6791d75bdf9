//! The links between the nodes: bytes go in, and come out later, twice, damaged, in another order, or never.
//!
//! A parcel is what one send puts on the wire: a message's frame, or a piece of an image with what follows it. Links may
//! be cut, each direction for itself; a cut is looked at when a parcel leaves and when it arrives. When links
//! keep their order, a parcel is never overtaken by a later one on the same link, as with TCP. The pieces of an
//! image travel on a connection of their own, always in order and never twice.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};

use crate::env::{Env, Event};
use crate::node::NodeEvent;
use crate::report::Fault;
use crate::story::Fate;

/// A direction between two nodes.
pub type Link = (usize, usize);

/// The state of all links.
#[derive(Default)]
pub struct Network {
    cut: BTreeSet<Link>,
    /// Links that come and go, while they are gone.
    flapping: BTreeSet<Link>,
    /// Until when a link is slow, and by how much.
    slow: BTreeMap<Link, (u64, u64)>,
    /// The last arrival on each link: of messages, and of pieces of images.
    arrivals: [BTreeMap<Link, u64>; 2],
    /// Counts the cuts, so that a healing ends only its own.
    pub cuts: u64,
}

impl Network {
    /// Whether what `from` sends does not reach `to`.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to)) || self.flapping.contains(&(from, to))
    }

    /// Cut one direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// A link is gone for a moment, or there again.
    pub fn flap(&mut self, (a, b): Link, gone: bool) {
        for link in [(a, b), (b, a)] {
            if gone {
                self.flapping.insert(link)
            } else {
                self.flapping.remove(&link)
            };
        }
    }

    /// Slow one link down.
    pub fn slow_down(&mut self, link: Link, until: u64, by_us: u64) {
        self.slow.insert(link, (until, by_us));
    }

    /// Repair everything that was cut; answers the links.
    pub fn heal(&mut self) -> BTreeSet<Link> {
        self.cuts += 1;
        std::mem::take(&mut self.cut)
    }

    /// Nothing is wrong any more.
    pub fn end_trouble(&mut self) {
        self.flapping.clear();
        self.slow.clear();
    }
}

/// What is wrong with a parcel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spoiled {
    /// Nothing.
    #[default]
    No,
    /// A bit was damaged on the way.
    Damaged,
    /// Its sender speaks a version that the receiver does not know.
    Foreign,
}

/// What a byte costs on the wire, in microseconds for 1024 of them.
const US_PER_KIB: u64 = 10;

impl Env {
    /// Send a message.
    pub fn transmit(&mut self, from: usize, to: usize, bytes: Bytes, spoiled: Spoiled) {
        let faults = &self.swarm.faults;
        let (loss, duplicates) = (faults.loss, faults.duplicates);
        if self.lost(from, to, &bytes, loss) {
            return;
        }
        let twice = duplicates > 0 && self.dice.network.below(1000) < duplicates;
        let mut arrives = vec![self.deliver(from, to, bytes.clone(), spoiled)];
        if twice {
            self.stats.fault(Fault::Duplicate);
            arrives.push(self.deliver(from, to, bytes.clone(), spoiled));
        }
        self.trace.sends(self.now, from, to, &bytes, Fate::Arrives(arrives));
    }

    /// Send a piece of an image; answers whether it is on its way.
    pub fn transmit_piece(&mut self, from: usize, to: usize, bytes: Bytes) -> bool {
        if self.lost(from, to, &bytes, self.swarm.faults.loss / 10) {
            return false;
        }
        let delay = self.delay(from, to, bytes.len());
        let last = self.network.arrivals[1].entry((from, to)).or_default();
        *last = (self.now + delay).max(*last + 1);
        let arrives = *last;
        let wait = arrives - self.now;
        self.trace.sends(self.now, from, to, &bytes, Fate::Arrives(vec![arrives]));
        let event = NodeEvent::Parcel { from, bytes, spoiled: Spoiled::No };
        self.after(wait, Event::Node { node: to, life: None, event });
        true
    }

    /// A process began anew: the connections to its former life break, and some peers notice when they use them.
    pub fn reset_links(&mut self, of: usize) {
        for node in (0..self.places).filter(|&node| node != of) {
            self.may_notice_reset(node, of);
        }
    }

    /// Repair all links. Some of the connections over those that were cut have broken meanwhile.
    pub fn heal_links(&mut self) {
        for (node, peer) in self.network.heal() {
            self.may_notice_reset(node, peer);
        }
    }

    fn may_notice_reset(&mut self, node: usize, peer: usize) {
        if self.dice.network.percent(50) {
            let delay = self.dice.network.between(100, 5_000);
            let event = NodeEvent::LinkReset { peer };
            self.after(delay, Event::Node { node, life: None, event });
        }
    }

    /// A connection ends, and both ends are told.
    pub fn reset_both(&mut self, a: usize, b: usize) {
        for (node, peer) in [(a, b), (b, a)] {
            self.after(500, Event::Node { node, life: None, event: NodeEvent::LinkReset { peer } });
        }
    }

    /// Whether a parcel is never to arrive.
    fn lost(&mut self, from: usize, to: usize, bytes: &Bytes, loss: u64) -> bool {
        if self.network.is_cut(from, to) {
            self.stats.fault(Fault::Cut);
            self.trace.sends(self.now, from, to, bytes, Fate::Cut);
            return true;
        }
        if loss > 0 && self.dice.network.below(1000) < loss {
            self.stats.fault(Fault::Loss);
            self.trace.sends(self.now, from, to, bytes, Fate::Lost);
            return true;
        }
        false
    }

    fn delay(&mut self, from: usize, to: usize, bytes: usize) -> u64 {
        let pace = &self.swarm.pace;
        let mut delay = Env::within(&mut self.dice.network, pace.network_us);
        if pace.tail_percent > 0 && self.dice.network.percent(pace.tail_percent) {
            self.stats.fault(Fault::Slow);
            delay += self.dice.network.below(pace.tail_us + 1);
        }
        if let Some((until, by_us)) = self.network.slow.get(&(from, to))
            && self.now < *until
        {
            delay += by_us;
        }
        delay + bytes as u64 * US_PER_KIB / 1024
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: Bytes, spoiled: Spoiled) -> u64 {
        let mut at = self.now + self.delay(from, to, bytes.len());
        let fifo = self.swarm.pace.fifo;
        let last = self.network.arrivals[0].entry((from, to)).or_default();
        if at <= *last && fifo {
            at = *last + 1;
        } else if at < *last {
            self.stats.fault(Fault::Reorder);
        }
        *last = at.max(*last);
        let (bytes, spoiled) = self.damage(bytes, spoiled);
        let event = NodeEvent::Parcel { from, bytes, spoiled };
        self.after(at - self.now, Event::Node { node: to, life: None, event });
        at
    }

    /// Perhaps flip a bit.
    fn damage(&mut self, bytes: Bytes, spoiled: Spoiled) -> (Bytes, Spoiled) {
        let corrupt = self.swarm.faults.corrupt;
        if corrupt == 0 || self.dice.network.below(10_000) >= corrupt {
            return (bytes, spoiled);
        }
        let bit = self.dice.network.below(bytes.len() as u64 * 8);
        let mut damaged = BytesMut::from(bytes.as_ref());
        damaged[bit as usize / 8] ^= 1 << (bit % 8);
        self.stats.fault(Fault::Corrupt);
        (damaged.freeze(), Spoiled::Damaged)
    }
}
