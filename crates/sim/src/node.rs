//! A node as the world sees it: up or down, and what survives when it goes down.
//!
//! What survives a crash is a [`Durable`]: the log's disk, as far as it was synced, and the last checkpoint of the
//! state. Everything else is the [`Host`]'s and gone with it. Each start begins a new *life*; an event that was
//! meant for an earlier life does not reach a later one.
//!
//! A process whose disk fails ends itself and is started again after a while. A node whose log cannot be recovered, or
//! whose disk is gone, is *lost*: it does not start again, and the operator replaces it by another.
//!
//! A node's clock ticks at a rate of its own. After a pause it either makes up for the ticks it missed, before
//! anything else happens to it, or has lost them, as the run says.

use bytes::Bytes;
use quorate_commit::Timestamp;
use quorate_kv::{Command, LeaseId, MemoryStorage, Range, StreamId, WatchCreate};
use quorate_protocol::codec::{Encode, Writer};
use quorate_protocol::{Consensus, NodeId, Random, Role};
use quorate_replica::Input;
use quorate_wal::{MemoryDisk, Verdict, WalError};
use quorate_wire::encode_message;

use crate::atomic::Begin;
use crate::disks::{Strike, Target, Trouble};
use crate::env::{Env, Event};
use crate::ground::{Body, Still};
use crate::host::{GROUP, Host};
use crate::images::Saved;
use crate::kept::Kept;
use crate::network::Spoiled;
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::{note, tell};

/// What happens to a node.
#[derive(Debug)]
pub enum NodeEvent {
    /// Its process starts.
    Start,
    /// Its clock ticks.
    Tick,
    /// Bytes have arrived.
    Parcel { from: usize, bytes: Bytes, spoiled: Spoiled },
    /// The fsync under way has finished.
    Synced,
    /// It gets round to applying.
    Apply,
    /// A checkpoint is durable.
    Checkpointed(Box<Saved>),
    /// An image for a peer can be made now.
    MakeImage { to: usize },
    /// The next piece of an image can be sent.
    Piece { to: usize, stream: u64 },
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
    /// Carry this out at several sites, or tell what became of it.
    Begin(Box<Begin>),
    /// Read at a site as of a moment.
    ReadAt { at: Timestamp, payload: Bytes },
}

