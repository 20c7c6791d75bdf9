//! A small world of sites, driven by hand or by chance: every message lies in the network until it is delivered, every
//! record is lost in a crash until it is durable, and time passes only by ticks.
//!
//! A site is a [`Place`]: one log that is always there, and replicas that apply it. A process is a place with one replica; a
//! group is one with several, of which any may be made to drive, also two at once.

use std::collections::{BTreeMap, BTreeSet};

use quorate_commit::{
    Age, Config, Effect, Event, Message, Outcome, Protocol, ReadId, Record, Rules, Site, SiteId, Timestamp,
    TxnId, Work,
};
use quorate_protocol::codec::{Reader, Writer};

use super::ghost::Ghost;
use super::store::Store;

/// A message under way.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: SiteId,
    pub to: SiteId,
    pub message: Message,
}

/// A replica, and how much of the log it has applied.
pub struct Replica<R> {
    pub site: Site<Store, R>,
    pub applied: usize,
}

/// A site: its log and its replicas.
pub struct Place<R> {
    pub log: Vec<Record>,
    /// Proposed, by which replica, and not durable yet.
    pub proposed: Vec<(usize, Record)>,
    pub replicas: Vec<Option<Replica<R>>>,
    pub config: Config,
}

/// Everything.
pub struct World<R> {
    pub places: BTreeMap<SiteId, Place<R>>,
    pub net: Vec<Packet>,
    /// Links that lose everything.
    pub cut: BTreeSet<(SiteId, SiteId)>,
    pub now: u64,
    /// How far each site's clock is off.
    pub skew: BTreeMap<SiteId, i64>,
    pub ghost: Ghost,
    pub outcomes: Vec<(TxnId, Outcome)>,
    pub settled: Vec<TxnId>,
    pub answers: BTreeMap<ReadId, Result<String, String>>,
    pub sent: BTreeMap<&'static str, usize>,
    /// What happened since it was last asked.
    pub lines: Vec<String>,
}

impl<R: Rules> World<R> {
    /// Sites 1 to `sites`, each with so many replicas, of which the first drives.
    pub fn new(sites: u64, replicas: usize, config: impl Fn(SiteId) -> Config) -> Self {
        let mut world = World {
            places: BTreeMap::new(),
            net: Vec::new(),
            cut: BTreeSet::new(),
            now: 100,
            skew: BTreeMap::new(),
            ghost: Ghost::default(),
            outcomes: Vec::new(),
            settled: Vec::new(),
            answers: BTreeMap::new(),
            sent: BTreeMap::new(),
            lines: Vec::new(),
        };
        for id in (1..=sites).map(SiteId) {
            let replicas = (0..replicas).map(|_| None).collect();
            let place = Place { log: Vec::new(), proposed: Vec::new(), replicas, config: config(id) };
            world.places.insert(id, place);
            for at in 0..world.places[&id].replicas.len() {
                world.restart(id, at).expect("an empty site starts");
            }
            world.step(id, 0, Event::Drive(true)).expect("an empty site drives");
        }
        world.lines.clear();
        world
    }

