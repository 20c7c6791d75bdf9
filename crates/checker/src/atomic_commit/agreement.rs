//! Property **AC1**: all sites that reach a decision reach the same one.
//!
//! Source: Bernstein, Hadzilacos and Goodman 1987, §7.3, AC1.

use super::{Decision, Txn};
use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "AC1";

/// The first decision about each transaction.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    first: BTreeMap<Txn, (u64, Decision)>,
}

impl Agreement {
    /// Nothing decided yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `site` decides.
    pub fn decided(&mut self, site: u64, txn: Txn, decision: Decision) -> Result<(), Violation> {
        let (first, known) = *self.first.entry(txn).or_insert((site, decision));
        if known == decision {
            return Ok(());
        }
        let detail = format!("transaction {txn}: site {first} decided {known}, site {site} {decision}");
        Err(Violation::new(PROPERTY, detail))
    }

    /// Nobody will decide about this one any more.
    pub fn forget(&mut self, txn: Txn) {
        self.first.remove(&txn);
    }
}
