//! The naive twin: a store that keeps every change in one list and works everything out by reading it from
//! the start. A transaction runs on a copy that is thrown away if anything fails.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod members;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_kv::*;

#[derive(Clone, Debug)]
pub struct Model {
    pub revision: i64,
    pub compact: i64,
    pub changes: Vec<Event>,
    pub leases: BTreeMap<LeaseId, i64>,
    pub members: members::Roster,
}

pub type Live = BTreeMap<Bytes, KeyValue>;

pub fn inside(range: &KeyRange, key: &[u8]) -> bool {
    if range.end.is_empty() {
        return range.key == key;
    }
    &*range.key <= key && (*range.end == [0] || key < &*range.end)
}

impl Model {
    pub fn new() -> Self {
        Model {
            revision: 1,
            compact: -1,
            changes: Vec::new(),
            leases: BTreeMap::new(),
            members: members::Roster::default(),
        }
    }

    /// The live records as of a main revision.
    pub fn live(&self, at: i64) -> Live {
        let mut live = Live::new();
        for event in self.changes.iter().filter(|event| event.revision.main <= at) {
            match &event.record {
                Record::Put(kv) => live.insert(kv.key.clone(), kv.clone()),
                Record::Tombstone { key } => live.remove(key),
            };
        }
        live
    }

    pub fn apply(&mut self, command: &Command) -> (Result<Outcome, Error>, Vec<Event>) {
        let before = self.clone();
        let outcome = self.run(command);
        if outcome.is_err() {
            *self = before;
            return (outcome, Vec::new());
        }
        let events = self.changes[before.changes.len()..].to_vec();
        if !events.is_empty() {
            self.revision += 1;
        }
        (outcome, events)
    }

    fn run(&mut self, command: &Command) -> Result<Outcome, Error> {
        match command {
            Command::Put(put) => {
                if put.lease != 0 && !self.leases.contains_key(&put.lease) {
                    return Err(Error::LeaseNotFound);
                }
                self.put(put).map(Outcome::Put)
            }
            Command::DeleteRange(delete) => {
                let (deleted, prev_kvs) = self.delete(delete);
                Ok(Outcome::DeleteRange { deleted, prev_kvs })
            }
            Command::Txn(txn) => {
                let start = self.clone();
                start.check_puts(&start, txn)?;
                start.check_ranges(&start, txn)?;
                self.txn(&start, txn).map(Outcome::Txn)
            }
            Command::Compact { revision } if *revision <= self.compact => Err(Error::Compacted),
            Command::Compact { revision } if *revision > self.revision => Err(Error::FutureRevision),
            Command::Compact { revision } => {
                self.compact = *revision;
                Ok(Outcome::Compact)
            }
            Command::LeaseGrant { id: 0, .. } => Err(Error::LeaseNotFound),
            Command::LeaseGrant { ttl, .. } if *ttl > MAX_TTL => Err(Error::LeaseTtlTooLarge),
            Command::LeaseGrant { id, .. } if self.leases.contains_key(id) => Err(Error::LeaseExists),
            Command::LeaseGrant { id, ttl } => {
                self.leases.insert(*id, *ttl);
                Ok(Outcome::LeaseGrant { id: *id, ttl: *ttl })
            }
            Command::LeaseRevoke { id } => {
                self.leases.remove(id).ok_or(Error::LeaseNotFound)?;
                for key in self.attached(*id) {
                    self.log(Record::Tombstone { key });
                }
                Ok(Outcome::LeaseRevoke)
            }
            Command::Publish(publish) => self.members.publish(publish).map(|()| Outcome::Publish),
            Command::Member(change) => {
                self.members.change(change).map(|()| Outcome::Members(self.members.sorted()))
            }
        }
    }

    /// The keys of a lease.
    pub fn attached(&self, id: LeaseId) -> Vec<Bytes> {
        let live = self.live(i64::MAX);
        live.values().filter(|kv| kv.lease == id).map(|kv| kv.key.clone()).collect()
    }

    fn pending(&self) -> bool {
        self.changes.last().is_some_and(|event| event.revision.main > self.revision)
    }

    fn log(&mut self, mut record: Record) {
        let main = self.revision + 1;
        let sub = self.changes.iter().filter(|event| event.revision.main == main).count() as i64;
        if let Record::Put(kv) = &mut record {
            kv.mod_revision = main;
        }
        self.changes.push(Event { revision: Revision { main, sub }, record });
    }

