//! One replica and its host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_protocol::{Ballot, Consensus, Index, NodeId, Outbox, ReadId, Seq, WriteOp};

use crate::disk::{Disk, Image, LogView};

/// What has become of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// Asked.
    Waiting,
    /// May be served once the state machine is at this index.
    Ready(Index),
    /// Was served with the state machine at this index.
    Served(Index),
    /// The core gave it up.
    Failed,
}

/// A replica: what a crash takes, and what it leaves.
pub struct Node<C: Consensus> {
    /// The core; none while crashed.
    pub core: Option<C>,
    /// What survives.
    pub disk: Disk,
    /// Which life this is.
    pub life: u64,
    /// Whether writes become durable as soon as they are asked for.
    pub autosync: bool,
    /// Whether images are made as soon as they are asked for.
    pub autoimage: bool,
    /// Writes not yet durable.
    pub pending: VecDeque<(Seq, Vec<WriteOp>)>,
    /// Messages that wait for them.
    pub outbox: Outbox<C::Message>,
    /// Promise and log with the pending writes carried out: what the core believes.
    pub believed: LogView,
    /// The state machine.
    pub state: Image,
    /// Peers for which an image was asked.
    pub wanted: BTreeSet<NodeId>,
    /// Images made for peers, not yet sent.
    pub images: BTreeMap<NodeId, Image>,
    /// Peers whose images could not be sent at all; the core is still to be told.
    pub unsent: Vec<NodeId>,
    /// Reads asked in this life.
    pub reads: BTreeMap<ReadId, ReadState>,
    /// Commands the core did not replicate.
    pub dropped: usize,
    /// Effects of this life so far.
    pub effects: u64,
    /// Whom it was last known to follow, itself when it leads.
    pub follows: Option<NodeId>,
    /// The highest promise and commit index it has shown in this life.
    pub shown: (Ballot, Index),
}

impl<C: Consensus> Node<C> {
    /// A replica that has never run.
    pub fn new() -> Self {
        let mut disk = Disk::default();
        disk.log.sparse = C::CAPS.sparse_log;
        Node {
            core: None,
            disk,
            life: 0,
            autosync: true,
            autoimage: true,
            pending: VecDeque::new(),
            outbox: Outbox::default(),
            believed: LogView::default(),
            state: Image::default(),
            wanted: BTreeSet::new(),
            images: BTreeMap::new(),
            unsent: Vec::new(),
            reads: BTreeMap::new(),
            dropped: 0,
            effects: 0,
            follows: None,
            shown: (Ballot::default(), Index(0)),
        }
    }

    /// Lose everything that is not durable.
    pub fn crash(&mut self) {
        let (disk, life) = (std::mem::take(&mut self.disk), self.life);
        let (autosync, autoimage) = (self.autosync, self.autoimage);
        *self = Node { disk, life, autosync, autoimage, ..Node::new() };
    }
}

impl<C: Consensus> Default for Node<C> {
    fn default() -> Self {
        Node::new()
    }
}
