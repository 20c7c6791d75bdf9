//! The story of a run: a digest of all of it, and every happening when somebody reads along.
//!
//! The digest takes in every event that the world processes, with its time, its node and its bytes. Two runs with
//! equal digests went the same way. It must not depend on anything but the seed: no addresses, no hash map's order,
//! no floating point, nothing that debug and release builds do differently; nor on whether somebody reads along.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quorate_checker::digest;

use crate::label::of_parcel;
use crate::story::{Fate, Happening, Moment};

/// Takes what happens, one after the other.
pub type Sink<'a> = &'a mut dyn FnMut(&Moment);

/// Messages on their way: what was sent from where to where, and its number.
type UnderWay = BTreeMap<(usize, usize, u64), VecDeque<u64>>;

/// A running digest, and the story if one is wanted.
pub struct Trace {
    hash: u64,
    events: u64,
    /// What messages are to be read as.
    protocol: &'static str,
    /// What happened and was not yet taken; nothing is kept unless somebody reads.
    moments: Option<Vec<Moment>>,
    sent: u64,
    under_way: UnderWay,
}

impl Trace {
    /// An empty story; `told` says whether somebody reads, `protocol` what the nodes speak.
    pub fn new(told: bool, protocol: &'static str) -> Self {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            events: 0,
            protocol,
            moments: told.then(Vec::new),
            sent: 0,
            under_way: UnderWay::default(),
        }
    }

    /// The digest so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// An event of `kind` at a place and time, with a number that stands for its content.
    pub fn event(&mut self, kind: u8, at: u64, place: u64, content: u64) {
        self.events += 1;
        for word in [u64::from(kind), at, place, content] {
            self.mix(word);
        }
    }

    /// More of the content of the present event.
    pub fn mix(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 29);
    }

    /// Whether somebody reads.
    pub fn told(&self) -> bool {
        self.moments.is_some()
    }

    /// Tell something. Free when nobody reads.
    pub fn tell(&mut self, at: u64, what: Happening) {
        if let Some(moments) = &mut self.moments {
            moments.push(Moment { at, what });
        }
    }

    /// A node sends a message, which arrives at these times.
    pub fn sends(&mut self, at: u64, from: usize, to: usize, bytes: &Bytes, fate: Fate) {
        if !self.told() {
            return;
        }
        self.sent += 1;
        if let Fate::Arrives(times) = &fate {
            let waiting = self.under_way.entry((from, to, digest(bytes))).or_default();
            waiting.extend(times.iter().map(|_| self.sent));
        }
        let label = of_parcel(self.protocol, bytes);
        let (id, from, to) = (self.sent, from as u64 + 1, to as u64 + 1);
        self.tell(at, Happening::Send { id, from, to, label, fate });
    }

    /// A message arrives, unless there is a reason why it does not.
    pub fn arrives(&mut self, at: u64, from: usize, to: usize, bytes: &Bytes, why_not: Option<&'static str>) {
        if !self.told() {
            return;
        }
        let key = (from, to, digest(bytes));
        let id = self.under_way.get_mut(&key).and_then(VecDeque::pop_front);
        if self.under_way.get(&key).is_some_and(VecDeque::is_empty) {
            self.under_way.remove(&key);
        }
        let (from, to) = (from as u64 + 1, to as u64 + 1);
        let what = match why_not {
            Some(why) => Happening::Vanish { id, from, to, why },
            None => Happening::Receive { id, from, to, label: of_parcel(self.protocol, bytes) },
        };
        self.tell(at, what);
    }

    /// Hand over what happened.
    pub fn flush(&mut self, sink: &mut Option<Sink<'_>>) {
        if let (Some(moments), Some(sink)) = (&mut self.moments, sink) {
            moments.drain(..).for_each(|moment| sink(&moment));
        }
    }
}

/// Tell what happened: `note!(env, Happening::Peace)`. What is told is not even made when nobody reads.
macro_rules! note {
    ($env:expr, $what:expr) => {
        if $env.trace.told() {
            let (now, what) = ($env.now, $what);
            $env.trace.tell(now, what);
        }
    };
}
pub(crate) use note;

/// Tell it in words: `tell!(env, "node {} rubs its eyes", id)`.
macro_rules! tell {
    ($env:expr, $($what:tt)*) => {
        $crate::trace::note!($env, $crate::story::Happening::Note { text: format!($($what)*) })
    };
}
pub(crate) use tell;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_events_matters() {
        let (mut a, mut b) = (Trace::new(false, "raft"), Trace::new(false, "raft"));
        a.event(1, 10, 1, 7);
        a.event(2, 10, 1, 7);
        b.event(2, 10, 1, 7);
        b.event(1, 10, 1, 7);
        assert_ne!(a.hash(), b.hash());
        assert_eq!(a.events(), 2);
    }
}
