//! Much to take over: a new leader, and entries whose fate it does not know.
//!
//! A leader has sent many entries, which the others hold, and crashes before any of them is known to be committed.
//! Who leads next must see to it that they are. Raft commits them with the first entry of its own term, and sends
//! nothing again; Zab lets the followers' histories agree with the leader's, which they do; Paxos proposes every one
//! of them anew under its ballot (Lamport's phase 1 covers all of them at once, phase 2 does not).
//!
//! And a follower that was away comes back and is brought up: the same for all, or should be.

use quorate_protocol::{Consensus, Event};

use super::arena::{ELECTION, WAY, command, committed, led};
use super::{Contender, Table, chart};
use crate::report::Drawing;
use crate::svg::{Axis, Scale};
use crate::world::Delay;

/// What it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Messages.
    messages: u64,
    /// Their bytes.
    bytes: u64,
    /// Ways of a message, from the moment somebody led (or the follower was back).
    ways: f64,
}

/// With so many entries in doubt.
pub(super) fn taking_over<C: Consensus>(entries: u64) -> Outcome {
    let (mut world, leader) = led::<C>(3, Delay::Fixed(WAY), 1);
    let known = world.commit(leader);
    world.tell(leader, Event::Propose(vec![command(); entries as usize]));
    let others: Vec<_> = world.up().into_iter().filter(|&node| node != leader).collect();
    let held = |world: &crate::world::World<C>| {
        others.iter().all(|&node| world.core(node).status().last.index.0 >= known + entries)
    };
    // The leader must not hear that they are held: its way back is cut when the last of them arrives.
    assert!(world.run(world.now + 1_000 * WAY, held), "they arrive");
    world.stop(leader, true);
    world.count();
    let limit = world.now + 50 * ELECTION;
    let elected = world.run(limit, |world| world.leader().is_some());
    let since = world.now;
    let done = world.run(limit, |world| committed(world) > known + entries);
    assert!(elected && done, "what was held by a majority is committed by the next leader");
    let (tally, ways) = (world.tally(), (world.now - since) as f64 / WAY as f64);
    Outcome { messages: tally.messages, bytes: tally.bytes, ways }
}

/// With so many entries missed.
pub(super) fn catching_up<C: Consensus>(entries: u64) -> Outcome {
    let (mut world, leader) = led::<C>(3, Delay::Fixed(WAY), 1);
    let away = world.up().into_iter().find(|&node| node != leader).expect("there are three");
    world.up().into_iter().filter(|&node| node != away).for_each(|node| world.cut(away, node));
    let upto = world.commit(leader) + entries;
    world.tell(leader, Event::Propose(vec![command(); entries as usize]));
    assert!(world.run(world.now + ELECTION / 2, |world| world.commit(leader) >= upto), "two are enough");
    world.heal();
    world.count();
    world.tell(leader, Event::LinkReset(away));
    let since = world.now;
    assert!(world.run(world.now + 50 * ELECTION, |world| world.commit(away) >= upto), "it is brought up");
    let (tally, ways) = (world.tally(), (world.now - since) as f64 / WAY as f64);
    Outcome { messages: tally.messages, bytes: tally.bytes, ways }
}

/// Entries in doubt, in the table and along the chart.
const SIZES: [u64; 5] = [1, 10, 100, 1_000, 10_000];

pub(super) fn table(contenders: &[Contender], head: Vec<String>) -> (Table, Drawing) {
    let mut rows = Vec::new();
    let mut points: Vec<Vec<(f64, f64)>> = contenders.iter().map(|_| Vec::new()).collect();
    let mut push = |name: String, outcomes: &[Outcome], tell: fn(&Outcome) -> String| {
        rows.push(std::iter::once(name).chain(outcomes.iter().map(tell)).collect::<Vec<String>>());
    };
    for entries in SIZES {
        let outcomes: Vec<Outcome> = contenders.iter().map(|c| (c.recovery)(entries)).collect();
        for (line, outcome) in points.iter_mut().zip(&outcomes) {
            line.push((entries as f64, outcome.bytes as f64));
        }
        push(format!("{entries} in doubt: messages"), &outcomes, |one| one.messages.to_string());
        push(format!("{entries} in doubt: KiB"), &outcomes, |one| {
            format!("{:.1}", one.bytes as f64 / 1024.0)
        });
        push(format!("{entries} in doubt: ways of a message once elected"), &outcomes, |one| {
            format!("{:.0}", one.ways)
        });
    }
    let outcomes: Vec<Outcome> = contenders.iter().map(|c| (c.catching_up)(10_000)).collect();
    push("a follower 10000 behind: messages".into(), &outcomes, |one| one.messages.to_string());
    push("a follower 10000 behind: KiB".into(), &outcomes, |one| format!("{:.1}", one.bytes as f64 / 1024.0));
    push("a follower 10000 behind: ways of a message".into(), &outcomes, |one| format!("{:.0}", one.ways));
    let x =
        Axis::new("entries in doubt", Scale::Logarithmic(1.0, 10_000.0), &[1.0, 10.0, 100.0, 1e3, 1e4], "");
    let marks = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7];
    let y = Axis::new("bytes sent until they are committed", Scale::Logarithmic(100.0, 1e7), &marks, "");
    let lines = contenders.iter().map(|c| c.name).zip(points).collect();
    let drawing =
        chart("compare-recovery.svg", "What a new leader sends about entries in doubt", (x, y), lines);
    (Table { title: "Much to take over", head, rows }, drawing)
}
