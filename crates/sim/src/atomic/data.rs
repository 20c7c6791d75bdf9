//! What a site keeps: lists, registers and accounts, each with all its versions, and a revision that counts transactions.
//!
//! It is as small as a store can be and still show every anomaly: a transaction reads lists, registers or whole ranges of
//! them, appends, overwrites, and moves money if there is enough. What it read is answered with the place of each version among
//! its key's, so that a checker need not guess the order of writes. Nothing is ever forgotten: a read as of any moment can be
//! answered, and at the end of a run all of it is there to be compared.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_commit::{Evaluation, Resource, Span, Timestamp, TxnId, Work};
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

/// A key's versions, each with the moment it was committed at.
type Versions = Vec<(Timestamp, i64)>;

/// A part of a transaction at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read a key.
    Read(Bytes),
    /// Read all keys that begin so.
    Scan(Bytes),
    /// Overwrite, or append: another version.
    Put(Bytes, i64),
    /// Add to the last version, if it then is not below zero: else nothing of the whole transaction is done.
    Add(Bytes, i64),
}

/// What was read of a key: all its versions' values.
pub type Found = Vec<(Bytes, Vec<i64>)>;

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Transactions committed here.
    pub revision: u64,
    keys: BTreeMap<Bytes, Versions>,
}

impl Op {
    /// The key or prefix.
    pub fn key(&self) -> &Bytes {
        match self {
            Op::Read(key) | Op::Scan(key) | Op::Put(key, _) | Op::Add(key, _) => key,
        }
    }
}

/// The keys that begin so.
fn all_of(prefix: &Bytes) -> (Bytes, Option<Bytes>) {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (prefix.clone(), Some(end.into()))
}

/// What these ask of a site.
pub fn work(ops: &[Op]) -> Work {
    let mut work = Work::default();
    for op in ops {
        match op {
            Op::Read(key) => work.reads.push(Span::Key(key.clone())),
            Op::Scan(prefix) => {
                let (start, end) = all_of(prefix);
                work.reads.push(Span::Range(start, end));
            }
            Op::Put(key, _) => work.writes.push(Span::Key(key.clone())),
            Op::Add(key, _) => {
                work.reads.push(Span::Key(key.clone()));
                work.writes.push(Span::Key(key.clone()));
            }
        }
    }
    work.payload = payload(ops);
    work
}

/// These as bytes.
pub fn payload(ops: &[Op]) -> Bytes {
    let mut out = Writer::new();
    out.list(ops);
    out.into_bytes()
}

/// What a site answered.
pub fn found(answer: &Bytes) -> Result<Found, Malformed> {
    let mut input = Reader::new(answer.clone());
    let count = input.u32()?;
    (0..count).map(|_| Ok((input.bytes()?, take_values(&mut input)?))).collect()
}

fn take_values(input: &mut Reader) -> Result<Vec<i64>, Malformed> {
    let count = input.u32()?;
    (0..count).map(|_| input.i64()).collect()
}

fn ops(payload: &Bytes) -> Vec<Op> {
    Reader::whole::<Ops>(payload.clone()).map_or(Vec::new(), |ops| ops.0)
}

impl Data {
    /// With these accounts, of so much each.
    pub fn founded(accounts: impl Iterator<Item = Bytes>, balance: i64) -> Self {
        let keys = accounts.map(|key| (key, vec![(Timestamp(0), balance)])).collect();
        Data { revision: 0, keys }
    }

    /// All keys that begin so, with the last version of each.
    pub fn all(&self, prefix: &Bytes) -> Found {
        self.look(&Op::Scan(prefix.clone()), Timestamp(u64::MAX))
    }

    fn last(&self, key: &Bytes) -> i64 {
        self.keys.get(key).and_then(|versions| versions.last()).map_or(0, |(_, value)| *value)
    }

    /// What an operation sees as of a moment; of a key to be written, too.
    fn look(&self, op: &Op, at: Timestamp) -> Found {
        let upto = |versions: &Versions| -> Vec<i64> {
            versions.iter().filter(|(ts, _)| *ts <= at).map(|(_, value)| *value).collect()
        };
        match op {
            Op::Scan(prefix) => {
                let ours = self.keys.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(prefix));
                ours.map(|(key, versions)| (key.clone(), upto(versions))).collect()
            }
            op => vec![(op.key().clone(), self.keys.get(op.key()).map(upto).unwrap_or_default())],
        }
    }

    fn answer(&self, ops: &[Op], at: Timestamp) -> Bytes {
        let found: Found = ops.iter().flat_map(|op| self.look(op, at)).collect();
        let mut out = Writer::new();
        out.u32(found.len() as u32);
        for (key, values) in found {
            out.bytes(&key);
            out.u32(values.len() as u32);
            values.into_iter().for_each(|value| out.i64(value));
        }
        out.into_bytes()
    }
}

