//! The forced order of a key's answered operations, and its agreement with real time.

use super::PROPERTY;
use super::model::{Action, Shown, UNSEEN};
use crate::Violation;
use crate::history::{Answer, Call, Operation, Record};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

/// An answered operation in its place.
pub(super) struct Step<'a> {
    pub operation: &'a Operation,
    pub revision: u64,
    pub action: Action,
    /// Operations invoked later than this cannot come before this step.
    pub deadline: u64,
    /// The nearest step, this one included, that shows the record or its absence; the end if none does.
    pub next_shown: usize,
}

/// The answered operations of one key in the only order their revisions allow.
pub(super) struct Order<'a> {
    pub steps: Vec<Step<'a>>,
    /// Numbers of the values some read showed, from 1.
    pub values: BTreeMap<&'a Bytes, usize>,
}

impl<'a> Order<'a> {
    /// Orders the operations; a violation if an answer is impossible in itself, two writes share a revision, or
    /// the order contradicts real time.
    pub fn new(operations: &[&'a Operation]) -> Result<Self, Violation> {
        let mut values = BTreeMap::new();
        for record in operations.iter().filter_map(|operation| shown(operation.answer()?)) {
            let number = values.len() + 1;
            values.entry(&record.value).or_insert(number);
        }
        let mut steps = Vec::new();
        for operation in operations {
            let Some(answer) = operation.answer() else { continue };
            let action = action(operation, answer, &values)?;
            let revision = answer.revision();
            steps.push(Step { operation, revision, action, deadline: operation.answered, next_shown: 0 });
        }
        steps.sort_by_key(|step| (step.revision, !step.action.writes(), step.operation.invoked));
        let mut order = Self { steps, values };
        order.agree_with_time()?;
        order.look_ahead();
        Ok(order)
    }

    /// The number of a value.
    pub fn number(&self, value: &Bytes) -> usize {
        self.values.get(value).copied().unwrap_or(UNSEEN)
    }

    fn agree_with_time(&self) -> Result<(), Violation> {
        let mut latest: Option<&Step<'_>> = None;
        let mut previous: Option<&Step<'_>> = None;
        for step in &self.steps {
            if let Some(before) = previous
                && before.revision == step.revision
                && step.action.writes()
            {
                let detail =
                    format!("one revision for two writes:\n  {}\n  {}", before.operation, step.operation);
                return Err(Violation::new(PROPERTY, detail));
            }
            if let Some(before) = latest
                && step.operation.answered < before.operation.invoked
            {
                let detail = format!(
                    "revisions order the first before the second, which had been answered already:\n  {}\n  {}",
                    before.operation, step.operation
                );
                return Err(Violation::new(PROPERTY, detail));
            }
            if latest.is_none_or(|before| before.operation.invoked < step.operation.invoked) {
                latest = Some(step);
            }
            previous = Some(step);
        }
        Ok(())
    }

    fn look_ahead(&mut self) {
        let mut deadline = u64::MAX;
        let mut next_shown = self.steps.len();
        for (at, step) in self.steps.iter_mut().enumerate().rev() {
            deadline = deadline.min(step.deadline);
            if !step.action.writes() {
                next_shown = at;
            }
            step.deadline = deadline;
            step.next_shown = next_shown;
        }
    }
}

fn shown(answer: &Answer) -> Option<&Record> {
    match answer {
        Answer::Get { record, .. } => record.as_ref(),
        Answer::Cas { succeeded: false, found, .. } => found.as_ref(),
        _ => None,
    }
}

fn action(
    operation: &Operation,
    answer: &Answer,
    values: &BTreeMap<&Bytes, usize>,
) -> Result<Action, Violation> {
    let number = |value: &Bytes| values.get(value).copied().unwrap_or(UNSEEN);
    let observed = |record: &Option<Record>| match record {
        None => Action::ShowsNothing,
        Some(record) => Action::Shows(Shown {
            value: number(&record.value),
            create: record.create_revision,
            modified: record.mod_revision,
            version: record.version,
        }),
    };
    let impossible = || Violation::new(PROPERTY, format!("impossible in itself: {operation}"));
    if operation.answered < operation.invoked {
        return Err(impossible());
    }
    match (&operation.call, answer) {
        (Call::Put { value, .. }, Answer::Put { .. }) => Ok(Action::Put { value: number(value) }),
        (Call::Get { .. }, Answer::Get { record, .. }) => Ok(observed(record)),
        (Call::Delete { .. }, Answer::Delete { deleted: 0, .. }) => Ok(Action::ShowsNothing),
        (Call::Delete { .. }, Answer::Delete { deleted: 1, .. }) => Ok(Action::Delete),
        (Call::Cas { expect, value, .. }, Answer::Cas { succeeded: true, .. }) => {
            Ok(Action::Swap { expect: *expect, value: number(value) })
        }
        (Call::Cas { expect, .. }, Answer::Cas { found, .. })
            if *expect != found.as_ref().map_or(0, |record| record.mod_revision) =>
        {
            Ok(observed(found))
        }
        _ => Err(impossible()),
    }
}
