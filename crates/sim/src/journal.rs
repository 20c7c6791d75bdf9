//! A node's log as its host drives it: written in frames, synced one at a time, and watched by a ghost that knows what
//! it has made durable.
//!
//! Property **LogRecovery**: whatever was durable when a node went down is found again when it starts. The promise is
//! there, and the last entry that was held is not denied: either it is in the log, or the log says that it held
//! it and lost it to damage. So does the log keep its word whatever befalls the disk within the bounds of
//! [`crate::disks`].

use std::collections::VecDeque;

use quorate_protocol::{Ballot, Consensus, LogId, NodeId, Recovered, Seq, Status, WriteOp};
use quorate_replica::Input;
use quorate_wal::{Identity, MemoryDisk, Options, Wal, WalError};

use crate::disks::{Kept, Trouble};
use crate::env::Env;
use crate::host::{GROUP, Host, stands_at};
use crate::node::{Durable, NodeEvent};
use crate::plant::Plant;

/// What is under way between the replica and the disk.
pub struct Journal {
    /// The last write handed to the log.
    written: Seq,
    /// The last of them with a promise in it; 0 once that is durable.
    promise: Seq,
    /// The last write of the frame being synced, and where the log ended before it.
    flying: Option<(Seq, (u64, u64))>,
    /// What each write that is not yet durable makes certain.
    certain: VecDeque<(Seq, Kept)>,
    /// What damage has taken from the log and is not back yet.
    lacking: Option<LogId>,
    trouble: Trouble,
}

impl Journal {
    /// Nothing is under way.
    pub fn new(trouble: Trouble, found: &Recovered) -> Self {
        let last = last_of(found);
        let lacking = (order(found.held) > order(last)).then_some(found.held);
        let certain = VecDeque::new();
        Journal { written: Seq(0), promise: Seq(0), flying: None, certain, lacking, trouble }
    }

    /// The replica stands so after a step.
    pub fn note(&mut self, status: Status) {
        if self.certain.back().map_or(Seq(0), |(seq, _)| *seq) < self.written {
            self.lacking = self.lacking.filter(|held| order(*held) > order(status.last));
            let held = self.lacking.unwrap_or(status.last);
            self.certain.push_back((self.written, Kept { promised: status.promised, held }));
        }
    }

    /// What is certain when the process ends: a write under way may have replaced what was held before it, or not.
    pub fn at_end(&self, kept: Kept) -> Kept {
        let under_way = self.certain.iter().map(|(_, kept)| kept.held);
        let held = under_way.fold(kept.held, |a, b| if order(a) < order(b) { a } else { b });
        Kept { held, ..kept }
    }

    /// What is certain now that this write is durable.
    fn durable(&mut self, upto: Seq) -> Option<Kept> {
        let mut kept = None;
        while let Some((_, certain)) = self.certain.pop_front_if(|(seq, _)| *seq <= upto) {
            kept = Some(certain);
        }
        kept
    }
}

/// The last entry of a log.
fn last_of(found: &Recovered) -> LogId {
    found.entries.last().map_or(found.base, |entry| entry.id)
}

fn order(id: LogId) -> (u64, u64) {
    (id.ballot.round, id.index.0)
}

fn later(a: LogId, b: LogId) -> LogId {
    if order(a) > order(b) { a } else { b }
}

impl<C: Consensus> Host<C> {
    /// Open a node's log.
    pub fn open_log(
        place: usize,
        durable: &Durable,
        env: &mut Env,
    ) -> Result<(Wal<MemoryDisk>, Recovered), WalError> {
        let identity = Identity { cluster: 1, node: place as u64 + 1, protocol: C::NAME.into() };
        let options = Options { segment_bytes: env.swarm.segment_bytes, spares: 1 };
        let (wal, mut groups) = Wal::open(durable.disk.clone(), options, &identity)?;
        let found = groups.remove(&GROUP).unwrap_or_default();
        let held = later(found.held, last_of(&found));
        let found = Recovered { applied: stands_at(&durable.checkpoint), held, ..found };
        let Kept { promised, held } = durable.kept;
        // An entry or a state of a later round says that the round was entered, without a vote.
        let round = found.held.ballot.round.max(found.applied.ballot.round);
        let answers_for = found.promised.max(Ballot { round, node: NodeId(0) });
        if order(found.held) < order(held) || answers_for < promised {
            let has = format!("finds promise {answers_for} and entry {}", found.held);
            let had = format!("had promise {promised} and entry {held} durable");
            env.checks.fail("LogRecovery", format!("node {} {has}, and {had}", place + 1));
        }
        Ok((wal, found))
    }

