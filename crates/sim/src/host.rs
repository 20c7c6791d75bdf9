//! The host of a replica: carries its outputs out over the simulated log, network and state machine.
//!
//! It is the counterpart of the server's threads in one value: the real [`Replica`], the real [`Wal`] over a
//! disk in memory, the real [`State`], lessor and watch hub. What the server does on several threads at once is done
//! here in pieces that the queue of events spreads over time: an fsync takes a while, and so does applying.
//! Serving clients and watchers is in [`crate::serve`], images and checkpoints in [`crate::images`], the log and what it
//! must keep in [`crate::journal`].
//!
//! An error of the log ends the host: it does nothing more once [`Host::dead`] is set, and the node ends it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quorate_kv::{Hub, HubOptions, MemoryStorage, Range, State, Storage, StreamId, WatchCreate};
use quorate_protocol::codec::Reader;
use quorate_protocol::{
    Ballot, Config, Consensus, Entry, Index, LogId, Membership, NodeId, Outbox, ReadId, Recovered, Role,
};
use quorate_replica::{Input, Lessor, Limits, Output, Replica};
use quorate_wal::{GroupId, MemoryDisk, Wal};
use quorate_wire::{FrameDecoder, Packet, encode_message};

use crate::atomic::site::{SITES, Seat};
use crate::disks::Trouble;
use crate::env::Env;
use crate::images::{Incoming, Outgoing, Saved};
use crate::journal::Journal;
use crate::network::Spoiled;
use crate::node::{Durable, NodeEvent};
use crate::plant::{self, Plant};
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::{note, tell};

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
    pub wal: Wal<MemoryDisk>,
    pub outbox: Outbox<C::Message>,
    pub journal: Journal,
    /// It has met an error after which nothing may be done or sent.
    pub dead: bool,
    /// So many more frames must become durable before it may crash: its disk has lied.
    pub fragile: u8,
    pub state: State<MemoryStorage>,
    pub lessor: Lessor,
    /// A site of atomic commit, where the world has them.
    pub seat: Option<Box<Seat>>,
    pub hub: Hub,
    pub connections: BTreeMap<StreamId, Connection>,
    pub ticks: u64,
    tick_ms: u64,
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
    /// For bugs put in: proposals without an answer, and what watchers asked for.
    pub unanswered: BTreeMap<u64, Bytes>,
    pub watched: BTreeMap<StreamId, WatchCreate>,
    pub requests: u64,
    /// Images for peers.
    pub images: BTreeMap<usize, Outgoing>,
    /// Images on their way from peers.
    pub incoming: BTreeMap<usize, Incoming>,
    pub streams: u64,
    /// The image that came with the message being stepped.
    pub staged: Option<Saved>,
    pub inputs: VecDeque<Input<C::Message>>,
}

/// Where a state stands in the log.
pub fn stands_at(storage: &MemoryStorage) -> LogId {
    let meta = storage.meta();
    let (round, node) = meta.applied_ballot;
    LogId { ballot: Ballot { round, node: NodeId(node) }, index: Index(meta.applied_index) }
}

impl<C: Consensus> Host<C> {
    /// Start from what is durable, and what was found in the log.
    pub fn start(
        place: usize,
        life: u64,
        durable: Durable,
        wal: Wal<MemoryDisk>,
        found: Recovered,
        trouble: Trouble,
        env: &mut Env,
    ) -> Self {
        let id = NodeId(place as u64 + 1);
        let found = with_state(found, &durable.checkpoint);
        let journal = Journal::new(trouble, &found);
        env.checks.found(id.0, &found);
        let found = plant::found(env.plant, found);
        let config = config(id, env);
        let core = C::recover(config, found, env.dice.host.fork());
        let state = State::restore(durable.checkpoint.clone());
        let hub_options =
            HubOptions { batch_revisions: 7, batch_bytes: 400, fragment_bytes: 120, ..HubOptions::default() };
        Host {
            place,
            life,
            seat: Seat::of(place, &durable.site, env),
            durable,
            replica: Replica::new(core, limits(env)),
            wal,
            outbox: Outbox::default(),
            journal,
            dead: false,
            fragile: 0,
            hub: Hub::new(state.revision(), hub_options),
            state,
            lessor: Lessor::new(),
            connections: BTreeMap::new(),
            ticks: 0,
            tick_ms: env.swarm.tick_us / 1000,
            role: Role::Follower,
            leader: None,
            backlog: VecDeque::new(),
            apply_due: false,
            since_checkpoint: 0,
            checkpointing: false,
            reads: BTreeMap::new(),
            ready: Vec::new(),
            writes: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            watched: BTreeMap::new(),
            requests: 0,
            images: BTreeMap::new(),
            incoming: BTreeMap::new(),
            // Named differently in each life: what was under way may arrive in the next.
            streams: life << 32,
            staged: None,
            inputs: VecDeque::new(),
        }
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
        for waiter in self.seat.iter().flat_map(|seat| seat.waiters()) {
            env.break_off(waiter);
        }
        for (stream, connection) in &self.connections {
            env.break_watch(connection.watcher, *stream);
        }
        let kept = self.journal.at_end(self.durable.kept);
        Durable { kept, ..self.durable }
    }

