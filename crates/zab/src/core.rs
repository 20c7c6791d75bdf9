//! The value itself, its gateway, and what every part of it shares.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

use quorate_protocol::lease::Leases;
use quorate_protocol::reads::FollowerReads;
use quorate_protocol::{
    Ballot, Caps, Config, Consensus, Effect, Effects, Entry, Event, Index, Log, LogId, Membership,
    Memberships, NodeId, PeerStatus, Random, Recovered, Role, Seq, Status, Violation, WriteOp,
};

use crate::discovery::Discovery;
use crate::election::Looking;
use crate::following::Following;
use crate::leader::Leader;
use crate::message::{Body, History, Message};
use crate::rules::{Paper, Rules};

/// What a node is at the moment.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Part {
    /// Waits to hear of a leader.
    Waiting,
    /// Phase 0.
    Looking(Looking),
    /// Phases 1 to 3, as a follower.
    Following(Following),
    /// Phase 1, as who was elected.
    Discovering(Discovery),
    /// Phases 2 and 3, as the leader.
    Leading(Box<Leader>),
}

/// One Zab replica. See the crate's text for its invariants.
#[derive(Clone, Debug)]
pub struct Zab<R: Rules = Paper> {
    pub(crate) config: Config,
    /// Who is in the group, along the log.
    pub(crate) members: Memberships,
    pub(crate) random: Random,

    /// acceptedEpoch, and whose it is; node 0 where that is not known.
    pub(crate) promised: Ballot,
    /// currentEpoch.
    pub(crate) joined: Ballot,
    pub(crate) log: Log,
    pub(crate) commit: Index,
    /// The last entry this log held before its disk lost some, until as much has come back; else nothing.
    pub(crate) held: LogId,

    pub(crate) part: Part,
    /// Who leads an established epoch, if known.
    pub(crate) leader: Option<NodeId>,
    /// Rounds of elections seen.
    pub(crate) round: u64,
    /// Ticks since the leader was heard, or since the present part or the leader's last stock-taking began.
    pub(crate) elapsed: u32,
    /// When `elapsed` reaches this something else is tried; drawn anew each time.
    pub(crate) timeout: u32,
    /// The connection to the leader was lost, and it has not been heard since.
    pub(crate) unreachable: bool,
    /// What this voter has promised to a leader that reads by lease, and the clock for that.
    pub(crate) leases: Leases,

    /// The last write asked for.
    pub(crate) seq: Seq,
    /// The last write of accepted and current epoch.
    pub(crate) meta_seq: Seq,
    /// The last write reported durable.
    pub(crate) durable: Seq,
    /// Changes that recovery itself calls for, written at the first step.
    recovery: Vec<WriteOp>,

    pub(crate) reads: FollowerReads,
    /// Names this life of the replica in forwarded proposals.
    pub(crate) stream: u64,
    /// Forwarded messages so far.
    pub(crate) forwarded: u64,

    /// What the host was last told of role, epoch and leader.
    announced: (Role, u64, Option<NodeId>),
    /// Set when something happened that the protocol rules out.
    pub(crate) violation: Option<Violation>,
    rules: PhantomData<R>,
}

/// The events' destination while a step runs.
pub(crate) type Out<'a> = &'a mut Effects<Message>;

impl<R: Rules> Consensus for Zab<R> {
    type Message = Message;
    const NAME: &'static str = "zab";
    const CAPS: Caps = Caps { sparse_log: false };

