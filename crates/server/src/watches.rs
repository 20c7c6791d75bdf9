//! The watch thread: fans changes out to watchers, off the apply thread.
//!
//! It owns the [`Hub`], which decides who sees what. Changes, creates, cancels and progress requests come to
//! it through one queue, so a progress answer can only follow the changes it vouches for. While no stream is
//! open it is told of no changes, and begins again at the state's revision with the next one. What a watcher
//! has missed is read from the state's history, in batches, with the state's read lock given up in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_kv::{Event, Hub, HubOptions, StreamId, WatchCreate, WatchMessage};
use tokio::sync::mpsc::UnboundedSender;

use crate::mailbox::Receiver;
use crate::shared::Shared;

/// Messages a stream may have outstanding before its watchers are read from history instead.
const STREAM_CAPACITY: usize = 1024;

/// Records read from history under one hold of the state's read lock.
const CATCH_UP_RECORDS: usize = 4096;

/// How long the thread sleeps when nothing comes.
const IDLE: Duration = Duration::from_millis(100);

/// What comes to the watch thread.
pub enum WatchInput {
    /// Changes, by revision, in order.
    Events(Vec<(i64, Vec<Event>)>),
    /// The state was replaced by one at this revision.
    Jump(i64),
    /// A stream begins; its messages go there.
    Open(StreamId, UnboundedSender<WatchMessage>),
    /// A stream has ended.
    Close(StreamId),
    /// A client asks to watch.
    Create(StreamId, WatchCreate),
    /// A client ends a watch.
    Cancel(StreamId, i64),
    /// A client asks how far its watches are.
    Progress(StreamId),
    /// A client has taken a message.
    Delivered(StreamId),
    /// The node stops.
    Stop,
}

/// The thread's own state.
pub struct Watches {
    shared: Arc<Shared>,
    inputs: Receiver<WatchInput>,
    hub: Hub,
    streams: BTreeMap<StreamId, UnboundedSender<WatchMessage>>,
    next_progress: Instant,
}

impl Watches {
    /// A hub at the state's present revision.
    pub fn new(shared: Arc<Shared>, inputs: Receiver<WatchInput>) -> Self {
        let hub = Hub::new(shared.state.read().revision(), HubOptions::default());
        let next_progress = Instant::now() + shared.config.watch_progress_notify_interval;
        Watches { shared, inputs, hub, streams: BTreeMap::new(), next_progress }
    }

    /// Run until told to stop.
    pub fn run(mut self) {
        let mut inputs = Vec::new();
        loop {
            // While somebody is behind there is work without any input.
            let patience = if self.hub.has_lagging() { Duration::ZERO } else { IDLE };
            self.inputs.take_all(&mut inputs, Some(Instant::now() + patience));
            for input in inputs.drain(..) {
                if !self.take(input) {
                    return;
                }
            }
            self.catch_up();
            self.tick_progress();
            self.send();
            self.shared.metrics.watchers.store(self.hub.watchers() as i64, Ordering::Relaxed);
        }
    }

    fn take(&mut self, input: WatchInput) -> bool {
        match input {
            WatchInput::Events(batches) => {
                let state = self.shared.state.read();
                batches.iter().for_each(|(revision, events)| self.hub.publish(*revision, events, &state));
            }
            WatchInput::Jump(revision) => self.hub.jump(revision),
            WatchInput::Open(stream, sender) => {
                // While no stream was open nobody told us of changes.
                if self.streams.is_empty() {
                    self.hub.jump(self.shared.state.read().revision());
                }
                self.hub.open(stream, STREAM_CAPACITY);
                self.streams.insert(stream, sender);
            }
            WatchInput::Close(stream) => self.close(stream),
            WatchInput::Create(stream, request) => {
                let compacted = self.shared.state.read().compact_revision();
                self.hub.create(stream, request, compacted);
            }
            WatchInput::Cancel(stream, id) => self.hub.cancel(stream, id),
            WatchInput::Progress(stream) => {
                // What is behind only for want of a moment must not make the client ask again.
                self.catch_up();
                self.hub.progress(stream);
            }
            WatchInput::Delivered(stream) => self.hub.delivered(stream, 1),
            WatchInput::Stop => return false,
        }
        true
    }

    fn close(&mut self, stream: StreamId) {
        self.hub.close(stream);
        self.streams.remove(&stream);
    }

    fn catch_up(&mut self) {
        if self.hub.has_lagging() {
            self.hub.catch_up(&self.shared.state.read(), CATCH_UP_RECORDS);
        }
    }

    fn tick_progress(&mut self) {
        if Instant::now() >= self.next_progress {
            self.next_progress = Instant::now() + self.shared.config.watch_progress_notify_interval;
            self.hub.tick_progress();
        }
    }

    fn send(&mut self) {
        let mut gone = Vec::new();
        for (stream, message) in self.hub.drain() {
            if self.streams.get(&stream).is_some_and(|sender| sender.send(message).is_err()) {
                gone.push(stream);
            }
        }
        gone.into_iter().for_each(|stream| self.close(stream));
    }
}
