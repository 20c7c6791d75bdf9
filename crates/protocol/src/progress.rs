//! How far a peer's log has come, as its leader knows it, and what may be sent to it now.
//!
//! A peer is *probed* with one message at a time until it is known where its log agrees with ours, then
//! *replicated* to with several in flight, or brought up by a *snapshot* when what it needs is gone
//! (the three states, and their names, are those of etcd's raft).
//!
//! # Batching on completion
//!
//! While a message is in flight to a replicating peer, what is proposed meanwhile waits and goes out as one
//! message when the answer arrives; a second message is only put in flight when it is full. Measured, this
//! beats a wide window wherever a round trip costs no more than an fsync (docs/raft.md), and when the link
//! is long the full messages widen the window by themselves.
//!
//! # Invariants
//!
//! 1. `matched < next`.
//! 2. `matched` never goes back within one leadership, but for a peer that says its disk has lost what it had
//!    acknowledged.

use alloc::collections::VecDeque;

use crate::ids::Index;

/// What is being done with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pace {
    /// Looking for where the logs agree; `paused` while a probe is unanswered.
    Probe {
        /// A probe is out.
        paused: bool,
    },
    /// Sending entries as they come.
    Replicate,
    /// Waiting for a snapshot to be made, sent and taken.
    Snapshot {
        /// Where it stands; `None` while it is being made.
        at: Option<Index>,
    },
}

/// One peer's progress.
#[derive(Clone, Debug, Hash)]
pub struct Progress {
    /// Its log agrees with ours up to here.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
    /// What is being done with it.
    pub pace: Pace,
    /// It has been heard from since the leader last took stock.
    pub active: bool,
    /// The latest read round it has confirmed.
    pub round: u64,
    /// Last index of each message in flight.
    inflight: VecDeque<Index>,
}

impl Progress {
    /// A peer of which nothing is known but that our log ends before `next`.
    pub fn new(next: Index) -> Self {
        Progress {
            matched: Index(0),
            next,
            pace: Pace::Probe { paused: false },
            active: false,
            round: 0,
            inflight: VecDeque::new(),
        }
    }

    /// Messages in flight.
    pub fn inflight(&self) -> usize {
        self.inflight.len()
    }

    /// Whether a message with entries may go out; `full` says whether it would be as large as they get.
    pub fn may_send(&self, full: bool, max_inflight: usize) -> bool {
        match self.pace {
            Pace::Probe { paused } => !paused,
            Pace::Replicate => self.inflight.is_empty() || (full && self.inflight.len() < max_inflight),
            Pace::Snapshot { .. } => false,
        }
    }

    /// A message whose last entry is `last` (or with none: the entry before `next`) went out.
    pub fn sent(&mut self, last: Index) {
        match &mut self.pace {
            Pace::Probe { paused } => *paused = true,
            Pace::Replicate if last >= self.next => {
                self.next = last.next();
                self.inflight.push_back(last);
            }
            Pace::Replicate | Pace::Snapshot { .. } => {}
        }
    }

    /// The peer's log agrees up to `index`. Answers whether that is news.
    pub fn acknowledged(&mut self, index: Index) -> bool {
        let news = index > self.matched;
        self.matched = self.matched.max(index);
        self.next = self.next.max(self.matched.next());
        while self.inflight.front().is_some_and(|&last| last <= index) {
            self.inflight.pop_front();
        }
        match self.pace {
            Pace::Probe { .. } => self.replicate(),
            Pace::Snapshot { at: Some(at) } if self.matched >= at => self.replicate(),
            _ => {}
        }
        news
    }

    /// The peer does not have the entry before `rejected.next()`; the logs may agree at `hint`. Answers
    /// whether the rejection was about something still in question.
    pub fn rejected(&mut self, rejected: Index, hint: Index) -> bool {
        let stale = match self.pace {
            Pace::Replicate => rejected <= self.matched,
            // What was acknowledged as durable is not asked for again: a peer that lacks it has lost its
            // disk, and sending it probe after probe would not bring that back.
            Pace::Probe { .. } => rejected.next() != self.next || rejected <= self.matched,
            Pace::Snapshot { .. } => true,
        };
        if !stale {
            self.probe_from(hint.next());
        }
        !stale
    }

    /// The peer's disk has lost entries: its log agrees up to `index` at most. Answers whether that is news.
    pub fn lost(&mut self, index: Index) -> bool {
        let news = index < self.matched;
        if news {
            self.matched = index;
            self.next = index.next();
            self.inflight.clear();
            self.pace = Pace::Probe { paused: false };
        }
        news
    }

