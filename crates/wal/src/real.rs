//! The disk of the machine.
//!
//! Opening a [`RealDisk`] takes an exclusive `flock` on the directory itself (no lock file that could be
//! left behind): the kernel drops it when the process ends, however it ends. It also keeps two nodes of one
//! process apart.
//!
//! Growing a file allocates its blocks and then writes zeros over them. Allocation alone would leave
//! "unwritten" extents, whose conversion is metadata that each fdatasync would have to journal. The zeros
//! are synced piece by piece, because one sync of a whole segment would hold up the commits that share the
//! disk with it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use crate::disk::{Disk, DiskFile};
use crate::error::WalError;

/// Zeros are written in pieces this long.
static ZEROS: [u8; 1 << 18] = [0; 1 << 18];

/// This many zeros between two syncs.
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// More slices than this in one call are refused by the kernel (IOV_MAX).
const SLICES_PER_CALL: usize = 1024;

/// A locked directory. The lock lasts until the last clone and every [`Preparer`](crate::Preparer) is
/// dropped.
#[derive(Clone, Debug)]
pub struct RealDisk {
    path: Arc<PathBuf>,
    directory: Arc<File>,
    /// Whether files are synced at all; see [`RealDisk::without_sync`].
    synced: bool,
}

/// An open file in it.
#[derive(Debug)]
pub struct RealFile {
    file: File,
    synced: bool,
}

impl RealDisk {
    /// Use `directory`, which is made (with its parents) if it does not exist, and lock it.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, WalError> {
        let path = directory.as_ref();
        let dir = path.display().to_string();
        let refuse = |error: io::Error| WalError::Directory { dir: dir.clone(), error: Arc::new(error) };
        if !path.exists() {
            std::fs::create_dir_all(path).map_err(refuse)?;
            // The directory's own name must be as durable as what will be in it.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(refuse)?;
            parent.sync_all().map_err(refuse)?;
        }
        let handle = File::open(path).map_err(refuse)?;
        std::fs::read_dir(path).map_err(refuse)?;
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                Ok(RealDisk { path: Arc::new(path.to_path_buf()), directory: Arc::new(handle), synced: true })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(WalError::Locked { dir }),
            Err(error) => Err(refuse(error.into())),
        }
    }

    /// Never wait for the disk: what is acknowledged may be lost at a power failure. For tests only.
    pub fn without_sync(self) -> Self {
        RealDisk { synced: false, ..self }
    }

    fn join(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn path(&self, file: &str) -> String {
        self.join(file).display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for item in std::fs::read_dir(&*self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(item?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, file: &str) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(RealFile { file: options.open(self.join(file))?, synced: self.synced })
    }

    fn open(&self, file: &str) -> io::Result<RealFile> {
        let file = OpenOptions::new().read(true).write(true).open(self.join(file))?;
        Ok(RealFile { file, synced: self.synced })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.join(from), self.join(to))
    }

    fn remove(&self, file: &str) -> io::Result<()> {
        std::fs::remove_file(self.join(file))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all()
    }
}

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, parts: &[Bytes], mut offset: u64) -> io::Result<()> {
        for parts in parts.chunks(SLICES_PER_CALL) {
            let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let mut rest = &mut slices[..];
            // An empty slice at the front would look like "wrote nothing".
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match write_vectored(&self.file, rest, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        offset += written as u64;
                        IoSlice::advance_slices(&mut rest, written);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        let start = self.size()?;
        reserve(&self.file, start, size.saturating_sub(start))?;
        let mut offset = start;
        while offset < size {
            let piece = (size - offset).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..piece as usize], offset)?;
            offset += piece;
            if (offset - start).is_multiple_of(SYNC_EVERY_BYTES) {
                self.sync()?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.synced { self.file.sync_data() } else { Ok(()) }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn write_vectored(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    Ok(rustix::io::pwritev(file, slices, offset)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn write_vectored(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    file.write_at(&slices[0], offset)
}

/// Take the space, so that a full disk shows here and not in the middle of a commit.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &File, start: u64, len: u64) -> io::Result<()> {
    use rustix::io::Errno;
    if len == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), start, len) {
        // Some file systems cannot; writing the zeros will do.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}
