//! The next segment, made ready ahead of need, and the old ones, used again or removed.
//!
//! Making a segment takes a fraction of a second; a commit must not wait for it. So the host lets a
//! background thread call [`Preparer::prepare_next`] after each change of segment; if it does not, or not
//! in time, the commit that needs the segment does the work itself (but removes nothing: without calls, old
//! files are only used again). Segments whose entries have all been purged are handed over here. They stay
//! in place, oldest first, until the next segment is needed (a renamed file needs no zero-filling), except
//! that no more than [`Options::spares`](crate::Options) are kept. Since they leave from the oldest on,
//! with the directory synced after each step, a crash at any point leaves a log without gaps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile};
use crate::error::WalError;
use crate::segment::{NEXT, file_name};

/// Makes segments ready, from any thread. Holding one keeps the directory locked.
#[derive(Clone)]
pub struct Preparer<D: Disk> {
    disk: D,
    segment_bytes: u64,
    spares: usize,
    /// Held while files are being made; `state` is never held that long.
    work: Arc<Mutex<()>>,
    state: Arc<Mutex<State<D>>>,
}

/// A segment that is ready for its start frame.
pub struct Prepared<D: Disk> {
    pub number: u64,
    pub file: D::File,
    pub size: u64,
}

struct State<D: Disk> {
    /// The number the next segment will have.
    next: u64,
    prepared: Option<Prepared<D>>,
    /// Number and length of the segments no longer needed, oldest first.
    retired: VecDeque<(u64, u64)>,
    /// A failure after which the files may not be what this value says; repeated to every caller.
    failed: Option<WalError>,
    counts: Counts,
}

/// What has been done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub created: u64,
    pub recycled: u64,
    pub removed: u64,
}

enum Job {
    Create(u64),
    Recycle { from: u64, to: u64, size: u64 },
    Remove(u64),
}

