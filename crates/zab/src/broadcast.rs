//! Phase 3: proposals in the order of their zxids, acknowledged when durable, committed by a quorum.
//!
//! A leader sends entries before they are on its own disk; its own copy counts only when the write that holds it is
//! durable. While a message is in flight to a follower, what is proposed meanwhile waits and goes out as one message when
//! the answer arrives. Commit news rides on the next proposal, or goes alone when there is none.

use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use quorate_protocol::{
    Ballot, DropReason, Effect, Entry, EntryKind, Index, LogId, NodeId, Pace, Seq, WriteOp,
};

use crate::core::{Out, Part, Zab};
use crate::leader::Peer;
use crate::message::Body;
use crate::rules::Rules;

// The leader's side.
impl<R: Rules> Zab<R> {
    pub(crate) fn propose(&mut self, proposals: Vec<Bytes>, out: Out) {
        let most = self.config.max_uncommitted_bytes;
        match (&mut self.part, self.leader) {
            (Part::Leading(leader), _) if leader.transfer.is_under_way() || !leader.established => {
                out.push(Effect::Dropped { proposals, reason: DropReason::NoLeader });
            }
            (Part::Leading(leader), _) => {
                if leader.uncommitted_bytes > most {
                    return out.push(Effect::Dropped { proposals, reason: DropReason::Overloaded });
                }
                leader.uncommitted_bytes += proposals.iter().map(Bytes::len).sum::<usize>();
                self.append_own(EntryKind::Command, proposals, out);
            }
            (_, Some(leader)) => {
                self.forwarded += 1;
                let (stream, number) = (self.stream, self.forwarded);
                self.send(leader, Body::Forward { stream, number, proposals }, Seq(0), out);
            }
            (_, None) => out.push(Effect::Dropped { proposals, reason: DropReason::NoLeader }),
        }
    }

    /// Proposals a follower passed on. One message counts once: it names its epoch, and within an epoch each
    /// stream's numbers only rise.
    pub(crate) fn forwarded(&mut self, from: NodeId, stream: u64, number: u64, data: Vec<Bytes>, out: Out) {
        let most = self.config.max_uncommitted_bytes;
        let Part::Leading(leader) = &mut self.part else { return };
        if !leader.established || leader.uncommitted_bytes > most {
            return;
        }
        let last = leader.streams.entry((from, stream)).or_insert(0);
        if number > *last {
            *last = number;
            self.propose(data, out);
        }
    }

    pub(crate) fn propose_noop(&mut self, out: Out) {
        self.append_own(EntryKind::Noop, vec![Bytes::new()], out);
    }

    /// Propose entries of this epoch.
    pub(crate) fn append_own(&mut self, kind: EntryKind, contents: Vec<Bytes>, out: Out) {
        let first = self.log.last().index.next();
        let entries = (first.0..).zip(contents).map(|(index, data)| Entry {
            id: LogId { ballot: self.promised, index: Index(index) },
            kind,
            data,
        });
        let entries: Vec<Entry> = entries.collect();
        let Some(last) = entries.last().map(|entry| entry.id.index) else { return };
        self.extend(&entries);
        let seq = self.write(vec![WriteOp::Append(entries)], out);
        let Part::Leading(leader) = &mut self.part else { return };
        leader.writes(seq, last);
        self.replicate_all(out);
    }

