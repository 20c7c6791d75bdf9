//! Property **NoOrphanLock**: a lock is held only for a transaction of which the site has an unresolved record.
//!
//! A lock without one would be released by nobody; it comes from a site that forgot its vote, or released a transaction and not its locks.
//! The other way round, a site that voted yes and has not decided must hold what it locked: see [`check`]'s `holders`.

use super::Txn;
use crate::Violation;
use alloc::collections::BTreeSet;
use alloc::format;

const PROPERTY: &str = "NoOrphanLock";

/// Checks one site: for whom locks are held, and which transactions are recorded there as unresolved.
///
/// `need`: of the unresolved, those that must hold a lock, since they wrote or read something here.
pub fn check(
    site: u64,
    holders: impl IntoIterator<Item = Txn>,
    unresolved: &BTreeSet<Txn>,
    need: impl IntoIterator<Item = Txn>,
) -> Result<(), Violation> {
    let holders: BTreeSet<Txn> = holders.into_iter().collect();
    if let Some(txn) = holders.difference(unresolved).next() {
        let detail =
            format!("site {site} holds a lock for transaction {txn}, of which it has no unresolved record");
        return Err(Violation::new(PROPERTY, detail));
    }
    match need.into_iter().find(|txn| !holders.contains(txn)) {
        None => Ok(()),
        Some(txn) => {
            let detail = format!("site {site} has voted for transaction {txn}, and holds no lock for it");
            Err(Violation::new(PROPERTY, detail))
        }
    }
}