    /// Something happens.
    pub fn handle(&mut self, event: NodeEvent, env: &mut Env) {
        if self.dead {
            return;
        }
        match event {
            NodeEvent::Start => {}
            NodeEvent::Tick => self.tick(env),
            NodeEvent::Parcel { from, bytes, spoiled } => self.unpack(from, &bytes, spoiled, env),
            NodeEvent::Synced => self.synced(env),
            NodeEvent::Apply => self.apply(env),
            NodeEvent::Checkpointed(saved) => self.checkpointed(*saved, env),
            NodeEvent::MakeImage { to } => self.make_image(to, env),
            NodeEvent::Piece { to, stream } => self.send_piece(to, stream, env),
            NodeEvent::SnapshotSent { to, ok } => self.step(Input::SnapshotSent { to: node(to), ok }, env),
            // With nodes of other groups no connection is kept that anything depends on.
            NodeEvent::LinkReset { peer } if env.group_of(peer) != env.group_of(self.place) => {}
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
        self.tick_site(env);
        self.keep_log(env);
    }

    /// Step the replica, and whatever follows from it at once.
    pub fn step(&mut self, input: Input<C::Message>, env: &mut Env) {
        self.inputs.push_back(input);
        self.run(env);
    }

    /// Take what there is to take in.
    pub fn run(&mut self, env: &mut Env) {
        let mut outputs = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            self.replica.step(input, &mut outputs);
            for output in outputs.drain(..) {
                if !self.dead {
                    self.carry(output, env);
                }
            }
            env.checks.core(self.id().0, self.replica.core());
            self.journal.note(self.replica.status());
            self.write(env);
            if self.dead {
                self.inputs.clear();
            }
        }
    }