    pub(crate) fn acknowledged(&mut self, from: NodeId, session: u64, matched: Index, out: Out) {
        let last = self.log.last().index;
        let Part::Leading(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        if session != peer.session || matched > last {
            return;
        }
        peer.stalled = 0;
        if peer.acknowledged(matched) {
            self.advance_commit(out);
            self.tell_target(out);
        }
        self.replicate(from, out);
    }

    pub(crate) fn link_reset(&mut self, peer: NodeId, out: Out) {
        if let Part::Leading(leader) = &mut self.part
            && let Some(progress) = leader.peers.get_mut(&peer)
        {
            progress.end_session();
            self.ping_one(peer, out);
        } else if self.leader == Some(peer) {
            self.leader_unreachable();
        }
    }

    /// The largest index a quorum holds durably.
    pub(crate) fn advance_commit(&mut self, out: Out) {
        let id = self.config.id;
        let Part::Leading(leader) = &self.part else { return };
        if !leader.established {
            return;
        }
        let own = leader.own;
        let counts = |node| leader.peers.get(&node).map_or(Index(0), Peer::counts);
        let held = |node| if node == id { own } else { counts(node) };
        let Some(index) = self.membership().reached(held) else { return };
        let index = R::may_commit(index, own);
        if index <= self.commit {
            return;
        }
        let committed: usize = self.log.range(self.commit.next(), index).map(|entry| entry.data.len()).sum();
        self.commit_to(index, out);
        if let Part::Leading(leader) = &mut self.part {
            leader.uncommitted_bytes = leader.uncommitted_bytes.saturating_sub(committed);
        }
        self.replicate_all(out);
        self.start_round(out);
        self.membership_committed(out);
    }

    /// A leader's tick: take stock each election timeout, send heartbeats in between.
    pub(crate) fn lead_on(&mut self, out: Out) {
        let (id, election_ticks) = (self.config.id, self.config.election_ticks);
        let Part::Leading(leader) = &mut self.part else { return };
        if self.elapsed >= election_ticks {
            self.elapsed = 0;
            let active = |node| leader.peers.get(&node).is_some_and(|peer| peer.active);
            if !self.members.current().any_quorum(|node| node == id || active(node)) {
                return self.leave(out);
            }
            self.prefer(out);
            let Part::Leading(leader) = &mut self.part else { return };
            leader.peers.values_mut().for_each(|peer| peer.active = false);
        }
        let heartbeat_ticks = self.config.heartbeat_ticks;
        let Part::Leading(leader) = &mut self.part else { return };
        leader.transfer.tick(election_ticks);
        leader.heartbeat_elapsed += 1;
        if leader.heartbeat_elapsed >= heartbeat_ticks {
            leader.heartbeat_elapsed = 0;
            leader.peers.values_mut().for_each(Peer::beat);
            self.broadcast_heartbeat(out);
        }
    }

    pub(crate) fn broadcast_heartbeat(&mut self, out: Out) {
        let Part::Leading(leader) = &mut self.part else { return };
        if self.leases.are_on() {
            let round = leader.reads.next_round();
            leader.lease.sent(round, self.leases.now());
        }
        leader.peer_ids().into_iter().for_each(|to| self.ping_one(to, out));
    }

    pub(crate) fn ping_one(&mut self, to: NodeId, out: Out) {
        let told = self.commit;
        let Part::Leading(leader) = &mut self.part else { return };
        let (established, round) = (leader.established, leader.reads.round());
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let commit = told.min(peer.matched);
        peer.told_commit = peer.told_commit.max(commit);
        let (session, sent, led) = (peer.session, peer.sent_upto(), peer.led);
        let body = Body::Ping { session, sent, led, established, commit, round };
        self.send(to, body, self.meta_seq, out);
    }

    pub(crate) fn pong(&mut self, from: NodeId, round: u64, priority: u8, out: Out) {
        let Part::Leading(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        peer.priority = priority;
        peer.round = peer.round.max(round);
        if peer.is_stalled() {
            self.go_on(from, out);
        }
        self.replicate(from, out);
        self.confirm_round(out);
    }

    /// What is unanswered is lost, or its answer is. An image is asked for again; the rest goes on in the session, from what is
    /// acknowledged: a new one would make the answers worthless that are only late.
    fn go_on(&mut self, to: NodeId, out: Out) {
        let Part::Leading(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let prev = peer.next.prev();
        match (peer.pace, self.log.ballot(prev)) {
            (Pace::Replicate, _) => peer.rewind(),
            (Pace::Probe { .. }, Some(ballot)) => {
                peer.stalled = 0;
                let (session, prev) = (peer.session, LogId { ballot, index: prev });
                self.send(to, Body::Sync { session, prev }, self.meta_seq, out);
            }
            _ => {
                peer.snapshot_failed();
                peer.end_session();
                self.ping_one(to, out);
            }
        }
    }

    pub(crate) fn replicate_all(&mut self, out: Out) {
        let Part::Leading(leader) = &self.part else { return };
        leader.peer_ids().into_iter().for_each(|peer| self.replicate(peer, out));
    }

    /// Send a peer what it may be sent now.
    pub(crate) fn replicate(&mut self, to: NodeId, out: Out) {
        while self.replicate_once(to, out) {}
        self.tell_new_leader(to, out);
    }

    /// One message; answers whether another may follow.
    fn replicate_once(&mut self, to: NodeId, out: Out) -> bool {
        let commit = self.commit;
        let Part::Leading(leader) = &mut self.part else { return false };
        let Some(peer) = leader.peers.get_mut(&to) else { return false };
        if peer.session == 0 || peer.pace != Pace::Replicate {
            return false;
        }
        let prev = peer.next.prev();
        if prev < self.log.base().index {
            // What comes next is gone. An image is work: not for one that is not there.
            if peer.active {
                peer.snapshot();
                peer.handed_over = false;
                out.push(Effect::SendSnapshot(to));
            }
            return false;
        }
        let (count, full) = self.log.batch(peer.next, self.config.max_message_bytes);
        let send_entries = count > 0 && peer.may_send(full, self.config.max_inflight);
        let news = commit.min(prev) > peer.told_commit;
        let session = peer.session;
        if !send_entries {
            if news && peer.inflight() == 0 {
                peer.told_commit = commit.min(prev);
                let commit = commit.min(prev);
                self.send(to, Body::Commit { session, commit }, self.meta_seq, out);
            }
            return false;
        }
        let upto = Index(prev.0 + count as u64);
        let entries = self.log.range(peer.next, upto).cloned().collect();
        peer.sent(upto);
        peer.told_commit = commit.min(upto).max(peer.told_commit);
        self.send(to, Body::Propose { session, prev, entries, commit }, self.meta_seq, out);
        true
    }
}

// The follower's side.
impl<R: Rules> Zab<R> {
    pub(crate) fn proposed(
        &mut self,
        from: NodeId,
        session: u64,
        prev: Index,
        entries: Vec<Entry>,
        commit: Index,
        out: Out,
    ) {
        let last = self.log.last().index;
        let upto = Index(prev.0.saturating_add(entries.len() as u64));
        let Part::Following(following) = &mut self.part else { return };
        if !is_dense(prev, &entries, self.promised.round) || !following.hear(session, upto, false, last) {
            return;
        }
        following.told = following.told.max(commit);
        let Some(place) = R::place(last.next(), prev.next()).filter(|_| session == following.session) else {
            following.early.hold(prev, entries, &self.config);
            return self.ask(out);
        };
        let entries: Vec<Entry> = (place.0..).zip(entries).map(|(at, entry)| moved(entry, at)).collect();
        if self.take(entries, out) {
            self.take_what_came_early(from, out);
        }
    }

    /// The turn of what was held back may have come. Acknowledge what there is of the session.
    pub(crate) fn take_what_came_early(&mut self, from: NodeId, out: Out) {
        loop {
            let last = self.log.last().index;
            let Part::Following(following) = &mut self.part else { return };
            if following.session != following.heard {
                return;
            }
            let Some((_, entries)) = following.early.next(last) else { break };
            if !self.take(entries, out) {
                return;
            }
        }
        self.commit_told(out);
        let matched = self.log.last().index;
        let Part::Following(following) = &mut self.part else { return };
        following.asked = 0;
        let session = following.session;
        let led = following.early.led.filter(|last| last.index <= matched);
        self.send(from, Body::Ack { session, matched }, self.seq, out);
        if let Some(last) = led {
            self.new_leader(from, session, last, out);
        }
    }

    /// Add what the log does not have; the rest it has from this leader. Answers false if that is not so.
    fn take(&mut self, mut entries: Vec<Entry>, out: Out) -> bool {
        let end = self.log.last();
        let last = end.index;
        let descends = |entry: &Entry| entry.id.index > last && entry.id.ballot.round < end.ballot.round;
        if entries.iter().any(descends) {
            return false;
        }
        let known = entries.iter().take_while(|entry| entry.id.index <= last).count();
        let new = entries.split_off(known);
        let differs = |entry: &Entry| {
            let here = self.log.ballot(entry.id.index);
            here.is_some_and(|ballot| ballot != entry.id.ballot)
        };
        if entries.iter().any(differs) {
            self.violate("LocalPrimaryOrder: a leader proposes two transactions under one counter");
            return false;
        }
        if !new.is_empty() {
            self.extend(&new);
            self.write(vec![WriteOp::Append(new)], out);
        }
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

    pub(crate) fn committed(&mut self, commit: Index, out: Out) {
        if let Part::Following(following) = &mut self.part {
            following.told = following.told.max(commit);
        }
        self.commit_told(out);
    }

    /// Commit what the leader is known to have committed, as far as the log is its own.
    fn commit_told(&mut self, out: Out) {
        let Part::Following(following) = &self.part else { return };
        let last = self.log.last().index;
        let matched = if following.synced { last } else { self.commit };
        self.commit_to(R::may_apply(following.told, matched).min(last), out);
    }

    /// A heartbeat, which tells how far the session has come.
    pub(crate) fn ping(
        &mut self,
        from: NodeId,
        (session, sent, led): (u64, Index, bool),
        commit: Index,
        round: u64,
        out: Out,
    ) {
        self.leases.promise_to(from);
        let priority = self.config.priority;
        self.send(from, Body::Pong { round, priority }, self.meta_seq, out);
        let last = self.log.last().index;
        let Part::Following(following) = &mut self.part else { return };
        following.hear(session, sent, led, last);
        if session == 0 || following.lacks(last) {
            self.ask(out);
        }
        self.committed(commit, out);
    }
}

/// Whether entries follow `prev` densely, in ascending epochs, none beyond the one accepted.
fn is_dense(prev: Index, entries: &[Entry], accepted: u64) -> bool {
    let (mut index, mut round) = (prev.0, 0);
    let dense = entries.iter().all(|entry| {
        let follows = entry.id.index.0 == index.wrapping_add(1) && entry.id.ballot.round >= round;
        (index, round) = (entry.id.index.0, entry.id.ballot.round);
        follows && round <= accepted
    });
    dense && !entries.is_empty()
}

/// An entry at a place in the log, which is its own.
fn moved(entry: Entry, at: u64) -> Entry {
    let ballot: Ballot = entry.id.ballot;
    Entry { id: LogId { ballot, index: Index(at) }, ..entry }
}
