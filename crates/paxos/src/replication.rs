//! Phase 2, the leader's side: proposals on their way to the acceptors, and what is chosen.
//!
//! A leader sends proposals before they are on its own disk, and counts its own acceptance once they are. It counts slot by slot:
//! a slot is chosen when enough have accepted it under this ballot, whatever became of those before it. What is chosen is
//! carried out in order, so the commit index is the end of the chosen prefix. Commit news rides on the next proposals, or
//! alone when there are none.
//!
//! An acceptor that is behind is sent what is chosen like any other proposal, restamped with this leader's ballot; what is no
//! longer held, as a snapshot.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

use quorate_protocol::lease::Lease;
use quorate_protocol::reads::LeaderReads;
use quorate_protocol::transfer::Transfer;
use quorate_protocol::{
    DropReason, Effect, Entry, EntryKind, Index, LogId, Membership, NodeId, Pace, Progress, Seq, Violation,
};

use crate::core::{Out, Part, Paxos};
use crate::message::Body;
use crate::rules::Rules;

/// Heartbeat intervals without acknowledgement of what is in flight before it is taken to be lost, if the
/// peer is heard otherwise. Intervals, and not heartbeats: rounds of reads send as many of those as they like.
const STALLED_HEARTBEATS: u32 = 3;

/// Stretches of slots accepted out of order that are remembered of a peer; what is beyond is as good as not accepted.
const MOST_AHEAD: usize = 64;

/// No-ops proposed at a time for a peer whose disk has lost slots that this leader has not proposed anything for.
const MOST_FILLED: u64 = 1024;

/// What only a leader knows.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub peers: BTreeMap<NodeId, Peer>,
    /// Where the no-op is with which everything that was chosen before is known to be.
    pub caught_up: Index,
    /// The own slots are durable up to here.
    own: Index,
    /// Writes of this leadership that are not durable yet, with the last index each holds.
    writing: VecDeque<(Seq, Index)>,
    /// Bytes proposed and not committed.
    uncommitted_bytes: usize,
    pub heartbeat_elapsed: u32,
    pub reads: LeaderReads,
    pub lease: Lease,
    pub transfer: Transfer,
    /// A membership to be proposed once everything before it is chosen.
    pub change: Option<Membership>,
    /// What arrives meanwhile, and whether it is from our own host.
    pub held_back: Vec<(bool, Bytes)>,
    /// The last forwarded message taken from each stream of each peer under this ballot.
    streams: BTreeMap<(NodeId, u64), u64>,
}

/// All but the writes under way, whose numbers mean something only beside the replica's: its own `Hash` adds them.
impl core::hash::Hash for Leader {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (&self.peers, self.own, self.caught_up, self.uncommitted_bytes, self.heartbeat_elapsed).hash(state);
        (&self.reads, &self.lease, &self.transfer, &self.change, &self.held_back, &self.streams).hash(state);
    }
}

/// A peer's progress, with what Paxos adds to it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Peer {
    progress: Progress,
    /// Its [`Config::priority`](quorate_protocol::Config::priority), as far as it has said.
    pub priority: u8,
    /// Its disk has lost slots, and it promises nothing until it has them anew.
    pub lacks: bool,
    /// What it has accepted beyond the first slot it has not, as stretches, ascending and apart.
    ahead: Vec<(Index, Index)>,
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
    /// A peer of which nothing is known, to be sent what comes from `next` on.
    pub fn new(next: Index) -> Self {
        Peer {
            progress: Progress::new(next),
            priority: 0,
            lacks: false,
            ahead: Vec::new(),
            told_commit: Index(0),
            stalled: 0,
            handed_over: false,
        }
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

    /// Whether it has accepted a slot.
    fn accepted(&self, index: Index) -> bool {
        index <= self.matched || self.ahead.iter().any(|(from, upto)| (*from..=*upto).contains(&index))
    }

    /// It has accepted these as well. Answers whether that is news that leaves a gap after what it has all of.
    fn note(&mut self, from: Index, upto: Index) -> bool {
        let matched = self.matched;
        let known = self.ahead.iter().any(|(first, last)| *first <= from && upto <= *last);
        let news = from > matched.next() && !known;
        if news {
            self.ahead.push((from, upto));
            self.ahead.sort_unstable();
            self.ahead.dedup_by(|next, before| {
                let joins = next.0 <= before.1.next();
                if joins {
                    before.1 = before.1.max(next.1);
                }
                joins
            });
            self.ahead.truncate(MOST_AHEAD);
        }
        self.ahead.retain(|(_, upto)| *upto > matched);
        news
    }

    /// The first slot from which on it has accepted some, after the next one to send.
    fn gap_ends(&self) -> Option<Index> {
        self.ahead.iter().map(|(from, _)| *from).find(|from| *from > self.next)
    }
}

