//! The checkpoint thread: moves what has been applied to the state's file, and compaction forward.
//!
//! A checkpoint is begun when enough has gathered or enough time has passed; writing it needs no lock on
//! the state. Once durable it lets the log be shortened.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_protocol::Index;
use quorate_storage::StorageError;

use crate::shared::Shared;

/// Bytes of records not in the file that make a checkpoint due.
const DUE_BYTES: u64 = 8 << 20;

/// The age of changes that makes a checkpoint due.
const DUE_AGE: Duration = Duration::from_secs(5);

/// How often to look.
const PACE: Duration = Duration::from_millis(50);

/// Index steps of a compaction under one hold of the state's lock.
const COMPACT_STEP: usize = 500;

/// Run until the node stops.
pub fn run(shared: &Arc<Shared>) {
    let mut last = Instant::now();
    let mut at = shared.state.read().meta().applied_index;
    while !shared.stopping.load(Ordering::SeqCst) && !shared.fatal.struck() {
        std::thread::sleep(PACE);
        let more = shared.state.write().compact_step(COMPACT_STEP);
        if more {
            compact_on(shared);
        }
        let state = shared.state.read();
        let (bytes, applied) = (state.storage().pending_bytes(), state.meta().applied_index);
        drop(state);
        if applied != at && (bytes >= DUE_BYTES || last.elapsed() >= DUE_AGE) {
            match checkpoint(shared) {
                Ok(applied) => (at, last) = (applied, Instant::now()),
                Err(error) => return shared.fatal.strike(error.to_string()),
            }
        }
    }
}

/// A burst of compaction steps, with the lock given up in between.
fn compact_on(shared: &Shared) {
    for _ in 0..100 {
        if !shared.state.write().compact_step(COMPACT_STEP) {
            return;
        }
        std::thread::yield_now();
    }
}

/// Write everything applied so far to the state's file, durably; answers the index it stands at.
///
/// # Errors
/// The disk refuses; the node must end.
pub fn checkpoint(shared: &Shared) -> Result<u64, StorageError> {
    let applied = write(shared)?;
    // Told with nothing held: the core may be about to replace the state's files.
    shared.consensus().checkpointed(Index(applied));
    Ok(applied)
}

fn write(shared: &Shared) -> Result<u64, StorageError> {
    let _files = shared.files.lock();
    let began = Instant::now();
    let checkpoint = shared.state.write().storage_mut().begin_checkpoint();
    let applied = checkpoint.meta().applied_index;
    let committed = checkpoint.commit(true)?;
    let retired = shared.state.write().storage_mut().finish_checkpoint(committed);
    drop(retired);
    shared.metrics.checkpoint.observe(began.elapsed().as_secs_f64());
    Ok(applied)
}