impl<D: Disk> Preparer<D> {
    /// For segments from number `next` on.
    pub(crate) fn new(disk: D, segment_bytes: u64, spares: usize, next: u64) -> Self {
        let (retired, counts) = (VecDeque::new(), Counts::default());
        let state = State { next, prepared: None, retired, failed: None, counts };
        let (work, state) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(state)));
        Preparer { disk, segment_bytes, spares, work, state }
    }

    /// Whether there is something to do. Cheap.
    pub fn is_due(&self) -> bool {
        let state = self.state();
        state.prepared.is_none() || state.retired.len() > self.spares
    }

    /// Make the next segment ready, unless it is, and remove what is no longer needed. Slow.
    ///
    /// After [`WalError::NoSpace`] there is still the room that is left in the current segment, and the next call
    /// tries again (but if names were changed and the disk is too full to make that durable, it fails for good). After
    /// any other error the host must end the process, as after a failed commit.
    pub fn prepare_next(&self) -> Result<(), WalError> {
        let _work = lock(&self.work);
        while let Some(job) = self.pick(true) {
            self.carry_out(job)?;
        }
        Ok(())
    }

    /// The next segment; made ready now if need be. The flag tells whether it was.
    pub(crate) fn take(&self) -> Result<(Prepared<D>, bool), WalError> {
        let _work = lock(&self.work);
        let ready = self.state().prepared.is_some();
        loop {
            if let Some(prepared) = self.take_ready() {
                return Ok((prepared, !ready));
            }
            if let Some(job) = self.pick(false) {
                self.carry_out(job)?;
            }
        }
    }

    fn take_ready(&self) -> Option<Prepared<D>> {
        let mut state = self.state();
        let prepared = state.prepared.take()?;
        state.next = prepared.number + 1;
        Some(prepared)
    }

    /// Hand over a segment that is no longer needed; older ones must have been handed over before.
    pub(crate) fn retire(&self, number: u64, size: u64) {
        self.state().retired.push_back((number, size));
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The bytes of the files held here.
    pub(crate) fn held_bytes(&self) -> u64 {
        let state = self.state();
        let prepared = state.prepared.as_ref().map_or(0, |prepared| prepared.size);
        prepared + state.retired.iter().map(|(_, size)| size).sum::<u64>()
    }

    fn pick(&self, tidy: bool) -> Option<Job> {
        let state = self.state();
        let oldest = state.retired.front().copied();
        match oldest {
            _ if state.prepared.is_some() && !tidy => None,
            // A segment of another length (one huge frame, or another setting) is not worth keeping.
            Some((number, size)) if size != self.segment_bytes => Some(Job::Remove(number)),
            Some((from, size)) if state.prepared.is_none() => {
                Some(Job::Recycle { from, to: state.next, size })
            }
            Some((number, _)) if state.retired.len() > self.spares => Some(Job::Remove(number)),
            None if state.prepared.is_none() => Some(Job::Create(state.next)),
            _ => None,
        }
    }

    fn carry_out(&self, job: Job) -> Result<(), WalError> {
        if let Some(error) = self.state().failed.clone() {
            return Err(error);
        }
        let done = self.attempt(job);
        if let Err(error) = &done
            && !matches!(error, WalError::NoSpace { .. })
        {
            self.state().failed = Some(error.clone());
        }
        done
    }

    fn attempt(&self, job: Job) -> Result<(), WalError> {
        match job {
            Job::Create(number) => {
                let file = self.create(number)?;
                let mut state = self.state();
                state.counts.created += 1;
                state.prepared = Some(Prepared { number, file, size: self.segment_bytes });
            }
            Job::Recycle { from, to, size } => {
                let file = self.rename(&file_name(from), &file_name(to))?;
                let mut state = self.state();
                state.retired.pop_front();
                state.counts.recycled += 1;
                state.prepared = Some(Prepared { number: to, file, size });
            }
            Job::Remove(number) => {
                self.remove(number)?;
                let mut state = self.state();
                state.retired.pop_front();
                state.counts.removed += 1;
            }
        }
        Ok(())
    }

    /// A new file, whole and durable under its own name, or nothing at all.
    fn create(&self, number: u64) -> Result<D::File, WalError> {
        let path = self.disk.path(NEXT);
        let made = (|| {
            let file = self.disk.create(NEXT).map_err(|error| WalError::io("create", path.clone(), error))?;
            file.allocate(self.segment_bytes).map_err(|error| WalError::io("grow", path.clone(), error))?;
            file.sync().map_err(|error| WalError::sync(path.clone(), error))
        })();
        if let Err(error) = made {
            // Give a full disk its room back; should that fail too, the first error is the one to report.
            let _ = self.disk.remove(NEXT);
            return Err(error);
        }
        self.rename(NEXT, &file_name(number))
    }

    fn rename(&self, from: &str, to: &str) -> Result<D::File, WalError> {
        let disk = &self.disk;
        disk.rename(from, to).map_err(|error| WalError::io("rename", disk.path(from), error))?;
        self.half_done((|| {
            disk.sync_dir().map_err(|error| WalError::sync(disk.path(""), error))?;
            disk.open(to).map_err(|error| WalError::io("open", disk.path(to), error))
        })())
    }

    fn remove(&self, number: u64) -> Result<(), WalError> {
        let (disk, file) = (&self.disk, file_name(number));
        disk.remove(&file).map_err(|error| WalError::io("remove", disk.path(&file), error))?;
        self.half_done(disk.sync_dir().map_err(|error| WalError::sync(disk.path(""), error)))
    }

    /// What follows a change of names: an error leaves the files as this value does not know them, a full disk's too.
    fn half_done<T>(&self, outcome: Result<T, WalError>) -> Result<T, WalError> {
        if let Err(error) = &outcome {
            self.state().failed = Some(error.clone());
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State<D>> {
        lock(&self.state)
    }
}

/// A panic elsewhere leaves these values whole: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
