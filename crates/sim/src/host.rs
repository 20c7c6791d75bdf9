//! The host of a replica: carries its outputs out over the simulated log, network and state machine.
//!
//! It is the counterpart of the server's threads in one value: the real [`Replica`], the real [`Wal`] over a
//! disk in memory, the real [`State`], lessor and watch hub. What the server does on several threads at once is done
//! here in pieces that the queue of events spreads over time: an fsync takes a while, and so does applying.
//! Serving clients and watchers is in [`crate::serve`], images and checkpoints in [`crate::images`].

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use quorate_kv::{Hub, HubOptions, MemoryStorage, Range, State, Storage, StreamId};
use quorate_protocol::{
    Ballot, Config, Consensus, Entry, Index, LogId, NodeId, Outbox, ReadId, Recovered, Role, Seq, WriteOp,
};
use quorate_replica::{Input, Lessor, Limits, Output, Replica};
use quorate_wal::{GroupId, Identity, MemoryDisk, Options, Wal, WalError};
use quorate_wire::{FrameDecoder, Packet, encode_message};

use crate::env::Env;
use crate::network::Parcel;
use crate::node::{Durable, NodeEvent};
use crate::plant::{self, Plant};
use crate::trace::tell;

/// The only group of a node.
pub const GROUP: GroupId = 0;

/// A client that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    pub client: usize,
    pub number: u64,
}

/// A watcher's connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub watcher: usize,
    /// When the last message on it arrives.
    pub arrives: u64,
}

/// See the module's text.
pub struct Host<C: Consensus> {
    pub place: usize,
    pub life: u64,
    pub durable: Durable,
    pub replica: Replica<C>,
    wal: Wal<MemoryDisk>,
    outbox: Outbox<C::Message>,
    /// The last write handed to the log.
    written: Seq,
    /// The last of them with a promise in it; 0 once that is durable.
    promise: Seq,
    /// The last write of the frame being synced.
    flying: Option<Seq>,
    pub state: State<MemoryStorage>,
    pub lessor: Lessor,
    pub hub: Hub,
    pub connections: BTreeMap<StreamId, Connection>,
    pub ticks: u64,
    pub role: Role,
    pub leader: Option<NodeId>,
    /// Committed, not applied.
    pub backlog: VecDeque<Entry>,
    pub apply_due: bool,
    pub since_checkpoint: u64,
    pub checkpointing: bool,
    pub reads: BTreeMap<ReadId, (Waiter, Range)>,
    /// Reads that wait for the state machine.
    pub ready: Vec<(Index, Vec<ReadId>)>,
    pub writes: BTreeMap<u64, Waiter>,
    pub requests: u64,
    /// Images for peers, each with the entry it stands at.
    pub images: BTreeMap<usize, (LogId, Bytes)>,
    /// The image that came with the message being stepped.
    pub staged: Option<MemoryStorage>,
    inputs: VecDeque<Input<C::Message>>,
}

/// Where a state stands in the log.
pub fn stands_at(storage: &MemoryStorage) -> LogId {
    let meta = storage.meta();
    let (round, node) = meta.applied_ballot;
    LogId { ballot: Ballot { round, node: NodeId(node) }, index: Index(meta.applied_index) }
}

impl<C: Consensus> Host<C> {
    /// Start from what is durable.
    pub fn start(place: usize, life: u64, durable: Durable, env: &mut Env) -> Result<Self, WalError> {
        let id = NodeId(place as u64 + 1);
        let identity = Identity { cluster: 1, node: id.0, protocol: C::NAME.into() };
        let options = Options { segment_bytes: env.swarm.segment_bytes, spares: 1 };
        let (wal, mut groups) = Wal::open(durable.disk.clone(), options, &identity)?;
        let found = groups.remove(&GROUP).unwrap_or_default();
        let promised = plant::promise_found(env.plant, found.promised);
        let found = Recovered { promised, applied: stands_at(&durable.checkpoint), ..found };
        let config = config(id, env);
        let core = C::recover(config, found, env.dice.host.fork());
        let state = State::restore(durable.checkpoint.clone());
        let hub_options = HubOptions { batch_revisions: 7, batch_bytes: 400, ..HubOptions::default() };
        Ok(Host {
            place,
            life,
            durable,
            replica: Replica::new(core, limits(env)),
            wal,
            outbox: Outbox::default(),
            written: Seq(0),
            promise: Seq(0),
            flying: None,
            hub: Hub::new(state.revision(), hub_options),
            state,
            lessor: Lessor::new(),
            connections: BTreeMap::new(),
            ticks: 0,
            role: Role::Follower,
            leader: None,
            backlog: VecDeque::new(),
            apply_due: false,
            since_checkpoint: 0,
            checkpointing: false,
            reads: BTreeMap::new(),
            ready: Vec::new(),
            writes: BTreeMap::new(),
            requests: 0,
            images: BTreeMap::new(),
            staged: None,
            inputs: VecDeque::new(),
        })
    }

