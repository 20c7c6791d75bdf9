//! Placing ambiguous writes between the answered operations.
//!
//! Depth first: at each gap, first take the next answered operation as it is, then try to let one more
//! ambiguous write take effect before it. Three kinds of cuts keep it short, none of which loses a solution:
//!
//! - *Looking ahead.* The next answer that shows the record says which creation, newest write and version the
//!   register is bound for; a state that cannot get there is dropped ([`doomed`]).
//! - *No idle insertions* ([`Search::useful`]): a put is inserted only to raise the version towards the one that
//!   will be shown, to make a key exist that the next answer needs, or to be the value shown; a delete never
//!   directly after an inserted put.
//! - *Reserved values.* When a value was shown at as many unexplained revisions as there are ambiguous writes
//!   of it, all of them are needed there and none is free to serve elsewhere.
//!
//! The search runs twice. First piece by piece: an answer that shows the record makes the register's state exact,
//! so from there to the next such answer the history must be explicable by itself, with all ambiguous writes at
//! hand. Nearly every violation shows here, at once and next to its cause. Then as a whole, where no write may be
//! used twice.
//!
//! A failed configuration is remembered with the ambiguous writes used so far; another arrival at the same
//! place and state that has used those and perhaps more fails too.

use super::PROPERTY;
use super::model::{Action, OPEN, Shown, State, UNSEEN};
use super::order::{Order, Step};
use crate::Violation;
use crate::history::{Call, Operation};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Steps after which a key is given up as undecided.
const STEPS_MAX: u64 = 2_000_000;
/// Operations shown before the one that cannot be explained.
const CONTEXT_SHOWN: usize = 8;

/// Ambiguous writes with equal effect.
struct Class {
    action: Action,
    /// Invocation times, ascending.
    invoked: Vec<u64>,
    /// Whether some of them may serve where their value is not shown.
    free: bool,
}

/// One configuration on the path: the next answered operation, the state before it.
struct Frame {
    at: usize,
    state: State,
    inserted: Option<usize>,
    /// 0: take the answered operation; `c + 1`: insert one of the c-th class to try here.
    choice: usize,
}

/// How many writes of each class were used when a configuration failed; classes not used are left out.
type Used = Vec<(usize, u32)>;

pub(super) struct Search<'a> {
    order: &'a Order<'a>,
    ambiguous: &'a [&'a Operation],
    classes: Vec<Class>,
    /// Classes to try in every gap.
    free: Vec<usize>,
    /// The other classes by value, to try only where it is shown.
    reserved: BTreeMap<usize, Vec<usize>>,
    used: Vec<u32>,
    stack: Vec<Frame>,
    failed: BTreeMap<(usize, State), Vec<Used>>,
    furthest: (usize, State),
}