    fn clock(&self, site: SiteId) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.skew.get(&site).copied().unwrap_or(0)))
    }

    /// Step one replica and carry its effects out.
    pub fn step(&mut self, id: SiteId, at: usize, event: Event) -> Result<(), String> {
        let place = self.places.get_mut(&id).expect("the site is there");
        let Some(replica) = place.replicas[at].as_mut() else { return Ok(()) };
        let mut effects = Vec::new();
        replica.site.step(event, &mut effects);
        for effect in effects {
            self.carry_out(id, at, effect)?;
        }
        let place = &self.places[&id];
        let Some(replica) = &place.replicas[at] else { return Ok(()) };
        if !self.ghost.blind {
            replica.site.check().map_err(|violation| format!("site {id}: {}", violation.0))?;
        }
        self.ghost.look(id, &replica.site)
    }

    fn carry_out(&mut self, id: SiteId, at: usize, effect: Effect) -> Result<(), String> {
        self.lines.extend(super::show::effect(id, &effect));
        let place = self.places.get_mut(&id).expect("the site is there");
        match effect {
            Effect::Propose(record) => place.proposed.push((at, record)),
            Effect::Send { to, message } => {
                self.ghost.sends(id, &message, &place.log)?;
                *self.sent.entry(message.body.kind()).or_default() += 1;
                if self.cut.contains(&(id, to)) || !self.places.contains_key(&to) {
                    return Ok(());
                }
                self.net.push(Packet { from: id, to, message });
            }
            Effect::Outcome { txn, outcome } => {
                self.ghost.outcome(txn, &outcome, &self.places[&txn.coordinator].log)?;
                self.outcomes.push((txn, outcome));
            }
            Effect::Settled { txn, .. } => self.settled.push(txn),
            Effect::Resolved { .. } => {}
            Effect::ReadDone { read, answer } => {
                let answer = String::from_utf8_lossy(&answer).into_owned();
                self.answers.insert(read, Ok(answer));
            }
            Effect::ReadRefused { read, why } => {
                self.answers.insert(read, Err(format!("{why:?}")));
            }
        }
        Ok(())
    }

    /// All clocks and sites tick once.
    pub fn tick(&mut self) -> Result<(), String> {
        self.now += 1;
        for id in self.ids() {
            let now = self.clock(id);
            for at in 0..self.places[&id].replicas.len() {
                self.step(id, at, Event::Tick { now })?;
            }
        }
        Ok(())
    }

    pub fn ids(&self) -> Vec<SiteId> {
        self.places.keys().copied().collect()
    }

    /// The driver of a site, if one is up: the last replica that drives.
    pub fn driver(&self, id: SiteId) -> Option<usize> {
        let drives =
            |replica: &Option<Replica<R>>| replica.as_ref().is_some_and(|replica| replica.site.drives());
        self.places[&id].replicas.iter().rposition(drives)
    }

    /// The replica that drives, or any that is up.
    pub fn site(&self, id: SiteId) -> Option<&Site<Store, R>> {
        let place = &self.places[&id];
        let at = self.driver(id).or_else(|| place.replicas.iter().position(Option::is_some))?;
        place.replicas[at].as_ref().map(|replica| &replica.site)
    }

    pub fn begin(
        &mut self,
        txn: TxnId,
        age: Age,
        protocol: Protocol,
        works: Vec<(SiteId, Work)>,
    ) -> Result<(), String> {
        self.ghost.begins(txn, protocol, &works);
        let id = txn.coordinator;
        match self.driver(id) {
            Some(at) => self.step(id, at, Event::Begin { txn, age, protocol, works }),
            None => Ok(()),
        }
    }

    /// Make the first proposed record durable, or lose it.
    pub fn settle_record(&mut self, id: SiteId, which: usize, keep: bool) -> Result<(), String> {
        let place = self.places.get_mut(&id).expect("the site is there");
        let (by, record) = place.proposed.remove(which);
        if keep {
            place.log.push(record);
            return Ok(());
        }
        self.step(id, by, Event::Lost(record))
    }

    /// The same with all that is proposed.
    pub fn settle_all(&mut self, id: SiteId, keep: bool) -> Result<(), String> {
        while !self.places[&id].proposed.is_empty() {
            self.settle_record(id, 0, keep)?;
        }
        Ok(())
    }

    /// A replica applies one more record.
    pub fn apply(&mut self, id: SiteId, at: usize) -> Result<bool, String> {
        let place = self.places.get_mut(&id).expect("the site is there");
        let Some(replica) = place.replicas[at].as_mut() else { return Ok(false) };
        let Some(record) = place.log.get(replica.applied).cloned() else { return Ok(false) };
        replica.applied += 1;
        self.step(id, at, Event::Applied(record))?;
        Ok(true)
    }

    /// Everything proposed at a site becomes durable and is applied.
    pub fn sync(&mut self, id: SiteId) -> Result<bool, String> {
        let mut any = !self.places[&id].proposed.is_empty();
        self.settle_all(id, true)?;
        for at in 0..self.places[&id].replicas.len() {
            while self.apply(id, at)? {
                any = true;
            }
        }
        Ok(any)
    }

    /// Deliver the message at this place of the network.
    pub fn deliver(&mut self, which: usize) -> Result<(), String> {
        let packet = self.net.remove(which);
        self.hand_over(packet)
    }

    pub fn hand_over(&mut self, packet: Packet) -> Result<(), String> {
        if self.cut.contains(&(packet.from, packet.to)) {
            return Ok(());
        }
        match self.driver(packet.to) {
            Some(at) => {
                let event = Event::Receive { from: packet.from, message: packet.message };
                self.step(packet.to, at, event)
            }
            None => Ok(()),
        }
    }

    /// Deliver and sync until nothing is left to do.
    pub fn stabilize(&mut self) -> Result<(), String> {
        for _ in 0..100_000 {
            let mut any = false;
            for id in self.ids() {
                any |= self.sync(id)?;
            }
            if !self.net.is_empty() {
                self.deliver(0)?;
                any = true;
            }
            if !any {
                return Ok(());
            }
        }
        Err("the world does not fall quiet".into())
    }

    /// A replica stops, and with it what it proposed and what is not durable.
    pub fn crash(&mut self, id: SiteId, at: usize) {
        let place = self.places.get_mut(&id).expect("the site is there");
        place.replicas[at] = None;
        place.proposed.retain(|(by, _)| *by != at);
    }

    /// A replica starts, and applies the log. It does not drive.
    pub fn restart(&mut self, id: SiteId, at: usize) -> Result<(), String> {
        let place = self.places.get_mut(&id).expect("the site is there");
        let site = Site::new(place.config, Store::default());
        place.replicas[at] = Some(Replica { site, applied: 0 });
        let lines = self.lines.len();
        while self.apply(id, at)? {}
        self.lines.truncate(lines);
        Ok(())
    }

    /// A replica starts from another's image, and lacks the log before it.
    pub fn install(&mut self, id: SiteId, from: usize, to: usize) -> Result<(), String> {
        let place = self.places.get_mut(&id).expect("the site is there");
        let source = place.replicas[from].as_ref().ok_or("the source is down")?;
        let mut out = Writer::new();
        source.site.encode(&mut out);
        let mut image = Reader::new(out.into_bytes());
        let site = Site::decode(place.config, &mut image).map_err(|malformed| malformed.to_string())?;
        let applied = source.applied;
        place.replicas[to] = Some(Replica { site, applied });
        Ok(())
    }
}
