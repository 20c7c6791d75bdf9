//! Clients that watch: over broken connections, from node to node, each keeping a record of all it was told.
//!
//! A watcher knows the next revision it needs. When its connection ends, because the node crashed, or by its own
//! whim, it connects to any node and asks from there on. What it has received over all its connections is one
//! `Stream`, which the checks hold against the store's history at the end.

use bytes::Bytes;
use quorate_checker::watch::{Received, Stream};
use quorate_kv::{KeyRange, StreamId, WatchCreate, WatchMessage};

use crate::checks::change;
use crate::env::{Env, Event};
use crate::host::Connection;
use crate::label;
use crate::node::NodeEvent;
use crate::plant::resume_from;
use crate::story::Happening;
use crate::trace::note;

/// What happens to a watcher.
#[derive(Debug)]
pub enum WatcherEvent {
    /// It connects.
    Connect { watcher: usize },
    /// A message arrives.
    Message { watcher: usize, stream: StreamId, message: WatchMessage },
    /// The connection has ended.
    Broken { watcher: usize, stream: StreamId },
    /// It has had enough of this connection.
    HangUp { watcher: usize, stream: StreamId },
}

impl Env {
    /// A node says something to a watcher.
    pub fn tell_watcher(&mut self, connection: &mut Connection, stream: StreamId, message: WatchMessage) {
        let at = (self.now + self.dice.watchers.between(50, 500)).max(connection.arrives + 1);
        connection.arrives = at;
        let watcher = connection.watcher;
        self.after(at - self.now, Event::Watcher(WatcherEvent::Message { watcher, stream, message }));
    }

    /// A connection ends under a watcher.
    pub fn break_watch(&mut self, watcher: usize, stream: StreamId) {
        self.after(400, Event::Watcher(WatcherEvent::Broken { watcher, stream }));
    }
}

/// One watcher.
#[derive(Debug)]
struct Watcher {
    template: WatchCreate,
    record: Stream,
    /// The first revision it has not seen; not known before the first answer of a watch "from now".
    next: Option<u64>,
    /// The connection.
    stream: Option<StreamId>,
    /// Where it leads.
    node: usize,
    /// How long it takes to take a message, at most.
    slow_us: u64,
    connected_before: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Watchers {
    all: Vec<Watcher>,
    streams: u64,
    /// Connections are kept from now on.
    pub steady: bool,
}

impl Watchers {
    /// Draw the watchers of a run.
    pub fn new(env: &mut Env) -> Self {
        let all: Vec<Watcher> = (0..env.swarm.load.watchers).map(|_| Watcher::draw(env)).collect();
        for watcher in 0..all.len() {
            let delay = env.dice.watchers.below(1_000_000);
            env.after(delay, Event::Watcher(WatcherEvent::Connect { watcher }));
        }
        Watchers { all, streams: 0, steady: false }
    }

    /// Something happens.
    pub fn handle(&mut self, event: WatcherEvent, env: &mut Env) {
        match event {
            WatcherEvent::Connect { watcher } => self.connect(watcher, env),
            WatcherEvent::Message { watcher, stream, message } => {
                env.trace.event(40, env.now, watcher as u64, message.revision as u64);
                if self.all[watcher].stream == Some(stream) {
                    self.received(watcher, stream, message, env);
                }
            }
            WatcherEvent::Broken { watcher, stream } => self.lost(watcher, stream, env),
            WatcherEvent::HangUp { watcher, stream } => {
                if !self.steady && self.all[watcher].stream == Some(stream) {
                    self.hang_up(watcher, stream, env);
                }
            }
        }
    }

    fn connect(&mut self, at: usize, env: &mut Env) {
        self.streams += 1;
        let stream = StreamId(self.streams);
        let watcher = &mut self.all[at];
        watcher.node = Env::a_server(&env.serving[0], &mut env.dice.watchers);
        watcher.stream = Some(stream);
        let mut create = watcher.template.clone();
        if watcher.connected_before {
            let start_revision = watcher.next.map_or(0, |next| resume_from(env.plant, next));
            create.start_revision = start_revision as i64;
            watcher.record.received.push(Received::Reconnected { start_revision });
        }
        watcher.connected_before = true;
        env.trace.event(41, env.now, at as u64, create.start_revision as u64);
        let (node, start_revision) = (watcher.node as u64 + 1, create.start_revision as u64);
        note!(env, Happening::Watch { watcher: at as u64, node, start_revision });
        let event = NodeEvent::Watch { watcher: at, stream, create };
        env.after(200, Event::Node { node: watcher.node, life: None, event });
        if env.dice.watchers.percent(60) {
            let delay = env.dice.watchers.between(1_000, 3_000_000 * env.swarm.stretch());
            env.after(delay, Event::Watcher(WatcherEvent::HangUp { watcher: at, stream }));
        }
    }

