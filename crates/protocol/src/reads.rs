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
//! What becomes of the own host's reads is told here, as effects. What a core adds is when a round may begin, what
//! confirms it, and the messages.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::contract::{Effect, Effects};
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

    /// Give up on everything. The reads of `own` among it fail; the others' owners will ask again.
    pub fn fail_all<M>(&mut self, own: NodeId, out: &mut Effects<M>) {
        let flying = self.flying.take().map(|round| round.asked).unwrap_or_default();
        let all = flying.into_iter().chain(core::mem::take(&mut self.waiting));
        out.extend(all.filter(|(node, _)| *node == own).map(|(_, id)| Effect::ReadFailed(ReadId(id))));
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

    /// The leader's answer to a question: the read it is about, if it still waits, may be served from `index` on.
    pub fn answered<M>(&mut self, token: u64, index: Index, out: &mut Effects<M>) {
        let read = self.asked.remove(&token);
        out.extend(read.map(|(id, _)| Effect::ReadReady { id, index }));
    }

    /// A tick has passed; the reads that have waited for `limit` fail.
    pub fn tick<M>(&mut self, limit: u32, out: &mut Effects<M>) {
        self.asked.retain(|_, (id, waited)| {
            *waited += 1;
            if *waited >= limit {
                out.push(Effect::ReadFailed(*id));
            }
            *waited < limit
        });
    }

    /// Give up on all.
    pub fn fail_all<M>(&mut self, out: &mut Effects<M>) {
        out.extend(core::mem::take(&mut self.asked).into_values().map(|(id, _)| Effect::ReadFailed(id)));
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// What an operation has told the host: the reads that failed, and those that may be served.
    fn told(act: impl FnOnce(&mut Effects<()>)) -> Vec<(u64, Option<u64>)> {
        let mut out = Effects::new();
        act(&mut out);
        let tell = |effect: Effect<()>| match effect {
            Effect::ReadFailed(id) => (id.0, None),
            Effect::ReadReady { id, index } => (id.0, Some(index.0)),
            other => panic!("{other:?} is nothing that reads lead to"),
        };
        out.into_iter().map(tell).collect()
    }

    #[test]
    fn reads_share_the_next_round_not_the_one_in_flight() {
        let mut reads = LeaderReads::default();
        assert!(!reads.wants_round() && reads.wait(NodeId(1), 7) && reads.wants_round());
        reads.begin(Index(5));
        assert_eq!((reads.flying(), reads.round()), (Some(1), 1));
        assert!(reads.wait(NodeId(2), 8) && !reads.wants_round(), "one is in flight");
        assert_eq!(reads.confirmed(), Some((Index(5), vec![(NodeId(1), 7)])));
        assert!(reads.wants_round() && reads.confirmed().is_none());
        reads.begin(Index(6));
        assert!(reads.wait(NodeId(1), 9));
        let failed = told(|out| reads.fail_all(NodeId(1), out));
        assert_eq!(failed, [(9, None)], "others' are theirs to ask again");
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
        assert_eq!(told(|out| reads.answered(first, Index(5), out)), [(1, Some(5))]);
        assert_eq!(told(|out| reads.answered(first, Index(5), out)), []);
        assert_eq!(told(|out| reads.tick(2, out)), []);
        assert_eq!(told(|out| reads.tick(2, out)), [(2, None)]);
        assert_eq!(told(|out| reads.answered(second, Index(5), out)), []);
        reads.ask(ReadId(3));
        assert_eq!(told(|out| reads.fail_all(out)), [(3, None)]);
        assert_eq!(told(|out| reads.tick(1, out)), []);
    }
}
