//! The replica itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

use quorate_protocol::{
    Consensus, DropReason, Effect, Entry, Event, Index, LogId, Membership, NodeId, ReadId, Role, Seq, Status,
    Violation, WriteOp,
};

use crate::reads::Reads;
use crate::retention::Retention;

/// The bounds of what a replica keeps and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Ticks after which a proposal or read that found no leader is given up.
    pub request_ticks: u64,
    /// Ticks between two attempts at a read.
    pub retry_ticks: u64,
    /// Ticks that the only voter there is gets with its first one, until it stands for election. More than an election takes to
    /// begin; 0 if it is to wait like others.
    pub lone_ticks: u32,
    /// Proposals waiting for a leader, at most.
    pub max_proposals: usize,
    /// Reads waiting, at most.
    pub max_reads: usize,
    /// Applied entries kept for followers, at most.
    pub retain_entries: usize,
    /// Their bytes, at most.
    pub retain_bytes: usize,
}

impl Default for Limits {
    /// For ticks of 10 ms: 7 s for a request, as etcd's default; half a heartbeat between attempts.
    fn default() -> Self {
        Limits {
            request_ticks: 700,
            retry_ticks: 5,
            lone_ticks: 0,
            max_proposals: 5_000,
            max_reads: 100_000,
            retain_entries: 5_000,
            retain_bytes: 16 << 20,
        }
    }
}

/// What a host tells a replica.
#[derive(Debug)]
pub enum Input<M> {
    /// Time has passed.
    Tick,
    /// A peer's message has arrived (with its image staged, if it carries one).
    Receive {
        /// The sender.
        from: NodeId,
        /// The message.
        message: M,
    },
    /// The connection to a peer was lost.
    LinkReset(NodeId),
    /// Every write up to this one is on disk.
    Durable(Seq),
    /// Replicate these commands, in this order.
    Propose(Vec<Bytes>),
    /// Tell when these reads may be served.
    Read(Vec<ReadId>),
    /// An image of the state machine stands ready.
    SnapshotReady {
        /// For this peer.
        to: NodeId,
        /// Where it stands.
        id: LogId,
        /// The membership recorded in it.
        membership: Membership,
    },
    /// An image has been handed over, or could not be.
    SnapshotSent {
        /// To this peer.
        to: NodeId,
        /// Whether it was.
        ok: bool,
    },
    /// The state machine's durable checkpoint covers the log up to here.
    Checkpointed(Index),
    /// The membership ought to be this settled one. A replica that leads remembers it, and asks for it again until it
    /// holds or another leads; a later wish replaces an earlier one. Who does not lead forgets it: by the time it leads, it
    /// may be old. So may be what a state says that has not caught up with the log ([`Replica::heeds`]): it is passed over.
    Change {
        /// The membership.
        target: Membership,
        /// Says a state that has applied everything up to here.
        at: Index,
    },
    /// Hand the leadership over to this voter.
    Transfer(NodeId),
}

/// Why a proposal was refused; none of these was replicated by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody led for as long as a request may wait.
    NoLeader,
    /// Too much is waiting or not yet committed.
    Overloaded,
}

/// What a replica asks of its host, to be carried out in order.
#[derive(Debug)]
pub enum Output<M> {
    /// Make these durable, then say [`Input::Durable`].
    Write {
        /// Number of the write.
        seq: Seq,
        /// The changes.
        ops: Vec<WriteOp>,
    },
    /// Send once the write `after` is durable.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: M,
        /// The write to wait for; 0 for none.
        after: Seq,
    },
    /// Apply these, in order.
    Apply(Vec<Entry>),
    /// These reads may be served once the state machine has applied up to `index`.
    ReadReady {
        /// The reads.
        ids: Vec<ReadId>,
        /// The index.
        index: Index,
    },
    /// These reads could not be confirmed in time.
    ReadFailed(Vec<ReadId>),
    /// These proposals were not replicated.
    Refused {
        /// The commands.
        proposals: Vec<Bytes>,
        /// Why.
        refusal: Refusal,
    },
    /// A peer needs an image of the state machine.
    SendSnapshot(NodeId),
    /// Replace the state machine by the staged image, durably, before what follows.
    InstallSnapshot(LogId),
    /// This replica's part or its leader changed.
    Role {
        /// Its part.
        role: Role,
        /// The ballot's round.
        round: u64,
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
}

/// A consensus core and its host's waiting room.
#[derive(Debug)]
pub struct Replica<C: Consensus> {
    core: C,
    limits: Limits,
    now: u64,
    leader: Option<NodeId>,
    /// Proposals that found no leader, each with the tick at which it is given up.
    proposals: VecDeque<(Bytes, u64)>,
    reads: Reads,
    retention: Retention,
    /// Entries up to here have been handed out.
    handed_out: Index,
    checkpointed: Index,
    role: Role,
    /// While it leads: in which round, and how far the log went when it began to.
    began: Option<(u64, Index)>,
    /// What the membership ought to be, until it is.
    desired: Option<Membership>,
    effects: Vec<Effect<C::Message>>,
}