impl Resource for Data {
    fn evaluate(&self, payload: &Bytes) -> Evaluation {
        let ops = ops(payload);
        let enough = |op: &Op| match op {
            Op::Add(key, amount) => self.last(key) + amount >= 0,
            _ => true,
        };
        Evaluation { holds: ops.iter().all(enough), answer: self.answer(&ops, Timestamp(u64::MAX)) }
    }

    fn commit(&mut self, _txn: TxnId, ts: Timestamp, payload: &Bytes, first: bool) -> Bytes {
        self.revision += 1;
        for op in ops(payload).into_iter().filter(|_| first) {
            let (key, value) = match op {
                Op::Read(_) | Op::Scan(_) => continue,
                Op::Put(key, value) => (key, value),
                Op::Add(key, amount) => {
                    let sum = self.last(&key) + amount;
                    (key, sum)
                }
            };
            self.keys.entry(key).or_default().push((ts, value));
        }
        Bytes::copy_from_slice(&self.revision.to_le_bytes())
    }

    fn read(&self, at: Timestamp, payload: &Bytes) -> Bytes {
        self.answer(&ops(payload), at)
    }

    fn encode(&self, out: &mut Writer) {
        out.u64(self.revision);
        out.u32(self.keys.len() as u32);
        for (key, versions) in &self.keys {
            out.bytes(key);
            out.u32(versions.len() as u32);
            for (ts, value) in versions {
                ts.encode(out);
                out.i64(*value);
            }
        }
    }

    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let (revision, count) = (input.u64()?, input.u32()?);
        let mut keys = BTreeMap::new();
        for _ in 0..count {
            let (key, count) = (input.bytes()?, input.u32()?);
            let versions: Result<Versions, Malformed> =
                (0..count).map(|_| Ok((Timestamp::decode(input)?, input.i64()?))).collect();
            keys.insert(key, versions?);
        }
        Ok(Data { revision, keys })
    }
}

struct Ops(Vec<Op>);

impl Decode for Ops {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        input.list().map(Ops)
    }
}

impl Encode for Op {
    fn encode(&self, out: &mut Writer) {
        let (tag, value) = match self {
            Op::Read(_) => (0, None),
            Op::Scan(_) => (1, None),
            Op::Put(_, value) => (2, Some(value)),
            Op::Add(_, amount) => (3, Some(amount)),
        };
        out.u8(tag);
        out.bytes(self.key());
        value.into_iter().for_each(|value| out.i64(*value));
    }
}

impl Decode for Op {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let (tag, key) = (input.u8()?, input.bytes()?);
        Ok(match tag {
            0 => Op::Read(key),
            1 => Op::Scan(key),
            2 => Op::Put(key, input.i64()?),
            3 => Op::Add(key, input.i64()?),
            _ => return Err(Malformed("operation")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &'static str) -> Bytes {
        Bytes::from_static(name.as_bytes())
    }

    #[test]
    fn it_is_read_as_of_any_moment_and_comes_back_from_its_bytes() {
        let mut data = Data::founded([key("a0")].into_iter(), 100);
        let txn = TxnId::default();
        data.commit(txn, Timestamp(5), &payload(&[Op::Put(key("l1"), 7), Op::Add(key("a0"), -30)]), true);
        data.commit(txn, Timestamp(9), &payload(&[Op::Put(key("l1"), 8)]), true);
        data.commit(txn, Timestamp(11), &payload(&[Op::Put(key("l1"), 9)]), false);
        assert_eq!(data.revision, 3);
        let read = |at| found(&data.read(Timestamp(at), &payload(&[Op::Scan(key("l"))]))).expect("an answer");
        assert_eq!(read(4), [(key("l1"), vec![])]);
        assert_eq!(read(5), [(key("l1"), vec![7])]);
        assert_eq!(read(20), [(key("l1"), vec![7, 8])]);
        assert!(data.evaluate(&payload(&[Op::Add(key("a0"), -70)])).holds);
        assert!(!data.evaluate(&payload(&[Op::Add(key("a0"), -71)])).holds);
        let mut out = Writer::new();
        data.encode(&mut out);
        assert_eq!(Data::decode(&mut Reader::new(out.into_bytes())), Ok(data));
    }
}