    /// Hand a write to the log.
    pub fn append(&mut self, seq: Seq, ops: &[WriteOp], env: &mut Env) {
        if ops.iter().any(|op| matches!(op, WriteOp::Meta { .. })) {
            self.journal.promise = seq;
        }
        let appended = self.wal.append(GROUP, ops);
        self.log_works(appended, env);
        self.journal.written = seq;
    }

    /// Whether a frame is on its way to the disk.
    pub fn is_writing(&self) -> bool {
        self.journal.flying.is_some()
    }

    /// A tick's work on the log: seal it when it is idle, make the next segment ready.
    pub fn keep_log(&mut self, env: &mut Env) {
        if self.dead {
            return;
        }
        let kept = if self.wal.is_idle() { self.wal.seal() } else { Ok(()) };
        let prepared =
            if self.wal.wants_next() && env.dice.host.percent(30) { self.wal.prepare_next() } else { Ok(()) };
        // A seal that was lost vouches for nothing, and nothing depends on it.
        self.journal.trouble.took_lie();
        self.log_works(kept.and(prepared), env);
    }

    /// An error ends the node; it must have had a cause.
    fn log_works(&mut self, outcome: Result<(), WalError>, env: &mut Env) {
        if let Err(error) = outcome {
            self.dead = true;
            if !self.journal.trouble.failed() {
                env.checks.fail("LogWorks", format!("node {}: {error}", self.id()));
            }
        }
    }

    /// Write what is buffered, unless a frame is being synced.
    pub fn write(&mut self, env: &mut Env) {
        if self.dead || self.is_writing() || self.wal.buffered_bytes() == 0 {
            return;
        }
        let before = self.wal.position();
        let written = self.wal.write();
        self.log_works(written, env);
        if self.dead {
            return;
        }
        if self.journal.trouble.took_lie() {
            self.fragile = 2;
        }
        self.journal.flying = Some((self.journal.written, (before.segment, before.offset)));
        let delay = env.disk_us(self.place);
        env.after_at(delay, self.place, self.life, NodeEvent::Synced);
        if env.plant == Some(Plant::AckBeforeFsync) {
            self.durable_upto(self.journal.written, env);
        }
    }

    /// The fsync under way has finished.
    pub fn synced(&mut self, env: &mut Env) {
        let synced = self.wal.sync();
        self.log_works(synced, env);
        let Some((seq, vouched)) = self.journal.flying.take().filter(|_| !self.dead) else { return };
        self.durable.vouched = vouched;
        if let Some(kept) = self.journal.durable(seq) {
            self.durable.kept = kept;
        }
        self.fragile = self.fragile.saturating_sub(1);
        if self.fragile == 0 {
            self.journal.trouble.witnessed();
        }
        match env.plant {
            Some(Plant::AckBeforeFsync) => {}
            Some(Plant::SyncCoversLater) => self.durable_upto(self.journal.written, env),
            _ => self.durable_upto(seq, env),
        }
        self.write(env);
        while let Some(input) = self.inputs.pop_front() {
            self.step(input, env);
        }
    }

    /// Send what waited for this write, and let the replica know.
    fn durable_upto(&mut self, seq: Seq, env: &mut Env) {
        for (to, message) in self.outbox.durable(seq) {
            self.send(to, &message, env);
            env.sent_after_sync(self.place, self.life);
        }
        if self.journal.promise > Seq(0) && self.journal.promise <= seq {
            self.journal.promise = Seq(0);
            env.promised(self.place, self.life);
        }
        self.inputs.push_back(Input::Durable(seq));
    }
}
