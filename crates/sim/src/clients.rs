//! Clients that read and write, one request at a time each, and remember what they asked and were told.
//!
//! A request ends in one of three ways, which the checks must not mix up: answered; refused, in a way that promises
//! that nothing happened; or unknown, when the answer does not come or the connection ends. A value is
//! written once only, so that a read tells which write it saw. These clients ask the first group of replicas, the only one where
//! nothing is spread over several.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_checker::history::{Answer, Call, Operation, Outcome as Ending, Record};
use quorate_kv::{
    Command, Compare, CompareResult, CompareTarget, DeleteRange, Error, KeyRange, KeyValue, LeaseId, Op,
    OpResult, Outcome, Put, Range, RangeOutcome, Txn,
};

use crate::env::{Env, Event};
use crate::host::Waiter;
use crate::label;
use crate::node::{Ask, NodeEvent};
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::note;

/// What happens to a client.
#[derive(Debug)]
pub enum ClientEvent {
    /// It asks the next thing.
    Next { client: usize },
    /// It has waited long enough.
    Timeout { client: usize, number: u64 },
    /// An answer arrives.
    Answer { client: usize, number: u64, reply: Reply },
}

/// What a client is told.
#[derive(Debug)]
pub enum Reply {
    /// The command was carried out, or refused by the state machine.
    Applied { outcome: Result<Outcome, Error>, revision: i64 },
    /// The read found this.
    Range { found: RangeOutcome, revision: i64 },
    /// The lease lives for so many seconds; or it does not exist.
    Ttl(Option<i64>),
    /// What became of a transaction.
    Outcome(quorate_commit::Outcome),
    /// What a site held at the moment that was asked for.
    Snapshot { site: usize, answer: Bytes },
    /// Nothing was done.
    Refused,
    /// The connection ended.
    Lost,
}

impl Env {
    /// Answer a client, if the answer is not lost.
    pub fn answer(&mut self, waiter: Waiter, reply: Reply) {
        let lost = self.swarm.faults.lost_answers;
        if lost > 0 && self.dice.clients.below(1000) < lost {
            return self.stats.fault(Fault::LostAnswer);
        }
        self.reply(waiter, reply);
    }

    /// Tell a client that nothing was done.
    pub fn refuse(&mut self, client: usize, number: u64) {
        self.reply(Waiter { client, number }, Reply::Refused);
    }

    /// The connection to a client ends.
    pub fn break_off(&mut self, waiter: Waiter) {
        self.reply(waiter, Reply::Lost);
    }

    fn reply(&mut self, Waiter { client, number }: Waiter, reply: Reply) {
        let delay = self.dice.clients.between(50, 500);
        self.after(delay, Event::Client(ClientEvent::Answer { client, number, reply }));
    }
}

/// A request under way.
#[derive(Debug)]
struct Doing {
    number: u64,
    ask: What,
    /// Its operations in the recording.
    operations: Vec<usize>,
}

/// What was asked, as far as the answer must be read in its light.
#[derive(Clone, Debug)]
enum What {
    Puts,
    Get,
    Delete,
    Cas,
    /// On keys that leases delete; the recording's number if it is a put.
    Leased(Option<usize>),
    Other,
}

#[derive(Debug, Default)]
struct Client {
    node: usize,
    /// Stays with its node, and puts until one was answered.
    probe: bool,
    done: bool,
    number: u64,
    doing: Option<Doing>,
    /// The last revisions of keys that it was told of.
    seen: BTreeMap<Bytes, u64>,
    newest: i64,
    lease: Option<LeaseId>,
}

/// All of them: those of the load, then one for each node that is to prove its service.
#[derive(Debug, Default)]
pub struct Clients {
    all: Vec<Client>,
    /// The load has ended.
    pub silent: bool,
}

impl Clients {
    /// So many clients.
    pub fn new(load: usize, env: &mut Env) -> Self {
        let all: Vec<Client> = (0..load).map(|_| Client::default()).collect();
        for client in 0..load {
            let delay = env.dice.clients.below(500_000);
            env.after(delay, Event::Client(ClientEvent::Next { client }));
        }
        Clients { all, silent: false }
    }

