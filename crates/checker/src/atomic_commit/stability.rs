//! Property **AC2**: a site cannot reverse its decision after it has reached one.
//!
//! Source: Bernstein, Hadzilacos and Goodman 1987, §7.3, AC2. A decision that was not durable when its site went down, and that nobody was
//! told of, is none: feed what a site has written, not what it was about to.

use super::{Decision, Txn};
use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "AC2";

/// What each site has decided.
#[derive(Clone, Debug, Default)]
pub struct Stability {
    decisions: BTreeMap<(Txn, u64), Decision>,
}

impl Stability {
    /// Nothing decided yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `site` decides, or is found to have decided.
    pub fn decided(&mut self, site: u64, txn: Txn, decision: Decision) -> Result<(), Violation> {
        match self.decisions.insert((txn, site), decision) {
            Some(before) if before != decision => {
                let detail = format!("transaction {txn}: site {site} had decided {before}, now {decision}");
                Err(Violation::new(PROPERTY, detail))
            }
            _ => Ok(()),
        }
    }

    /// This one is of the past everywhere.
    pub fn forget(&mut self, txn: Txn) {
        let of: alloc::vec::Vec<(Txn, u64)> =
            self.decisions.range((txn, 0)..=(txn, u64::MAX)).map(|(key, _)| *key).collect();
        for key in of {
            self.decisions.remove(&key);
        }
    }
}
