//! The log's way from the leader to the followers, and what is committed (§5.3, §5.4.2, §7).
//!
//! A leader sends entries before they are on its own disk (dissertation §10.2.1); its own copy counts
//! towards a quorum only when the write that holds it is durable. Commit news rides on the next entries, or
//! alone when there are none.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use quorate_protocol::lease::Lease;
use quorate_protocol::reads::LeaderReads;
use quorate_protocol::transfer::Transfer;
use quorate_protocol::{
    Ballot, DropReason, Effect, Entry, EntryKind, Index, LogId, Membership, NodeId, Pace, Progress, Seq,
    Violation, WriteOp,
};

use crate::core::{Out, Part, Raft};
use crate::message::{Body, Term};
use crate::rules::Rules;

/// Heartbeat intervals without acknowledgement of what is in flight before it is taken to be lost, if the
/// peer is heard otherwise. Intervals, and not heartbeats: rounds of reads send as many of those as they like.
const STALLED_HEARTBEATS: u32 = 3;

/// What only a leader knows.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub peers: BTreeMap<NodeId, Peer>,
    /// The own log is durable up to here.
    own: Index,
    /// Writes of this leadership that are not durable yet, with the last index each holds.
    writing: VecDeque<(Seq, Index)>,
    /// Bytes proposed and not committed.
    uncommitted_bytes: usize,
    pub heartbeat_elapsed: u32,
    pub reads: LeaderReads,
    pub lease: Lease,
    pub transfer: Transfer,
    /// The last forwarded message taken from each stream of each peer in this term.
    streams: BTreeMap<(NodeId, u64), u64>,
}

/// All but the writes under way, whose numbers mean something only beside the replica's: its own `Hash` adds them.
impl core::hash::Hash for Leader {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (&self.peers, self.own, self.uncommitted_bytes, self.heartbeat_elapsed).hash(state);
        (&self.reads, &self.lease, &self.transfer, &self.streams).hash(state);
    }
}

/// A peer's progress, with what Raft adds to it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Peer {
    progress: Progress,
    /// Its [`Config::priority`](quorate_protocol::Config::priority), as far as it has said.
    pub priority: u8,
    /// The commit index it was last told.
    told_commit: Index,
    /// Heartbeat intervals since something in flight was last acknowledged.
    stalled: u32,
    /// The snapshot it waits for has been handed over whole.
    handed_over: bool,
}

impl core::ops::Deref for Peer {
    type Target = Progress;
    fn deref(&self) -> &Progress {
        &self.progress
    }
}

impl core::ops::DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

impl Peer {
    /// A peer of which nothing is known but that our log ends before `next`.
    pub fn new(next: Index) -> Self {
        let progress = Progress::new(next);
        Peer { progress, priority: 0, told_commit: Index(0), stalled: 0, handed_over: false }
    }

    fn waits(&self) -> bool {
        self.progress.waits() || (self.handed_over && matches!(self.pace, Pace::Snapshot { .. }))
    }

    /// A heartbeat interval has passed.
    pub fn beat(&mut self) {
        self.stalled = if self.waits() { self.stalled + 1 } else { 0 };
    }

    /// Whether what is unanswered is to be taken for lost: a probe after an interval, the rest after several.
    fn is_stalled(&self) -> bool {
        let patience = if matches!(self.pace, Pace::Probe { .. }) { 1 } else { STALLED_HEARTBEATS };
        self.waits() && self.stalled >= patience
    }
}

impl Leader {
    pub fn new(others: &[NodeId], next: Index, uncommitted_bytes: usize) -> Self {
        Leader {
            peers: others.iter().map(|&node| (node, Peer::new(next))).collect(),
            own: Index(0),
            writing: VecDeque::new(),
            uncommitted_bytes,
            heartbeat_elapsed: 0,
            reads: LeaderReads::default(),
            lease: Lease::default(),
            transfer: Transfer::default(),
            streams: BTreeMap::new(),
        }
    }

    /// Writes of this leadership that are not durable yet, with the last index each holds.
    pub fn writing(&self) -> impl Iterator<Item = (Seq, Index)> {
        self.writing.iter().copied()
    }

    pub fn check(&self, last: Index) -> Result<(), Violation> {
        for peer in self.peers.values() {
            if peer.matched > last {
                return Err(Violation("a peer matches no further than the leader's log"));
            }
            if peer.matched >= peer.next {
                return Err(Violation("what is sent next comes after what matches"));
            }
        }
        match self.own <= last {
            true => Ok(()),
            false => Err(Violation("what is durable is in the log")),
        }
    }
}

