//! The consensus core at work: steps the replica and carries its outputs over.
//!
//! Whoever has an input runs it (see [`combiner`](crate::combiner)): a receiver its message, the log thread
//! its completion, a client its proposal. A run takes everything that has arrived, merges proposals into one
//! batch and reads into another, and never waits for a disk or a socket. The one exception is the
//! installation of a snapshot, during which the replica has nothing else to do.
//!
//! While a write is under way, or a round of reads, clients only leave their requests: its completion takes
//! all of them together. This is batching on completion, the whole way from the client's edge.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use quorate_protocol::{Index, LogId, NodeId, ReadId, Role, Seq};
use quorate_replica::{Input, Output, Refusal, Replica};
use quorate_storage::Image;

use crate::apply::Applier;
use crate::combiner::{Combiner, Work};
use crate::log::LogInput;
use crate::mailbox::Sender;
use crate::members::desired;
use crate::shared::{ApplyInput, ConsensusInput, Consenter, Core, Shared, TICK, Unproposed};
use crate::snapshots;
use crate::steward::Steward;
use crate::ticks::Ticks;

/// Entries that are applied on the spot, at most; more are left to the apply thread.
const APPLY_HERE: usize = 64;

/// Clients' way to the core, with its type hidden.
pub struct Ear<C: Core> {
    /// Weak: the core holds what holds the ear.
    pub core: Weak<Combiner<Driver<C>>>,
    /// A completion is sure to come, and will take along what is left for it.
    pub busy: Arc<Busy>,
}

/// What a core is waiting for.
#[derive(Debug, Default)]
pub struct Busy {
    writing: AtomicBool,
    reading: AtomicBool,
}

impl<C: Core> Ear<C> {
    fn submit(&self, input: ConsensusInput<C::Message>, busy: &AtomicBool) {
        // A core that has ended needs nothing told.
        let Some(core) = self.core.upgrade() else { return };
        core.put(input);
        // Looked at after the input is in: a run that clears it looks for inputs once more afterwards.
        if !busy.load(Ordering::SeqCst) {
            core.visit();
        }
    }
}

impl<C: Core> Consenter for Ear<C> {
    fn propose(&self, data: Bytes) {
        self.submit(ConsensusInput::Propose(data), &self.busy.writing);
    }
    fn command(&self, round: u64, data: Bytes) {
        self.submit(ConsensusInput::Command(round, data), &self.busy.writing);
    }
    fn read(&self, id: ReadId) {
        self.submit(ConsensusInput::Read(id), &self.busy.reading);
    }
    fn checkpointed(&self, index: Index) {
        self.submit(ConsensusInput::Checkpointed(index), &AtomicBool::new(false));
    }
    fn stands(&self, applied: Index) {
        self.submit(ConsensusInput::Stands(applied), &AtomicBool::new(false));
    }
    fn transfer(&self, to: NodeId) {
        self.submit(ConsensusInput::Transfer(to), &AtomicBool::new(false));
    }
}

/// The core's own thread: it looks after time, and takes over what is left to it.
pub fn attend<C: Core>(core: &Combiner<Driver<C>>) {
    let mut next = Instant::now() + TICK;
    while core.attend(Some(next)) {
        let now = Instant::now();
        if next <= now {
            core.submit(ConsensusInput::Clock);
            next = (next + TICK).max(now);
        }
    }
}

/// The replica with what it needs to be carried out.
pub struct Driver<C: Core> {
    pub shared: Arc<Shared>,
    pub replica: Replica<C>,
    pub apply: Arc<Combiner<Applier>>,
    pub log: Sender<LogInput<C::Message>>,
    /// The way back to this value, for what goes on elsewhere.
    pub own: Weak<Combiner<Driver<C>>>,
    pub busy: Arc<Busy>,
    /// The last write asked for, and the last known durable.
    pub written: Seq,
    pub durable: Seq,
    /// An image that came with a message being stepped.
    pub staged: Option<Image>,
    /// Kept for its room.
    pub outputs: Vec<Output<C::Message>>,
    pub ticks: Ticks,
    /// What is asked of the core by the members table.
    pub steward: Steward,
}

impl<C: Core> Work for Driver<C> {
    type Input = ConsensusInput<C::Message>;

