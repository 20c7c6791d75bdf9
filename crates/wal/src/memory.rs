//! A disk in memory that can do what disks do at their worst, and the same again for the same choices.
//!
//! Used by this crate's tests and by the simulator. Handles are cheap to clone and share one disk; the
//! simulator keeps one to cut the power ([`MemoryDisk::crash`]) under the node that holds another. Nothing
//! here is random by itself: a crash is given a function that picks a number below a bound, and faults come
//! from a hook that sees every operation and gives a [`Verdict`]. Both belong to the caller, who seeds
//! them.
//!
//! The model of a crash:
//! - Bytes not synced since they were written are decided *per sector of 512 bytes*: each keeps the content
//!   of any of the writes since the last sync, or of none. A quarter of all crashes lose everything, a
//!   quarter keep everything.
//! - A length not synced is old or new.
//! - Creations, renamings and removals since the last `sync_dir` are undone or kept one by one.
//! - After a *failed* sync the sectors it should have written may be lost in a later crash even if a later
//!   sync succeeds: the kernel has marked them clean.
//! - Files that were open are dead: using them is an error.
//!
//! Besides, whoever holds the disk can flip bits ([`MemoryDisk::flip`]) and make sectors unreadable
//! ([`MemoryDisk::spoil`]) behind the log's back.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::Disk;
use crate::memory_file::{Inode, MemoryFile};

/// An operation that a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`Disk::list`]
    List,
    /// [`Disk::create`]
    Create,
    /// [`Disk::open`]
    Open,
    /// [`Disk::rename`]
    Rename,
    /// [`Disk::remove`]
    Remove,
    /// [`Disk::sync_dir`]
    SyncDir,
    /// [`DiskFile::read_at`](crate::DiskFile::read_at) and `size`
    Read,
    /// [`DiskFile::write_at`](crate::DiskFile::write_at)
    Write,
    /// [`DiskFile::allocate`](crate::DiskFile::allocate)
    Allocate,
    /// [`DiskFile::sync`](crate::DiskFile::sync)
    Sync,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    #[default]
    Pass,
    /// It fails with an input/output error and has no effect (but see the crate's model of a failed sync).
    IoError,
    /// It fails because the disk is full.
    NoSpace,
    /// A write fails after so many of its bytes.
    Short(usize),
    /// A write or sync reports success and is not carried out.
    Lose,
    /// A write reports success and lands at another offset.
    Misdirect(u64),
    /// The power fails now: this and every later operation fails, until [`MemoryDisk::crash`].
    Halt,
}

/// Decides the fate of each operation: the operation, the file, the offset (0 where there is none).
type Hook = Box<dyn FnMut(Operation, &str, u64) -> Verdict + Send>;

/// A change of names that no `sync_dir` has made durable.
#[derive(Clone, Debug)]
enum Naming {
    Link(String, u64),
    Rename(String, String, u64),
    Unlink(String, u64),
}

/// Everything on the disk.
pub(crate) struct State {
    pub(crate) inodes: BTreeMap<u64, Inode>,
    pub(crate) names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    namings: Vec<Naming>,
    next_inode: u64,
    /// Counts crashes; files opened before the last one are dead.
    pub(crate) life: u64,
    pub(crate) capacity: u64,
    halted: bool,
    hook: Option<Hook>,
}

impl State {
    /// Ask the hook. `Ok` is a verdict that the operation itself must honour.
    pub(crate) fn judge(&mut self, operation: Operation, file: &str, offset: u64) -> io::Result<Verdict> {
        if self.halted {
            return Err(io::Error::other("the power is off"));
        }
        match self.hook.as_mut().map_or(Verdict::Pass, |hook| hook(operation, file, offset)) {
            Verdict::IoError if operation != Operation::Sync => Err(io_error()),
            Verdict::NoSpace => Err(no_space()),
            Verdict::Halt => {
                self.halted = true;
                Err(io::Error::other("the power has failed"))
            }
            verdict => Ok(verdict),
        }
    }

    /// The same for an open file, whatever its name is by now.
    pub(crate) fn judge_inode(
        &mut self,
        operation: Operation,
        inode: u64,
        offset: u64,
    ) -> io::Result<Verdict> {
        if self.hook.is_none() {
            return self.judge(operation, "", offset);
        }
        let name = self.names.iter().find(|(_, id)| **id == inode).map(|(name, _)| name.clone());
        self.judge(operation, &name.unwrap_or_default(), offset)
    }

    /// Whether the files may grow by `more` bytes.
    pub(crate) fn has_room(&self, more: u64) -> bool {
        let used: u64 = self.inodes.values().map(Inode::size).sum();
        used + more <= self.capacity
    }

    fn find(&self, file: &str) -> io::Result<u64> {
        self.names.get(file).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn forget_unnamed(&mut self) {
        let State { inodes, names, durable_names, .. } = self;
        inodes.retain(|id, _| names.values().chain(durable_names.values()).any(|named| named == id));
    }
}

/// The error of a failing device.
pub(crate) fn io_error() -> io::Error {
    rustix::io::Errno::IO.into()
}

/// The error of a full one.
pub(crate) fn no_space() -> io::Error {
    rustix::io::Errno::NOSPC.into()
}

/// A handle to a disk in memory. Clones share the disk.
#[derive(Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        let state = State {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            namings: Vec::new(),
            next_inode: 1,
            life: 0,
            capacity: u64::MAX,
            halted: false,
            hook: None,
        };
        MemoryDisk { state: Arc::new(Mutex::new(state)) }
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let files = state.names.iter().map(|(name, id)| (name, state.inodes.get(id).map_or(0, Inode::size)));
        f.debug_map().entries(files).finish()
    }
}

