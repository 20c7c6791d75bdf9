//! The resource of the tests: a store of all versions, with payloads that can be read.
//!
//! A payload is a list of words, divided by `;`: `get k`, `range a b` (`b` may be `-` for no end), `if k v` (a compare; `-` for
//! absent), `put k v`, `add k n`, and after `else` what the second branch puts and adds.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_commit::{Evaluation, Resource, Span, Timestamp, TxnId, Work};
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

/// All versions of all keys, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    pub keys: BTreeMap<String, Vec<(Timestamp, String)>>,
    /// Transactions carried out, in order.
    pub carried: Vec<TxnId>,
}

/// One word of a payload.
enum Op<'a> {
    Get(&'a str),
    Range(&'a str, Option<&'a str>),
    If(&'a str, &'a str),
    Put(&'a str, &'a str),
    Add(&'a str, i64),
}

/// The operations, each with whether it is of the first branch.
fn ops(payload: &str) -> Vec<(bool, Op<'_>)> {
    let mut first = true;
    let mut ops = Vec::new();
    for op in payload.split(';').map(str::trim).filter(|op| !op.is_empty()) {
        let words: Vec<&str> = op.split_whitespace().collect();
        ops.push((
            first,
            match words[..] {
                ["else"] => {
                    first = false;
                    continue;
                }
                ["get", key] => Op::Get(key),
                ["range", start, "-"] => Op::Range(start, None),
                ["range", start, end] => Op::Range(start, Some(end)),
                ["if", key, value] => Op::If(key, value),
                ["put", key, value] => Op::Put(key, value),
                ["add", key, by] => Op::Add(key, by.parse().expect("a number")),
                _ => panic!("no such operation: {op}"),
            },
        ));
    }
    ops
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn text(payload: &Bytes) -> &str {
    std::str::from_utf8(payload).expect("payloads are text")
}

/// The work of a payload: with the locks it needs.
pub fn work(payload: &str) -> Work {
    let mut work = Work { payload: bytes(payload), ..Work::default() };
    for (_, op) in ops(payload) {
        match op {
            Op::Get(key) | Op::If(key, _) => work.reads.push(Span::Key(bytes(key))),
            Op::Range(start, end) => work.reads.push(Span::Range(bytes(start), end.map(bytes))),
            Op::Put(key, _) | Op::Add(key, _) => work.writes.push(Span::Key(bytes(key))),
        }
    }
    work
}

impl Store {
    /// A key's value at a moment; `-` if it has none.
    pub fn at(&self, key: &str, ts: Timestamp) -> &str {
        let versions = self.keys.get(key).map_or(&[][..], |versions| versions);
        versions.iter().filter(|(at, _)| *at <= ts).max_by_key(|(at, _)| *at).map_or("-", |(_, value)| value)
    }

    /// A key's latest value.
    pub fn latest(&self, key: &str) -> &str {
        self.keys.get(key).and_then(|versions| versions.last()).map_or("-", |(_, value)| value)
    }

    /// The answers to what is read.
    fn answer(&self, payload: &str, value: impl Fn(&str) -> String) -> String {
        let mut answers = Vec::new();
        for (_, op) in ops(payload) {
            match op {
                Op::Get(key) => answers.push(format!("{key}={}", value(key))),
                Op::Range(start, end) => {
                    let within = |key: &&String| {
                        key.as_str() >= start && end.is_none_or(|end| key.as_str() < end) && value(key) != "-"
                    };
                    answers
                        .extend(self.keys.keys().filter(within).map(|key| format!("{key}={}", value(key))));
                }
                _ => {}
            }
        }
        answers.join(",")
    }
}

impl Resource for Store {
    fn evaluate(&self, payload: &Bytes) -> Evaluation {
        let payload = text(payload);
        let holds = |(_, op): &(bool, Op)| match op {
            Op::If(key, value) => self.latest(key) == *value,
            _ => true,
        };
        let holds = ops(payload).iter().all(holds);
        Evaluation { holds, answer: self.answer(payload, |key| self.latest(key).to_owned()).into() }
    }

    fn commit(&mut self, txn: TxnId, ts: Timestamp, payload: &Bytes, first: bool) -> Bytes {
        for (_, op) in ops(text(payload)).into_iter().filter(|(of, _)| *of == first) {
            let (key, value) = match op {
                Op::Put(key, value) => (key, value.to_owned()),
                Op::Add(key, by) => (key, (self.latest(key).parse().unwrap_or(0) + by).to_string()),
                _ => continue,
            };
            self.keys.entry(key.to_owned()).or_default().push((ts, value));
        }
        self.carried.push(txn);
        self.carried.len().to_string().into()
    }

    fn read(&self, at: Timestamp, payload: &Bytes) -> Bytes {
        self.answer(text(payload), |key| self.at(key, at).to_owned()).into()
    }

    fn encode(&self, out: &mut Writer) {
        out.u32(self.keys.len() as u32);
        for (key, versions) in &self.keys {
            out.slice(key.as_bytes());
            out.u32(versions.len() as u32);
            for (ts, value) in versions {
                ts.encode(out);
                out.slice(value.as_bytes());
            }
        }
        out.list(&self.carried);
    }

    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let string = |input: &mut Reader| {
            String::from_utf8(input.bytes()?.to_vec()).map_err(|_| Malformed("text of the store"))
        };
        let mut store = Store::default();
        for _ in 0..input.u32()? {
            let key = string(input)?;
            let mut versions = Vec::new();
            for _ in 0..input.u32()? {
                versions.push((Timestamp::decode(input)?, string(input)?));
            }
            store.keys.insert(key, versions);
        }
        store.carried = input.list()?;
        Ok(store)
    }
}
