//! The contract: events in, effects out.
//!
//! A consensus core is a value with one mutation, [`Consensus::step`]. It has no clock (ticks are events), no
//! socket, no disk, no thread, and its only randomness is a seed. Whoever holds it carries the effects out,
//! **in the order they were emitted**, and reports back with events.
//!
//! # Durability is data
//!
//! The core numbers its writes ([`Seq`]) and every [`Effect::Send`] says which write it must wait for; 0
//! waits for nothing. A host may sync as many writes together as it likes and must report completion in
//! order: `Durable(n)` means that every write up to `n` is on disk. An [`Outbox`](crate::Outbox) holds the sends that wait.
//! A write that fails is fatal to the replica: nothing may be reported and nothing sent any more.
//!
//! # Snapshots
//!
//! The core never sees the state machine's bytes. When a peer needs entries that are gone, the core asks
//! with [`Effect::SendSnapshot`]; the host prepares an image of its state and answers
//! [`Event::SnapshotReady`] with the entry it stands at; the core then sends a message for which
//! [`Consensus::carries_snapshot`] names that entry, and the transport attaches the image. The receiving
//! host delivers the message only once the whole image is staged; if the core wants it, it emits
//! [`Effect::InstallSnapshot`], followed by the log's reset as an ordinary write.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;

use crate::codec::{Decode, Encode};
use crate::entry::{Entry, Recovered, WriteOp};
use crate::ids::{Ballot, Index, LogId, NodeId, ReadId, Seq};
use crate::membership::Membership;
use crate::random::Random;

/// How a replica is set up. Ticks are the host's: it decides how long one lasts.
#[derive(Clone, Debug)]
pub struct Config {
    /// This replica.
    pub id: NodeId,
    /// The group's first voters, in force where nothing else was recorded. Empty for a node that joins a group
    /// that exists: it waits to be told the membership.
    pub voters: Vec<NodeId>,
    /// Ticks without hearing from a leader before a follower may campaign; a timeout is drawn anew from
    /// `election_ticks..2*election_ticks` each time.
    pub election_ticks: u32,
    /// Ticks between a leader's heartbeats.
    pub heartbeat_ticks: u32,
    /// Bytes of entries in one message, at most (one entry always fits).
    pub max_message_bytes: usize,
    /// Messages with entries in flight to one peer, at most.
    pub max_inflight: usize,
    /// Bytes of entries proposed but not committed, at most, before proposals are dropped.
    pub max_uncommitted_bytes: usize,
    /// Who should lead, other things being equal: a leader hands over to a voter of higher priority once that one has
    /// caught up. 0 for no preference.
    pub priority: u8,
    /// Serve reads by lease, if the ticks of any two replicas differ by no more than so many of a hundred. Must be
    /// the same in the whole group. A host that asks for it must deliver every tick that is due before it delivers
    /// anything else, also after it was stopped for a while.
    pub lease_drift_percent: Option<u8>,
}

impl Config {
    /// The defaults of this house for a group of `voters`: an election timeout of ten heartbeats of ten ticks.
    pub fn new(id: NodeId, voters: Vec<NodeId>) -> Self {
        Config {
            id,
            voters,
            election_ticks: 100,
            heartbeat_ticks: 10,
            max_message_bytes: 1 << 20,
            max_inflight: 64,
            max_uncommitted_bytes: 64 << 20,
            priority: 0,
            lease_drift_percent: None,
        }
    }
}

/// What a host tells a core.
#[derive(Clone, Debug)]
pub enum Event<M> {
    /// Time has passed.
    Tick,
    /// A peer's message has arrived.
    Receive {
        /// The sender, as the transport knows it.
        from: NodeId,
        /// The message.
        message: M,
    },
    /// The connection to a peer was lost: messages in flight may be gone.
    LinkReset(NodeId),
    /// Every write up to this one is on disk.
    Durable(Seq),
    /// Replicate these commands, in this order.
    Propose(Vec<Bytes>),
    /// At which index must the state machine be, for a read to be linearizable from now?
    Read(ReadId),
    /// The state machine's image stands at `id` and is ready to be sent.
    SnapshotReady {
        /// The peer that needs it.
        to: NodeId,
        /// Where it stands.
        id: LogId,
        /// The membership recorded in it.
        membership: Membership,
    },
    /// The transport is done with an image.
    SnapshotSent {
        /// The peer.
        to: NodeId,
        /// Whether all of it was handed over.
        ok: bool,
    },
    /// The state machine's checkpoint covers the log up to here, which may be dropped.
    Compact(Index),
    /// The membership ought to be this settled one. Whoever leads begins the change if it can: if no other is under
    /// way and an entry of its own is committed. Nobody else does anything, and nothing is answered: a host repeats it
    /// until [`Status::membership`] says so.
    Change(Membership),
    /// Hand the leadership over to this voter. Only the leader does anything; it takes no proposals meanwhile and gives
    /// up after an election timeout.
    Transfer(NodeId),
}

