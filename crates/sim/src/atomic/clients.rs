//! Clients that run transactions over several sites, one at a time each, and remember what they asked and were told.
//!
//! A client draws what to do ([`super::plans`]), asks a node of the site that is to coordinate it, and asks again under
//! the same name, there or at another node, until it is told the end or the name is too old to be used. What was aborted is tried
//! again under a new name with the same age and with new values: every value is written once, so that a read tells
//! whose write it saw.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_checker::atomic_commit::Decision;
use quorate_checker::isolation::{Op as Seen, Status, Transaction};
use quorate_commit::{Age, Outcome, Refusal, SiteId, Timestamp, TxnId};

use super::checks::{self, named};
use super::data::{self, Op};
use super::plans::{Draw, Plan, account};
use super::{Begin, PATIENCE_EPOCHS};
use crate::clients::{ClientEvent, Reply};
use crate::env::{Env, Event};
use crate::label;
use crate::node::{Ask, NodeEvent};
use crate::story::Happening;
use crate::trace::note;

/// How often a transaction that was aborted is tried again.
const TRIES: u64 = 6;

/// What a client is at.
#[derive(Debug)]
enum What {
    /// A transaction, its place in the history, and how often it was aborted.
    Transaction { txn: TxnId, age: Age, tries: u64, plan: Plan, recorded: usize },
    /// A look at all accounts as of a moment: what the sites have answered so far.
    Look { at: Timestamp, found: BTreeMap<usize, i64> },
}

#[derive(Debug)]
struct Doing {
    /// The last request's number: answers to earlier ones are not heeded. 0 if none is under way.
    number: u64,
    what: What,
}

#[derive(Debug, Default)]
struct Client {
    /// It is to have one transaction of this site's committed.
    probe: Option<usize>,
    done: bool,
    number: u64,
    draw: Draw,
    doing: Option<Doing>,
}

/// All of them: those of the load, then one for each site that is to prove its service.
#[derive(Debug, Default)]
pub struct Transactors {
    all: Vec<Client>,
    /// The load has ended.
    pub silent: bool,
}

impl Transactors {
    /// So many clients.
    pub fn new(count: usize, env: &mut Env) -> Self {
        let all = (0..count).map(|at| Client { draw: Draw::new(at), ..Client::default() }).collect();
        for client in 0..count {
            let delay = env.dice.clients.below(500_000);
            env.after(delay, Event::Client(ClientEvent::Next { client }));
        }
        Transactors { all, silent: false }
    }

    /// Let a client of each site have a transaction committed.
    pub fn probe(&mut self, env: &mut Env) {
        for site in 0..env.swarm.groups {
            let client = self.all.len();
            let draw = Draw::new(client);
            self.all.push(Client { probe: Some(site), draw, ..Client::default() });
            env.after(0, Event::Client(ClientEvent::Next { client }));
        }
    }

    /// Sites of which no transaction has succeeded since [`Self::probe`].
    pub fn unserved(&self) -> Vec<usize> {
        self.all.iter().filter(|client| !client.done).filter_map(|client| client.probe).collect()
    }

    /// Requests under way.
    pub fn busy(&self) -> usize {
        self.all.iter().filter(|client| client.doing.is_some()).count()
    }

    /// Something happens.
    pub fn handle(&mut self, event: ClientEvent, env: &mut Env) {
        match event {
            ClientEvent::Next { client } => {
                env.trace.event(32, env.now, client as u64, 0);
                let wanted = self.all[client].probe.is_some() || !self.silent;
                match &self.all[client].doing {
                    Some(_) => self.ask(client, env),
                    None if wanted => self.begin(client, env),
                    None => {}
                }
            }
            ClientEvent::Timeout { client, number } => self.answered(client, number, Reply::Lost, env),
            ClientEvent::Answer { client, number, reply } => self.answered(client, number, reply, env),
        }
    }

    /// Choose what to do, and ask for the first time.
    fn begin(&mut self, at: usize, env: &mut Env) {
        let client = &mut self.all[at];
        let look = client.probe.is_none() && env.dice.clients.percent(15);
        let what = if look {
            let back = env.dice.clients.below(env.swarm.election_us());
            What::Look { at: Timestamp(env.now.saturating_sub(back)), found: BTreeMap::new() }
        } else {
            let plan = match client.probe {
                Some(site) => client.draw.probe(site, env),
                None => client.draw.plan(env),
            };
            client.transaction(at, Age(env.now), 0, plan, env)
        };
        client.doing = Some(Doing { number: 0, what });
        self.ask(at, env);
    }

