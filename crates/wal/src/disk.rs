//! What the log asks of a disk: a flat directory of files, synchronous, and honest about what is durable.
//!
//! The trait is as small as the log's needs, because every operation here is a place where a fault can be
//! injected and an error branch must be tested. Two implementations: [`RealDisk`](crate::RealDisk) and
//! [`MemoryDisk`](crate::MemoryDisk).
//!
//! Durability, as POSIX promises it and no further: bytes are durable after [`DiskFile::sync`]; the *name*
//! of a file (its creation, renaming or removal) is durable after [`Disk::sync_dir`]; before that a crash
//! may keep or undo each of them separately. A rename is atomic.

use bytes::Bytes;
use std::io;

/// A flat directory of files. Clones share it; a background thread may hold one.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// How messages to people name `file` (a path, on a real disk).
    fn path(&self, file: &str) -> String;

    /// The names of all files, in ascending order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Make an empty file, replacing one of that name, and open it for reading and writing.
    fn create(&self, file: &str) -> io::Result<Self::File>;

    /// Open an existing file for reading and writing.
    fn open(&self, file: &str) -> io::Result<Self::File>;

    /// Rename a file, replacing one of the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Remove a file.
    fn remove(&self, file: &str) -> io::Result<()>;

    /// Make all creations, renamings and removals so far durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. Closed when dropped, which makes nothing durable.
pub trait DiskFile: Send + Sync + 'static {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fill `buffer` from `offset` on; an end of file before it is full is an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Write all `parts`, one after the other, from `offset` on.
    fn write_at(&self, parts: &[Bytes], offset: u64) -> io::Result<()>;

    /// Grow the file to `size` bytes: take the space, and write zeros over what is new.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Make the content and the length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}
