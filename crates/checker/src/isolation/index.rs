//! Who wrote what, who read what of whom, and what can be known of the order of a key's versions.
//!
//! A version of a list is named by its last element, one of a register by its value; the empty list and the register never
//! written are the version before all others, `None`. Both kinds of key come out alike:
//!
//! - the **chain**: versions whose order is known. Of a list that is its longest read, of which all others must be prefixes;
//!   of a register the versions whose numbers the store told.
//! - the **touches**: of each transaction that happened the version it read of the key before writing it, and the first and the
//!   last value it wrote.
//!
//! A transaction of unknown outcome happened if one that happened has seen a value of it. It then has no end, only a beginning.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use super::anomaly::{Anomaly, Kind};
use super::history::{Name, Op, Status, Transaction};

/// A version of a key: its last value; `None` is the one before all writes.
pub(super) type Version = Option<u64>;

/// A write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// By whom.
    pub by: u32,
    /// Whether it is the writer's last to this key: the version it leaves behind.
    pub last: bool,
    /// Where it is in the chain.
    pub place: Option<u32>,
}

/// What one transaction had to do with one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    /// The transaction.
    pub by: u32,
    /// The version it read, before any write of its own.
    pub seen: Option<Version>,
    /// Its first write, of a register its last too: what is between is no version.
    pub first: Option<u64>,
    /// Its last write.
    pub last: Option<u64>,
}

/// A key.
#[derive(Debug)]
pub(super) struct Key<'h> {
    pub name: &'h Bytes,
    pub list: bool,
    pub writes: BTreeMap<u64, Written>,
    pub touches: Vec<Touch>,
    pub chain: Vec<u64>,
    /// The list's longest read, and who read it.
    longest: (&'h [u64], u32),
    /// The register's versions by their numbers.
    numbered: Vec<(u64, u64)>,
}

/// The whole history, sorted.
pub(super) struct Index<'h> {
    pub history: &'h [Transaction],
    /// Whether each transaction happened.
    pub happened: Vec<bool>,
    pub keys: Vec<Key<'h>>,
    names: BTreeMap<&'h [u8], u32>,
    pub anomalies: Vec<Anomaly>,
}

impl<'h> Index<'h> {
    pub fn new(history: &'h [Transaction]) -> Self {
        let happened = history.iter().map(|txn| txn.status == Status::Committed).collect();
        let mut index =
            Index { history, happened, keys: Vec::new(), names: BTreeMap::new(), anomalies: Vec::new() };
        index.collect_writes();
        index.collect_lists();
        for at in 0..history.len() {
            if index.happened[at] {
                index.collect_touches(number(at));
            }
        }
        for at in 0..index.keys.len() {
            index.order(at);
        }
        index
    }

    fn found(&mut self, kind: Kind, detail: alloc::string::String) {
        self.anomalies.push(Anomaly::new(kind, detail));
    }

    /// The key of an operation.
    fn key(&self, op: &Op) -> usize {
        self.names[&op.key()[..]] as usize
    }

    fn collect_writes(&mut self) {
        for (at, txn) in self.history.iter().enumerate() {
            if txn.status == Status::Committed && txn.completed < txn.invoked {
                self.found(Kind::Unusable, format!("completed before it was invoked\n  {txn}"));
            }
            for op in &txn.ops {
                let next = number(self.keys.len());
                let key = *self.names.entry(&op.key()[..]).or_insert(next) as usize;
                if key == self.keys.len() {
                    self.keys.push(Key {
                        name: op.key(),
                        list: op.of_list(),
                        writes: BTreeMap::new(),
                        touches: Vec::new(),
                        chain: Vec::new(),
                        longest: (&[], 0),
                        numbered: Vec::new(),
                    });
                }
                if self.keys[key].list != op.of_list() {
                    let what = format!("{} is used both as a list and as a register", Name(op.key()));
                    self.found(Kind::Unusable, what);
                }
                let Some(value) = op.written() else { continue };
                let written = Written { by: number(at), last: false, place: None };
                if let Some(other) = self.keys[key].writes.insert(value, written) {
                    let other = self.history[other.by as usize].id;
                    let what =
                        format!("{value} is written to {} by T{other} and T{}", Name(op.key()), txn.id);
                    self.found(Kind::Unusable, what);
                }
            }
            for op in txn.ops.iter().rev() {
                let Some(value) = op.written() else { continue };
                let key = self.key(op);
                let later = |other: &&Op| other.key() == op.key() && other.written().is_some();
                let last = txn.ops.iter().rev().find(later).and_then(Op::written) == Some(value);
                self.keys[key].writes.entry(value).and_modify(|written| written.last = last);
            }
        }
    }