    /// Its name to the others.
    pub fn id(&self) -> NodeId {
        NodeId(self.place as u64 + 1)
    }

    /// The process ends: whoever is connected notices.
    pub fn end(self, env: &mut Env) -> Durable {
        for waiter in self.writes.values().chain(self.reads.values().map(|(waiter, _)| waiter)) {
            env.break_off(*waiter);
        }
        for (stream, connection) in &self.connections {
            env.break_watch(connection.watcher, *stream);
        }
        self.durable
    }

    /// Something happens.
    pub fn handle(&mut self, event: NodeEvent, env: &mut Env) {
        match event {
            NodeEvent::Start => {}
            NodeEvent::Tick => self.tick(env),
            NodeEvent::Parcel { from, bytes } => self.unpack(from, &bytes, env),
            NodeEvent::Synced => self.synced(env),
            NodeEvent::Apply => self.apply(env),
            NodeEvent::Checkpointed(storage) => self.checkpointed(*storage, env),
            NodeEvent::MakeImage { to } => self.make_image(to, env),
            NodeEvent::SnapshotSent { to, ok } => self.step(Input::SnapshotSent { to: node(to), ok }, env),
            NodeEvent::LinkReset { peer } => self.step(Input::LinkReset(node(peer)), env),
            NodeEvent::Request { client, number, ask } => self.ask(Waiter { client, number }, ask, env),
            NodeEvent::Watch { watcher, stream, create } => self.watch(watcher, stream, create, env),
            NodeEvent::Taken { stream } => self.hub.delivered(stream, 1),
            NodeEvent::Progress { stream } => {
                self.hub.progress(stream);
                self.tell_watchers(env);
            }
            NodeEvent::Unwatch { stream } => {
                self.hub.close(stream);
                self.connections.remove(&stream);
            }
        }
    }

    fn tick(&mut self, env: &mut Env) {
        self.ticks += 1;
        self.step(Input::Tick, env);
        self.expire_leases(env);
        self.state.compact_step(8);
        self.hub.catch_up(&self.state, 20);
        if self.ticks.is_multiple_of(40) {
            self.hub.tick_progress();
        }
        self.tell_watchers(env);
        let kept = if self.wal.is_idle() { self.wal.seal() } else { Ok(()) };
        let prepared =
            if self.wal.wants_next() && env.dice.host.percent(30) { self.wal.prepare_next() } else { Ok(()) };
        self.log_works(kept.and(prepared), env);
    }

    fn log_works(&self, outcome: Result<(), WalError>, env: &mut Env) {
        if let Err(error) = outcome {
            env.checks.fail("LogWorks", format!("node {}: {error}", self.id()));
        }
    }

