//! The value itself, its gateway, and what every part of it shares.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

use quorate_protocol::lease::Leases;
use quorate_protocol::reads::FollowerReads;
use quorate_protocol::{
    Ballot, Caps, Config, Consensus, Effect, Effects, Entry, Event, Index, LogId, Membership, NodeId,
    PeerStatus, Random, Recovered, Role, Seq, Status, Violation, WriteOp,
};

use crate::members::Members;
use crate::message::{Body, Message};
use crate::preparing::Preparing;
use crate::replication::Leader;
use crate::rules::{Paper, Rules};
use crate::slots::{Slots, same_value};

/// What a node is at the moment, besides an acceptor and a learner, which it always is.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Part {
    Follower,
    /// Asks whether this ballot would be promised, without having begun it.
    Asking {
        ballot: Ballot,
        granted: BTreeSet<NodeId>,
        /// Who has let go of slots that this node would need, and up to where.
        let_go: BTreeMap<NodeId, Index>,
    },
    /// Is in phase 1.
    Preparing(Box<Preparing>),
    Leader(Box<Leader>),
}

/// One Multi-Paxos replica. See the crate's text for its invariants.
#[derive(Clone, Debug)]
pub struct Paxos<R: Rules = Paper> {
    pub(crate) config: Config,
    /// Who is in the group, along the log.
    pub(crate) members: Members,
    pub(crate) random: Random,

    pub(crate) promised: Ballot,
    /// The greatest round heard of, by whomever begun.
    pub(crate) seen: u64,
    pub(crate) slots: Slots,
    pub(crate) commit: Index,
    /// Every slot up to here is chosen or was accepted under the ballot promised.
    pub(crate) matched: Index,
    /// What the disk lost, until all of it has come back: until then every slot up to this index that is not chosen must be
    /// accepted anew under this ballot or a greater one. Else nothing.
    pub(crate) held: LogId,

    pub(crate) part: Part,
    pub(crate) leader: Option<NodeId>,
    /// Ticks since the leader was heard, or since the campaign or the leader's last stock-taking began.
    pub(crate) elapsed: u32,
    /// When `elapsed` reaches this a follower campaigns; drawn anew each time.
    pub(crate) timeout: u32,
    /// The connection to the leader was lost, and it has not been heard since.
    pub(crate) unreachable: bool,
    /// What this acceptor has promised to a leader that reads by lease, and the clock for that.
    pub(crate) leases: Leases,

    /// The last write asked for.
    pub(crate) seq: Seq,
    /// The last write of what is promised.
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

    /// What the host was last told of role, round and leader.
    announced: (Role, u64, Option<NodeId>),
    /// Set when something happened that the protocol rules out.
    pub(crate) violation: Option<Violation>,
    rules: PhantomData<R>,
}

/// The events' destination while a step runs.
pub(crate) type Out<'a> = &'a mut Effects<Message>;

impl<R: Rules> Consensus for Paxos<R> {
    type Message = Message;
    const NAME: &'static str = "paxos";
    const CAPS: Caps = Caps { sparse_log: true };

    fn recover(config: Config, durable: Recovered, mut random: Random) -> Self {
        assert!(
            durable.applied.index >= durable.base.index,
            "the state machine is behind the start of the log"
        );
        let mut slots = Slots::new(durable.base, durable.entries);
        let mut recovery = Vec::new();
        if let Some(id) = doubtful(&slots, durable.applied) {
            slots.purge(id);
            recovery.push(WriteOp::Purge { id });
        }
        let accepted = slots.range(slots.base().index, slots.last().index).map(|entry| entry.id.ballot).max();
        let promised = durable.promised.max(accepted.unwrap_or_default()).max(durable.held.ballot);
        let (stream, token) = (random.next_u64(), R::first_question(random.next_u64()));
        let mut paxos = Paxos {
            members: Members::new(match durable.membership.is_unknown() {
                true => Membership::new(config.voters.iter().copied(), []),
                false => durable.membership,
            }),
            held: durable.held,
            unreachable: false,
            leases: Leases::new(&config, R::keeps_promises_over_restarts()),
            random,
            promised,
            seen: promised.round,
            commit: durable.applied.index,
            matched: durable.applied.index,
            slots,
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
            announced: (Role::Follower, promised.round, None),
            violation: None,
            rules: PhantomData,
            config,
        };
        let later = paxos.slots.range(paxos.commit.next(), paxos.slots.last().index);
        later.for_each(|entry| _ = paxos.members.put(entry));
        paxos.refilled();
        paxos.match_on();
        paxos.draw_timeout();
        paxos
    }

