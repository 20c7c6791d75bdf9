//! A node's log as its host drives it: written in frames, synced one at a time, and watched by a ghost that knows what
//! it has made durable, see [`crate::kept`]. So does the log keep its word whatever befalls the disk within the bounds of
//! [`crate::disks`].

use std::collections::BTreeMap;

use quorate_protocol::{Consensus, LogId, Recovered, Seq, Status, WriteOp};
use quorate_replica::Input;
use quorate_wal::{Identity, MemoryDisk, Options, Verdict, Wal, WalError};

use crate::disks::Trouble;
use crate::env::Env;
use crate::host::{GROUP, Host, stands_at};
use crate::kept::{Certain, Kept, last_of, order};
use crate::node::{Durable, NodeEvent};
use crate::plant::Plant;
use crate::rehearsal::Rehearsal;
use crate::swarm::one_of;
use crate::trace::tell;

/// In a hundred ticks, how often some of the log is read again.
const SCRUB_PERCENT: u64 = 2;

/// In a hundred starts, how often is tried out on a copy what could have happened to the log.
const REHEARSE_PERCENT: u64 = 50;

/// What is under way between the replica and the disk.
pub struct Journal {
    /// The last write handed to the log.
    written: Seq,
    /// The last of them with a promise in it; 0 once that is durable.
    promise: Seq,
    /// The last write of the frame being synced, and where the log ended before it.
    flying: Option<(Seq, (u64, u64))>,
    /// What each write that is not yet durable makes certain.
    certain: Certain,
    /// What damage has taken from the log and is not back yet.
    lacking: Option<LogId>,
    trouble: Trouble,
}

impl Journal {
    /// Nothing is under way.
    pub fn new(trouble: Trouble, found: &Recovered) -> Self {
        let last = last_of(found);
        let lacking = (order(found.held) > order(last)).then_some(found.held);
        let certain = Certain::default();
        Journal { written: Seq(0), promise: Seq(0), flying: None, certain, lacking, trouble }
    }

    /// The replica stands so after a step.
    pub fn note(&mut self, status: Status) {
        self.lacking = self.lacking.filter(|held| order(*held) > order(status.last));
        self.certain.holds(self.lacking.unwrap_or(status.last));
    }

    /// What is certain when the process ends.
    pub fn at_end(&self, mut kept: Kept) -> Kept {
        self.certain.at_end(&mut kept);
        kept
    }
}

fn later(a: LogId, b: LogId) -> LogId {
    if order(a) > order(b) { a } else { b }
}

/// Harm a copy of the log of a node that is about to start.
fn rehearse<C: Consensus>(
    place: usize,
    durable: &Durable,
    identity: &Identity,
    options: Options,
    env: &mut Env,
) {
    let rehearsal = Rehearsal {
        disk: &durable.disk,
        identity,
        options: Options {
            segment_bytes: one_of(&mut env.dice.host, &[options.segment_bytes, 2048]),
            ..options
        },
        applied: stands_at(&durable.checkpoint),
        kept: &durable.kept,
        vouched: durable.vouched,
        sparse: C::CAPS.sparse_log,
        harmed: env.damaged.contains_key(&place),
        known: Vec::new(),
    };
    let mut dice = env.dice.host.fork();
    match rehearsal.run(&mut dice) {
        Ok(done) => env.trace.event(60, env.now, place as u64, quorate_checker::digest(done.as_bytes())),
        Err(wrong) => {
            env.checks.fail("LogRecovery", format!("on a copy of the log of node {}: {wrong}", place + 1))
        }
    }
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
        if env.dice.host.percent(REHEARSE_PERCENT) {
            rehearse::<C>(place, durable, &identity, options, env);
        }
        let applied = BTreeMap::from([(GROUP, stands_at(&durable.checkpoint))]);
        let (wal, mut groups) = Wal::open_at(durable.disk.clone(), options, &identity, &applied)?;
        let found = groups.remove(&GROUP).unwrap_or_default();
        let sparse = C::CAPS.sparse_log;
        // Of a log of slots it says only what damage has taken.
        let held = if sparse { found.held } else { later(found.held, last_of(&found)) };
        let found = Recovered { applied: stands_at(&durable.checkpoint), held, ..found };
        if let Some(lacks) = durable.kept.lacking_in(&found, sparse) {
            env.checks.fail("LogRecovery", format!("node {} {lacks}", place + 1));
        }
        if found.applied.index < found.base.index {
            return Self::without_state(place, wal, found, env);
        }
        Ok((wal, found))
    }

    /// The state stands before the log's beginning, which it may do if it was lost: the node begins with neither, keeps its
    /// word and what it is known to have held, and gets an image.
    fn without_state(
        place: usize,
        mut wal: Wal<MemoryDisk>,
        found: Recovered,
        env: &mut Env,
    ) -> Result<(Wal<MemoryDisk>, Recovered), WalError> {
        if !env.damaged.contains_key(&place) {
            let Recovered { applied, base, .. } = found;
            let detail =
                format!("node {}: its state is at {applied}, its log begins after {base}", place + 1);
            env.checks.fail("StateRecovery", detail);
        }
        let begins = wal.start_over(GROUP)?;
        Ok((wal, begins))
    }

    /// Hand a write to the log.
    pub fn append(&mut self, seq: Seq, ops: &[WriteOp], env: &mut Env) {
        if ops.iter().any(|op| matches!(op, WriteOp::Meta { .. })) {
            self.journal.promise = seq;
        }
        let appended = self.wal.append(GROUP, ops);
        self.log_works(appended, env);
        self.journal.written = seq;
        self.journal.certain.written(seq, ops);
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
        // A seal that was lost vouches for nothing, and nothing depends on it. But where it was put instead may be the
        // very frame that it was to vouch for.
        if let Some(Verdict::Misdirect(_)) = self.journal.trouble.took_lie() {
            self.fragile = self.fragile.max(1);
        }
        self.log_works(kept.and(prepared), env);
        if !self.dead && env.dice.host.percent(SCRUB_PERCENT) {
            self.scrub(env);
        }
    }

    /// Read a little of the log again. What is found damaged must have been damaged; the operator may start the node
    /// anew for it, while the others are well.
    fn scrub(&mut self, env: &mut Env) {
        let bytes = env.dice.host.between(1, env.swarm.segment_bytes);
        let found = match self.wal.scrub(bytes) {
            Ok(found) => found,
            Err(error) => return self.log_works(Err(error), env),
        };
        for damage in &found {
            tell!(env, "node {} reads its log again: {damage}", self.id());
            if !env.damaged.contains_key(&self.place) {
                env.checks.fail("ScrubTrue", format!("node {}: {damage}", self.id()));
            }
        }
        self.dead |= !found.is_empty() && self.fragile == 0 && env.dice.host.percent(50);
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
        if self.journal.trouble.took_lie().is_some() {
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
        self.journal.certain.durable(seq, &mut self.durable.kept);
        env.checks.durable(self.id().0, seq);
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
