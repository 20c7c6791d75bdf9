//! Storms: a world in which chance decides everything, then a calm in which all must end well.

use std::collections::{BTreeMap, BTreeSet};

use quorate_commit::{Age, Event, Outcome, Protocol, ReadId, Rules, SiteId, Termination, Timestamp, TxnId};
use quorate_protocol::Random;
use quorate_protocol::codec::Writer;

use super::store::{Store, work};
use super::world::World;

/// What a storm is like.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub sites: u64,
    pub replicas: usize,
    pub protocol: Protocol,
    /// Links are cut.
    pub partitions: bool,
    /// Replicas fail, and drivers change.
    pub failures: bool,
    /// Messages are lost, repeated and reordered.
    pub losses: bool,
    /// Nothing is slow: all that is under way arrives before time passes.
    pub prompt: bool,
    /// The observer looks only at what comes of a bug.
    pub blind: bool,
    pub steps: usize,
}

impl Weather {
    /// Everything, at once.
    pub fn all(replicas: usize, protocol: Protocol) -> Self {
        let (partitions, failures, losses) = (true, true, true);
        let (prompt, blind) = (false, false);
        Weather { sites: 4, replicas, protocol, partitions, failures, losses, prompt, blind, steps: 1_500 }
    }
}

/// What came of a storm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub committed: usize,
    pub aborted: usize,
    pub reads: usize,
}

struct Storm<R> {
    world: World<R>,
    weather: Weather,
    random: Random,
    number: u64,
    epoch: u64,
    reads: Vec<(SiteId, ReadId, Timestamp)>,
}

/// Run one.
pub fn storm<R: Rules>(seed: u64, weather: Weather) -> Result<Tally, String> {
    let mut storm = Storm::<R> {
        world: World::new(weather.sites, weather.replicas, super::config),
        weather,
        random: Random::new(seed),
        number: 0,
        epoch: 1,
        reads: Vec::new(),
    };
    storm.world.ghost.blind = weather.blind;
    for step in 0..weather.steps {
        storm.step().map_err(|what| format!("step {step}: {what}"))?;
        storm.world.lines.clear();
    }
    storm.calm().map_err(|what| format!("in the calm: {what}"))
}

impl<R: Rules> Storm<R> {
    fn step(&mut self) -> Result<(), String> {
        let Weather { losses, failures, partitions, .. } = self.weather;
        match self.random.below(100) {
            0..4 => self.begin(),
            4 => self.begin_again(),
            5 => self.read(),
            6..50 => self.message(losses),
            50..88 => self.record(),
            88..95 => {
                if self.weather.prompt {
                    self.world.stabilize()?;
                }
                self.world.tick()
            }
            95 if partitions => {
                self.cut();
                Ok(())
            }
            96 if failures => self.fail(),
            97 => self.drive(failures),
            98 => self.odd(),
            _ => Ok(()),
        }
    }

    fn any_site(&mut self) -> SiteId {
        SiteId(self.random.between(1, self.weather.sites + 1))
    }

    fn payload(&mut self, number: u64) -> String {
        let key = |random: &mut Random| ["a", "b", "c", "d", "e", "f"][random.below(6) as usize];
        let mut ops = Vec::new();
        for _ in 0..self.random.between(1, 4) {
            let (one, two) = (key(&mut self.random), key(&mut self.random));
            ops.push(match self.random.below(6) {
                0 => format!("get {one}"),
                1 => format!("range {one} {}", if self.random.percent(50) { "-" } else { two }),
                2 => format!("add {one} 1"),
                3 => format!("get {one};put {two} {number}"),
                4 => format!("put {one} {number}"),
                _ => format!("if {one} -;put {one} {number}"),
            });
        }
        if self.random.percent(20) {
            ops.push(format!("else;put g {number}"));
        }
        ops.join(";")
    }