    /// Let a client of each of these nodes put something, until it is done.
    pub fn probe(&mut self, nodes: &[usize], env: &mut Env) {
        for &node in nodes {
            let client = self.all.len();
            self.all.push(Client { node, probe: true, ..Client::default() });
            env.after(0, Event::Client(ClientEvent::Next { client }));
        }
    }

    /// Nodes through which no put has succeeded since [`Self::probe`].
    pub fn unserved(&self) -> Vec<usize> {
        self.all.iter().filter(|client| client.probe && !client.done).map(|client| client.node + 1).collect()
    }

    /// Requests under way.
    pub fn busy(&self) -> usize {
        self.all.iter().filter(|client| client.doing.is_some()).count()
    }

    /// Something happens.
    pub fn handle(&mut self, event: ClientEvent, env: &mut Env) {
        match event {
            ClientEvent::Next { client } => {
                env.trace.event(30, env.now, client as u64, 0);
                let idle = self.all[client].doing.is_none();
                if idle && (self.all[client].probe || !self.silent) {
                    self.ask(client, env);
                }
            }
            ClientEvent::Timeout { client, number } => self.end(client, number, Reply::Lost, env),
            ClientEvent::Answer { client, number, reply } => self.end(client, number, reply, env),
        }
    }

    fn ask(&mut self, at: usize, env: &mut Env) {
        let client = &mut self.all[at];
        client.number += 1;
        let (ask, what, operations) = client.draw(at, env);
        let number = client.number;
        env.stats.operations += 1;
        client.doing = Some(Doing { number, ask: what, operations });
        if !client.probe && env.dice.clients.percent(25) {
            client.node = Env::a_server(&env.serving[0], &mut env.dice.clients);
        }
        let node = client.node as u64 + 1;
        note!(env, Happening::Ask { client: at as u64, number, node, label: label::of_ask(&ask) });
        let request = NodeEvent::Request { client: at, number, ask };
        let delay = env.dice.clients.between(50, 500);
        env.after(delay, Event::Node { node: client.node, life: None, event: request });
        let patience = env.swarm.load.patience_us;
        env.after(patience, Event::Client(ClientEvent::Timeout { client: at, number }));
    }

    fn end(&mut self, at: usize, number: u64, reply: Reply, env: &mut Env) {
        let client = &mut self.all[at];
        let Some(doing) = client.doing.take_if(|doing| doing.number == number) else { return };
        env.trace.event(31, env.now, at as u64, number);
        note!(env, Happening::Answer { client: at as u64, number, label: label::of_reply(&reply) });
        let answered = !matches!(reply, Reply::Refused | Reply::Lost);
        env.stats.answered += u64::from(answered);
        env.stats.ambiguous += u64::from(matches!(reply, Reply::Lost));
        client.learn(doing, reply, env);
        client.done |= answered;
        let wants_more = if client.probe { !client.done } else { !self.silent };
        if wants_more {
            if !client.probe && !answered {
                client.node = Env::a_server(&env.serving[0], &mut env.dice.clients);
            }
            // In a long world a client thinks for longer than peace may last; a probe asks until it is served.
            let thinks_us = env.swarm.load.think_us;
            let thinks_us = if client.probe { thinks_us.min(env.swarm.tick_us) } else { thinks_us };
            let delay = 1_000 + env.dice.clients.below(thinks_us + 1);
            env.after(delay, Event::Client(ClientEvent::Next { client: at }));
        }
    }
}

impl Client {
    /// Decide what to ask; notes it in the recording.
    fn draw(&mut self, at: usize, env: &mut Env) -> (Ask, What, Vec<usize>) {
        let value = Bytes::from(format!("c{at}-{}", self.number));
        let key = key(env.dice.clients.below(env.swarm.load.keys));
        if self.probe {
            return self.puts(at, vec![key], value, env);
        }
        if env.swarm.load.leases && env.dice.clients.percent(20) {
            return self.draw_lease(at, value, env);
        }
        if env.swarm.load.compact && self.newest > 2 && env.dice.clients.percent(3) {
            let revision = self.newest - env.dice.clients.below(5).min(self.newest as u64 - 1) as i64;
            return (Ask::Write(Command::Compact { revision }), What::Other, Vec::new());
        }
        if env.dice.clients.percent(env.swarm.load.read_percent) {
            return self.read(at, key, env);
        }
        match env.dice.clients.below(10) {
            0..5 => self.puts(at, vec![key], value, env),
            5 => {
                let keys = (0..env.swarm.load.keys).map(self::key).collect();
                self.puts(at, keys, value, env)
            }
            6..8 => {
                let operations = env.checks.invoke(at as u64, vec![Call::Delete { key: key.clone() }]);
                let delete = DeleteRange { range: single(&key), prev_kv: false };
                (Ask::Write(Command::DeleteRange(delete)), What::Delete, operations)
            }
            _ => self.cas(at, key, value, env),
        }
    }