// The leader's side.
impl<R: Rules> Raft<R> {
    pub(crate) fn propose(&mut self, proposals: Vec<Bytes>, out: Out) {
        match (&mut self.part, self.leader) {
            (Part::Leader(leader), _) if leader.transfer.is_under_way() => {
                out.push(Effect::Dropped { proposals, reason: DropReason::NoLeader });
            }
            (Part::Leader(leader), _) => {
                if leader.uncommitted_bytes > self.config.max_uncommitted_bytes {
                    return out.push(Effect::Dropped { proposals, reason: DropReason::Overloaded });
                }
                leader.uncommitted_bytes += proposals.iter().map(Bytes::len).sum::<usize>();
                let ballot = Ballot { round: self.term.0, node: self.config.id };
                let first = self.log.last().index.next();
                let entries = (first.0..).zip(proposals).map(|(index, data)| Entry {
                    id: LogId { ballot, index: Index(index) },
                    kind: EntryKind::Command,
                    data,
                });
                self.append_own(entries.collect(), out);
            }
            (_, Some(leader)) => {
                self.forwarded += 1;
                let (stream, number) = (self.stream, self.forwarded);
                self.send(leader, Body::Forward { stream, number, proposals }, Seq(0), out);
            }
            (_, None) => out.push(Effect::Dropped { proposals, reason: DropReason::NoLeader }),
        }
    }

    /// Proposals a follower passed on. One message counts once: it names its term, and within a term each
    /// stream's numbers only rise.
    pub(crate) fn forwarded(&mut self, from: NodeId, stream: u64, number: u64, data: Vec<Bytes>, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let last = leader.streams.entry((from, stream)).or_insert(0);
        if number > *last && leader.uncommitted_bytes <= self.config.max_uncommitted_bytes {
            *last = number;
            self.propose(data, out);
        }
    }

    pub(crate) fn append_own(&mut self, entries: Vec<Entry>, out: Out) {
        let Some(last) = entries.last().map(|entry| entry.id.index) else { return };
        self.extend(&entries);
        let seq = self.write(vec![WriteOp::Append(entries)], out);
        let Part::Leader(leader) = &mut self.part else { return };
        leader.writing.push_back((seq, last));
        self.replicate_all(out);
    }

    pub(crate) fn now_durable(&mut self, seq: Seq, out: Out) {
        self.durable = self.durable.max(seq);
        self.lead_if_elected(out);
        let Part::Leader(leader) = &mut self.part else { return };
        while let Some(&(_, last)) = leader.writing.front().filter(|(waits, _)| *waits <= seq) {
            leader.own = last;
            leader.writing.pop_front();
        }
        self.advance_commit(out);
    }

