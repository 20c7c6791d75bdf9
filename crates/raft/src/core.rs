//! The value itself, its gateway, and what every part of it shares.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

use quorate_protocol::lease::Leases;
use quorate_protocol::reads::FollowerReads;
use quorate_protocol::{
    Ballot, Caps, Config, Consensus, Effect, Effects, Entry, Event, Index, Log, LogId, Membership,
    Memberships, NodeId, PeerStatus, Random, Recovered, Role, Seq, Status, Violation, WriteOp,
};

use crate::message::{Body, Message, Term};
use crate::replication::Leader;
use crate::rules::{Paper, Rules};

/// What a node is at the moment.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Part {
    Follower,
    /// Asks whether it could win, without having begun a term.
    PreCandidate {
        granted: BTreeSet<NodeId>,
    },
    Candidate {
        granted: BTreeSet<NodeId>,
    },
    Leader(Box<Leader>),
}

/// One Raft replica. See the crate's text for its invariants.
#[derive(Clone, Debug)]
pub struct Raft<R: Rules = Paper> {
    pub(crate) config: Config,
    /// Who is in the group, along the log.
    pub(crate) members: Memberships,
    pub(crate) random: Random,

    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
    pub(crate) log: Log,
    pub(crate) commit: Index,
    /// How far the log has been compared with the current leader's and found equal.
    pub(crate) matched: Index,
    /// The last entry this log held before its disk lost some, until as much has come back; else nothing. (What the log
    /// has now does not belong here: a leader may lawfully cut that off.)
    pub(crate) held: LogId,

    pub(crate) part: Part,
    pub(crate) leader: Option<NodeId>,
    /// Ticks since the leader was heard, or since the campaign or the leader's last stock-taking began.
    pub(crate) elapsed: u32,
    /// When `elapsed` reaches this a follower campaigns; drawn anew each time.
    pub(crate) timeout: u32,
    /// The connection to the leader was lost, and it has not been heard since.
    pub(crate) unreachable: bool,
    /// What this voter has promised to a leader that reads by lease, and the clock for that.
    pub(crate) leases: Leases,

    /// The last write asked for.
    pub(crate) seq: Seq,
    /// The last write of term and vote.
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

    /// What the host was last told of role, term and leader.
    announced: (Role, Term, Option<NodeId>),
    /// Set when something happened that the protocol rules out.
    pub(crate) violation: Option<Violation>,
    rules: PhantomData<R>,
}

/// The events' destination while a step runs.
pub(crate) type Out<'a> = &'a mut Effects<Message>;

impl<R: Rules> Consensus for Raft<R> {
    type Message = Message;
    const NAME: &'static str = "raft";
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
        let vote = (durable.promised.node != NodeId(0)).then_some(durable.promised.node);
        let (stream, token) = (random.next_u64(), R::first_question(random.next_u64()));
        let latest = log.last().ballot.round.max(durable.held.ballot.round);
        let term = Term(durable.promised.round.max(latest));
        let mut raft = Raft {
            members: Memberships::new(match durable.membership.is_unknown() {
                true => Membership::new(config.voters.iter().copied(), []),
                false => durable.membership,
            }),
            held: if age(durable.held) > age(log.last()) { durable.held } else { LogId::default() },
            unreachable: false,
            leases: Leases::new(&config, R::keeps_promises_over_restarts()),
            random,
            term,
            vote: vote.filter(|_| term.0 == durable.promised.round),
            commit: durable.applied.index,
            matched: durable.applied.index,
            log,
            part: Part::Follower,
            leader: None,
            elapsed: 0,
            timeout: 0,
            seq: Seq(0),
            meta_seq: Seq(0),
            durable: Seq(0),
            recovery,
            reads: FollowerReads::new(token),
            stream,
            forwarded: 0,
            announced: (Role::Follower, term, None),
            violation: None,
            rules: PhantomData,
            config,
        };
        let later: Vec<Entry> = raft.log.range(raft.commit.next(), raft.log.last().index).cloned().collect();
        later.iter().for_each(|entry| raft.adopt(entry));
        raft.draw_timeout();
        raft
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
            Part::Leader(leader) => leader
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
            promised: self.promised(),
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
        let facts = [
            (self.log.is_sound(), "the log is dense and its rounds ascend"),
            (self.log.base().index <= self.commit, "what is purged is committed"),
            (self.commit <= self.log.last().index, "what is committed is in the log"),
            (self.matched <= self.log.last().index, "what is matched is in the log"),
            (self.log.last().ballot.round <= self.term.0, "no entry is from a later term"),
            (self.durable <= self.seq, "only writes asked for are durable"),
            (self.members.since() <= self.log.last().index, "the membership is one the log brought"),
            (
                self.may_stand() || matches!(self.part, Part::Follower),
                "who lacks entries it held does not campaign",
            ),
        ];
        if let Some(&(_, fact)) = facts.iter().find(|(holds, _)| !holds) {
            return Err(Violation(fact));
        }
        if let Part::Leader(leader) = &self.part {
            leader.check(self.log.last().index)?;
        }
        self.violation.map_or(Ok(()), Err)
    }
}