    fn puts(&self, at: usize, keys: Vec<Bytes>, value: Bytes, env: &mut Env) -> (Ask, What, Vec<usize>) {
        let call = |key: &Bytes| Call::Put { key: key.clone(), value: value.clone() };
        let operations = env.checks.invoke(at as u64, keys.iter().map(call).collect());
        let mut puts: Vec<Put> = keys.iter().map(|key| put(key, &value)).collect();
        let command = match puts.len() {
            1 => Command::Put(puts.remove(0)),
            _ => {
                let success = puts.into_iter().map(Op::Put).collect();
                Command::Txn(Box::new(Txn { success, ..Txn::default() }))
            }
        };
        (Ask::Write(command), What::Puts, operations)
    }

    fn read(&self, at: usize, key: Bytes, env: &mut Env) -> (Ask, What, Vec<usize>) {
        let all = env.dice.clients.percent(20);
        let keys = if all { (0..env.swarm.load.keys).map(self::key).collect() } else { vec![key.clone()] };
        let calls = keys.into_iter().map(|key| Call::Get { key }).collect();
        let operations = env.checks.invoke(at as u64, calls);
        let span = KeyRange { key: Bytes::from_static(b"k"), end: Bytes::from_static(b"l") };
        let range = Range { range: if all { span } else { single(&key) }, ..Range::default() };
        (Ask::Read(range), What::Get, operations)
    }

    fn cas(&self, at: usize, key: Bytes, value: Bytes, env: &mut Env) -> (Ask, What, Vec<usize>) {
        let expect = self.seen.get(&key).copied().unwrap_or(0);
        let call = Call::Cas { key: key.clone(), expect, value: value.clone() };
        let operations = env.checks.invoke(at as u64, vec![call]);
        let txn = Txn {
            compare: vec![Compare {
                range: single(&key),
                result: CompareResult::Equal,
                target: CompareTarget::Mod(expect as i64),
            }],
            success: vec![Op::Put(put(&key, &value))],
            failure: vec![Op::Range(Range { range: single(&key), ..Range::default() })],
        };
        (Ask::Write(Command::Txn(Box::new(txn))), What::Cas, operations)
    }

    fn draw_lease(&mut self, at: usize, value: Bytes, env: &mut Env) -> (Ask, What, Vec<usize>) {
        let Some(lease) = self.lease else {
            let id = ((at as i64 + 1) << 32) | self.number as i64;
            self.lease = Some(id);
            let ttl = env.dice.clients.between(1, 3) as i64;
            return (Ask::Write(Command::LeaseGrant { id, ttl }), What::Other, Vec::new());
        };
        match env.dice.clients.below(10) {
            0 => {
                self.lease = None;
                self.draw_lease(at, value, env)
            }
            1..5 => (Ask::KeepAlive(lease), What::Leased(None), Vec::new()),
            _ => {
                let key = Bytes::from(format!("lease{}", env.dice.clients.below(3)));
                let call = Call::Put { key: key.clone(), value: value.clone() };
                let invoked = env.checks.stamp();
                let outcome = Ending::Ambiguous;
                let client = at as u64;
                env.checks.leased.push(Operation { client, invoked, answered: u64::MAX, call, outcome });
                let recorded = Some(env.checks.leased.len() - 1);
                let command = Command::Put(Put { lease, ..put(&key, &value) });
                (Ask::Write(command), What::Leased(recorded), Vec::new())
            }
        }
    }