    fn carry(&mut self, output: Output<C::Message>, env: &mut Env) {
        match output {
            Output::Write { seq, ops } => {
                env.checks.writes(self.id().0, self.replica.status().promised, seq, &ops);
                self.append(seq, &ops, env);
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
        let (node, leads) = (self.id().0, leader.map(|leader| leader.0));
        note!(env, Happening::Role { node, role, round, leader: leads });
        let began = role == Role::Leader && self.role != Role::Leader;
        let another = leader.is_some() && leader != self.leader;
        self.role = role;
        self.leader = leader;
        if began {
            env.checks.leads(self.id().0, self.replica.core());
            let grace_ms = env.swarm.election_us() / 1000;
            let from_ms = plant::leases_from(env.plant, self.now_ms());
            self.lessor.lead(self.state.leases(), from_ms, grace_ms);
            env.elected(self.place, self.life);
        } else if role != Role::Leader {
            self.lessor.stop();
        }
        if another && env.plant == Some(Plant::RetriedProposal) {
            self.propose_again();
        }
        self.take_wheel(env);
    }

    /// The node's own clock.
    pub fn now_ms(&self) -> u64 {
        self.ticks * self.tick_ms
    }

    // The links.

    pub fn send(&mut self, to: NodeId, message: &C::Message, env: &mut Env) {
        let to = place(to);
        let instead = plant::says(env.plant, message, || self.replica.status().commit);
        let encoded = encode_message(GROUP, instead.as_ref().unwrap_or(message));
        let frame = match encoded {
            Ok(segments) => Bytes::from(segments.concat()),
            Err(error) => return env.checks.fail("Wire", format!("node {}: {error}", self.id())),
        };
        match C::carries_snapshot(message) {
            Some(id) => self.send_image(to, id, frame, env),
            None => env.transmit(self.place, to, frame, Spoiled::No),
        }
    }

    /// Whether this node listens to that one: not to who has been removed, once the configuration without it is settled.
    fn admits(&self, from: usize) -> bool {
        let from = node(from);
        let applied = || Membership::from_bytes(self.state.membership().clone()).unwrap_or_default();
        !self.state.members().is_removed(from.0)
            || self.replica.status().membership.contains(from)
            || applied().contains(from)
    }

    /// Take what a parcel holds. An error ends the connection, as it does in production; whether there
    /// may be one is known here.
    fn unpack(&mut self, from: usize, bytes: &Bytes, spoiled: Spoiled, env: &mut Env) {
        if !self.admits(from) {
            return;
        }
        let mut frames = FrameDecoder::default();
        frames.feed(bytes);
        let error = loop {
            let packet = match frames.next_frame() {
                Ok(None) if spoiled == Spoiled::No => return,
                Ok(None) => {
                    return env.checks.fail("Wire", format!("node {}: a spoiled frame was taken", self.id()));
                }
                Ok(Some(frame)) => Packet::decode(frame).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let taken = match packet {
                Ok(Packet::SnapshotChunk(chunk)) => {
                    self.take_piece(from, &chunk, env);
                    Ok(())
                }
                Ok(Packet::Message { group: SITES, body }) => self.receive_for_site(from, body, env),
                Ok(Packet::Message { body, .. }) => self.receive(from, body, env),
                Ok(other) => Err(format!("an unexpected packet: {other:?}")),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                break error;
            }
        };
        if spoiled == Spoiled::No {
            return env.checks.fail("Wire", format!("node {}: {error}", self.id()));
        }
        tell!(env, "  {} <- {}: {error}", self.id(), from + 1);
        env.reset_both(self.place, from);
    }

    fn receive(&mut self, from: usize, body: Bytes, env: &mut Env) -> Result<(), String> {
        let message: C::Message = Reader::whole(body).map_err(|malformed| malformed.to_string())?;
        if let Some(id) = C::carries_snapshot(&message)
            && !self.stage(from, id, env)
        {
            // Its image broke off: the message is not delivered.
            return Ok(());
        }
        self.step(Input::Receive { from: node(from), message }, env);
        self.staged = None;
        Ok(())
    }

    /// Whether the log has all that it is known to have held.
    pub fn has_what_it_held(&self) -> bool {
        !self.replica.status().repairing
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

/// What was found in the log, with what the state says of itself.
fn with_state(found: Recovered, state: &MemoryStorage) -> Recovered {
    let meta = state.meta();
    let membership = Membership::from_bytes(meta.membership.clone()).unwrap_or_default();
    Recovered { applied: stands_at(state), membership, ..found }
}

/// A node's settings. While a new release is rolled out they differ, from node to node and from life to life.
fn config(id: NodeId, env: &mut Env) -> Config {
    let mut config = Config {
        election_ticks: env.swarm.election_ticks,
        heartbeat_ticks: env.swarm.heartbeat_ticks,
        max_message_bytes: env.swarm.max_message_bytes,
        max_inflight: env.swarm.max_inflight,
        max_uncommitted_bytes: env.swarm.room.uncommitted_bytes,
        priority: if env.swarm.priorities { (id.0 % 3) as u8 } else { 0 },
        lease_drift_percent: env.swarm.lease_drift,
        // The membership is in the state, or is told by the leader.
        ..Config::new(id, Vec::new())
    };
    if env.swarm.mixed && env.dice.host.percent(50) {
        env.stats.fault(Fault::Versions);
        config.max_message_bytes = env.dice.host.between(32, 1024) as usize;
        config.max_inflight = env.dice.host.between(1, 64) as usize;
        if env.swarm.lease_drift.is_none() {
            config.election_ticks += env.dice.host.below(u64::from(config.election_ticks / 2) + 1) as u32;
        }
    }
    config
}

fn limits(env: &Env) -> Limits {
    let swarm = &env.swarm;
    Limits {
        request_ticks: (u64::from(swarm.election_ticks) * swarm.room.patience_tenths / 10).max(1),
        retry_ticks: u64::from(swarm.heartbeat_ticks / 2).max(1),
        lone_ticks: 4 * swarm.election_ticks,
        max_proposals: swarm.room.proposals,
        max_reads: swarm.room.reads,
        retain_entries: swarm.retain_entries,
        retain_bytes: 1 << 20,
    }
}