    fn recover(config: Config, durable: Recovered, mut random: Random) -> Self {
        assert!(
            durable.applied.index >= durable.base.index,
            "the state machine is behind the start of the log"
        );
        let mut log = Log::new(durable.base, durable.entries);
        let mut recovery = Vec::new();
        if !log.contains(durable.applied) {
            // The state was made durable before the log that led to it (or came as a snapshot): what it
            // holds is committed, and the log starts over from there.
            log.reset(durable.applied);
            recovery.push(WriteOp::Reset { id: durable.applied });
        }
        let (stream, token) = (random.next_u64(), R::first_question(random.next_u64()));
        let latest = [log.last().ballot.round, durable.held.ballot.round, durable.joined.round];
        let latest = latest.into_iter().max().unwrap_or(0);
        let promised = match durable.promised.round >= latest {
            true => durable.promised,
            false => Ballot { round: latest, node: NodeId(0) },
        };
        let mut zab = Zab {
            members: Memberships::new(match durable.membership.is_unknown() {
                true => Membership::new(config.voters.iter().copied(), []),
                false => durable.membership,
            }),
            held: if age(durable.held) > age(log.last()) { durable.held } else { LogId::default() },
            unreachable: false,
            leases: Leases::new(&config, R::keeps_promises_over_restarts()),
            random,
            promised,
            joined: durable.joined,
            commit: durable.applied.index,
            log,
            part: Part::Waiting,
            leader: None,
            round: 0,
            elapsed: 0,
            timeout: 0,
            seq: Seq(0),
            meta_seq: Seq(0),
            durable: Seq(0),
            recovery,
            reads: FollowerReads::new(token),
            stream,
            forwarded: 0,
            announced: (Role::Follower, promised.round, None),
            violation: None,
            rules: PhantomData,
            config,
        };
        let later: Vec<Entry> = zab.log.range(zab.commit.next(), zab.log.last().index).cloned().collect();
        later.iter().for_each(|entry| zab.adopt(entry));
        zab.draw_timeout();
        zab
    }

    fn step(&mut self, event: Event<Message>, out: &mut Effects<Message>) {
        if !self.recovery.is_empty() {
            let ops = core::mem::take(&mut self.recovery);
            self.write(ops, out);
        }
        match event {
            Event::Tick => self.tick(out),
            Event::Receive { from, message } => self.receive(from, message, out),
            Event::LinkReset(peer) => self.link_reset(peer, out),
            Event::Durable(seq) => self.now_durable(seq, out),
            Event::Propose(proposals) => self.propose(proposals, out),
            Event::Read(id) => self.read(id, out),
            Event::SnapshotReady { to, id, membership } => self.snapshot_ready(to, id, membership, out),
            Event::SnapshotSent { to, ok } => self.snapshot_sent(to, ok),
            Event::Compact(upto) => self.compact(upto, out),
            Event::Change(target) => self.change(&target, out),
            Event::Transfer(to) => self.transfer(to, out),
        }
        self.announce(out);
    }

    fn entries(&self, from: Index, upto: Index) -> Vec<Entry> {
        self.log.range(from, upto).cloned().collect()
    }

    fn carries_snapshot(message: &Message) -> Option<LogId> {
        match message.body {
            Body::Snapshot { id, .. } => Some(id),
            _ => None,
        }
    }

    fn status(&self) -> Status {
        let peers = match &self.part {
            Part::Leading(leader) => leader
                .peers
                .iter()
                .map(|(&node, peer)| PeerStatus {
                    node,
                    matched: peer.matched,
                    next: peer.next,
                    active: peer.active,
                })
                .collect(),
            _ => Vec::new(),
        };
        Status {
            id: self.config.id,
            role: self.role(),
            promised: self.promised,
            leader: self.leader,
            base: self.log.base(),
            last: self.log.last(),
            commit: self.commit,
            membership: self.membership().clone(),
            held: self.claim(),
            repairing: self.lacks(),
            peers,
        }
    }

    fn broken(&self) -> Option<Violation> {
        self.violation
    }

    fn check(&self) -> Result<(), Violation> {
        let own = Ballot { round: self.promised.round, node: self.config.id };
        let sets_out = matches!(self.part, Part::Discovering(_) | Part::Leading(_));
        let (mut leads, mut in_session) = (false, false);
        match &self.part {
            Part::Leading(leader) => {
                leader.check(self.log.last().index)?;
                leads = true;
            }
            Part::Following(following) => in_session = following.synced,
            _ => {}
        }
        let followed = matches!(&self.part, Part::Following(f) if f.leader == self.promised.node);
        let facts = [
            (self.log.is_sound(), "the log is dense and its epochs ascend"),
            (self.log.base().index <= self.commit, "what is purged is committed"),
            (self.commit <= self.log.last().index, "what is committed is in the log"),
            (self.joined.round <= self.promised.round, "currentEpoch <= acceptedEpoch"),
            (self.log.last().ballot.round <= self.promised.round, "no entry is from an epoch not accepted"),
            (self.durable <= self.seq, "only writes asked for are durable"),
            (self.members.since() <= self.log.last().index, "the membership is one the log brought"),
            (
                !leads || (self.promised, self.joined) == (own, own),
                "a leader has accepted and joined its own",
            ),
            (!in_session || followed, "who is in a session has accepted its leader's epoch"),
            (self.may_stand() || !sets_out, "who lacks entries it held does not set out to lead"),
        ];
        if let Some(&(_, fact)) = facts.iter().find(|(holds, _)| !holds) {
            return Err(Violation(fact));
        }
        self.violation.map_or(Ok(()), Err)
    }
}

