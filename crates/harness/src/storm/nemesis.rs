//! Who makes the trouble.
//!
//! The classes come in rounds: all of them once, in an order drawn anew each round. A fault lasts a moment,
//! then everything is healed for another moment; one in four is joined by a slow or late link meanwhile. What
//! it hits is looked up when it strikes, so that "the leader" is whoever leads then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_api::proto::etcdserverpb as pb;
use quorate_checker::Violation;
use quorate_protocol::Random;
use tokio::runtime::Runtime;

use super::history::History;
use crate::proxy::{Proxies, Rule};
use crate::tmpfs::Tmpfs;
use crate::{Cluster, raw};

/// The member whose disk is small, if there is a small disk.
pub const SMALL_DISK: usize = 2;

/// How long a member may take to say who leads.
const LOOK: Duration = Duration::from_millis(300);

/// How long a fault lasts, and the calm after it, in milliseconds, in a long run. A run shorter than
/// [`LONG`] is hastier, to see every class.
const LASTS_MS: (u64, u64) = (800, 4_500);
const CALM_MS: (u64, u64) = (500, 3_500);
/// A full disk lasts until a member must have wanted to write its state down.
const FULL_MS: u64 = 7_000;
const LONG: Duration = Duration::from_secs(120);

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    KillLeader,
    KillFollower,
    KillTwo,
    KillAll,
    CrashLoop,
    PauseLeader,
    PauseFollower,
    PauseTwo,
    IsolateLeader,
    IsolateFollower,
    LeaderMute,
    LeaderDeaf,
    OneWay,
    Delay,
    Slow,
    Flap,
    DiskFull,
}

impl Class {
    const ALL: [Class; 17] = [
        Class::KillLeader,
        Class::KillFollower,
        Class::KillTwo,
        Class::KillAll,
        Class::CrashLoop,
        Class::PauseLeader,
        Class::PauseFollower,
        Class::PauseTwo,
        Class::IsolateLeader,
        Class::IsolateFollower,
        Class::LeaderMute,
        Class::LeaderDeaf,
        Class::OneWay,
        Class::Delay,
        Class::Slow,
        Class::Flap,
        Class::DiskFull,
    ];

    fn name(self) -> &'static str {
        match self {
            Class::KillLeader => "kill the leader",
            Class::KillFollower => "kill a follower",
            Class::KillTwo => "kill two",
            Class::KillAll => "kill all",
            Class::CrashLoop => "crash loop",
            Class::PauseLeader => "stop the leader",
            Class::PauseFollower => "stop a follower",
            Class::PauseTwo => "stop two",
            Class::IsolateLeader => "cut off the leader",
            Class::IsolateFollower => "cut off a follower",
            Class::LeaderMute => "leader unheard",
            Class::LeaderDeaf => "leader hears nobody",
            Class::OneWay => "one link cut",
            Class::Delay => "late links",
            Class::Slow => "slow links",
            Class::Flap => "flapping links",
            Class::DiskFull => "disk full",
        }
    }
}

/// Makes the trouble and remembers what it did.
pub struct Nemesis {
    random: Random,
    history: Arc<History>,
    counts: BTreeMap<&'static str, u64>,
    /// How often a member ended because its disk was full.
    pub ended_of_full_disk: u64,
    /// Classes left of this round.
    left: Vec<Class>,
    runtime: Runtime,
    /// Member ids by place.
    ids: Vec<u64>,
    paused: Vec<usize>,
    /// Whether the small disk is full, or was when its member may have ended of it.
    full: bool,
}

/// What it acts upon.
struct Stage<'a> {
    cluster: &'a mut Cluster,
    proxies: &'a Proxies,
    disk: Option<&'a mut Tmpfs>,
}

impl Nemesis {
    /// One that draws from this source.
    pub fn new(random: Random, history: Arc<History>) -> Nemesis {
        let runtime = Runtime::new().expect("a runtime");
        let (counts, left) = (BTreeMap::new(), Vec::new());
        Nemesis {
            random,
            history,
            counts,
            ended_of_full_disk: 0,
            left,
            runtime,
            ids: Vec::new(),
            paused: Vec::new(),
            full: false,
        }
    }