impl<R: Rules> Raft<R> {
    pub(crate) fn role(&self) -> Role {
        match self.part {
            Part::Follower | Part::PreCandidate { .. } => Role::Follower,
            Part::Candidate { .. } => Role::Candidate,
            Part::Leader(_) => Role::Leader,
        }
    }

    /// Term and vote as they are made durable.
    fn promised(&self) -> Ballot {
        Ballot { round: self.term.0, node: self.vote.unwrap_or(NodeId(0)) }
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

    /// Whether what the disk has lost allows to ask for votes.
    pub(crate) fn may_stand(&self) -> bool {
        !self.lacks() || !R::heeds_what_was_held()
    }

    /// The last entry this log is known to have held: what it answers for in votes.
    pub(crate) fn claim(&self) -> LogId {
        if self.lacks() && R::heeds_what_was_held() { self.held } else { self.log.last() }
    }

    fn announce(&mut self, out: Out) {
        let leader = self.leader.filter(|_| !self.hands_over());
        let now = (self.role(), self.term, leader);
        if now != self.announced {
            self.announced = now;
            out.push(Effect::Role { role: now.0, round: now.1.0, leader: now.2 });
        }
    }

    /// The gateway: what a message's term means, before what it says (§5.1).
    fn receive(&mut self, from: NodeId, message: Message, out: Out) {
        if from == self.config.id || from == NodeId(0) {
            return;
        }
        let Message { term, body } = message;
        if let Part::Leader(leader) = &mut self.part
            && let Some(peer) = leader.peers.get_mut(&from)
        {
            peer.active |= term == self.term;
        }
        if term > self.term && !self.rise_to(term, from, &body, out) {
            return;
        }
        if term < self.term {
            return self.answer_stale(from, &body, out);
        }
        match body {
            Body::PreVote { last } => self.pre_vote(from, term, last, out),
            Body::PreVoteReply { granted } => self.pre_vote_reply(from, term, granted, out),
            Body::Vote { last, transfer } => self.vote(from, last, transfer, out),
            Body::VoteReply { granted } => self.vote_reply(from, granted, out),
            Body::Append { prev, entries, commit } => self.append(from, prev, entries, commit, out),
            Body::Accepted { matched } => self.accepted(from, matched, out),
            Body::Rejected { prev, hint, lost } => self.rejected(from, prev, hint, lost, out),
            Body::Heartbeat { commit, round } => self.heartbeat(from, commit, round, out),
            Body::HeartbeatReply { round, unsure, priority } => {
                self.heartbeat_reply(from, round, unsure, priority, out);
            }
            Body::Snapshot { id, membership } => self.snapshot(from, id, membership, out),
            Body::Stale => {}
            Body::Forward { stream, number, proposals } => {
                self.forwarded(from, stream, number, proposals, out);
            }
            Body::ReadIndex { token } => self.read_for(from, token, out),
            Body::ReadIndexReply { token, index } => self.reads.answered(token, index, out),
            Body::TimeoutNow => self.timeout_now(from, out),
        }
    }

    /// A message of a later term: take the term over, unless it is only asked about or comes from a
    /// candidate while a leader is heard. Answers whether to go on with the message.
    fn rise_to(&mut self, term: Term, from: NodeId, body: &Body, out: Out) -> bool {
        match body {
            // Asks about a term that has not begun.
            Body::PreVote { .. } | Body::PreVoteReply { granted: true } => true,
            Body::Vote { transfer: false, .. } if self.hears_leader_other_than(from) => false,
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                self.enter(term, Some(from), out);
                true
            }
            _ => {
                let waited = (self.elapsed, self.timeout);
                let waits_on = !R::waits_anew_when_refusing() && !matches!(self.part, Part::Leader(_));
                self.enter(term, None, out);
                if waits_on {
                    (self.elapsed, self.timeout) = waited;
                }
                true
            }
        }
    }

