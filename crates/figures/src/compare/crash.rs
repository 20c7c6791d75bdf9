//! A leader crashes: how long nobody leads.
//!
//! Counted in election timeouts (the shortest one; ours are drawn from one to two), from the crash, which
//! comes at any moment between two heartbeats, until something is committed again. Either nobody is told, as when a
//! machine loses power, or the connections break, as when a process ends. And once with messages that take a
//! fifth of the range timeouts are drawn from, so that candidates often meet: proposers that duel, votes that split.

use quorate_protocol::{Consensus, Random};

use super::arena::{ELECTION, WAY, committed, led};
use super::{Contender, Table, chart, share, spread};
use crate::Effort;
use crate::report::Drawing;
use crate::stats::{Times, trials};
use crate::svg::{Axis, Scale};
use crate::world::{Delay, Time};

/// Patience.
const LIMIT: Time = 50 * ELECTION;

/// How it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The others' connections to it break.
    noticed: bool,
    /// A message's way.
    way: Delay,
}

/// How it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Until something is committed again, in election timeouts.
    downtime: Times,
    /// How many elections took more than one attempt.
    contested: f64,
    /// Messages until then, on average.
    messages: f64,
}

pub(super) fn measure<C: Consensus>(setting: &Setting, effort: Effort) -> Outcome {
    let trial = |seed: u64| {
        let (mut world, leader) = led::<C>(5, setting.way, seed);
        let moment = Random::new(!seed).below(ELECTION / 10);
        world.run(world.now + moment, |_| false);
        let (round, crashed) = (world.round(), world.now);
        world.count();
        world.stop(leader, setting.noticed);
        let before = committed(&world);
        let done = world.run(crashed + LIMIT, |world| committed(world) > before && world.leader().is_some());
        let took = (world.now - crashed) as f64 / ELECTION as f64;
        (done.then_some(took), world.round() > round + 1, world.tally().messages)
    };
    let all = trials(effort.of(5_000), trial);
    let count = all.len() as f64;
    Outcome {
        contested: all.iter().filter(|(_, contested, _)| *contested).count() as f64 / count,
        messages: all.iter().map(|(_, _, messages)| *messages as f64).sum::<f64>() / count,
        downtime: Times::new(all.into_iter().map(|(took, _, _)| took)),
    }
}

pub(super) fn table(contenders: &[Contender], effort: Effort, head: Vec<String>) -> (Table, Drawing) {
    let fast = Delay::Fixed(WAY);
    let settings = [
        ("its connections break", Setting { noticed: true, way: fast }),
        ("nobody is told", Setting { noticed: false, way: fast }),
        (
            "nobody is told, messages take 5 to 20 ms",
            Setting { noticed: false, way: Delay::Uniform(5 * WAY, 20 * WAY) },
        ),
    ];
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (at, (name, setting)) in settings.iter().enumerate() {
        let outcomes: Vec<Outcome> = contenders.iter().map(|c| (c.crash)(setting, effort)).collect();
        let mut push = |what: &str, tell: &dyn Fn(&Outcome) -> String| {
            let cells = outcomes.iter().map(tell);
            rows.push(std::iter::once(format!("{name}: {what}")).chain(cells).collect::<Vec<String>>());
        };
        push("median / 99 %", &|outcome| spread(&outcome.downtime));
        push("more than one attempt", &|outcome| format!("{:.1} %", 100.0 * outcome.contested));
        push("messages", &|outcome| format!("{:.0}", outcome.messages));
        if at == 2 {
            let drawn = contenders.iter().zip(&outcomes);
            lines = drawn.map(|(c, outcome)| (c.name, outcome.downtime.distribution(300))).collect();
        }
    }
    let marks = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let x = Axis::new("election timeouts without a leader", Scale::Linear(0.0, 5.0), &marks, "");
    let title = "A leader crashes, messages take 5 to 20 ms";
    let drawing = chart("compare-crash.svg", title, (x, share("groups that go on")), lines);
    (Table { title: "A leader crashes", head, rows }, drawing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Word of a crash saves most of an election timeout, whatever the protocol.
    #[test]
    fn who_is_told_needs_not_wait() {
        for contender in crate::core::contenders() {
            let of = |noticed| {
                let setting = Setting { noticed, way: Delay::Fixed(WAY) };
                (contender.crash)(&setting, Effort::Brief).downtime
            };
            let (told, silent) = (of(true), of(false));
            assert_eq!((told.never(), silent.never()), (0, 0), "{}", contender.name);
            assert!(told.quantile(0.5) < Some(0.6), "{}: {:?}", contender.name, told.quantile(0.5));
            assert!(silent.quantile(0.5) > Some(0.9), "{}: {:?}", contender.name, silent.quantile(0.5));
        }
    }
}
