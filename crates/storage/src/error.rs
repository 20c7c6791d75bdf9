//! What can go wrong with the state on disk.
//!
//! Errors of opening leave the disk as it was. An error of a commit is final for the process: the engine
//! refuses everything after a failed write, and so must its host, since a failed fsync has dropped pages
//! that cannot be written again. Restarting is then safe: the last durable checkpoint is intact.

use std::io;
use std::path::{Path, PathBuf};

use quorate_kv::{LeaseId, Revision};

use crate::image::ImageError;

/// A failure to open, read or write the state.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file system is full. Nothing durable is lost.
    #[error("no space left for {path}: free some on its file system, then start again")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("{path} is in use by another process: stop that one first, or use another data directory")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot {action} {path}: {source}: check its owner, its permissions and its disk")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// The content is not what was written.
    #[error(
        "{path} is damaged ({what}): do not edit or delete it piecemeal; what it held is to be fetched from the other \
         members, see docs/operating.md, \"A lost disk\""
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Written by another release.
    #[error(
        "{path} has state format {found}, this release reads format {expected}: run a release that reads it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format's number, as found.
        found: u32,
        /// The one this release reads.
        expected: u32,
    },
    /// `CURRENT` names a file that is not there.
    #[error("{current} names {path}, which is missing: restore it, or restore the directory from a backup")]
    Missing {
        /// The pointer file.
        current: PathBuf,
        /// The file it names.
        path: PathBuf,
    },
    /// `CURRENT` is gone, and which of several generations was current cannot be told.
    #[error("{current} is missing and the directory holds generations {found:?}: write the name of the one to \
             use, such as state-{}.redb, into it", found.last().copied().unwrap_or(1))]
    Ambiguous {
        /// The pointer file.
        current: PathBuf,
        /// The generations present.
        found: Vec<u64>,
    },
    /// An image is not usable.
    #[error("the snapshot received for {path} is unusable: {source}: it will be asked for again")]
    Image {
        /// The file it was to become.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
}

impl StorageError {
    /// Whether what is on the disk is not what was written, so that nothing but another copy of the state helps:
    /// [set it aside](crate::set_aside) and fetch one. Whatever else goes wrong may be mended and tried again.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            StorageError::Damaged { .. } | StorageError::Missing { .. } | StorageError::Ambiguous { .. }
        )
    }

    /// An operating system's refusal.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> StorageError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full { path },
            _ => StorageError::Io { action, path, source },
        }
    }

    /// The engine's refusal.
    pub(crate) fn engine(action: &'static str, path: &Path, error: impl Into<redb::Error>) -> StorageError {
        match error.into() {
            // The engine's word for "this is not my file" and for a file cut short.
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                StorageError::damaged(path, error)
            }
            redb::Error::Io(error) => StorageError::io(action, path, error),
            redb::Error::DatabaseAlreadyOpen => StorageError::InUse { path: path.to_owned() },
            error => StorageError::damaged(path, error),
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl ToString) -> StorageError {
        StorageError::Damaged { path: path.to_owned(), what: what.to_string() }
    }

    pub(crate) fn lease(path: &Path, id: LeaseId) -> StorageError {
        StorageError::damaged(path, format!("lease {id:x} fails its checksum"))
    }

    pub(crate) fn record(path: &Path, revision: Revision) -> StorageError {
        let what = format!("the record of revision {}.{} fails its checksum", revision.main, revision.sub);
        StorageError::damaged(path, what)
    }
}
