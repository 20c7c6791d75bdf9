//! A seeded storm over a cluster, and the calm after it.
//!
//! The storm delivers, loses, repeats and reorders messages, cuts links, breaks connections, crashes and
//! restarts replicas with their unsynced writes lost, compacts logs, makes images late, changes who is in the
//! group, hands the leadership over, damages logs (one at a time, until it is repaired), and meanwhile
//! proposes and reads. Every property of this crate is checked after every step. Then everything is
//! mended, and service is demanded: a leader, every new proposal applied everywhere, every read served.

use std::collections::BTreeSet;

use quorate_protocol::{Consensus, EntryKind, Event, Index, Membership, NodeId, Random, ReadId};

use crate::cluster::{Cluster, Planted, Settings};
use crate::node::ReadState;
use crate::{Detail, Dialect};

/// Ticks after the storm within which there must be service.
const CALM_TICKS: usize = 400;

/// Lines of the transcript a failure shows.
const SHOWN_LINES: usize = 60;

/// What a storm has seen, so that a test can tell that it was one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Leaderships.
    pub leaders: usize,
    /// Entries committed.
    pub committed: u64,
    /// Images sent.
    pub snapshots: usize,
    /// Reads served.
    pub served: usize,
    /// Memberships committed.
    pub changes: usize,
    /// Leaderships that were to be handed over.
    pub transfers: usize,
    /// Logs damaged.
    pub damaged: usize,
}

impl Seen {
    /// Add what another storm has seen.
    pub fn add(&mut self, other: Seen) {
        self.leaders += other.leaders;
        self.committed += other.committed;
        self.snapshots += other.snapshots;
        self.served += other.served;
        self.changes += other.changes;
        self.transfers += other.transfers;
        self.damaged += other.damaged;
    }
}

/// What kind of storm a seed makes; the rest are chances in a hundred.
#[derive(Debug)]
struct Mood {
    /// Messages moved at a time, at most.
    haste: u64,
    loss: u64,
    disorder: u64,
    crashes: u64,
    cuts: u64,
    unsynced: u64,
    /// A leader crashes just as it has been elected or has committed something, as in figure 8 of the paper.
    flaps: u64,
    /// The membership changes.
    changes: u64,
    /// The leadership is handed over.
    transfers: u64,
    /// A log is damaged.
    damage: u64,
    /// A node's clock misses a tick, for one node that is slow.
    slow: (NodeId, u64),
}

struct Storm<D: Dialect> {
    cluster: Cluster<D>,
    random: Random,
    mood: Mood,
    /// Commands and reads so far; each is a new one.
    asked: u64,
    /// The node whose log was damaged last.
    damaged: Option<NodeId>,
    damages: usize,
    transfers: usize,
}

/// A storm of `steps`, then the calm. The error names the seed and what was broken.
pub fn storm<D: Dialect>(seed: u64, steps: usize, detail: Detail) -> Result<Seen, String> {
    storm_with::<D>(seed, steps, detail, None)
}

/// The same, with a bug planted in the hosts.
pub fn storm_with<D: Dialect>(
    seed: u64,
    steps: usize,
    detail: Detail,
    planted: Option<Planted>,
) -> Result<Seen, String> {
    let mut random = Random::new(seed);
    let mut settings = Settings::new([3, 3, 5][random.below(3) as usize], seed, detail);
    settings.planted = planted;
    settings.max_message_bytes = [1, 80, 1 << 20][random.below(3) as usize];
    settings.max_inflight = random.between(1, 5) as usize;
    settings.election_ticks = [10, 20, 40][random.below(3) as usize];
    let mut mood = Mood {
        haste: random.between(1, 5),
        loss: [0, 5, 20][random.below(3) as usize],
        disorder: [0, 10, 40][random.below(3) as usize],
        crashes: [0, 40, 100][random.below(3) as usize],
        cuts: [0, 40, 100][random.below(3) as usize],
        unsynced: [0, 50, 100][random.below(3) as usize],
        flaps: 0,
        changes: [0, 0, 30, 100][random.below(4) as usize],
        transfers: [0, 30, 100][random.below(3) as usize],
        damage: [0, 0, 50][random.below(3) as usize],
        slow: (NodeId(random.between(1, 4)), [0, 50, 90][random.below(3) as usize]),
    };
    settings.spares = if mood.changes > 0 { 2 } else { 0 };
    if random.percent(40) {
        settings.priority = (1..=3).map(|id| (NodeId(id), random.below(3) as u8)).collect();
    }
    if random.percent(25) {
        // Much happens to leaders, and little else: terms pass quickly, messages are small.
        (settings.election_ticks, settings.max_message_bytes) = (10, 1);
        mood = Mood { loss: 0, disorder: 0, crashes: 0, cuts: 0, unsynced: 0, flaps: 40, ..mood };
    }
    let cluster = Cluster::new(settings);
    let mut storm = Storm::<D> { cluster, random, mood, asked: 0, damaged: None, damages: 0, transfers: 0 };
    let done = storm.rage(steps).and_then(|()| storm.calm());
    done.map_err(|what| {
        let mut lines = storm.cluster.take_lines();
        lines.retain(|line| !line.contains(" Heartbeat"));
        let name = D::Core::NAME;
        let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        let upper = name.to_uppercase();
        let again = format!("{upper}_SEED={seed} cargo test -p quorate-{name} --test random -- --nocapture");
        format!("{again}\nseed {seed}: {what}\n{shown}")
    })
}

