//! The log thread: makes writes durable, many with one fdatasync, and releases what waited for them.
//!
//! While one fdatasync is under way everything that arrives gathers and shares the next: the batch grows
//! with the load by itself. What waited for a write leaves from here, without a detour over the consensus
//! thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_protocol::{NodeId, Outbox, Seq, WriteOp};
use quorate_wal::{RealDisk, Wal, WalError};

use crate::combiner::Combiner;
use crate::consensus::Driver;
use crate::mailbox::Receiver;
use crate::scrubbing::Scrubber;
use crate::shared::{ConsensusInput, Core, Shared};

/// The group of the default keyspace in the node's log.
pub const GROUP: u32 = 1;

/// After so long without a write the log is sealed: the last commit gets its witness.
const IDLE: Duration = Duration::from_millis(10);

/// Bytes in one commit, about, at most.
const MAX_COMMIT_BYTES: usize = 16 << 20;

/// What comes to the log thread.
pub enum LogInput<M> {
    /// Make these durable.
    Write {
        /// The write's number.
        seq: Seq,
        /// The changes.
        ops: Vec<WriteOp>,
    },
    /// Send this once a write is durable.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: M,
        /// The write.
        after: Seq,
    },
    /// The node stops.
    Stop,
}

/// The thread's own state.
pub struct LogWriter<C: Core> {
    pub shared: Arc<Shared>,
    pub wal: Wal<RealDisk>,
    pub inputs: Receiver<LogInput<C::Message>>,
    pub core: Arc<Combiner<Driver<C>>>,
    pub outbox: Outbox<C::Message>,
    /// Asks the preparer thread to look.
    pub prepare: crossbeam_channel::Sender<()>,
}

impl<C: Core> LogWriter<C> {
    /// Run until told to stop.
    pub fn run(mut self) {
        if let Err(error) = self.serve() {
            self.shared.fatal.strike(error.to_string());
        }
    }

    fn serve(&mut self) -> Result<(), WalError> {
        let mut inputs = Vec::new();
        let mut scrubber = Scrubber::new(&self.wal, &self.shared.metrics);
        loop {
            self.inputs.take_all(&mut inputs, Some(Instant::now() + IDLE));
            if inputs.is_empty() {
                self.wal.seal()?;
                self.inputs.take_all(&mut inputs, Some(scrubber.due()));
            }
            scrubber.tend(&mut self.wal, &self.shared.metrics, inputs.is_empty());
            let (mut written, mut stop) = (None, false);
            for input in inputs.drain(..) {
                stop |= self.take(input, &mut written)?;
                if self.wal.buffered_bytes() >= MAX_COMMIT_BYTES {
                    self.commit(&mut written)?;
                }
            }
            self.commit(&mut written)?;
            if stop {
                return self.wal.seal();
            }
        }
    }

    /// Buffer a write or hold a message; answers whether to stop.
    fn take(&mut self, input: LogInput<C::Message>, written: &mut Option<Seq>) -> Result<bool, WalError> {
        match input {
            LogInput::Write { seq, ops } => {
                self.wal.append(GROUP, &ops)?;
                *written = Some(seq);
            }
            LogInput::Send { to, message, after } => {
                if let Some((to, message)) = self.outbox.put(to, message, after) {
                    self.shared.peers.send_message::<C>(to, &message);
                }
            }
            LogInput::Stop => return Ok(true),
        }
        Ok(false)
    }

    fn commit(&mut self, written: &mut Option<Seq>) -> Result<(), WalError> {
        let Some(seq) = written.take() else { return Ok(()) };
        self.wal.write()?;
        let began = Instant::now();
        self.wal.sync()?;
        self.shared.metrics.wal_fsync.observe(began.elapsed().as_secs_f64());
        self.shared.metrics.wal_bytes.store(self.wal.metrics().written_bytes, Ordering::Relaxed);
        for (to, message) in self.outbox.durable(seq) {
            self.shared.peers.send_message::<C>(to, &message);
        }
        match self.inputs.is_empty() {
            true => self.core.submit(ConsensusInput::Durable(seq)),
            // More to write: the core's own thread takes it from here.
            false => self.core.leave(ConsensusInput::Durable(seq)),
        }
        if self.wal.wants_next() {
            let _ = self.prepare.try_send(());
        }
        Ok(())
    }
}

/// Make segments ready ahead of need, off the log thread.
pub fn prepare_segments(
    shared: &Shared,
    preparer: &quorate_wal::Preparer<RealDisk>,
    asked: &crossbeam_channel::Receiver<()>,
) {
    while asked.recv().is_ok() {
        match preparer.prepare_next() {
            Ok(()) => {}
            // There is still room in the current segment; the next call tries again.
            Err(error @ WalError::NoSpace { .. }) => tracing::warn!("{error}"),
            Err(error) => return shared.fatal.strike(error.to_string()),
        }
    }
}
