//! The linearizability check against its naive twin: all orders, all subsets of the ambiguous operations, and
//! all revisions they might have taken, tried one after the other on a concrete store.

mod common;

use common::b;
use proptest::prelude::*;
use quorate_checker::history::{Answer, Call, Operation, Outcome, Record};
use quorate_checker::linearizable;

#[derive(Clone, Debug)]
struct Store {
    revision: u64,
    live: Option<Record>,
}

impl Store {
    /// Runs a call; a write that changes something does so at revision `at`.
    fn run(&mut self, call: &Call, at: u64) -> Answer {
        let found = self.live.clone();
        let mut put = |value: &bytes::Bytes| {
            let (create_revision, version) =
                found.as_ref().map_or((at, 0), |r| (r.create_revision, r.version));
            self.revision = at;
            self.live = Some(Record {
                value: value.clone(),
                create_revision,
                mod_revision: at,
                version: version + 1,
            });
        };
        match call {
            Call::Put { value, .. } => {
                put(value);
                Answer::Put { revision: self.revision }
            }
            Call::Get { .. } => Answer::Get { revision: self.revision, record: found },
            Call::Delete { .. } => {
                if self.live.take().is_some() {
                    self.revision = at;
                }
                Answer::Delete { revision: self.revision, deleted: u64::from(found.is_some()) }
            }
            Call::Cas { expect, value, .. } => {
                let succeeded = *expect == found.as_ref().map_or(0, |record| record.mod_revision);
                if succeeded {
                    put(value);
                }
                let found = if succeeded { None } else { found };
                Answer::Cas { revision: self.revision, succeeded, found }
            }
        }
    }
}

/// Whether some order explains the operations that remain.
fn brute(remaining: &[Operation], store: &Store, newest: u64) -> bool {
    let answered = || remaining.iter().filter(|operation| operation.answer().is_some());
    if answered().next().is_none() {
        return true;
    }
    for (at, operation) in remaining.iter().enumerate() {
        if answered().any(|other| other.answered < operation.invoked) {
            continue;
        }
        let mut rest = remaining.to_vec();
        rest.remove(at);
        match operation.answer() {
            Some(answer) => {
                let revision = answer.revision();
                if revision < store.revision || (answer.wrote() && revision == store.revision) {
                    continue;
                }
                // Other keys' writes bring the store to where the answer says it was.
                let mut next = store.clone();
                next.revision = revision - u64::from(answer.wrote());
                if next.run(&operation.call, revision) == *answer && brute(&rest, &next, newest) {
                    return true;
                }
            }
            None => {
                for revision in store.revision + 1..=newest {
                    let mut next = store.clone();
                    if next.run(&operation.call, revision).wrote() && brute(&rest, &next, newest) {
                        return true;
                    }
                }
            }
        }
    }
    false
}

fn twin(operations: &[Operation]) -> bool {
    let newest = operations.iter().filter_map(|operation| Some(operation.answer()?.revision())).max();
    let operations: Vec<_> =
        operations.iter().filter(|operation| operation.outcome != Outcome::Failed).cloned().collect();
    if operations
        .iter()
        .any(|operation| operation.answer().is_some() && operation.answered < operation.invoked)
    {
        return false;
    }
    brute(&operations, &Store { revision: 1, live: None }, newest.unwrap_or(0))
}

/// What one client does: the call, how long it takes before and after its effect, and whether it is answered.
#[derive(Clone, Debug)]
struct Plan {
    kind: u8,
    value: u8,
    instant: u8,
    before: u8,
    after: u8,
    elsewhere: u8,
    fate: u8,
}

fn plan() -> impl Strategy<Value = Plan> {
    (0u8..8, 0u8..3, 0u8..40, 0u8..12, 0u8..12, 0u8..4, 0u8..6).prop_map(
        |(kind, value, instant, before, after, elsewhere, fate)| Plan {
            kind,
            value,
            instant,
            before,
            after,
            elsewhere,
            fate,
        },
    )
}

