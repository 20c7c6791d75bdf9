//! What the threads of a node share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use quorate_api::convert::Answering;
use quorate_kv::{Applied, State};
use quorate_protocol::{Consensus, Entry, Index, LogId, Membership, NodeId, ReadId, Role, Seq};
use quorate_replica::Lessor;
use quorate_storage::{Image, Store};

use crate::config::Config;
use crate::identity::Identity;
use crate::mailbox::Sender;
use crate::members::Roll;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::waiters::Waiters;
use crate::watches::WatchInput;

/// How long a tick of the consensus core lasts.
pub const TICK: Duration = Duration::from_millis(10);

/// Requests of clients in progress at one node, at most: those for the log, and reads, each.
const MAX_REQUESTS: usize = 20_000;

/// What comes to the consensus core.
pub enum ConsensusInput<M> {
    /// Time has passed: see which ticks are due.
    Clock,
    /// A command to replicate.
    Propose(Bytes),
    /// A command that only the leader of this round may give: forgotten if this node is not that any more.
    Command(u64, Bytes),
    /// A read to confirm.
    Read(ReadId),
    /// A peer's message.
    Message(NodeId, M),
    /// A peer's message with the image that came with it.
    Snapshot(NodeId, M, Image),
    /// The connection to a peer was lost.
    LinkReset(NodeId),
    /// Writes up to here are on disk.
    Durable(Seq),
    /// An image for a peer stands ready.
    SnapshotReady(NodeId, LogId, Membership),
    /// An image was handed over, or not.
    SnapshotSent(NodeId, bool),
    /// A durable checkpoint of the state covers the log up to here.
    Checkpointed(Index),
    /// The state machine has applied everything up to here, a leader's first entry or a change of the members among it.
    Stands(Index),
    /// Hand the leadership over to this voter.
    Transfer(NodeId),
    /// The node stops.
    Stop,
}

/// What comes to the state machine.
pub enum ApplyInput {
    /// Apply these.
    Entries(Vec<Entry>),
    /// Complete these reads once everything up to the index is applied.
    Reads(Vec<ReadId>, Index),
    /// The node's part changed.
    Role(Role),
    /// Replace the state by this image, then answer.
    Install(Image, crossbeam_channel::Sender<()>),
    /// The node stops.
    Stop,
}

/// A consensus core that threads can share the work on.
pub trait Core: Consensus<Message: Send + 'static> + Send + 'static {}

impl<C: Consensus<Message: Send + 'static> + Send + 'static> Core for C {}

/// The consensus core's ear, without the type of its messages: what client requests need.
pub trait Consenter: Send + Sync {
    /// Replicate a command.
    fn propose(&self, data: Bytes);
    /// Replicate a command of the leader of this round, as long as this node is that.
    fn command(&self, round: u64, data: Bytes);
    /// Confirm a read.
    fn read(&self, id: ReadId);
    /// The state is durable up to here.
    fn checkpointed(&self, index: Index);
    /// Everything up to here is applied: see what the members table says.
    fn stands(&self, applied: Index);
    /// Hand the leadership over.
    fn transfer(&self, to: NodeId);
}

/// Why a node ends that nobody has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It cannot go on, for this reason. Nothing more may be written.
    Failed(String),
    /// It has been removed from the cluster. It may be stopped in order.
    Removed,
}

/// A reason for the node to end.
#[derive(Debug)]
pub struct Fatal {
    sender: crossbeam_channel::Sender<Fate>,
    struck: AtomicBool,
}

impl Fatal {
    /// Reports through `sender`.
    pub fn new(sender: crossbeam_channel::Sender<Fate>) -> Self {
        Fatal { sender, struck: AtomicBool::new(false) }
    }

    /// The node cannot go on. Only the first reason is reported: the others follow from it.
    pub fn strike(&self, reason: String) {
        if !self.struck.swap(true, Ordering::SeqCst) {
            tracing::error!("this node must stop: {reason}");
            let _ = self.sender.send(Fate::Failed(reason));
        }
    }

    /// The node is no member any more.
    pub fn removed(&self) {
        let _ = self.sender.send(Fate::Removed);
    }

    /// Whether that has happened.
    pub fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }
}

