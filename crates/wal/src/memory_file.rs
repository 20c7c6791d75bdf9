//! One file of a [`MemoryDisk`](crate::MemoryDisk), and what of it would survive a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::disk::DiskFile;
use crate::memory::{Operation, State, Verdict, io_error, no_space};

const SECTOR: usize = 512;

/// A sector's content.
type Sector = [u8; SECTOR];

/// A file's content and its past.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// What a read sees.
    bytes: Vec<u8>,
    durable_size: u64,
    /// For each sector written since the last sync: what it was then, and after each write but the last.
    unsynced: BTreeMap<u64, Vec<Sector>>,
    /// What a failed sync left behind: these sectors look clean, but the disk still has the old content.
    dropped: BTreeMap<u64, Sector>,
    /// Sectors that cannot be read until they are written again.
    unreadable: BTreeSet<u64>,
}

/// The sectors that so many bytes touch, of which there is one at least.
fn sectors(offset: u64, len: u64) -> RangeInclusive<u64> {
    let sector = SECTOR as u64;
    offset / sector..=(offset + len.max(1) - 1) / sector
}

impl Inode {
    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn flip(&mut self, byte: u64, bit: u8) -> bool {
        match usize::try_from(byte).ok().and_then(|byte| self.bytes.get_mut(byte)) {
            Some(byte) => {
                *byte ^= 1 << (bit % 8);
                true
            }
            None => false,
        }
    }

    pub(crate) fn spoil(&mut self, offsets: Range<u64>) -> bool {
        let end = offsets.end.min(self.size());
        let any = offsets.start < end;
        if any {
            self.unreadable.extend(sectors(offsets.start, end - offsets.start));
        }
        any
    }

    /// The same file with everything durable.
    pub(crate) fn settled(&self) -> Inode {
        let (bytes, unreadable) = (self.bytes.clone(), self.unreadable.clone());
        Inode { bytes, durable_size: self.size(), unreadable, ..Inode::default() }
    }

    fn sector(&self, number: u64) -> Sector {
        let mut sector = [0; SECTOR];
        let from = (number as usize * SECTOR).min(self.bytes.len());
        let to = (from + SECTOR).min(self.bytes.len());
        sector[..to - from].copy_from_slice(&self.bytes[from..to]);
        sector
    }

    fn restore(&mut self, number: u64, sector: &Sector) {
        let from = (number as usize * SECTOR).min(self.bytes.len());
        let to = (from + SECTOR).min(self.bytes.len());
        self.bytes[from..to].copy_from_slice(&sector[..to - from]);
    }

    fn write(&mut self, data: &[u8], offset: u64) {
        if data.is_empty() {
            return;
        }
        let (from, to) = (offset as usize, offset as usize + data.len());
        for number in sectors(offset, data.len() as u64) {
            self.unreadable.remove(&number);
            let before = self.sector(number);
            let past = self.unsynced.entry(number).or_default();
            // Written again after a failed sync: the disk may still have what it had before that sync.
            past.extend(self.dropped.remove(&number));
            past.push(before);
        }
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        self.bytes[from..to].copy_from_slice(data);
    }

    fn sync(&mut self) {
        self.unsynced.clear();
        self.durable_size = self.size();
    }

    fn fail_to_sync(&mut self) {
        for (number, past) in std::mem::take(&mut self.unsynced) {
            if let Some(durable) = past.first() {
                self.dropped.entry(number).or_insert(*durable);
            }
        }
    }

    /// Decide what is left of each sector: `pick(n)` is below `n`, 0 for the oldest content.
    pub(crate) fn crash(&mut self, pick: &mut dyn FnMut(u64) -> u64) {
        for (number, durable) in std::mem::take(&mut self.dropped) {
            if pick(2) == 0 {
                self.restore(number, &durable);
            }
        }
        for (number, past) in std::mem::take(&mut self.unsynced) {
            let choice = pick(past.len() as u64 + 1) as usize;
            if let Some(sector) = past.get(choice) {
                self.restore(number, sector);
            }
        }
        if self.durable_size < self.size() && pick(2) == 0 {
            self.bytes.truncate(self.durable_size as usize);
        }
        self.durable_size = self.size();
    }
}

/// An open file of a disk in memory.
pub struct MemoryFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    life: u64,
}

impl MemoryFile {
    pub(crate) fn new(state: Arc<Mutex<State>>, inode: u64, life: u64) -> Self {
        MemoryFile { state, inode, life }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Judge an operation on this file and carry it out on its content.
    fn on_inode<T>(
        &self,
        operation: Operation,
        offset: u64,
        act: impl FnOnce(&mut Inode, Verdict) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.lock();
        if state.life != self.life {
            return Err(io::Error::other("the file was opened before the last crash"));
        }
        let verdict = state.judge_inode(operation, self.inode, offset)?;
        let inode = state.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        act(inode, verdict)
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        self.on_inode(Operation::Read, 0, |inode, _| Ok(inode.size()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.on_inode(Operation::Read, offset, |inode, _| {
            if inode.unreadable.range(sectors(offset, buffer.len() as u64)).next().is_some() {
                return Err(io_error());
            }
            let from = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let content = inode.bytes.get(from..).and_then(|rest| rest.get(..buffer.len()));
            buffer.copy_from_slice(content.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, parts: &[Bytes], offset: u64) -> io::Result<()> {
        let data = parts.concat();
        let end = offset + data.len() as u64;
        {
            let state = self.lock();
            let size = state.inodes.get(&self.inode).map_or(0, Inode::size);
            if end > size && !state.has_room(end - size) {
                return Err(no_space());
            }
        }
        self.on_inode(Operation::Write, offset, |inode, verdict| {
            match verdict {
                Verdict::Lose => {}
                Verdict::Misdirect(elsewhere) => inode.write(&data, elsewhere),
                Verdict::Short(bytes) => {
                    inode.write(&data[..bytes.min(data.len())], offset);
                    return Err(io_error());
                }
                _ => inode.write(&data, offset),
            }
            Ok(())
        })
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        {
            let state = self.lock();
            let now = state.inodes.get(&self.inode).map_or(0, Inode::size);
            if size > now && !state.has_room(size - now) {
                return Err(no_space());
            }
        }
        self.on_inode(Operation::Allocate, 0, |inode, _| {
            let zeros = vec![0; size.saturating_sub(inode.size()) as usize];
            inode.write(&zeros, inode.size());
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.on_inode(Operation::Sync, 0, |inode, verdict| match verdict {
            Verdict::Lose => Ok(()),
            Verdict::Pass => {
                inode.sync();
                Ok(())
            }
            _ => {
                inode.fail_to_sync();
                Err(io_error())
            }
        })
    }
}
