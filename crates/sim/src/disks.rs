//! Disks that fail: what is planned for one, and what it has done.
//!
//! Every operation of a node's log asks its [`Trouble`] what becomes of it. One strike at a time can be armed: the
//! n-th operation of a kind fails, or pretends. Besides, a disk can be full for a while.
//!
//! What may be done to a disk is bounded by what a log can know. A lost or misdirected write and a flipped bit are found
//! out by a witness, a later frame; so a node that has such a write behind it is not crashed, and its disk does nothing
//! else wrong, before the next frame is on it (the *fragile* time, see [`Host`](crate::host::Host)), and bits are flipped before the last frame only. Rot in the
//! very last frame, with the power lost before anything followed, cannot be told from a torn write, and no log
//! could. Damage is done to a minority of the voters at a time; a node is whole again when it has restarted since,
//! and holds what it is known to have held.

use std::sync::{Arc, Mutex, MutexGuard};

use quorate_wal::{MemoryDisk, Operation, Verdict};

use crate::report::Fault;

/// Which operations a strike counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All.
    Any,
    /// Writes to the log's segments.
    Writes,
    /// Syncs of files.
    Syncs,
    /// Reads.
    Reads,
}

impl Target {
    fn matches(self, operation: Operation, file: &str) -> bool {
        match self {
            Target::Any => true,
            Target::Writes => operation == Operation::Write && file.ends_with(".log"),
            Target::Syncs => operation == Operation::Sync,
            Target::Reads => operation == Operation::Read,
        }
    }
}

/// What is to happen to one operation.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// Of these operations,
    pub target: Target,
    /// after so many,
    pub after: u64,
    /// one suffers this,
    pub verdict: Verdict,
    /// which counts as that.
    pub fault: Fault,
}

#[derive(Debug, Default)]
struct Plan {
    armed: Option<Strike>,
    full: bool,
    struck: Vec<Fault>,
    failed: bool,
    /// What it did with an operation that it pretended to do.
    lied: Option<Verdict>,
    /// A write that was lied about has no witness yet: nothing else goes wrong until it has.
    unwitnessed: bool,
    halted: bool,
}

impl Plan {
    fn judge(&mut self, operation: Operation, file: &str) -> Verdict {
        if self.unwitnessed {
            return Verdict::Pass;
        }
        let grows = matches!(operation, Operation::Create | Operation::Allocate)
            || operation == Operation::Write && file.ends_with(".tmp");
        if self.full && grows {
            self.failed = true;
            return Verdict::NoSpace;
        }
        let Some(strike) = self.armed.as_mut().filter(|strike| strike.target.matches(operation, file)) else {
            return Verdict::Pass;
        };
        if strike.after > 0 {
            strike.after -= 1;
            return Verdict::Pass;
        }
        let Strike { verdict, fault, .. } = *strike;
        self.armed = None;
        self.struck.push(fault);
        match verdict {
            Verdict::Lose | Verdict::Misdirect(_) => (self.lied, self.unwitnessed) = (Some(verdict), true),
            Verdict::Halt => (self.failed, self.halted) = (true, true),
            _ => self.failed = true,
        }
        verdict
    }
}

/// A disk's troubles. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Plan>>);

impl Trouble {
    /// Let a disk ask.
    pub fn attach(&self, disk: &MemoryDisk) {
        let plan = self.clone();
        disk.set_hook(move |operation, file, _| plan.lock().judge(operation, file));
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Plan a strike; it replaces one that has not happened.
    pub fn arm(&self, strike: Strike) {
        self.lock().armed = Some(strike);
    }

    /// The disk is full, or has room again.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// No more troubles, but those that have happened.
    pub fn end(&self) {
        let mut plan = self.lock();
        (plan.armed, plan.full) = (None, false);
    }

    /// What was planned and has not happened does not happen.
    pub fn disarm(&self) {
        self.lock().armed = None;
    }

    /// The process begins anew: what failed before was another's.
    pub fn begin_life(&self) {
        let mut plan = self.lock();
        (plan.failed, plan.halted, plan.lied, plan.unwitnessed) = (false, false, None, false);
    }

    /// Whether an operation of this life was made to fail.
    pub fn failed(&self) -> bool {
        self.lock().failed
    }

    /// Whether the power failed in the middle of an operation.
    pub fn halted(&self) -> bool {
        self.lock().halted
    }

    /// What became of an operation since the last time that pretended to be done, if one did.
    pub fn took_lie(&self) -> Option<Verdict> {
        self.lock().lied.take()
    }

    /// The frame after the one that was lied about is on the disk.
    pub fn witnessed(&self) {
        self.lock().unwitnessed = false;
    }

    /// What has happened since the last time.
    pub fn struck(&self) -> Vec<Fault> {
        std::mem::take(&mut self.lock().struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_wal::{Identity, Options, Wal, WriteOp};

    #[test]
    fn the_operation_that_was_meant_is_struck_once() {
        let (trouble, disk) = (Trouble::default(), MemoryDisk::new());
        trouble.attach(&disk);
        let identity = Identity { cluster: 1, node: 1, protocol: "raft".into() };
        let (mut wal, _) = Wal::open(disk, Options::default(), &identity).expect("no trouble yet");
        let strike =
            Strike { target: Target::Syncs, after: 1, verdict: Verdict::IoError, fault: Fault::FsyncError };
        trouble.arm(strike);
        let mut commit = |round| {
            let promised = quorate_protocol::Ballot { round, ..Default::default() };
            wal.append(0, &[WriteOp::Meta { promised, joined: Default::default() }])
                .and_then(|()| wal.commit())
        };
        assert!(commit(1).is_ok() && !trouble.failed());
        assert!(commit(2).is_err() && trouble.failed());
        assert_eq!(trouble.struck(), [Fault::FsyncError]);
        assert!(trouble.struck().is_empty());
    }
}
