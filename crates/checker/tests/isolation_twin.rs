//! The search for cycles against its naive twin: all orders of all sets of what may have happened, run one after the other on a
//! concrete store.
//!
//! Histories come from a small store that gets things wrong now and then: it serves reads from old states and lets
//! aborted writes stand.

#[path = "common/txns.rs"]
mod txns;

use std::collections::BTreeMap;

use proptest::prelude::*;
use quorate_checker::isolation::{Level, Op, Status, Transaction, anomalies};
use txns::*;

/// Lists and registers by name; a register is a list of which only the last counts.
type Store = BTreeMap<String, Vec<u64>>;

fn name(op: &Op) -> String {
    String::from_utf8(op.key().to_vec()).unwrap()
}

/// Runs a transaction; whether what it read is what is there. `versions`: whether a register's version is its place.
fn run(store: &mut Store, txn: &Transaction, versions: bool) -> bool {
    let begins: BTreeMap<String, usize> =
        txn.ops.iter().map(|op| (name(op), store.get(&name(op)).map_or(0, Vec::len))).collect();
    txn.ops.iter().all(|op| {
        let values = store.entry(name(op)).or_default();
        match op {
            Op::Append { value, .. } => {
                values.push(*value);
                true
            }
            Op::Write { value, version, .. } => {
                // Only what a transaction leaves behind counts.
                values.truncate(begins[&name(op)]);
                values.push(*value);
                !versions || version.is_none_or(|version| version == values.len() as u64)
            }
            Op::List { values: seen, .. } => seen == values,
            Op::Read { value, .. } => *value == values.last().copied(),
        }
    })
}

/// Whether some order of these explains what they read.
fn explained(remaining: &[&Transaction], store: &Store, level: Level, versions: bool) -> bool {
    if remaining.iter().all(|txn| txn.status == Status::Unknown) {
        return true;
    }
    (0..remaining.len()).any(|at| {
        let txn = remaining[at];
        let before = |other: &&&Transaction| {
            let over = other.status == Status::Committed && other.completed < txn.invoked;
            match level {
                Level::Serializable => false,
                Level::Session => over && other.process == txn.process,
                Level::Strict => over,
            }
        };
        if remaining.iter().find(before).is_some() {
            return false;
        }
        let mut next = store.clone();
        let rest: Vec<&Transaction> = remaining.iter().copied().filter(|other| other.id != txn.id).collect();
        run(&mut next, txn, versions) && explained(&rest, &next, level, versions)
    })
}

/// What a transaction is made of, and how it goes.
#[derive(Clone, Debug)]
struct Plan {
    /// Kind, key, and how many transactions back a read looks.
    ops: Vec<(u8, u8, u8)>,
    fate: u8,
    process: u8,
    before: u8,
    after: u8,
}

fn plans(most: usize) -> impl Strategy<Value = Vec<Plan>> {
    let op = (0u8..2, 0u8..2, prop_oneof![2 => Just(0u8), 1 => 1u8..4]);
    let plan = (prop::collection::vec(op, 1..5), 0u8..12, 0u8..2, 0u8..3, 0u8..3)
        .prop_map(|(ops, fate, process, before, after)| Plan { ops, fate, process, before, after });
    prop::collection::vec(plan, 2..=most)
}

/// A transaction's operations, reads served from these states; and what it wrote, by key.
fn carry_out(plan: &Plan, states: &[Store], lists: bool, value: &mut u64) -> (Vec<Op>, Store) {
    let (mut ops, mut own) = (Vec::new(), Store::new());
    for (kind, key, back) in &plan.ops {
        let key = ["x", "y"][usize::from(*key)].to_string();
        let then = &states[states.len() - 1 - usize::from(*back).min(states.len() - 1)];
        let mut seen = then.get(&key).cloned().unwrap_or_default();
        let mine = own.entry(key.clone()).or_default();
        if *kind == 0 {
            *value += 1;
            mine.push(*value);
            ops.push(if lists { append(&key, *value) } else { write(&key, *value) });
        } else {
            seen.extend(&*mine);
            ops.push(match seen.last() {
                _ if lists => list(&key, &seen),
                Some(value) => read(&key, *value),
                None => nothing(&key),
            });
        }
    }
    (ops, own)
}