    /// Whether a probe or something in flight is unanswered.
    pub fn waits(&self) -> bool {
        match self.pace {
            Pace::Probe { paused } => paused,
            Pace::Replicate => !self.inflight.is_empty(),
            Pace::Snapshot { .. } => false,
        }
    }

    /// What was in flight may be lost: ask again. A probe is repeated where it was, for nothing has been
    /// learned that would move it; a stream starts again from what is known; a snapshot may have arrived
    /// though its acknowledgement did not, which a probe behind it will show.
    pub fn probe(&mut self) {
        match self.pace {
            Pace::Probe { .. } => self.pace = Pace::Probe { paused: false },
            Pace::Replicate | Pace::Snapshot { at: None } => self.probe_from(self.matched.next()),
            Pace::Snapshot { at: Some(at) } => self.probe_from(at.next()),
        }
    }

    /// A snapshot could not be handed over. To be started again when the peer is next heard, not at once.
    pub fn snapshot_failed(&mut self) {
        if matches!(self.pace, Pace::Snapshot { .. }) {
            self.probe_from(self.matched.next());
            self.pace = Pace::Probe { paused: true };
        }
    }

    /// Wait for a snapshot.
    pub fn snapshot(&mut self) {
        self.inflight.clear();
        self.pace = Pace::Snapshot { at: None };
    }

    fn probe_from(&mut self, next: Index) {
        self.next = next.max(self.matched.next());
        self.inflight.clear();
        self.pace = Pace::Probe { paused: false };
    }

    fn replicate(&mut self) {
        self.inflight.clear();
        self.next = self.matched.next();
        self.pace = Pace::Replicate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_one_message_and_an_answer_opens_the_stream() {
        let mut peer = Progress::new(Index(10));
        assert!(peer.may_send(false, 4));
        peer.sent(Index(9));
        assert!(!peer.may_send(true, 4), "one probe at a time");
        assert!(peer.rejected(Index(9), Index(5)));
        assert_eq!(peer.next, Index(6));
        assert!(!peer.rejected(Index(9), Index(5)), "the same rejection again is stale");
        assert!(peer.acknowledged(Index(5)));
        assert_eq!((peer.pace, peer.next), (Pace::Replicate, Index(6)));
    }

    #[test]
    fn a_lost_probe_is_repeated_where_it_was() {
        let mut peer = Progress::new(Index(10));
        peer.sent(Index(9));
        assert!(peer.waits());
        peer.probe();
        assert_eq!((peer.pace, peer.next), (Pace::Probe { paused: false }, Index(10)));
        peer.acknowledged(Index(9));
        peer.sent(Index(12));
        assert!(peer.waits());
        peer.probe();
        assert_eq!((peer.next, peer.inflight()), (Index(10), 0), "a stream starts again after what matched");
    }

    #[test]
    fn a_snapshot_may_have_arrived_unacknowledged() {
        let mut peer = Progress::new(Index(1));
        peer.snapshot();
        peer.pace = Pace::Snapshot { at: Some(Index(7)) };
        peer.probe();
        assert_eq!(peer.next, Index(8));
        assert!(peer.rejected(Index(7), Index(0)), "it had not arrived");
        assert_eq!(peer.next, Index(1));
        peer.snapshot();
        peer.snapshot_failed();
        assert_eq!((peer.pace, peer.next), (Pace::Probe { paused: true }, Index(1)));
    }

    /// A peer whose disk was lost rejects what it once acknowledged: no storm of probes.
    #[test]
    fn what_was_acknowledged_is_not_probed_for_again() {
        let mut peer = Progress::new(Index(1));
        peer.acknowledged(Index(5));
        peer.probe();
        peer.sent(Index(5));
        assert!(!peer.rejected(Index(5), Index(0)));
        assert!(!peer.may_send(false, 4), "it waits for a heartbeat's answer");
    }

    #[test]
    fn a_second_message_waits_unless_full() {
        let mut peer = Progress::new(Index(1));
        peer.acknowledged(Index(0));
        peer.sent(Index(3));
        assert!(!peer.may_send(false, 4));
        assert!(peer.may_send(true, 2));
        peer.sent(Index(6));
        assert!(!peer.may_send(true, 2), "the window is full");
        peer.acknowledged(Index(3));
        assert_eq!(peer.inflight(), 1);
        peer.acknowledged(Index(6));
        assert!(peer.may_send(false, 2));
    }
}
