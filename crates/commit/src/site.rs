//! The site: durable state, what its driver knows beyond it, and who handles what.

use alloc::collections::BTreeMap;
use core::marker::PhantomData;

use bytes::Bytes;
use quorate_protocol::Violation;
use quorate_protocol::codec::{Encode, Malformed, Reader, Writer};

use crate::contract::{Config, Effect, Effects, Event, InDoubt};
use crate::coordinator::{Coordinating, Telling};
use crate::ids::{Ballot, Seniority, SiteId, Timestamp, TxnId};
use crate::locks::Locks;
use crate::message::{Body, Message};
use crate::participant::Doubt;
use crate::proposals::{Proposal, Proposals};
use crate::reads::Reads;
use crate::record::{Decision, Record, Subject};
use crate::rules::{Paper, Rules};
use crate::state::{Change, State};
use crate::work::Resource;

/// What only the driver knows: all of it can be lost at any moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Driver {
    pub(crate) proposals: Proposals,
    pub(crate) coordinating: BTreeMap<TxnId, Coordinating>,
    pub(crate) telling: BTreeMap<TxnId, Telling>,
    /// What waits for locks, the oldest first: records to be proposed.
    pub(crate) waiting: BTreeMap<Seniority, Record>,
    /// The locks that those want.
    pub(crate) wanted: Locks,
    /// The locks of those whose records are proposed.
    pub(crate) intents: Locks,
    pub(crate) doubts: BTreeMap<TxnId, Doubt>,
    /// Locks have changed since those who wait were last looked at.
    pub(crate) stirred: bool,
}

/// One replica of a site.
#[derive(Clone, Debug)]
pub struct Site<S, R = Paper> {
    pub(crate) config: Config,
    pub(crate) state: State<S>,
    pub(crate) driving: bool,
    pub(crate) driver: Driver,
    pub(crate) reads: Reads,
    pub(crate) ticks: u64,
    pub(crate) now: Timestamp,
    rules: PhantomData<R>,
}

impl<S: Resource, R: Rules> Site<S, R> {
    /// A site at which nothing has happened yet. It does not drive.
    pub fn new(config: Config, resource: S) -> Self {
        Site::with(config, State::new(resource))
    }