    pub(crate) fn accepted(&mut self, from: NodeId, matched: Index, out: Out) {
        let last = self.log.last().index;
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from).filter(|_| matched <= last) else { return };
        peer.stalled = 0;
        if peer.acknowledged(matched) {
            self.advance_commit(out);
            self.tell_target(out);
        }
        self.replicate(from, out);
    }

    pub(crate) fn rejected(&mut self, from: NodeId, prev: Index, hint: LogId, lost: bool, out: Out) {
        let last = self.log.last().index;
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from).filter(|_| prev <= last) else { return };
        if lost && peer.lost(hint.index) {
            peer.stalled = 0;
            return self.replicate(from, out);
        }
        // Skip the terms that cannot agree: each rejection rules out at least one (§5.3), and always the entry
        // rejected, or a probe that ends at the base of our log would be repeated for ever.
        let agree = self.log.last_at_or_below(hint.index.min(prev), hint.ballot.round);
        if peer.rejected(prev, agree.index.min(hint.index).min(prev.prev())) {
            peer.stalled = 0;
            self.replicate(from, out);
        }
    }

    pub(crate) fn link_reset(&mut self, peer: NodeId, out: Out) {
        if let Part::Leader(leader) = &mut self.part
            && let Some(progress) = leader.peers.get_mut(&peer)
        {
            progress.probe();
            self.replicate(peer, out);
        } else if self.leader == Some(peer) {
            self.leader_unreachable();
        }
    }

    /// The largest index a quorum holds durably, if the rules let it commit.
    fn advance_commit(&mut self, out: Out) {
        let Part::Leader(leader) = &self.part else { return };
        let id = self.config.id;
        let matched = |node| leader.peers.get(&node).map_or(Index(0), |peer| peer.matched);
        let held = |node| if node == id { leader.own } else { matched(node) };
        let Some(index) = self.membership().reached(held) else { return };
        if index <= self.commit || !R::may_commit(self.term_at(index), self.term) {
            return;
        }
        let committed: usize = self.log.range(self.commit.next(), index).map(|entry| entry.data.len()).sum();
        self.commit_to(index, out);
        if let Part::Leader(leader) = &mut self.part {
            leader.uncommitted_bytes = leader.uncommitted_bytes.saturating_sub(committed);
        }
        self.replicate_all(out);
        self.start_round(out);
        self.membership_committed(out);
    }

    pub(crate) fn broadcast_heartbeat(&mut self, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        if self.leases.are_on() {
            let round = leader.reads.next_round();
            leader.lease.sent(round, self.leases.now());
        }
        let round = leader.reads.round();
        let told = self.commit;
        let beat = |(&to, peer): (&NodeId, &mut Peer)| {
            let commit = told.min(peer.matched);
            peer.told_commit = peer.told_commit.max(commit);
            (to, Body::Heartbeat { commit, round })
        };
        let beats: Vec<(NodeId, Body)> = leader.peers.iter_mut().map(beat).collect();
        beats.into_iter().for_each(|(to, body)| self.send(to, body, self.meta_seq, out));
    }

    pub(crate) fn heartbeat_reply(&mut self, from: NodeId, round: u64, unsure: bool, priority: u8, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        peer.priority = priority;
        peer.round = peer.round.max(round);
        // A follower that has restarted does not know how far its log agrees, though we do: a probe tells it.
        let forgot = unsure && peer.pace == Pace::Replicate && peer.inflight() == 0;
        if forgot || peer.is_stalled() {
            peer.stalled = 0;
            peer.probe();
        }
        self.replicate(from, out);
        self.confirm_round(out);
    }

    pub(crate) fn snapshot_ready(&mut self, to: NodeId, id: LogId, membership: Membership, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        if let Pace::Snapshot { at } = &mut peer.pace {
            *at = Some(id.index);
            (peer.stalled, peer.handed_over) = (0, false);
            self.send(to, Body::Snapshot { id, membership }, self.meta_seq, out);
        }
    }

    /// A snapshot that was not handed over is started again when the peer next answers; one that was stays
    /// in flight until it is acknowledged or given up as stalled.
    pub(crate) fn snapshot_sent(&mut self, to: NodeId, ok: bool) {
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        peer.handed_over = ok;
        if !ok {
            peer.snapshot_failed();
        }
    }

    fn replicate_all(&mut self, out: Out) {
        let Part::Leader(leader) = &self.part else { return };
        let peers: Vec<NodeId> = leader.peers.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.replicate(peer, out));
    }

    /// Send a peer what it may be sent now.
    pub(crate) fn replicate(&mut self, to: NodeId, out: Out) {
        while self.replicate_once(to, out) {}
    }

    /// One message; answers whether another may follow.
    fn replicate_once(&mut self, to: NodeId, out: Out) -> bool {
        let commit = self.commit;
        let Part::Leader(leader) = &mut self.part else { return false };
        let Some(peer) = leader.peers.get_mut(&to) else { return false };
        if matches!(peer.pace, Pace::Snapshot { .. }) {
            return false;
        }
        let before = peer.next.prev();
        let Some(ballot) = self.log.ballot(before) else {
            // An image is work: not for one that is not there.
            if !peer.active {
                return false;
            }
            peer.snapshot();
            peer.handed_over = false;
            out.push(Effect::SendSnapshot(to));
            return false;
        };
        let (count, full) = self.log.batch(peer.next, self.config.max_message_bytes);
        let probing = matches!(peer.pace, Pace::Probe { .. });
        let news = commit.min(before) > peer.told_commit;
        let send_entries = peer.may_send(full, self.config.max_inflight) && (count > 0 || probing);
        if !send_entries && (!news || peer.inflight() > 0 || probing) {
            return false;
        }
        let count = if send_entries { count } else { 0 };
        let upto = Index(before.0 + count as u64);
        let entries = self.log.range(peer.next, upto).cloned().collect();
        peer.sent(upto);
        peer.told_commit = commit.min(upto).max(peer.told_commit);
        let body = Body::Append { prev: LogId { ballot, index: before }, entries, commit };
        self.send(to, body, self.meta_seq, out);
        send_entries && !probing
    }
}

