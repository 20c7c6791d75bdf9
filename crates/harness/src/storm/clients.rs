//! Clients that read and write, one request at a time each, by the plain protocol.
//!
//! A client talks to one member and turns to the next when it gets no answer. It never repeats a request: each
//! value is written by one attempt only, so that a read tells which attempt it saw. Whatever is not an answer
//! may have happened; a refusal that only a mistaken request deserves is itself a broken promise.
//!
//! Keys come in generations of some seconds, so that each key's history stays short enough to be searched for
//! an order.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quorate_api::proto::etcdserverpb as pb;
use quorate_api::proto::mvccpb;
use quorate_checker::Violation;
use quorate_checker::history::{Answer, Call, Outcome, Record};
use quorate_protocol::Random;
use tonic::{Code, Response, Status};

use super::history::{History, operation};
use crate::raw::{self, Raw};

/// How long a client waits for an answer.
pub const ANSWER: Duration = Duration::from_secs(3);

/// Between two requests, at most.
const THINK_MS: u64 = 16;

/// How long a generation of keys is in use.
const GENERATION_NS: u64 = 8_000_000_000;

/// Keys in a generation.
const KEYS: u64 = 10;

/// What makes a client try another member.
pub(super) struct NoAnswer;

/// Waits for an answer; a refusal that no fault explains is told to the recording.
pub(super) async fn ask<T>(
    history: &History,
    who: &str,
    request: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, NoAnswer> {
    match tokio::time::timeout(ANSWER, request).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => {
            if unexpected(status.code()) {
                let detail = format!("{who} was refused what nobody may refuse: {status}");
                history.broken(Violation::new("NoRefusal", detail));
            }
            Err(NoAnswer)
        }
        Err(_) => Err(NoAnswer),
    }
}

/// Whether no fault explains an error of this kind.
fn unexpected(code: Code) -> bool {
    !matches!(
        code,
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::Internal
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
    )
}

/// One of the clients.
pub struct Client {
    number: u64,
    members: Vec<Raw>,
    at: usize,
    random: Random,
    history: Arc<History>,
    made: u64,
    /// The mod_revision last seen of keys of this generation.
    seen: BTreeMap<Bytes, u64>,
    generation: u64,
}

impl Client {
    /// Client `number`, which begins with one of these endpoints.
    pub fn new(number: u64, endpoints: &[String], random: Random, history: Arc<History>) -> Client {
        let members = endpoints.iter().map(|endpoint| raw::at(endpoint)).collect();
        let (seen, at) = (BTreeMap::new(), number as usize);
        Client { number, members, at, random, history, made: 0, seen, generation: 0 }
    }

    /// Asks until told to stop.
    pub async fn run(mut self) {
        while !self.history.over() {
            let generation = self.history.now() / GENERATION_NS;
            if generation != self.generation {
                self.generation = generation;
                self.seen.clear();
            }
            let answered = match self.random.below(100) {
                0..24 => self.put().await,
                24..46 => self.get().await,
                46..66 => self.compare_and_swap().await,
                66..73 => self.delete().await,
                73..83 => self.put_two().await,
                83..90 => self.range().await,
                _ => self.read_stale().await,
            };
            if answered.is_err() {
                self.at += 1;
            }
            tokio::time::sleep(Duration::from_millis(self.random.below(THINK_MS))).await;
        }
    }

    fn member(&self) -> Raw {
        self.members[self.at % self.members.len()].clone()
    }

    fn who(&self) -> String {
        format!("client {}", self.number)
    }

    fn prefix(&self) -> String {
        format!("key/{:05}/", self.generation)
    }

    fn key(&mut self) -> Bytes {
        format!("{}{}", self.prefix(), self.random.below(KEYS)).into()
    }

    fn value(&mut self) -> Bytes {
        self.made += 1;
        format!("{}.{}", self.number, self.made).into()
    }

