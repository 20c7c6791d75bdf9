//! What is refused before a transaction is proposed, against checks that compare everything with everything.

mod common;

use common::random;
use proptest::prelude::*;
use quorate_kv::*;

/// Puts and deletions of a list of operations as the duplicate rule sees them, or nothing if it refuses.
#[derive(Default)]
struct Changes<'a> {
    puts: Vec<&'a [u8]>,
    deletes: Vec<&'a KeyRange>,
}

impl<'a> Changes<'a> {
    fn put(&mut self, key: &'a [u8]) -> Option<()> {
        // For this rule an open end is the key of one zero byte.
        let deleted = |range: &&KeyRange| match &*range.end {
            [] => range.key == key,
            end => &*range.key <= key && key < end,
        };
        if self.puts.contains(&key) || self.deletes.iter().any(deleted) {
            return None;
        }
        self.puts.push(key);
        Some(())
    }
}

fn changes(ops: &[Op]) -> Option<Changes<'_>> {
    let mut all = Changes::default();
    for op in ops {
        if let Op::DeleteRange(delete) = op {
            all.deletes.push(&delete.range);
        }
    }
    for op in ops {
        if let Op::Txn(nested) = op {
            let then = changes(&nested.success)?;
            let otherwise = changes(&nested.failure)?;
            for key in &then.puts {
                all.put(key)?;
            }
            for key in otherwise.puts.iter().filter(|key| !then.puts.contains(key)) {
                all.put(key)?;
            }
            all.deletes.extend(then.deletes.iter().chain(&otherwise.deletes));
        }
    }
    for op in ops {
        if let Op::Put(put) = op {
            all.put(&put.key)?;
        }
    }
    Some(all)
}

/// The least limit under which a transaction is small enough.
fn need(txn: &Txn) -> usize {
    let ops = txn.success.iter().chain(&txn.failure);
    let nested = ops.map(|op| if let Op::Txn(nested) = op { need(nested) } else { 0 }).max();
    txn.compare.len().max(txn.success.len()).max(txn.failure.len()) + nested.unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_duplicate_rule(txn in random::txn()) {
        let allowed = changes(&txn.success).is_some() && changes(&txn.failure).is_some();
        let expected = if allowed { Ok(()) } else { Err(Error::DuplicateKey) };
        prop_assert_eq!(validate_txn(&txn, 128), expected);
    }

    #[test]
    fn the_number_of_operations(txn in random::txn(), limit in 0..12usize) {
        let refused = validate_txn(&txn, limit) == Err(Error::TooManyOps);
        prop_assert_eq!(refused, need(&txn) > limit);
    }
}

#[test]
fn nesting_has_a_limit_of_its_own() {
    let nest = |depth: usize| (0..depth).fold(Txn::default(), |txn, _| common::then([Op::Txn(txn)]));
    assert_eq!(validate_txn(&nest(100), 1_000_000), Ok(()));
    assert_eq!(validate_txn(&nest(5000), 1_000_000), Err(Error::TooManyOps));
}
