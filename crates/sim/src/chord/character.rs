//! What a run of Chord is like.

use quorate_protocol::Random;

use crate::faults::{Choice, Faults};
use crate::swarm::{Pace, Ring, Swarm, one_of};

/// What befalls nodes of this kind, beyond the assumptions of the theorem.
const ROUGH: [Choice; 6] =
    [Choice::Partition, Choice::OneWay, Choice::Isolate, Choice::Flap, Choice::CrashLoop, Choice::Jump];

/// What befalls them within.
const GENTLE: [Choice; 8] = [
    Choice::Crash,
    Choice::Change,
    Choice::Pause,
    Choice::SlowLink,
    Choice::SlowNode,
    Choice::Stranger,
    Choice::Skew,
    Choice::Freeze,
];

/// Make a run of Chord of this.
pub fn adapt(swarm: &mut Swarm, mut random: Random, nodes: Option<usize>) {
    let random = &mut random;
    let ring = Ring { successors: one_of(random, &[1, 1, 2, 3]), gentle: random.percent(70) };
    // Fewer than r + 2 are no ring of which one may go.
    let drawn = random.between(6, 13) as usize;
    swarm.nodes = nodes.unwrap_or(drawn).max(ring.successors + 2);
    // Not an election's: how long trouble lasts is measured by it, and so how long an answer is waited for.
    (swarm.election_ticks, swarm.mixed, swarm.lease_drift, swarm.catch_up) =
        (one_of(random, &[4, 6]), false, None, false);
    let timeout_us = u64::from(swarm.election_ticks) * swarm.tick_us;
    swarm.pace = Pace::draw(random, timeout_us);
    swarm.chaos_us = swarm.tick_us * random.between(1_000, 3_000);
    let drawn = &swarm.faults;
    let (calm, loss, duplicates, corrupt) =
        (drawn.every_us == 0, drawn.loss, drawn.duplicates, drawn.corrupt);
    let mut faults = Faults {
        duplicates,
        every_us: swarm.tick_us * random.between(8, 80),
        down_us: swarm.tick_us * one_of(random, &[2, 20, 200]),
        ..Faults::default()
    };
    for choice in GENTLE {
        faults.weights.set(choice, swarm.faults.weights.of(choice));
    }
    // Members that go are what it is about.
    faults.weights.set(Choice::Crash, random.between(2, 12));
    faults.weights.set(Choice::Change, random.between(0, 8));
    if !ring.gentle {
        (faults.loss, faults.corrupt) = (loss, corrupt);
        for choice in ROUGH {
            faults.weights.set(choice, swarm.faults.weights.of(choice));
        }
        // Rarely drawn, and what a ring minds most: somebody who comes, is heard of, and is gone again.
        let again = if random.percent(25) { random.between(1, 5) } else { 0 };
        faults.weights.set(Choice::CrashLoop, again);
    }
    swarm.ring = ring;
    swarm.faults = if calm { Faults::default() } else { faults };
}

/// How long an answer is waited for, in ticks, and how often it is asked for.
///
/// In gentle runs that is longer than both ends can stand still, slow links can take, and the fastest clock makes of it.
pub fn patience(swarm: &Swarm) -> (u32, u32) {
    let election_us = swarm.election_us();
    let slowest_us = swarm.pace.network_us.1 + swarm.pace.tail_us + election_us + 1_000;
    let stands_us = 2 * election_us + 5 * swarm.tick_us;
    let ticks = |us: u64| (us * 1_000).div_ceil(swarm.tick_us * crate::swarm::FASTEST_PERMILLE) as u32;
    match swarm.ring.gentle {
        true => (ticks(2 * slowest_us + 3 * stands_us), 1),
        false => (ticks(2 * swarm.pace.network_us.1) + 3, 3),
    }
}
