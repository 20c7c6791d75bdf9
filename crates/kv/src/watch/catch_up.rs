//! Reading history for watchers that are behind.
//!
//! They are served in turn, a batch each. A watcher of few keys is served alone, through the index. For any
//! other a stretch of history is read, and everyone else in the queue who needs a part of it is served along:
//! after a reconnect hundreds of watchers need about the same stretch, and it is read once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Hub, Status, StreamId, WatchEvent, WatcherKey, before, size};
use crate::record::{Event, Record, Revision};
use crate::span::Span;
use crate::state::{State, Stretch};
use crate::storage::Storage;

/// What was gathered for one watcher.
#[derive(Default)]
struct Batch {
    events: Vec<WatchEvent>,
    bytes: usize,
    /// The revision the batch ends with because it is large enough.
    closed: Option<i64>,
}

/// The batches of a stretch being read.
struct Round<'h, S> {
    hub: &'h Hub,
    state: &'h State<S>,
    batches: BTreeMap<WatcherKey, Batch>,
    open: usize,
    /// Records read.
    read: usize,
}

impl Hub {
    /// Read history for watchers that are behind, until about `budget` records were read or there is no more
    /// to do. True if there is; call again, perhaps after letting go of the state for a moment.
    ///
    /// Whatever is read is bounded by a batch, so one call reads at most a batch more than `budget`.
    pub fn catch_up<S: Storage>(&mut self, state: &State<S>, budget: usize) -> bool {
        let mut spent = 0;
        while spent < budget
            && let Some((_, who)) = self.queue.first_key_value()
        {
            match self.serve(*who, state) {
                Some(read) => spent += 1 + read,
                None => break,
            }
        }
        self.has_lagging()
    }

    /// Serve the first in the queue. Answers how many records were read; nothing if the state given is older
    /// than what was published and has nothing for it yet.
    fn serve<S: Storage>(&mut self, first: WatcherKey, state: &State<S>) -> Option<usize> {
        let from = self.watcher(first).map_or(0, |watcher| watcher.next);
        if self.is_full(first.stream) {
            self.lag(first);
            return Some(0);
        }
        if from < state.compact_revision() {
            self.cancel_compacted(first, state.compact_revision());
            return Some(0);
        }
        let to = self.published.min(state.revision());
        if from > to {
            return None;
        }
        let stretch = Stretch { from, to, max_revisions: self.options.batch_revisions.max(1) };
        let (next, batches, read) = self.gather(first, stretch, state);
        for (who, batch) in batches {
            self.finish(who, batch, next, who == first);
        }
        Some(read)
    }

    /// Read a stretch of history for the first in the queue, and for whoever else needs it if that takes
    /// reading all of it. Answers the first revision not looked at, the batches, and the records read.
    fn gather<S: Storage>(
        &self,
        first: WatcherKey,
        stretch: Stretch,
        state: &State<S>,
    ) -> (i64, BTreeMap<WatcherKey, Batch>, usize) {
        let range = self.watcher(first).map(|watcher| &watcher.range);
        let mut round = Round::new(self, state, [first]);
        let narrow = range.and_then(|range| {
            state
                .walk_narrow(Span::from(range), stretch, &mut |revision, record| round.read(revision, record))
        });
        let next = narrow.unwrap_or_else(|| {
            round = Round::new(self, state, self.fellows(first, stretch.from));
            state.walk(stretch, &mut |revision, record| round.read(revision, record))
        });
        (next, round.batches, round.read)
    }

    /// The first in the queue and those who are no further behind, as far as their streams have room.
    fn fellows(&self, first: WatcherKey, from: i64) -> Vec<WatcherKey> {
        let mut fellows = Vec::new();
        let mut room: BTreeMap<StreamId, usize> = BTreeMap::new();
        for who in self.queue.values() {
            let (Some(stream), Some(watcher)) = (self.streams.get(&who.stream), self.watcher(*who)) else {
                continue;
            };
            let left = room.entry(who.stream).or_insert_with(|| stream.room());
            if *who == first || (*left > 0 && watcher.next >= from) {
                *left = left.saturating_sub(1);
                fellows.push(*who);
            }
        }
        fellows
    }

    /// Send what was gathered for a watcher in a stretch that was read up to `next`, exclusively.
    fn finish(&mut self, who: WatcherKey, batch: Batch, next: i64, first: bool) {
        let published = self.published;
        let Some(watcher) = self.watcher_mut(who) else { return };
        watcher.next = watcher.next.max(batch.closed.map_or(next, |last| last + 1));
        let reached = watcher.next - 1;
        let status = watcher.status;
        if !batch.events.is_empty() {
            self.send_events(who, reached.min(published), batch.events);
        }
        if reached >= published {
            if let Status::Queued(ticket) = status {
                self.queue.remove(&ticket);
            }
            if let Some(watcher) = self.watcher_mut(who) {
                watcher.status = Status::Synced;
            }
        } else if first || self.is_full(who.stream) {
            self.lag(who);
        }
    }
}

impl<'h, S: Storage> Round<'h, S> {
    fn new(hub: &'h Hub, state: &'h State<S>, who: impl IntoIterator<Item = WatcherKey>) -> Self {
        let batches: BTreeMap<_, _> = who.into_iter().map(|who| (who, Batch::default())).collect();
        Round { hub, state, open: batches.len(), batches, read: 0 }
    }

    /// Take in a record; false when every batch is large enough.
    fn read(&mut self, revision: Revision, record: Record) -> bool {
        self.read += 1;
        let mut found = Vec::new();
        self.hub.interests.watchers(record.key(), &mut found);
        let event = Event { revision, record };
        let mut previous = None;
        for who in found {
            let (Some(batch), Some(watcher)) = (self.batches.get_mut(&who), self.hub.watcher(who)) else {
                continue;
            };
            let past = batch.closed.is_some_and(|last| last < revision.main);
            if past || revision.main < watcher.next || !watcher.wants(&event) {
                continue;
            }
            let previous = match watcher.prev_kv {
                true => previous.get_or_insert_with(|| before(self.state, &event)).clone(),
                false => None,
            };
            let event = (event.clone(), previous);
            batch.bytes += size::of_event(&event);
            batch.events.push(event);
            if batch.bytes >= self.hub.options.batch_bytes && batch.closed.is_none() {
                batch.closed = Some(revision.main);
                self.open -= 1;
            }
        }
        self.open > 0
    }
}
