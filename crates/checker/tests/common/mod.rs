//! Short names for building histories.
#![allow(dead_code, missing_docs)]

use bytes::Bytes;
use quorate_checker::Violation;
use quorate_checker::events::{Change, Event};
use quorate_checker::history::{Answer, Call, Operation, Outcome, Record};

pub fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn record(value: &str, create_revision: u64, mod_revision: u64, version: u64) -> Record {
    Record { value: b(value), create_revision, mod_revision, version }
}

/// An operation of client 1 on key "k" between two times.
pub fn op(invoked: u64, answered: u64, call: Call, outcome: Outcome) -> Operation {
    Operation { client: 1, invoked, answered, call, outcome }
}

pub fn put(times: (u64, u64), value: &str, revision: u64) -> Operation {
    op(times.0, times.1, Call::Put { key: b("k"), value: b(value) }, Outcome::Ok(Answer::Put { revision }))
}

pub fn lost_put(invoked: u64, value: &str) -> Operation {
    op(invoked, u64::MAX, Call::Put { key: b("k"), value: b(value) }, Outcome::Ambiguous)
}

pub fn get(times: (u64, u64), revision: u64, record: Option<Record>) -> Operation {
    op(times.0, times.1, Call::Get { key: b("k") }, Outcome::Ok(Answer::Get { revision, record }))
}

pub fn delete(times: (u64, u64), revision: u64, deleted: u64) -> Operation {
    op(times.0, times.1, Call::Delete { key: b("k") }, Outcome::Ok(Answer::Delete { revision, deleted }))
}

pub fn lost_delete(invoked: u64) -> Operation {
    op(invoked, u64::MAX, Call::Delete { key: b("k") }, Outcome::Ambiguous)
}

pub fn cas(times: (u64, u64), expect: u64, value: &str, revision: u64) -> Operation {
    let answer = Answer::Cas { revision, succeeded: true, found: None };
    op(times.0, times.1, Call::Cas { key: b("k"), expect, value: b(value) }, Outcome::Ok(answer))
}

pub fn refused_cas(times: (u64, u64), expect: u64, revision: u64, found: Option<Record>) -> Operation {
    let answer = Answer::Cas { revision, succeeded: false, found };
    op(times.0, times.1, Call::Cas { key: b("k"), expect, value: b("never") }, Outcome::Ok(answer))
}

pub fn lost_cas(invoked: u64, expect: u64, value: &str) -> Operation {
    op(invoked, u64::MAX, Call::Cas { key: b("k"), expect, value: b(value) }, Outcome::Ambiguous)
}

pub fn on(key: &str, mut operation: Operation) -> Operation {
    let (Call::Put { key: at, .. }
    | Call::Get { key: at }
    | Call::Delete { key: at }
    | Call::Cas { key: at, .. }) = &mut operation.call;
    *at = b(key);
    operation
}

pub fn event(revision: u64, key: &str, value: &str, create_revision: u64, version: u64) -> Event {
    Event { revision, key: b(key), change: Change::Put { value: b(value), create_revision, version } }
}

pub fn deletion(revision: u64, key: &str) -> Event {
    Event { revision, key: b(key), change: Change::Delete }
}

#[track_caller]
pub fn broken(result: Result<(), Violation>, property: &str, needle: &str) {
    match result {
        Ok(()) => panic!("{property} should be violated"),
        Err(violation) => {
            assert_eq!(violation.property, property, "{violation}");
            assert!(violation.detail.contains(needle), "{needle:?} not in: {violation}");
        }
    }
}
