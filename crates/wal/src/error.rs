//! What can go wrong with the log, in words an operator can act on.
//!
//! The values are cheap to clone because a poisoned log repeats its error to every later caller. None of
//! these errors changes what was acknowledged; after [`WalError::Write`], [`WalError::Sync`] and
//! [`WalError::NoSpace`] returned by a commit, the host must end the process.

use std::io;
use std::sync::Arc;

use crate::GroupId;

/// Why the log cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// Another process holds the directory. Nothing was changed.
    #[error(
        "the data directory {dir} is in use by another node: stop that node first, or give this one a data \
         directory of its own"
    )]
    Locked {
        /// The directory.
        dir: String,
    },
    /// The directory cannot be created, opened or read. Nothing was changed.
    #[error(
        "cannot use the data directory {dir}: {error}; check that it is a directory on a healthy disk and \
         that this user may read, write and enter it"
    )]
    Directory {
        /// The directory.
        dir: String,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// Something other than a write or a sync failed. At open: nothing is lost, try again once the cause is
    /// gone.
    #[error("cannot {action} {file}: {error}; check the disk and the permissions, then start the node again")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: String,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// A write failed. What was acknowledged is intact; what waited for this write was never acknowledged.
    #[error(
        "write failed on {file}: {error}; this node stops so that it never acknowledges what is not \
         durable; check the disk, then restart"
    )]
    Write {
        /// The file.
        file: String,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// A sync failed. The kernel may have dropped the data and will not say so again, so there is no
    /// retrying.
    #[error(
        "fsync failed on {file}: {error}; the kernel may have dropped the data; this node stops so that it \
         never acknowledges what is not durable; check the disk, then restart"
    )]
    Sync {
        /// The file.
        file: String,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// The disk is full. What was acknowledged is intact.
    #[error(
        "no space left on the disk for {file}; everything acknowledged is safe; free some space on that \
         disk, then start the node again"
    )]
    NoSpace {
        /// The file that should have been made or grown.
        file: String,
    },
    /// Something that had been acknowledged is no longer readable, and what it said cannot be told from what is.
    /// Nothing was changed.
    #[error(
        "{file} is damaged at byte {offset} (frame {sequence}): {why}. What this member promised and stored \
         there cannot be told from the rest of the log, so the log is left as it is and this member does not \
         start. Keep a copy of the directory for examination, then let the peers restore it: start this \
         member with --replace-lost-disk (docs/operating.md, \"A lost disk\")"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where in it, in bytes.
        offset: u64,
        /// The sequence number of the frame that should be there.
        sequence: u64,
        /// What is wrong, and how it is known not to be a torn tail.
        why: String,
    },
    /// Neither copy of the superblock can be read, or there is none although there is a log. Nothing was
    /// changed.
    #[error(
        "the superblock {file} cannot be trusted: {why}. This member does not start. Keep a copy of the \
         directory for examination, then let the peers restore it: start this member with \
         --replace-lost-disk (docs/operating.md, \"A lost disk\")"
    )]
    Superblock {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// Another version wrote the log. Nothing was changed.
    #[error(
        "{file} has log format {found}, this program knows format {known}: start the node with the version \
         that wrote it"
    )]
    Version {
        /// The file.
        file: String,
        /// The format it has.
        found: u32,
        /// The format this program writes.
        known: u32,
    },
    /// The log is another node's, another cluster's or another protocol's. Nothing was changed.
    #[error(
        "{dir} holds the log of {what} {found}, but this node is configured as {what} {wanted}: use the \
         data directory that belongs to it, or correct the configuration"
    )]
    Foreign {
        /// The directory.
        dir: String,
        /// "cluster", "node" or "protocol".
        what: &'static str,
        /// What the log says.
        found: String,
        /// What the caller says.
        wanted: String,
    },
    /// The caller's identity cannot be stored. Nothing was changed.
    #[error("the protocol name {protocol:?} must have 1 to 64 bytes")]
    ProtocolName {
        /// The name.
        protocol: String,
    },
    /// The caller asked for a write that could not be recovered: a broken invariant of its own. Nothing was
    /// buffered.
    #[error("group {group} asked to append {what}: refused, since the log could not be read back")]
    Refused {
        /// The group.
        group: GroupId,
        /// What is wrong with it.
        what: String,
    },
}

impl WalError {
    /// A failure of anything but a write to the log or its sync.
    pub(crate) fn io(action: &'static str, file: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WalError::NoSpace { file },
            _ => WalError::Io { action, file, error: Arc::new(error) },
        }
    }

    /// A failed write.
    pub(crate) fn write(file: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WalError::NoSpace { file },
            _ => WalError::Write { file, error: Arc::new(error) },
        }
    }

    /// A failed sync. A full disk is told apart even here: with delayed allocation it may show only now.
    pub(crate) fn sync(file: String, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WalError::NoSpace { file },
            _ => WalError::Sync { file, error: Arc::new(error) },
        }
    }
}
