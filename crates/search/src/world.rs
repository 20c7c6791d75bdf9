//! Three nodes and a network, as a [`System`].
//!
//! # State
//!
//! A state is six numbers: of the three nodes, of the set of messages sent, of the past that the properties
//! need ([`ghost`](crate::ghost)), and of what has been spent of the limits. The parts are kept once each.
//!
//! # Network
//!
//! A message, once sent, can be delivered at any later time, any number of times, or never: that is loss,
//! delay, reordering and repetition at once, and makes fewer states than keeping account of what is still on
//! its way.
//!
//! # Steps
//!
//! Any node ticks; any message is delivered; pending writes become durable; a leader takes a proposal or a
//! wish for another membership; a node crashes, with any prefix of its pending writes on its disk, and starts
//! again. Timeouts are short and never drawn by chance: a tick is one shortest election timeout, in which a
//! leader takes stock and sends heartbeats, and two without a word from a leader make a follower campaign. So
//! every order of timeouts occurs.
//!
//! What a node does when something happens to it depends on nothing else, so it is tried once and remembered:
//! some ten thousand reactions make up tens of millions of steps.
//!
//! # Symmetry
//!
//! Nodes that all begin alike differ only in their numbers. So nothing happens to a node before something has
//! happened to the one numbered before it, which visits one of up to six states that differ by a renaming. (A
//! renaming of a violation is a violation.) With different beginnings it is off, and where a protocol compares the
//! numbers of nodes, to order ballots or to choose among equals.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use quorate_protocol::codec::{Encode, Writer};
use quorate_protocol::{Ballot, Config, Entry, EntryKind, Index, LogId, Membership, NodeId};

use crate::ghost::{Ghost, Seen, ballots_agree, logs_match};
use crate::intern::Interner;
use crate::node::{Core, Disk, Fact, Mistakes, Node, Stimulus, tell_entry};
use crate::search::System;
use crate::see::{entry_number, see};

/// What may be begun any number of times is begun so often, at most.
const MOST_REPETITIONS: u64 = 3;

/// Nodes in a world.
pub(crate) const NODES: usize = 3;

/// How far a world goes, and how it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The highest round.
    pub rounds: u64,
    /// Commands proposed, at most.
    pub proposals: u32,
    /// Crashes, at most.
    pub crashes: u32,
    /// Ticks of leaders, at most. (Others' are limited by the rounds.)
    pub beats: u32,
    /// Wishes for another membership, at most.
    pub changes: u32,
    /// Campaigns, at most: ticks of followers and candidates that make them ask for votes.
    pub campaigns: u32,
    /// Messages of rounds that are over for the receiver arrive as well. Otherwise they are all lost.
    pub stale: bool,
    /// Writes become durable by steps of their own, and not at once.
    pub syncs: bool,
    /// The first voters.
    pub voters: &'static [u64],
    /// The memberships that may be wished for.
    pub targets: &'static [&'static [u64]],
    /// What is on the disks at first, if not nothing: a past that could have been.
    pub past: Option<[Past; NODES]>,
}

/// What a node brings along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    /// The round it is in.
    pub round: u64,
    /// Whom it voted for there; 0 for nobody.
    pub vote: u64,
    /// Its log: round and leader of each entry, none of which carries anything.
    pub log: &'static [(u64, u64)],
}

impl Past {
    fn disk(&self) -> Disk {
        let entry = |(at, &(round, node)): (usize, &(u64, u64))| {
            let ballot = Ballot { round, node: NodeId(node) };
            let id = LogId { ballot, index: Index(at as u64 + 1) };
            Entry { id, kind: EntryKind::Noop, data: Bytes::new() }
        };
        let promised = Ballot { round: self.round, node: NodeId(self.vote) };
        Disk {
            promised,
            joined: Ballot::default(),
            entries: self.log.iter().enumerate().map(entry).collect(),
        }
    }
}

/// A state of the world; see the essay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    nodes: [u32; NODES],
    network: u32,
    ghost: u32,
    spent: Spent,
}

/// In few words: millions of states are looked up a second.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let pair = |a: u32, b: u32| u64::from(a) << 32 | u64::from(b);
        let Spent { proposals, crashes, beats, changes, campaigns } = self.spent;
        hasher.write_u64(pair(self.nodes[0], self.nodes[1]));
        hasher.write_u64(pair(self.nodes[2], self.network));
        hasher.write_u64(pair(self.ghost, u32::from_le_bytes([proposals, crashes, beats, changes])));
        hasher.write_u64(u64::from(campaigns));
    }
}