    /// A message of an earlier term: its sender must learn that the term is over, or a leader cut off from
    /// the votes would send for ever, and a candidate behind a partition could never catch up
    /// (etcd issues 8243 and 8501).
    fn answer_stale(&mut self, from: NodeId, body: &Body, out: Out) {
        let reply = match body {
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => Body::Stale,
            Body::PreVote { .. } => Body::PreVoteReply { granted: false },
            Body::Vote { .. } => Body::VoteReply { granted: false },
            _ => return,
        };
        self.send(from, reply, self.meta_seq, out);
    }

    pub(crate) fn send(&self, to: NodeId, body: Body, after: Seq, out: Out) {
        out.push(Effect::Send { to, message: Message { term: self.term, body }, after });
    }

    /// Ask for a write and answer its number.
    pub(crate) fn write(&mut self, ops: Vec<WriteOp>, out: Out) -> Seq {
        self.seq.0 += 1;
        out.push(Effect::Write { seq: self.seq, ops });
        self.seq
    }

    /// Ask for term and vote to be made durable.
    pub(crate) fn write_meta(&mut self, out: Out) {
        self.meta_seq =
            self.write(vec![WriteOp::Meta { promised: self.promised(), joined: Ballot::default() }], out);
    }

    pub(crate) fn commit_to(&mut self, index: Index, out: Out) {
        if index > self.commit {
            self.commit = index;
            out.push(Effect::Commit(index));
        }
    }

    /// The term of the entry at `index`; 0 where it is not known.
    pub(crate) fn term_at(&self, index: Index) -> Term {
        Term(self.log.ballot(index).map_or(0, |ballot| ballot.round))
    }

    fn compact(&mut self, upto: Index, out: Out) {
        if self.log.purge(upto.min(self.commit)) {
            self.members.purged(self.log.base().index);
            self.write(vec![WriteOp::Purge { id: self.log.base() }], out);
        }
    }
}

/// What orders last entries by how up to date they are (§5.4.1).
fn age(id: LogId) -> (u64, Index) {
    (id.ballot.round, id.index)
}

/// What decides a replica's further course, but for chance: for searches that must recognise a state.
impl<R: Rules> core::hash::Hash for Raft<R> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (&self.members, self.term, self.vote, &self.log, self.commit, self.matched, self.held).hash(state);
        (&self.part, self.leader, self.elapsed, self.timeout, self.unreachable, &self.leases).hash(state);
        // Of writes only those under way matter, and how many they are: their numbers count what has been.
        let since = |seq: Seq| seq.0.saturating_sub(self.durable.0);
        (since(self.seq), since(self.meta_seq), &self.reads, self.forwarded).hash(state);
        if let Part::Leader(leader) = &self.part {
            leader.writing().for_each(|(seq, last)| (since(seq), last).hash(state));
        }
    }
}
