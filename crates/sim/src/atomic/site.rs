//! A site on the host of its replica: records through the log, messages over the links, clients' questions.
//!
//! Whoever leads the group and has applied an entry of its own term drives. A message to a site goes to all its members;
//! those that do not drive do not heed it. A message to itself never leaves the host.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quorate_checker::atomic_commit::Vote;
use quorate_commit::{
    Config, Decision, Effect, Event, Message, Outcome, ReadId, Reason, Record, Refusal, Site, SiteId,
    Timestamp, TxnId,
};
use quorate_protocol::codec::{Encode, Reader, Writer};
use quorate_protocol::{Consensus, Role};
use quorate_replica::Input;
use quorate_wal::GroupId;
use quorate_wire::encode_message;

use super::Begin;
use super::checks::{named, seen};
use super::data::Data;
use super::plans::{BALANCE, account};
use crate::clients::Reply;
use crate::env::Env;
use crate::host::{Host, Waiter};
use crate::network::Spoiled;
use crate::plant::{CommitRules, Plant};
use crate::trace::tell;

/// Under this group's name sites speak to each other.
pub const SITES: GroupId = 1;

/// The first byte of an entry that is a site's record; no request begins so.
const RECORD: u8 = 0xac;

/// What runs.
type Core = Site<Data, CommitRules>;

/// A replica of a site, and who waits for it.
pub struct Seat {
    group: usize,
    core: Core,
    drives: bool,
    /// What its clock showed when it started.
    began_us: u64,
    begun: BTreeMap<TxnId, Vec<Waiter>>,
    looks: BTreeMap<ReadId, Waiter>,
    asked: u64,
    /// To itself.
    own: VecDeque<Message>,
}

fn config(group: usize, env: &Env) -> Config {
    let commit = &env.swarm.commit;
    Config {
        vote_ticks: commit.vote_ticks,
        retry_ticks: commit.retry_ticks,
        doubt_ticks: commit.doubt_ticks,
        close_ticks: commit.close_ticks,
        read_ticks: commit.vote_ticks,
        max_proposed: commit.max_proposed,
        ..Config::new(SiteId(group as u64))
    }
}

impl Seat {
    /// Of the node at a place, where the world has sites.
    pub fn of(place: usize, kept: &Bytes, env: &mut Env) -> Option<Box<Self>> {
        env.swarm.is_atomic().then(|| Box::new(Seat::new(env.group_of(place), kept, env)))
    }

    /// The replica of a group's site, from what was kept of it; if that is nothing, from the beginning.
    pub fn new(group: usize, kept: &Bytes, env: &mut Env) -> Self {
        let config = config(group, env);
        let core = match kept.is_empty() {
            true => Core::new(config, Data::founded([account(group)].into_iter(), BALANCE)),
            false => Core::decode(config, &mut Reader::new(kept.clone())).unwrap_or_else(|malformed| {
                env.checks.fail("SiteImage", format!("site {group}: {malformed}"));
                Core::new(config, Data::default())
            }),
        };
        let (begun, looks, own) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Seat { group, core, drives: false, began_us: env.now, begun, looks, asked: 0, own }
    }

    /// All that is durable of it.
    pub fn image(&self) -> Bytes {
        let mut out = Writer::new();
        self.core.encode(&mut out);
        out.into_bytes()
    }

    /// Who waits for an answer.
    pub fn waiters(&self) -> impl Iterator<Item = Waiter> {
        self.begun.values().flatten().chain(self.looks.values()).copied()
    }

    /// Whether this replica drives.
    pub fn drives(&self) -> bool {
        self.drives
    }

    /// Whether nothing is open any more.
    pub fn is_idle(&self) -> bool {
        let open = self.core.unfinished() + self.core.waiting();
        self.core.in_doubt().next().is_none() && (open == 0 || !self.drives)
    }

    /// What is not over, in words.
    pub fn open(&self) -> String {
        let doubts: Vec<String> = self.core.in_doubt().map(|doubt| doubt.txn.to_string()).collect();
        let (unfinished, waiting) = (self.core.unfinished(), self.core.waiting());
        format!(
            "in doubt {doubts:?}, {unfinished} unfinished, {waiting} wait for locks, drives {}",
            self.drives
        )
    }

    /// Whether the site has voted on a transaction, or knows its end.
    fn knows(&self, txn: TxnId) -> bool {
        self.core.fate(txn).is_some() || self.core.in_doubt().any(|doubt| doubt.txn == txn)
    }

    /// What the site holds.
    pub fn data(&self) -> &Data {
        self.core.resource()
    }
}

/// The record in an entry, if it is one.
pub fn record(entry: &Bytes) -> Option<Result<Record, String>> {
    (entry.first() == Some(&RECORD))
        .then(|| Reader::whole(entry.slice(1..)).map_err(|malformed| malformed.to_string()))
}

