//! The consensus thread: holds the replica and carries its outputs over to the other threads.
//!
//! It runs to completion: it takes everything that has arrived, merges proposals into one batch and reads
//! into another, steps the replica, and hands the outputs on, never waiting for a disk or a socket. The one exception is the
//! installation of a snapshot, during which the replica has nothing else to do.

use std::time::Instant;

use bytes::Bytes;
use quorate_protocol::{Consensus, Index, LogId, NodeId, ReadId, Seq};
use quorate_replica::{Input, Output, Refusal, Replica};
use quorate_storage::Image;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::LogInput;
use crate::mailbox::{Receiver, Sender};
use crate::shared::{ApplyInput, ConsensusInput, Consenter, Shared, TICK, Unproposed};
use crate::snapshots;

/// Ticks made up for at once after the thread was held up; more are forgotten, as a clock that jumps must
/// not make a whole election timeout pass in one step.
const MAX_MISSED_TICKS: u32 = 3;

/// Its sender's side, with the message type hidden.
pub struct Ear<M>(pub Sender<ConsensusInput<M>>);

impl<M: Send> Consenter for Ear<M> {
    fn propose(&self, data: Bytes) {
        self.0.send(ConsensusInput::Propose(data));
    }
    fn read(&self, id: ReadId) {
        self.0.send(ConsensusInput::Read(id));
    }
    fn checkpointed(&self, index: Index) {
        self.0.send(ConsensusInput::Checkpointed(index));
    }
}

/// The thread's own state.
pub struct Driver<C: Consensus> {
    pub shared: Arc<Shared>,
    pub replica: Replica<C>,
    pub inputs: Receiver<ConsensusInput<C::Message>>,
    pub sender: Sender<ConsensusInput<C::Message>>,
    pub log: Sender<LogInput<C::Message>>,
    /// The last write known durable.
    pub durable: Seq,
    /// An image that came with a message being stepped.
    pub staged: Option<Image>,
}

impl<C: Consensus> Driver<C>
where
    C::Message: Send + 'static,
{
    /// Run until told to stop.
    pub fn run(mut self) {
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        let mut next_tick = Instant::now() + TICK;
        loop {
            self.inputs.take_all(&mut inputs, Some(next_tick));
            if !self.take_inputs(&mut inputs, &mut outputs) || self.shared.fatal.struck() {
                return;
            }
            self.tick_if_due(&mut next_tick, &mut outputs);
        }
    }

    fn tick_if_due(&mut self, next_tick: &mut Instant, outputs: &mut Vec<Output<C::Message>>) {
        let now = Instant::now();
        let mut made_up = 0;
        while *next_tick <= now && made_up < MAX_MISSED_TICKS {
            *next_tick += TICK;
            made_up += 1;
            self.step(Input::Tick, outputs);
        }
        if *next_tick <= now {
            *next_tick = now + TICK;
        }
    }

    /// Step through what has arrived; answers false when the node stops.
    fn take_inputs(
        &mut self,
        inputs: &mut Vec<ConsensusInput<C::Message>>,
        outputs: &mut Vec<Output<C::Message>>,
    ) -> bool {
        let (mut proposals, mut reads) = (Vec::new(), Vec::new());
        for input in inputs.drain(..) {
            match input {
                ConsensusInput::Propose(data) => proposals.push(data),
                ConsensusInput::Read(id) => reads.push(id),
                ConsensusInput::Message(from, message) => {
                    self.step(Input::Receive { from, message }, outputs)
                }
                ConsensusInput::Snapshot(from, message, image) => {
                    self.staged = Some(image);
                    self.step(Input::Receive { from, message }, outputs);
                    self.staged = None;
                }
                ConsensusInput::LinkReset(peer) => self.step(Input::LinkReset(peer), outputs),
                ConsensusInput::Durable(seq) => {
                    self.durable = seq;
                    self.step(Input::Durable(seq), outputs);
                }
                ConsensusInput::SnapshotReady(to, id) => self.step(Input::SnapshotReady { to, id }, outputs),
                ConsensusInput::SnapshotSent(to, ok) => self.step(Input::SnapshotSent { to, ok }, outputs),
                ConsensusInput::Checkpointed(index) => {
                    if !self.shared.peers.sending_snapshot() {
                        self.step(Input::Checkpointed(index), outputs);
                    }
                }
                ConsensusInput::Stop => return false,
            }
        }
        if !proposals.is_empty() {
            self.step(Input::Propose(proposals), outputs);
        }
        if !reads.is_empty() {
            self.step(Input::Read(reads), outputs);
        }
        true
    }

    fn step(&mut self, input: Input<C::Message>, outputs: &mut Vec<Output<C::Message>>) {
        self.replica.step(input, outputs);
        for output in outputs.drain(..) {
            self.carry(output);
        }
        if let Some(violation) = self.replica.broken() {
            self.shared
                .fatal
                .strike(format!("an invariant of the consensus core is broken: {}", violation.0));
        }
    }

    fn carry(&mut self, output: Output<C::Message>) {
        match output {
            Output::Write { seq, ops } => self.to_log(LogInput::Write { seq, ops }),
            Output::Send { to, message, after } if after <= self.durable => {
                self.shared.peers.send_message::<C>(to, &message);
            }
            Output::Send { to, message, after } => self.to_log(LogInput::Send { to, message, after }),
            Output::Apply(entries) => {
                if let Some(last) = entries.last() {
                    self.shared.committed.store(last.id.index.0, Ordering::SeqCst);
                }
                self.to_apply(ApplyInput::Entries(entries));
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
                self.shared.metrics.leader_changed(leader.is_some());
                self.to_apply(ApplyInput::Role(role));
            }
        }
    }

    fn reads_ready(&mut self, ids: Vec<ReadId>, index: Index) {
        match self.shared.applied.load(Ordering::SeqCst) >= index.0 {
            true => self.shared.reads.complete(ids.into_iter().map(|id| (id.0, true))),
            false => self.to_apply(ApplyInput::Reads(ids, index)),
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
        let (shared, sender) = (Arc::clone(&self.shared), self.sender.clone());
        snapshots::prepare(shared, to, sender);
    }

    /// The image must be in place, durably, before the log is reset.
    fn install(&mut self, id: LogId) {
        let Some(image) = self.staged.take() else {
            return self.shared.fatal.strike(format!("no image is staged for the snapshot at {id}"));
        };
        let (done, installed) = crossbeam_channel::bounded(1);
        self.to_apply(ApplyInput::Install(image, done));
        // An error means the apply thread has struck the node.
        let _ = installed.recv();
        self.shared.committed.store(id.index.0, Ordering::SeqCst);
    }

    fn to_log(&self, input: LogInput<C::Message>) {
        self.log.send(input);
    }

    fn to_apply(&self, input: ApplyInput) {
        self.shared.apply.send(input);
    }
}
