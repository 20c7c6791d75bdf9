//! A node as the world sees it: up or down, and what survives when it goes down.
//!
//! What survives a crash is a [`Durable`]: the log's disk, as far as it was synced, and the last checkpoint of the
//! state. Everything else is the [`Host`]'s and gone with it. Each start begins a new *life*; an event that was
//! meant for an earlier life does not reach a later one.

use bytes::Bytes;
use quorate_kv::{Command, LeaseId, MemoryStorage, Range, StreamId, WatchCreate};
use quorate_protocol::{Consensus, NodeId};
use quorate_wal::MemoryDisk;

use crate::checks::FASTEST_PERMILLE;
use crate::env::{Env, Event};
use crate::host::Host;
use crate::report::Fault;
use crate::trace::tell;

/// What happens to a node.
#[derive(Debug)]
pub enum NodeEvent {
    /// Its process starts.
    Start,
    /// Its clock ticks.
    Tick,
    /// Bytes have arrived.
    Parcel { from: usize, bytes: Bytes },
    /// The fsync under way has finished.
    Synced,
    /// It gets round to applying.
    Apply,
    /// A checkpoint is durable.
    Checkpointed(Box<MemoryStorage>),
    /// An image for a peer can be made now.
    MakeImage { to: usize },
    /// The transport is done with an image.
    SnapshotSent { to: usize, ok: bool },
    /// A connection was lost.
    LinkReset { peer: usize },
    /// A client asks.
    Request { client: usize, number: u64, ask: Ask },
    /// A watcher connects.
    Watch { watcher: usize, stream: StreamId, create: WatchCreate },
    /// A watcher has taken a message.
    Taken { stream: StreamId },
    /// A watcher asks how far its stream is.
    Progress { stream: StreamId },
    /// A watcher goes.
    Unwatch { stream: StreamId },
}

/// What a client asks.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Carry this out.
    Write(Command),
    /// Read, linearizably.
    Read(Range),
    /// Renew a lease.
    KeepAlive(LeaseId),
}

impl NodeEvent {
    /// For the trace: a number for its kind, and one for its content.
    pub fn trace(&self) -> (u8, u64) {
        match self {
            NodeEvent::Start => (1, 0),
            NodeEvent::Tick => (2, 0),
            NodeEvent::Parcel { from, bytes } => (3, quorate_checker::digest(bytes) ^ *from as u64),
            NodeEvent::Synced => (4, 0),
            NodeEvent::Apply => (5, 0),
            NodeEvent::Checkpointed(_) => (6, 0),
            NodeEvent::MakeImage { to } => (7, *to as u64),
            NodeEvent::SnapshotSent { to, ok } => (8, (*to as u64) << 1 | u64::from(*ok)),
            NodeEvent::LinkReset { peer } => (9, *peer as u64),
            NodeEvent::Request { client, number, .. } => (10, (*client as u64) << 32 | number),
            NodeEvent::Watch { stream, create, .. } => (11, stream.0 << 32 | create.start_revision as u64),
            NodeEvent::Taken { stream } => (12, stream.0),
            NodeEvent::Progress { stream } => (13, stream.0),
            NodeEvent::Unwatch { stream } => (14, stream.0),
        }
    }
}

/// What a node finds again.
#[derive(Debug, Default)]
pub struct Durable {
    /// The log's disk.
    pub disk: MemoryDisk,
    /// The last checkpoint.
    pub checkpoint: MemoryStorage,
}

/// See the module's text.
pub struct Node<C: Consensus> {
    /// Its place in the world; its id is one more.
    pub place: usize,
    /// Which life it is in.
    pub life: u64,
    /// How long its ticks are.
    tick_us: u64,
    /// It does nothing until then.
    pub paused_until: u64,
    down: Option<Durable>,
    up: Option<Box<Host<C>>>,
}

impl<C: Consensus> Node<C> {
    /// A node that has never run.
    pub fn new(place: usize, env: &mut Env) -> Self {
        // Up to 15 % too fast or too slow: far more than a quartz clock ever is.
        let permille = if env.swarm.skew { env.dice.host.between(FASTEST_PERMILLE, 1151) } else { 1000 };
        let tick_us = env.swarm.tick_us * permille / 1000;
        Node { place, life: 0, tick_us, paused_until: 0, down: Some(Durable::default()), up: None }
    }

    /// Its name to the others.
    pub fn id(&self) -> NodeId {
        NodeId(self.place as u64 + 1)
    }

    /// What runs on it, if it is up.
    pub fn host(&self) -> Option<&Host<C>> {
        self.up.as_deref()
    }

    /// Something happens to it. Whoever connects to a node that is down is told so.
    pub fn handle(&mut self, event: NodeEvent, env: &mut Env) {
        let (kind, content) = event.trace();
        env.trace.event(kind, env.now, self.place as u64, content);
        if let NodeEvent::Start = event {
            return self.start(env);
        }
        let Some(host) = &mut self.up else { return refuse(event, env) };
        if let NodeEvent::Tick = event {
            env.after_at(self.tick_us, self.place, self.life, NodeEvent::Tick);
        }
        host.handle(event, env);
    }

    fn start(&mut self, env: &mut Env) {
        let Some(durable) = self.down.take() else { return };
        tell!(env, "node {} starts, life {}", self.id(), self.life);
        match Host::start(self.place, self.life, durable, env) {
            Ok(host) => {
                self.up = Some(Box::new(host));
                env.reset_links(self.place);
                let phase = env.dice.host.below(self.tick_us);
                env.after_at(phase, self.place, self.life, NodeEvent::Tick);
            }
            Err(error) => {
                env.checks.fail("LogRecovery", format!("node {} cannot start: {error}", self.id()));
            }
        }
    }

    /// If it is down, it starts now.
    pub fn start_soon(&mut self, env: &mut Env) {
        if self.up.is_none() {
            env.after_at(1, self.place, self.life, NodeEvent::Start);
        }
    }

    /// Its process ends here and now; with `power`, what was not synced is lost or torn. It starts again after
    /// `down_us`.
    pub fn crash(&mut self, power: bool, down_us: u64, env: &mut Env) {
        let Some(host) = self.up.take() else { return };
        tell!(
            env,
            "node {} {}, for {down_us} us",
            self.id(),
            if power { "loses power" } else { "is killed" }
        );
        env.stats.fault(if power { Fault::PowerCut } else { Fault::Kill });
        let durable = host.end(env);
        if power {
            let dice = &mut env.dice.disk;
            durable.disk.crash(|bound| dice.below(bound));
        }
        self.down = Some(durable);
        self.life += 1;
        self.paused_until = 0;
        env.after_at(down_us, self.place, self.life, NodeEvent::Start);
    }
}

/// Nobody is there.
fn refuse(event: NodeEvent, env: &mut Env) {
    match event {
        NodeEvent::Request { client, number, .. } => env.refuse(client, number),
        NodeEvent::Watch { watcher, stream, .. } => {
            env.after(300, Event::Watcher(crate::watchers::WatcherEvent::Broken { watcher, stream }));
        }
        _ => {}
    }
}
