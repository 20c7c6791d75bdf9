//! Transactions (section 5.5 of our compatibility notes).
//!
//! A transaction runs in three steps, so that nothing has to be undone:
//! 1. *decide*: the conditions of the whole tree are evaluated on the state before it; those of a nested
//!    transaction too, although operations before it may run first. That fixes which branches run.
//! 2. *check*: the operations of these branches, and only these, are checked on the state before: puts first
//!    (does the key that is to keep its value exist, does the lease), then the revisions of ranges.
//! 3. *run*: in order, each operation seeing the changes before it.
//!
//! One thing more is checked than in etcd: a put that keeps the value of a key which the same transaction has
//! deleted by then. The duplicate rule prevents that but for deletions up to `\0`; etcd panics on it, here it
//! is refused like any put that keeps the value of a missing key.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::slice;

use super::State;
use super::write::Change;
use crate::Error;
use crate::command::{Compare, CompareResult, CompareTarget, Op, Put, Range, Txn};
use crate::outcome::{OpOutcome, OpResult, RangeOutcome, TxnOutcome};
use crate::record::Revision;
use crate::span::Span;
use crate::storage::Storage;
use crate::versions::{Head, LATEST};

/// Which branch each transaction of a tree takes, in the order in which they run.
type Path = Vec<bool>;

/// The branch taken.
fn branch(txn: &Txn, taken: bool) -> &[Op] {
    if taken { &txn.success } else { &txn.failure }
}

/// Whether a transaction needs no place in the log: ranges only, in both branches.
pub fn txn_is_read_only(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).all(|op| matches!(op, Op::Range(_)))
}

impl<S: Storage> State<S> {
    /// Carry out a transaction for which [`txn_is_read_only`] holds, without the log.
    ///
    /// # Errors
    /// Those of the ranges that would run. A transaction that could write is refused with
    /// [`Error::KeyNotFound`], as an operation that is not known.
    pub fn txn_read(&self, txn: &Txn) -> Result<TxnOutcome, Error> {
        let succeeded = self.holds(txn);
        let mut ranges = Vec::new();
        for op in branch(txn, succeeded) {
            let Op::Range(range) = op else { return Err(Error::KeyNotFound) };
            self.check_range(range)?;
            ranges.push(range);
        }
        let untouched = Change::after(self.meta.revision);
        let answer = |range: &Range| OpOutcome {
            revision: self.meta.revision,
            outcome: OpResult::Range(self.txn_range(range, &untouched)),
        };
        Ok(TxnOutcome { succeeded, responses: ranges.into_iter().map(answer).collect() })
    }

    pub(super) fn txn(&mut self, txn: &Txn, change: &mut Change) -> Result<TxnOutcome, Error> {
        let mut path = Path::new();
        self.decide(txn, &mut path);
        let mut ops = Vec::new();
        flatten(txn, &mut path.iter(), &mut ops);
        self.check_puts(&ops)?;
        for op in &ops {
            if let Op::Range(range) = op {
                self.check_range(range)?;
            }
        }
        for (at, op) in ops.iter().enumerate() {
            if let Op::Put(put) = op {
                check_undeleted(put, &ops[..at])?;
            }
        }
        Ok(self.execute(txn, &mut path.iter(), change))
    }

    fn decide(&self, txn: &Txn, path: &mut Path) {
        let succeeded = self.holds(txn);
        path.push(succeeded);
        for op in branch(txn, succeeded) {
            if let Op::Txn(nested) = op {
                self.decide(nested, path);
            }
        }
    }

    fn execute(&mut self, txn: &Txn, path: &mut slice::Iter<'_, bool>, change: &mut Change) -> TxnOutcome {
        let succeeded = next(path);
        let mut responses = Vec::new();
        for op in branch(txn, succeeded) {
            let outcome = match op {
                Op::Range(range) => OpResult::Range(self.txn_range(range, change)),
                Op::Put(put) => OpResult::Put(self.put(put, change)),
                Op::DeleteRange(delete) => {
                    let (deleted, prev_kvs) = self.delete_range(delete, change);
                    OpResult::DeleteRange { deleted, prev_kvs }
                }
                Op::Txn(nested) => OpResult::Txn(self.execute(nested, path, change)),
                // Refused when it was checked.
                Op::Empty => continue,
            };
            responses.push(OpOutcome { revision: change.seen(), outcome });
        }
        TxnOutcome { succeeded, responses }
    }