    fn begin(&mut self) -> Result<(), String> {
        self.number += 1;
        let coordinator = self.any_site();
        let txn = TxnId { epoch: self.epoch, coordinator, number: self.number };
        let mut sites = BTreeSet::new();
        for _ in 0..self.random.between(1, 4) {
            sites.insert(self.any_site());
        }
        let works = sites.into_iter().map(|site| (site, work(&self.payload(txn.number)))).collect();
        let age = Age(self.number.saturating_sub(self.random.below(4)));
        let protocol = match self.weather.protocol {
            // The two safe ones go together.
            Protocol::ThreePhase(Termination::Quorum) if self.random.percent(25) => Protocol::TwoPhase,
            protocol => protocol,
        };
        self.world.begin(txn, age, protocol, works)
    }

    /// A client asks again about something.
    fn begin_again(&mut self) -> Result<(), String> {
        let begun: Vec<_> = self.world.ghost.begun.iter().map(|(txn, begun)| (*txn, begun.clone())).collect();
        if begun.is_empty() {
            return Ok(());
        }
        let (txn, begun) = begun[self.random.below(begun.len() as u64) as usize].clone();
        self.world.begin(txn, Age(txn.number), begun.protocol, begun.works.into_iter().collect())
    }

    fn read(&mut self) -> Result<(), String> {
        let id = self.any_site();
        let at = self.random.below(self.weather.replicas as u64) as usize;
        let read = ReadId(self.reads.len() as u64);
        let moment = Timestamp(self.world.now.saturating_sub(self.random.below(10)));
        self.reads.push((id, read, moment));
        let payload = bytes::Bytes::from_static(b"range a -");
        self.world.step(id, at, Event::Read { read, at: moment, payload })
    }

    fn message(&mut self, losses: bool) -> Result<(), String> {
        if self.world.net.is_empty() {
            return Ok(());
        }
        if !losses {
            // Each link in order, as if nothing were ever lost.
            return self.world.deliver(0);
        }
        let which = self.random.below(self.world.net.len() as u64) as usize;
        match self.random.below(20) {
            0 => {
                self.world.net.remove(which);
                Ok(())
            }
            1 | 2 => self.world.hand_over(self.world.net[which].clone()),
            _ => self.world.deliver(which),
        }
    }

    fn record(&mut self) -> Result<(), String> {
        let id = self.any_site();
        let proposed = self.world.places[&id].proposed.len();
        if proposed > 0 {
            let group = self.weather.replicas > 1;
            let keep = !group || !self.weather.failures || self.random.percent(97);
            self.world.settle_record(id, 0, keep)?;
        }
        for at in 0..self.weather.replicas {
            while self.random.percent(80) && self.world.apply(id, at)? {}
        }
        Ok(())
    }

    fn cut(&mut self) {
        if self.random.percent(60) {
            return self.world.cut.clear();
        }
        let alone = self.any_site();
        let both = self.random.percent(70);
        for other in self.world.ids() {
            self.world.cut.insert((alone, other));
            if both {
                self.world.cut.insert((other, alone));
            }
        }
        self.world.cut.remove(&(alone, alone));
    }

    fn fail(&mut self) -> Result<(), String> {
        let id = self.any_site();
        let at = self.random.below(self.weather.replicas as u64) as usize;
        if self.world.places[&id].replicas[at].is_some() && self.random.percent(50) {
            self.world.crash(id, at);
            return Ok(());
        }
        if self.world.places[&id].replicas[at].is_some() {
            return Ok(());
        }
        self.world.restart(id, at)?;
        if self.weather.replicas == 1 {
            self.world.step(id, at, Event::Drive(true))?;
        }
        Ok(())
    }

    /// Another replica drives, and the one before may not have noticed.
    fn drive(&mut self, failures: bool) -> Result<(), String> {
        let id = self.any_site();
        let at = self.random.below(self.weather.replicas as u64) as usize;
        if self.weather.replicas == 1 || !failures {
            return Ok(());
        }
        for other in 0..self.weather.replicas {
            if other != at && self.random.percent(80) {
                self.world.step(id, other, Event::Drive(false))?;
            }
        }
        self.world.step(id, at, Event::Drive(true))
    }

