//! Writers that load records through the `etcd-client` crate while members come and go.
//!
//! Half of the writers use plain puts. One whose outcome is unknown is left alone until the chaos is over and
//! nothing of it can be under way any more: repeating it before could write the key twice. The other half use transactions (*if the key does not exist, put it, else read it*) and
//! repeat them until answered. Every attempt is recorded for the checkers. Now and then a writer turns to one
//! of a few contended keys, so that operations overlap.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{Client, Compare, CompareOp, Error, KeyValue, ResponseHeader, Txn, TxnOp, TxnOpResponse};
use quorate_checker::history::{Answer, Call, Outcome, Record, Recorder, Ticket};
use quorate_protocol::Random;

use crate::records;

/// Begins the contended keys.
pub const CONTENDED: &str = "contended:";

/// How many of them there are.
const CONTENDED_KEYS: u64 = 8;

/// How long a writer waits for an answer.
const ANSWER: Duration = Duration::from_secs(4);

/// What the writers share.
#[derive(Debug, Default)]
pub struct Load {
    todo: Mutex<VecDeque<records::Record>>,
    /// Records whose put ended nobody knows how: looked after when the chaos is over.
    later: Mutex<VecDeque<records::Record>>,
    recorder: Mutex<Recorder>,
    /// Answers so far.
    pub answered: AtomicUsize,
    /// Attempts whose outcome nobody knows.
    pub unknown: AtomicUsize,
    /// Set when the chaos is over: writers end once nothing is left to do.
    pub over: AtomicBool,
}

impl Load {
    /// Of these records.
    pub fn new(records: Vec<records::Record>) -> Arc<Load> {
        Arc::new(Load { todo: Mutex::new(records.into()), ..Load::default() })
    }

    /// Records not taken yet.
    pub fn left(&self) -> usize {
        self.todo.lock().expect("writers do not panic").len()
    }

    /// What was recorded.
    pub fn recorded(&self) -> Recorder {
        self.recorder.lock().expect("writers do not panic").clone()
    }

    fn invoke(&self, client: u64, call: Call) -> Ticket {
        self.recorder.lock().expect("writers do not panic").invoke(client, call)
    }

    fn end(&self, ticket: Ticket, outcome: Outcome) {
        match outcome {
            Outcome::Ambiguous => self.unknown.fetch_add(1, Ordering::Relaxed),
            _ => self.answered.fetch_add(1, Ordering::Relaxed),
        };
        self.recorder.lock().expect("writers do not panic").end(ticket, outcome);
    }
}

/// One of the writers.
pub struct Writer {
    load: Arc<Load>,
    number: u64,
    client: Client,
    random: Random,
    made: u64,
}

impl Writer {
    /// Writer `number`, talking to all of these endpoints.
    ///
    /// # Errors
    /// An endpoint is no address.
    pub async fn new(load: Arc<Load>, number: u64, endpoints: &[String]) -> Result<Writer, Error> {
        let client = Client::connect(endpoints, None).await?;
        Ok(Writer { load, number, client, random: Random::new(number + 1), made: 0 })
    }

    /// Writes until everything is written and the chaos is over.
    pub async fn run(mut self) {
        loop {
            let over = self.load.over.load(Ordering::SeqCst);
            match take(&self.load.todo) {
                Some((key, value)) if self.number.is_multiple_of(2) => {
                    if !self.put(key.clone(), value.clone()).await {
                        self.load.later.lock().expect("writers do not panic").push_back((key, value));
                    }
                }
                Some((key, value)) => self.put_once(key, value).await,
                None if over => break,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
            if self.random.percent(8) {
                self.contend().await;
            }
        }
        while let Some((key, value)) = take(&self.load.later) {
            self.put_once(key, value).await;
        }
    }

    /// Answers whether there was an answer.
    async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let call = Call::Put { key: key.clone().into(), value: value.clone().into() };
        let ticket = self.load.invoke(self.number, call);
        let answer = tokio::time::timeout(ANSWER, self.client.put(key, value, None)).await;
        let outcome = match answer {
            Ok(Ok(answer)) => Outcome::Ok(Answer::Put { revision: revision(answer.header()) }),
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => Outcome::Ambiguous,
        };
        let answered = matches!(outcome, Outcome::Ok(_));
        self.load.end(ticket, outcome);
        answered
    }