impl Leader {
    /// Of the peers that promised it is known up to where they know what is chosen.
    pub fn new(others: Vec<(NodeId, Option<Index>)>, commit: Index, caught_up: Index, bytes: usize) -> Self {
        let peer = |(node, knows): (NodeId, Option<Index>)| {
            let mut peer = Peer::new(commit.next());
            if let Some(knows) = knows {
                peer.active = true;
                peer.acknowledged(knows);
            }
            (node, peer)
        };
        Leader {
            peers: others.into_iter().map(peer).collect(),
            caught_up,
            own: commit,
            writing: VecDeque::new(),
            uncommitted_bytes: bytes,
            heartbeat_elapsed: 0,
            reads: LeaderReads::default(),
            lease: Lease::default(),
            transfer: Transfer::default(),
            change: None,
            held_back: Vec::new(),
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
                return Err(Violation("a peer matches no further than the leader's slots"));
            }
            if peer.matched >= peer.next {
                return Err(Violation("what is sent next comes after what matches"));
            }
        }
        match self.own <= last {
            true => Ok(()),
            false => Err(Violation("what is durable is held")),
        }
    }

    /// Whether `node`, with `own` for this one, is known to hold every slot up to `index`.
    pub fn has_all(&self, own: NodeId, node: NodeId, index: Index) -> bool {
        match node == own {
            true => self.own >= index,
            false => self.peers.get(&node).is_some_and(|peer| peer.matched >= index),
        }
    }

    /// The end of the prefix of slots that enough have accepted for each to be chosen; `commit` is known to be in it.
    fn chosen(&self, membership: &Membership, own: NodeId, commit: Index, last: Index) -> Index {
        // As a rule all have accepted some prefix: the greatest that enough have. Nobody can have accepted more than is sent.
        let ends = self.peers.values().map(|peer| peer.matched).chain([self.own]);
        let enough = |index: &Index| membership.chooses(|node| self.has_all(own, node, *index));
        let mut chosen = ends.filter(|end| *end > commit).filter(enough).max().unwrap_or(commit);
        if self.peers.values().any(|peer| !peer.ahead.is_empty()) {
            let has = |node, index| match node == own {
                true => self.own >= index,
                false => self.peers.get(&node).is_some_and(|peer| peer.accepted(index)),
            };
            while chosen < last && membership.chooses(|node| has(node, chosen.next())) {
                chosen = chosen.next();
            }
        }
        chosen
    }
}

impl<R: Rules> Paxos<R> {
    pub(crate) fn propose(&mut self, proposals: Vec<Bytes>, out: Out) {
        match (&mut self.part, self.leader) {
            (Part::Leader(leader), _) if leader.transfer.is_under_way() => {
                out.push(Effect::Dropped { proposals, reason: DropReason::NoLeader });
            }
            (Part::Leader(leader), _) => {
                if leader.uncommitted_bytes > self.config.max_uncommitted_bytes {
                    return out.push(Effect::Dropped { proposals, reason: DropReason::Overloaded });
                }
                self.propose_own(proposals, true, out);
            }
            (_, Some(leader)) => {
                self.forwarded += 1;
                let (stream, number) = (self.stream, self.forwarded);
                self.send(leader, Body::Forward { stream, number, proposals }, Seq(0), out);
            }
            (_, None) => out.push(Effect::Dropped { proposals, reason: DropReason::NoLeader }),
        }
    }

    /// Give commands the next slots, or let them wait where a change of membership must go first.
    fn propose_own(&mut self, proposals: Vec<Bytes>, ours: bool, out: Out) {
        let (ballot, first) = (self.promised, self.slots.last().index.next());
        let Part::Leader(leader) = &mut self.part else { return };
        leader.uncommitted_bytes += proposals.iter().map(Bytes::len).sum::<usize>();
        if leader.change.is_some() {
            return leader.held_back.extend(proposals.into_iter().map(|data| (ours, data)));
        }
        let entries = (first.0..).zip(proposals).map(|(index, data)| Entry {
            id: LogId { ballot, index: Index(index) },
            kind: EntryKind::Command,
            data,
        });
        self.put_own(entries.collect(), out);
    }

    /// Proposals a follower passed on. One message counts once: it names its ballot, and under a ballot each
    /// stream's numbers only rise.
    pub(crate) fn forwarded(&mut self, from: NodeId, stream: u64, number: u64, data: Vec<Bytes>, out: Out) {
        let Part::Leader(leader) = &mut self.part else { return };
        let last = leader.streams.entry((from, stream)).or_insert(0);
        if number > *last && leader.uncommitted_bytes <= self.config.max_uncommitted_bytes {
            *last = number;
            match leader.transfer.is_under_way() {
                true => out.push(Effect::Dropped { proposals: data, reason: DropReason::NoLeader }),
                false => self.propose_own(data, false, out),
            }
        }
    }

