//! Runs the commands of a script on a cluster.

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use goldenscript::Context;
use quorate_protocol::{
    Ballot, Consensus, Entry, EntryKind, Event, Index, LogId, Membership, NodeId, ReadId,
};

use crate::cluster::{Cluster, Settings};
use crate::disk::{Disk, LogView};
use crate::report::{Detail, neutral, show_data, show_entry};
use crate::verb::{Pick, Verb};
use crate::{Dialect, expect};

/// What running a command may go wrong with.
pub(crate) type Failure = Box<dyn Error>;

/// Campaigns within which `elect` must succeed.
const ELECT_WITHIN: u32 = 5;

pub(crate) fn number(pick: &Pick, name: &str) -> Result<Option<u64>, Failure> {
    let value = pick.iter().find(|(key, _)| key == name);
    Ok(value.map(|(_, value)| value.parse()).transpose()?)
}

/// Runs a script on one core.
pub struct Script<D: Dialect> {
    detail: Detail,
    cluster: Option<Cluster<D>>,
    /// A command is being run; still set afterwards only if it panicked.
    running: bool,
}

/// Run the script at `path`, and compare it with what is recorded there.
pub fn run<D: Dialect>(path: &Path, detail: Detail) -> Result<(), Failure> {
    Ok(goldenscript::run(&mut Script::<D>::new(detail), path)?)
}

impl<D: Dialect> goldenscript::Runner for Script<D> {
    type Command = Verb;

    fn run(&mut self, verb: &Verb, _context: &Context) -> Result<String, Failure> {
        self.running = true;
        let done = self.verb(verb);
        self.running = false;
        done?;
        let detail = self.detail;
        let cluster = self.cluster()?;
        match &cluster.violation {
            Some(violation) => Err(violation.clone().into()),
            None => {
                let lines = cluster.take_lines();
                let lines = if detail == Detail::Neutral { neutral(lines) } else { lines };
                Ok(lines.into_iter().map(|line| line + "\n").collect())
            }
        }
    }

    /// A violation cannot be masked by a command that is expected to fail, nor can a panic.
    fn end_script(&mut self) -> Result<(), Failure> {
        if self.running {
            return Err("a command panicked".into());
        }
        match self.cluster.as_ref().and_then(|cluster| cluster.violation.clone()) {
            Some(violation) => Err(violation.into()),
            None => Ok(()),
        }
    }
}

impl<D: Dialect> Script<D> {
    /// A runner whose transcript tells this much.
    pub fn new(detail: Detail) -> Self {
        Script { detail, cluster: None, running: false }
    }

    fn cluster(&mut self) -> Result<&mut Cluster<D>, Failure> {
        self.cluster.as_mut().ok_or_else(|| "begin with `cluster nodes=N`".into())
    }

    fn verb(&mut self, verb: &Verb) -> Result<(), Failure> {
        if let Verb::Cluster { nodes, seed, .. } = verb {
            let mut settings = Settings::new(*nodes, seed.unwrap_or(1), self.detail);
            limits(&mut settings, verb);
            self.cluster = Some(Cluster::new(settings));
            return Ok(());
        }
        let cluster = self.cluster()?;
        match verb {
            Verb::Tick { .. } | Verb::Campaign(_) | Verb::Elect(_) | Verb::Settle { .. } => {
                time(cluster, verb)
            }
            Verb::Deliver(..) | Verb::Drop(..) | Verb::Dup(..) | Verb::Queue | Verb::Stabilize(..) => {
                traffic(cluster, verb)
            }
            Verb::Isolate(_) | Verb::Cut { .. } | Verb::Heal(_) | Verb::Reset(..) => links(cluster, verb),
            Verb::Status(_) | Verb::Log(_) | Verb::State(_) => looks(cluster, verb),
            Verb::Expect(words, pick) => expect::expect(cluster, words, pick),
            Verb::Change { .. } | Verb::Transfer(..) | Verb::Damage(..) => operator(cluster, verb),
            _ => hosts(cluster, verb),
        }
    }
}

