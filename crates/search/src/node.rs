//! A node: a core and the least host around it, as a value.
//!
//! The host keeps what must survive (promise and log), the writes that are not durable yet, and the messages
//! that wait for them. Given an event, a node becomes another node, and messages and facts come out; nothing
//! else goes in, so the same node and event give the same outcome in every world they occur in, and need be
//! tried once only (see `world`).
//!
//! # What two nodes must share to be the same
//!
//! The core, as far as its future depends on it (its `Hash` says what that is), the disk, the pending writes
//! and the waiting messages. They are compared by a 128-bit digest of all that.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use quorate_protocol::codec::{Encode, Writer};
use quorate_protocol::{
    Ballot, Config, Consensus, Effect, Entry, EntryKind, Event, Index, LogId, Membership, NodeId, Random,
    Recovered, Role, Seq, WriteOp,
};

/// What is asked of a core besides the contract: that it can be copied and recognised.
pub trait Core: Consensus + Clone + Hash {
    /// Nodes differ in their numbers only, and no rule compares these: states that differ by a renaming are alike.
    const SYMMETRIC: bool;

    /// The round a message belongs to or asks about.
    fn round(message: &Self::Message) -> u64;

    /// How often something has been begun anew that may be any number of times, and must not here.
    fn repetitions(_message: &Self::Message) -> u64 {
        0
    }

    /// A message, told for a reader.
    fn tell(message: &Self::Message) -> String;
}

/// An entry, for a reader: its name, and what it holds.
pub(crate) fn tell_entry(entry: &Entry) -> String {
    match entry.kind {
        EntryKind::Noop => entry.id.to_string(),
        EntryKind::Command => format!("{}={}", entry.id, String::from_utf8_lossy(&entry.data)),
        EntryKind::Config => format!("{}=membership", entry.id),
    }
}

/// Orders leaderships: by their round, of which each has one leader; where a round may have several, by their whole
/// ballots.
pub(crate) fn rank<C: Consensus>(ballot: Ballot) -> u64 {
    if C::CAPS.sparse_log { ballot.round << 4 | ballot.node.0 } else { ballot.round }
}

/// Mistakes a host can make on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mistakes {
    /// Messages leave before the write they wait for is durable.
    pub sends_early: bool,
    /// A restarted node does not know whom it voted for.
    pub forgets_vote: bool,
}

impl Mistakes {
    /// None of them.
    pub const NONE: Mistakes = Mistakes { sends_early: false, forgets_vote: false };
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub promised: Ballot,
    pub joined: Ballot,
    /// From index 1 on: nothing is ever compacted in these small worlds. Ascending; dense unless slots are put.
    pub entries: Vec<Entry>,
}

impl Disk {
    fn apply(&mut self, op: &WriteOp) -> Result<(), &'static str> {
        match op {
            WriteOp::Meta { promised, joined } => (self.promised, self.joined) = (*promised, *joined),
            WriteOp::Append(entries) => {
                let first = entries.first().ok_or("an append without entries")?.id.index.0 as usize;
                if first == 0 || first > self.entries.len() + 1 {
                    return Err("an append after a hole");
                }
                self.entries.truncate(first - 1);
                self.entries.extend(entries.iter().cloned());
            }
            WriteOp::Truncate(index) => self.entries.truncate(index.0 as usize),
            WriteOp::Put(entries) => entries.iter().for_each(|entry| self.put(entry)),
            WriteOp::Reset { .. } | WriteOp::Purge { .. } => return Err("a log cut at its beginning"),
        }
        Ok(())
    }

    fn put(&mut self, entry: &Entry) {
        match self.entries.binary_search_by_key(&entry.id.index, |held| held.id.index) {
            Ok(at) => self.entries[at] = entry.clone(),
            Err(at) => self.entries.insert(at, entry.clone()),
        }
    }

    fn holds(&self, sparse: bool) -> Recovered {
        let last = self.entries.last().map_or_else(Default::default, |entry| entry.id);
        Recovered {
            promised: self.promised,
            joined: self.joined,
            entries: self.entries.clone(),
            // Nothing is ever damaged here, and only a dense log tells then what it held.
            held: if sparse { LogId::default() } else { last },
            ..Recovered::default()
        }
    }
}

/// What is done to a node.
#[derive(Clone, Debug)]
pub(crate) enum Stimulus<M> {
    /// Time passes.
    Tick,
    /// A message arrives.
    Deliver(NodeId, M),
    /// All pending writes are durable.
    Sync,
    /// A command is proposed.
    Propose(Bytes),
    /// The membership ought to be this.
    Change(Membership),
    /// The process ends, with so many of its pending writes on the disk, and starts again.
    Crash(usize),
}

/// What came of it, besides the node's next state.
#[derive(Clone, Debug)]
pub(crate) enum Fact<M> {
    /// A message left.
    Sent(NodeId, M),
    /// It leads now, a ballot of this rank.
    Leads(u64),
    /// It committed an entry.
    Committed(Entry),
    /// Something that must not be.
    Wrong(String),
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node<C: Consensus> {
    config: Config,
    pub core: C,
    pub disk: Disk,
    pending: Vec<(Seq, Vec<WriteOp>)>,
    durable: Seq,
    /// Each once and in order, for the network is a set.
    waiting: BTreeMap<(Seq, NodeId, Bytes), C::Message>,
    applied: Index,
}

impl<C: Core> Node<C> {
    /// One that starts with this on its disk.
    pub fn start(config: Config, disk: Disk) -> Self {
        // Every life draws the same numbers; nothing here depends on their being different.
        let core = C::recover(config.clone(), disk.holds(C::CAPS.sparse_log), Random::new(1));
        Node {
            config,
            core,
            disk,
            pending: Vec::new(),
            durable: Seq(0),
            waiting: BTreeMap::new(),
            applied: Index(0),
        }
    }

