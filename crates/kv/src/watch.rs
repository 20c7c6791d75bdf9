//! Watches: who sees which change, and when.
//!
//! The [`Hub`] is a value that one thread of the host owns. It is fed the changes of applied commands in
//! order ([`Hub::publish`]), told what clients ask, and given time to read history for those that are behind
//! ([`Hub::catch_up`]); what it has to say collects in an outbox that the host drains and writes to the
//! streams. Source: section 6 of our etcd compatibility notes.
//!
//! Terms. A *stream* carries many *watchers*. A watcher is *synced* when everything up to the hub's published
//! revision that concerns it has been put into the outbox, and *lagging* otherwise: it started in the past, or
//! its stream was full when something happened. A lagging watcher's `next` is the first revision it has not
//! seen; it is read from history, batch by batch, until it is synced again.
//!
//! What a client can rely on, per watcher:
//! 1. *ordered*: changes come by ascending revision;
//! 2. *unique*: none twice;
//! 3. *reliable*: none is left out, unless the watcher is cancelled because history was compacted;
//! 4. *atomic*: the changes of one revision are in one response (or one series of fragments);
//! 5. *resumable*: a watcher created at a revision gets everything from it on;
//! 6. *bookmarkable*: a progress message of revision R comes after every change up to R.
//!
//! Bounds. A stream has a capacity in messages and the hub one in bytes; when either is reached, the stream's
//! watchers fall behind, each as something happens to it, which costs nothing to the others and nothing more
//! to them. The host says what the client has taken ([`Hub::delivered`]). Answers to requests are queued
//! always: a host reads no further requests from a stream that [is full](Hub::is_full).
//!
//! Two duties of the host: changes reach the hub before the answers to the commands that made them reach
//! clients (else a client could create a watch behind its own write and see the write); and a state that was
//! replaced by a snapshot is announced by [`Hub::jump`].
//!
//! The state given to the hub may be ahead of what was published; nothing beyond the published revision is
//! told from it. Compactions need no announcement: whoever must read below one finds out when reading.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::record::{Event, KeyValue, Record};
use crate::span::Span;
use crate::state::State;
use crate::storage::Storage;

mod catch_up;
mod check;
mod interest;
mod message;
mod size;
mod stream;

pub use message::{
    CancelReason, HubOptions, NO_WATCHER, StreamId, WatchCreate, WatchEvent, WatchMessage, WatcherKey,
};

use interest::Interests;
use stream::{Status, Stream, Watcher};

/// See the module's text.
///
/// Invariants, see [`Hub::check`]:
/// 1. Every watcher but a dead one is in `interests` under its range, and nothing else is.
/// 2. A queued watcher's ticket is in `queue`, a blocked watcher's id in its stream's `blocked`, and nothing
///    else is in either.
/// 3. A synced watcher has been sent everything up to `published` that concerns it; a lagging one everything
///    below its `next`, and `next <= published`.
#[derive(Clone, Debug)]
pub struct Hub {
    published: i64,
    options: HubOptions,
    streams: BTreeMap<StreamId, Stream>,
    interests: Interests,
    /// Lagging watchers of streams with room, in the order in which they are served.
    queue: BTreeMap<u64, WatcherKey>,
    tickets: u64,
    outbox: VecDeque<(StreamId, WatchMessage)>,
}

impl Hub {
    /// A hub without streams, for a state that is at `revision`.
    pub fn new(revision: i64, options: HubOptions) -> Self {
        Hub {
            published: revision,
            options,
            streams: BTreeMap::new(),
            interests: Interests::default(),
            queue: BTreeMap::new(),
            tickets: 0,
            outbox: VecDeque::new(),
        }
    }

    /// The newest revision that was published.
    pub fn revision(&self) -> i64 {
        self.published
    }

    /// Watchers on all streams, cancelled by compactions or not.
    pub fn watchers(&self) -> usize {
        self.streams.values().map(|stream| stream.watchers.len()).sum()
    }

