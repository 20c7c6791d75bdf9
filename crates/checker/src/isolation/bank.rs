//! Property **Bank**: money only moves, so every transaction that reads all accounts sees the same sum.
//!
//! Source: the bank workload of Kingsbury's Jepsen tests; what it shows is read skew (Adya 1999, G-single), in the plainest way.
//! Transfers need not be known, only reads of all accounts at once.

use crate::Violation;
use alloc::format;
use alloc::vec::Vec;

const PROPERTY: &str = "Bank";

/// Checks reads of all accounts, each with the reader's name. `accounts` is how many there are, `total` what they hold together.
/// No balance may be below `least`.
pub fn check(
    reads: &[(u64, Vec<i64>)],
    accounts: usize,
    total: i64,
    least: Option<i64>,
) -> Result<(), Violation> {
    for (reader, balances) in reads {
        let broken = |what| Err(Violation::new(PROPERTY, format!("T{reader} read {balances:?}: {what}")));
        if balances.len() != accounts {
            return broken(format!("{accounts} accounts were expected"));
        }
        let sum: i128 = balances.iter().copied().map(i128::from).sum();
        if sum != i128::from(total) {
            return broken(format!("{sum} in all instead of {total}"));
        }
        if let Some(least) = least
            && balances.iter().any(|balance| *balance < least)
        {
            return broken(format!("less than {least} in one"));
        }
    }
    Ok(())
}