/// What has been spent of the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    proposals: u8,
    crashes: u8,
    beats: u8,
    changes: u8,
    campaigns: u8,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Deliver(u32),
    Sync,
    /// The command of this number.
    Propose(u8),
    /// The target of this number.
    Change(u8),
    /// So many pending writes survive.
    Crash(u8),
}

impl Action {
    /// Names it, together with the node it happens to.
    fn key(self, node: u32) -> u64 {
        let (kind, which) = match self {
            Action::Tick => (0, 0),
            Action::Deliver(packet) => (1, packet),
            Action::Sync => (2, 0),
            Action::Propose(which) => (3, u32::from(which)),
            Action::Change(target) => (4, u32::from(target)),
            Action::Crash(kept) => (5, u32::from(kept)),
        };
        u64::from(node) << 32 | u64::from(which) << 3 | kind
    }
}

/// A message on the network.
struct Packet<M> {
    from: NodeId,
    to: NodeId,
    round: u64,
    message: M,
}

/// What a node does, in numbers.
#[derive(Debug)]
struct Reaction {
    node: u32,
    sent: Box<[u32]>,
    /// What else is to be noted, in order.
    facts: Box<[Noted]>,
    /// It leads beyond the limits.
    beyond: bool,
    /// A node that does not lead sends something.
    asks: bool,
}

/// A fact, in numbers.
#[derive(Clone, Debug)]
enum Noted {
    Leads(u64),
    Committed(u64, u32),
    Wrong(String),
}

/// A node with what the properties see of it.
struct Known<C: Core> {
    node: Node<C>,
    seen: Seen,
}

/// The world.
pub(crate) struct World<C: Core> {
    limits: Limits,
    targets: Vec<Membership>,
    nodes: Interner<(u64, u128), Known<C>>,
    entries: Interner<Bytes, Entry>,
    packets: Interner<(NodeId, NodeId, Bytes), Packet<C::Message>>,
    networks: Interner<std::rc::Rc<[u32]>, std::rc::Rc<[u32]>>,
    ghosts: Interner<Ghost, Ghost>,
    reactions: Interner<u64, Reaction>,
    first: [u32; NODES],
    mistakes: Mistakes,
}

impl<C: Core> World<C> {
    pub fn new(limits: Limits, mistakes: Mistakes) -> Self {
        let of = |ids: &[u64]| Membership::new(ids.iter().copied().map(NodeId), []);
        let targets = limits.targets.iter().map(|ids| of(ids)).collect();
        let mut world = World {
            targets,
            nodes: Interner::new(),
            entries: Interner::new(),
            packets: Interner::new(),
            networks: Interner::new(),
            ghosts: Interner::new(),
            reactions: Interner::new(),
            first: [0; NODES],
            mistakes,
            limits,
        };
        for at in 0..NODES {
            let id = at as u64 + 1;
            let voters: Vec<NodeId> = world.limits.voters.iter().copied().map(NodeId).collect();
            // Who is not among the first voters waits to be told whom it belongs to.
            let voters = if world.limits.voters.contains(&id) { voters } else { Vec::new() };
            let mut config = Config::new(NodeId(id), voters);
            (config.election_ticks, config.heartbeat_ticks) = (1, 1);
            // One entry to a message, so that parts of a log travel by themselves.
            config.max_message_bytes = 1;
            let disk = world.limits.past.map_or_else(Disk::default, |past| past[at].disk());
            world.first[at] = world.known(Node::start(config, disk), id);
        }
        world
    }

    fn known(&mut self, node: Node<C>, id: u64) -> u32 {
        let key = (id, node.digest());
        let entries = &mut self.entries;
        self.nodes.number(key, || {
            let seen = see(&node, id, entries);
            Known { node, seen }
        })
    }

