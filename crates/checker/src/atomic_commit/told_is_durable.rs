//! Property **ToldIsDurable**: what a client was told is decided, and durable.
//!
//! A client that was told "committed" acts on it. If the decision can still be lost with a process, or is another, that was a lie. "Aborted" may be
//! told without a decision on any disk, for presumed abort makes it true; but never against one.

use super::{Decision, Txn};
use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "ToldIsDurable";

/// What is durable, and what was told.
#[derive(Clone, Debug, Default)]
pub struct ToldIsDurable {
    durable: BTreeMap<Txn, Decision>,
    aborted: BTreeMap<Txn, u64>,
}

impl ToldIsDurable {
    /// Nothing decided, nothing told.
    pub fn new() -> Self {
        Self::default()
    }

    /// The decision cannot be lost any more.
    pub fn durable(&mut self, txn: Txn, decision: Decision) -> Result<(), Violation> {
        self.durable.entry(txn).or_insert(decision);
        match self.aborted.get(&txn) {
            Some(client) if decision == Decision::Commit => {
                let detail = format!(
                    "client {client} was told that transaction {txn} was aborted; then commit was durable"
                );
                Err(Violation::new(PROPERTY, detail))
            }
            _ => Ok(()),
        }
    }

    /// A client is told.
    pub fn told(&mut self, client: u64, txn: Txn, decision: Decision) -> Result<(), Violation> {
        let known = self.durable.get(&txn).copied();
        let fail = |what: &str| {
            let detail = format!("client {client} was told {decision} of transaction {txn}, {what}");
            Err(Violation::new(PROPERTY, detail))
        };
        match (decision, known) {
            (Decision::Commit, None) => fail("and no decision is durable"),
            (Decision::Commit, Some(Decision::Abort)) => fail("and abort is durable"),
            (Decision::Abort, Some(Decision::Commit)) => fail("and commit is durable"),
            (Decision::Abort, None) => {
                self.aborted.insert(txn, client);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Nobody will be told of this one any more.
    pub fn forget(&mut self, txn: Txn) {
        self.durable.remove(&txn);
        self.aborted.remove(&txn);
    }
}