    fn txn_range(&self, range: &Range, change: &Change) -> RangeOutcome {
        let newest =
            range.revision <= 0 || (range.revision == self.meta.revision && change.events.is_empty());
        self.read(range, if newest { LATEST } else { range.revision })
    }

    /// Unlike in a range on its own, a negative revision is held against the compact revision, which starts at
    /// -1: so -1 is the newest until the first compaction, and any less is compacted from the beginning.
    fn check_range(&self, range: &Range) -> Result<(), Error> {
        match range.revision {
            0 => Ok(()),
            revision if revision > self.meta.revision => Err(Error::FutureRevision),
            revision if revision < self.meta.compact_revision => Err(Error::Compacted),
            _ => Ok(()),
        }
    }

    fn check_puts(&self, ops: &[&Op]) -> Result<(), Error> {
        for op in ops {
            match op {
                Op::Put(put) => {
                    self.check_ignore(put)?;
                    self.check_lease(put)?;
                }
                Op::Empty => return Err(Error::KeyNotFound),
                _ => {}
            }
        }
        Ok(())
    }

    fn holds(&self, txn: &Txn) -> bool {
        txn.compare.iter().all(|compare| self.compare(compare))
    }

    fn compare(&self, compare: &Compare) -> bool {
        let span = Span::from(&compare.range);
        let mut all = true;
        let mut any = false;
        self.each_live(span, |_, head| {
            any = true;
            all = self.satisfies(compare, Some(head));
            all
        });
        if any { all } else { self.satisfies(compare, None) }
    }

    /// Whether a record, or the lack of one, satisfies a condition.
    fn satisfies(&self, compare: &Compare, head: Option<Head>) -> bool {
        let absent = Head { revision: Revision::default(), create: 0, version: 0, lease: 0 };
        let fields = head.unwrap_or(absent);
        let order = match &compare.target {
            CompareTarget::Version(operand) => fields.version.cmp(operand),
            CompareTarget::Create(operand) => fields.create.cmp(operand),
            CompareTarget::Mod(operand) => fields.revision.main.cmp(operand),
            CompareTarget::Lease(operand) => fields.lease.cmp(operand),
            CompareTarget::Unknown => Ordering::Equal,
            // No value, no answer: not even "differs" holds of a missing key.
            CompareTarget::Value(_) if head.is_none() => return false,
            CompareTarget::Value(operand) => self.record(fields.revision).value.cmp(operand),
        };
        match compare.result {
            CompareResult::Equal => order.is_eq(),
            CompareResult::Greater => order.is_gt(),
            CompareResult::Less => order.is_lt(),
            CompareResult::NotEqual => order.is_ne(),
            CompareResult::Unknown => true,
        }
    }
}

fn next(path: &mut slice::Iter<'_, bool>) -> bool {
    *path.next().expect("a branch was decided for every transaction that runs")
}

/// The operations that run, in order, without the transactions that hold them.
fn flatten<'a>(txn: &'a Txn, path: &mut slice::Iter<'_, bool>, ops: &mut Vec<&'a Op>) {
    for op in branch(txn, next(path)) {
        match op {
            Op::Txn(nested) => flatten(nested, path, ops),
            op => ops.push(op),
        }
    }
}

/// Whether a key that is to keep its value or lease is still there after the operations `before`.
fn check_undeleted(put: &Put, before: &[&Op]) -> Result<(), Error> {
    if !put.ignore_value && !put.ignore_lease {
        return Ok(());
    }
    let last = before.iter().rev().find_map(|op| match op {
        Op::Put(other) if other.key == put.key => Some(true),
        Op::DeleteRange(delete) if Span::from(&delete.range).contains(&put.key) => Some(false),
        _ => None,
    });
    if last == Some(false) { Err(Error::KeyNotFound) } else { Ok(()) }
}
