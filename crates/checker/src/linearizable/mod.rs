//! Property **Linearizability**: each key behaves as one register whose operations happen one at a time, each at
//! an instant between its invocation and its answer.
//!
//! Sources: Herlihy & Wing 1990 (the property, and its locality: a history is linearizable when it is so per
//! object, so keys are searched one by one, Lowe's P-compositionality); Wing & Gong 1993 and Lowe 2017 (the
//! search with memoisation).
//!
//! # The search
//!
//! etcd's answers carry more than a plain register's: every header has the store's revision at the operation's
//! instant. Two consequences shape the search.
//!
//! - *The order of answered operations is forced* ([`order`]): by revision, and at one revision the write before
//!   the reads, which commute. It only remains to compare that order with real time.
//! - *Only ambiguous writes are left to place* ([`search`]). Each may be put into any gap of the order that ends
//!   after its invocation, or nowhere. A gap once open to it stays open, so ambiguous operations with equal
//!   effect are interchangeable and only their number matters. Values nobody ever read are equal to each other.
//!
//! The revision that an ambiguous write took is unknown, so the register ([`model`]) is symbolic: its revisions
//! are intervals that narrow as answers come, and a read makes them exact.
//!
//! The search inserts nothing until an answer cannot be explained otherwise; a state from which it failed is
//! remembered, and so is failed every later arrival there with fewer ambiguous operations left.
//!
//! # Caveats
//!
//! The store is taken to be empty at the start of the history, and every change of a key to come from a
//! recorded operation. The search is exponential only in ambiguous compare-and-swaps and in values written
//! several times; a bound on its steps ends it with the violation text "undecided" rather than never.
//! The tests hold it against a brute-force twin that enumerates orders and revisions.

mod model;
mod order;
mod search;

use crate::Violation;
use crate::history::{Operation, Outcome};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

const PROPERTY: &str = "Linearizability";

/// Checks the operations on all keys, key by key in byte order.
pub fn check(operations: &[Operation]) -> Result<(), Violation> {
    let mut keys: BTreeMap<&Bytes, Vec<&Operation>> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.outcome != Outcome::Failed) {
        keys.entry(operation.call.key()).or_default().push(operation);
    }
    for operations in keys.values() {
        check_key(operations)?;
    }
    Ok(())
}

fn check_key(operations: &[&Operation]) -> Result<(), Violation> {
    let order = order::Order::new(operations)?;
    let ambiguous: Vec<&Operation> =
        operations.iter().copied().filter(|operation| operation.outcome == Outcome::Ambiguous).collect();
    search::Search::new(&order, &ambiguous).run()
}
