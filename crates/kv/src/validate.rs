//! What can be refused without looking at the state: done by the API before anything is proposed.
//!
//! Source: sections 5.2, 5.4 and 5.5 of our etcd compatibility notes. The order of checks decides which of
//! several errors a client sees, and is etcd's.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::Error;
use crate::command::{Command, DeleteRange, KeyRange, MemberChange, Op, Put, Range, Txn};
use crate::span::{End, Span};
use crate::state::MAX_TTL;

/// The deepest nesting of transactions let through whatever number of operations is allowed: what walks them
/// is recursive.
const MAX_DEPTH: usize = 128;

/// Check a command; `max_txn_ops` operations are allowed in a transaction (etcd's default is 128).
///
/// # Errors
/// What is wrong with it.
pub fn validate(command: &Command, max_txn_ops: usize) -> Result<(), Error> {
    match command {
        Command::Put(put) => validate_put(put),
        Command::DeleteRange(delete) => validate_delete_range(delete),
        Command::Txn(txn) => validate_txn(txn, max_txn_ops),
        Command::LeaseGrant { ttl, .. } if *ttl > MAX_TTL => Err(Error::LeaseTtlTooLarge),
        Command::Compact { .. }
        | Command::LeaseGrant { .. }
        | Command::LeaseRevoke { .. }
        | Command::Publish(_) => Ok(()),
        Command::Member(change) => validate_member_change(change),
    }
}

/// Check a change of the members.
///
/// # Errors
/// [`Error::BadMemberUrls`].
pub fn validate_member_change(change: &MemberChange) -> Result<(), Error> {
    match change {
        MemberChange::Add { peer_urls, .. } | MemberChange::Update { peer_urls, .. }
            if peer_urls.is_empty() || peer_urls.iter().any(String::is_empty) =>
        {
            Err(Error::BadMemberUrls)
        }
        _ => Ok(()),
    }
}

/// Check a read.
///
/// # Errors
/// [`Error::EmptyKey`].
pub fn validate_range(range: &Range) -> Result<(), Error> {
    present(&range.range)
}

/// Check a put.
///
/// # Errors
/// [`Error::EmptyKey`], [`Error::ValueProvided`], [`Error::LeaseProvided`].
pub fn validate_put(put: &Put) -> Result<(), Error> {
    if put.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if put.ignore_value && !put.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

/// Check a removal.
///
/// # Errors
/// [`Error::EmptyKey`].
pub fn validate_delete_range(delete: &DeleteRange) -> Result<(), Error> {
    present(&delete.range)
}

/// Check a transaction, nested ones included, in both branches.
///
/// # Errors
/// [`Error::TooManyOps`]; what is wrong with an operation; [`Error::DuplicateKey`].
pub fn validate_txn(txn: &Txn, max_txn_ops: usize) -> Result<(), Error> {
    check_txn(txn, max_txn_ops, 0)?;
    footprint(&txn.success)?;
    footprint(&txn.failure)?;
    Ok(())
}

fn present(range: &KeyRange) -> Result<(), Error> {
    if range.key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

/// A nested transaction has the operations left that the one around it did not use.
fn check_txn(txn: &Txn, most: usize, depth: usize) -> Result<(), Error> {
    let ops = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    if ops > most || depth > MAX_DEPTH {
        return Err(Error::TooManyOps);
    }
    for compare in &txn.compare {
        present(&compare.range)?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            Op::Range(range) => validate_range(range)?,
            Op::Put(put) => validate_put(put)?,
            Op::DeleteRange(delete) => validate_delete_range(delete)?,
            Op::Txn(nested) => check_txn(nested, most - ops, depth + 1)?,
            Op::Empty => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// What a list of operations may change, as the duplicate rule sees it.
#[derive(Default)]
struct Footprint<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Deletes<'a>,
}

impl<'a> Footprint<'a> {
    fn put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        if self.deletes.contains(key) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }
}

/// Deleted keys: single ones, and disjoint intervals by their start.
#[derive(Default)]
struct Deletes<'a> {
    keys: BTreeSet<&'a [u8]>,
    intervals: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Deletes<'a> {
    fn contains(&self, key: &[u8]) -> bool {
        let before = self.intervals.range::<&[u8], _>(..=key).next_back();
        self.keys.contains(key) || before.is_some_and(|(_, end)| key < *end)
    }

    fn add(&mut self, span: Span<'a>) {
        match span.end {
            End::Single => {
                self.keys.insert(span.start);
            }
            End::Before(end) => self.add_interval(span.start, end),
            // "Every key from here" is to this rule an interval that ends at the key `\0`: empty.
            End::Open => {}
        }
    }

    /// Add `start..end`, merging what it touches.
    fn add_interval(&mut self, mut start: &'a [u8], mut end: &'a [u8]) {
        if end <= start {
            return;
        }
        while let Some((first, last)) = self.intervals.range::<&[u8], _>(..=end).next_back() {
            let (first, last) = (*first, *last);
            if last < start {
                break;
            }
            self.intervals.remove(first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.intervals.insert(start, end);
    }

    fn merge(&mut self, other: Deletes<'a>) {
        self.keys.extend(other.keys);
        for (start, end) in other.intervals {
            self.add_interval(start, end);
        }
    }
}

/// The duplicate rule (section 5.5.3): the footprint of a list of operations, unless etcd refuses it.
///
/// Puts of nested transactions are held against the deletions of this level and of nested transactions before
/// them, not of those after. The two branches of one nested transaction may put the same key, and one may
/// delete what the other puts.
fn footprint(ops: &[Op]) -> Result<Footprint<'_>, Error> {
    let mut seen = Footprint::default();
    for op in ops {
        if let Op::DeleteRange(delete) = op {
            seen.deletes.add(Span::from(&delete.range));
        }
    }
    for op in ops {
        if let Op::Txn(nested) = op {
            let then = footprint(&nested.success)?;
            let otherwise = footprint(&nested.failure)?;
            for key in then.puts.union(&otherwise.puts) {
                seen.put(key)?;
            }
            seen.deletes.merge(then.deletes);
            seen.deletes.merge(otherwise.deletes);
        }
    }
    for op in ops {
        if let Op::Put(put) = op {
            seen.put(&put.key)?;
        }
    }
    Ok(seen)
}