    fn step(&mut self, event: Event<Message>, out: &mut Effects<Message>) {
        if !self.recovery.is_empty() {
            let ops = core::mem::take(&mut self.recovery);
            self.write(ops, out);
        }
        // Before the event, so that what a step commits is committed under the membership that it leaves.
        self.advance_change(out);
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
        self.slots.range(from, upto).cloned().collect()
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
            promised: self.promised,
            leader: self.leader,
            base: self.slots.base(),
            last: self.slots.last(),
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
        let accepted = || self.slots.range(self.commit.next(), self.slots.last().index);
        let facts = [
            (self.slots.is_sound(), "the slots are where they belong"),
            (self.slots.base().index <= self.commit, "what is purged is chosen"),
            (self.commit <= self.slots.dense(), "what is chosen is held without a hole"),
            (self.commit <= self.matched, "what is chosen is matched"),
            (self.matched <= self.slots.dense(), "what is matched is held without a hole"),
            (accepted().all(|entry| entry.id.ballot <= self.promised), "what is accepted was promised"),
            (self.durable <= self.seq, "only writes asked for are durable"),
            (self.members.since() <= self.slots.last().index, "the membership is one a slot brought"),
            (
                self.may_promise_at_all() || matches!(self.part, Part::Follower),
                "who lacks entries it accepted does not campaign",
            ),
        ];
        if let Some(&(_, fact)) = facts.iter().find(|(holds, _)| !holds) {
            return Err(Violation(fact));
        }
        if let Part::Leader(leader) = &self.part {
            self.check_leader(leader)?;
        }
        self.violation.map_or(Ok(()), Err)
    }
}

impl<R: Rules> Paxos<R> {
    fn check_leader(&self, leader: &Leader) -> Result<(), Violation> {
        let last = self.slots.last().index;
        let mut own = self.slots.range(self.commit.next(), last);
        let facts = [
            (self.promised.node == self.config.id, "who leads does so under a ballot of its own"),
            (self.slots.dense() == last, "a leader's slots have no holes"),
            (own.all(|entry| entry.id.ballot == self.promised), "what a leader proposes is under its ballot"),
        ];
        match facts.iter().find(|(holds, _)| !holds) {
            Some(&(_, fact)) => Err(Violation(fact)),
            None => leader.check(last),
        }
    }

    pub(crate) fn role(&self) -> Role {
        match self.part {
            Part::Follower | Part::Asking { .. } => Role::Follower,
            Part::Preparing(_) => Role::Candidate,
            Part::Leader(_) => Role::Leader,
        }
    }

    /// Something happened that the protocol rules out.
    pub(crate) fn violate(&mut self, what: &'static str) {
        self.violation.get_or_insert(Violation(what));
    }

    /// Something was accepted or chosen: what was missing may be back.
    pub(crate) fn refilled(&mut self) {
        let restored = |index| self.slots.ballot(index).is_some_and(|ballot| ballot >= self.held.ballot);
        let mut at = self.commit;
        while at < self.held.index && restored(at.next()) {
            at = at.next();
        }
        if at >= self.held.index {
            self.held = LogId::default();
        }
    }

    /// For [`Status::held`]: the last slot held, or while some are lacking, one after it, however little is.
    fn claim(&self) -> LogId {
        let last = self.slots.last();
        match self.lacks() {
            true => LogId { index: self.held.index.max(last.index.next()), ..self.held },
            false => last,
        }
    }

    /// Whether the disk has lost entries that were accepted, and they have not come back.
    pub(crate) fn lacks(&self) -> bool {
        self.held != LogId::default()
    }

    /// Whether what the disk has lost allows to promise anything, to oneself too.
    pub(crate) fn may_promise_at_all(&self) -> bool {
        !self.lacks() || !R::heeds_what_was_held()
    }

    fn announce(&mut self, out: Out) {
        let leader = self.leader.filter(|_| !self.hands_over());
        let now = (self.role(), self.promised.round, leader);
        if now != self.announced {
            self.announced = now;
            out.push(Effect::Role { role: now.0, round: now.1, leader: now.2 });
        }
    }