fn entry(record: &Record) -> Bytes {
    let mut out = Writer::new();
    out.u8(RECORD);
    record.encode(&mut out);
    out.into_bytes()
}

impl<C: Consensus> Host<C> {
    /// Something happens to the site.
    fn site(&mut self, event: Event, env: &mut Env) {
        let mut next = Some(event);
        while let Some(event) = next {
            let Some(seat) = &mut self.seat else { return };
            // A No after a vote, or after the end, is none.
            let applied = match &event {
                Event::Applied(record) => {
                    Some((record.clone(), record.txn().is_some_and(|txn| seat.knows(txn))))
                }
                _ => None,
            };
            let mut effects = Vec::new();
            seat.core.step(event, &mut effects);
            if !env.plant.is_some_and(Plant::is_seen_within)
                && let Err(violation) = seat.core.check()
            {
                env.checks.fail("CoreInvariant", format!("site {}: {}", seat.group, violation.0));
            }
            if let Some((record, known)) = applied {
                self.note_record(&record, known, env);
            }
            for effect in effects {
                self.carry_for_site(effect, env);
            }
            next = self.seat.as_mut().and_then(|seat| {
                let message = seat.own.pop_front()?;
                Some(Event::Receive { from: seat.core.own(), message })
            });
        }
    }

    fn carry_for_site(&mut self, effect: Effect, env: &mut Env) {
        let Some(seat) = &mut self.seat else { return };
        match effect {
            Effect::Propose(record) => self.inputs.push_back(Input::Propose(vec![entry(&record)])),
            Effect::Send { to, message } if to == seat.core.own() => seat.own.push_back(message),
            Effect::Send { to, message } => self.tell_site(to, &message, env),
            Effect::Outcome { txn, outcome } => {
                if let Outcome::Committed { .. } = outcome {
                    let durable = seat.core.verdict(txn).or(seat.core.fate(txn)).map(seen);
                    if durable != Some(quorate_checker::atomic_commit::Decision::Commit) {
                        let detail = format!("transaction {txn}: a client is told of a commit not on record");
                        env.checks.fail("ToldIsDurable", detail);
                    }
                }
                for waiter in seat.begun.remove(&txn).unwrap_or_default() {
                    env.answer(waiter, Reply::Outcome(outcome.clone()));
                }
            }
            Effect::Resolved { txn, decision, result } => {
                let (group, place) = (seat.group, self.place);
                tell!(env, "site {group}, node {}: {txn} ends, {decision:?}", place + 1);
                let verdict = env.atomic.resolved(env.now, group, named(txn), seen(decision));
                env.checks.note(verdict);
                if let (Decision::Commit { .. }, Ok(revision)) = (decision, result[..].try_into()) {
                    let made = env.atomic.carried_out(group, named(txn), u64::from_le_bytes(revision));
                    env.checks.note(made);
                }
            }
            Effect::Settled { .. } => {}
            Effect::ReadDone { read, answer } => {
                let site = seat.group;
                if let Some(waiter) = seat.looks.remove(&read) {
                    env.answer(waiter, Reply::Snapshot { site, answer });
                }
            }
            Effect::ReadRefused { read, .. } => {
                if let Some(waiter) = seat.looks.remove(&read) {
                    env.refuse(waiter.client, waiter.number);
                }
            }
        }
    }

    fn tell_site(&mut self, to: SiteId, message: &Message, env: &mut Env) {
        let frame = match encode_message(SITES, message) {
            Ok(segments) => Bytes::from(segments.concat()),
            Err(error) => return env.checks.fail("Wire", format!("node {}: {error}", self.id())),
        };
        for place in (0..env.places).filter(|place| env.group_of(*place) == to.0 as usize).collect::<Vec<_>>()
        {
            env.transmit(self.place, place, frame.clone(), Spoiled::No);
        }
    }

    /// What is to be kept of the site.
    pub fn site_image(&self) -> Bytes {
        self.seat.as_ref().map_or(Bytes::new(), |seat| seat.image())
    }

    /// A digest of all that the replicas of a group must have in common.
    pub fn digest(&self) -> u64 {
        let site = self.seat.as_ref().map_or(0, |seat| quorate_checker::digest(&seat.image()));
        self.state.digest() ^ site
    }

    /// An image of the store, with that of the site behind it, if there is one: first its bytes, then how many.
    pub fn with_site(&self, mut store: Vec<u8>) -> Bytes {
        if self.seat.is_some() {
            let site = self.site_image();
            store.extend_from_slice(&site);
            store.extend_from_slice(&(site.len() as u64).to_le_bytes());
        }
        store.into()
    }

    /// Take them apart again.
    pub fn without_site(&self, pieces: Vec<Bytes>) -> (Vec<Bytes>, Bytes) {
        if self.seat.is_none() {
            return (pieces, Bytes::new());
        }
        let whole = Bytes::from(pieces.concat());
        let site = whole.len().checked_sub(8).and_then(|end| {
            let length = u64::from_le_bytes(whole[end..].try_into().ok()?);
            Some(end.checked_sub(length as usize)?..end)
        });
        match site {
            Some(site) => (vec![whole.slice(..site.start)], whole.slice(site)),
            None => (vec![whole], Bytes::new()),
        }
    }