impl<'a> Search<'a> {
    pub fn new(order: &'a Order<'a>, ambiguous: &'a [&'a Operation]) -> Self {
        let classes = classes(order, ambiguous);
        let used = vec![0; classes.len()];
        let (mut free, mut reserved) = (Vec::new(), BTreeMap::<usize, Vec<usize>>::new());
        for (at, class) in classes.iter().enumerate() {
            match class.action {
                Action::Put { value } | Action::Swap { value, .. } if !class.free => {
                    reserved.entry(value).or_default().push(at);
                }
                _ => free.push(at),
            }
        }
        let furthest = (0, State::EMPTY);
        Self {
            order,
            ambiguous,
            classes,
            free,
            reserved,
            used,
            stack: Vec::new(),
            failed: BTreeMap::new(),
            furthest,
        }
    }

    /// Finds a placement that explains every answer, or says which answer none explains.
    pub fn run(mut self) -> Result<(), Violation> {
        self.enough_writers()?;
        let steps = &self.order.steps;
        let (mut from, mut state) = (0, State::EMPTY);
        for (at, step) in steps.iter().enumerate().filter(|(_, step)| !step.action.writes()) {
            self.explore(from, state, at + 1)?;
            (from, state) = (at + 1, State::shown(step.action, step.revision));
        }
        self.explore(from, state, steps.len())?;
        self.explore(0, State::EMPTY, steps.len())
    }

    /// Whether each value was shown at no more revisions than there are writes to account for them. The search
    /// would find the same; said outright it reads better, and "applied twice" is a mistake worth naming.
    fn enough_writers(&self) -> Result<(), Violation> {
        for (value, revisions) in unexplained(self.order) {
            let writes = |action: &Action| match action {
                Action::Put { value: written } | Action::Swap { value: written, .. } => *written == value,
                _ => false,
            };
            let of_it = self.classes.iter().filter(|class| writes(&class.action));
            let writers: usize = of_it.map(|class| class.invoked.len()).sum();
            if revisions.len() <= writers {
                continue;
            }
            let mut text = format!("{writers} unanswered writes of a value cannot explain these answers:");
            for revision in &revisions {
                let shows = |step: &&Step<'_>| match step.action {
                    Action::Shows(shown) => shown.value == value && shown.modified == *revision,
                    _ => false,
                };
                if let Some(step) = self.order.steps.iter().find(shows) {
                    let _ = write!(text, "\n  {}", step.operation);
                }
            }
            return Err(Violation::new(PROPERTY, text));
        }
        Ok(())
    }

    /// Explains the answers from `from`, where the register is in `state`, up to `to`.
    fn explore(&mut self, from: usize, state: State, to: usize) -> Result<(), Violation> {
        self.used.fill(0);
        self.failed.clear();
        self.stack.clear();
        self.stack.push(Frame { at: from, state, inserted: None, choice: 0 });
        self.furthest = (from, state);
        for _ in 0..STEPS_MAX {
            let Some(frame) = self.stack.last_mut() else {
                return Err(Violation::new(PROPERTY, self.explain("no order explains")));
            };
            let (at, state, choice) = (frame.at, frame.state, frame.choice);
            frame.choice += 1;
            if at == to {
                return Ok(());
            }
            let Some(step) = self.order.steps.get(at) else { return Ok(()) };
            if choice == 0 {
                if let Some(next) = state.answered(step.action, step.revision) {
                    self.push(at + 1, next, None);
                }
            } else if let Some(class) = self.class_to_try(at, choice - 1) {
                if let Some(next) = self.insert(at, step, state, class) {
                    self.push(at, next, Some(class));
                }
            } else {
                self.give_up();
            }
        }
        Err(Violation::new(PROPERTY, self.explain("undecided within the bound of the search:")))
    }

    fn class_to_try(&self, at: usize, nth: usize) -> Option<usize> {
        if let Some(class) = self.free.get(nth) {
            return Some(*class);
        }
        let step = self.order.steps.get(at)?;
        let Action::Shows(shown) = step.action else { return None };
        self.reserved.get(&shown.value)?.get(nth - self.free.len()).copied()
    }

    fn push(&mut self, at: usize, state: State, inserted: Option<usize>) {
        if at > self.furthest.0 {
            self.furthest = (at, state);
        }
        if doomed(&state, self.shown_next(at)) {
            return;
        }
        if let Some(class) = inserted {
            self.used[class] += 1;
        }
        let enough = |used: &Used| used.iter().all(|(class, count)| *count <= self.used[*class]);
        if self.failed.get(&(at, state)).is_some_and(|failed| failed.iter().any(enough)) {
            if let Some(class) = inserted {
                self.used[class] -= 1;
            }
            return;
        }
        self.stack.push(Frame { at, state, inserted, choice: 0 });
    }

    fn give_up(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        let used = self.used.iter().enumerate().filter(|(_, count)| **count > 0);
        let used: Used = used.map(|(class, count)| (class, *count)).collect();
        self.failed.entry((frame.at, frame.state)).or_default().push(used);
        if let Some(class) = frame.inserted {
            self.used[class] -= 1;
        }
    }

    /// The state after one of `class` took effect just before `step`, if that is possible and of use.
    fn insert(&self, at: usize, step: &Step<'_>, state: State, class: usize) -> Option<State> {
        let Class { action, invoked, free } = &self.classes[class];
        let open = invoked.partition_point(|invoked| *invoked <= step.deadline);
        if self.used[class] as usize >= open || !self.useful(at, step, &state, *action, *free) {
            return None;
        }
        let next = state.took_effect(*action)?;
        let room =
            if step.action.writes() { next.floor < step.revision } else { next.floor <= step.revision };
        room.then_some(next)
    }

    fn useful(&self, at: usize, step: &Step<'_>, state: &State, action: Action, free: bool) -> bool {
        let target = self.shown_next(at);
        let written_open = state.live.is_some_and(|live| live.modified.hi == OPEN);
        let value = match action {
            Action::Put { value } | Action::Swap { value, .. } => value,
            _ => return !written_open,
        };
        let wanted = target.is_some_and(|shown| match state.live {
            Some(live) => live.create.contains(shown.create) && live.version < shown.version,
            None => shown.create > state.floor,
        });
        let needed = match step.action {
            Action::Delete => state.live.is_none(),
            Action::Swap { expect, .. } => expect > state.floor && !written_open,
            _ => false,
        };
        let is_shown = wanted && step.next_shown == at && target.is_some_and(|shown| shown.value == value);
        is_shown || (free && (wanted || needed))
    }

    /// What the nearest answer at or after `at` shows of the record, if one shows that it exists.
    fn shown_next(&self, at: usize) -> Option<Shown> {
        let next = self.order.steps.get(at)?.next_shown;
        match self.order.steps.get(next)?.action {
            Action::Shows(shown) => Some(shown),
            _ => None,
        }
    }

    fn explain(&self, verdict: &str) -> String {
        let steps = &self.order.steps;
        let (at, state) = self.furthest;
        let shown = steps.get(at).map_or(at, |step| step.next_shown);
        let culprit = if shown < steps.len() { shown } else { at };
        let mut text = String::new();
        let Some(step) = steps.get(culprit) else { return verdict.into() };
        let _ = write!(text, "{verdict}\n  {}", step.operation);
        let from = at.saturating_sub(CONTEXT_SHOWN);
        let _ = write!(text, "\nafter, in the order of their revisions");
        if from > 0 {
            let _ = write!(text, " ({from} earlier ones left out)");
        }
        for step in steps.iter().take(culprit).skip(from) {
            let _ = write!(text, "\n  {}", step.operation);
        }
        let open = self.ambiguous.iter().filter(|operation| operation.invoked <= step.deadline);
        let open: Vec<_> =
            open.filter(|operation| operation.call.key() == step.operation.call.key()).collect();
        let _ = write!(text, "\nand {} unanswered writes that may have taken effect", open.len());
        for operation in open.iter().rev().take(CONTEXT_SHOWN) {
            let _ = write!(text, "\n  {operation}");
        }
        let _ = write!(text, "\n(the key after {at} answered operations: {})", describe(&state));
        text
    }
}