fn limits(settings: &mut Settings, verb: &Verb) {
    let Verb::Cluster { election_ticks, heartbeat_ticks, message_bytes, inflight, uncommitted_bytes, .. } =
        verb
    else {
        return;
    };
    if let Verb::Cluster { spares, lease, prefer, .. } = verb {
        settings.spares = spares.unwrap_or(0);
        settings.lease_drift_percent = *lease;
        settings.priority = prefer.iter().map(|id| (NodeId(*id), 1)).collect();
    }
    settings.election_ticks = election_ticks.unwrap_or(settings.election_ticks);
    settings.heartbeat_ticks = heartbeat_ticks.unwrap_or(settings.heartbeat_ticks);
    settings.max_message_bytes = message_bytes.unwrap_or(settings.max_message_bytes);
    settings.max_inflight = inflight.unwrap_or(settings.max_inflight);
    settings.max_uncommitted_bytes = uncommitted_bytes.unwrap_or(settings.max_uncommitted_bytes);
}

/// These nodes, or all that run.
fn nodes<D: Dialect>(cluster: &Cluster<D>, named: &[u64]) -> Result<Vec<NodeId>, Failure> {
    match named {
        [] => Ok(cluster.live()),
        _ => named.iter().map(|id| node(cluster, *id)).collect(),
    }
}

pub(crate) fn node<D: Dialect>(cluster: &Cluster<D>, id: u64) -> Result<NodeId, Failure> {
    match cluster.nodes.contains_key(&NodeId(id)) {
        true => Ok(NodeId(id)),
        false => Err(format!("there is no node {id}").into()),
    }
}

fn time<D: Dialect>(cluster: &mut Cluster<D>, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Tick { nodes: named, n } => {
            let ids = nodes(cluster, named)?;
            for _ in 0..n.unwrap_or(1) {
                ids.iter().for_each(|id| cluster.tick(*id));
            }
        }
        Verb::Campaign(id) => {
            let id = node(cluster, *id)?;
            cluster.campaign(id);
        }
        Verb::Elect(id) => {
            let id = node(cluster, *id)?;
            cluster.traffic = false;
            elect(cluster, id);
            cluster.traffic = true;
            if !cluster.leaders().contains(&id) && cluster.violation.is_none() {
                return Err(format!("{id} was not elected").into());
            }
        }
        Verb::Settle { n } => {
            cluster.traffic = false;
            let live = cluster.live();
            for _ in 0..n.unwrap_or(50) {
                live.iter().for_each(|id| cluster.tick(*id));
                cluster.stabilize(&live);
            }
            cluster.traffic = true;
        }
        _ => {}
    }
    Ok(())
}

/// Campaign until elected. Between attempts time passes for the others too, or they would go on believing in
/// a leader that has just crashed.
fn elect<D: Dialect>(cluster: &mut Cluster<D>, id: NodeId) {
    let live = cluster.live();
    for _ in 0..ELECT_WITHIN {
        cluster.campaign(id);
        cluster.stabilize(&live);
        if cluster.leaders().contains(&id) || cluster.violation.is_some() {
            return;
        }
        for _ in 0..cluster.settings.election_ticks / 2 {
            live.iter().filter(|other| **other != id).for_each(|other| cluster.tick(*other));
        }
    }
}

/// The packets picked: links, and positions in their queues.
fn picked<D: Dialect>(cluster: &Cluster<D>, pick: &Pick) -> Result<Vec<(NodeId, NodeId, usize)>, Failure> {
    if let Some((unknown, _)) =
        pick.iter().find(|(key, _)| !["from", "to", "at", "n", "kind"].contains(&&**key))
    {
        return Err(format!("no such key: {unknown}").into());
    }
    let (from, to) = (number(pick, "from")?, number(pick, "to")?);
    let (at, n) = (number(pick, "at")?, number(pick, "n")?);
    let kind = pick.iter().find(|(key, _)| key == "kind").map(|(_, kind)| kind.as_str());
    let mut all = Vec::new();
    for link in cluster.network.busy() {
        if from.is_some_and(|from| link.0.0 != from) || to.is_some_and(|to| link.1.0 != to) {
            continue;
        }
        let of_kind = |message: &_| kind.is_none_or(|kind| D::kind(message) == kind);
        let queue = cluster.network.queue(link.0, link.1).enumerate();
        let mut places: Vec<usize> = queue.filter(|(_, p)| of_kind(&p.message)).map(|(at, _)| at).collect();
        if let Some(at) = at {
            places = places.get(at as usize).copied().into_iter().collect();
        }
        places.truncate(n.map_or(usize::MAX, |n| n as usize));
        all.extend(places.into_iter().map(|at| (link.0, link.1, at)));
    }
    match all.is_empty() {
        true => Err("no such message is under way".into()),
        false => Ok(all),
    }
}

