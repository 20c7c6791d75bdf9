//! From a failed run to a smaller one that fails in the same way.
//!
//! A world has no list of inputs from which pieces could be cut: it is drawn from its seed as it goes, and a run with
//! one client less is another run. So this is not only the delta debugging of Zeller and Hildebrandt (IEEE TSE 2002),
//! but a search: a simpler character is tried with the old dice and with some others, and is kept if one of
//! these runs breaks the same property, the one with the fewest events. In this order:
//!
//! 1. a shorter time of trouble, if the property broke in peace;
//! 2. other dice, for a shorter run;
//! 3. fewer nodes; classes of faults off, all at once, by groups, one by one; watchers, clients, keys, leases and
//!    compaction off or down;
//! 4. other dice again, and simplify again: the shorter the runs, the more dice can be tried;
//! 5. deeds of the nemesis left out: all, halves, quarters, single ones (delta debugging proper: the dice of every
//!    deed are its own, so the others stay what they are).
//!
//! # Invariants
//!
//! 1. The result fails with the same property, and is not longer than the run that was given.
//! 2. The result is named by [`Options`] alone, so one command repeats it.
//! 3. The effort is bounded by the events of all runs together, and by time if asked. Bounded by events only, the
//!    result is always the same, whatever the number of jobs.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::classes::{Allowed, Group};
use crate::deeds::DeedId;
use crate::knobs;
use crate::report::{Failure, Report};
use crate::story::{Happening, Moment};
use crate::{Options, run};

/// How much may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Events of all runs together, about, at most.
    pub events: u64,
    /// Time, at most.
    pub time: Option<Duration>,
    /// Runs at a time.
    pub jobs: usize,
}

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Replicas.
    pub nodes: usize,
    /// Classes of faults that it has.
    pub classes: usize,
    /// What the nemesis did.
    pub deeds: usize,
    /// Clients.
    pub clients: usize,
    /// Watchers.
    pub watchers: usize,
    /// Keys.
    pub keys: u64,
    /// Events until the violation.
    pub events: u64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { nodes, classes, deeds, clients, watchers, keys, events } = self;
        write!(
            f,
            "{nodes} nodes, {classes} classes of faults, {deeds} deeds of the nemesis, {clients} clients, "
        )?;
        write!(f, "{watchers} watchers, {keys} keys, {events} events")
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest run that was found.
    pub failure: Failure,
    /// The size of the run that was given.
    pub before: Size,
    /// The size of the smallest.
    pub after: Size,
    /// Runs that were made.
    pub runs: u64,
}

/// Other dice tried with every simplification, at least.
const ROLLS: u64 = 12;

/// The part of the effort that every simplification may cost, unless [`ROLLS`] cost more.
const SHARES: u64 = 150;

/// Runs that are made before it is looked whether one of them will do.
const AT_ONCE: u64 = 4;

/// Find a smaller run that fails as this one does. `progress` is told now and then how many runs were made, and the
/// size of the smallest that fails so far; its deeds are counted at the end only.
pub fn shrink(failure: &Failure, effort: Effort, progress: &mut dyn FnMut(u64, &Size)) -> Shrunk {
    let began = Instant::now();
    let before = measure(failure);
    let mut search = Search {
        best: failure.clone(),
        size: before,
        longest: before.events,
        runs: 1,
        spent: before.events,
        effort,
        until: effort.time.map(|time| began + time),
        progress,
    };
    search.calm_earlier();
    search.roll(effort.events / 6);
    search.simplify();
    search.calm_earlier();
    search.roll(effort.events / 4);
    search.simplify();
    search.spare_deeds();
    let (runs, failure) = (search.runs, search.best);
    let after = measure(&failure);
    Shrunk { failure, before, after, runs }
}

/// How large a failed run is.
fn measure(failure: &Failure) -> Size {
    let mut deeds = 0;
    let mut count = |moment: &Moment| deeds += usize::from(matches!(moment.what, Happening::Deed { .. }));
    let events = run(&failure.options, Some(&mut count)).stats.events;
    Size::of(&failure.options, deeds, events)
}

