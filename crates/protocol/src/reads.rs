//! Linearizable reads without writing to the log, as far as all protocols share them (Raft §8; Ongaro's
//! dissertation §6.4).
//!
//! A leader notes its commit index, confirms by a round of messages that it still leads, and may then serve
//! every read that arrived before the round began, once its state machine has applied up to the noted index.
//! Rounds are counted by the leader, and one is in flight at a time: reads that arrive meanwhile share the
//! next. A follower asks its leader for the index and serves the read itself.
//!
//! A follower names its questions by a counter that starts at a random place in each life: an answer to a
//! question of an earlier life must not answer a later one (etcd issue 20418 is about such a mix-up).
//!
//! What a core adds is when a round may begin, what confirms it, and the messages.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{Index, NodeId, ReadId};

/// Reads waiting at a leader, at most; more are failed and asked again by their owners.
const MAX_WAITING: usize = 4096;

/// A read: whose, and its name there.
pub type Asked = (NodeId, u64);

/// The reads a leader has in hand.
#[derive(Clone, Debug, Default, Hash)]
pub struct LeaderReads {
    /// Arrived since the last round began.
    waiting: Vec<Asked>,
    /// Rounds begun.
    round: u64,
    /// The round in flight.
    flying: Option<Round>,
}

/// A round that waits to be confirmed.
#[derive(Clone, Debug, Hash)]
struct Round {
    number: u64,
    /// The commit index when it began.
    index: Index,
    /// Whom it is for.
    asked: Vec<Asked>,
}

impl LeaderReads {
    /// The rounds begun so far.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Count one more round, and answer its number.
    pub fn next_round(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    /// Let a read wait for the next round. Answers whether there was room.
    #[must_use = "a read for which there is no room has failed"]
    pub fn wait(&mut self, node: NodeId, name: u64) -> bool {
        let room = self.waiting.len() < MAX_WAITING;
        if room {
            self.waiting.push((node, name));
        }
        room
    }

    /// Whether reads wait and no round is in flight.
    pub fn wants_round(&self) -> bool {
        !self.waiting.is_empty() && self.flying.is_none()
    }

    /// Begin a round for the reads that wait, with everything up to `index` committed.
    pub fn begin(&mut self, index: Index) {
        let number = self.next_round();
        self.flying = Some(Round { number, index, asked: core::mem::take(&mut self.waiting) });
    }

    /// The number of the round in flight.
    pub fn flying(&self) -> Option<u64> {
        self.flying.as_ref().map(|round| round.number)
    }

    /// The round in flight is confirmed: whose reads may be served, and from which index on.
    pub fn confirmed(&mut self) -> Option<(Index, Vec<Asked>)> {
        self.flying.take().map(|round| (round.index, round.asked))
    }

    /// Give up on everything; answers the reads of `own` among it.
    pub fn fail_all(&mut self, own: NodeId) -> Vec<ReadId> {
        let flying = self.flying.take().map(|round| round.asked).unwrap_or_default();
        let all = flying.into_iter().chain(core::mem::take(&mut self.waiting));
        all.filter(|(node, _)| *node == own).map(|(_, id)| ReadId(id)).collect()
    }
}

/// The questions a follower has put to its leader.
#[derive(Clone, Debug, Hash)]
pub struct FollowerReads {
    next_token: u64,
    /// Question → read, and the ticks it has waited.
    asked: BTreeMap<u64, (ReadId, u32)>,
}

impl FollowerReads {
    /// None yet; the first will be named after `first_token`.
    pub fn new(first_token: u64) -> Self {
        FollowerReads { next_token: first_token, asked: BTreeMap::new() }
    }

    /// Name a question.
    pub fn ask(&mut self, id: ReadId) -> u64 {
        self.next_token = self.next_token.wrapping_add(1);
        self.asked.insert(self.next_token, (id, 0));
        self.next_token
    }

    /// The leader's answer to a question: the read it is about, if it still waits.
    pub fn answered(&mut self, token: u64) -> Option<ReadId> {
        self.asked.remove(&token).map(|(id, _)| id)
    }

    /// A tick has passed; answers the reads that have waited for `limit`.
    pub fn tick(&mut self, limit: u32) -> Vec<ReadId> {
        self.asked.values_mut().for_each(|(_, waited)| *waited += 1);
        let overdue = self.asked.values().filter(|(_, waited)| *waited >= limit).map(|(id, _)| *id).collect();
        self.asked.retain(|_, (_, waited)| *waited < limit);
        overdue
    }

    /// Give up on all.
    pub fn fail_all(&mut self) -> Vec<ReadId> {
        core::mem::take(&mut self.asked).into_values().map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_share_the_next_round_not_the_one_in_flight() {
        let mut reads = LeaderReads::default();
        assert!(!reads.wants_round() && reads.wait(NodeId(1), 7) && reads.wants_round());
        reads.begin(Index(5));
        assert_eq!((reads.flying(), reads.round()), (Some(1), 1));
        assert!(reads.wait(NodeId(2), 8) && !reads.wants_round(), "one is in flight");
        assert_eq!(reads.confirmed(), Some((Index(5), alloc::vec![(NodeId(1), 7)])));
        assert!(reads.wants_round() && reads.confirmed().is_none());
        reads.begin(Index(6));
        assert!(reads.wait(NodeId(1), 9));
        assert_eq!(reads.fail_all(NodeId(1)), [ReadId(9)], "others' are theirs to ask again");
        assert!(reads.flying().is_none() && !reads.wants_round());
    }

    #[test]
    fn waiting_reads_are_bounded() {
        let mut reads = LeaderReads::default();
        assert!((0..MAX_WAITING as u64).all(|name| reads.wait(NodeId(1), name)));
        assert!(!reads.wait(NodeId(1), 0));
    }

    #[test]
    fn a_question_is_answered_once_and_in_time() {
        let mut reads = FollowerReads::new(u64::MAX);
        let (first, second) = (reads.ask(ReadId(1)), reads.ask(ReadId(2)));
        assert_eq!((reads.answered(first), reads.answered(first)), (Some(ReadId(1)), None));
        assert_eq!(reads.tick(2), []);
        assert_eq!(reads.tick(2), [ReadId(2)]);
        assert_eq!(reads.answered(second), None);
    }
}