/// Whether `state` can no longer lead to the record that will be shown next.
fn doomed(state: &State, target: Option<Shown>) -> bool {
    let Some(shown) = target else { return false };
    let Some(live) = state.live else { return state.floor >= shown.create };
    let same_generation = live.create.lo == shown.create && live.create.hi == shown.create;
    live.create.lo > shown.create
        || live.modified.lo > shown.modified
        || (same_generation && live.version > shown.version)
        // Each put still due takes a revision of its own.
        || (same_generation && shown.version - live.version > shown.modified.saturating_sub(state.floor))
        || (state.floor >= shown.modified && live.modified.hi < shown.modified)
}

fn classes(order: &Order<'_>, ambiguous: &[&Operation]) -> Vec<Class> {
    let mut invoked: BTreeMap<Action, Vec<u64>> = BTreeMap::new();
    let mut writers: BTreeMap<usize, usize> = BTreeMap::new();
    for operation in ambiguous {
        let action = match &operation.call {
            Call::Get { .. } => continue,
            Call::Delete { .. } => Action::Delete,
            Call::Put { value, .. } => Action::Put { value: order.number(value) },
            Call::Cas { expect, value, .. } => Action::Swap { expect: *expect, value: order.number(value) },
        };
        if let Action::Put { value } | Action::Swap { value, .. } = action {
            *writers.entry(value).or_default() += 1;
        }
        invoked.entry(action).or_default().push(operation.invoked);
    }
    let unexplained = unexplained(order);
    let class = |(action, mut invoked): (Action, Vec<u64>)| {
        invoked.sort_unstable();
        let free = match action {
            Action::Put { value: UNSEEN } | Action::Swap { value: UNSEEN, .. } => true,
            Action::Put { value } | Action::Swap { value, .. } => {
                writers.get(&value).copied().unwrap_or(0) > unexplained.get(&value).map_or(0, BTreeSet::len)
            }
            _ => true,
        };
        Class { action, invoked, free }
    };
    invoked.into_iter().map(class).collect()
}

/// Per value, the revisions at which it was shown and no answered write is known to have written it.
fn unexplained(order: &Order<'_>) -> BTreeMap<usize, BTreeSet<u64>> {
    let answered: BTreeSet<u64> =
        order.steps.iter().filter(|step| step.action.writes()).map(|step| step.revision).collect();
    let mut unexplained: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for step in &order.steps {
        if let Action::Shows(shown) = step.action
            && !answered.contains(&shown.modified)
        {
            unexplained.entry(shown.value).or_default().insert(shown.modified);
        }
    }
    unexplained
}

fn describe(state: &State) -> String {
    let span = |span: super::model::Span| match span.hi {
        OPEN => format!("{} or later", span.lo),
        hi if hi == span.lo => format!("{hi}"),
        hi => format!("{} to {hi}", span.lo),
    };
    match state.live {
        None => format!("absent, store at revision {} or later", state.floor),
        Some(live) => format!(
            "create {}, mod {}, version {}, store at revision {} or later",
            span(live.create),
            span(live.modified),
            live.version,
            state.floor
        ),
    }
}
