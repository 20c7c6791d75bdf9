//! A stream and its watchers, as the hub sees them.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use bytes::Bytes;

use super::WatchCreate;
use crate::command::KeyRange;
use crate::record::{Event, Record};

/// How far a watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// With the hub, or ahead of it.
    Synced,
    /// Behind; this is its place in the queue.
    Queued(u64),
    /// Behind, and its stream is full.
    Blocked,
    /// Cancelled because of a compaction; only its id is left.
    Dead,
}

/// A watcher.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// Its keys.
    pub range: KeyRange,
    /// Changes below this revision are not for it (any more). Kept up while it lags only.
    pub next: i64,
    /// How far it is.
    pub status: Status,
    /// Whether the records before changes are wanted.
    pub prev_kv: bool,
    /// Whether progress is wanted.
    pub progress_notify: bool,
    /// Whether large responses may be split.
    pub fragment: bool,
    /// Whether nothing was sent since the last progress tick.
    pub quiet: bool,
    no_put: bool,
    no_delete: bool,
}

impl Watcher {
    /// A watcher of everything from revision `next` on.
    pub fn new(request: WatchCreate, next: i64) -> Self {
        Watcher {
            range: compact(&request.range),
            next,
            status: Status::Synced,
            prev_kv: request.prev_kv,
            progress_notify: request.progress_notify,
            fragment: request.fragment,
            quiet: true,
            no_put: request.no_put,
            no_delete: request.no_delete,
        }
    }

    /// What is left of a watcher whose history was compacted.
    pub fn dead() -> Self {
        Watcher { status: Status::Dead, ..Watcher::new(WatchCreate::default(), i64::MAX) }
    }

    /// See [`Status::Dead`].
    pub fn is_dead(&self) -> bool {
        self.status == Status::Dead
    }

    /// Whether it has seen everything up to `revision`, the published one, and would go on right behind it.
    pub fn has_reached(&self, revision: i64) -> bool {
        self.status == Status::Synced && self.next <= revision + 1
    }

    /// Whether its filters let a change through.
    pub fn wants(&self, event: &Event) -> bool {
        match event.record {
            Record::Put(_) => !self.no_put,
            Record::Tombstone { .. } => !self.no_delete,
        }
    }
}

/// A copy that does not keep the buffer alive which the range was sliced from.
fn compact(range: &KeyRange) -> KeyRange {
    KeyRange { key: Bytes::copy_from_slice(&range.key), end: Bytes::copy_from_slice(&range.end) }
}

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its watchers by id.
    pub watchers: BTreeMap<i64, Watcher>,
    /// Those that wait for room.
    pub blocked: BTreeSet<i64>,
    next_id: i64,
    capacity: usize,
    capacity_bytes: usize,
    /// The sizes of outstanding messages.
    outstanding: VecDeque<usize>,
    outstanding_bytes: usize,
}

impl Stream {
    /// An empty one.
    pub fn new(capacity: usize, capacity_bytes: usize) -> Self {
        Stream {
            watchers: BTreeMap::new(),
            blocked: BTreeSet::new(),
            next_id: 0,
            capacity: capacity.max(1),
            capacity_bytes,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
        }
    }

    /// The smallest id from the stream's counter on that is free.
    pub fn choose_id(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    /// A message of so many bytes was queued.
    pub fn sent(&mut self, bytes: usize) {
        self.outstanding.push_back(bytes);
        self.outstanding_bytes += bytes;
    }

    /// The client took the oldest `count` messages.
    pub fn taken(&mut self, count: usize) {
        let count = count.min(self.outstanding.len());
        self.outstanding_bytes -= self.outstanding.drain(..count).sum::<usize>();
    }

    /// Messages outstanding.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether it can take no changes.
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// How many messages it can still take.
    pub fn room(&self) -> usize {
        let open = self.outstanding_bytes < self.capacity_bytes;
        if open { self.capacity.saturating_sub(self.outstanding.len()) } else { 0 }
    }

    /// Whether so much was taken that those who wait may go on. Not at once when there is room for one: they
    /// would queue up again for each single message.
    pub fn has_room_again(&self) -> bool {
        self.outstanding.len() <= self.capacity / 2 && self.outstanding_bytes <= self.capacity_bytes / 2
    }
}
