//! What a follower knows of its leader, of the session, and what of it came before its turn.
//!
//! A session's messages are taken in their order, but nobody makes the network keep it. What overtook others is held
//! back until its turn comes: as many messages as a leader has in flight at most, and no more bytes than it may have
//! uncommitted; if there is no room, what is furthest from its turn goes. Entries are told apart by the dense indexes, and the only
//! other message whose place matters is NEWLEADER, of which a session has one; what is committed is a fact of the epoch,
//! true in whatever order it is heard.
//!
//! Whether something is missing is known from what came too early and from heartbeats, which tell how far the session has
//! come. Only if for a heartbeat's time nothing of it comes in its turn does the follower ask to be synchronised again. It
//! names the last session it has heard of: if the leader has begun a later one since, the answer is on its way, and
//! another would only be in its way. So however often a question is repeated, and however long answers take, one question begins
//! one session.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use quorate_protocol::{Config, Entry, Index, LogId, NodeId};

use crate::message::Vote;

/// So many ticks have passed since something was asked for if nothing ever was.
const NEVER: u32 = u32::MAX / 2;

/// What a follower knows of its leader.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Following {
    pub leader: NodeId,
    /// The vote that elected it, if that is how it came to be followed.
    pub vote: Option<Vote>,
    /// It was elected because its predecessor asked for it.
    pub transfer: bool,
    /// Its present epoch was accepted.
    pub accepted: bool,
    /// The log is a prefix of its history.
    pub synced: bool,
    /// The session whose beginning has come; 0 before the first.
    pub session: u64,
    /// NEWLEADER was taken in it.
    pub led: bool,
    /// The last session of which anything was heard, which is this one or a later one.
    pub heard: u64,
    /// How far that one has come, as far as is known.
    sent: Index,
    /// NEWLEADER was sent in that one.
    sent_led: bool,
    /// What of that one came before its turn.
    pub early: Early,
    /// What the leader has committed, as far as it has told.
    pub told: Index,
    /// Ticks since something was last asked for or came in its turn, or since it was missed that something did not.
    pub asked: u32,
}

impl Following {
    pub fn new(leader: NodeId, vote: Option<Vote>, transfer: bool) -> Self {
        Following {
            leader,
            vote,
            transfer,
            accepted: false,
            synced: false,
            session: 0,
            led: false,
            heard: 0,
            sent: Index(0),
            sent_led: false,
            early: Early::default(),
            told: Index(0),
            asked: NEVER,
        }
    }

    /// The same leader in another epoch: nothing of its sessions goes on.
    pub fn anew(&self) -> Self {
        Following::new(self.leader, self.vote, self.transfer)
    }

    /// A session has begun.
    pub fn begin(&mut self, session: u64) {
        (self.synced, self.session, self.led, self.asked) = (true, session, false, 0);
    }

    /// A tick has passed; more than a heartbeat's time is not told apart.
    pub fn tick(&mut self, heartbeat_ticks: u32) {
        if self.asked < heartbeat_ticks {
            self.asked += 1;
        }
    }

    /// Whether something of the session has not come, where the own log ends with `last`.
    pub fn lacks(&self, last: Index) -> bool {
        let behind = self.sent > last || (self.sent_led && !self.led);
        self.session == 0 || self.session < self.heard || behind
    }

    /// Something of a session was heard: it has come so far. Answers whether there is no later session. What is missing
    /// may be on its way; the time it has begins when it is first missed.
    pub fn hear(&mut self, session: u64, sent: Index, led: bool, last: Index) -> bool {
        let whole = !self.lacks(last);
        let newer = session > self.heard;
        if newer {
            (self.heard, self.sent, self.sent_led) = (session, Index(0), false);
            self.early = Early::default();
        }
        if session == self.heard {
            self.sent = self.sent.max(sent);
            self.sent_led |= led;
        }
        if newer && self.asked < NEVER || whole && self.lacks(last) {
            self.asked = 0;
        }
        session == self.heard
    }
}