// The follower's side.
impl<R: Rules> Raft<R> {
    pub(crate) fn append(&mut self, from: NodeId, prev: LogId, entries: Vec<Entry>, commit: Index, out: Out) {
        if !self.well_formed(prev, &entries) {
            return;
        }
        if !self.heard_leader(from, out) {
            return;
        }
        let known = self.log.ballot(prev.index);
        if prev.index <= self.commit && known.is_some_and(|ballot| ballot != prev.ballot) {
            return self.contradicted();
        }
        if prev.index > self.commit && !R::may_follow(known, prev.ballot) {
            let hint = self.log.last_at_or_below(prev.index, prev.ballot.round);
            let (after, lost) = (self.meta_seq, self.lacks());
            return self.send(from, Body::Rejected { prev: prev.index, hint, lost }, after, out);
        }
        let matched = Index(prev.index.0 + entries.len() as u64);
        if !self.take(entries, out) {
            return;
        }
        // An append that ends before the commit index says nothing about what follows, but what is
        // committed agrees with every leader's log (LeaderCompleteness, §5.4.3).
        let matched = matched.max(self.commit.min(self.log.last().index));
        self.matched = self.matched.max(matched);
        self.commit_to(R::may_apply(commit, self.matched).min(self.log.last().index), out);
        self.send(from, Body::Accepted { matched }, self.seq, out);
    }

    /// Add what the log does not have. "If an existing entry conflicts with a new one (same index but
    /// different terms), delete the existing entry and all that follow it" (figure 2), and only then: an
    /// older, shorter append truncates nothing. Answers false if a committed entry was contradicted.
    fn take(&mut self, entries: Vec<Entry>, out: Out) -> bool {
        let known = |entry: &Entry| match self.log.ballot(entry.id.index) {
            Some(ballot) => ballot == entry.id.ballot,
            None => entry.id.index < self.log.base().index,
        };
        let Some(first) = entries.iter().position(|entry| !known(entry)) else { return true };
        let from = entries[first].id.index;
        if from <= self.commit {
            self.contradicted();
            return false;
        }
        let new = entries[first..].to_vec();
        if from <= self.log.last().index {
            self.log.truncate_from(from);
            self.membership_cut_back(from);
        }
        self.matched = self.matched.min(self.log.last().index);
        self.extend(&new);
        self.write(vec![WriteOp::Append(new)], out);
        true
    }

    /// Add entries at the end, and take over the membership they bring.
    fn extend(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.log.push(entry.clone());
            self.adopt(entry);
        }
        self.refilled();
    }

    fn contradicted(&mut self) {
        self.violate("LeaderCompleteness: a leader contradicts a committed entry");
    }

    /// Entries follow `prev` densely, in ascending terms, none beyond this one.
    fn well_formed(&self, prev: LogId, entries: &[Entry]) -> bool {
        let mut last = prev;
        entries.iter().all(|entry| {
            let follows = entry.id.index.0 == last.index.0.wrapping_add(1)
                && entry.id.ballot.round >= last.ballot.round
                && Term(entry.id.ballot.round) <= self.term;
            last = entry.id;
            follows
        })
    }

    pub(crate) fn heartbeat(&mut self, from: NodeId, commit: Index, round: u64, out: Out) {
        if !self.heard_leader(from, out) {
            return;
        }
        self.commit_to(R::may_apply(commit, self.matched).min(self.log.last().index), out);
        self.leases.promise_to(from);
        let unsure = commit > self.commit || self.lacks();
        let priority = self.config.priority;
        self.send(from, Body::HeartbeatReply { round, unsure, priority }, self.meta_seq, out);
    }

    pub(crate) fn snapshot(&mut self, from: NodeId, id: LogId, membership: Membership, out: Out) {
        if !self.heard_leader(from, out) {
            return;
        }
        if id.index > self.commit {
            if self.log.contains(id) {
                // The log already leads there: no need for the image.
                self.matched = self.matched.max(id.index);
                self.commit_to(id.index, out);
            } else {
                self.log.reset(id);
                self.members.reset(membership);
                self.commit = id.index;
                self.matched = id.index;
                out.push(Effect::InstallSnapshot(id));
                self.write(vec![WriteOp::Reset { id }], out);
            }
        }
        self.send(from, Body::Accepted { matched: self.commit }, self.seq, out);
    }
}