/// Runs the plans on a store in the order of their instants: a linearizable history by construction.
fn execute(mut plans: Vec<Plan>, values_differ: bool) -> Vec<Operation> {
    plans.sort_by_key(|plan| plan.instant);
    let mut store = Store { revision: 1, live: None };
    let mut operations = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let key = b("k");
        let value = if values_differ { b(&format!("v{number}")) } else { b(&format!("v{}", plan.value)) };
        let current = store.live.as_ref().map_or(0, |record| record.mod_revision);
        let call = match plan.kind {
            0..=2 => Call::Put { key, value },
            3 => Call::Delete { key },
            4 => Call::Cas { key, expect: current, value },
            5 => Call::Cas { key, expect: u64::from(plan.value) + 1, value },
            _ => Call::Get { key },
        };
        let invoked = u64::from(plan.instant.saturating_sub(plan.before)) + 1;
        let answered = u64::from(plan.instant + plan.after) + 1;
        store.revision += u64::from(plan.elsewhere == 0);
        let outcome = match plan.fate {
            // Never took effect, and nobody knows.
            0 => Outcome::Ambiguous,
            1 => {
                store.run(&call, store.revision + 1);
                Outcome::Ambiguous
            }
            _ => Outcome::Ok(store.run(&call, store.revision + 1)),
        };
        operations.push(Operation { client: number as u64, invoked, answered, call, outcome });
    }
    operations
}

#[derive(Clone, Debug)]
struct Mutation {
    at: prop::sample::Index,
    kind: u8,
    up: bool,
}

fn mutate(operations: &mut [Operation], mutation: &Mutation) {
    if operations.is_empty() {
        return;
    }
    let at = mutation.at.index(operations.len());
    let shift = |number: &mut u64| *number = if mutation.up { *number + 1 } else { number.saturating_sub(1) };
    let operation = &mut operations[at];
    match mutation.kind {
        0 => shift(&mut operation.invoked),
        1 => operation.answered = operation.answered.saturating_sub(6),
        2 => operation.outcome = Outcome::Ambiguous,
        _ => {
            let Outcome::Ok(answer) = &mut operation.outcome else { return };
            match answer {
                Answer::Put { revision } => shift(revision),
                Answer::Delete { revision, deleted } => match mutation.kind {
                    3..=5 => shift(revision),
                    _ => *deleted = 1 - *deleted,
                },
                Answer::Get { revision, record: Some(record) }
                | Answer::Cas { revision, succeeded: false, found: Some(record) } => match mutation.kind {
                    3 => shift(revision),
                    4 => shift(&mut record.version),
                    5 => shift(&mut record.create_revision),
                    6 => shift(&mut record.mod_revision),
                    _ => record.value = b(if mutation.up { "v1" } else { "v2" }),
                },
                Answer::Get { revision, record } => match mutation.kind {
                    3..=5 => shift(revision),
                    _ => {
                        *record = Some(Record {
                            value: b("v1"),
                            create_revision: *revision,
                            mod_revision: *revision,
                            version: 1,
                        });
                    }
                },
                Answer::Cas { revision, .. } => shift(revision),
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    (any::<prop::sample::Index>(), 0u8..8, any::<bool>()).prop_map(|(at, kind, up)| Mutation { at, kind, up })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn histories_made_by_a_store_pass(plans in prop::collection::vec(plan(), 0..40), differ in any::<bool>()) {
        let operations = execute(plans, differ);
        prop_assert_eq!(linearizable::check(&operations), Ok(()));
    }

    #[test]
    fn both_agree_on_good_histories(plans in prop::collection::vec(plan(), 0..7), differ in any::<bool>()) {
        let operations = execute(plans, differ);
        prop_assert!(twin(&operations));
        prop_assert_eq!(linearizable::check(&operations), Ok(()));
    }

    #[test]
    fn both_agree_on_mutated_histories(
        plans in prop::collection::vec(plan(), 1..7),
        differ in any::<bool>(),
        mutations in prop::collection::vec(mutation(), 1..3),
    ) {
        let mut operations = execute(plans, differ);
        for mutation in &mutations {
            mutate(&mut operations, mutation);
        }
        let verdict = linearizable::check(&operations);
        prop_assert_eq!(verdict.is_ok(), twin(&operations), "{:?}", verdict);
    }
}

/// The comparison means something only if both verdicts are common.
#[test]
fn mutations_break_a_good_share_of_histories() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = (prop::collection::vec(plan(), 1..7), mutation());
    let (mut good, mut bad) = (0, 0);
    for _ in 0..500 {
        let (plans, mutation) = strategy.new_tree(&mut runner).unwrap().current();
        let mut operations = execute(plans, false);
        mutate(&mut operations, &mutation);
        if linearizable::check(&operations).is_ok() { good += 1 } else { bad += 1 }
    }
    assert!(good > 50 && bad > 50, "{good} good, {bad} bad");
}