/// What of a session came before its turn.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Early {
    /// Entries by the index they follow.
    proposals: BTreeMap<Index, Vec<Entry>>,
    bytes: usize,
    /// NEWLEADER.
    pub led: Option<LogId>,
}

impl Early {
    /// Hold entries back that follow `prev`.
    pub fn hold(&mut self, prev: Index, entries: Vec<Entry>, config: &Config) {
        self.bytes += size(&entries);
        if let Some(before) = self.proposals.insert(prev, entries) {
            self.bytes -= size(&before);
        }
        while self.proposals.len() > config.max_inflight || self.bytes > config.max_uncommitted_bytes {
            let Some((_, furthest)) = self.proposals.pop_last() else { break };
            self.bytes -= size(&furthest);
        }
    }

    /// The first of the entries held back, if they follow something up to `last`.
    pub fn next(&mut self, last: Index) -> Option<(Index, Vec<Entry>)> {
        self.proposals.first_key_value().filter(|(prev, _)| **prev <= last)?;
        let first = self.proposals.pop_first();
        self.bytes -= first.as_ref().map_or(0, |(_, entries)| size(entries));
        first
    }
}

fn size(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.data.len()).sum()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use bytes::Bytes;
    use quorate_protocol::EntryKind;

    fn entries(first: u64) -> Vec<Entry> {
        let id = LogId { index: Index(first), ..LogId::default() };
        vec![Entry { id, kind: EntryKind::Command, data: Bytes::from_static(b"four") }]
    }

    fn held(config: &Config, prevs: &[u64]) -> Vec<u64> {
        let mut early = Early::default();
        prevs.iter().for_each(|&prev| early.hold(Index(prev), entries(prev + 1), config));
        let mut taken = Vec::new();
        while let Some((prev, _)) = early.next(Index(u64::MAX)) {
            taken.push(prev.0);
        }
        assert_eq!(early.bytes, 0);
        taken
    }

    #[test]
    fn what_is_furthest_from_its_turn_goes_first() {
        let mut config = Config::new(NodeId(1), vec![NodeId(1)]);
        assert_eq!(held(&config, &[3, 9, 5, 9, 4]), [3, 4, 5, 9]);
        config.max_inflight = 2;
        assert_eq!(held(&config, &[3, 9, 5, 9, 4]), [3, 4]);
        (config.max_inflight, config.max_uncommitted_bytes) = (64, 12);
        assert_eq!(held(&config, &[3, 9, 5, 9, 4]), [3, 4, 5]);
        config.max_uncommitted_bytes = 3;
        assert_eq!(held(&config, &[3]), []);
    }

    #[test]
    fn what_comes_early_waits_for_its_turn() {
        let config = Config::new(NodeId(1), vec![NodeId(1)]);
        let mut early = Early::default();
        early.hold(Index(3), entries(4), &config);
        assert_eq!(early.next(Index(2)), None);
        assert_eq!(early.next(Index(3)), Some((Index(3), entries(4))));
        assert_eq!(early.next(Index(3)), None);
    }

    #[test]
    fn what_is_missing_has_a_heartbeats_time_from_when_it_is_missed() {
        let mut following = Following::new(NodeId(1), None, false);
        assert!(following.lacks(Index(0)), "there is no session");
        assert!(following.hear(1, Index(0), false, Index(0)));
        assert!(following.asked >= NEVER, "nothing was ever asked for");
        following.begin(1);
        assert!(!following.lacks(Index(0)));
        following.asked = 100;
        assert!(following.hear(1, Index(2), false, Index(1)));
        assert_eq!((following.asked, following.lacks(Index(1)), following.lacks(Index(2))), (0, true, false));
        following.asked = 5;
        assert!(following.hear(1, Index(3), false, Index(1)));
        assert_eq!(following.asked, 5, "it was missed already");
        assert!(following.hear(2, Index(0), true, Index(1)));
        assert_eq!((following.asked, following.heard), (0, 2));
        assert!(!following.hear(1, Index(9), true, Index(1)), "of an earlier session");
        following.begin(2);
        assert!(following.lacks(Index(9)), "NEWLEADER has not come");
        following.led = true;
        assert!(!following.lacks(Index(1)));
    }
}