    /// Records what one request about these keys came to.
    fn end(
        &mut self,
        invoked: u64,
        calls: Vec<Call>,
        answers: Result<Vec<Answer>, NoAnswer>,
    ) -> Result<(), NoAnswer> {
        let answered = self.history.now();
        let (outcomes, result) = match answers {
            Ok(answers) => (answers.into_iter().map(Outcome::Ok).collect(), Ok(())),
            Err(none) => (vec![Outcome::Ambiguous; calls.len()], Err(none)),
        };
        for (call, outcome) in calls.iter().zip(&outcomes) {
            let Outcome::Ok(answer) = outcome else { continue };
            let modified = match answer {
                Answer::Get { record, .. } => record.as_ref().map_or(0, |record| record.mod_revision),
                Answer::Cas { succeeded: false, found, .. } => {
                    found.as_ref().map_or(0, |record| record.mod_revision)
                }
                Answer::Delete { .. } => 0,
                answer => answer.revision(),
            };
            self.seen.insert(call.key().clone(), modified);
        }
        let client = self.number;
        self.history.record(
            calls
                .into_iter()
                .zip(outcomes)
                .map(|(call, outcome)| operation(client, invoked, answered, call, outcome)),
        );
        result
    }

    async fn put(&mut self) -> Result<(), NoAnswer> {
        let (key, value, mut member) = (self.key(), self.value(), self.member());
        let request = pb::PutRequest { key: key.clone(), value: value.clone(), ..pb::PutRequest::default() };
        let invoked = self.history.now();
        let answer = ask(&self.history, &self.who(), member.kv.put(request)).await;
        let answer = answer.map(|answer| vec![Answer::Put { revision: revision(answer.header) }]);
        self.end(invoked, vec![Call::Put { key, value }], answer)
    }

    async fn get(&mut self) -> Result<(), NoAnswer> {
        let (key, mut member) = (self.key(), self.member());
        let request = pb::RangeRequest { key: key.clone(), ..pb::RangeRequest::default() };
        let invoked = self.history.now();
        let answer = ask(&self.history, &self.who(), member.kv.range(request)).await;
        self.end(invoked, vec![Call::Get { key }], answer.map(|answer| vec![got(&answer)]))
    }

    /// A read of any member's own state.
    async fn read_stale(&mut self) -> Result<(), NoAnswer> {
        let (key, mut member) = (self.key(), self.member());
        let request =
            pb::RangeRequest { key: key.clone(), serializable: true, ..pb::RangeRequest::default() };
        let invoked = self.history.now();
        let answer = ask(&self.history, &self.who(), member.kv.range(request)).await?;
        let (answered, outcome) = (self.history.now(), Outcome::Ok(got(&answer)));
        self.history.record_stale(operation(self.number, invoked, answered, Call::Get { key }, outcome));
        Ok(())
    }

    async fn delete(&mut self) -> Result<(), NoAnswer> {
        let (key, mut member) = (self.key(), self.member());
        let request = pb::DeleteRangeRequest { key: key.clone(), ..pb::DeleteRangeRequest::default() };
        let invoked = self.history.now();
        let answer = ask(&self.history, &self.who(), member.kv.delete_range(request)).await;
        let deleted = |answer: pb::DeleteRangeResponse| {
            vec![Answer::Delete { revision: revision(answer.header), deleted: answer.deleted as u64 }]
        };
        self.end(invoked, vec![Call::Delete { key }], answer.map(deleted))
    }