    /// Lagging watchers on all streams.
    pub fn lagging(&self) -> usize {
        self.queue.len() + self.streams.values().map(|stream| stream.blocked.len()).sum::<usize>()
    }

    /// Whether [`Hub::catch_up`] has something to do.
    pub fn has_lagging(&self) -> bool {
        !self.queue.is_empty()
    }

    /// A stream begins; `capacity` messages may be outstanding before its watchers fall behind.
    pub fn open(&mut self, stream: StreamId, capacity: usize) {
        self.close(stream);
        self.streams.insert(stream, Stream::new(capacity, self.options.stream_bytes));
    }

    /// A stream has ended; nothing more is said on it.
    pub fn close(&mut self, stream: StreamId) {
        if let Some(closed) = self.streams.remove(&stream) {
            for (id, watcher) in closed.watchers {
                self.forget(WatcherKey { stream, id }, &watcher);
            }
            self.outbox.retain(|(to, _)| *to != stream);
        }
    }

    /// Take what there is to say, in order. A message counts as outstanding until it was [`Hub::delivered`].
    pub fn drain(&mut self) -> impl Iterator<Item = (StreamId, WatchMessage)> {
        self.outbox.drain(..)
    }

    /// The client of a stream has taken its oldest `count` outstanding messages.
    pub fn delivered(&mut self, stream: StreamId, count: usize) {
        let Some(taken) = self.streams.get_mut(&stream) else { return };
        taken.taken(count);
        if taken.has_room_again() {
            for id in core::mem::take(&mut taken.blocked) {
                self.lag(WatcherKey { stream, id });
            }
        }
    }

    /// Whether a stream has as much outstanding as it may.
    pub fn is_full(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(Stream::is_full)
    }

    /// Messages outstanding on a stream.
    pub fn outstanding(&self, stream: StreamId) -> usize {
        self.streams.get(&stream).map_or(0, Stream::outstanding)
    }

    /// A client asks to watch. Answers the watcher's id if there is one now.
    ///
    /// `compact_revision` is the state's; one that is behind only delays the news.
    pub fn create(&mut self, stream: StreamId, request: WatchCreate, compact_revision: i64) -> Option<i64> {
        let on = self.streams.get_mut(&stream)?;
        let reason = if Span::from(&request.range).is_empty() {
            Some(CancelReason::EmptyRange)
        } else if request.watch_id != 0 && on.watchers.contains_key(&request.watch_id) {
            Some(CancelReason::DuplicateId)
        } else if request.start_revision < 0 {
            Some(CancelReason::Compacted)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.refuse(stream, reason);
            return None;
        }
        let id = if request.watch_id == 0 { on.choose_id() } else { request.watch_id };
        let start = request.start_revision;
        let watcher = Watcher::new(request, if start == 0 { self.published + 1 } else { start });
        let who = WatcherKey { stream, id };
        self.interests.add(&watcher.range, who);
        on.watchers.insert(id, watcher);
        let (created, revision) = (true, self.published);
        self.send(stream, WatchMessage { watch_id: id, revision, created, ..WatchMessage::default() });
        if start > 0 && start < compact_revision {
            self.cancel_compacted(who, compact_revision);
        } else if start > 0 && start <= self.published {
            self.lag(who);
        }
        Some(id)
    }

    /// Answer a create with a refusal; also the host's, for what only it can judge.
    pub fn refuse(&mut self, stream: StreamId, reason: CancelReason) {
        let message = WatchMessage {
            watch_id: NO_WATCHER,
            revision: self.published,
            created: true,
            canceled: true,
            cancel_reason: Some(reason),
            ..WatchMessage::default()
        };
        self.send(stream, message);
    }

    /// A client asks to end a watcher. One that does not exist is passed over in silence, as etcd does.
    pub fn cancel(&mut self, stream: StreamId, watch_id: i64) {
        self.end(stream, watch_id, None);
    }