    async fn put_once(&mut self, key: Vec<u8>, value: Vec<u8>) {
        while !self.compare_and_put(&key, 0, &value).await {}
    }

    /// One attempt; answers whether there was an answer.
    async fn compare_and_put(&mut self, key: &[u8], expect: u64, value: &[u8]) -> bool {
        let own = Bytes::copy_from_slice(key);
        let call = Call::Cas { key: own, expect, value: Bytes::copy_from_slice(value) };
        let ticket = self.load.invoke(self.number, call);
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, expect as i64)])
            .and_then([TxnOp::put(key, value, None)])
            .or_else([TxnOp::get(key, None)]);
        let outcome = match tokio::time::timeout(ANSWER, self.client.txn(txn)).await {
            Ok(Ok(answer)) => {
                let found = answer.op_responses().into_iter().find_map(|response| match response {
                    TxnOpResponse::Get(get) => get.kvs().first().map(record),
                    _ => None,
                });
                let revision = revision(answer.header());
                Outcome::Ok(Answer::Cas { revision, succeeded: answer.succeeded(), found })
            }
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => Outcome::Ambiguous,
        };
        let answered = matches!(outcome, Outcome::Ok(_));
        self.load.end(ticket, outcome);
        answered
    }

    /// Something on a key that others write as well.
    async fn contend(&mut self) {
        let key = format!("{CONTENDED}{}", self.random.below(CONTENDED_KEYS)).into_bytes();
        self.made += 1;
        let value = format!("{}.{}", self.number, self.made).into_bytes();
        match self.random.below(4) {
            0 => {
                self.put(key, value).await;
            }
            1 => self.delete(key).await,
            _ => {
                if let Some(expect) = self.get(&key).await {
                    self.compare_and_put(&key, expect, &value).await;
                }
            }
        }
    }

    async fn delete(&mut self, key: Vec<u8>) {
        let ticket = self.load.invoke(self.number, Call::Delete { key: key.clone().into() });
        let outcome = match tokio::time::timeout(ANSWER, self.client.delete(key, None)).await {
            Ok(Ok(answer)) => {
                let (revision, deleted) = (revision(answer.header()), answer.deleted() as u64);
                Outcome::Ok(Answer::Delete { revision, deleted })
            }
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => Outcome::Ambiguous,
        };
        self.load.end(ticket, outcome);
    }

    /// The key's mod_revision, 0 if it does not exist; none if nobody answers.
    async fn get(&mut self, key: &[u8]) -> Option<u64> {
        let ticket = self.load.invoke(self.number, Call::Get { key: Bytes::copy_from_slice(key) });
        let outcome = match tokio::time::timeout(ANSWER, self.client.get(key, None)).await {
            Ok(Ok(answer)) => {
                let record = answer.kvs().first().map(record);
                Outcome::Ok(Answer::Get { revision: revision(answer.header()), record })
            }
            Ok(Err(error)) => self.failed(&error).await,
            Err(_) => Outcome::Ambiguous,
        };
        let found = match &outcome {
            Outcome::Ok(Answer::Get { record, .. }) => {
                Some(record.as_ref().map_or(0, |record| record.mod_revision))
            }
            _ => None,
        };
        self.load.end(ticket, outcome);
        found
    }

    /// Nobody knows what became of it. Anything but a lost server is a mistake of the test or of the server.
    async fn failed(&mut self, error: &Error) -> Outcome {
        use tonic::Code;
        match error {
            Error::GRpcStatus(status)
                if matches!(
                    status.code(),
                    Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
                ) => {}
            Error::TransportError(_) | Error::IoError(_) => {}
            other => panic!("writer {}: an unexpected refusal: {other}", self.number),
        }
        tokio::time::sleep(Duration::from_millis(self.random.between(5, 50))).await;
        Outcome::Ambiguous
    }
}

fn take(records: &Mutex<VecDeque<records::Record>>) -> Option<records::Record> {
    records.lock().expect("writers do not panic").pop_front()
}

fn revision(header: Option<&ResponseHeader>) -> u64 {
    header.map_or(0, |header| header.revision() as u64)
}

fn record(kv: &KeyValue) -> Record {
    Record {
        value: Bytes::copy_from_slice(kv.value()),
        create_revision: kv.create_revision() as u64,
        mod_revision: kv.mod_revision() as u64,
        version: kv.version() as u64,
    }
}
