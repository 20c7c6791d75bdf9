//! Short ways to say commands, shared by the tests.
#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use quorate_kv::*;

pub mod random;

/// A state in memory that numbers its log entries itself.
pub struct Store {
    pub state: State<MemoryStorage>,
    pub index: u64,
}

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

impl Store {
    pub fn new() -> Self {
        Store { state: State::restore(MemoryStorage::new()), index: 0 }
    }

    /// Validate and apply, as the server does.
    pub fn apply(&mut self, command: Command) -> Applied {
        if let Err(error) = validate(&command, 128) {
            return Applied { revision: self.state.revision(), outcome: Err(error), events: Vec::new() };
        }
        self.index += 1;
        self.state.apply(self.index, (1, 1), &command)
    }

    /// Apply something that must succeed; the answer and the revision.
    pub fn ok(&mut self, command: Command) -> (i64, Outcome) {
        let applied = self.apply(command.clone());
        (applied.revision, applied.outcome.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Apply something that must be refused; it must change nothing.
    pub fn refused(&mut self, command: Command) -> Error {
        let before = (self.state.digest(), self.state.revision());
        let applied = self.apply(command.clone());
        assert_eq!((self.state.digest(), self.state.revision()), before, "{command:?}");
        assert_eq!(applied.events, [], "{command:?}");
        applied.outcome.expect_err("refused")
    }

    pub fn put(&mut self, key: &str, value: &str) -> i64 {
        self.ok(Command::Put(put(key, value))).0
    }

    pub fn delete(&mut self, key: &str, end: &str) -> i64 {
        self.ok(Command::DeleteRange(delete(key, end))).0
    }

    pub fn txn(&mut self, txn: Txn) -> (i64, TxnOutcome) {
        match self.ok(Command::Txn(Box::new(txn))) {
            (revision, Outcome::Txn(outcome)) => (revision, outcome),
            other => panic!("{other:?}"),
        }
    }

    pub fn txn_refused(&mut self, txn: Txn) -> Error {
        self.refused(Command::Txn(Box::new(txn)))
    }

    pub fn compact(&mut self, revision: i64) {
        self.ok(Command::Compact { revision });
    }

    pub fn range(&self, range: Range) -> RangeOutcome {
        validate_range(&range).and_then(|()| self.state.range(&range)).expect("readable")
    }

    pub fn range_refused(&self, range: Range) -> Error {
        validate_range(&range).and_then(|()| self.state.range(&range)).expect_err("refused")
    }
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn keys(key: &str, end: &str) -> KeyRange {
    KeyRange { key: bytes(key), end: bytes(end) }
}

pub fn put(key: &str, value: &str) -> Put {
    Put { key: bytes(key), value: bytes(value), ..Put::default() }
}

pub fn delete(key: &str, end: &str) -> DeleteRange {
    DeleteRange { range: keys(key, end), prev_kv: false }
}

pub fn get(key: &str, end: &str) -> Range {
    Range { range: keys(key, end), ..Range::default() }
}

pub fn get_at(key: &str, revision: i64) -> Range {
    Range { revision, ..get(key, "") }
}

pub fn then(success: impl Into<Vec<Op>>) -> Txn {
    Txn { success: success.into(), ..Txn::default() }
}

pub fn when(range: KeyRange, target: CompareTarget, result: CompareResult) -> Txn {
    Txn { compare: vec![Compare { range, result, target }], ..Txn::default() }
}

pub fn kv(key: &str, value: &str, create: i64, modified: i64, version: i64) -> KeyValue {
    KeyValue {
        key: bytes(key),
        value: bytes(value),
        create_revision: create,
        mod_revision: modified,
        version,
        lease: 0,
    }
}

/// The keys of an answer, as text.
pub fn names(outcome: &RangeOutcome) -> Vec<&str> {
    outcome.kvs.iter().map(|kv| std::str::from_utf8(&kv.key).expect("text")).collect()
}
