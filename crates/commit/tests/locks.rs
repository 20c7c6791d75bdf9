//! Locks against a naive twin, which remembers all that is held and looks at every pair; and wait-die against its
//! definition.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use quorate_commit::{Age, Locks, Seniority, SiteId, Span, TxnId, Work};

fn name(number: u64) -> Seniority {
    (Age(number / 2), TxnId { epoch: 0, coordinator: SiteId(1), number })
}

fn key() -> impl Strategy<Value = Bytes> {
    "[abc]{0,2}".prop_map(Bytes::from)
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        3 => key().prop_map(Span::Key),
        1 => (key(), prop::option::of(key())).prop_map(|(start, end)| Span::Range(start, end)),
    ]
}

fn work() -> impl Strategy<Value = Work> {
    let spans = || prop::collection::vec(span(), 0..3);
    (spans(), spans()).prop_map(|(reads, writes)| Work { reads, writes, payload: Bytes::new() })
}

#[derive(Clone, Debug)]
enum Step {
    Hold(u64, Work),
    Release(u64),
    Ask(u64, Work),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..8, work()).prop_map(|(txn, work)| Step::Hold(txn, work)),
        (0u64..8).prop_map(Step::Release),
        (0u64..8, work()).prop_map(|(txn, work)| Step::Ask(txn, work)),
    ]
}

/// All keys there are, long enough to tell any two spans apart.
fn keys() -> impl Iterator<Item = Bytes> {
    let letters = || ["", "a", "b", "c"].into_iter();
    let pairs = letters().flat_map(move |x| letters().map(move |y| (x, y)));
    pairs.flat_map(move |(x, y)| letters().map(move |z| Bytes::from([x, y, z].concat())))
}

/// Whether a span has this key, said in the plainest way.
fn has(span: &Span, key: &Bytes) -> bool {
    match span {
        Span::Key(own) => own == key,
        Span::Range(start, end) => start <= key && end.as_ref().is_none_or(|end| key < end),
    }
}

fn naive(held: &BTreeMap<u64, Work>, txn: u64, work: &Work) -> BTreeSet<Seniority> {
    let meet = |one: &[Span], two: &[Span]| {
        keys().any(|key| one.iter().any(|span| has(span, &key)) && two.iter().any(|span| has(span, &key)))
    };
    let conflicts = |(other, theirs): &(&u64, &Work)| {
        **other != txn
            && (meet(&work.writes, &theirs.writes)
                || meet(&work.writes, &theirs.reads)
                || meet(&work.reads, &theirs.writes))
    };
    held.iter().filter(conflicts).map(|(other, _)| name(*other)).collect()
}

proptest! {
    #[test]
    fn the_table_is_the_naive_one(steps in prop::collection::vec(step(), 1..40)) {
        let (mut locks, mut held) = (Locks::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Hold(txn, work) => {
                    locks.hold(name(txn), &work);
                    held.insert(txn, work);
                }
                Step::Release(txn) => {
                    prop_assert_eq!(locks.release(name(txn).1), held.remove(&txn).is_some());
                }
                Step::Ask(txn, work) => {
                    prop_assert_eq!(locks.conflicts(name(txn).1, &work), naive(&held, txn, &work));
                }
            }
            prop_assert!(locks.holders().eq(held.keys().map(|txn| name(*txn).1)));
        }
        let everything = Work { writes: vec![Span::Range(Bytes::new(), None)], ..Work::default() };
        for txn in held.keys() {
            locks.release(name(*txn).1);
        }
        prop_assert!(locks.conflicts(name(99).1, &everything).is_empty(), "nothing is left behind");
    }

    #[test]
    fn overlapping_is_having_a_key_in_common(one in span(), two in span()) {
        let common = keys().any(|key| has(&one, &key) && has(&two, &key));
        prop_assert_eq!(one.overlaps(&two), common);
    }
}