    fn received(&mut self, at: usize, stream: StreamId, message: WatchMessage, env: &mut Env) {
        let watcher = &mut self.all[at];
        note!(env, Happening::Watched { watcher: at as u64, label: label::of_watch(&message) });
        env.stats.watched += message.events.len() as u64;
        let taken = Event::Node { node: watcher.node, life: None, event: NodeEvent::Taken { stream } };
        // In peace nobody is slow: with much history to catch up on, that alone would take longer than the bound.
        let slow_us = if self.steady { 300 } else { watcher.slow_us };
        let delay = 200 + env.dice.watchers.below(slow_us + 1);
        env.after(delay, taken);
        watcher.take(message);
        if let Some(Received::Compacted { .. }) = watcher.record.received.last() {
            self.hang_up(at, stream, env);
        }
    }

    fn hang_up(&mut self, at: usize, stream: StreamId, env: &mut Env) {
        let node = self.all[at].node;
        env.after(100, Event::Node { node, life: None, event: NodeEvent::Unwatch { stream } });
        self.lost(at, stream, env);
    }

    fn lost(&mut self, at: usize, stream: StreamId, env: &mut Env) {
        let watcher = &mut self.all[at];
        if watcher.stream == Some(stream) {
            note!(env, Happening::WatchLost { watcher: at as u64 });
            watcher.stream = None;
            let delay = if self.steady { 1_000 } else { env.dice.watchers.between(500, 300_000) };
            env.after(delay, Event::Watcher(WatcherEvent::Connect { watcher: at }));
        }
    }

    /// Those who have not seen everything up to `revision` ask how far they are; answers how many there are.
    pub fn behind(&self, revision: u64, env: &mut Env) -> usize {
        let mut behind = 0;
        for watcher in self.all.iter().filter(|watcher| watcher.next.is_none_or(|next| next <= revision)) {
            behind += 1;
            if let Some(stream) = watcher.stream {
                let event = NodeEvent::Progress { stream };
                env.after(100, Event::Node { node: watcher.node, life: None, event });
            }
        }
        behind
    }

    /// Everything they were told; all have seen everything up to `revision`.
    pub fn conclude(self, revision: u64) -> Vec<Stream> {
        let complete = |watcher: Watcher| Stream { complete_through: revision, ..watcher.record };
        self.all.into_iter().map(complete).collect()
    }
}

impl Watcher {
    fn draw(env: &mut Env) -> Self {
        let dice = &mut env.dice.watchers;
        let single = format!("k{}", dice.below(env.swarm.load.keys));
        let (key, end) = match dice.below(3) {
            0 => (Bytes::from(single), Bytes::new()),
            1 => (Bytes::from_static(b"k"), Bytes::from_static(b"l")),
            _ => (Bytes::from_static(b"k"), Bytes::from_static(b"\0")),
        };
        let template = WatchCreate {
            range: KeyRange { key: key.clone(), end: end.clone() },
            start_revision: if dice.percent(50) { 0 } else { dice.between(1, 30) as i64 },
            progress_notify: dice.percent(50),
            no_put: dice.percent(10),
            no_delete: dice.percent(15),
            prev_kv: dice.percent(30),
            watch_id: 0,
            fragment: dice.percent(30),
        };
        let start_revision = template.start_revision as u64;
        let record = Stream {
            key,
            range_end: end,
            no_put: template.no_put,
            no_delete: template.no_delete,
            start_revision,
            ..Stream::default()
        };
        let slow_us = if dice.percent(30) { 200_000 } else { 300 };
        let next = (start_revision > 0).then_some(start_revision);
        Watcher { template, record, next, stream: None, node: 0, slow_us, connected_before: false }
    }

    /// Take note of a message.
    fn take(&mut self, message: WatchMessage) {
        let revision = message.revision as u64;
        let told = if message.canceled {
            // The next attempt begins where history still does.
            self.next = Some(message.compact_revision as u64);
            Received::Compacted { compact_revision: message.compact_revision as u64 }
        } else if message.created {
            self.next = self.next.or(Some(revision + 1));
            Received::Created { revision }
        } else if message.events.is_empty() {
            self.next = self.next.max(Some(revision + 1));
            Received::Progress { revision }
        } else {
            let events: Vec<_> = message.events.iter().map(|(event, _)| change(event)).collect();
            // A revision counts as seen when all of it has come.
            if !message.fragment {
                self.next = self.next.max(events.last().map(|event| event.revision + 1));
            }
            Received::Events { revision, events, fragment: message.fragment }
        };
        self.record.received.push(told);
    }
}
