//! The story of a run: a digest of all of it, and as text when somebody reads along.
//!
//! The digest takes in every event that the world processes, with its time, its node and its bytes. Two runs with
//! equal digests went the same way. It must not depend on anything but the seed: no addresses, no hash map's order,
//! no floating point, nothing that debug and release builds do differently.

use std::fmt::{Arguments, Write};

/// Takes the lines of a transcript.
pub type Sink<'a> = &'a mut dyn FnMut(&str);

/// A running digest, and the transcript if one is wanted.
pub struct Trace {
    hash: u64,
    events: u64,
    /// Lines not yet taken; none are made unless somebody reads.
    lines: Option<String>,
}

impl Trace {
    /// An empty story; `told` says whether text is wanted.
    pub fn new(told: bool) -> Self {
        Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, lines: told.then(String::new) }
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

    /// A line of the transcript. Free when nobody reads.
    pub fn tell(&mut self, at: u64, what: Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            let _ = writeln!(lines, "{:>4}.{:06} {what}", at / 1_000_000, at % 1_000_000);
        }
    }

    /// Whether somebody reads.
    pub fn told(&self) -> bool {
        self.lines.is_some()
    }

    /// Hand the lines over.
    pub fn flush(&mut self, sink: &mut Option<Sink<'_>>) {
        if let (Some(lines), Some(sink)) = (&mut self.lines, sink)
            && !lines.is_empty()
        {
            lines.lines().for_each(sink);
            lines.clear();
        }
    }
}

/// Tell a line: `tell!(env, "node {} starts", id)`.
macro_rules! tell {
    ($env:expr, $($what:tt)*) => {
        if $env.trace.told() {
            let now = $env.now;
            $env.trace.tell(now, format_args!($($what)*));
        }
    };
}
pub(crate) use tell;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_events_matters() {
        let (mut a, mut b) = (Trace::new(false), Trace::new(false));
        a.event(1, 10, 1, 7);
        a.event(2, 10, 1, 7);
        b.event(2, 10, 1, 7);
        b.event(1, 10, 1, 7);
        assert_ne!(a.hash(), b.hash());
        assert_eq!(a.events(), 2);
    }
}