    /// Finds the longest read of each list, and with it who of the unknown has happened.
    fn collect_lists(&mut self) {
        let mut open: Vec<usize> = (0..self.history.len()).filter(|at| self.happened[*at]).collect();
        // In the order of the history, so that reads grow and each element is looked at once.
        open.reverse();
        while let Some(at) = open.pop() {
            for op in &self.history[at].ops {
                let key = self.key(op);
                let fresh: &[u64] = match op {
                    Op::Read { value, .. } => value.as_slice(),
                    Op::List { values, .. } => self.compare_with_longest(key, at, values),
                    Op::Append { .. } | Op::Write { .. } => &[],
                };
                for value in fresh {
                    if let Some(written) = self.keys[key].writes.get(value) {
                        let by = written.by as usize;
                        if self.history[by].status == Status::Unknown && !self.happened[by] {
                            self.happened[by] = true;
                            open.push(by);
                        }
                    }
                }
            }
        }
    }

    /// The part of a read that no read before it had.
    fn compare_with_longest(&mut self, key: usize, at: usize, values: &'h [u64]) -> &'h [u64] {
        let (longest, by) = self.keys[key].longest;
        if longest.starts_with(values) {
            return &[];
        }
        if values.starts_with(longest) {
            self.keys[key].longest = (values, number(at));
            return &values[longest.len()..];
        }
        let (one, other) = (&self.history[by as usize], &self.history[at]);
        let what = format!(
            "neither read of {} is a prefix of the other\n  {one}\n  {other}",
            Name(self.keys[key].name)
        );
        self.found(Kind::IncompatibleOrder, what);
        self.judge_values(key, at, values);
        values
    }

    /// What is wrong with the values of a read by themselves.
    fn judge_values(&mut self, key: usize, at: usize, values: &[u64]) {
        let (txn, name) = (&self.history[at], Name(self.keys[key].name));
        let mut met = BTreeMap::new();
        for value in values {
            let fault = match self.keys[key].writes.get(value) {
                None => Some((Kind::Garbage, format!("nobody wrote {value} to {name}\n  {txn}"))),
                Some(written) if self.history[written.by as usize].status == Status::Aborted => {
                    let writer = &self.history[written.by as usize];
                    let what =
                        format!("{value} of {name} was read, whose writer was aborted\n  {writer}\n  {txn}");
                    Some((Kind::G1a, what))
                }
                Some(_) => None,
            };
            if let Some((kind, what)) = fault {
                self.anomalies.push(Anomaly::new(kind, what));
            }
            if met.insert(*value, ()).is_some() {
                let what = format!("{value} is twice in {name}\n  {txn}");
                self.anomalies.push(Anomaly::new(Kind::Duplicate, what));
            }
        }
    }

    /// Walks through a transaction: what it read from outside, and what it wrote.
    fn collect_touches(&mut self, by: u32) {
        let txn = &self.history[by as usize];
        let mut locals: Vec<(usize, Local)> = Vec::new();
        for op in &txn.ops {
            let key = self.key(op);
            let at = locals.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                locals.push((key, Local::default()));
                locals.len() - 1
            });
            let local = &mut locals[at].1;
            if let Err(why) = local.follow(op) {
                let what = format!("{why} in {}\n  {txn}", Name(op.key()));
                self.anomalies.push(Anomaly::new(Kind::Internal, what));
            }
            match op {
                Op::Write { value, version: Some(version), .. }
                | Op::Read { value: Some(value), version: Some(version), .. } => {
                    self.keys[key].numbered.push((*version, *value));
                }
                _ => {}
            }
        }
        for (key, local) in locals {
            let seen = local.base.map(|base| base.last().copied());
            let last = local.own.last().copied();
            let first = if self.keys[key].list { local.own.first().copied() } else { last };
            self.keys[key].touches.push(Touch { by, seen, first, last });
            if let Some(Some(value)) = seen {
                self.judge_seen(key, by, value);
            }
        }
    }

    /// What is wrong with the version a transaction read: a list's other elements are judged once, in the longest.
    fn judge_seen(&mut self, key: usize, by: u32, value: u64) {
        if !self.keys[key].list {
            self.judge_values(key, by as usize, &[value]);
        }
        let Some(written) = self.keys[key].writes.get(&value).copied() else { return };
        if !written.last && written.by != by {
            let (writer, txn) = (&self.history[written.by as usize], &self.history[by as usize]);
            let name = Name(self.keys[key].name);
            let what =
                format!("{value} of {name} was read, which its writer went on from\n  {writer}\n  {txn}");
            self.found(Kind::G1b, what);
        }
    }

    /// Makes a key's chain.
    fn order(&mut self, key: usize) {
        let (longest, by) = self.keys[key].longest;
        self.judge_values(key, by as usize, longest);
        let mut chain = longest.to_vec();
        let mut numbered = core::mem::take(&mut self.keys[key].numbered);
        numbered.sort_unstable();
        numbered.dedup();
        let mut met = BTreeMap::new();
        for (at, (version, value)) in numbered.iter().enumerate() {
            let twice = at > 0 && numbered[at - 1].0 == *version;
            if twice || met.insert(*value, *version).is_some() {
                let what = format!(
                    "{} has two values of version {version}, or {value} has two versions",
                    Name(self.keys[key].name)
                );
                self.found(Kind::IncompatibleOrder, what);
            } else {
                chain.push(*value);
            }
        }
        let entry = &mut self.keys[key];
        // Only what a transaction leaves behind is a version of a register.
        let (list, writes) = (entry.list, &mut entry.writes);
        chain.retain(|value| list || writes.get(value).is_some_and(|written| written.last));
        for (at, value) in chain.iter().enumerate() {
            if let Some(written) = writes.get_mut(value) {
                written.place = written.place.or(Some(number(at)));
            }
        }
        entry.chain = chain;
    }
}

/// A key as one transaction sees it.
#[derive(Default)]
struct Local {
    /// What was there before its own writes: a list, or at most one value.
    base: Option<Vec<u64>>,
    own: Vec<u64>,
}

impl Local {
    fn follow(&mut self, op: &Op) -> Result<(), &'static str> {
        let outside = match op {
            Op::Append { value, .. } | Op::Write { value, .. } => {
                self.own.push(*value);
                return Ok(());
            }
            Op::List { values, .. } => {
                values.strip_suffix(&self.own[..]).ok_or("it does not end with the own appends")?.to_vec()
            }
            Op::Read { value, .. } => match self.own.last() {
                Some(own) if Some(*own) == *value => return Ok(()),
                Some(_) => return Err("it is not the own write"),
                None => value.map_or_else(Vec::new, |value| vec![value]),
            },
        };
        match &self.base {
            Some(base) if *base != outside => Err("it was read before, and was different"),
            _ => {
                self.base = Some(outside);
                Ok(())
            }
        }
    }
}

/// Histories are shorter than 2^32.
pub(super) fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