impl<C: Consensus> Replica<C> {
    /// Around a core just recovered.
    pub fn new(core: C, limits: Limits) -> Self {
        let handed_out = core.status().commit;
        Replica {
            core,
            limits,
            now: 0,
            leader: None,
            proposals: VecDeque::new(),
            reads: Reads::default(),
            retention: Retention::new(limits.retain_entries, limits.retain_bytes),
            handed_out,
            checkpointed: Index(0),
            role: Role::Follower,
            began: None,
            desired: None,
            effects: Vec::new(),
        }
    }

    /// A look at the core.
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// The core, for checkers.
    pub fn core(&self) -> &C {
        &self.core
    }

    /// What the membership ought to be, while this replica leads and it is not that yet.
    pub fn desired(&self) -> Option<&Membership> {
        self.desired.as_ref()
    }

    /// Whether a state that has applied everything up to `at` may say what the membership ought to be: this replica leads, and the
    /// state has all that the log held when it began to. A state that lags the log would wish back the members of old, whom
    /// the membership in force has left out since, and who may have been switched off. That an entry of the leader's
    /// ballot is applied proves nothing: Multi-Paxos proposes old entries anew under it.
    pub fn heeds(&self, at: Index) -> bool {
        self.began.is_some_and(|(_, began)| at >= began)
    }

    /// Whether a question about reads is with the core: its answer takes along the reads that wait.
    pub fn reading(&self) -> bool {
        self.reads.flying()
    }

    /// Whether the core met something its protocol rules out; the replica must end then.
    pub fn broken(&self) -> Option<Violation> {
        self.core.broken()
    }

    /// The core's invariants.
    pub fn check(&self) -> Result<(), Violation> {
        self.core.check()
    }

    /// The only mutation.
    pub fn step(&mut self, input: Input<C::Message>, out: &mut Vec<Output<C::Message>>) {
        match input {
            Input::Tick => self.tick(out),
            Input::Receive { from, message } => self.drive(Event::Receive { from, message }, out),
            Input::LinkReset(peer) => self.drive(Event::LinkReset(peer), out),
            Input::Durable(seq) => self.drive(Event::Durable(seq), out),
            Input::Propose(proposals) => self.propose(proposals, out),
            Input::Read(ids) => self.read(ids, out),
            Input::SnapshotReady { to, id, membership } => {
                self.drive(Event::SnapshotReady { to, id, membership }, out);
            }
            Input::SnapshotSent { to, ok } => self.drive(Event::SnapshotSent { to, ok }, out),
            Input::Checkpointed(index) => {
                self.checkpointed = self.checkpointed.max(index);
                let upto = self.checkpointed.min(self.retention.floor());
                self.drive(Event::Compact(upto), out);
            }
            Input::Change { target, at } if self.heeds(at) => {
                self.desired = Some(target);
                self.change(out);
            }
            Input::Change { .. } => {}
            Input::Transfer(to) => self.drive(Event::Transfer(to), out),
        }
        self.ask(out);
    }

    fn tick(&mut self, out: &mut Vec<Output<C::Message>>) {
        self.now += 1;
        let due = self.proposals.iter().take_while(|(_, deadline)| *deadline <= self.now).count();
        if due > 0 {
            let proposals = self.proposals.drain(..due).map(|(data, _)| data).collect();
            out.push(Output::Refused { proposals, refusal: Refusal::NoLeader });
        }
        let expired = self.reads.expired(self.now);
        if !expired.is_empty() {
            out.push(Output::ReadFailed(expired));
        }
        self.drive(Event::Tick, out);
        if self.now == 1 {
            self.stand_alone(out);
        }
        if self.desired.is_some() && self.now.is_multiple_of(self.limits.retry_ticks.max(1)) {
            self.change(out);
        }
    }

    /// The only voter there is waits for nobody when it starts: an election timeout is there to hear from a leader.
    fn stand_alone(&mut self, out: &mut Vec<Output<C::Message>>) {
        let Status { id, membership, .. } = self.core.status();
        let alone = membership.voters().nodes() == [id] && membership.outgoing().nodes().is_empty();
        for _ in 0..self.limits.lone_ticks {
            if !alone || self.role != Role::Follower {
                return;
            }
            self.drive(Event::Tick, out);
        }
    }