    /// The host ends a watcher, for a reason of its own.
    pub fn cancel_because(&mut self, stream: StreamId, watch_id: i64, reason: CancelReason) {
        self.end(stream, watch_id, Some(reason));
    }

    fn end(&mut self, stream: StreamId, watch_id: i64, cancel_reason: Option<CancelReason>) {
        let Some(on) = self.streams.get_mut(&stream) else { return };
        let Some(watcher) = on.watchers.remove(&watch_id) else { return };
        on.blocked.remove(&watch_id);
        self.forget(WatcherKey { stream, id: watch_id }, &watcher);
        let (revision, canceled) = (self.published, true);
        self.send(
            stream,
            WatchMessage { watch_id, revision, canceled, cancel_reason, ..WatchMessage::default() },
        );
    }

    /// A client asks how far its stream is. Answered only when that can be said for all its watchers: none is
    /// behind, and none starts so far in the future that a client which resumes from the answer would see
    /// more than it asked for. Otherwise the client asks again.
    pub fn progress(&mut self, stream: StreamId) {
        let Some(on) = self.streams.get(&stream) else { return };
        let reached = |watcher: &Watcher| watcher.is_dead() || watcher.has_reached(self.published);
        if !on.is_full() && on.watchers.values().all(reached) {
            let revision = self.published;
            self.send(stream, WatchMessage { watch_id: NO_WATCHER, revision, ..WatchMessage::default() });
        }
    }

    /// The progress interval is over: tell the watchers that asked for it how far they are, unless they are
    /// behind or were sent something since the last time.
    pub fn tick_progress(&mut self) {
        let mut due = Vec::new();
        for (stream, on) in &mut self.streams {
            let mut room = on.room();
            for (id, watcher) in &mut on.watchers {
                let quiet = core::mem::replace(&mut watcher.quiet, true);
                if watcher.progress_notify && quiet && watcher.has_reached(self.published) && room > 0 {
                    room -= 1;
                    due.push((*stream, *id));
                }
            }
        }
        for (stream, watch_id) in due {
            let revision = self.published;
            self.send(stream, WatchMessage { watch_id, revision, ..WatchMessage::default() });
        }
    }

    /// The changes of main revision `revision`, all of them and in order; revisions are published in order.
    /// `state` has applied them, and possibly more.
    ///
    /// Nothing happens if there are none or the revision was published before. If revisions were left out,
    /// their changes are read from history.
    pub fn publish<S: Storage>(&mut self, revision: i64, events: &[Event], state: &State<S>) {
        if events.is_empty() || revision <= self.published {
            return;
        }
        if revision > self.published + 1 {
            self.jump(revision - 1);
        }
        self.published = revision;
        for (who, events) in self.interested(revision, events, state) {
            if self.is_full(who.stream) {
                self.fall_behind(who, revision);
            } else {
                self.send_events(who, revision, events);
            }
        }
    }

    /// What each synced watcher is to see of the changes of one revision.
    fn interested<S: Storage>(
        &self,
        revision: i64,
        events: &[Event],
        state: &State<S>,
    ) -> BTreeMap<WatcherKey, Vec<WatchEvent>> {
        let mut responses: BTreeMap<WatcherKey, Vec<WatchEvent>> = BTreeMap::new();
        let mut found = Vec::new();
        for event in events {
            found.clear();
            self.interests.watchers(event.record.key(), &mut found);
            let mut previous = None;
            for who in &found {
                let Some(watcher) = self.watcher(*who) else { continue };
                if watcher.status == Status::Synced && watcher.next <= revision && watcher.wants(event) {
                    let previous = if watcher.prev_kv {
                        previous.get_or_insert_with(|| before(state, event)).clone()
                    } else {
                        None
                    };
                    responses.entry(*who).or_default().push((event.clone(), previous));
                }
            }
        }
        responses
    }