    fn put(&mut self, put: &Put) -> Result<Option<KeyValue>, Error> {
        let old = self.live(i64::MAX).remove(&put.key);
        if (put.ignore_value || put.ignore_lease) && old.is_none() {
            return Err(Error::KeyNotFound);
        }
        let keep = old.clone().unwrap_or_default();
        self.log(Record::Put(KeyValue {
            key: put.key.clone(),
            create_revision: if old.is_some() { keep.create_revision } else { self.revision + 1 },
            mod_revision: 0,
            version: keep.version + 1,
            value: if put.ignore_value { keep.value } else { put.value.clone() },
            lease: if put.ignore_lease { keep.lease } else { put.lease },
        }));
        Ok(old.filter(|_| put.prev_kv))
    }

    fn delete(&mut self, delete: &DeleteRange) -> (i64, Vec<KeyValue>) {
        let live = self.live(i64::MAX);
        let gone: Vec<_> = live.into_values().filter(|kv| inside(&delete.range, &kv.key)).collect();
        for kv in &gone {
            self.log(Record::Tombstone { key: kv.key.clone() });
        }
        (gone.len() as i64, if delete.prev_kv { gone } else { Vec::new() })
    }

    fn ops<'a>(&self, txn: &'a Txn) -> &'a [Op] {
        if self.holds(txn) { &txn.success } else { &txn.failure }
    }

    /// Checks against the state before, for the branches that will run.
    fn check_puts(&self, start: &Model, txn: &Txn) -> Result<(), Error> {
        for op in start.ops(txn) {
            match op {
                Op::Put(put) => {
                    let missing = !start.live(i64::MAX).contains_key(&put.key);
                    if (put.ignore_value || put.ignore_lease) && missing {
                        return Err(Error::KeyNotFound);
                    }
                    if put.lease != 0 && !start.leases.contains_key(&put.lease) {
                        return Err(Error::LeaseNotFound);
                    }
                }
                Op::Txn(nested) => self.check_puts(start, nested)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_ranges(&self, start: &Model, txn: &Txn) -> Result<(), Error> {
        for op in start.ops(txn) {
            match op {
                Op::Range(range) if range.revision > start.revision => return Err(Error::FutureRevision),
                Op::Range(range) if range.revision != 0 && range.revision < start.compact => {
                    return Err(Error::Compacted);
                }
                Op::Txn(nested) => self.check_ranges(start, nested)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn txn(&mut self, start: &Model, txn: &Txn) -> Result<TxnOutcome, Error> {
        let mut responses = Vec::new();
        for op in start.ops(txn) {
            let outcome = match op {
                Op::Range(range) => OpResult::Range(self.read(range)),
                Op::Put(put) => OpResult::Put(self.put(put)?),
                Op::DeleteRange(delete) => {
                    let (deleted, prev_kvs) = self.delete(delete);
                    OpResult::DeleteRange { deleted, prev_kvs }
                }
                Op::Txn(nested) => OpResult::Txn(self.txn(start, nested)?),
                Op::Empty => return Err(Error::KeyNotFound),
            };
            responses.push(OpOutcome { revision: self.revision + i64::from(self.pending()), outcome });
        }
        Ok(TxnOutcome { succeeded: start.holds(txn), responses })
    }

    fn holds(&self, txn: &Txn) -> bool {
        txn.compare.iter().all(|compare| {
            let live = self.live(i64::MAX);
            let found: Vec<_> = live.values().filter(|kv| inside(&compare.range, &kv.key)).collect();
            match (found.is_empty(), &compare.target) {
                (true, CompareTarget::Value(_)) => false,
                (true, _) => satisfies(compare, &KeyValue::default()),
                (false, _) => found.iter().all(|kv| satisfies(compare, kv)),
            }
        })
    }

    pub fn range(&self, query: &Range) -> Result<RangeOutcome, Error> {
        if query.revision > self.revision {
            return Err(Error::FutureRevision);
        }
        if query.revision > 0 && query.revision < self.compact {
            return Err(Error::Compacted);
        }
        Ok(self.read(query))
    }

    fn read(&self, query: &Range) -> RangeOutcome {
        let live = self.live(if query.revision <= 0 { i64::MAX } else { query.revision });
        let mut kvs: Vec<_> = live.into_values().filter(|kv| inside(&query.range, &kv.key)).collect();
        let count = kvs.len() as i64;
        if query.count_only {
            return RangeOutcome { count, ..RangeOutcome::default() };
        }
        let (none, by_key) = (query.sort_order == SortOrder::None, query.sort_target == SortTarget::Key);
        let bounds = [
            query.min_mod_revision,
            query.max_mod_revision,
            query.min_create_revision,
            query.max_create_revision,
        ];
        if none && !by_key && query.limit > 0 && bounds == [0; 4] {
            kvs.truncate(query.limit as usize + 1);
        }
        let [min_mod, max_mod, min_create, max_create] = bounds;
        kvs.retain(|kv| {
            (min_mod == 0 || kv.mod_revision >= min_mod)
                && (max_mod == 0 || kv.mod_revision <= max_mod)
                && (min_create == 0 || kv.create_revision >= min_create)
                && (max_create == 0 || kv.create_revision <= max_create)
        });
        let number = |kv: &KeyValue| match query.sort_target {
            SortTarget::Version => kv.version,
            SortTarget::Create => kv.create_revision,
            SortTarget::Mod => kv.mod_revision,
            SortTarget::Key | SortTarget::Value => 0,
        };
        kvs.sort_by(|a, b| {
            let order = match query.sort_target {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Value => a.value.cmp(&b.value),
                _ => number(a).cmp(&number(b)),
            };
            let order = if query.sort_order == SortOrder::Descend { order.reverse() } else { order };
            order.then(a.key.cmp(&b.key))
        });
        let more = query.limit > 0 && kvs.len() as i64 > query.limit;
        if more {
            kvs.truncate(query.limit as usize);
        }
        if query.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        RangeOutcome { kvs, more, count }
    }

    /// The changes that compactions leave: at or below the compact revision only the newest of a key, and that
    /// only if it is a put, or a deletion exactly there.
    pub fn kept(&self) -> Vec<Event> {
        let newest: BTreeMap<&Bytes, Revision> = self
            .changes
            .iter()
            .filter(|event| event.revision.main <= self.compact)
            .map(|event| (event.record.key(), event.revision))
            .collect();
        let kept = |event: &&Event| {
            let tombstone = matches!(event.record, Record::Tombstone { .. });
            event.revision.main > self.compact
                || (newest[event.record.key()] == event.revision
                    && (!tombstone || event.revision.main == self.compact))
        };
        self.changes.iter().filter(kept).cloned().collect()
    }

    pub fn history(&self, range: &KeyRange, from: i64, to: i64) -> Vec<Event> {
        let wanted =
            |event: &Event| (from..=to).contains(&event.revision.main) && inside(range, event.record.key());
        self.kept().into_iter().filter(wanted).collect()
    }

    /// `HashKV` by laying out every byte.
    pub fn hash(&self, revision: i64) -> u32 {
        let mut bytes = b"key".to_vec();
        let live = self.live(revision);
        for event in self.kept() {
            let is_live = match &event.record {
                Record::Put(kv) => live.get(&kv.key) == Some(kv) || live.is_empty(),
                Record::Tombstone { .. } => false,
            };
            if event.revision.main > revision || (event.revision.main <= self.compact && !is_live) {
                continue;
            }
            bytes.extend(event.revision.main.to_be_bytes());
            bytes.push(b'_');
            bytes.extend(event.revision.sub.to_be_bytes());
            let kv = match event.record {
                Record::Put(kv) => kv,
                Record::Tombstone { key } => {
                    bytes.push(b't');
                    KeyValue { key, ..KeyValue::default() }
                }
            };
            encode(&kv, &mut bytes);
        }
        crc32c::crc32c(&bytes)
    }

    /// Leases that own keys, for comparing.
    pub fn leased(&self) -> BTreeSet<LeaseId> {
        self.live(i64::MAX).values().map(|kv| kv.lease).filter(|id| *id != 0).collect()
    }
}

fn encode(kv: &KeyValue, out: &mut Vec<u8>) {
    let varint = |mut number: u64, out: &mut Vec<u8>| {
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            out.push(if number > 0 { low | 0x80 } else { low });
            if number == 0 {
                return;
            }
        }
    };
    let fields = [(2, kv.create_revision), (3, kv.mod_revision), (4, kv.version)];
    out.push(0x0a);
    varint(kv.key.len() as u64, out);
    out.extend(&kv.key);
    for (field, number) in fields.into_iter().filter(|(_, number)| *number != 0) {
        out.push(field << 3);
        varint(number as u64, out);
    }
    if !kv.value.is_empty() {
        out.push(0x2a);
        varint(kv.value.len() as u64, out);
        out.extend(&kv.value);
    }
    if kv.lease != 0 {
        out.push(0x30);
        varint(kv.lease as u64, out);
    }
}

fn satisfies(compare: &Compare, kv: &KeyValue) -> bool {
    let order = match &compare.target {
        CompareTarget::Version(given) => kv.version.cmp(given),
        CompareTarget::Create(given) => kv.create_revision.cmp(given),
        CompareTarget::Mod(given) => kv.mod_revision.cmp(given),
        CompareTarget::Lease(given) => kv.lease.cmp(given),
        CompareTarget::Value(given) => kv.value.cmp(given),
        CompareTarget::Unknown => std::cmp::Ordering::Equal,
    };
    match compare.result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Unknown => true,
    }
}
