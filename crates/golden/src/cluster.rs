//! The replicas together: what a script can do to them.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::{
    Config, Consensus, Effect, Event, Index, Membership, NodeId, Outbox, Random, ReadId, Role, Status,
};

use crate::disk::Image;
use crate::ghost::Ghost;
use crate::network::{Network, Packet};
use crate::node::{Node, ReadState};
use crate::report::{Detail, show_op};
use crate::{Dialect, Disk};

/// The message type of a dialect's core.
pub(crate) type MessageOf<D> = <<D as Dialect>::Core as Consensus>::Message;

/// Deliveries before a cluster that does not fall quiet is taken to never do so.
const QUIET_WITHIN: usize = 20_000;

/// Ticks within which an election timer must run out.
const CAMPAIGN_WITHIN: usize = 10_000;

/// A bug planted in the host, to see that the checks would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Messages leave before the writes they wait for.
    SendsEarly,
    /// A restart forgets the promise.
    ForgetsPromise,
}

/// How a cluster is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Replicas, numbered from 1, that are the group's first voters.
    pub nodes: u64,
    /// Replicas after them that belong to no group yet.
    pub spares: u64,
    /// Seeds the replicas' randomness.
    pub seed: u64,
    /// How much the transcript tells.
    pub detail: Detail,
    /// As in [`Config`].
    pub election_ticks: u32,
    /// As in [`Config`].
    pub heartbeat_ticks: u32,
    /// As in [`Config`].
    pub max_message_bytes: usize,
    /// As in [`Config`].
    pub max_inflight: usize,
    /// As in [`Config`].
    pub max_uncommitted_bytes: usize,
    /// As in [`Config`].
    pub lease_drift_percent: Option<u8>,
    /// As in [`Config`], where it is not 0.
    pub priority: BTreeMap<NodeId, u8>,
    /// A bug in the hosts.
    pub planted: Option<Planted>,
}

impl Settings {
    /// A short election timeout, and nothing else that limits.
    pub fn new(nodes: u64, seed: u64, detail: Detail) -> Self {
        Settings {
            nodes,
            seed,
            detail,
            election_ticks: 10,
            heartbeat_ticks: 2,
            max_message_bytes: 1 << 20,
            max_inflight: 64,
            max_uncommitted_bytes: 1 << 20,
            spares: 0,
            lease_drift_percent: None,
            priority: BTreeMap::new(),
            planted: None,
        }
    }

    /// The membership that a group begins with.
    pub fn bootstrap(&self) -> Membership {
        Membership::new((1..=self.nodes).map(NodeId), [])
    }

    fn config(&self, id: NodeId) -> Config {
        let first = id.0 <= self.nodes;
        Config {
            lease_drift_percent: self.lease_drift_percent,
            priority: self.priority.get(&id).copied().unwrap_or(0),
            election_ticks: self.election_ticks,
            heartbeat_ticks: self.heartbeat_ticks,
            max_message_bytes: self.max_message_bytes,
            max_inflight: self.max_inflight,
            max_uncommitted_bytes: self.max_uncommitted_bytes,
            ..Config::new(id, (1..=self.nodes).map(NodeId).filter(|_| first).collect())
        }
    }
}

/// A few replicas, and everything around them.
pub struct Cluster<D: Dialect> {
    pub(crate) settings: Settings,
    /// The replicas.
    pub nodes: BTreeMap<NodeId, Node<D::Core>>,
    /// What is under way.
    pub network: Network<MessageOf<D>>,
    /// The observer.
    pub ghost: Ghost,
    /// Messages that have left, by sender, receiver and kind.
    pub sent: BTreeMap<(NodeId, NodeId, &'static str), usize>,
    /// Images that have left.
    pub images: usize,
    /// The first broken property; nothing runs any more after it.
    pub violation: Option<String>,
    pub(crate) random: Random,
    pub(crate) traffic: bool,
    pub(crate) lines: Vec<String>,
}

impl<D: Dialect> Cluster<D> {
    /// Replicas that have never run, all started.
    pub fn new(settings: Settings) -> Self {
        let mut cluster = Cluster {
            nodes: (1..=settings.nodes + settings.spares).map(|id| (NodeId(id), Node::new())).collect(),
            network: Network::default(),
            ghost: Ghost::new(D::Core::CAPS.sparse_log),
            sent: BTreeMap::new(),
            images: 0,
            violation: None,
            random: Random::new(settings.seed),
            traffic: true,
            lines: Vec::new(),
            settings,
        };
        cluster.ids().into_iter().for_each(|id| cluster.restart(id));
        cluster
    }

