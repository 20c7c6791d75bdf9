//! What only a leader knows: its peers, how far each is, and its own disk.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use quorate_protocol::lease::Lease;
use quorate_protocol::reads::LeaderReads;
use quorate_protocol::transfer::Transfer;
use quorate_protocol::{Index, NodeId, Pace, Progress, Seq, Violation};

/// Heartbeat intervals without acknowledgement of what is in flight before it is taken to be lost, if the
/// peer is heard otherwise. Intervals, and not heartbeats: rounds of reads send as many of those as they like.
const STALLED_HEARTBEATS: u32 = 3;

/// The leader of an epoch, in phases 2 and 3.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub peers: BTreeMap<NodeId, Peer>,
    /// Where its history ended when it set out: what NEWLEADER's quorum commits.
    pub initial: Index,
    /// A quorum has acknowledged NEWLEADER.
    pub established: bool,
    /// The write that holds its currentEpoch, and with it its history.
    pub joins: Seq,
    /// currentEpoch is durable.
    pub has_joined: bool,
    /// The own log is durable up to here.
    pub own: Index,
    /// Writes of this leadership that are not durable yet, with the last index each holds.
    writing: VecDeque<(Seq, Index)>,
    /// Bytes proposed and not committed.
    pub uncommitted_bytes: usize,
    pub heartbeat_elapsed: u32,
    /// Sessions begun in this epoch.
    pub sessions: u64,
    pub reads: LeaderReads,
    pub lease: Lease,
    pub transfer: Transfer,
    /// The last forwarded message taken from each stream of each peer in this epoch.
    pub streams: BTreeMap<(NodeId, u64), u64>,
}

/// All but the writes under way, whose numbers mean something only beside the replica's: its own `Hash` adds them.
impl core::hash::Hash for Leader {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (&self.peers, self.initial, self.established, self.has_joined, self.own).hash(state);
        (self.uncommitted_bytes, self.heartbeat_elapsed, self.sessions).hash(state);
        (&self.reads, &self.lease, &self.transfer, &self.streams).hash(state);
    }
}

/// A peer's progress, with what Zab adds to it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Peer {
    progress: Progress,
    /// The session with it; 0 if there is none, and it must ask to be synchronised.
    pub session: u64,
    /// Where the history ended when the session began: NEWLEADER follows that.
    pub goal: Index,
    /// NEWLEADER was sent in this session.
    pub led: bool,
    /// It has acknowledged NEWLEADER: what it matches counts.
    pub joined: bool,
    /// Its [`Config::priority`](quorate_protocol::Config::priority), as far as it has said.
    pub priority: u8,
    /// The commit index it was last told.
    pub told_commit: Index,
    /// Heartbeat intervals since something in flight was last acknowledged.
    pub stalled: u32,
    /// The snapshot it waits for has been handed over whole.
    pub handed_over: bool,
}

impl core::ops::Deref for Peer {
    type Target = Progress;
    fn deref(&self) -> &Progress {
        &self.progress
    }
}

impl core::ops::DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

impl Peer {
    /// A peer of which nothing is known.
    pub fn new() -> Self {
        Peer {
            progress: Progress::new(Index(1)),
            session: 0,
            goal: Index(0),
            led: false,
            joined: false,
            priority: 0,
            told_commit: Index(0),
            stalled: 0,
            handed_over: false,
        }
    }

    /// Begin a session after an entry that the peer may have.
    pub fn begin(&mut self, session: u64, prev: Index, goal: Index) {
        let mut progress = Progress::new(prev.next());
        (progress.active, progress.round) = (self.active, self.round);
        *self = Peer { progress, session, goal, priority: self.priority, ..Peer::new() };
    }

    /// There is no session any more; what it has acknowledged still counts, until it says otherwise.
    pub fn end_session(&mut self) {
        self.session = 0;
        self.stalled = 0;
    }

    fn waits(&self) -> bool {
        let led = self.led && !self.joined;
        let imaged = self.handed_over && matches!(self.pace, Pace::Snapshot { .. });
        self.session != 0 && (self.progress.waits() || led) || imaged
    }

    /// A heartbeat interval has passed.
    pub fn beat(&mut self) {
        self.stalled = if self.waits() { self.stalled + 1 } else { 0 };
    }

    /// Whether what is unanswered is to be taken for lost.
    pub fn is_stalled(&self) -> bool {
        self.waits() && self.stalled >= STALLED_HEARTBEATS
    }

    /// Go on in the session from what is acknowledged: what came will be known already, and answered again.
    pub fn rewind(&mut self) {
        self.progress.probe();
        self.progress.pace = Pace::Replicate;
        (self.led, self.stalled) = (self.joined, 0);
    }

    /// What it holds durably, as far as that counts.
    pub fn counts(&self) -> Index {
        if self.joined { self.matched } else { Index(0) }
    }

    /// What was sent to it in its session.
    pub fn sent_upto(&self) -> Index {
        match self.pace {
            Pace::Replicate => self.next.prev(),
            _ => Index(0),
        }
    }
}

impl Leader {
    pub fn new(others: &[NodeId], initial: Index, joins: Seq, uncommitted_bytes: usize) -> Self {
        Leader {
            peers: others.iter().map(|&node| (node, Peer::new())).collect(),
            initial,
            established: false,
            joins,
            has_joined: false,
            own: Index(0),
            writing: VecDeque::from([(joins, initial)]),
            uncommitted_bytes,
            heartbeat_elapsed: 0,
            sessions: 0,
            reads: LeaderReads::default(),
            lease: Lease::default(),
            transfer: Transfer::default(),
            streams: BTreeMap::new(),
        }
    }

    /// An own write holds the log up to `last`.
    pub fn writes(&mut self, seq: Seq, last: Index) {
        self.writing.push_back((seq, last));
    }

    /// Own writes up to `seq` are durable.
    pub fn now_durable(&mut self, seq: Seq) {
        self.has_joined |= self.joins <= seq;
        while let Some(&(_, last)) = self.writing.front().filter(|(waits, _)| *waits <= seq) {
            self.own = last;
            self.writing.pop_front();
        }
    }

    /// Writes of this leadership that are not durable yet, with the last index each holds.
    pub fn writing(&self) -> impl Iterator<Item = (Seq, Index)> {
        self.writing.iter().copied()
    }

    /// The number of the next session.
    pub fn next_session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    pub fn peer_ids(&self) -> Vec<NodeId> {
        self.peers.keys().copied().collect()
    }

    pub fn check(&self, last: Index) -> Result<(), Violation> {
        let facts = [
            (self.peers.values().all(|peer| peer.matched <= last), "a peer matches no further than the log"),
            (self.peers.values().all(|peer| peer.matched < peer.next), "what is sent next is not matched"),
            (self.own <= last, "what is durable is in the log"),
            (self.established || self.initial == last, "nothing is proposed before the epoch is established"),
            (!self.established || self.has_joined, "an established leader has joined its own epoch"),
        ];
        match facts.iter().find(|(holds, _)| !holds) {
            Some(&(_, fact)) => Err(Violation(fact)),
            None => Ok(()),
        }
    }
}
