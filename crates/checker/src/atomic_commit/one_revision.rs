//! Property **OneRevision**: at each participant a transaction makes one revision, and a revision is made by one transaction.
//!
//! Source: STORE.md of this house's design, §2: etcd gives one revision to each transaction, and so must one that spans keyspaces. Replicas of a
//! site say the same; a repetition is fine.

use super::Txn;
use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "OneRevision";

/// Which transaction made which revision, at each site.
#[derive(Clone, Debug, Default)]
pub struct OneRevision {
    of: BTreeMap<(u64, Txn), u64>,
    by: BTreeMap<(u64, u64), Txn>,
}

impl OneRevision {
    /// Nothing applied yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `site` applied a transaction's writes as this revision.
    pub fn applied(&mut self, site: u64, txn: Txn, revision: u64) -> Result<(), Violation> {
        let before = *self.of.entry((site, txn)).or_insert(revision);
        if before != revision {
            let detail =
                format!("site {site} applied transaction {txn} as revision {before} and as {revision}");
            return Err(Violation::new(PROPERTY, detail));
        }
        let other = *self.by.entry((site, revision)).or_insert(txn);
        if other != txn {
            let detail = format!("site {site} applied transactions {other} and {txn} as revision {revision}");
            return Err(Violation::new(PROPERTY, detail));
        }
        Ok(())
    }

    /// No replica of this site will apply this one any more.
    pub fn forget(&mut self, site: u64, txn: Txn) {
        if let Some(revision) = self.of.remove(&(site, txn)) {
            self.by.remove(&(site, revision));
        }
    }
}