    /// What is rare: clocks jump, epochs end, a replica is installed from an image.
    fn odd(&mut self) -> Result<(), String> {
        let id = self.any_site();
        match self.random.below(4) {
            0 => {
                let skew = self.random.below(60) as i64 - 30;
                self.world.skew.insert(id, skew);
            }
            1 => self.epoch += 1,
            2 if self.weather.replicas > 1 => {
                let up = |at: &usize| self.world.places[&id].replicas[*at].is_some();
                if let Some(from) = (0..self.weather.replicas).find(up) {
                    let to = (from + 1) % self.weather.replicas;
                    self.world.crash(id, to);
                    self.world.install(id, from, to)?;
                }
            }
            _ => {
                let floor = self.epoch.saturating_sub(2);
                if let Some(at) = self.world.driver(id) {
                    self.world.step(id, at, Event::Floor(floor))?;
                }
            }
        }
        Ok(())
    }

    /// All failures end; then all must be decided, and right.
    fn calm(mut self) -> Result<Tally, String> {
        self.world.cut.clear();
        for id in self.world.ids() {
            for at in 0..self.weather.replicas {
                if self.world.places[&id].replicas[at].is_none() {
                    self.world.restart(id, at)?;
                }
            }
            self.world.sync(id)?;
            for at in 1..self.weather.replicas {
                self.world.step(id, at, Event::Drive(false))?;
            }
            self.world.step(id, 0, Event::Drive(true))?;
        }
        let settled = |world: &World<R>| {
            world.ids().into_iter().all(|id| {
                let site = world.site(id).expect("all are up");
                site.in_doubt().next().is_none() && site.unfinished() == 0 && site.waiting() == 0
            })
        };
        for _ in 0..400 {
            self.world.stabilize()?;
            if settled(&self.world) {
                break;
            }
            self.world.tick()?;
        }
        if !settled(&self.world) {
            let doubts = self.world.ids().into_iter().map(|id| {
                let site = self.world.site(id).expect("all are up");
                let doubts: Vec<_> = site.in_doubt().collect();
                format!(
                    "site {id}: {} waiting, {} unfinished, in doubt {doubts:?}",
                    site.waiting(),
                    site.unfinished()
                )
            });
            let doubts: Vec<String> = doubts.collect();
            return Err(format!("AC5: something is still not decided\n{}", doubts.join("\n")));
        }
        self.judge()
    }

    fn judge(&mut self) -> Result<Tally, String> {
        let mut left: BTreeMap<SiteId, Store> = BTreeMap::new();
        for (id, place) in &self.world.places {
            let images = place.replicas.iter().flatten().map(|replica| {
                let mut out = Writer::new();
                replica.site.encode(&mut out);
                out.into_bytes()
            });
            if images.collect::<BTreeSet<_>>().len() != 1 {
                return Err(format!("replicas differ: at site {id}"));
            }
            left.insert(*id, self.world.site(*id).expect("all are up").resource().clone());
        }
        self.world.ghost.serializable(&left)?;
        let mut tally = Tally::default();
        for (id, read, at) in &self.reads {
            let Some(Ok(answer)) = self.world.answers.get(read) else { continue };
            let store = &left[id];
            let present = store.keys.keys().filter(|key| store.at(key, *at) != "-");
            let now: Vec<String> = present.map(|key| format!("{key}={}", store.at(key, *at))).collect();
            if *answer != now.join(",") {
                return Err(format!(
                    "a closed moment: read at {at} of site {id} was {answer}, now it is {now:?}"
                ));
            }
            tally.reads += 1;
        }
        for (decision, _) in self.world.ghost.decisions.values() {
            match decision {
                quorate_commit::Decision::Abort => tally.aborted += 1,
                _ => tally.committed += 1,
            }
        }
        for (txn, outcome) in &self.world.outcomes {
            let decision = self.world.ghost.decisions.get(txn).map(|(decision, _)| *decision);
            let right = match (outcome, decision) {
                (Outcome::Committed { ts, first, .. }, decision) => {
                    decision == Some(quorate_commit::Decision::Commit { ts: *ts, first: *first })
                }
                (Outcome::Aborted(_), Some(decision)) => decision == quorate_commit::Decision::Abort,
                _ => true,
            };
            if !right {
                return Err(format!("a client is told wrong: of {txn} {outcome:?}, and it is {decision:?}"));
            }
        }
        Ok(tally)
    }
}