/// Why proposals came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Nobody is known to lead; they were not replicated.
    NoLeader,
    /// Too much is proposed and not yet committed; they were not replicated.
    Overloaded,
}

/// A replica's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// What a core asks of its host.
#[derive(Clone, Debug)]
pub enum Effect<M> {
    /// Make these durable, in order, then report `Durable(seq)`.
    Write {
        /// The write's number.
        seq: Seq,
        /// The changes.
        ops: Vec<WriteOp>,
    },
    /// Send a message once the write `after` is durable. May be lost, delayed, repeated.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: M,
        /// The write it must wait for; 0 for none.
        after: Seq,
    },
    /// Entries up to here are chosen; apply them. Read them with [`Consensus::entries`] before the next step.
    Commit(Index),
    /// The read may be served once the state machine has applied up to `index`.
    ReadReady {
        /// The read.
        id: ReadId,
        /// The index.
        index: Index,
    },
    /// The read cannot be confirmed now; ask again.
    ReadFailed(ReadId),
    /// These proposals were not replicated.
    Dropped {
        /// The commands, in order.
        proposals: Vec<Bytes>,
        /// Why.
        reason: DropReason,
    },
    /// A peer needs an image of the state machine.
    SendSnapshot(NodeId),
    /// Replace the state machine by the staged image that stands at `id`, durably, before what follows.
    InstallSnapshot(LogId),
    /// This replica's part, ballot or known leader changed. A leader that hands over knows none.
    Role {
        /// Its part.
        role: Role,
        /// Its ballot's round.
        round: u64,
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
}

/// The effects of a step, in order.
pub type Effects<M> = Vec<Effect<M>>;

/// What a leader knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// Its log agrees with ours up to here.
    pub matched: Index,
    /// What it is sent next.
    pub next: Index,
    /// It was heard from lately.
    pub active: bool,
}

/// A look at a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Itself.
    pub id: NodeId,
    /// Its part.
    pub role: Role,
    /// What it has promised.
    pub promised: Ballot,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// The entry before its first.
    pub base: LogId,
    /// Its last entry.
    pub last: LogId,
    /// Chosen up to here.
    pub commit: Index,
    /// The membership in force, committed or not.
    pub membership: Membership,
    /// The last entry it is known to have held; after `last` while it lacks what was damaged at the end of its log.
    pub held: LogId,
    /// It lacks entries that its disk has lost, and abstains until they have come back.
    pub repairing: bool,
    /// The peers' progress, when it leads.
    pub peers: Vec<PeerStatus>,
}

/// A broken invariant: a bug, fatal for the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(pub &'static str);

/// What observers of a protocol must know of it. Hosts need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Slots may be filled out of order and an entry's ballot is rewritten in place (Paxos). Then logs have holes, the same
    /// entry has different ballots at different replicas, and a round may have several leaders, each with a ballot of its
    /// own. Where not, an entry's name determines its content and all that precedes it, and a round has one leader.
    pub sparse_log: bool,
}

/// A consensus protocol as a value.
pub trait Consensus: Sized {
    /// What its nodes say to each other.
    type Message: Clone + Debug + Encode + Decode;

    /// Its name: on disk and in handshakes, so that two protocols never meet in one group.
    const NAME: &'static str;

    /// In what it differs from the others, for observers that compare replicas.
    const CAPS: Caps;

    /// Start from what is on disk. The seed must differ between the lives of a replica.
    fn recover(config: Config, durable: Recovered, random: Random) -> Self;

    /// The only mutation.
    fn step(&mut self, event: Event<Self::Message>, effects: &mut Effects<Self::Message>);

    /// The entries in `from..=upto`, which must be in the log.
    fn entries(&self, from: Index, upto: Index) -> Vec<Entry>;

    /// The entry an attached image must stand at, for messages that carry one.
    fn carries_snapshot(message: &Self::Message) -> Option<LogId>;

    /// A look at it.
    fn status(&self) -> Status;

    /// Whether a step met something the protocol rules out. Cheap: a host asks after every step and ends the
    /// replica if so.
    fn broken(&self) -> Option<Violation>;

    /// All its invariants; run after every step in tests and simulation.
    fn check(&self) -> Result<(), Violation>;
}