    /// The state was replaced by one at `revision` whose changes were not published: all watchers read them
    /// from history, if it is still there.
    pub fn jump(&mut self, revision: i64) {
        if revision <= self.published {
            return;
        }
        let from = self.published + 1;
        self.published = revision;
        let mut behind = Vec::new();
        for (stream, on) in &mut self.streams {
            for (id, watcher) in &mut on.watchers {
                if watcher.status == Status::Synced && watcher.next <= revision {
                    watcher.next = watcher.next.max(from);
                    behind.push(WatcherKey { stream: *stream, id: *id });
                }
            }
        }
        for who in behind {
            self.lag(who);
        }
    }

    fn watcher(&self, who: WatcherKey) -> Option<&Watcher> {
        self.streams.get(&who.stream)?.watchers.get(&who.id)
    }

    fn watcher_mut(&mut self, who: WatcherKey) -> Option<&mut Watcher> {
        self.streams.get_mut(&who.stream)?.watchers.get_mut(&who.id)
    }

    /// Drop what is known of a watcher that was taken from its stream.
    fn forget(&mut self, who: WatcherKey, watcher: &Watcher) {
        if let Status::Queued(ticket) = watcher.status {
            self.queue.remove(&ticket);
        }
        if !watcher.is_dead() {
            self.interests.remove(&watcher.range, who);
        }
    }

    /// A synced watcher missed `revision`, because its stream is full.
    fn fall_behind(&mut self, who: WatcherKey, revision: i64) {
        if let Some(watcher) = self.watcher_mut(who) {
            watcher.next = watcher.next.max(revision);
            self.lag(who);
        }
    }

    /// A watcher is behind: it waits for its turn, or for its stream.
    fn lag(&mut self, who: WatcherKey) {
        let ticket = self.tickets + 1;
        let Some(stream) = self.streams.get_mut(&who.stream) else { return };
        let full = stream.is_full();
        let Some(watcher) = stream.watchers.get_mut(&who.id) else { return };
        if let Status::Queued(old) = watcher.status {
            self.queue.remove(&old);
        }
        if full {
            watcher.status = Status::Blocked;
            stream.blocked.insert(who.id);
        } else {
            watcher.status = Status::Queued(ticket);
            self.tickets = ticket;
            self.queue.insert(ticket, who);
        }
    }

    /// What a watcher needs is gone. Its id stays taken until the client cancels it, as in etcd.
    fn cancel_compacted(&mut self, who: WatcherKey, compact_revision: i64) {
        let Some(watcher) = self.watcher_mut(who) else { return };
        let former = core::mem::replace(watcher, Watcher::dead());
        self.forget(who, &former);
        let message =
            WatchMessage { watch_id: who.id, canceled: true, compact_revision, ..WatchMessage::default() };
        self.send(who.stream, message);
    }

    /// Queue the changes for a watcher: one response, or a series of fragments.
    fn send_events(&mut self, who: WatcherKey, revision: i64, events: Vec<WatchEvent>) {
        let Some(watcher) = self.watcher_mut(who) else { return };
        watcher.quiet = false;
        let most = if watcher.fragment { self.options.fragment_bytes } else { usize::MAX };
        let mut parts = size::split(events, most).into_iter().peekable();
        while let Some(events) = parts.next() {
            let fragment = parts.peek().is_some();
            let watch_id = who.id;
            self.send(
                who.stream,
                WatchMessage { watch_id, revision, fragment, events, ..WatchMessage::default() },
            );
        }
    }

    fn send(&mut self, stream: StreamId, message: WatchMessage) {
        if let Some(on) = self.streams.get_mut(&stream) {
            let bytes = message.events.iter().map(size::of_event).sum::<usize>() + size::MESSAGE_OVERHEAD;
            on.sent(bytes);
            self.outbox.push_back((stream, message));
        }
    }
}

/// The record before a change. Not for a creation, nor where it was compacted away.
fn before<S: Storage>(state: &State<S>, event: &Event) -> Option<KeyValue> {
    let main = event.revision.main;
    match &event.record {
        Record::Put(kv) if kv.create_revision == main => None,
        record => state.at(record.key(), main - 1),
    }
}