    /// Ask, or ask again.
    fn ask(&mut self, at: usize, env: &mut Env) {
        let client = &mut self.all[at];
        let Some(doing) = &mut client.doing else { return };
        client.number += 1;
        let number = client.number;
        doing.number = number;
        let requests: Vec<(usize, Ask)> = match &doing.what {
            What::Transaction { txn, age, plan, .. } => {
                let works = plan.iter().map(|(site, ops)| (SiteId(*site as u64), data::work(ops)));
                let begin =
                    Begin { txn: *txn, age: *age, protocol: env.commit_protocol(), works: works.collect() };
                vec![(txn.coordinator.0 as usize, Ask::Begin(Box::new(begin)))]
            }
            What::Look { at, found } => {
                let missing = (0..env.swarm.groups).filter(|site| !found.contains_key(site));
                let ask = |site| Ask::ReadAt { at: *at, payload: data::payload(&[Op::Read(account(site))]) };
                missing.map(|site| (site, ask(site))).collect()
            }
        };
        for (site, ask) in requests {
            env.stats.operations += 1;
            let node = Env::a_server(&env.serving[site], &mut env.dice.clients);
            let label = label::of_ask(&ask);
            note!(env, Happening::Ask { client: at as u64, number, node: node as u64 + 1, label });
            let delay = env.dice.clients.between(50, 500);
            let request = NodeEvent::Request { client: at, number, ask };
            env.after(delay, Event::Node { node, life: None, event: request });
        }
        let patience = env.swarm.load.patience_us;
        env.after(patience, Event::Client(ClientEvent::Timeout { client: at, number }));
    }

    fn answered(&mut self, at: usize, number: u64, reply: Reply, env: &mut Env) {
        let client = &mut self.all[at];
        let Some(mut doing) = client.doing.take_if(|doing| doing.number == number) else { return };
        env.trace.event(33, env.now, at as u64, number);
        note!(env, Happening::Answer { client: at as u64, number, label: label::of_reply(&reply) });
        env.stats.answered += u64::from(!matches!(reply, Reply::Refused | Reply::Lost));
        let over = match &mut doing.what {
            What::Look { at, found } => look(*at, found, reply, env),
            What::Transaction { .. } => client.learns(at, &mut doing.what, reply, env),
        };
        if let Some(Over::Answered) = over {
            // Of a look some sites have still to answer this request.
            client.doing = Some(doing);
            return;
        }
        let again_us = env.dice.clients.between(500, 2 * env.swarm.tick_us);
        let delay = match over {
            None => {
                // Of those who were asked together others may refuse too: it is asked again once.
                client.doing = Some(Doing { number: 0, ..doing });
                again_us
            }
            Some(_) if client.probe.is_some() && !client.done => again_us,
            Some(_) if client.probe.is_some() || self.silent => return,
            Some(_) => 1_000 + env.dice.clients.below(env.swarm.load.think_us + 1),
        };
        env.after(delay, Event::Client(ClientEvent::Next { client: at }));
    }
}

/// How a request ended.
enum Over {
    /// There is nothing more to ask.
    Done,
    /// Part of the answer is there; the rest is on its way.
    Answered,
}

/// Something was answered to a look. `None` if it must be asked again.
fn look(at: Timestamp, found: &mut BTreeMap<usize, i64>, reply: Reply, env: &mut Env) -> Option<Over> {
    match reply {
        Reply::Snapshot { site, answer } => {
            let versions = data::found(&answer).ok()?;
            found.insert(site, *versions.first()?.1.last()?);
            if found.len() < env.swarm.groups {
                return Some(Over::Answered);
            }
            let reader = env.atomic.history.len() as u64;
            let balances: Vec<i64> = found.values().copied().collect();
            crate::trace::tell!(env, "as of {at} the accounts are {balances:?}");
            env.atomic.balances.push((reader, balances));
            Some(Over::Done)
        }
        // A look is not worth asking for long.
        _ if env.now > at.0 + 2 * env.swarm.load.patience_us => Some(Over::Done),
        _ => None,
    }
}

impl Client {
    /// A transaction under a new name, as it enters the history.
    fn transaction(&mut self, at: usize, age: Age, tries: u64, mut plan: Plan, env: &mut Env) -> What {
        self.draw.stamp(&mut plan);
        let coordinator = SiteId(self.draw.coordinator(self.probe, &plan, env) as u64);
        let number = (at as u64) << 32 | self.draw.name();
        let txn = TxnId { epoch: env.epoch(), coordinator, number };
        let recorded = env.atomic.history.len();
        env.atomic.begun(named(txn), plan.keys().map(|site| *site as u64));
        let invoked = env.checks.stamp();
        let ops = writes(&plan, None);
        let (id, process, status) = (recorded as u64, at as u64, Status::Unknown);
        env.atomic.history.push(Transaction { id, process, invoked, completed: u64::MAX, status, ops });
        What::Transaction { txn, age, tries, plan, recorded }
    }