    /// Accept own proposals, and send them to everybody.
    pub(crate) fn put_own(&mut self, entries: Vec<Entry>, out: Out) {
        let Some(last) = entries.last().map(|entry| entry.id.index) else { return };
        self.put(entries, out);
        let seq = self.seq;
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

    pub(crate) fn accepted(&mut self, from: NodeId, first: Index, upto: Index, matched: Index, out: Out) {
        let last = self.slots.last().index;
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        if matched > last || upto > last || first > upto {
            return;
        }
        // A probe is answered by what it was about, not by what was sent before it and lies further on. An old word, or
        // that of one that has restarted and does not know yet what it had acknowledged, says nothing about what to send.
        let probing = matches!(peer.pace, Pace::Probe { .. });
        let elsewhere = matches!(peer.pace, Pace::Probe { paused: true }) && first > peer.next;
        let answers = matched > peer.matched || matched == peer.matched && !elsewhere;
        let news = answers && (peer.acknowledged(matched) || probing);
        // What it has not was lost on the way, or is on its way still; as a rule links keep their order.
        let gap = peer.note(first, upto);
        if gap && peer.pace == Pace::Replicate && peer.next > peer.matched.next() {
            peer.probe();
        }
        // What is no news begets nothing, or messages that arrive twice would beget others without end.
        if news || gap {
            peer.stalled = 0;
            self.advance_commit(out);
            self.tell_target(out);
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

    /// Commit what is chosen.
    fn advance_commit(&mut self, out: Out) {
        let Part::Leader(leader) = &self.part else { return };
        let (id, last) = (self.config.id, self.slots.last().index);
        let index = leader.chosen(self.membership(), id, self.commit, last);
        if index > self.commit {
            let chosen = self.slots.range(self.commit.next(), index);
            let bytes: usize = chosen.map(|entry| entry.data.len()).sum();
            self.commit_to(index, out);
            if let Part::Leader(leader) = &mut self.part {
                leader.uncommitted_bytes = leader.uncommitted_bytes.saturating_sub(bytes);
            }
            self.replicate_all(out);
            self.start_round(out);
            self.membership_committed(out);
        }
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

    /// `missing`: whether the peer no longer has what it had acknowledged, and up to where its disk has lost slots.
    pub(crate) fn heartbeat_reply(
        &mut self,
        from: NodeId,
        round: u64,
        matched: Index,
        missing: (bool, Index),
        priority: u8,
        out: Out,
    ) {
        let Part::Leader(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        peer.priority = priority;
        peer.lacks = missing.1 > Index(0);
        peer.round = peer.round.max(round);
        let (unsure, lacks) = missing;
        if unsure && peer.lost(matched) {
            peer.ahead.clear();
            peer.stalled = 0;
        } else if peer.is_stalled() {
            peer.stalled = 0;
            peer.probe();
        }
        self.fill_for(lacks, out);
        self.replicate(from, out);
        self.confirm_round(out);
    }

    /// An acceptor's disk has lost slots up to `index`: it promises nothing until it has accepted something there, so what has not been
    /// proposed yet is proposed, as no-ops.
    fn fill_for(&mut self, index: Index, out: Out) {
        let (ballot, last) = (self.promised, self.slots.last().index);
        let Part::Leader(leader) = &self.part else { return };
        if index > last && leader.change.is_none() && self.commit == last {
            let upto = index.0.min(last.0 + MOST_FILLED);
            let noop = |index| Entry {
                id: LogId { ballot, index: Index(index) },
                kind: EntryKind::Noop,
                data: Bytes::new(),
            };
            self.put_own((last.0 + 1..=upto).map(noop).collect(), out);
        }
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
        let (commit, ballot) = (self.commit, self.promised);
        let Part::Leader(leader) = &mut self.part else { return false };
        let Some(peer) = leader.peers.get_mut(&to) else { return false };
        if matches!(peer.pace, Pace::Snapshot { .. }) {
            return false;
        }
        if peer.next <= self.slots.base().index {
            // An image is work: not for one that is not there.
            if !peer.active {
                return false;
            }
            peer.snapshot();
            peer.handed_over = false;
            out.push(Effect::SendSnapshot(to));
            return false;
        }
        let before = peer.next.prev();
        let (mut count, full) = self.slots.batch(peer.next, self.config.max_message_bytes);
        if let Some(end) = peer.gap_ends() {
            count = count.min((end - peer.next) as usize);
        }
        let probing = matches!(peer.pace, Pace::Probe { .. });
        let news = commit.min(before) > peer.told_commit;
        let send_entries = peer.may_send(full, self.config.max_inflight) && (count > 0 || probing);
        if !send_entries && (!news || peer.inflight() > 0 || probing) {
            return false;
        }
        let count = if send_entries { count } else { 0 };
        let upto = Index(before.0 + count as u64);
        let restamp = |entry: &Entry| Entry { id: LogId { ballot, ..entry.id }, ..entry.clone() };
        let entries = match count {
            0 => Vec::new(),
            _ => self.slots.range(peer.next, upto).map(restamp).collect(),
        };
        peer.sent(upto);
        peer.told_commit = commit.min(upto).max(peer.told_commit);
        self.send(to, Body::Accept { entries, commit }, self.meta_seq, out);
        send_entries && !probing
    }
}