impl<D: Dialect> Storm<D> {
    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        match from.len() {
            0 => None,
            n => Some(from[self.random.below(n as u64) as usize]),
        }
    }

    fn sound(&self) -> Result<(), String> {
        self.cluster.violation.clone().map_or(Ok(()), Err)
    }

    fn rage(&mut self, steps: usize) -> Result<(), String> {
        for id in self.cluster.ids() {
            let (sync, image) = (!self.random.percent(self.mood.unsynced), self.random.percent(50));
            let node = self.cluster.nodes.get_mut(&id).expect("the cluster has this node");
            (node.autosync, node.autoimage) = (sync, image);
        }
        for _ in 0..steps {
            let before = (self.cluster.leaders(), self.cluster.ghost.commit());
            match self.random.below(104) {
                0..58 => (0..self.random.between(1, self.mood.haste + 1)).for_each(|_| self.traffic()),
                58..72 => (0..if self.mood.flaps > 0 { 3 } else { 1 }).for_each(|_| self.time()),
                72..80 => self.clients(),
                80..96 => self.disks(),
                96..98 if self.random.percent(self.mood.cuts) => self.links(),
                98..100 if self.random.percent(self.mood.crashes) => self.crashes(),
                100..102 if self.random.percent(self.mood.changes) => self.change(),
                102 if self.random.percent(self.mood.transfers) => self.transfer(),
                103 if self.random.percent(self.mood.damage) => self.damage(),
                _ => {}
            }
            let after = (self.cluster.leaders(), self.cluster.ghost.commit());
            if before != after && self.random.percent(self.mood.flaps) {
                self.flap();
            }
            self.sound()?;
        }
        Ok(())
    }

    /// Everybody is back, but a leader: it crashes, or it is cut off and its clock is slow to tell it so.
    fn flap(&mut self) {
        let Some(leader) = self.pick(&self.cluster.leaders()) else { return };
        self.cluster.network.heal(|_, _| true);
        for id in self.cluster.ids() {
            if self.cluster.nodes[&id].core.is_none() {
                self.cluster.restart(id);
            }
        }
        match self.random.percent(60) {
            true => self.cluster.crash(leader),
            false => {
                self.mood.slow = (leader, 90);
                self.cut_off(leader);
            }
        }
    }

    fn cut_off(&mut self, id: NodeId) {
        for other in self.cluster.ids() {
            self.cluster.network.cut(id, other);
            self.cluster.network.cut(other, id);
        }
    }

    fn traffic(&mut self) {
        let Some((from, to)) = self.pick(&self.cluster.network.busy()) else { return };
        let queued = self.cluster.network.queue(from, to).count();
        let at = match self.random.percent(self.mood.disorder) {
            true => self.random.below(queued as u64) as usize,
            false => 0,
        };
        match self.random.below(100) {
            dice if dice < self.mood.loss => _ = self.cluster.lose(from, to, at),
            90.. if queued < 20 && self.random.percent(self.mood.disorder) => {
                _ = self.cluster.network.duplicate(from, to, at)
            }
            _ => _ = self.cluster.deliver(from, to, at),
        }
        if queued > 30 {
            (0..15).for_each(|_| _ = self.cluster.lose(from, to, 0));
        }
    }

    fn time(&mut self) {
        let mut live = self.cluster.live();
        let (slow, misses) = self.mood.slow;
        if self.random.percent(misses) {
            live.retain(|id| *id != slow);
        }
        match self.random.percent(30) {
            true => live.into_iter().for_each(|id| self.cluster.tick(id)),
            false => {
                let Some(id) = self.pick(&live) else { return };
                // Clocks are uneven: now and then one runs ahead.
                let n = if self.random.percent(10) { 8 } else { 1 };
                (0..n).for_each(|_| self.cluster.tick(id));
            }
        }
    }

    fn clients(&mut self) {
        let leaders = self.cluster.leaders();
        let among =
            if self.random.percent(60) && !leaders.is_empty() { leaders } else { self.cluster.live() };
        let Some(id) = self.pick(&among) else { return };
        match self.random.percent(60) {
            true => {
                let commands = (0..self.random.between(1, 4)).map(|_| self.command()).collect();
                self.cluster.propose(id, commands);
            }
            false => {
                self.asked += 1;
                self.cluster.read(id, ReadId(self.asked));
            }
        }
    }

    fn command(&mut self) -> bytes::Bytes {
        self.asked += 1;
        format!("c{}", self.asked).into()
    }

    fn disks(&mut self) {
        let Some(id) = self.pick(&self.cluster.live()) else { return };
        match self.random.below(10) {
            0..7 => {
                let n = if self.random.percent(50) { 1 } else { usize::MAX };
                self.cluster.sync(id, n);
            }
            7 => {
                let applied = self.cluster.nodes[&id].state.id.index.0;
                let index = Index(self.random.below(applied + 1));
                self.cluster.compact(id, index);
            }
            _ => {
                let wanted: Vec<NodeId> = self.cluster.nodes[&id].wanted.iter().copied().collect();
                if let Some(to) = self.pick(&wanted) {
                    self.cluster.make_image(id, to);
                }
            }
        }
    }

    fn links(&mut self) {
        let ids = self.cluster.ids();
        let (Some(a), Some(b)) = (self.pick(&ids), self.pick(&ids)) else { return };
        match self.random.below(10) {
            0..4 => self.cluster.network.cut(a, b),
            4 => self.cut_off(a),
            5 if a != b => self.cluster.reset_link(a, b),
            6..8 => self.cluster.network.heal(|from, to| from == a || to == a),
            _ => self.cluster.network.heal(|_, _| true),
        }
    }

    fn crashes(&mut self) {
        let live = self.cluster.live();
        let dead: Vec<NodeId> = self.cluster.ids().into_iter().filter(|id| !live.contains(id)).collect();
        match self.pick(&dead) {
            Some(id) if self.random.percent(70) => self.cluster.restart(id),
            _ => {
                if let Some(id) = self.pick(&live) {
                    self.cluster.crash(id);
                }
            }
        }
    }

    /// Somebody who believes to lead is asked for another membership.
    fn change(&mut self) {
        let Some(leader) = self.pick(&self.cluster.leaders()) else { return };
        let (mut voters, mut learners) = (Vec::new(), Vec::new());
        for id in self.cluster.ids() {
            match self.random.below(4) {
                0 => {}
                1 => learners.push(id),
                _ => voters.push(id),
            }
        }
        // Two voters cannot do without either, and so not with one whose log is damaged.
        if self.mood.damage == 0 || voters.len() > 2 {
            self.cluster.step(leader, Event::Change(Membership::new(voters, learners)));
        }
    }

    fn transfer(&mut self) {
        let (leaders, ids) = (self.cluster.leaders(), self.cluster.ids());
        let (Some(leader), Some(to)) = (self.pick(&leaders), self.pick(&ids)) else { return };
        self.cluster.step(leader, Event::Transfer(to));
        // A leader that hands over tells its host that it knows of none.
        let leads = self.cluster.leaders().contains(&leader);
        self.transfers += usize::from(leads && self.cluster.nodes[&leader].follows.is_none());
    }

    /// A log cannot be read from some entry on. One is repaired before the next is damaged: with more than a minority
    /// damaged at once, what was committed may be lost to all.
    fn damage(&mut self) {
        let status = |id| self.cluster.status(id);
        let repaired = |id| status(id).is_some_and(|status| status.held == status.last);
        let may = self.damaged.is_none_or(repaired);
        let ids = self.cluster.ids();
        let Some(id) = self.pick(&ids).filter(|_| may) else { return };
        // What its own disk never held is not missed: a crash first.
        self.cluster.crash(id);
        let disk = &self.cluster.nodes[&id].disk;
        let applied = disk.checkpoint.id.index.0.saturating_sub(disk.log.base.index.0);
        let entries = disk.log.entries.len() as u64;
        let keep = applied.min(entries) + self.random.below(entries.saturating_sub(applied) + 1);
        self.cluster.damage(id, keep as usize);
        (self.damaged, self.damages) = (Some(id), self.damages + 1);
    }

    /// Everything is mended: demand service.
    fn calm(&mut self) -> Result<Seen, String> {
        self.cluster.network.heal(|_, _| true);
        for id in self.cluster.ids() {
            if self.cluster.nodes[&id].core.is_none() {
                self.cluster.restart(id);
            }
            let wanted = self.cluster.nodes[&id].wanted.clone();
            wanted.into_iter().for_each(|to| _ = self.cluster.make_image(id, to));
            let node = self.cluster.nodes.get_mut(&id).expect("the cluster has this node");
            (node.autosync, node.autoimage) = (true, true);
        }
        self.pass(CALM_TICKS)?;
        let leaders = self.cluster.leaders();
        if leaders.len() != 1 {
            let looks: Vec<_> = self.cluster.ids().into_iter().map(|id| self.cluster.status(id)).collect();
            return Err(format!("{} leaders after the storm: {looks:?}", leaders.len()));
        }
        self.everybody_in(leaders[0])?;
        // Among those who are voters again may be one that should rather lead.
        self.pass(CALM_TICKS / 4)?;
        // Everybody has caught up, though nothing new was proposed to carry the news.
        self.level()?;
        let before = self.asked;
        for id in self.cluster.ids() {
            let command = self.command();
            self.cluster.propose(id, vec![command]);
            self.asked += 1;
            self.cluster.read(id, ReadId(self.asked));
        }
        self.pass(20)?;
        self.level()?;
        self.served(before)
    }

    /// In the end all are voters again, those who were never or no longer in the group too.
    fn everybody_in(&mut self, leader: NodeId) -> Result<(), String> {
        let all = Membership::new(self.cluster.ids(), []);
        for _ in 0..10 {
            let leader = self.pick(&self.cluster.leaders()).unwrap_or(leader);
            self.cluster.step(leader, Event::Change(all.clone()));
            self.pass(40)?;
            if self.cluster.status(leader).is_some_and(|status| status.membership == all) {
                return Ok(());
            }
        }
        Err("the membership does not become that of everybody".into())
    }

    fn level(&self) -> Result<(), String> {
        let commit = self.cluster.ghost.commit();
        match self.cluster.nodes.iter().find(|(_, node)| node.state.id.index != commit) {
            Some((id, node)) => {
                Err(format!("{id} is at {} of {commit} after the storm", node.state.id.index))
            }
            None => Ok(()),
        }
    }

    fn pass(&mut self, ticks: usize) -> Result<(), String> {
        let ids = self.cluster.ids();
        for _ in 0..ticks {
            ids.iter().for_each(|id| self.cluster.tick(*id));
            self.cluster.stabilize(&ids);
            self.sound()?;
        }
        Ok(())
    }

    /// Commands and reads numbered after `before` were all served, and no command ever twice.
    fn served(&mut self, before: u64) -> Result<Seen, String> {
        let mut once = BTreeSet::new();
        for committed in &self.cluster.ghost.committed {
            let entry = &committed.entry;
            if entry.kind == EntryKind::Command && !once.insert(&entry.data) {
                return Err(format!("{:?} is committed twice", entry.data));
            }
        }
        let mut seen = Seen {
            leaders: self.cluster.ghost.leaders.len(),
            committed: self.cluster.ghost.commit().0,
            damaged: self.damages,
            transfers: self.transfers,
            snapshots: self.cluster.images,
            ..Seen::default()
        };
        for (at, (id, node)) in self.cluster.nodes.iter().enumerate() {
            let command = format!("c{}", before + 2 * at as u64 + 1);
            if !once.contains(&bytes::Bytes::from(command.clone())) {
                return Err(format!("{command}, proposed at {id} after the storm, is not committed"));
            }
            let read = node.reads.get(&ReadId(before + 2 * at as u64 + 2));
            if !matches!(read, Some(ReadState::Served(_))) {
                return Err(format!("a read asked of {id} after the storm is {read:?}"));
            }
            seen.served += node.reads.values().filter(|read| matches!(read, ReadState::Served(_))).count();
        }
        let entries = self.cluster.ghost.committed.iter().map(|committed| &committed.entry);
        seen.changes = entries.filter(|entry| entry.kind == EntryKind::Config).count();
        Ok(seen)
    }
}