    /// What was done, by class.
    pub fn tally(&self) -> BTreeMap<&'static str, u64> {
        self.counts.clone()
    }

    /// Makes trouble for this long, then heals everything.
    ///
    /// # Errors
    /// A member ended by itself.
    pub fn rage(
        &mut self,
        cluster: &mut Cluster,
        proxies: &Proxies,
        disk: Option<&mut Tmpfs>,
        duration: Duration,
    ) -> Result<(), Violation> {
        let mut stage = Stage { cluster, proxies, disk };
        let begun = Instant::now();
        let hurry = if duration < LONG { 3 } else { 1 };
        self.learn_ids(stage.cluster);
        self.calm(700);
        let mut result = Ok(());
        while begun.elapsed() < duration && result.is_ok() {
            let class = self.next(stage.disk.is_some());
            let lasts = match class {
                Class::DiskFull => FULL_MS,
                _ => self.random.between(LASTS_MS.0, LASTS_MS.1) / hurry,
            };
            self.strike(class, lasts, &mut stage);
            if self.random.percent(25) {
                let class = if self.random.percent(50) { Class::Delay } else { Class::Slow };
                self.strike(class, lasts, &mut stage);
            }
            self.calm(lasts);
            result = self.heal(&mut stage);
            let calm = self.random.between(CALM_MS.0, CALM_MS.1) / hurry;
            self.calm(calm);
        }
        result.and_then(|()| self.heal(&mut stage))
    }

    fn calm(&self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    /// The next class of the round.
    fn next(&mut self, disk: bool) -> Class {
        if self.left.is_empty() {
            self.left = Class::ALL.to_vec();
            self.left.retain(|class| disk || *class != Class::DiskFull);
        }
        let at = self.random.below(self.left.len() as u64) as usize;
        self.left.swap_remove(at)
    }

    fn strike(&mut self, class: Class, lasts: u64, stage: &mut Stage<'_>) {
        *self.counts.entry(class.name()).or_default() += 1;
        let members = stage.cluster.len();
        let leader = self.leader(stage.cluster);
        let follower = (leader + 1 + self.random.below(members as u64 - 1) as usize) % members;
        let other = (0..members).find(|&at| at != leader && at != follower).unwrap_or(follower);
        self.history.mark(format!("{} (m{leader} leads, m{follower} is drawn)", class.name()));
        match class {
            Class::KillLeader => self.kill(leader, stage),
            Class::KillFollower => self.kill(follower, stage),
            Class::KillTwo => [leader, follower].into_iter().for_each(|at| self.kill(at, stage)),
            Class::KillAll => (0..members).for_each(|at| self.kill(at, stage)),
            Class::CrashLoop => self.crash_loop(follower, lasts, stage),
            Class::PauseLeader => self.pause(leader, stage),
            Class::PauseFollower => self.pause(follower, stage),
            Class::PauseTwo => [leader, other].into_iter().for_each(|at| self.pause(at, stage)),
            Class::IsolateLeader => self.isolate(leader, true, true, stage),
            Class::IsolateFollower => self.isolate(follower, true, true, stage),
            Class::LeaderMute => self.isolate(leader, true, false, stage),
            Class::LeaderDeaf => self.isolate(leader, false, true, stage),
            Class::OneWay => self.cut(follower, other, stage),
            Class::Delay => self.late(stage),
            Class::Slow => self.slow(stage),
            Class::Flap => self.flap(leader, follower, lasts, stage),
            Class::DiskFull => {
                if let Some(disk) = &stage.disk {
                    disk.fill();
                    self.full = true;
                }
            }
        }
    }

    fn kill(&self, at: usize, stage: &mut Stage<'_>) {
        if stage.cluster.runs(at) {
            stage.cluster.kill(at);
        }
    }

    fn crash_loop(&mut self, at: usize, lasts: u64, stage: &mut Stage<'_>) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(lasts) {
            self.kill(at, stage);
            self.calm(20);
            stage.cluster.launch(at);
            let life = self.random.between(5, 400);
            self.calm(life);
        }
    }

    fn pause(&mut self, at: usize, stage: &mut Stage<'_>) {
        if stage.cluster.runs(at) && !self.paused.contains(&at) {
            stage.cluster.hang(at, true);
            self.paused.push(at);
        }
    }

    /// Cuts the links from a member, to it, or both. Half of the times the connections are ended as well, so
    /// that what is under way is lost and not only late.
    fn isolate(&mut self, at: usize, from: bool, to: bool, stage: &mut Stage<'_>) {
        let lose = self.random.percent(50);
        for other in (0..stage.cluster.len()).filter(|&other| other != at) {
            if from {
                self.rule(at, other, stage, |rule| cut(rule, lose));
            }
            if to {
                self.rule(other, at, stage, |rule| cut(rule, lose));
            }
        }
    }

    fn cut(&mut self, from: usize, to: usize, stage: &mut Stage<'_>) {
        let lose = self.random.percent(50);
        self.rule(from, to, stage, |rule| cut(rule, lose));
    }

    fn rule(&self, from: usize, to: usize, stage: &Stage<'_>, change: impl FnOnce(&mut Rule)) {
        stage.proxies.set((self.ids[from], to), change);
    }

    /// Some links, each with a delay of its own.
    fn late(&mut self, stage: &mut Stage<'_>) {
        self.some_links(stage, |random, rule| rule.delay = Duration::from_millis(random.between(5, 250)));
    }

    fn slow(&mut self, stage: &mut Stage<'_>) {
        self.some_links(stage, |random, rule| rule.bytes_per_second = random.between(4_000, 400_000));
    }

    fn some_links(&mut self, stage: &mut Stage<'_>, spoil: impl Fn(&mut Random, &mut Rule)) {
        let members = stage.cluster.len();
        let share = self.random.between(30, 101);
        for (from, to) in (0..members).flat_map(|from| (0..members).map(move |to| (from, to))) {
            if from != to && self.random.percent(share) {
                let mut random = self.random.fork();
                self.rule(from, to, stage, |rule| spoil(&mut random, rule));
            }
        }
    }

    /// The links between two members come and go.
    fn flap(&mut self, one: usize, other: usize, lasts: u64, stage: &mut Stage<'_>) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(lasts) {
            let lose = self.random.percent(50);
            self.rule(one, other, stage, |rule| cut(rule, lose));
            self.rule(other, one, stage, |rule| cut(rule, lose));
            let away = self.random.between(20, 500);
            self.calm(away);
            self.rule(one, other, stage, |rule| rule.cut = false);
            self.rule(other, one, stage, |rule| rule.cut = false);
            let back = self.random.between(20, 500);
            self.calm(back);
        }
    }

    /// Makes everything whole, and starts whoever does not run.
    fn heal(&mut self, stage: &mut Stage<'_>) -> Result<(), Violation> {
        stage.proxies.heal();
        for at in self.paused.drain(..) {
            stage.cluster.hang(at, false);
        }
        let filled = std::mem::take(&mut self.full);
        if let Some(disk) = &stage.disk {
            disk.free();
        }
        for at in 0..stage.cluster.len() {
            let ended = stage.cluster.runs(at).then(|| stage.cluster.member_mut(at).ended()).flatten();
            if let Some(status) = ended {
                if !(filled && at == SMALL_DISK) {
                    let said = stage.cluster.member(at).said();
                    let last: Vec<&str> = said.lines().rev().take(5).collect();
                    let detail = format!("m{at} ended by itself with {status}, saying last {last:#?}");
                    return Err(Violation::new("MemberEnded", detail));
                }
                self.history.mark(format!("m{at} has ended, its disk being full"));
                self.ended_of_full_disk += 1;
                stage.cluster.bury(at);
            }
            if !stage.cluster.runs(at) {
                stage.cluster.launch(at);
            }
        }
        self.history.mark("healed");
        Ok(())
    }

    /// Who leads, by its own account, in the latest term; the first member if nobody says so.
    fn leader(&self, cluster: &Cluster) -> usize {
        let claims = (0..cluster.len()).filter(|at| !self.paused.contains(at)).filter_map(|at| {
            let status = self.status(cluster, at)?;
            (status.leader != 0 && status.leader == self.ids[at]).then_some((status.raft_term, at))
        });
        claims.max().map_or(0, |(_, at)| at)
    }

    fn status(&self, cluster: &Cluster, at: usize) -> Option<pb::StatusResponse> {
        let asking = async { tokio::time::timeout(LOOK, raw::status(&cluster.endpoint(at))).await };
        self.runtime.block_on(asking).ok().flatten()
    }

    fn learn_ids(&mut self, cluster: &Cluster) {
        self.ids = (0..cluster.len())
            .map(|at| {
                let status = self.runtime.block_on(raw::status(&cluster.endpoint(at)));
                status.and_then(|status| status.header).map_or(0, |header| header.member_id)
            })
            .collect();
        assert!(self.ids.iter().all(|id| *id != 0), "every member was ready: {:?}", self.ids);
    }
}

fn cut(rule: &mut Rule, lose: bool) {
    rule.cut = true;
    rule.epoch += u64::from(lose);
}