/// Carries the plans out, on lists or on registers. `observed`: the last transaction reads all, and versions are told.
fn history(plans: &[Plan], lists: bool, observed: bool) -> Vec<Transaction> {
    let mut states: Vec<Store> = vec![Store::new()];
    let (mut history, mut value) = (Vec::new(), 0);
    for (at, plan) in plans.iter().enumerate() {
        let mut now = states.last().unwrap().clone();
        let (mut ops, own) = carry_out(plan, &states, lists, &mut value);
        let status = match plan.fate {
            0 | 1 => Status::Aborted,
            2 | 3 => Status::Unknown,
            _ => Status::Committed,
        };
        for (key, mine) in own {
            let values = now.entry(key).or_default();
            if lists {
                values.extend(mine);
            } else if let Some(last) = mine.last() {
                values.push(*last);
                if observed {
                    let place = values.len() as u64;
                    for op in &mut ops {
                        if op == &write("x", *last) || op == &write("y", *last) {
                            *op = self::at(place, op.clone());
                        }
                    }
                }
            }
        }
        // What was aborted leaves nothing, but for a fault; what is unknown happens every other time.
        if status == Status::Committed || plan.fate == 1 && !observed || plan.fate == 2 {
            states.push(now);
        }
        let instant = at as u64 * 2 + 10;
        history.push(Transaction {
            id: at as u64,
            process: u64::from(plan.process),
            invoked: instant - u64::from(plan.before) * 2,
            completed: instant + 1 + u64::from(plan.after) * 2,
            status,
            ops,
        });
    }
    if observed && lists {
        let end = states.last().unwrap();
        let all = ["x", "y"].map(|key| list(key, end.get(key).map_or(&[][..], |values| values)));
        history.push(during(100, 101, txn(99, &all)));
    }
    history
}

fn twin(history: &[Transaction], level: Level, versions: bool) -> bool {
    let happened: Vec<&Transaction> = history.iter().filter(|txn| txn.status != Status::Aborted).collect();
    explained(&happened, &Store::new(), level, versions)
}

const LEVELS: [Level; 3] = [Level::Serializable, Level::Session, Level::Strict];

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_explains_what_is_reported(plans in plans(6), lists: bool) {
        let history = history(&plans, lists, false);
        for level in LEVELS {
            let found = anomalies(&history, level);
            prop_assert!(found.is_empty() || !twin(&history, level, false), "{level:?} {}", found[0]);
        }
    }

    #[test]
    fn what_is_fully_observed_is_judged_exactly(mut plans in plans(5), lists: bool) {
        for plan in plans.iter_mut().filter(|plan| !lists && [2, 3].contains(&plan.fate)) {
            // A version told of what did not happen would be no place for the twin.
            plan.fate = 4;
        }
        let history = history(&plans, lists, true);
        for level in LEVELS {
            let found = anomalies(&history, level);
            prop_assert_eq!(found.is_empty(), twin(&history, level, true), "{:?} {:?}", level, found.first());
        }
    }

    #[test]
    fn serial_histories_pass(mut plans in plans(40), lists: bool, observed: bool) {
        for plan in &mut plans {
            plan.ops.iter_mut().for_each(|op| op.2 = 0);
            // Ordered in time, and no aborted write stands.
            (plan.before, plan.after) = (0, 0);
            plan.fate = if plan.fate == 1 { 0 } else { plan.fate };
        }
        let history = history(&plans, lists, observed);
        prop_assert_eq!(anomalies(&history, Level::Strict), vec![]);
    }
}

/// That the histories are of both kinds, or the twins agree on nothing.
#[test]
fn the_histories_are_good_and_bad() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut good = 0;
    for _ in 0..500 {
        let plans = plans(5).new_tree(&mut runner).unwrap().current();
        good += u32::from(anomalies(&history(&plans, true, true), Level::Strict).is_empty());
    }
    assert!((100..450).contains(&good), "{good} of 500 are good");
}