    /// Writes that are not durable.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The rank of the ballot it leads.
    pub fn leads(&self) -> Option<u64> {
        let status = self.core.status();
        (status.role == Role::Leader).then_some(rank::<C>(status.promised))
    }

    /// Recognises it.
    pub fn digest(&self) -> u128 {
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            self.feed(&mut hasher);
            u128::from(hasher.finish())
        };
        (half(1) << 64) | half(2)
    }

    fn feed(&self, hasher: &mut DefaultHasher) {
        (self.config.id, &self.core, self.disk.promised, self.disk.joined, self.applied).hash(hasher);
        let mut out = Writer::new();
        out.list(&self.disk.entries);
        // Writes are told apart by their order, and messages by how many writes they wait for: the numbers
        // themselves only count what has been.
        for (_, ops) in &self.pending {
            out.list(ops);
        }
        for (after, to, message) in self.waiting.keys() {
            out.u64(after.0 - self.durable.0);
            to.encode(&mut out);
            out.bytes(message);
        }
        (self.pending.len(), self.waiting.len(), out.into_bytes()).hash(hasher);
    }

    /// What becomes of it.
    pub fn react(
        &self,
        stimulus: Stimulus<C::Message>,
        sync_at_once: bool,
        mistakes: Mistakes,
    ) -> (Self, Vec<Fact<C::Message>>) {
        let mut node = self.clone();
        let mut facts = Vec::new();
        match stimulus {
            Stimulus::Tick => node.step(Event::Tick, mistakes, &mut facts),
            Stimulus::Deliver(from, message) => {
                node.step(Event::Receive { from, message }, mistakes, &mut facts);
            }
            Stimulus::Sync => node.sync(mistakes, &mut facts),
            Stimulus::Propose(data) => node.step(Event::Propose(vec![data]), mistakes, &mut facts),
            Stimulus::Change(target) => node.step(Event::Change(target), mistakes, &mut facts),
            Stimulus::Crash(kept) => node = self.restarted(kept, mistakes),
        }
        while sync_at_once && !node.pending.is_empty() {
            node.sync(mistakes, &mut facts);
        }
        if let Some(round) = node.leads().filter(|_| node.leads() != self.leads()) {
            facts.push(Fact::Leads(round));
        }
        if let Err(violation) = node.core.check() {
            facts.push(Fact::Wrong(format!("CoreInvariant: {}", violation.0)));
        }
        (node, facts)
    }

    fn restarted(&self, kept: usize, mistakes: Mistakes) -> Self {
        let mut disk = self.disk.clone();
        for op in self.pending.iter().take(kept).flat_map(|(_, ops)| ops) {
            disk.apply(op).expect("what was asked for in order can be written in order");
        }
        if mistakes.forgets_vote {
            disk.promised = if C::CAPS.sparse_log {
                Ballot::default()
            } else {
                Ballot { node: NodeId(0), ..disk.promised }
            };
        }
        Node::start(self.config.clone(), disk)
    }

    fn step(&mut self, event: Event<C::Message>, mistakes: Mistakes, facts: &mut Vec<Fact<C::Message>>) {
        let mut effects = Vec::new();
        self.core.step(event, &mut effects);
        for effect in effects {
            self.carry_out(effect, mistakes, facts);
        }
    }

    fn carry_out(
        &mut self,
        effect: Effect<C::Message>,
        mistakes: Mistakes,
        facts: &mut Vec<Fact<C::Message>>,
    ) {
        match effect {
            Effect::Write { seq, ops } => self.pending.push((seq, ops)),
            Effect::Send { to, message, after } => match after <= self.durable || mistakes.sends_early {
                true => facts.push(Fact::Sent(to, message)),
                false => {
                    let mut bytes = Writer::new();
                    message.encode(&mut bytes);
                    self.waiting.insert((after, to, bytes.into_bytes()), message);
                }
            },
            Effect::Commit(upto) => {
                let entries = self.core.entries(self.applied.next(), upto);
                if entries.len() as u64 != upto.0.saturating_sub(self.applied.0) {
                    facts.push(Fact::Wrong(format!("it commits up to {upto} what it does not have")));
                }
                facts.extend(entries.into_iter().map(Fact::Committed));
                self.applied = upto;
            }
            Effect::SendSnapshot(_) | Effect::InstallSnapshot(_) => {
                facts.push(Fact::Wrong("an image is wanted, though no log was ever cut".into()));
            }
            Effect::Role { .. }
            | Effect::ReadReady { .. }
            | Effect::ReadFailed(_)
            | Effect::Dropped { .. } => {}
        }
    }

    fn sync(&mut self, mistakes: Mistakes, facts: &mut Vec<Fact<C::Message>>) {
        for (seq, ops) in std::mem::take(&mut self.pending) {
            for op in &ops {
                if let Err(what) = self.disk.apply(op) {
                    facts.push(Fact::Wrong(format!("it asks for {what}")));
                }
            }
            self.durable = seq;
        }
        // A sync takes all that is pending, so nothing waits for more.
        let released = std::mem::take(&mut self.waiting);
        facts.extend(released.into_iter().map(|((_, to, _), message)| Fact::Sent(to, message)));
        self.step(Event::Durable(self.durable), mistakes, facts);
    }
}