    /// What the node `number` does, tried if it was not before.
    fn reaction(&mut self, number: u32, action: Action) -> u32 {
        if let Some(known) = self.reactions.find(&action.key(number)) {
            return known;
        }
        let node = &self.nodes.get(number).node;
        let id = self.nodes.get(number).seen.id;
        let stimulus = match action {
            Action::Tick => Stimulus::Tick,
            Action::Deliver(packet) => {
                let packet = self.packets.get(packet);
                Stimulus::Deliver(packet.from, packet.message.clone())
            }
            Action::Sync => Stimulus::Sync,
            Action::Propose(which) => Stimulus::Propose(Bytes::copy_from_slice(&[b'a' + which])),
            Action::Change(target) => Stimulus::Change(self.targets[target as usize].clone()),
            Action::Crash(kept) => Stimulus::Crash(kept as usize),
        };
        let (next, facts) = node.react(stimulus, !self.limits.syncs, self.mistakes);
        let node = self.known(next, id);
        let mut beyond = self.nodes.get(node).seen.limited > self.limits.rounds;
        let (mut sent, mut noted) = (Vec::new(), Vec::new());
        for fact in facts {
            match fact {
                Fact::Sent(to, message) => {
                    beyond |= C::round(&message) > self.limits.rounds;
                    beyond |= C::repetitions(&message) > MOST_REPETITIONS;
                    if to.0 as usize <= NODES {
                        sent.push(self.packet(NodeId(id), to, message));
                    }
                }
                Fact::Leads(round) => noted.push(Noted::Leads(round)),
                Fact::Committed(entry) => {
                    let number = entry_number::<C>(&mut self.entries, &entry);
                    noted.push(Noted::Committed(entry.id.index.0, number));
                }
                Fact::Wrong(what) => noted.push(Noted::Wrong(format!("{what} (at {id})"))),
            }
        }
        sent.sort_unstable();
        sent.dedup();
        let asks = !self.nodes.get(number).seen.tends
            && (!sent.is_empty() || self.nodes.get(node).seen.round > self.nodes.get(number).seen.round);
        let reaction = Reaction { node, sent: sent.into(), facts: noted.into(), beyond, asks };
        self.reactions.number(action.key(number), || reaction)
    }

    fn packet(&mut self, from: NodeId, to: NodeId, message: C::Message) -> u32 {
        let mut out = Writer::new();
        message.encode(&mut out);
        self.packets.number((from, to, out.into_bytes()), || {
            let round = C::round(&message);
            Packet { from, to, round, message }
        })
    }

    /// What follows if this happens to the node at `at`; nothing if that is beyond the limits or changes
    /// nothing.
    fn follow(&mut self, state: &State, at: usize, action: Action, spent: Spent) -> Option<State> {
        let number = self.reaction(state.nodes[at], action);
        let reaction = self.reactions.get(number);
        let mut next = State { spent, ..*state };
        if action == Action::Tick && reaction.asks {
            next.spent.campaigns += 1;
        }
        if reaction.beyond || u32::from(next.spent.campaigns) > self.limits.campaigns {
            return None;
        }
        next.nodes[at] = reaction.node;
        let old = self.networks.get(state.network);
        if reaction.sent.iter().any(|packet| old.binary_search(packet).is_err()) {
            let mut all: Vec<u32> = old.iter().chain(&reaction.sent).copied().collect();
            all.sort_unstable();
            all.dedup();
            let all: std::rc::Rc<[u32]> = all.into();
            next.network = self.networks.number(all.clone(), || all);
        }
        if !self.reactions.get(number).facts.is_empty() {
            next.ghost = self.remember(&next, at, number);
        }
        (next != *state).then_some(next)
    }

    /// The past, with what the node at `at` has just done.
    fn remember(&mut self, next: &State, at: usize, reaction: u32) -> u32 {
        let mut ghost = self.ghosts.get(next.ghost).clone();
        let nodes = next.nodes.map(|number| &self.nodes.get(number).seen);
        let name = |entry: u32| tell_entry(self.entries.get(entry));
        for fact in &self.reactions.get(reaction).facts {
            match fact {
                Noted::Leads(round) => ghost.leads(nodes[at], *round, name),
                Noted::Committed(index, entry) => ghost.commits(at, *index, *entry, &nodes, name),
                Noted::Wrong(what) => ghost.blame(what.clone()),
            }
        }
        self.ghosts.number(ghost.clone(), || ghost)
    }

    /// Whether something may happen to the node at `at`; see the essay on symmetry.
    fn awake(&self, state: &State, at: usize) -> bool {
        let alike = C::SYMMETRIC && self.limits.voters.len() == NODES && self.limits.past.is_none();
        if !alike || at == 0 {
            return true;
        }
        let before = at - 1;
        let spoke = |&packet: &u32| self.packets.get(packet).from.0 as usize == before + 1;
        state.nodes[before] != self.first[before] || self.networks.get(state.network).iter().any(spoke)
    }