impl MemoryDisk {
    /// An empty disk without limits or faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Let `hook` decide the fate of every operation from now on. It must not use the disk.
    pub fn set_hook(&self, hook: impl FnMut(Operation, &str, u64) -> Verdict + Send + 'static) {
        self.lock().hook = Some(Box::new(hook));
    }

    /// Every operation passes again.
    pub fn clear_hook(&self) {
        self.lock().hook = None;
    }

    /// Strike the `nth` (from 0) of the operations like `operation` from now on, once.
    pub fn strike(&self, operation: Operation, nth: u64, verdict: Verdict) {
        let mut left = Some(nth);
        self.set_hook(move |seen, _, _| match left {
            Some(0) if seen == operation => {
                left = None;
                verdict
            }
            Some(n) if seen == operation => {
                left = Some(n - 1);
                Verdict::Pass
            }
            _ => Verdict::Pass,
        });
    }

    /// Let all files together grow to no more than so many bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Cut the power and switch it on again. `pick(n)` must return a number below `n`. Hook and capacity
    /// stay.
    pub fn crash(&self, mut pick: impl FnMut(u64) -> u64) {
        let mut state = self.lock();
        state.life += 1;
        state.halted = false;
        let mut keep: Box<dyn FnMut(u64) -> u64> = match pick(4) {
            0 => Box::new(|_| 0),
            1 => Box::new(|choices| choices - 1),
            _ => Box::new(&mut pick),
        };
        for naming in std::mem::take(&mut state.namings) {
            if keep(2) == 1 {
                enact(&mut state.durable_names, naming);
            }
        }
        state.names = state.durable_names.clone();
        state.forget_unnamed();
        for inode in state.inodes.values_mut() {
            inode.crash(&mut *keep);
        }
    }

    /// Flip one bit of a file, below everything: no operation, no sync. Whether there is such a bit.
    pub fn flip(&self, file: &str, byte: u64, bit: u8) -> bool {
        let mut state = self.lock();
        let Ok(id) = state.find(file) else { return false };
        state.inodes.get_mut(&id).is_some_and(|inode| inode.flip(byte, bit))
    }

    /// Make every sector that `offsets` touch unreadable, an input/output error, until it is written again. Whether
    /// there is any.
    pub fn spoil(&self, file: &str, offsets: Range<u64>) -> bool {
        let mut state = self.lock();
        let Ok(id) = state.find(file) else { return false };
        state.inodes.get_mut(&id).is_some_and(|inode| inode.spoil(offsets))
    }

    /// All files with their lengths in bytes, in ascending order: places to do damage to. No operation, so no hook is
    /// asked.
    pub fn sizes(&self) -> Vec<(String, u64)> {
        let state = self.lock();
        let size = |id| state.inodes.get(id).map_or(0, Inode::size);
        state.names.iter().map(|(name, id)| (name.clone(), size(id))).collect()
    }

    /// A file's content as it would be read now.
    pub fn content(&self, file: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let id = state.find(file).ok()?;
        state.inodes.get(&id).map(|inode| inode.bytes().to_vec())
    }

    /// The same disk again, on its own: later changes to one are not seen by the other. Everything in it is
    /// durable; no hook, no capacity.
    pub fn duplicate(&self) -> MemoryDisk {
        let copy = MemoryDisk::new();
        let state = self.lock();
        let mut target = copy.lock();
        target.names = state.names.clone();
        target.durable_names = state.names.clone();
        target.next_inode = state.next_inode;
        target.inodes = state.inodes.iter().map(|(id, inode)| (*id, inode.settled())).collect();
        target.forget_unnamed();
        drop(target);
        copy
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn handle(&self, state: &State, inode: u64) -> MemoryFile {
        MemoryFile::new(self.state.clone(), inode, state.life)
    }
}

/// Make one change of names durable, as far as it still makes sense without those that were undone.
fn enact(names: &mut BTreeMap<String, u64>, naming: Naming) {
    match naming {
        Naming::Link(name, inode) => {
            names.insert(name, inode);
        }
        Naming::Rename(from, to, inode) => {
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
        Naming::Unlink(name, inode) => {
            if names.get(&name) == Some(&inode) {
                names.remove(&name);
            }
        }
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn path(&self, file: &str) -> String {
        format!("memory/{file}")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        state.judge(Operation::List, "", 0)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, file: &str) -> io::Result<MemoryFile> {
        let mut state = self.lock();
        state.judge(Operation::Create, file, 0)?;
        let id = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(id, Inode::default());
        state.names.insert(file.to_owned(), id);
        state.namings.push(Naming::Link(file.to_owned(), id));
        Ok(self.handle(&state, id))
    }

    fn open(&self, file: &str) -> io::Result<MemoryFile> {
        let mut state = self.lock();
        state.judge(Operation::Open, file, 0)?;
        let id = state.find(file)?;
        Ok(self.handle(&state, id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.judge(Operation::Rename, from, 0)?;
        let id = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), id);
        state.namings.push(Naming::Rename(from.to_owned(), to.to_owned(), id));
        Ok(())
    }

    fn remove(&self, file: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.judge(Operation::Remove, file, 0)?;
        let id = state.find(file)?;
        state.names.remove(file);
        state.namings.push(Naming::Unlink(file.to_owned(), id));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.lock();
        match state.judge(Operation::SyncDir, "", 0)? {
            Verdict::Lose => return Ok(()),
            _ => state.namings.clear(),
        }
        state.durable_names = state.names.clone();
        state.forget_unnamed();
        Ok(())
    }
}
