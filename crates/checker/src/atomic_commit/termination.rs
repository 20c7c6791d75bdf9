//! Property **AC5**: once all failures are repaired, and no new ones occur for long enough, every site reaches a decision.
//!
//! Source: Bernstein, Hadzilacos and Goodman 1987, §7.3, AC5, with a number for "long enough": a bound in the host's unit of time.

use super::Txn;
use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "AC5";

/// Who has not decided yet, and since when all is well.
#[derive(Clone, Debug)]
pub struct Termination {
    bound: u64,
    /// By transaction and site: since when.
    open: BTreeMap<(Txn, u64), u64>,
    healed: Option<u64>,
}

impl Termination {
    /// All is well since time 0; a decision may take as long as this.
    pub fn new(bound: u64) -> Self {
        Self { bound, open: BTreeMap::new(), healed: Some(0) }
    }

    /// `site` takes part in a transaction, and has to learn how it ends.
    pub fn involved(&mut self, now: u64, site: u64, txn: Txn) {
        self.open.entry((txn, site)).or_insert(now);
    }

    /// `site` has decided, or has nothing to do with it any more.
    pub fn decided(&mut self, site: u64, txn: Txn) {
        self.open.remove(&(txn, site));
    }

    /// Something failed.
    pub fn failed(&mut self) {
        self.healed = None;
    }

    /// All that had failed works again.
    pub fn healed(&mut self, now: u64) {
        self.healed = Some(now);
    }

    /// Whether nobody waits for longer than is allowed.
    pub fn check(&self, now: u64) -> Result<(), Violation> {
        let Some(healed) = self.healed else { return Ok(()) };
        let waits = |since: u64| now.saturating_sub(since.max(healed));
        let late = self.open.iter().find(|(_, since)| waits(**since) > self.bound);
        let Some(((txn, site), since)) = late else { return Ok(()) };
        let detail = format!(
            "transaction {txn}: site {site} takes part since {since}, all is well since {healed}, and it has not decided by {now}"
        );
        Err(Violation::new(PROPERTY, detail))
    }

    /// The longest that somebody waits, counted from when all was well.
    pub fn longest(&self, now: u64) -> u64 {
        let Some(healed) = self.healed else { return 0 };
        self.open.values().map(|since| now.saturating_sub(healed.max(*since))).max().unwrap_or(0)
    }

    /// How many wait.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}