impl<R: Rules> Zab<R> {
    pub(crate) fn role(&self) -> Role {
        match &self.part {
            Part::Waiting | Part::Looking(_) | Part::Following(_) => Role::Follower,
            Part::Leading(leader) if leader.established => Role::Leader,
            Part::Discovering(_) | Part::Leading(_) => Role::Candidate,
        }
    }

    /// Something happened that the protocol rules out.
    pub(crate) fn violate(&mut self, what: &'static str) {
        self.violation.get_or_insert(Violation(what));
    }

    /// The log has grown: what was missing may be back.
    pub(crate) fn refilled(&mut self) {
        if !self.lacks() {
            self.held = LogId::default();
        }
    }

    /// Whether the disk has lost entries that this log held, and they have not come back.
    pub(crate) fn lacks(&self) -> bool {
        age(self.held) > age(self.log.last())
    }

    /// Whether what the disk has lost allows to lead.
    pub(crate) fn may_stand(&self) -> bool {
        !self.lacks() || !R::heeds_what_was_held()
    }

    /// The last entry this log is known to have held: what it answers for in elections.
    pub(crate) fn claim(&self) -> LogId {
        if self.lacks() && R::heeds_what_was_held() { self.held } else { self.log.last() }
    }

    /// What this node's history is compared by.
    pub(crate) fn history(&self) -> History {
        History { current: self.joined.round, last: self.claim() }
    }

    /// Tell the host of a change of role, epoch or leader.
    pub(crate) fn announce(&mut self, out: Out) {
        let leader = self.leader.filter(|_| !self.hands_over());
        let now = (self.role(), self.promised.round, leader);
        if now != self.announced {
            self.announced = now;
            out.push(Effect::Role { role: now.0, round: now.1, leader: now.2 });
        }
    }

    /// The gateway.
    fn receive(&mut self, from: NodeId, message: Message, out: Out) {
        if from == self.config.id || from == NodeId(0) {
            return;
        }
        let Message { epoch, body } = message;
        match body {
            Body::Notification { round, vote, state, transfer } => {
                self.notified(from, round, (vote, state), transfer, out);
            }
            Body::FollowerInfo { accepted } => self.follower_info(from, accepted, out),
            Body::Stale { accepted } => self.stale(from, accepted, out),
            Body::NewEpoch { chosen } => self.new_epoch(from, epoch, chosen, out),
            Body::AckEpoch { .. }
            | Body::AckLeader { .. }
            | Body::Ack { .. }
            | Body::Pong { .. }
            | Body::Forward { .. }
            | Body::ReadIndex { .. } => self.receive_as_leader(from, epoch, body, out),
            Body::ReadIndexReply { token, index } if epoch == self.promised.round => {
                self.reads.answered(token, index, out);
            }
            Body::ReadIndexReply { .. } => {}
            _ => self.receive_as_follower(from, epoch, body, out),
        }
    }

    /// What followers send, for the epoch that this node leads.
    fn receive_as_leader(&mut self, from: NodeId, epoch: u64, body: Body, out: Out) {
        if epoch != self.promised.round || self.promised.node != self.config.id {
            return;
        }
        if let Part::Leading(leader) = &mut self.part
            && let Some(peer) = leader.peers.get_mut(&from)
        {
            peer.active = true;
        }
        match body {
            Body::AckEpoch { history, end, heard } => {
                self.epoch_acknowledged(from, history, (end, heard), out);
            }
            Body::AckLeader { session, matched } => self.leader_acknowledged(from, session, matched, out),
            Body::Ack { session, matched } => self.acknowledged(from, session, matched, out),
            Body::Pong { round, priority } => self.pong(from, round, priority, out),
            Body::Forward { stream, number, proposals } => {
                self.forwarded(from, stream, number, proposals, out);
            }
            Body::ReadIndex { token } => self.read_for(from, token, out),
            _ => {}
        }
    }