/// Each packet taken off a queue shifts those behind it.
fn shifted(picked: Vec<(NodeId, NodeId, usize)>) -> Vec<(NodeId, NodeId, usize)> {
    let before = |i: usize, link: (NodeId, NodeId)| {
        picked[..i].iter().filter(|(from, to, _)| (*from, *to) == link).count()
    };
    let places = picked.iter().enumerate();
    places.map(|(i, &(from, to, at))| (from, to, at - before(i, (from, to)))).collect()
}

fn traffic<D: Dialect>(cluster: &mut Cluster<D>, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Deliver(pick) => {
            for (from, to, at) in shifted(picked(cluster, pick)?) {
                cluster.deliver(from, to, at);
            }
        }
        Verb::Drop(pick) => {
            for (from, to, at) in shifted(picked(cluster, pick).unwrap_or_default()) {
                cluster.lose(from, to, at);
            }
        }
        Verb::Dup(pick) => {
            for (from, to, at) in picked(cluster, pick)? {
                cluster.network.duplicate(from, to, at);
            }
        }
        Verb::Queue => {
            for (from, to) in cluster.network.busy() {
                let lines: Vec<String> = cluster
                    .network
                    .queue(from, to)
                    .map(|packet| format!("{from} > {to} {}", D::show(&packet.message)))
                    .collect();
                cluster.lines.extend(lines);
            }
        }
        Verb::Stabilize(among, traffic) => {
            let among = nodes(cluster, among)?;
            cluster.traffic = traffic.unwrap_or(false);
            cluster.stabilize(&among);
            cluster.traffic = true;
        }
        _ => {}
    }
    Ok(())
}

fn links<D: Dialect>(cluster: &mut Cluster<D>, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Isolate(id) => {
            let id = node(cluster, *id)?;
            for other in cluster.ids() {
                cluster.network.cut(id, other);
                cluster.network.cut(other, id);
            }
        }
        Verb::Cut { a, b, oneway } => {
            let (a, b) = (node(cluster, *a)?, node(cluster, *b)?);
            cluster.network.cut(a, b);
            if !oneway.unwrap_or(false) {
                cluster.network.cut(b, a);
            }
        }
        Verb::Heal(None) => cluster.network.heal(|_, _| true),
        Verb::Heal(Some(id)) => {
            let id = node(cluster, *id)?;
            cluster.network.heal(|from, to| from == id || to == id);
        }
        Verb::Reset(a, b) => {
            let (a, b) = (node(cluster, *a)?, node(cluster, *b)?);
            cluster.reset_link(a, b);
        }
        _ => {}
    }
    Ok(())
}

fn on(word: &str) -> Result<bool, Failure> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("on or off, not {word}").into()),
    }
}

fn hosts<D: Dialect>(cluster: &mut Cluster<D>, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Sync { node: id, n } => {
            let id = node(cluster, *id)?;
            if !cluster.sync(id, n.unwrap_or(usize::MAX)) {
                return Err(format!("{id} has nothing to make durable").into());
            }
        }
        Verb::Autosync(word, named) => {
            for id in nodes(cluster, named)? {
                cluster.node(id).autosync = on(word)?;
            }
        }
        Verb::Autoimage(word, named) => {
            for id in nodes(cluster, named)? {
                cluster.node(id).autoimage = on(word)?;
            }
        }
        Verb::Image(id, to) => {
            let (id, to) = (node(cluster, *id)?, node(cluster, *to)?);
            if !cluster.make_image(id, to) {
                return Err(format!("{id} was not asked for an image for {to}").into());
            }
        }
        Verb::Crash(named) => {
            nodes(cluster, named)?.into_iter().for_each(|id| cluster.crash(id));
        }
        Verb::Restart(named) => {
            nodes(cluster, named)?.into_iter().for_each(|id| cluster.restart(id));
        }
        Verb::Propose(id, commands) => {
            let id = node(cluster, *id)?;
            cluster.propose(id, commands.iter().cloned().map(Bytes::from).collect());
        }
        Verb::Read(id, read) => {
            let id = node(cluster, *id)?;
            cluster.read(id, ReadId(*read));
        }
        Verb::Compact(id, index) => {
            let id = node(cluster, *id)?;
            cluster.compact(id, Index(*index));
        }
        Verb::Promise(id, round) => {
            let id = node(cluster, *id)?;
            let mut disk = cluster.nodes[&id].disk.clone();
            disk.log.promised = Ballot { round: *round, node: NodeId(0) };
            cluster.preset(id, disk);
        }
        Verb::Preset { node: id, log, round, vote, joined } => {
            let id = node(cluster, *id)?;
            let voters = cluster.settings.nodes;
            let mut disk = preset(voters, log, *round, *vote);
            disk.log.joined = joined.map(|round| named(voters, round)).unwrap_or_default();
            cluster.preset(id, disk);
        }
        _ => {}
    }
    Ok(())
}

