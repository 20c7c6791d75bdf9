//! What is asked of the hub and what it says: etcd's watch messages with the wire format taken away.

use alloc::string::String;
use alloc::vec::Vec;

use crate::command::KeyRange;
use crate::record::{Event, KeyValue};

/// A stream of the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A watcher of one of the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherKey {
    /// The stream.
    pub stream: StreamId,
    /// The watcher's id on it.
    pub id: i64,
}

/// The watch id of answers that belong to no watcher: refused creates and manual progress.
pub const NO_WATCHER: i64 = -1;

/// A change, with the record before it if that was asked for and there was one.
pub type WatchEvent = (Event, Option<KeyValue>);

/// A request to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchCreate {
    /// Which keys. An empty key has been replaced by the smallest before.
    pub range: KeyRange,
    /// The first revision to see; 0 is the next one.
    pub start_revision: i64,
    /// Tell now and then how far the watcher is when nothing happens to it.
    pub progress_notify: bool,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
    /// Give the records before the changes.
    pub prev_kv: bool,
    /// The id to use; 0 lets the hub choose.
    pub watch_id: i64,
    /// Large responses may be split.
    pub fragment: bool,
}

/// Why a watcher was refused or cancelled, where a text says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The id asked for is in use on the stream.
    DuplicateId,
    /// The range ends before it starts.
    EmptyRange,
    /// The start revision is negative.
    Compacted,
    /// The host's own, in its words.
    Host(String),
}

/// One response on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchMessage {
    /// The watcher, or [`NO_WATCHER`].
    pub watch_id: i64,
    /// The revision for the header. 0 where the watcher is cancelled because of a compaction.
    pub revision: i64,
    /// Answers a create.
    pub created: bool,
    /// The watcher is no more.
    pub canceled: bool,
    /// When cancelled because of a compaction: its revision.
    pub compact_revision: i64,
    /// Why cancelled, where a text says so.
    pub cancel_reason: Option<CancelReason>,
    /// More of the same response follows.
    pub fragment: bool,
    /// The changes.
    pub events: Vec<WatchEvent>,
}

/// The hub's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubOptions {
    /// A response of at least so many bytes is split if the watcher agreed to it. etcd's largest request and
    /// 512 KiB.
    pub fragment_bytes: usize,
    /// A stream with so many bytes outstanding is full.
    pub stream_bytes: usize,
    /// A batch of history ends after so many revisions.
    pub batch_revisions: usize,
    /// A batch of history for one watcher ends with the revision that brings it to so many bytes.
    pub batch_bytes: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        HubOptions {
            fragment_bytes: 2 << 20,
            stream_bytes: 16 << 20,
            batch_revisions: 1000,
            batch_bytes: 1 << 20,
        }
    }
}