    /// A site from an image of its durable state. It does not drive.
    ///
    /// # Errors
    /// If the bytes are not such an image.
    pub fn decode(config: Config, input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Site::with(config, State::decode::<R>(input)?))
    }

    /// An image of the durable state: the same at all replicas that have applied the same records.
    pub fn encode(&self, out: &mut Writer) {
        self.state.encode(out);
    }

    fn with(config: Config, state: State<S>) -> Self {
        Site {
            config,
            state,
            driving: false,
            driver: Driver::default(),
            reads: Reads::default(),
            ticks: 0,
            now: Timestamp::default(),
            rules: PhantomData,
        }
    }

    /// The only mutation.
    pub fn step(&mut self, event: Event, effects: &mut Effects) {
        match event {
            Event::Tick { now } => self.tick(now, effects),
            Event::Receive { from, message } if self.driving => self.receive(from, message, effects),
            Event::Receive { .. } => {}
            Event::Drive(drive) => self.drive(drive, effects),
            Event::Begin { txn, age, protocol, works } => self.begin(txn, age, protocol, works, effects),
            Event::Read { read, at, payload } => self.read(read, at, payload, effects),
            Event::Applied(record) => self.applied(record, effects),
            Event::Lost(record) => self.driver.proposals.lost(&record, &self.config, self.ticks),
            Event::Floor(epoch) if self.driving && epoch > self.state.floor => {
                self.propose(Record::Floor { epoch }, effects);
            }
            Event::Floor(_) => {}
        }
        if core::mem::take(&mut self.driver.stirred) {
            self.look_at_waiting(effects);
        }
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Effects) {
        self.ticks += 1;
        self.now = now;
        if self.driving {
            self.driver.proposals.again(self.ticks, effects);
            self.coordinate(effects);
            self.tell_again(effects);
            self.doubt(effects);
            self.close(effects);
        }
        self.expire_reads(effects);
    }

    fn receive(&mut self, from: SiteId, message: Message, effects: &mut Effects) {
        let txn = message.txn;
        match message.body {
            Body::Prepare { age, protocol, participants, work, ts } => {
                if from == txn.coordinator && participants.contains(&self.config.own) {
                    let record = Record::Prepare { txn, age, protocol, participants, work, ts };
                    self.asked_to_prepare(txn, record, effects);
                }
            }
            Body::Vote(vote) => self.voted(from, txn, vote, effects),
            Body::Decision(decision) => self.told(from, txn, decision, effects),
            Body::Ack { result } => self.acked(from, txn, result, effects),
            Body::Enquiry if txn.coordinator == self.config.own => self.enquired(from, txn, effects),
            Body::Enquiry => self.asked(from, txn, effects),
            Body::Wait => self.told_to_wait(from, txn),
            Body::PreCommit { ballot, decision } => {
                self.asked_to_accept(from, txn, ballot, decision, effects);
            }
            Body::PreAck { ballot } => self.accepted(from, txn, ballot, effects),
            Body::Query { ballot } => self.queried(from, txn, ballot, effects),
            Body::State { ballot, accepted, recovered } => {
                self.state_told(from, txn, ballot, accepted, recovered, effects);
            }
        }
    }

    /// Begin to drive with what is durable, or end it.
    fn drive(&mut self, drive: bool, effects: &mut Effects) {
        let before = core::mem::take(&mut self.driver);
        for (txn, coordinating) in before.coordinating {
            if coordinating.client && !coordinating.told {
                effects.push(Effect::Outcome { txn, outcome: crate::Outcome::Unknown });
            }
        }
        self.driving = drive;
        if drive {
            self.resume_telling();
            self.resume_ready();
            self.resume_doubts();
        }
    }

    fn applied(&mut self, record: Record, effects: &mut Effects) {
        let subject = record.subject();
        let refused = matches!(record, Record::Refuse { .. });
        let own = self.driver.proposals.get(subject).is_none_or(|proposed| *proposed == record);
        let change = self.state.apply::<R>(record);
        let open = matches!(change, Change::Decided(txn, _) if !self.state.verdicts.contains_key(&txn));
        // Another driver's, that decided nothing: one's own must still come.
        let proposal = if open && !own { None } else { self.driver.proposals.remove(subject) };
        match change {
            Change::Resolved(txn, Some((decision, result))) => {
                effects.push(Effect::Resolved { txn, decision, result });
                self.resolved(txn, refused, effects);
            }
            Change::Resolved(txn, None) => self.resolved(txn, refused, effects),
            Change::Voted(txn) => self.vote_applied(txn, effects),
            Change::Clash(txn) => self.clashed(txn, proposal.as_ref(), effects),
            Change::Joined(txn) => self.joined(txn, effects),
            Change::Decided(txn, made) => self.decided(txn, made, effects),
            Change::Stale(txn) => self.found_stale(txn, effects),
            Change::Forgot(txn) => {
                self.driver.telling.remove(&txn);
            }
            Change::Moved => {}
        }
        if let Some(proposal) = proposal {
            self.answer_askers(&proposal, effects);
        }
        self.driver.proposals.fill(&self.config, effects);
        self.serve_reads(effects);
    }

    /// Who asked about a transaction is told, now that it is known.
    fn answer_askers(&self, proposal: &Proposal, effects: &mut Effects) {
        let Some(txn) = proposal.record.txn() else { return };
        let known = match proposal.record {
            Record::Decide { .. } => self.state.verdicts.get(&txn).map(|verdict| verdict.decision),
            _ => self.state.finished.get(&txn).map(|finished| finished.decision),
        };
        for (to, decision) in proposal.askers.iter().zip(core::iter::repeat(known)) {
            if let Some(decision) = decision {
                send(effects, *to, txn, Body::Decision(decision));
            }
        }
    }

    /// Propose a record, unless one about the same is under way.
    pub(crate) fn propose(&mut self, record: Record, effects: &mut Effects) {
        self.driver.proposals.add(record, &self.config, effects);
    }

    /// Whether a record about the same is under way.
    pub(crate) fn proposes(&self, subject: Subject) -> bool {
        self.driver.proposals.get(subject).is_some()
    }

    /// The same, and tell `asker` the decision afterwards.
    pub(crate) fn propose_for(&mut self, asker: SiteId, record: Record, effects: &mut Effects) {
        let subject = record.subject();
        if !self.is_full() {
            self.propose(record, effects);
        }
        self.driver.proposals.ask(subject, asker);
    }

    /// Whether as much is to be applied as may be: what others ask for now is dropped, and will be asked for again.
    pub(crate) fn is_full(&self) -> bool {
        self.driver.proposals.len() >= 4 * self.config.max_waiting + self.config.max_coordinating
    }

    /// Whether this replica drives.
    pub fn drives(&self) -> bool {
        self.driving
    }

    /// Itself.
    pub fn own(&self) -> SiteId {
        self.config.own
    }

    /// What carries transactions out here.
    pub fn resource(&self) -> &S {
        &self.state.resource
    }

    /// The moment up to which nothing will be committed any more that is not yet.
    pub fn closed(&self) -> Timestamp {
        self.state.closed
    }

    /// The epoch below which all is refused.
    pub fn floor(&self) -> u64 {
        self.state.floor
    }

    /// What this site decided as coordinator, as long as it is remembered.
    pub fn verdicts(&self) -> impl Iterator<Item = (TxnId, Decision)> {
        self.state.verdicts.iter().map(|(txn, verdict)| (*txn, verdict.decision))
    }

    /// What this site decided as participant (that it voted No, too), as long as it is remembered.
    pub fn fates(&self) -> impl Iterator<Item = (TxnId, Decision)> {
        self.state.finished.iter().map(|(txn, finished)| (*txn, finished.decision))
    }

    /// What this site decided as coordinator about this one.
    pub fn verdict(&self, txn: TxnId) -> Option<Decision> {
        self.state.verdicts.get(&txn).map(|verdict| verdict.decision)
    }

    /// What this site decided as participant about this one.
    pub fn fate(&self, txn: TxnId) -> Option<Decision> {
        self.state.finished.get(&txn).map(|finished| finished.decision)
    }

    /// Transactions that have prepared here and whose decision is not known here, for an administrator to see.
    pub fn in_doubt(&self) -> impl Iterator<Item = InDoubt> {
        self.state.prepared.iter().map(|(txn, prepared)| InDoubt {
            txn: *txn,
            protocol: prepared.protocol,
            participants: prepared.participants.clone(),
            ts: prepared.ts,
            accepted: prepared.accepted.map(|(_, decision)| decision),
            asked: self.driver.doubts.get(txn).map_or(0, |doubt| doubt.asked),
        })
    }

    /// Committed transactions of which not all participants are known to know, and those of three phases that are
    /// ready and not decided.
    pub fn unfinished(&self) -> usize {
        self.state.open.len() + self.state.ready.len()
    }

    /// How many wait for locks, at who drives.
    pub fn waiting(&self) -> usize {
        self.driver.waiting.len()
    }

    /// All its invariants; for tests and simulation.
    ///
    /// # Errors
    /// If one is broken: a bug, fatal for the replica.
    pub fn check(&self) -> Result<(), Violation> {
        self.state.check()?;
        self.check_waiting()
    }
}

/// The wait before a try, when so many have failed: doubled each time, four times as long at most.
pub(crate) fn backoff(ticks: u64, tries: u64) -> u64 {
    ticks.max(1) << tries.min(2)
}

pub(crate) fn send(effects: &mut Effects, to: SiteId, txn: TxnId, body: Body) {
    effects.push(Effect::Send { to, message: Message { txn, body } });
}

/// A ballot above this one, of this site.
pub(crate) fn later(ballot: Ballot, site: SiteId) -> Ballot {
    Ballot { round: ballot.round.saturating_add(1), site }
}

/// No bytes.
pub(crate) fn nothing() -> Bytes {
    Bytes::new()
}

/// What [`Site::encode`] writes, in one buffer.
impl<S: Resource, R: Rules> Encode for Site<S, R> {
    fn encode(&self, out: &mut Writer) {
        self.state.encode(out);
    }
}