    /// What a leader sends once a quorum has accepted its epoch.
    fn receive_as_follower(&mut self, from: NodeId, epoch: u64, body: Body, out: Out) {
        let established = matches!(body, Body::Ping { established: true, .. });
        if !self.heard_leader(from, epoch, established, out) {
            return;
        }
        match body {
            Body::Sync { session, prev } => self.sync(from, session, prev, out),
            Body::Snapshot { session, id, membership } => self.snapshot(from, session, id, membership, out),
            Body::NewLeader { session, last } => self.new_leader(from, session, last, out),
            Body::UpToDate { commit, .. } => self.up_to_date(from, commit, out),
            Body::Propose { session, prev, entries, commit } => {
                self.proposed(from, session, prev, entries, commit, out);
            }
            Body::Commit { commit, .. } => self.committed(commit, out),
            Body::Ping { session, sent, led, commit, round, .. } => {
                self.ping(from, (session, sent, led), commit, round, out);
            }
            Body::TakeOver => self.take_over(from, out),
            _ => {}
        }
    }

    pub(crate) fn send(&self, to: NodeId, body: Body, after: Seq, out: Out) {
        out.push(Effect::Send { to, message: Message { epoch: self.promised.round, body }, after });
    }

    /// Ask for a write and answer its number.
    pub(crate) fn write(&mut self, ops: Vec<WriteOp>, out: Out) -> Seq {
        self.seq.0 += 1;
        out.push(Effect::Write { seq: self.seq, ops });
        self.seq
    }

    /// Ask for accepted and current epoch to be made durable.
    pub(crate) fn write_meta(&mut self, out: Out) {
        let (promised, joined) = (self.promised, self.joined);
        self.meta_seq = self.write(vec![WriteOp::Meta { promised, joined }], out);
    }

    pub(crate) fn commit_to(&mut self, index: Index, out: Out) {
        if index > self.commit {
            self.commit = index;
            // Whom it follows is told before what it has to apply.
            self.announce(out);
            out.push(Effect::Commit(index));
        }
    }

    /// The epoch of the entry at `index`; 0 where it is not known.
    pub(crate) fn epoch_at(&self, index: Index) -> u64 {
        self.log.ballot(index).map_or(0, |ballot| ballot.round)
    }

    fn now_durable(&mut self, seq: Seq, out: Out) {
        self.durable = self.durable.max(seq);
        self.lead_if_acknowledged(out);
        let Part::Leading(leader) = &mut self.part else { return };
        leader.now_durable(seq);
        self.establish_if_acknowledged(out);
        self.advance_commit(out);
    }

    fn compact(&mut self, upto: Index, out: Out) {
        if self.log.purge(upto.min(self.commit)) {
            self.members.purged(self.log.base().index);
            self.write(vec![WriteOp::Purge { id: self.log.base() }], out);
        }
    }
}

/// What orders last entries by how much they tell of.
fn age(id: LogId) -> (u64, Index) {
    (id.ballot.round, id.index)
}

/// What decides a replica's further course, but for chance: for searches that must recognise a state.
impl<R: Rules> core::hash::Hash for Zab<R> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (&self.members, self.promised, self.joined, &self.log, self.commit, self.held).hash(state);
        (&self.part, self.leader, self.round, self.elapsed, self.timeout).hash(state);
        (self.unreachable, &self.leases).hash(state);
        // Of writes only those under way matter, and how many they are: their numbers count what has been.
        let since = |seq: Seq| seq.0.saturating_sub(self.durable.0);
        (since(self.seq), since(self.meta_seq), &self.reads, self.forwarded).hash(state);
        if let Part::Leading(leader) = &self.part {
            leader.writing().for_each(|(seq, last)| (since(seq), last).hash(state));
        }
    }
}