    /// Send under the ballot promised.
    pub(crate) fn send(&self, to: NodeId, body: Body, after: Seq, out: Out) {
        out.push(Effect::Send { to, message: Message { ballot: self.promised, body }, after });
    }

    /// Ask for a write and answer its number.
    pub(crate) fn write(&mut self, ops: Vec<WriteOp>, out: Out) -> Seq {
        self.seq.0 += 1;
        out.push(Effect::Write { seq: self.seq, ops });
        self.seq
    }

    /// Promise a greater ballot.
    pub(crate) fn enter(&mut self, ballot: Ballot, leader: Option<NodeId>, out: Out) {
        self.promised = ballot;
        self.seen = self.seen.max(ballot.round);
        self.matched = self.commit;
        let meta = WriteOp::Meta { promised: ballot, joined: Ballot::default() };
        self.meta_seq = self.write(vec![meta], out);
        self.follow(leader, out);
    }

    /// Fill slots, and ask for that to be made durable. Answers false if that contradicts what is known to be so.
    pub(crate) fn put(&mut self, entries: Vec<Entry>, out: Out) -> bool {
        for entry in &entries {
            if self.slots.get(entry.id.index).is_some_and(|old| contradicts(old, entry)) {
                self.violate("a slot has two values under one ballot");
                return false;
            }
            self.slots.put(entry.clone());
            if self.members.put(entry) {
                self.meet_peers();
            }
        }
        if !entries.is_empty() {
            self.write(vec![WriteOp::Put(entries)], out);
        }
        self.match_on();
        if self.lacks() {
            self.refilled();
        }
        true
    }

    /// Find out how far the slots hold what this ballot's leader proposes.
    pub(crate) fn match_on(&mut self) {
        self.matched = self.matched.max(self.commit);
        while self.slots.ballot(self.matched.next()) == Some(self.promised) {
            self.matched = self.matched.next();
        }
    }

    pub(crate) fn commit_to(&mut self, index: Index, out: Out) {
        if index > self.commit {
            self.commit = index;
            self.match_on();
            out.push(Effect::Commit(index));
            if self.lacks() {
                self.refilled();
            }
        }
    }

    fn compact(&mut self, upto: Index, out: Out) {
        let upto = upto.min(self.commit);
        if let Some(id) = self.slots.get(upto).map(|entry| entry.id) {
            self.slots.purge(id);
            self.members.purged(upto);
            self.write(vec![WriteOp::Purge { id }], out);
        }
    }
}

/// Whether the same slot would have another value under the same ballot.
fn contradicts(old: &Entry, new: &Entry) -> bool {
    old.id.ballot == new.id.ballot && !same_value(old, new)
}

/// Up to where the slots before what the state machine holds must be let go, if any must.
///
/// The state may have been made durable before the slots that led to it, which then hold what was accepted earlier, or nothing.
/// An entry is applied when it is accepted under the ballot then promised, so one that is held under the ballot of the last one applied, or
/// a greater one, was proposed by a leader that knew what is chosen there: it is that. Of the others nobody can tell.
fn doubtful(slots: &Slots, applied: LogId) -> Option<LogId> {
    let mut at = applied.index;
    while at > slots.base().index && slots.ballot(at).is_some_and(|ballot| ballot >= applied.ballot) {
        at = at.prev();
    }
    // Under the ballot of the last one applied all of it was known to be chosen.
    (at > slots.base().index).then_some(LogId { index: at, ..applied })
}

/// What decides a replica's further course, but for chance: for searches that must recognise a state.
impl<R: Rules> core::hash::Hash for Paxos<R> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (&self.members, self.promised, self.seen, &self.slots, self.commit, self.matched, self.held)
            .hash(state);
        (&self.part, self.leader, self.elapsed, self.timeout, self.unreachable, &self.leases).hash(state);
        // Of writes only those under way matter, and how many they are: their numbers count what has been.
        let since = |seq: Seq| seq.0.saturating_sub(self.durable.0);
        (since(self.seq), since(self.meta_seq), &self.reads, self.forwarded).hash(state);
        if let Part::Leader(leader) = &self.part {
            leader.writing().for_each(|(seq, last)| (since(seq), last).hash(state));
        }
    }
}