    /// If the key is as it was last seen, write it; else read it.
    async fn compare_and_swap(&mut self) -> Result<(), NoAnswer> {
        let (key, value, mut member) = (self.key(), self.value(), self.member());
        let expect = self.seen.get(&key).copied().unwrap_or(0);
        let put = pb::PutRequest { key: key.clone(), value: value.clone(), ..pb::PutRequest::default() };
        let get = pb::RangeRequest { key: key.clone(), ..pb::RangeRequest::default() };
        let compare = pb::Compare {
            key: key.clone(),
            target: pb::compare::CompareTarget::Mod.into(),
            result: pb::compare::CompareResult::Equal.into(),
            target_union: Some(pb::compare::TargetUnion::ModRevision(expect as i64)),
            ..pb::Compare::default()
        };
        let txn = pb::TxnRequest {
            compare: vec![compare],
            success: vec![step(pb::request_op::Request::RequestPut(put))],
            failure: vec![step(pb::request_op::Request::RequestRange(get))],
        };
        let invoked = self.history.now();
        let answer = ask(&self.history, &self.who(), member.kv.txn(txn)).await;
        let swapped = |answer: pb::TxnResponse| {
            let found = answer.responses.first().and_then(|response| match &response.response {
                Some(pb::response_op::Response::ResponseRange(range)) => range.kvs.first().map(record),
                _ => None,
            });
            vec![Answer::Cas { revision: revision(answer.header), succeeded: answer.succeeded, found }]
        };
        self.end(invoked, vec![Call::Cas { key, expect, value }], answer.map(swapped))
    }

    /// Two different keys in one transaction.
    async fn put_two(&mut self) -> Result<(), NoAnswer> {
        let (one, mut other, value) = (self.key(), self.key(), self.value());
        while other == one {
            other = self.key();
        }
        let mut member = self.member();
        let put = |key: &Bytes| {
            let (key, value) = (key.clone(), value.clone());
            step(pb::request_op::Request::RequestPut(pb::PutRequest { key, value, ..Default::default() }))
        };
        let txn = pb::TxnRequest { success: vec![put(&one), put(&other)], ..pb::TxnRequest::default() };
        self.history.record_transaction(vec![(one.clone(), value.clone()), (other.clone(), value.clone())]);
        let invoked = self.history.now();
        let answer = ask(&self.history, &self.who(), member.kv.txn(txn)).await;
        let answer = answer.map(|answer| vec![Answer::Put { revision: revision(answer.header) }; 2]);
        let calls = [one, other].map(|key| Call::Put { key, value: value.clone() });
        self.end(invoked, calls.into(), answer)
    }

    /// All keys of the generation at once: as many reads at one instant.
    async fn range(&mut self) -> Result<(), NoAnswer> {
        let (prefix, mut member) = (self.prefix(), self.member());
        // '0' comes after '/'.
        let range_end = format!("{}0", prefix.trim_end_matches('/'));
        let request = pb::RangeRequest {
            key: prefix.clone().into(),
            range_end: range_end.into(),
            ..pb::RangeRequest::default()
        };
        let calls = (0..KEYS).map(|n| Call::Get { key: format!("{prefix}{n}").into() }).collect::<Vec<_>>();
        let invoked = self.history.now();
        let answer = ask(&self.history, &self.who(), member.kv.range(request)).await;
        let split = |answer: pb::RangeResponse| {
            let revision = revision(answer.header);
            let find = |key: &Bytes| answer.kvs.iter().find(|kv| kv.key == key).map(record);
            calls.iter().map(|call| Answer::Get { revision, record: find(call.key()) }).collect()
        };
        let answer = answer.map(split);
        self.end(invoked, calls.clone(), answer)
    }
}

fn step(request: pb::request_op::Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn revision(header: Option<pb::ResponseHeader>) -> u64 {
    header.map_or(0, |header| header.revision as u64)
}

fn got(answer: &pb::RangeResponse) -> Answer {
    let revision = answer.header.as_ref().map_or(0, |header| header.revision as u64);
    Answer::Get { revision, record: answer.kvs.first().map(record) }
}

fn record(kv: &mvccpb::KeyValue) -> Record {
    Record {
        value: kv.value.clone(),
        create_revision: kv.create_revision as u64,
        mod_revision: kv.mod_revision as u64,
        version: kv.version as u64,
    }
}