    fn work(&mut self, inputs: &mut Vec<Self::Input>) -> bool {
        let woken = inputs.iter().any(|input| matches!(input, ConsensusInput::Clock));
        for _ in 0..self.ticks.due(woken) {
            self.step(Input::Tick);
        }
        let (mut proposals, mut commands, mut reads) = (Vec::new(), Vec::new(), Vec::new());
        for input in inputs.drain(..) {
            match input {
                ConsensusInput::Clock => {}
                ConsensusInput::Propose(data) => proposals.push(data),
                ConsensusInput::Command(round, data) => commands.push((round, data)),
                ConsensusInput::Read(id) => reads.push(id),
                ConsensusInput::Message(from, message) => self.step(Input::Receive { from, message }),
                ConsensusInput::Snapshot(from, message, image) => {
                    self.staged = Some(image);
                    self.step(Input::Receive { from, message });
                    self.staged = None;
                }
                ConsensusInput::LinkReset(peer) => self.step(Input::LinkReset(peer)),
                ConsensusInput::Durable(seq) => {
                    self.durable = seq;
                    self.step(Input::Durable(seq));
                }
                ConsensusInput::SnapshotReady(to, id, membership) => {
                    self.step(Input::SnapshotReady { to, id, membership });
                    if !self.shared.leadership.leads() {
                        self.shared.peers.unstage();
                    }
                }
                ConsensusInput::SnapshotSent(to, ok) => self.step(Input::SnapshotSent { to, ok }),
                ConsensusInput::Checkpointed(index) => {
                    if !self.shared.peers.sending_snapshot() {
                        self.step(Input::Checkpointed(index));
                    }
                }
                ConsensusInput::Stands(applied) => self.steward.stands(applied),
                ConsensusInput::Transfer(to) => self.step(Input::Transfer(to)),
                ConsensusInput::Stop => return false,
            }
        }
        // What was stepped above may have ended this node's leadership, and with it its right to command.
        let commands = commands.into_iter().filter(|(round, _)| self.shared.leadership.leads_in(*round));
        proposals.extend(commands.map(|(_, data)| data));
        if !proposals.is_empty() {
            self.step(Input::Propose(proposals));
        }
        if !reads.is_empty() {
            self.step(Input::Read(reads));
        }
        if self.steward.due() {
            self.look();
        }
        self.busy.writing.store(self.written > self.durable, Ordering::SeqCst);
        self.busy.reading.store(self.replica.reading(), Ordering::SeqCst);
        !self.shared.fatal.struck()
    }
}

impl<C: Core> Driver<C> {
    fn step(&mut self, input: Input<C::Message>) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.replica.step(input, &mut outputs);
        for output in outputs.drain(..) {
            self.carry(output);
        }
        self.outputs = outputs;
        if let Some(violation) = self.replica.broken() {
            self.shared
                .fatal
                .strike(format!("an invariant of the consensus core is broken: {}", violation.0));
        }
    }

    fn carry(&mut self, output: Output<C::Message>) {
        match output {
            Output::Write { seq, ops } => {
                self.written = seq;
                self.log.send(LogInput::Write { seq, ops });
            }
            Output::Send { to, message, after } if after <= self.durable => {
                self.shared.peers.send_message::<C>(to, &message);
            }
            Output::Send { to, message, after } => self.log.send(LogInput::Send { to, message, after }),
            Output::Apply(entries) => {
                if let Some(last) = entries.last() {
                    self.shared.committed.store(last.id.index.0, Ordering::SeqCst);
                }
                match entries.len() <= APPLY_HERE {
                    true => self.apply.submit(ApplyInput::Entries(entries)),
                    false => self.apply.leave(ApplyInput::Entries(entries)),
                }
            }
            Output::ReadReady { ids, index } => self.reads_ready(ids, index),
            Output::ReadFailed(ids) => {
                self.shared.reads.complete(ids.into_iter().map(|id| (id.0, false)));
            }
            Output::Refused { proposals, refusal } => self.refused(proposals, refusal),
            Output::SendSnapshot(to) => self.send_snapshot(to),
            Output::InstallSnapshot(id) => self.install(id),
            Output::Role { role, round, leader } => {
                tracing::info!(?role, term = round, leader = ?leader.map(|node| node.0), "role or leader changed");
                self.shared.leadership.set(role, round, leader, self.shared.now_ms());
                if role != Role::Leader {
                    self.shared.peers.unstage();
                }
                self.shared.metrics.leader_changed(leader.is_some());
                self.steward.look_soon();
                self.apply.submit(ApplyInput::Role(role));
            }
        }
    }

    /// See where the core stands, and ask of it what the members table says, if this node leads.
    fn look(&mut self) {
        let status = self.replica.status();
        self.shared.core_seen(&status);
        if status.role != Role::Leader {
            return self.steward.rest();
        }
        if !self.replica.heeds(self.steward.applied()) {
            return;
        }
        let desired = desired(&self.shared.roll.table(), &status.membership);
        let successor = || self.shared.roll.successor(status.id);
        if let Some(input) = self.steward.advise(&status, desired, self.replica.desired(), successor) {
            self.step(input);
            self.steward.look_again();
        }
    }

    fn reads_ready(&mut self, ids: Vec<ReadId>, index: Index) {
        match self.shared.applied.load(Ordering::SeqCst) >= index.0 {
            true => self.shared.reads.complete(ids.into_iter().map(|id| (id.0, true))),
            false => self.apply.submit(ApplyInput::Reads(ids, index)),
        }
    }

    fn refused(&mut self, proposals: Vec<Bytes>, refusal: Refusal) {
        let reason = match refusal {
            Refusal::NoLeader => Unproposed::NoLeader,
            Refusal::Overloaded => Unproposed::Overloaded,
        };
        let own = proposals.iter().filter_map(|data| quorate_wire::peek_origin(data).ok());
        let own = own.filter(|(origin, _)| *origin == self.shared.member());
        self.shared.proposals.complete(own.map(|(_, request)| (request, Err(reason))));
    }

    fn send_snapshot(&mut self, to: NodeId) {
        snapshots::prepare(Arc::clone(&self.shared), to, self.own.clone());
    }

    /// The image must be in place, durably, before the log is reset.
    fn install(&mut self, id: LogId) {
        let Some(image) = self.staged.take() else {
            return self.shared.fatal.strike(format!("no image is staged for the snapshot at {id}"));
        };
        let (done, installed) = crossbeam_channel::bounded(1);
        self.apply.submit(ApplyInput::Install(image, done));
        // An error means the apply thread has struck the node.
        let _ = installed.recv();
        self.shared.committed.store(id.index.0, Ordering::SeqCst);
    }
}
