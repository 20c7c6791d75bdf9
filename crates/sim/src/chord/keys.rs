//! The keys a node holds, and how they are handed over.
//!
//! Who hands keys over keeps them until the other says that it holds them; what is not answered is offered again, and given up
//! after a while: keys that are held outside of a node's range are found by its sweeps and offered to whoever is responsible
//! by then. A key that comes back while it is offered is taken out of the offer, or the late answer to that would lose it.

use std::collections::{BTreeMap, BTreeSet};

use quorate_chord::{Id, Peer};
use quorate_protocol::NodeId;

use super::said::Said;

/// Between two tries, in ticks.
const AGAIN_TICKS: u64 = 12;
/// Tries before it is given up.
const TRIES: u32 = 5;

/// Keys under way to another node.
#[derive(Debug)]
struct Offer {
    to: NodeId,
    keys: Vec<u64>,
    tries: u32,
    at: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Keys {
    pub held: BTreeSet<u64>,
    offers: BTreeMap<u64, Offer>,
    number: u64,
}

impl Keys {
    pub fn new(held: BTreeSet<u64>) -> Self {
        Keys { held, ..Keys::default() }
    }

    /// Keys of this range are another's.
    pub fn give(&mut self, from: Id, upto: Id, to: Peer, now: u64) {
        let keys: Vec<u64> = self.held.iter().copied().filter(|key| Id(*key).within(from, upto)).collect();
        self.offer(keys, to.node, now);
    }

    pub fn offer(&mut self, mut keys: Vec<u64>, to: NodeId, now: u64) {
        keys.retain(|key| !self.is_offered(*key));
        if !keys.is_empty() {
            self.number += 1;
            self.offers.insert(self.number, Offer { to, keys, tries: 0, at: now });
        }
    }

    /// Whether a key is under way.
    pub fn is_offered(&self, key: u64) -> bool {
        self.offers.values().any(|offer| offer.keys.contains(&key))
    }

    /// Whether a key is under way to this one.
    pub fn is_offered_to(&self, key: u64, to: NodeId) -> bool {
        self.offers.values().any(|offer| offer.to == to && offer.keys.contains(&key))
    }

    /// What is to be sent now.
    pub fn due(&mut self, now: u64) -> Vec<(NodeId, Said)> {
        let mut said = Vec::new();
        for (number, offer) in self.offers.iter_mut().filter(|(_, offer)| offer.at <= now) {
            (offer.tries, offer.at) = (offer.tries + 1, now + AGAIN_TICKS);
            if offer.tries <= TRIES {
                said.push((offer.to, Said::Keys { number: *number, keys: offer.keys.clone() }));
            }
        }
        self.offers.retain(|_, offer| offer.tries <= TRIES && !offer.keys.is_empty());
        said
    }

    /// These have come.
    pub fn take(&mut self, keys: &[u64]) {
        self.held.extend(keys);
        for offer in self.offers.values_mut() {
            offer.keys.retain(|key| !keys.contains(key));
        }
    }

    /// The other holds them.
    pub fn took(&mut self, from: NodeId, number: u64) {
        if self.offers.get(&number).is_some_and(|offer| offer.to == from)
            && let Some(offer) = self.offers.remove(&number)
        {
            for key in offer.keys {
                self.held.remove(&key);
            }
        }
    }

    /// They are taken for handed over without an answer: a mistake.
    pub fn forget_offered(&mut self) {
        for offer in self.offers.values().filter(|offer| offer.tries > 0) {
            for key in &offer.keys {
                self.held.remove(key);
            }
        }
        self.offers.retain(|_, offer| offer.tries == 0);
    }
}