/// What a node knows of the group's leadership, for answers and metrics.
#[derive(Debug, Default)]
pub struct Leadership {
    leader: AtomicU64,
    round: AtomicU64,
    leads: AtomicBool,
    /// When the last leader was lost, in milliseconds of the node's clock, plus one; 0 for never.
    lost_ms: AtomicU64,
}

impl Leadership {
    /// Take note of a change.
    pub fn set(&self, role: Role, round: u64, leader: Option<NodeId>, now_ms: u64) {
        let before = self.leader.swap(leader.map_or(0, |node| node.0), Ordering::SeqCst);
        if before != 0 && leader.map(|node| node.0) != Some(before) {
            self.lost_ms.store(now_ms + 1, Ordering::SeqCst);
        }
        self.round.fetch_max(round, Ordering::SeqCst);
        self.leads.store(role == Role::Leader, Ordering::SeqCst);
    }

    /// The leader, if known.
    pub fn leader(&self) -> Option<u64> {
        Some(self.leader.load(Ordering::SeqCst)).filter(|&leader| leader != 0)
    }

    /// The ballot's round; never decreases.
    pub fn round(&self) -> u64 {
        self.round.load(Ordering::SeqCst)
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::SeqCst)
    }

    /// Whether this node leads in this round. Exact for the thread that takes note of changes.
    pub fn leads_in(&self, round: u64) -> bool {
        self.leads() && self.round() == round
    }

    /// Whether a leader was lost within the last `window_ms`.
    pub fn lost_within(&self, window_ms: u64, now_ms: u64) -> bool {
        match self.lost_ms.load(Ordering::SeqCst) {
            0 => false,
            lost => now_ms.saturating_sub(lost - 1) <= window_ms,
        }
    }
}

/// A node's inside.
pub struct Shared {
    /// How it was set up.
    pub config: Config,
    /// Who it is.
    pub identity: Identity,
    /// Who belongs to the cluster.
    pub roll: Roll,
    /// Where requests run, for threads that have to wait for one.
    pub runtime: tokio::runtime::Handle,
    /// The state machine. The apply thread writes; everybody reads.
    pub state: RwLock<State<Store>>,
    /// Held while the state's files are being replaced or a checkpoint is under way.
    pub files: Mutex<()>,
    /// Leases' deadlines, when this node leads.
    pub lessor: Mutex<Lessor>,
    /// Who leads.
    pub leadership: Leadership,
    /// Applied up to here.
    pub applied: AtomicU64,
    /// Committed up to here, as far as this node knows.
    pub committed: AtomicU64,
    /// The store's revision.
    pub revision: AtomicI64,
    /// Clients waiting for their commands.
    pub proposals: Waiters<Result<Applied, Unproposed>>,
    /// Clients waiting for their reads.
    pub reads: Waiters<bool>,
    /// To the consensus core; set before anybody can ask for it.
    pub consensus: OnceLock<Box<dyn Consenter>>,
    /// To the watch thread.
    pub watches: Sender<WatchInput>,
    /// Watch streams open: without any, nobody needs to be told of changes.
    pub watch_streams: AtomicUsize,
    /// To the peers.
    pub peers: Arc<Peers>,
    /// What is counted.
    pub metrics: Metrics,
    /// Why the node ends, if it must.
    pub fatal: Arc<Fatal>,
    /// Set when the node is stopping.
    pub stopping: AtomicBool,
    /// Where the node's clock began.
    pub started: Instant,
}

/// Why a proposal was not replicated, or may not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproposed {
    /// Nobody led.
    NoLeader,
    /// Too much is under way.
    Overloaded,
    /// It was left to a leader that another has replaced. What became of it is not known.
    Lost,
}

impl Shared {
    /// A table of waiters whose numbers differ between lives of a node.
    pub fn waiters<T>(seed: u64) -> Waiters<T> {
        Waiters::new(seed, MAX_REQUESTS)
    }

    /// The consensus core's ear.
    pub fn consensus(&self) -> &dyn Consenter {
        &**self.consensus.get().expect("the core is set up before anything is served")
    }

    /// This member.
    pub fn member(&self) -> u64 {
        self.identity.member
    }

    /// Milliseconds since the node started.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The part of a response header that does not depend on the request.
    pub fn answering(&self) -> Answering {
        Answering {
            cluster_id: self.identity.cluster,
            member_id: self.identity.member,
            raft_term: self.leadership.round(),
        }
    }

    /// The store's revision now.
    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::SeqCst)
    }
}