    /// Take an answer, and note it in the recording.
    fn learn(&mut self, doing: Doing, reply: Reply, env: &mut Env) {
        let answered = env.checks.stamp();
        if let Reply::Applied { revision, .. } | Reply::Range { revision, .. } = &reply {
            self.newest = self.newest.max(*revision);
        }
        if let What::Leased(recorded) = doing.ask {
            if let Reply::Ttl(None) | Reply::Applied { outcome: Err(_), .. } = &reply {
                self.lease = None;
            }
            if let Some(operation) = recorded.and_then(|at| env.checks.leased.get_mut(at)) {
                operation.answered = answered;
                operation.outcome = ending(&doing.ask, &operation.call, &reply);
            }
            return;
        }
        for at in doing.operations {
            let operation = &mut env.checks.operations[at];
            operation.outcome = ending(&doing.ask, &operation.call, &reply);
            if operation.outcome != Ending::Ambiguous {
                operation.answered = answered;
            }
            if let Ending::Ok(answer) = &operation.outcome {
                let revision = match answer {
                    Answer::Get { record, .. } | Answer::Cas { found: record, succeeded: false, .. } => {
                        record.as_ref().map_or(0, |record| record.mod_revision)
                    }
                    Answer::Delete { .. } => 0,
                    _ => answer.revision(),
                };
                self.seen.insert(operation.call.key().clone(), revision);
            }
        }
    }
}

/// The answer to one operation.
fn ending(what: &What, call: &Call, reply: &Reply) -> Ending {
    match (what, reply) {
        (_, Reply::Lost) => Ending::Ambiguous,
        // An error of the state machine leaves no trace in the state.
        (_, Reply::Refused | Reply::Applied { outcome: Err(_), .. }) => Ending::Failed,
        (What::Get, Reply::Range { found, revision }) => {
            let record = found.kvs.iter().find(|kv| kv.key == call.key()).map(record);
            Ending::Ok(Answer::Get { revision: *revision as u64, record })
        }
        (What::Puts | What::Leased(_), Reply::Applied { revision, .. }) => {
            Ending::Ok(Answer::Put { revision: *revision as u64 })
        }
        (What::Delete, Reply::Applied { outcome: Ok(Outcome::DeleteRange { deleted, .. }), revision }) => {
            Ending::Ok(Answer::Delete { revision: *revision as u64, deleted: *deleted as u64 })
        }
        (What::Cas, Reply::Applied { outcome: Ok(Outcome::Txn(txn)), revision }) => {
            let found = match txn.responses.first().map(|response| &response.outcome) {
                Some(OpResult::Range(range)) => range.kvs.first().map(record),
                _ => None,
            };
            Ending::Ok(Answer::Cas { revision: *revision as u64, succeeded: txn.succeeded, found })
        }
        _ => Ending::Ambiguous,
    }
}

fn record(kv: &KeyValue) -> Record {
    Record {
        value: kv.value.clone(),
        create_revision: kv.create_revision as u64,
        mod_revision: kv.mod_revision as u64,
        version: kv.version as u64,
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("k{number}"))
}

fn single(key: &Bytes) -> KeyRange {
    KeyRange { key: key.clone(), end: Bytes::new() }
}

fn put(key: &Bytes, value: &Bytes) -> Put {
    Put { key: key.clone(), value: value.clone(), ..Put::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::trace::Trace;
    use quorate_protocol::{Caps, Random};

    /// A probe whose request was lost asks again at once. In a world that lasts a day, where clients think for minutes,
    /// it once thought as long as they do, and peace was over before it asked again.
    #[test]
    fn a_probe_does_not_stop_to_think() {
        let options = Options::default();
        let mut swarm = options.swarm();
        (swarm.load.clients, swarm.load.think_us) = (0, 600_000_000);
        for seed in 0..20 {
            let dice = Random::new(seed);
            let (caps, trace) = (Caps { sparse_log: false }, Trace::new(false, "raft"));
            let mut env = Env::new(dice, swarm.clone(), &options, caps, trace);
            let mut clients = Clients::new(0, &mut env);
            clients.probe(&[0], &mut env);
            let mut asked = 0;
            while asked < 10 {
                match env.next_event() {
                    Some(Event::Client(event)) => clients.handle(event, &mut env),
                    Some(_) => asked += 1,
                    None => panic!("it asks until it is served"),
                }
            }
            let each_us = swarm.load.patience_us + swarm.tick_us + 2_000;
            assert!(env.now <= 10 * each_us, "asked ten times within {} us", env.now);
        }
    }
}
