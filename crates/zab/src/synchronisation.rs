//! Phase 2: a quorum makes the leader's history its own, which commits it. And sessions, which begin the same way for
//! whoever comes later or has missed something.
//!
//! The leader finds where the follower's history and its own part: from the follower's last entry it knows one at or
//! before which that must be; if the follower has not got that entry it names an earlier one, and each such exchange
//! rules out at least an epoch. Then TRUNC, DIFF and SNAP are these: the follower cuts off what is after that entry, and is sent
//! what follows it; or, where the leader's log does not reach back so far, an image of the state machine first. NEWLEADER
//! ends the leader's history as of when the session began. The follower's currentEpoch becomes the leader's in a write after
//! those of the entries, and its acknowledgement waits for both. With a quorum of these, and the leader's own,
//! the epoch is established.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use quorate_protocol::{Effect, Index, LogId, Membership, NodeId, Pace, Seq, WriteOp};

use crate::core::{Out, Part, Zab};
use crate::following::Following;
use crate::leader::Leader;
use crate::message::{Body, Vote};
use crate::rules::Rules;

// The leader's side.
impl<R: Rules> Zab<R> {
    /// A quorum has accepted the epoch: make its history that of the others, whose logs may end here.
    pub(crate) fn lead(&mut self, ends: BTreeMap<NodeId, LogId>, out: Out) {
        let others: Vec<NodeId> =
            self.membership().nodes().into_iter().filter(|&node| node != self.config.id).collect();
        self.elapsed = 0;
        self.joined = self.promised;
        self.write_meta(out);
        let initial = self.log.last().index;
        let uncommitted = self.log.range(self.commit.next(), initial);
        let bytes = uncommitted.map(|entry| entry.data.len()).sum();
        let mut leader = Leader::new(&others, initial, self.meta_seq, bytes);
        ends.keys().for_each(|node| _ = leader.peers.get_mut(node).map(|peer| peer.active = true));
        self.part = Part::Leading(alloc::boxed::Box::new(leader));
        ends.into_iter().for_each(|(node, end)| self.synchronise(node, end, 0, out));
    }