    fn actions(&self, state: &State, at: usize) -> Vec<(Action, Spent)> {
        let (limits, spent, seen) = (&self.limits, state.spent, &self.nodes.get(state.nodes[at]).seen);
        let leads = seen.tends;
        let mut actions = Vec::new();
        if !leads {
            actions.push((Action::Tick, spent));
        } else if u32::from(spent.beats) < limits.beats {
            actions.push((Action::Tick, Spent { beats: spent.beats + 1, ..spent }));
        }
        if limits.syncs && seen.pending > 0 {
            actions.push((Action::Sync, spent));
        }
        if leads && u32::from(spent.proposals) < limits.proposals {
            let next = Spent { proposals: spent.proposals + 1, ..spent };
            actions.push((Action::Propose(spent.proposals), next));
        }
        if leads && u32::from(spent.changes) < limits.changes {
            let next = Spent { changes: spent.changes + 1, ..spent };
            actions.extend((0..self.targets.len()).map(|target| (Action::Change(target as u8), next)));
        }
        if u32::from(spent.crashes) < limits.crashes {
            let next = Spent { crashes: spent.crashes + 1, ..spent };
            actions.extend((0..=seen.pending).map(|kept| (Action::Crash(kept as u8), next)));
        }
        let id = NodeId(at as u64 + 1);
        let packets = self.networks.get(state.network).iter().copied();
        let here = packets.filter(|&packet| {
            let packet = self.packets.get(packet);
            packet.to == id && (limits.stale || packet.round >= seen.limited)
        });
        actions.extend(here.map(|packet| (Action::Deliver(packet), spent)));
        actions
    }
}

impl<C: Core> System for World<C> {
    type State = State;
    type Action = (usize, Action);

    fn start(&mut self) -> Vec<State> {
        let network = self.networks.number([].into(), || [].into());
        let logs = self.limits.past.iter().flatten().flat_map(|past| past.log);
        let ghost = Ghost::after(logs.copied());
        let ghost = self.ghosts.number(ghost.clone(), || ghost);
        vec![State { nodes: self.first, network, ghost, spent: Spent::default() }]
    }

    fn successors(&mut self, state: &State, found: &mut Vec<((usize, Action), State)>) {
        for at in 0..NODES {
            if !self.awake(state, at) {
                return;
            }
            for (action, spent) in self.actions(state, at) {
                if let Some(next) = self.follow(state, at, action, spent) {
                    // What leaves the node as it is, and says nothing, is not worth what it spends.
                    let same = State { spent: state.spent, ..next } == *state;
                    found.extend((!same).then_some(((at, action), next)));
                }
            }
        }
    }

    fn wrong(&mut self, state: &State) -> Option<String> {
        if let Some(what) = &self.ghosts.get(state.ghost).wrong {
            return Some(what.clone());
        }
        let name = |entry| self.entries.get(entry).id;
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let [a, b] = [a, b].map(|at: usize| &self.nodes.get(state.nodes[at]).seen);
            if C::CAPS.sparse_log {
                if !ballots_agree(a, b) {
                    return Some(format!(
                        "OneValuePerBallot: {} and {} accepted two values under one ballot",
                        a.id, b.id
                    ));
                }
            } else if !logs_match(&a.log, &b.log, |a, b| name(a) == name(b)) {
                return Some(format!(
                    "LogMatching: {} and {} share an entry but not all before it",
                    a.id, b.id
                ));
            }
        }
        None
    }

    fn tell(&self, from: &State, (at, action): &(usize, Action), to: &State) -> String {
        let id = at + 1;
        let mut lines = vec![match *action {
            Action::Tick => format!("tick {id}"),
            Action::Deliver(packet) => {
                let Packet { from, to, message, .. } = self.packets.get(packet);
                format!("deliver {from} {to} {}", C::tell(message))
            }
            Action::Sync => format!("sync {id}"),
            Action::Propose(which) => format!("propose {id} {}", char::from(b'a' + which)),
            Action::Change(target) => format!("change {id} {:?}", self.limits.targets[target as usize]),
            Action::Crash(kept) => format!("crash {id}, {kept} of its pending writes kept"),
        }];
        let [before, after] = [from, to].map(|state| &self.nodes.get(state.nodes[*at]).seen.told);
        if before != after {
            lines.push(format!("  {id}: {after}"));
        }
        let old = self.networks.get(from.network);
        let new = self.networks.get(to.network).iter().filter(|packet| old.binary_search(packet).is_err());
        lines.extend(new.map(|&packet| {
            let Packet { to, message, .. } = self.packets.get(packet);
            format!("  {id} sends {to} {}", C::tell(message))
        }));
        lines.join("\n")
    }
}