    /// An image has taken the place of the state.
    pub fn restore_site(&mut self, image: &Bytes, env: &mut Env) {
        if let Some(seat) = self.seat.take() {
            seat.waiters().for_each(|waiter| env.break_off(waiter));
            if seat.drives {
                env.atomic.driver_gone(seat.group, self.place);
            }
            self.seat = Some(Box::new(Seat::new(seat.group, image, env)));
        }
    }

    /// Another site's message has arrived.
    pub fn receive_for_site(&mut self, from: usize, body: Bytes, env: &mut Env) -> Result<(), String> {
        let message: Message = Reader::whole(body).map_err(|malformed| malformed.to_string())?;
        let from = SiteId(env.group_of(from) as u64);
        self.site(Event::Receive { from, message }, env);
        self.run(env);
        Ok(())
    }

    /// The log has not taken an entry.
    pub fn record_lost(&mut self, entry: &Bytes, env: &mut Env) {
        if let Some(Ok(record)) = record(entry) {
            self.site(Event::Lost(record), env);
        }
    }

    /// The log has brought a record.
    pub fn apply_record(&mut self, record: Record, env: &mut Env) {
        self.site(Event::Applied(record), env);
    }

    /// Tell the checks what a record has made of its transaction.
    fn note_record(&mut self, record: &Record, known: bool, env: &mut Env) {
        let (Some(seat), Some(txn)) = (&self.seat, record.txn()) else { return };
        let (group, name) = (seat.group, named(txn));
        let prepared = || seat.core.in_doubt().any(|doubt| doubt.txn == txn);
        match record {
            Record::Prepare { .. } if prepared() => {
                let voted = env.atomic.voted(env.now, group, name, Vote::Yes);
                env.checks.note(voted);
            }
            Record::Refuse { .. } if !known && seat.core.fate(txn) == Some(Decision::Abort) => {
                let voted = env.atomic.refused(env.now, group, name);
                env.checks.note(voted);
            }
            Record::Local { .. } if seat.core.fate(txn).is_some() => {
                let voted = env.atomic.voted_alone(group, name);
                env.checks.note(voted);
            }
            Record::Decide { reason: Reason::Timeout, decision: Decision::Abort, .. } => {
                env.atomic.timed_out()
            }
            _ => {}
        }
        for decision in [seat.core.verdict(txn), seat.core.fate(txn)].into_iter().flatten() {
            let verdict = env.atomic.decided(group, name, seen(decision));
            env.checks.note(verdict);
        }
    }

    /// Whoever leads and knows what its predecessors did drives the site.
    pub fn take_wheel(&mut self, env: &mut Env) {
        let Some(seat) = &mut self.seat else { return };
        let current = self.state.meta().applied_ballot.0 == self.replica.status().promised.round;
        let drives = self.role == Role::Leader && current;
        if drives != seat.drives {
            seat.drives = drives;
            match drives {
                true => env.atomic.driver_found(env.now, seat.group, self.place),
                false => env.atomic.driver_gone(seat.group, self.place),
            }
            tell!(
                env,
                "site {}: node {} {}",
                seat.group,
                self.place + 1,
                if drives { "drives" } else { "drives no longer" }
            );
            self.site(Event::Drive(drives), env);
        }
    }

    /// Time has passed for the site.
    pub fn tick_site(&mut self, env: &mut Env) {
        let Some(seat) = &self.seat else { return };
        let now = Timestamp(seat.began_us + self.ticks * env.swarm.tick_us);
        self.site(Event::Tick { now }, env);
        if self.ticks.is_multiple_of(u64::from(env.swarm.election_ticks)) {
            self.site(Event::Floor(env.floor()), env);
        }
        self.run(env);
    }

    /// A client begins a transaction, or asks what became of it.
    pub fn begin(&mut self, waiter: Waiter, begin: Begin, env: &mut Env) {
        let Some(seat) = &mut self.seat else { return };
        let Begin { txn, age, protocol, works } = begin;
        if !seat.drives {
            return env.answer(waiter, Reply::Outcome(Outcome::Refused(Refusal::NotDriving)));
        }
        seat.begun.entry(txn).or_default().push(waiter);
        self.site(Event::Begin { txn, age, protocol, works }, env);
        self.run(env);
    }

    /// A client looks at what there was.
    pub fn look(&mut self, waiter: Waiter, at: Timestamp, payload: Bytes, env: &mut Env) {
        let Some(seat) = &mut self.seat else { return };
        seat.asked += 1;
        let read = ReadId(seat.asked);
        seat.looks.insert(read, waiter);
        self.site(Event::Read { read, at, payload }, env);
        self.run(env);
    }
}