    /// Begin a session with a follower whose log may agree with ours up to `end`, if it agrees at all: unless one has begun of
    /// which it had not heard when it asked.
    pub(crate) fn synchronise(&mut self, to: NodeId, end: LogId, heard: u64, out: Out) {
        let last = self.log.last().index;
        let Part::Leading(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let contained = self.log.contains(end);
        if let Pace::Snapshot { at } = peer.pace
            && peer.session != 0
            && !(contained && at.is_some_and(|at| end.index >= at))
        {
            return; // It asks while its image is on the way.
        }
        if heard < peer.session {
            return;
        }
        let session = leader.next_session();
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let same_place = self.log.ballot(end.index).is_some_and(|ballot| ballot.round == end.ballot.round);
        let prev = match contained {
            true => end,
            false if same_place => self.log.last_at_or_below(end.index.prev(), end.ballot.round),
            false => self.log.last_at_or_below(end.index, end.ballot.round),
        };
        peer.begin(session, prev.index, last);
        let may_agree = prev.index <= end.index && prev.ballot.round <= end.ballot.round;
        if !may_agree {
            peer.snapshot();
            return out.push(Effect::SendSnapshot(to));
        }
        match contained {
            // Its log is on its disk up to there.
            true => _ = peer.acknowledged(prev.index),
            false => peer.sent(prev.index),
        }
        self.send(to, Body::Sync { session, prev }, self.meta_seq, out);
        self.replicate(to, out);
    }

    pub(crate) fn snapshot_ready(&mut self, to: NodeId, id: LogId, membership: Membership, out: Out) {
        let Part::Leading(leader) = &mut self.part else { return };
        let session = leader.sessions + 1;
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        if let Pace::Snapshot { at } = &mut peer.pace {
            *at = Some(id.index);
            (peer.stalled, peer.handed_over, peer.session) = (0, false, session);
            leader.sessions = session;
            self.send(to, Body::Snapshot { session, id, membership }, self.meta_seq, out);
        }
    }

    /// A snapshot that was not handed over is started again when the peer next asks; one that was stays
    /// in flight until it is acknowledged or given up as stalled.
    pub(crate) fn snapshot_sent(&mut self, to: NodeId, ok: bool) {
        let Part::Leading(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        peer.handed_over = ok;
        if !ok && matches!(peer.pace, Pace::Snapshot { .. }) {
            peer.snapshot_failed();
            peer.end_session();
        }
    }

    /// NEWLEADER, once everything up to the goal was sent.
    pub(crate) fn tell_new_leader(&mut self, to: NodeId, out: Out) {
        let Part::Leading(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        if peer.session == 0 || peer.led || peer.pace != Pace::Replicate || peer.next <= peer.goal {
            return;
        }
        let index = peer.next.prev();
        if let Some(ballot) = self.log.ballot(index) {
            peer.led = true;
            let (session, last) = (peer.session, LogId { ballot, index });
            self.send(to, Body::NewLeader { session, last }, self.meta_seq, out);
        }
    }

    /// A follower has made the history and the epoch its own.
    pub(crate) fn leader_acknowledged(&mut self, from: NodeId, session: u64, matched: Index, out: Out) {
        let last = self.log.last().index;
        let Part::Leading(leader) = &mut self.part else { return };
        let established = leader.established;
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        if session != peer.session || matched > last || !peer.led {
            return;
        }
        peer.stalled = 0;
        peer.joined = true;
        peer.acknowledged(matched);
        match established {
            true => {
                self.tell_up_to_date(from, out);
                self.advance_commit(out);
                self.tell_target(out);
            }
            false => self.establish_if_acknowledged(out),
        }
        self.replicate(from, out);
    }

    /// Establish the epoch if a quorum has acknowledged NEWLEADER: the initial history is committed, and a first entry
    /// of the epoch proposed.
    pub(crate) fn establish_if_acknowledged(&mut self, out: Out) {
        let id = self.config.id;
        let Part::Leading(leader) = &self.part else { return };
        if leader.established {
            return;
        }
        let joined = |node| match node == id {
            true => leader.has_joined,
            false => leader.peers.get(&node).is_some_and(|peer| peer.joined),
        };
        let acknowledged = leader.has_joined && self.membership().any_quorum(joined);
        if !R::may_establish(acknowledged) {
            return;
        }
        let initial = leader.initial;
        let Part::Leading(leader) = &mut self.part else { return };
        (leader.established, leader.has_joined, leader.uncommitted_bytes) = (true, true, 0);
        let joined: Vec<NodeId> =
            leader.peers.iter().filter(|(_, peer)| peer.joined).map(|(&node, _)| node).collect();
        self.elapsed = 0;
        self.leader = Some(id);
        self.announce(out);
        self.commit_to(initial, out);
        joined.into_iter().for_each(|node| self.tell_up_to_date(node, out));
        self.propose_noop(out);
    }

    fn tell_up_to_date(&mut self, to: NodeId, out: Out) {
        let commit = self.commit;
        let Part::Leading(leader) = &mut self.part else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        peer.told_commit = peer.told_commit.max(commit.min(peer.matched));
        let session = peer.session;
        self.send(to, Body::UpToDate { session, commit }, self.meta_seq, out);
    }
}

// The follower's side.
impl<R: Rules> Zab<R> {
    /// Follow a node.
    pub(crate) fn follow(&mut self, leader: NodeId, vote: Option<Vote>, transfer: bool, out: Out) {
        self.leave(out);
        self.part = Part::Following(Following::new(leader, vote, transfer));
    }

    /// A message has come from `from` that only the leader of an epoch that a quorum has accepted sends. Answers whether it
    /// is this node's leader, in an epoch that it has accepted.
    pub(crate) fn heard_leader(&mut self, from: NodeId, epoch: u64, established: bool, out: Out) -> bool {
        let accepted = self.promised;
        let same = epoch == accepted.round;
        if epoch < accepted.round || (same && accepted.node != from) {
            if let Part::Leading(leader) = &self.part
                && same
                && established
                && leader.established
            {
                self.violate("PrimaryIntegrity: an epoch has two established leaders");
            }
            self.send(from, Body::Stale { accepted }, self.meta_seq, out);
            return false;
        }
        let held_off = match &self.part {
            Part::Looking(looking) => looking.transfer,
            Part::Following(following) => following.transfer && following.leader != from,
            _ => false,
        };
        if same && held_off {
            return false;
        }
        let follows = matches!(&self.part, Part::Following(following) if following.leader == from);
        if !follows || self.unreachable {
            self.follow(from, None, false, out);
        }
        self.elapsed = 0;
        let synced = self.joined == accepted;
        let Part::Following(following) = &mut self.part else { return false };
        if same && !following.accepted {
            (following.accepted, following.synced) = (true, synced);
        }
        if !same {
            if following.accepted {
                // The same node leads again, in a later epoch.
                *following = following.anew();
            }
            self.ask(out);
            return false;
        }
        if established && self.leader != Some(from) {
            self.leader = Some(from);
        }
        true
    }

    /// Ask the leader for what comes next: its epoch, or to be synchronised. Not before a heartbeat's time has passed since it
    /// was last asked, or since something was first missed: it may be on its way.
    pub(crate) fn ask(&mut self, out: Out) {
        let accepted = self.promised;
        let patience = self.config.heartbeat_ticks;
        let Part::Following(following) = &mut self.part else { return };
        if following.asked < patience {
            return;
        }
        following.asked = 0;
        let to = following.leader;
        match following.accepted {
            true => self.acknowledge_epoch(self.log.last(), out),
            false => self.send(to, Body::FollowerInfo { accepted }, self.meta_seq, out),
        }
    }

    /// A session begins; the log agrees with the leader's history up to where it is cut off, or it is a prefix of it already.
    fn begin_session(&mut self, session: u64) {
        if let Part::Following(following) = &mut self.part {
            following.begin(session);
        }
    }

    pub(crate) fn sync(&mut self, from: NodeId, session: u64, prev: LogId, out: Out) {
        let last = self.log.last().index;
        let Part::Following(following) = &mut self.part else { return };
        if !following.hear(session, Index(0), false, last) {
            return;
        }
        if session == following.session {
            // Its answer may have been lost.
            return self.send(from, Body::Ack { session, matched: last }, self.seq, out);
        }
        let synced = following.synced;
        let known = self.log.ballot(prev.index);
        if prev.index <= self.commit && known.is_some_and(|ballot| ballot != prev.ballot) {
            return self.contradicted();
        }
        let extends = prev.index <= self.commit || R::may_extend(known, prev.ballot);
        if !extends {
            let end = self.log.last_at_or_below(prev.index, prev.ballot.round);
            return self.acknowledge_epoch(end, out);
        }
        if !synced && prev.index < self.commit {
            // An answer to a question of this node's former life, from before it committed more.
            return self.ask(out);
        }
        if !synced && prev.index < self.log.last().index {
            self.log.truncate_from(prev.index.next());
            self.members.truncated_from(prev.index.next());
            self.write(vec![WriteOp::Truncate(prev.index)], out);
        }
        self.begin_session(session);
        if !R::history_before_epoch() {
            self.join(out);
        }
        self.take_what_came_early(from, out);
    }

    pub(crate) fn snapshot(
        &mut self,
        from: NodeId,
        session: u64,
        id: LogId,
        membership: Membership,
        out: Out,
    ) {
        let last = self.log.last().index;
        let Part::Following(following) = &mut self.part else { return };
        let late = session <= following.session || !following.hear(session, Index(0), false, last);
        if late || id.index.0 >= u64::MAX / 2 {
            return;
        }
        if id.index <= self.commit || self.log.contains(id) {
            // The log already leads there: no need for the image, but what follows it may have to be cut off.
            return match following.synced {
                true => {
                    self.begin_session(session);
                    self.take_what_came_early(from, out);
                }
                false => self.acknowledge_epoch(self.log.last(), out),
            };
        }
        // Where the log has another entry at that place, or none, nothing after it can be committed.
        self.begin_session(session);
        if !R::history_before_epoch() {
            self.join(out);
        }
        self.log.reset(id);
        self.members.reset(membership);
        self.commit = id.index;
        self.refilled();
        out.push(Effect::InstallSnapshot(id));
        self.write(vec![WriteOp::Reset { id }], out);
        self.take_what_came_early(from, out);
    }

    /// The leader's epoch becomes this node's.
    fn join(&mut self, out: Out) {
        if self.joined != self.promised {
            self.joined = self.promised;
            self.write_meta(out);
        }
    }

    pub(crate) fn new_leader(&mut self, from: NodeId, session: u64, last: LogId, out: Out) {
        let end = self.log.last().index;
        let Part::Following(following) = &mut self.part else { return };
        if !following.hear(session, last.index, true, end) {
            return;
        }
        if session != following.session || end < last.index {
            following.early.led = Some(last);
            return self.ask(out);
        }
        if self.log.ballot(last.index).is_some_and(|ballot| ballot != last.ballot) {
            return self.contradicted();
        }
        self.join(out);
        if let Part::Following(following) = &mut self.part {
            (following.led, following.asked) = (true, 0);
        }
        let after = if R::acknowledges_when_durable() { self.seq } else { Seq(0) };
        let matched = self.log.last().index;
        self.send(from, Body::AckLeader { session, matched }, after, out);
    }

    pub(crate) fn up_to_date(&mut self, from: NodeId, commit: Index, out: Out) {
        self.leader = Some(from);
        self.committed(commit, out);
    }

    pub(crate) fn contradicted(&mut self) {
        self.violate("Agreement: a leader contradicts a committed transaction");
    }
}
