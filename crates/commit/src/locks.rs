//! Locks on keys and ranges, and who is in the way of whom.
//!
//! Shared for what is read, exclusive for what is written (Gray 1978 §5.7). Keys are found by the key; ranges are few
//! and looked through. The table only says who conflicts: who then waits and who dies is wait-die's, in `queue`.
//!
//! Invariant: no two holders conflict, unless someone breaks a rule.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use bytes::Bytes;

use crate::ids::{Seniority, TxnId};
use crate::work::{Span, Work};

/// Who holds a key or range, and whether alone.
type Holders = BTreeMap<TxnId, bool>;

/// Which transactions hold what.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    keys: BTreeMap<Bytes, Holders>,
    ranges: BTreeMap<Span, Holders>,
    held: BTreeMap<TxnId, (Seniority, Vec<Span>)>,
}

impl Locks {
    /// No lock is held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hold what this work needs. Whoever calls has made sure that nobody is in the way.
    pub fn hold(&mut self, seniority: Seniority, work: &Work) {
        let txn = seniority.1;
        self.release(txn);
        let mut spans = Vec::with_capacity(work.operations());
        for (span, alone) in claims(work) {
            let holders = match span {
                Span::Key(key) => self.keys.entry(key.clone()).or_default(),
                range => self.ranges.entry(range.clone()).or_default(),
            };
            *holders.entry(txn).or_default() |= alone;
            spans.push(span.clone());
        }
        self.held.insert(txn, (seniority, spans));
    }

    /// Let go of all this transaction holds; whether it held anything.
    pub fn release(&mut self, txn: TxnId) -> bool {
        let Some((_, spans)) = self.held.remove(&txn) else { return false };
        for span in spans {
            match &span {
                Span::Key(key) => forget(&mut self.keys, key, txn),
                range => forget(&mut self.ranges, range, txn),
            }
        }
        true
    }

    /// Who is in the way of this transaction.
    pub fn conflicts(&self, txn: TxnId, work: &Work) -> BTreeSet<Seniority> {
        let mut found = BTreeSet::new();
        for (span, alone) in claims(work) {
            let mut meet = |holders: &Holders| {
                let against = holders.iter().filter(|(other, held)| **other != txn && (alone || **held));
                found.extend(against.filter_map(|(other, _)| self.held.get(other)).map(|(who, _)| *who));
            };
            match span {
                Span::Key(key) => self.keys.get(key).into_iter().for_each(&mut meet),
                Span::Range(start, end) => {
                    let upto = end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                    if end.as_ref().is_none_or(|end| start < end) {
                        self.keys
                            .range::<Bytes, _>((Bound::Included(start), upto))
                            .for_each(|(_, h)| meet(h));
                    }
                }
            }
            self.ranges
                .iter()
                .filter(|(range, _)| range.overlaps(span))
                .for_each(|(_, holders)| meet(holders));
        }
        found
    }

    /// Who holds anything (or asked for nothing, and holds that).
    pub fn holders(&self) -> impl Iterator<Item = TxnId> {
        self.held.keys().copied()
    }

    /// Whether this transaction is a holder.
    pub fn holds(&self, txn: TxnId) -> bool {
        self.held.contains_key(&txn)
    }
}

/// Each span with whether it is wanted alone.
fn claims(work: &Work) -> impl Iterator<Item = (&Span, bool)> {
    work.reads.iter().map(|span| (span, false)).chain(work.writes.iter().map(|span| (span, true)))
}

fn forget<K: Ord>(map: &mut BTreeMap<K, Holders>, key: &K, txn: TxnId) {
    if let Some(holders) = map.get_mut(key) {
        holders.remove(&txn);
        if holders.is_empty() {
            map.remove(key);
        }
    }
}
