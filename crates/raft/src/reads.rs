//! Linearizable reads without writing to the log (§8; dissertation §6.4).
//!
//! A leader notes its commit index, confirms by a round of heartbeats that it still leads, and may then
//! serve every read that arrived before the round began, once its state machine has applied up to the noted
//! index. Rounds are counted by the leader, and one is in flight at a time: reads that arrive meanwhile
//! share the next. A follower asks its leader for the index and serves the read itself.
//!
//! A follower names its questions by a counter that starts at a random place in each life: an answer to a
//! question of an earlier life must not answer a later one (etcd issue 20418 is about such a mix-up).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use quorate_protocol::{Effect, Index, NodeId, ReadId, Seq};

use crate::core::{Out, Part, Raft};
use crate::message::Body;
use crate::rules::Rules;

/// Reads waiting at a leader, at most; more are failed and asked again by their owners.
const MAX_WAITING: usize = 4096;

/// A read: whose, and its name there.
type Asked = (NodeId, u64);

/// The reads a leader has in hand.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct LeaderReads {
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
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Count one more round, and answer its number.
    pub fn next_round(&mut self) -> u64 {
        self.round += 1;
        self.round
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
pub(crate) struct FollowerReads {
    next_token: u64,
    /// Question → read, and the ticks it has waited.
    asked: BTreeMap<u64, (ReadId, u32)>,
}

impl FollowerReads {
    pub fn new(first_token: u64) -> Self {
        FollowerReads { next_token: first_token, asked: BTreeMap::new() }
    }

    fn ask(&mut self, id: ReadId) -> u64 {
        self.next_token = self.next_token.wrapping_add(1);
        self.asked.insert(self.next_token, (id, 0));
        self.next_token
    }

    /// A tick has passed; answers the reads that have waited for `limit`.
    pub fn tick(&mut self, limit: u32) -> Vec<ReadId> {
        self.asked.values_mut().for_each(|(_, waited)| *waited += 1);
        let overdue = self.asked.values().filter(|(_, waited)| *waited >= limit).map(|(id, _)| *id).collect();
        self.asked.retain(|_, (_, waited)| *waited < limit);
        overdue
    }

    pub fn fail_all(&mut self) -> Vec<ReadId> {
        core::mem::take(&mut self.asked).into_values().map(|(id, _)| id).collect()
    }
}

impl<R: Rules> Raft<R> {
    /// A read of our own.
    pub(crate) fn read(&mut self, id: ReadId, out: Out) {
        match (&self.part, self.leader) {
            (Part::Leader(_), _) => self.read_for(self.config.id, id.0, out),
            (_, Some(leader)) => {
                let token = self.reads.ask(id);
                self.send(leader, Body::ReadIndex { token }, Seq(0), out);
            }
            (_, None) => out.push(Effect::ReadFailed(id)),
        }
    }

    /// A read of `node`'s, at the leader.
    pub(crate) fn read_for(&mut self, node: NodeId, name: u64, out: Out) {
        if self.leases() && self.holds_lease(self.membership()) {
            let committed = self.term_at(self.commit);
            if R::may_read(committed, self.term) {
                return self.answer_read(node, name, self.commit, out);
            }
        }
        let Part::Leader(leader) = &mut self.part else { return };
        if leader.reads.waiting.len() >= MAX_WAITING {
            if node == self.config.id {
                out.push(Effect::ReadFailed(ReadId(name)));
            }
            return;
        }
        leader.reads.waiting.push((node, name));
        self.start_round(out);
    }

    /// Begin a round for the reads that wait, if none is in flight and the leader knows what is committed.
    pub(crate) fn start_round(&mut self, out: Out) {
        let (commit, committed) = (self.commit, self.term_at(self.commit));
        let Part::Leader(leader) = &mut self.part else { return };
        let reads = &mut leader.reads;
        if reads.waiting.is_empty() || reads.flying.is_some() || !R::may_read(committed, self.term) {
            return;
        }
        let number = reads.next_round();
        reads.flying = Some(Round { number, index: commit, asked: core::mem::take(&mut reads.waiting) });
        self.broadcast_heartbeat(out);
        self.confirm_round(out);
    }

    /// Finish the round in flight if a quorum has confirmed it.
    pub(crate) fn confirm_round(&mut self, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(number) = leader.reads.flying.as_ref().map(|round| round.number) else { return };
        let id = self.config.id;
        let said = |node| leader.peers.get(&node).is_some_and(|peer| peer.round >= number);
        let confirmed = self.members.current().any_quorum(|node| node == id || said(node));
        if !confirmed && R::read_needs_quorum() {
            return;
        }
        let Some(Round { index, asked, .. }) = leader.reads.flying.take() else { return };
        asked.into_iter().for_each(|(node, name)| self.answer_read(node, name, index, out));
        self.start_round(out);
    }

    fn answer_read(&self, node: NodeId, name: u64, index: Index, out: Out) {
        match node == self.config.id {
            true => out.push(Effect::ReadReady { id: ReadId(name), index }),
            false => self.send(node, Body::ReadIndexReply { token: name, index }, Seq(0), out),
        }
    }

    /// The leader's answer to a question of ours.
    pub(crate) fn read_answered(&mut self, token: u64, index: Index, out: Out) {
        if let Some((id, _)) = self.reads.asked.remove(&token) {
            out.push(Effect::ReadReady { id, index });
        }
    }
}
