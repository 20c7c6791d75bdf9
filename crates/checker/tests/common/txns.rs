//! Short names for building histories of transactions.
#![allow(dead_code, missing_docs)]

use bytes::Bytes;
use quorate_checker::isolation::{Op, Status, Transaction};

fn key(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

pub fn append(name: &str, value: u64) -> Op {
    Op::Append { key: key(name), value }
}

pub fn list(name: &str, values: &[u64]) -> Op {
    Op::List { key: key(name), values: values.to_vec() }
}

pub fn write(name: &str, value: u64) -> Op {
    Op::Write { key: key(name), value, version: None }
}

pub fn read(name: &str, value: u64) -> Op {
    Op::Read { key: key(name), value: Some(value), version: None }
}

pub fn nothing(name: &str) -> Op {
    Op::Read { key: key(name), value: None, version: None }
}

/// A register's operation with its version.
pub fn at(version: u64, mut op: Op) -> Op {
    if let Op::Write { version: place, .. } | Op::Read { version: place, .. } = &mut op {
        *place = Some(version);
    }
    op
}

/// A committed transaction, concurrent with all that are made like this; its own process.
pub fn txn(id: u64, ops: &[Op]) -> Transaction {
    Transaction {
        id,
        process: id,
        invoked: 0,
        completed: 1_000,
        status: Status::Committed,
        ops: ops.to_vec(),
    }
}

pub fn aborted(id: u64, ops: &[Op]) -> Transaction {
    Transaction { status: Status::Aborted, ..txn(id, ops) }
}

pub fn unknown(id: u64, ops: &[Op]) -> Transaction {
    Transaction { status: Status::Unknown, ..txn(id, ops) }
}

pub fn during(invoked: u64, completed: u64, txn: Transaction) -> Transaction {
    Transaction { invoked, completed, ..txn }
}

pub fn by(process: u64, txn: Transaction) -> Transaction {
    Transaction { process, ..txn }
}