impl NodeEvent {
    /// For the trace: a number for its kind, and one for its content.
    pub fn trace(&self) -> (u8, u64) {
        match self {
            NodeEvent::Start => (1, 0),
            NodeEvent::Tick => (2, 0),
            NodeEvent::Parcel { from, bytes, .. } => (3, quorate_checker::digest(bytes) ^ *from as u64),
            NodeEvent::Synced => (4, 0),
            NodeEvent::Apply => (5, 0),
            NodeEvent::Checkpointed(_) => (6, 0),
            NodeEvent::MakeImage { to } => (7, *to as u64),
            NodeEvent::Piece { to, stream } => (15, (*to as u64) << 32 | stream),
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
    /// The same of a site of atomic commit; nothing, if there is none or it was never changed.
    pub site: Bytes,
    /// What the log must still know.
    pub kept: Kept,
    /// Of which segment, and up to which byte, everything is certain to be vouched for by a later frame.
    pub vouched: (u64, u64),
}

/// How far from its end a log counts as written lately.
const LATELY_BYTES: u64 = 4096;

/// See the module's text.
pub struct Node<C: Consensus> {
    /// Its place in the world; its id is one more.
    pub place: usize,
    /// Which life it is in.
    pub life: u64,
    /// Until when it or its clock stands still.
    pub still: Still,
    /// Its disk's troubles.
    pub trouble: Trouble,
    /// How long its ticks are.
    tick_us: u64,
    /// When the next one is due.
    next_tick: u64,
    /// It will not start again.
    lost: bool,
    down: Option<Durable>,
    up: Option<Box<Host<C>>>,
}

impl<C: Consensus> Node<C> {
    /// A node of a group that has never run, and begins with this state.
    pub fn new(place: usize, group: usize, checkpoint: MemoryStorage, env: &mut Env) -> Self {
        env.checks.joins(group);
        let permille = if env.swarm.skew { env.swarm.draw_rate(&mut env.dice.host) } else { 1000 };
        let durable = Durable { checkpoint, ..Durable::default() };
        let trouble = Trouble::default();
        trouble.attach(&durable.disk);
        Node {
            place,
            life: 0,
            still: Still::default(),
            trouble,
            tick_us: env.swarm.tick_us * permille / 1000,
            next_tick: 0,
            lost: false,
            down: Some(durable),
            up: None,
        }
    }

    /// Its name to the others.
    pub fn id(&self) -> NodeId {
        NodeId(self.place as u64 + 1)
    }

    /// What runs on it, if it is up.
    pub fn host(&self) -> Option<&Host<C>> {
        self.up.as_deref()
    }

    /// Whether it runs or will run again.
    pub fn is_well(&self) -> bool {
        !self.lost
    }

    /// The clock's turn.
    fn tick(&mut self, env: &mut Env) {
        let Some(host) = &mut self.up else { return };
        if self.still.frozen_until > env.now {
            // Peace may thaw it before.
            self.next_tick = self.still.frozen_until.min(env.now + self.tick_us);
        } else if self.next_tick <= env.now {
            self.next_tick = env.now + self.tick_us;
            host.handle(NodeEvent::Tick, env);
        }
        env.after_at(self.next_tick - env.now, self.place, self.life, NodeEvent::Tick);
    }

    /// The host gives it something to do at once.
    pub fn step(&mut self, input: Input<C::Message>, env: &mut Env) {
        if let Some(host) = &mut self.up {
            host.step(input, env);
        }
        self.end_if_dead(env);
    }

    /// The operator puts a command to it.
    pub fn propose(&mut self, command: &Command, env: &mut Env) {
        if let Some(host) = &mut self.up {
            host.propose(None, command, env);
        }
        self.end_if_dead(env);
    }

    /// It is no member any more: it is switched off for good.
    pub fn retire(&mut self, env: &mut Env) {
        if let Some(host) = self.up.take() {
            host.end(env);
        }
        (self.lost, self.down) = (true, None);
        self.life += 1;
    }

    fn start(&mut self, env: &mut Env) {
        if self.lost {
            return;
        }
        let Some(durable) = self.down.take() else { return };
        self.trouble.begin_life();
        note!(env, Happening::Start { node: self.id().0, life: self.life });
        env.may_crash_in_recovery(&self.trouble);
        let opened = Host::<C>::open_log(self.place, &durable, env);
        self.note_strikes(env);
        match opened {
            Ok((wal, found)) => {
                self.trouble.took_lie();
                let host = Host::start(self.place, self.life, durable, wal, found, self.trouble.clone(), env);
                self.up = Some(Box::new(host));
                env.reset_links(self.place);
                self.next_tick = env.now + env.dice.host.below(self.tick_us);
                let wait = self.next_tick - env.now;
                env.after_at(wait, self.place, self.life, NodeEvent::Tick);
            }
            Err(error) => self.cannot_start(&error, durable, env),
        }
    }

    fn cannot_start(&mut self, error: &WalError, durable: Durable, env: &mut Env) {
        tell!(env, "node {} cannot start: {error}", self.id());
        let refused = matches!(error, WalError::Damaged { .. } | WalError::Superblock { .. });
        if self.trouble.failed() {
            if self.trouble.halted() {
                crash_disk(&durable.disk, env);
            }
            self.down = Some(durable);
            self.life += 1;
            let again_us = env.dice.host.between(1_000, 2 * env.swarm.election_us());
            env.after_at(again_us, self.place, self.life, NodeEvent::Start);
        } else if refused && env.damaged.contains_key(&self.place) {
            self.down = Some(durable);
            self.give_up("its log is damaged", env);
        } else {
            env.checks.fail("LogRecovery", format!("node {} cannot start: {error}", self.id()));
        }
    }

    /// If it is down, it starts now.
    pub fn start_soon(&mut self, env: &mut Env) {
        if self.up.is_none() {
            env.after_at(1, self.place, self.life, NodeEvent::Start);
        }
    }

    /// Its disk is quick again: what it is writing need not take as long as it was to take.
    pub fn quicken(&mut self, env: &mut Env) {
        if self.up.as_ref().is_some_and(|host| host.is_writing()) {
            let delay = env.disk_us(self.place);
            env.after_at(delay, self.place, self.life, NodeEvent::Synced);
        }
    }

    /// It will not start again.
    pub fn give_up(&mut self, why: &str, env: &mut Env) {
        tell!(env, "node {} is lost: {why}", self.id());
        self.lost = true;
        self.life += 1;
        self.down = None;
        self.up = None;
    }

    /// The host has met an error after which it must not go on.
    fn end_if_dead(&mut self, env: &mut Env) {
        self.note_strikes(env);
        let Some(host) = self.up.take_if(|host| host.dead) else { return };
        let power = self.trouble.halted() || env.dice.host.percent(env.swarm.faults.power_percent);
        let down_us = env.dice.host.between(1_000, 2 * env.swarm.election_us());
        self.end(*host, power, down_us, env);
    }

    fn end(&mut self, host: Host<C>, power: bool, down_us: u64, env: &mut Env) {
        note!(env, Happening::Crash { node: self.id().0, power, down_us });
        env.stats.fault(if power { Fault::PowerCut } else { Fault::Kill });
        if power && host.is_writing() {
            env.stats.fault(Fault::TornWrite);
        }
        if host.seat.as_ref().is_some_and(|seat| seat.drives()) {
            env.atomic.driver_lost(env.group_of(self.place), self.place);
        }
        let durable = host.end(env);
        self.trouble.disarm();
        if power {
            crash_disk(&durable.disk, env);
        }
        self.down = Some(durable);
        self.life += 1;
        self.still.paused_until = 0;
        env.after_at(down_us, self.place, self.life, NodeEvent::Start);
    }

    fn note_strikes(&self, env: &mut Env) {
        for fault in self.trouble.struck() {
            tell!(env, "node {} met: {}", self.id(), fault.name());
            env.stats.fault(fault);
        }
    }

    /// Flip a bit on its disk, where it will be found out, perhaps in what was written lately; answers whether there was
    /// one to flip.
    pub fn flip_bit(&mut self, lately: bool, dice: &mut Random, env: &mut Env) -> bool {
        let durable = match (&self.up, &self.down) {
            (Some(host), _) => &host.durable,
            (None, Some(durable)) => durable,
            (None, None) => return false,
        };
        let (segment, bytes) = durable.vouched;
        let superblocks = [("superblock-a".to_owned(), 512), ("superblock-b".to_owned(), 512)];
        let segments = (1..=segment).map(|number| {
            let whole = env.swarm.segment_bytes;
            (format!("wal-{number:016x}.log"), if number == segment { bytes } else { whole })
        });
        let mut files: Vec<(String, u64)> =
            segments.filter(|(name, _)| durable.disk.content(name).is_some()).collect();
        if lately {
            files.retain(|(name, _)| *name == format!("wal-{segment:016x}.log"));
        } else if dice.percent(15) {
            files = superblocks.into();
        }
        files.retain(|(_, bytes)| *bytes > 0);
        if files.is_empty() {
            return false;
        }
        let (file, bytes) = &files[dice.below(files.len() as u64) as usize];
        let from = if lately { bytes.saturating_sub(LATELY_BYTES) } else { 0 };
        let (byte, bit) = (dice.between(from, *bytes), dice.below(8) as u8);
        tell!(env, "node {}: bit {bit} of byte {byte} of {file} is flipped", self.id());
        durable.disk.flip(file, byte, bit)
    }

    /// Its checkpoint is lost, while it is down.
    pub fn lose_state(&mut self, env: &mut Env) {
        if let Some(durable) = &mut self.down {
            tell!(env, "node {} loses its checkpoint", NodeId(self.place as u64 + 1));
            durable.checkpoint = MemoryStorage::new();
            durable.site = Bytes::new();
        }
    }
}

impl<C: Consensus> Body for Node<C> {
    fn life(&self) -> u64 {
        self.life
    }

    fn is_up(&self) -> bool {
        self.up.is_some()
    }

    fn leads(&self) -> bool {
        self.host().is_some_and(|host| host.role == Role::Leader)
    }

    fn still(&mut self) -> &mut Still {
        &mut self.still
    }

    // Whoever connects to a node that is down is told so.
    fn handle(&mut self, event: NodeEvent, env: &mut Env) {
        let (kind, content) = event.trace();
        env.trace.event(kind, env.now, self.place as u64, content);
        if let NodeEvent::Start = event {
            return self.start(env);
        }
        let Some(host) = &mut self.up else { return refuse(event, env) };
        let now = env.now;
        if env.swarm.catch_up && self.still.frozen_until <= now {
            // What is due comes first.
            while self.next_tick <= now {
                self.next_tick += self.tick_us;
                host.handle(NodeEvent::Tick, env);
            }
        }
        match event {
            NodeEvent::Tick => self.tick(env),
            // What was due was its end.
            event if host.dead => refuse(event, env),
            event => host.handle(event, env),
        }
        self.end_if_dead(env);
    }

    fn crash(&mut self, power: bool, down_us: u64, env: &mut Env) -> bool {
        let Some(host) = self.up.take_if(|host| host.fragile == 0) else { return false };
        self.end(*host, power, down_us, env);
        true
    }

    fn set_rate(&mut self, permille: u64, env: &Env) {
        self.tick_us = env.swarm.tick_us * permille / 1000;
    }

    fn jump(&mut self, ticks: u64, env: &mut Env) {
        if let Some(host) = &mut self.up {
            env.trace.event(16, env.now, self.place as u64, ticks);
            (0..ticks).for_each(|_| host.handle(NodeEvent::Tick, env));
        }
        self.end_if_dead(env);
    }

    fn strange(&self) -> Option<Bytes> {
        let term = self.host()?.replica.status().promised.round;
        Some(encode_message(GROUP, &Unknown(term)).ok()?.concat().into())
    }
}

/// What a later version might say: a message whose tag this one does not know.
struct Unknown(u64);

impl Encode for Unknown {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.0);
        out.u8(250);
    }
}

fn crash_disk(disk: &MemoryDisk, env: &mut Env) {
    let dice = &mut env.dice.disk;
    disk.crash(|bound| dice.below(bound));
}

impl Env {
    /// Perhaps the power fails while a node recovers.
    fn may_crash_in_recovery(&mut self, trouble: &Trouble) {
        let percent = self.swarm.faults.crash_in_recovery;
        if percent > 0 && self.dice.host.percent(percent) {
            let after = self.dice.host.below(40);
            let (verdict, fault) = (Verdict::Halt, Fault::DiskCrash);
            trouble.arm(Strike { target: Target::Any, after, verdict, fault });
        }
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