    /// Ask for the membership desired, unless it holds. Only a leader's core would heed it.
    fn change(&mut self, out: &mut Vec<Output<C::Message>>) {
        let Some(target) = self.desired.take() else { return };
        if self.role == Role::Leader && self.core.status().membership != target {
            self.drive(Event::Change(target.clone()), out);
            self.desired = Some(target);
        }
    }

    fn propose(&mut self, proposals: Vec<Bytes>, out: &mut Vec<Output<C::Message>>) {
        match self.leader {
            Some(_) => self.drive(Event::Propose(proposals), out),
            None => self.wait(proposals, out),
        }
    }

    /// Keep proposals until somebody leads.
    fn wait(&mut self, mut proposals: Vec<Bytes>, out: &mut Vec<Output<C::Message>>) {
        let room = self.limits.max_proposals.saturating_sub(self.proposals.len());
        if proposals.len() > room {
            let proposals = proposals.split_off(room);
            out.push(Output::Refused { proposals, refusal: Refusal::Overloaded });
        }
        let deadline = self.now + self.limits.request_ticks;
        self.proposals.extend(proposals.into_iter().map(|data| (data, deadline)));
    }

    fn read(&mut self, ids: Vec<ReadId>, out: &mut Vec<Output<C::Message>>) {
        let deadline = self.now + self.limits.request_ticks;
        let mut refused = Vec::new();
        for id in ids {
            match self.reads.len() < self.limits.max_reads {
                true => self.reads.push(id, deadline),
                false => refused.push(id),
            }
        }
        if !refused.is_empty() {
            out.push(Output::ReadFailed(refused));
        }
    }

    /// Put the question of the reads that wait, if none is in flight.
    fn ask(&mut self, out: &mut Vec<Output<C::Message>>) {
        while self.leader.is_some()
            && let Some(question) = self.reads.ask(self.now)
        {
            self.drive(Event::Read(question), out);
        }
    }

    /// Step the core and carry its effects over.
    fn drive(&mut self, event: Event<C::Message>, out: &mut Vec<Output<C::Message>>) {
        let mut effects = core::mem::take(&mut self.effects);
        self.core.step(event, &mut effects);
        let mut found_leader = false;
        for effect in effects.drain(..) {
            found_leader |= self.carry(effect, out);
        }
        self.effects = effects;
        if found_leader && !self.proposals.is_empty() {
            let waited = self.proposals.drain(..).map(|(data, _)| data).collect();
            self.drive(Event::Propose(waited), out);
        }
    }

    /// Carry one effect over; answers whether a leader has just become known.
    fn carry(&mut self, effect: Effect<C::Message>, out: &mut Vec<Output<C::Message>>) -> bool {
        match effect {
            Effect::Write { seq, ops } => out.push(Output::Write { seq, ops }),
            Effect::Send { to, message, after } => out.push(Output::Send { to, message, after }),
            Effect::Commit(upto) => self.hand_out(upto, out),
            Effect::ReadReady { id, index } => {
                let ids = self.reads.answered(id);
                if !ids.is_empty() {
                    out.push(Output::ReadReady { ids, index });
                }
            }
            Effect::ReadFailed(id) => self.reads.failed(id, self.now + self.limits.retry_ticks),
            Effect::Dropped { proposals, reason: DropReason::NoLeader } => self.wait(proposals, out),
            Effect::Dropped { proposals, reason: DropReason::Overloaded } => {
                out.push(Output::Refused { proposals, refusal: Refusal::Overloaded });
            }
            Effect::SendSnapshot(to) => out.push(Output::SendSnapshot(to)),
            Effect::InstallSnapshot(id) => {
                self.handed_out = id.index;
                out.push(Output::InstallSnapshot(id));
            }
            Effect::Role { role, round, leader } => {
                let found = leader.is_some() && self.leader != leader;
                self.leader = leader;
                self.role = role;
                self.leads(role == Role::Leader, round);
                out.push(Output::Role { role, round, leader });
                return found;
            }
        }
        false
    }

    /// Remember where this leadership began. What was wished in an earlier one is old.
    fn leads(&mut self, leads: bool, round: u64) {
        let known = self.began.filter(|(since, _)| leads && *since == round);
        if known.is_none() {
            self.began = leads.then(|| (round, self.core.status().last.index));
            self.desired = None;
        }
    }

    fn hand_out(&mut self, upto: Index, out: &mut Vec<Output<C::Message>>) {
        // An install in the same step may have covered what was committed before it.
        if upto <= self.handed_out {
            return;
        }
        let entries = self.core.entries(self.handed_out.next(), upto);
        assert_eq!(entries.len() as u64, upto - self.handed_out, "committed entries are in the log");
        self.handed_out = upto;
        entries.iter().for_each(|entry| self.retention.applied(entry));
        out.push(Output::Apply(entries));
    }
}