impl Size {
    fn of(options: &Options, deeds: usize, events: u64) -> Self {
        let swarm = options.swarm();
        Size {
            nodes: swarm.nodes,
            classes: Allowed::of(&swarm).count(),
            deeds,
            clients: swarm.load.clients,
            watchers: swarm.load.watchers,
            keys: swarm.load.keys,
            events,
        }
    }
}

struct Search<'a> {
    best: Failure,
    size: Size,
    /// The events of the run that was given.
    longest: u64,
    runs: u64,
    /// Events of all runs.
    spent: u64,
    effort: Effort,
    until: Option<Instant>,
    progress: &'a mut dyn FnMut(u64, &Size),
}

impl Search<'_> {
    fn exhausted(&self) -> bool {
        self.spent >= self.effort.events || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Of these, take the one that fails in the same way with the fewest events, which are at most `most`.
    fn take(&mut self, mut candidates: Vec<Options>, most: u64) -> bool {
        if self.exhausted() {
            return false;
        }
        candidates.iter_mut().for_each(|options| options.plan.most_events = Some(most));
        let reports = run_all(&candidates, self.effort.jobs, self.until);
        self.runs += reports.len() as u64;
        self.spent += reports.iter().map(|report| report.stats.events).sum::<u64>();
        let same = |report: &Report| {
            let failure = report.failure.as_ref()?;
            (failure.property == self.best.property).then(|| (report.stats.events, failure.clone()))
        };
        let found = reports.iter().filter_map(same).min_by_key(|(events, _)| *events);
        let taken = found.is_some();
        if let Some((events, failure)) = found {
            self.best = failure;
            self.best.options.plan.most_events = None;
            self.size = Size::of(&self.best.options, self.size.deeds, events);
        }
        (self.progress)(self.runs, &self.size);
        taken
    }

    /// A simpler character, with the old dice and with others. A run that is simpler may be longer, within reason.
    fn try_character(&mut self, options: Options) -> bool {
        let most = self.longest.min(self.size.events * 3 / 2);
        let last = self.spent + self.effort.events / SHARES;
        let mut first = 0;
        // The shorter the runs, the more dice are tried.
        while first < ROLLS || self.spent < last {
            let rolls = (first..first + AT_ONCE).map(|roll| {
                let mut rolled = options.clone();
                rolled.plan.roll += roll;
                rolled
            });
            if self.take(rolls.collect(), most) {
                return true;
            }
            if self.exhausted() {
                return false;
            }
            first += AT_ONCE;
        }
        false
    }

    fn changed(&self, change: impl FnOnce(&mut Options)) -> Options {
        let mut options = self.best.options.clone();
        change(&mut options);
        options
    }

    /// Step 3: what makes the story simpler.
    fn simplify(&mut self) {
        loop {
            let before = self.best.options.clone();
            self.fewer_nodes();
            self.fewer_faults();
            for (name, values) in PLAIN {
                self.turn_down(name, values);
            }
            let same_character = {
                let mut after = self.best.options.clone();
                after.plan.roll = before.plan.roll;
                after == before
            };
            if same_character || self.exhausted() {
                return;
            }
        }
    }

    fn fewer_nodes(&mut self) {
        let swarm = self.best.options.swarm();
        let sizes = if swarm.is_atomic() { 2..swarm.groups } else { 1..swarm.nodes };
        for nodes in sizes {
            let smaller = self.changed(|options| options.nodes = Some(nodes));
            if self.try_character(smaller) {
                return;
            }
        }
    }

    fn fewer_faults(&mut self) {
        let had = Allowed::of(&self.best.options.swarm());
        let fewer =
            |search: &Self, faults: Allowed| search.changed(|options| options.plan.faults = Some(faults));
        if had.count() > 0 && self.try_character(fewer(self, Allowed::none())) {
            return;
        }
        for group in Group::ALL {
            let had = Allowed::of(&self.best.options.swarm());
            let left = had.without_group(group);
            if left.count() < had.count() {
                self.try_character(fewer(self, left));
            }
        }
        for class in Allowed::of(&self.best.options.swarm()).names().collect::<Vec<_>>() {
            let left = Allowed::of(&self.best.options.swarm()).without(class);
            self.try_character(fewer(self, left));
        }
    }

    /// The first of these values, in their order, with which it still fails.
    fn turn_down(&mut self, name: &'static str, values: &[u64]) {
        let Some(knob) = knobs::named(name) else { return };
        let now = (knob.get)(&self.best.options.swarm());
        for value in values.iter().filter(|value| **value < now) {
            let mut turned = self.best.options.clone();
            if turned.plan.put(name, *value).is_ok() && self.try_character(turned) {
                return;
            }
        }
    }

    /// Step 1: if the property breaks in peace, let peace come earlier.
    fn calm_earlier(&mut self) {
        if self.best.at_us < self.best.options.swarm().chaos_us {
            return;
        }
        self.turn_down("chaos_us", &[200_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000]);
    }

    /// Steps 2 and 4: the same character, other dice, until so many more events are spent.
    fn roll(&mut self, events: u64) {
        let last = self.spent + events;
        let mut next = self.best.options.plan.roll + 1;
        while self.spent < last && !self.exhausted() {
            let rolls = next..next + AT_ONCE;
            let candidates = rolls.map(|roll| self.changed(|options| options.plan.roll = roll)).collect();
            // A little shorter is not worth other dice.
            self.take(candidates, self.size.events * 9 / 10);
            next += AT_ONCE;
        }
    }

    /// Step 5: leave out deeds, by ever smaller parts.
    fn spare_deeds(&mut self) {
        let mut deeds: Vec<DeedId> = deeds_of(&self.best.options).into_iter().collect();
        if deeds.is_empty() {
            return;
        }
        // Those that come later than the violation are named by nobody.
        let same = self.only(&deeds);
        self.take(vec![same], self.size.events);
        let mut part = deeds.len();
        while part > 0 && !self.exhausted() {
            let mut from = 0;
            while from < deeds.len() {
                let upto = (from + part).min(deeds.len());
                let left: Vec<DeedId> = [&deeds[..from], &deeds[upto..]].concat();
                let fewer = self.only(&left);
                if self.take(vec![fewer], self.longest.min(self.size.events * 3 / 2)) {
                    deeds = left;
                } else {
                    from = upto;
                }
            }
            part /= 2;
        }
    }

    fn only(&self, deeds: &[DeedId]) -> Options {
        self.changed(|options| options.plan.deeds = Some(deeds.iter().copied().collect()))
    }
}

/// What makes a story plainer, in this order: the values to try, the plainest first.
const PLAIN: &[(&str, &[u64])] = &[
    ("load.watchers", &[0, 1, 2]),
    ("load.leases", &[0]),
    ("load.compact", &[0]),
    ("load.clients", &[0, 1, 2, 3, 4]),
    ("load.keys", &[1, 2, 3]),
    ("load.participants", &[2, 3]),
];

/// The deeds of the nemesis in a run.
fn deeds_of(options: &Options) -> BTreeSet<DeedId> {
    let mut deeds = BTreeSet::new();
    let mut note = |moment: &Moment| {
        if let Happening::Deed { id, .. } = moment.what {
            deeds.insert(id);
        }
    };
    run(options, Some(&mut note));
    deeds
}

/// The reports of these runs, in their order; fewer, if the time is up.
fn run_all(candidates: &[Options], jobs: usize, until: Option<Instant>) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    let work = || {
        while until.is_none_or(|until| Instant::now() < until) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(options) = candidates.get(at) else { return };
            let report = run(options, None);
            reports.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((at, report));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, candidates.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    reports.sort_by_key(|(at, _)| *at);
    reports.into_iter().map(|(_, report)| report).collect()
}