/// What an operator, or bad luck, does to the group.
fn operator<D: Dialect>(cluster: &mut Cluster<D>, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Change { node: id, voters, learners } => {
            let id = node(cluster, *id)?;
            let learners = learners.iter().flat_map(|all| all.split(','));
            let learners: Vec<u64> = learners.map(str::parse).collect::<Result<_, _>>()?;
            let target =
                Membership::new(voters.iter().copied().map(NodeId), learners.into_iter().map(NodeId));
            cluster.step(id, Event::Change(target));
        }
        Verb::Transfer(id, to) => {
            let id = node(cluster, *id)?;
            cluster.step(id, Event::Transfer(NodeId(*to)));
        }
        Verb::Damage(id, keep) => {
            let id = node(cluster, *id)?;
            cluster.damage(id, *keep as usize);
        }
        _ => {}
    }
    Ok(())
}

/// A round's made-up leader.
fn named(voters: u64, round: u64) -> Ballot {
    Ballot { round, node: NodeId(1 + round % voters) }
}

/// A disk with a log of entries of these rounds. A round belongs to the same made-up leader everywhere, and
/// an entry's content follows from its place, so that two presets agree with each other.
fn preset(voters: u64, rounds: &[u64], round: Option<u64>, vote: Option<u64>) -> Disk {
    let entry = |(index, &round): (u64, &u64)| {
        let id = LogId { ballot: named(voters, round), index: Index(index) };
        Entry { id, kind: EntryKind::Command, data: format!("t{round}i{index}").into() }
    };
    let entries = (1..).zip(rounds).map(entry).collect();
    let last = rounds.last().copied().unwrap_or(0);
    let promised = Ballot { round: round.unwrap_or(last), node: NodeId(vote.unwrap_or(0)) };
    Disk { log: LogView { promised, entries, ..LogView::default() }, ..Disk::default() }
}

fn looks<D: Dialect>(cluster: &mut Cluster<D>, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Status(named) => {
            for id in if named.is_empty() { cluster.ids() } else { nodes(cluster, named)? } {
                let Some(status) = cluster.status(id) else {
                    cluster.lines.push(format!("{id} is down"));
                    continue;
                };
                let role = format!("{:?}", status.role).to_lowercase();
                let leader = status.leader.map_or("nobody".into(), |leader| leader.to_string());
                let (base, last) = (status.base, status.last);
                cluster.lines.push(format!(
                    "{id} {role} promised={} leader={leader} base={}:{} last={}:{} commit={}",
                    status.promised,
                    base.index,
                    base.ballot.round,
                    last.index,
                    last.ballot.round,
                    status.commit
                ));
                for peer in status.peers {
                    cluster
                        .lines
                        .push(format!("  {} matched={} next={}", peer.node, peer.matched, peer.next));
                }
            }
        }
        Verb::Log(id) => {
            let id = node(cluster, *id)?;
            let status = cluster.status(id).ok_or("the node is down")?;
            let core = cluster.nodes[&id].core.as_ref().ok_or("the node is down")?;
            let entries = core.entries(status.base.index.next(), status.last.index);
            let shown: Vec<String> = entries.iter().map(show_entry).collect();
            cluster.lines.push(format!("{id} after {}: {}", status.base.index, shown.join(" ")));
        }
        Verb::State(id) => {
            let id = node(cluster, *id)?;
            let commands = cluster.nodes[&id].state.entries.iter();
            let shown: Vec<String> =
                commands.filter(|entry| entry.kind == EntryKind::Command).map(show_data).collect();
            cluster.lines.push(format!("{id} has applied {}", shown.join(" ")));
        }
        _ => {}
    }
    Ok(())
}