    /// All replicas.
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// The replicas that run.
    pub fn live(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| node.core.is_some()).map(|(&id, _)| id).collect()
    }

    /// The replicas that run and believe they lead.
    pub fn leaders(&self) -> Vec<NodeId> {
        let leads = |id: &NodeId| self.status(*id).is_some_and(|status| status.role == Role::Leader);
        self.live().into_iter().filter(leads).collect()
    }

    /// A look at a replica that runs.
    pub fn status(&self, id: NodeId) -> Option<Status> {
        self.nodes.get(&id)?.core.as_ref().map(Consensus::status)
    }

    pub(crate) fn node(&mut self, id: NodeId) -> &mut Node<D::Core> {
        self.nodes.get_mut(&id).expect("the cluster has this node")
    }

    /// The transcript since it was last taken.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// A tick passes at one replica.
    pub fn tick(&mut self, id: NodeId) {
        self.step(id, Event::Tick);
    }

    /// Ticks pass at one replica until it does something about them: its election timer has run out.
    pub fn campaign(&mut self, id: NodeId) {
        let before = self.node(id).effects;
        for _ in 0..CAMPAIGN_WITHIN {
            if self.nodes[&id].effects != before || self.violation.is_some() {
                return;
            }
            self.tick(id);
        }
        self.violate(format!("{id} never campaigns"));
    }

    /// Clients' commands arrive at a replica.
    pub fn propose(&mut self, id: NodeId, commands: Vec<Bytes>) {
        self.step(id, Event::Propose(commands));
    }

    /// A client's read arrives at a replica.
    pub fn read(&mut self, id: NodeId, read: ReadId) {
        if self.nodes[&id].core.is_none() {
            return;
        }
        let life = self.nodes[&id].life;
        self.ghost.asked(id, life, read);
        self.node(id).reads.insert(read, ReadState::Waiting);
        self.step(id, Event::Read(read));
    }

    /// The state machine's state is made durable, and the log is told that it may drop what leads up to
    /// `index`.
    pub fn compact(&mut self, id: NodeId, index: Index) {
        let node = self.node(id);
        node.disk.checkpoint = node.state.clone();
        let index = index.min(node.state.id.index);
        self.step(id, Event::Compact(index));
    }

    /// Deliver a packet. Answers whether there was one. One that finds its receiver crashed is lost, and so is
    /// the image it carries, though its sender is told that the image was handed over.
    pub fn deliver(&mut self, from: NodeId, to: NodeId, at: usize) -> bool {
        let Some(packet) = self.network.take(from, to, at) else { return false };
        let shown = self.shown(&packet.message);
        let Packet { message, image, life } = packet;
        let carried = image.is_some();
        let found = self.nodes[&to].core.is_some();
        self.say_traffic(format!("{from} > {to} {shown}{}", if found { "" } else { " (finds nobody)" }));
        self.step_with(to, Event::Receive { from, message }, image);
        if carried {
            self.snapshot_sent(from, life, to, true);
        }
        true
    }

    /// Lose a packet. Answers whether there was one.
    pub fn lose(&mut self, from: NodeId, to: NodeId, at: usize) -> bool {
        let Some(packet) = self.network.take(from, to, at) else { return false };
        let shown = self.shown(&packet.message);
        self.say_traffic(format!("{from} > {to} {shown} (lost)"));
        if packet.image.is_some() {
            self.snapshot_sent(from, packet.life, to, false);
        }
        true
    }

    /// The connection between two replicas breaks and is made anew: what was under way is lost.
    pub fn reset_link(&mut self, a: NodeId, b: NodeId) {
        self.network.clear(a, b);
        self.step(a, Event::LinkReset(b));
        self.step(b, Event::LinkReset(a));
    }

    fn snapshot_sent(&mut self, from: NodeId, life: u64, to: NodeId, ok: bool) {
        if self.nodes[&from].life == life {
            self.step(from, Event::SnapshotSent { to, ok });
        }
    }

    /// Make an image that was asked for.
    pub fn make_image(&mut self, id: NodeId, to: NodeId) -> bool {
        let node = self.node(id);
        if !node.wanted.remove(&to) {
            return false;
        }
        node.images.insert(to, node.state.clone());
        let event = self.snapshot_ready(id, to);
        self.step(id, event);
        true
    }

    /// What a replica's core is told when the image it asked for stands ready.
    pub(crate) fn snapshot_ready(&self, id: NodeId, to: NodeId) -> Event<MessageOf<D>> {
        let state = &self.nodes[&id].state;
        let membership = match state.membership() {
            none if none.is_unknown() => self.settings.bootstrap(),
            membership => membership,
        };
        Event::SnapshotReady { to, id: state.id, membership }
    }