    /// Something was answered to a transaction. `None` if it must be asked again.
    fn learns(&mut self, at: usize, what: &mut What, reply: Reply, env: &mut Env) -> Option<Over> {
        let What::Transaction { txn, age, tries, plan, recorded } = what else { return None };
        let (txn, recorded) = (*txn, *recorded);
        let too_old = txn.epoch + PATIENCE_EPOCHS < env.epoch();
        let outcome = match reply {
            Reply::Outcome(outcome) => outcome,
            _ if too_old => {
                env.stats.ambiguous += 1;
                return Some(Over::Done);
            }
            _ => return None,
        };
        let decision = match outcome {
            Outcome::Committed { .. } => Decision::Commit,
            Outcome::Aborted(_) => Decision::Abort,
            Outcome::Refused(Refusal::Malformed | Refusal::NotCoordinator) => {
                env.checks.fail("Asked", format!("transaction {txn}: {outcome:?}"));
                return Some(Over::Done);
            }
            // Below the floor it may have been decided, and forgotten.
            Outcome::Refused(Refusal::Stale) => {
                env.stats.ambiguous += 1;
                return Some(Over::Done);
            }
            Outcome::Refused(_) | Outcome::Unknown if too_old => {
                env.stats.ambiguous += 1;
                return Some(Over::Done);
            }
            Outcome::Refused(_) | Outcome::Unknown => return None,
        };
        let verdict = env.atomic.told(at, named(txn), decision);
        env.checks.note(verdict);
        let completed = env.checks.stamp();
        let record = &mut env.atomic.history[recorded];
        record.completed = completed;
        match outcome {
            Outcome::Committed { first, answers, .. } => {
                record.status = Status::Committed;
                record.ops = saw(plan, first, &answers);
                if plan.values().all(|ops| matches!(ops[..], [Op::Read(ref key)] if key.starts_with(b"a"))) {
                    let balances: Vec<i64> =
                        answers.iter().filter_map(|(_, answer)| balance(answer)).collect();
                    env.atomic.balances.push((recorded as u64, balances));
                }
                self.done = true;
                Some(Over::Done)
            }
            _ => {
                record.status = Status::Aborted;
                if *tries >= TRIES && self.probe.is_none() {
                    return Some(Over::Done);
                }
                let (age, tries, plan) = (*age, *tries + 1, std::mem::take(plan));
                *what = self.transaction(at, age, tries, plan, env);
                None
            }
        }
    }
}

fn balance(answer: &Bytes) -> Option<i64> {
    data::found(answer).ok()?.first()?.1.last().copied()
}

/// What a plan writes; with what it found, at which place each version is.
fn writes(plan: &Plan, found: Option<&BTreeMap<(usize, Bytes), usize>>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for (site, ops) in plan {
        for op in ops {
            let Op::Put(key, value) = op else { continue };
            let (key, value) = (key.clone(), *value as u64);
            if checks::is_list(&key) {
                seen.push(Seen::Append { key, value });
            } else {
                let version = found.and_then(|found| found.get(&(*site, key.clone())));
                let version = version.map(|before| *before as u64 + 1);
                seen.push(Seen::Write { key, value, version });
            }
        }
    }
    seen
}

/// What a transaction that was committed has read, and then written.
fn saw(plan: &Plan, first: bool, answers: &[(SiteId, Bytes)]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut before = BTreeMap::new();
    for (site, answer) in answers {
        let site = site.0 as usize;
        let Ok(found) = data::found(answer) else { continue };
        let mut found = found.into_iter();
        for op in plan.get(&site).into_iter().flatten() {
            match op {
                Op::Scan(_) => seen.extend(found.by_ref().map(|(key, values)| checks::read(key, &values))),
                Op::Put(key, _) => {
                    let versions = found.next().map_or(0, |(_, values)| values.len());
                    before.insert((site, key.clone()), versions);
                }
                Op::Read(key) => {
                    let values = found.next().map_or(Vec::new(), |(_, values)| values);
                    if !key.starts_with(b"a") {
                        seen.push(checks::read(key.clone(), &values));
                    }
                }
                Op::Add(..) => drop(found.next()),
            }
        }
    }
    if first {
        seen.extend(writes(plan, Some(&before)));
    }
    seen
}
