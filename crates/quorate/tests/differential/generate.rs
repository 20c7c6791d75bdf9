//! Random requests over a small key space, legal and not.

use bytes::Bytes;
use quorate_api::proto::etcdserverpb as pb;
use quorate_api::proto::etcdserverpb::compare::TargetUnion;
use quorate_api::proto::etcdserverpb::request_op::Request;
use quorate_protocol::Random;

/// A request.
#[derive(Clone, Debug)]
pub enum Op {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    DeleteRange(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
    TimeToLive(pb::LeaseTimeToLiveRequest),
    Leases,
}

/// Draws requests.
pub struct Generator {
    pub random: Random,
    /// The stores' revision, to choose interesting revisions around.
    pub revision: i64,
    /// Whether history may be compacted away.
    pub compacts: bool,
}

impl Generator {
    pub fn next(&mut self) -> Op {
        match self.random.below(100) {
            0..=29 => Op::Put(self.put()),
            30..=49 => Op::Range(self.range(false)),
            50..=57 => Op::DeleteRange(self.delete()),
            58..=84 => Op::Txn(self.txn(0)),
            85..=90 => Op::Grant(pb::LeaseGrantRequest { ttl: self.ttl(), id: self.lease() }),
            91..=92 => Op::Revoke(pb::LeaseRevokeRequest { id: self.lease() }),
            93..=94 => Op::TimeToLive(pb::LeaseTimeToLiveRequest { id: self.lease(), keys: true }),
            95 => Op::Leases,
            96..=97 if self.compacts => {
                let revision = self.revision_around();
                Op::Compact(pb::CompactionRequest { revision, physical: self.random.percent(50) })
            }
            _ => Op::Range(self.range(false)),
        }
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.random.below(choices.len() as u64) as usize].clone()
    }

    fn key(&mut self) -> Bytes {
        if self.random.percent(1) {
            return Bytes::new();
        }
        Bytes::from_static(self.pick(&[b"a".as_slice(), b"ab", b"b", b"ba", b"c", b"d", b"\0", b"\xff\xff"]))
    }

    fn end(&mut self) -> Bytes {
        Bytes::from_static(self.pick(&[b"".as_slice(), b"", b"", b"\0", b"b", b"c", b"e", b"a", b"\xff"]))
    }

    fn value(&mut self) -> Bytes {
        let length = self.pick(&[0, 1, 1, 2, 40]);
        let letter = b'p' + self.random.below(4) as u8;
        Bytes::from(vec![letter; length])
    }

    /// Few explicit ones, so that they meet; one is never granted, and none is chosen by the server.
    fn lease(&mut self) -> i64 {
        self.pick(&[1, 2, 3, -7, i64::MAX])
    }

    /// Long enough that none expires during a test.
    fn ttl(&mut self) -> i64 {
        self.pick(&[1_000, 9_000_000_000, 9_000_000_001])
    }

    fn revision_around(&mut self) -> i64 {
        match self.random.below(10) {
            0 => -(self.random.below(3) as i64),
            1 => self.revision + 1 + self.random.below(3) as i64,
            _ => 1 + self.random.below(self.revision as u64) as i64,
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        let ignore_value = self.random.percent(10);
        let ignore_lease = self.random.percent(10);
        let value = if ignore_value && self.random.percent(90) { Bytes::new() } else { self.value() };
        let lease = match self.random.percent(15) && !(ignore_lease && self.random.percent(90)) {
            true => self.lease(),
            false => 0,
        };
        let prev_kv = self.random.percent(40);
        pb::PutRequest { key: self.key(), value, lease, prev_kv, ignore_value, ignore_lease }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let range_end = if self.random.percent(60) { Bytes::new() } else { self.end() };
        pb::DeleteRangeRequest { key: self.key(), range_end, prev_kv: self.random.percent(50) }
    }

    /// In a transaction only the natural order: where many orders are right the comparison needs the request.
    fn range(&mut self, in_txn: bool) -> pb::RangeRequest {
        let mut range = pb::RangeRequest { key: self.key(), range_end: self.end(), ..Default::default() };
        if self.random.percent(30) {
            range.revision = self.revision_around();
        }
        range.limit = if self.random.percent(30) { self.random.between(0, 5) as i64 - 1 } else { 0 };
        range.serializable = self.random.percent(20);
        range.keys_only = self.random.percent(15);
        range.count_only = self.random.percent(10);
        if self.random.percent(25) {
            range.min_mod_revision = self.bound();
            range.max_mod_revision = self.bound();
        }
        if self.random.percent(25) {
            range.min_create_revision = self.bound();
            range.max_create_revision = self.bound();
        }
        if self.random.percent(40) {
            range.sort_order = self.random.below(3) as i32;
            range.sort_target = if in_txn { 0 } else { self.random.below(5) as i32 };
        }
        range
    }

    fn bound(&mut self) -> i64 {
        if self.random.percent(50) { 0 } else { self.revision_around() }
    }

    fn txn(&mut self, depth: u32) -> pb::TxnRequest {
        let compare = (0..self.random.below(3)).map(|_| self.compare()).collect();
        let (success, failure) = (self.ops(depth), self.ops(depth));
        pb::TxnRequest { compare, success, failure }
    }

    fn ops(&mut self, depth: u32) -> Vec<pb::RequestOp> {
        let count = if self.random.percent(2) { 100 + self.random.below(40) } else { self.random.below(4) };
        (0..count).map(|_| pb::RequestOp { request: self.op(depth) }).collect()
    }

    fn op(&mut self, depth: u32) -> Option<Request> {
        match self.random.below(100) {
            0 => None,
            1..=35 => Some(Request::RequestPut(self.put())),
            36..=65 => Some(Request::RequestRange(self.range(true))),
            66..=84 => Some(Request::RequestDeleteRange(self.delete())),
            _ if depth < 2 => Some(Request::RequestTxn(self.txn(depth + 1))),
            _ => Some(Request::RequestPut(self.put())),
        }
    }

    fn compare(&mut self) -> pb::Compare {
        let target = self.random.below(5) as i32;
        let number = self.pick(&[0, 1, 2, self.revision / 2, self.revision]);
        let matching = if self.random.percent(85) { target } else { self.random.below(5) as i32 };
        let target_union = match matching {
            0 => TargetUnion::Version(number.min(3)),
            1 => TargetUnion::CreateRevision(number),
            2 => TargetUnion::ModRevision(number),
            3 => TargetUnion::Value(self.value()),
            _ => TargetUnion::Lease(self.lease()),
        };
        let target_union = if self.random.percent(4) { None } else { Some(target_union) };
        // Numbers that mean nothing are sent as well.
        let result = if self.random.percent(3) { 9 } else { self.random.below(4) as i32 };
        let target = if self.random.percent(2) { 9 } else { target };
        let range_end = if self.random.percent(75) { Bytes::new() } else { self.end() };
        pb::Compare { result, target, key: self.key(), range_end, target_union }
    }
}