    /// Step the replica, and whatever follows from it at once.
    pub fn step(&mut self, input: Input<C::Message>, env: &mut Env) {
        self.inputs.push_back(input);
        let mut outputs = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            self.replica.step(input, &mut outputs);
            for output in outputs.drain(..) {
                self.carry(output, env);
            }
            env.checks.core(self.id().0, self.replica.core());
            self.write(env);
        }
    }

    fn carry(&mut self, output: Output<C::Message>, env: &mut Env) {
        match output {
            Output::Write { seq, ops } => {
                if ops.iter().any(|op| matches!(op, WriteOp::Meta { .. })) {
                    self.promise = seq;
                }
                let appended = self.wal.append(GROUP, &ops);
                self.log_works(appended, env);
                self.written = seq;
            }
            Output::Send { to, message, after } => {
                if let Some((to, message)) = self.outbox.put(to, message, after) {
                    self.send(to, &message, env);
                }
            }
            Output::Apply(entries) => self.committed(entries, env),
            Output::ReadReady { ids, index } => {
                self.ready.push((index, ids));
                self.serve_ready(env);
            }
            Output::ReadFailed(ids) => {
                for (waiter, _) in ids.into_iter().filter_map(|id| self.reads.remove(&id)) {
                    env.refuse(waiter.client, waiter.number);
                }
            }
            Output::Refused { proposals, .. } => self.refused(&proposals, env),
            Output::SendSnapshot(to) => self.image_wanted(place(to), env),
            Output::InstallSnapshot(id) => self.install(id, env),
            Output::Role { role, round, leader } => self.role_changed(role, round, leader, env),
        }
    }

    fn role_changed(&mut self, role: Role, round: u64, leader: Option<NodeId>, env: &mut Env) {
        tell!(env, "node {} is {role:?} in round {round}, leader {leader:?}", self.id());
        let began = role == Role::Leader && self.role != Role::Leader;
        self.role = role;
        self.leader = leader;
        if began {
            env.checks.leads(self.id().0, round, self.replica.core());
            let grace_ms = env.swarm.election_us() / 1000;
            self.lessor.lead(self.state.leases(), self.now_ms(), grace_ms);
            env.elected(self.place, self.life);
        } else if role != Role::Leader {
            self.lessor.stop();
        }
    }

    /// The node's own clock.
    pub fn now_ms(&self) -> u64 {
        self.ticks * 10
    }

    // The log.

    /// Write what is buffered, unless a frame is being synced.
    fn write(&mut self, env: &mut Env) {
        if self.flying.is_some() || self.wal.buffered_bytes() == 0 {
            return;
        }
        let written = self.wal.write();
        self.log_works(written, env);
        self.flying = Some(self.written);
        let delay = Env::within(&mut env.dice.disk, env.swarm.pace.disk_us);
        env.after_at(delay, self.place, self.life, NodeEvent::Synced);
        if env.plant == Some(Plant::AckBeforeFsync) {
            self.durable_upto(self.written, env);
        }
    }

    fn synced(&mut self, env: &mut Env) {
        let synced = self.wal.sync();
        self.log_works(synced, env);
        if let Some(seq) = self.flying.take()
            && env.plant != Some(Plant::AckBeforeFsync)
        {
            self.durable_upto(seq, env);
        }
        self.write(env);
        while let Some(input) = self.inputs.pop_front() {
            self.step(input, env);
        }
    }

    /// Send what waited for this write, and let the replica know.
    fn durable_upto(&mut self, seq: Seq, env: &mut Env) {
        for (to, message) in self.outbox.durable(seq) {
            self.send(to, &message, env);
            env.sent_after_sync(self.place, self.life);
        }
        if self.promise > Seq(0) && self.promise <= seq {
            self.promise = Seq(0);
            env.promised(self.place, self.life);
        }
        self.inputs.push_back(Input::Durable(seq));
    }

    // The links.

    fn send(&mut self, to: NodeId, message: &C::Message, env: &mut Env) {
        let to = place(to);
        let mut bytes = BytesMut::new();
        let mut image = None;
        if let Some(id) = C::carries_snapshot(message) {
            match self.images.get(&to) {
                Some((at, content)) if *at == id => self.pack_image(content, &mut bytes),
                // Another one was made since: the core is told that this one was not sent.
                _ => {
                    return env.after_at(1, self.place, self.life, NodeEvent::SnapshotSent { to, ok: false });
                }
            }
            image = Some(self.life);
        }
        match encode_message(GROUP, message) {
            Ok(segments) => segments.iter().for_each(|segment| bytes.extend_from_slice(segment)),
            Err(error) => return env.checks.fail("Wire", format!("node {}: {error}", self.id())),
        }
        env.transmit(self.place, to, Parcel { bytes: bytes.freeze(), image });
    }

    fn unpack(&mut self, from: usize, bytes: &Bytes, env: &mut Env) {
        let mut frames = FrameDecoder::default();
        frames.feed(bytes);
        let mut image: Vec<Bytes> = Vec::new();
        loop {
            let packet = match frames.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => Packet::decode(frame).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match packet {
                Ok(Packet::SnapshotChunk(chunk)) => image.push(chunk.bytes),
                Ok(Packet::Message { body, .. }) => self.receive(from, body, &image, env),
                Ok(other) => env.checks.fail("Wire", format!("an unexpected packet: {other:?}")),
                Err(error) => return env.checks.fail("Wire", format!("node {}: {error}", self.id())),
            }
        }
    }

    fn receive(&mut self, from: usize, body: Bytes, image: &[Bytes], env: &mut Env) {
        let message: C::Message = match quorate_protocol::codec::Reader::whole(body) {
            Ok(message) => message,
            Err(error) => return env.checks.fail("Wire", format!("node {}: {error}", self.id())),
        };
        if env.trace.told() {
            tell!(env, "  {} <- {}: {message:?}", self.id(), from + 1);
        }
        if let Some(id) = C::carries_snapshot(&message) {
            self.stage(id, image, env);
        }
        self.step(Input::Receive { from: node(from), message }, env);
        self.staged = None;
    }
}

/// The node at a place.
pub fn node(place: usize) -> NodeId {
    NodeId(place as u64 + 1)
}

/// A node's place.
pub fn place(node: NodeId) -> usize {
    node.0 as usize - 1
}

fn config(id: NodeId, env: &Env) -> Config {
    let swarm = &env.swarm;
    Config {
        election_ticks: swarm.election_ticks,
        heartbeat_ticks: swarm.heartbeat_ticks,
        max_message_bytes: swarm.max_message_bytes,
        max_inflight: swarm.max_inflight,
        max_uncommitted_bytes: 1 << 20,
        ..Config::new(id, (0..swarm.nodes).map(node).collect())
    }
}

fn limits(env: &Env) -> Limits {
    let swarm = &env.swarm;
    Limits {
        request_ticks: u64::from(swarm.election_ticks) * 4,
        retry_ticks: u64::from(swarm.heartbeat_ticks / 2).max(1),
        max_proposals: 100,
        max_reads: 100,
        retain_entries: swarm.retain_entries,
        retain_bytes: 1 << 20,
    }
}