    /// Damage a replica's log after its first entries, and start it again.
    pub fn damage(&mut self, id: NodeId, keep: usize) {
        self.crash(id);
        self.node(id).disk.damage(keep);
        self.restart(id);
    }

    /// Lose everything at a replica that is not durable.
    pub fn crash(&mut self, id: NodeId) {
        self.node(id).crash();
    }

    /// Start a replica from its disk.
    pub fn restart(&mut self, id: NodeId) {
        self.crash(id);
        let random = self.random.fork();
        let config = self.settings.config(id);
        let forgets = self.settings.planted == Some(Planted::ForgetsPromise);
        let rank = |ballot| self.ghost.rank(ballot);
        let node = self.nodes.get_mut(&id).expect("the cluster has this node");
        node.life += 1;
        if forgets {
            node.disk.log.promised = Default::default();
        }
        node.believed = node.disk.log.clone();
        node.state = node.disk.checkpoint.clone();
        node.outbox = Outbox::default();
        node.shown = (rank(node.disk.log.promised), node.state.id.index);
        node.core = Some(D::Core::recover(config, node.disk.recovered(), random));
    }

    /// Put something on a replica's disk as if it had been there from an earlier time.
    pub fn preset(&mut self, id: NodeId, mut disk: Disk) {
        disk.log.sparse = D::Core::CAPS.sparse_log;
        let (base, entries) = (disk.log.base, disk.log.entries.clone());
        self.node(id).disk = disk;
        let observed = match D::Core::CAPS.sparse_log {
            true => self.ghost.puts(id, Default::default(), &entries),
            false => self.ghost.writes(base, &entries),
        };
        if let Err(what) = observed {
            self.violate(what);
        }
        self.ghost.durable(id, &entries);
        self.restart(id);
    }

    /// Make writes durable: the first `n` that wait. Answers whether there was any.
    pub fn sync(&mut self, id: NodeId, n: usize) -> bool {
        match self.write_out(id, n) {
            Some(seq) => {
                self.step(id, Event::Durable(seq));
                true
            }
            None => false,
        }
    }

    /// Deliver and make durable among these replicas until nothing moves.
    pub fn stabilize(&mut self, among: &[NodeId]) {
        for _ in 0..QUIET_WITHIN {
            let mut moved = false;
            for &id in among {
                moved |= self.sync(id, usize::MAX);
            }
            for (from, to) in self.network.busy() {
                if among.contains(&from) && among.contains(&to) {
                    moved |= self.deliver(from, to, 0);
                }
            }
            if !moved || self.violation.is_some() {
                return;
            }
        }
        self.violate(format!("Quiet: messages never cease among {among:?}"));
    }

    /// A message on a line, if anyone is to read it.
    pub(crate) fn shown(&self, message: &MessageOf<D>) -> String {
        match self.settings.detail {
            Detail::Full => D::show(message),
            _ => String::new(),
        }
    }

    pub(crate) fn say_traffic(&mut self, line: String) {
        if self.traffic && self.settings.detail == Detail::Full {
            self.lines.push(line);
        }
    }

    /// A line for each level of detail.
    pub(crate) fn say(&mut self, neutral: Option<String>, full: Option<String>) {
        match self.settings.detail {
            Detail::Silent => {}
            Detail::Neutral => self.lines.extend(neutral),
            Detail::Full => self.lines.extend(full),
        }
    }

    /// Tell of an effect's writes where they do not become durable at once.
    pub(crate) fn say_write(&mut self, id: NodeId, effect: &Effect<MessageOf<D>>) {
        if let Effect::Write { seq, ops } = effect
            && !self.nodes[&id].autosync
        {
            let ops: Vec<String> = ops.iter().map(show_op).collect();
            self.say(None, Some(format!("  {id} writes #{}: {}", seq.0, ops.join(", "))));
        }
    }

    /// The image a message carries, as made for its receiver.
    pub(crate) fn image_for(
        &self,
        from: NodeId,
        to: NodeId,
        message: &MessageOf<D>,
    ) -> Result<Option<Image>, String> {
        let Some(id) = D::Core::carries_snapshot(message) else { return Ok(None) };
        match self.nodes[&from].images.get(&to) {
            Some(image) if image.id == id => Ok(Some(image.clone())),
            _ => Err(format!("{from} sends {to} an image at {id} that was never made")),
        }
    }
}
