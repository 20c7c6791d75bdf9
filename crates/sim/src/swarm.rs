//! What a run is like: its size, its speeds, and which faults it has.
//!
//! Everything here is drawn once, at the start of a run, from its seed. Each class of faults is on or off and, when
//! on, mild or fierce (swarm testing: Groce and others, ISSTA 2012). A run in which everything fails at once
//! rarely gets far enough to meet a subtle bug; most bugs need two or three kinds of trouble and peace from the others.
//!
//! Times are microseconds of virtual time.

use quorate_protocol::Random;

/// A run's character.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Replicas.
    pub nodes: usize,
    /// How long the faults last.
    pub chaos_us: u64,
    /// A tick, on a clock that runs right.
    pub tick_us: u64,
    /// Whether clocks run at different rates.
    pub skew: bool,
    /// See `quorate_protocol::Config`.
    pub election_ticks: u32,
    /// See `quorate_protocol::Config`.
    pub heartbeat_ticks: u32,
    /// See `quorate_protocol::Config`.
    pub max_message_bytes: usize,
    /// See `quorate_protocol::Config`.
    pub max_inflight: usize,
    /// Applied entries kept in the log for followers.
    pub retain_entries: usize,
    /// Entries applied between two checkpoints.
    pub checkpoint_every: u64,
    /// A log segment.
    pub segment_bytes: u64,
    /// Speeds.
    pub pace: Pace,
    /// Faults.
    pub faults: Faults,
    /// Load.
    pub load: Load,
}

/// How long things take.
#[derive(Clone, Debug)]
pub struct Pace {
    /// A message between nodes, at least and at most.
    pub network_us: (u64, u64),
    /// In a hundred messages, how many take up to [`Self::tail_us`].
    pub tail_percent: u64,
    /// The slowest message.
    pub tail_us: u64,
    /// Whether messages of one link keep their order.
    pub fifo: bool,
    /// An fsync, at least and at most.
    pub disk_us: (u64, u64),
    /// Until a committed entry is applied, at most.
    pub apply_us: u64,
}

/// Which faults, and how many.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Messages lost, of a thousand.
    pub loss: u64,
    /// Messages delivered twice, of a thousand.
    pub duplicates: u64,
    /// The average time between two interventions of the nemesis; 0 for none.
    pub every_us: u64,
    /// Weights of what it does.
    pub weights: Weights,
    /// New leaders that are struck down soon after their election, of a hundred.
    pub strike_leaders: u64,
    /// How soon after their election, at most.
    pub strike_within_us: u64,
    /// Nodes that crash just after they sent what waited for their disk, of a thousand such messages.
    pub crash_after_sync: u64,
    /// Nodes that crash just after they made a promise, of a hundred.
    pub crash_after_promise: u64,
    /// How long a crashed node stays down, at most. The least is a millisecond.
    pub down_us: u64,
    /// Crashes that lose unsynced writes, of a hundred; the others lose only the process.
    pub power_percent: u64,
    /// Answers to clients that are lost, of a thousand.
    pub lost_answers: u64,
}

/// How often each intervention is chosen.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// A node crashes.
    pub crash: u64,
    /// All nodes crash.
    pub blackout: u64,
    /// A node stands still.
    pub pause: u64,
    /// The nodes fall into two groups that do not hear each other.
    pub partition: u64,
    /// Some links fail in one direction.
    pub oneway: u64,
    /// The leader hears nobody and nobody hears it.
    pub isolate: u64,
    /// A connection is lost, and both ends are told.
    pub reset: u64,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Clients that read and write, one request at a time each.
    pub clients: usize,
    /// Keys they share.
    pub keys: u64,
    /// Between an answer and the next request, at most.
    pub think_us: u64,
    /// How long a client waits for an answer.
    pub patience_us: u64,
    /// Of a hundred requests, how many read.
    pub read_percent: u64,
    /// Watchers.
    pub watchers: usize,
    /// Whether history is compacted.
    pub compact: bool,
    /// Whether leases are granted.
    pub leases: bool,
}

/// On with a probability of `percent`, then between 1 and `most`, squared towards the low end.
fn intensity(random: &mut Random, percent: u64, most: u64) -> u64 {
    if !random.percent(percent) {
        return 0;
    }
    let bound = random.between(1, most + 1);
    random.between(1, bound + 1)
}

fn one_of<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

impl Swarm {
    /// Draw a run; `nodes` overrides the number of replicas.
    pub fn draw(mut random: Random, nodes: Option<usize>) -> Self {
        let random = &mut random;
        let drawn = if random.percent(65) { 3 } else { 5 };
        let election_ticks = one_of(random, &[4, 6, 10, 20, 30]);
        let timeout_us = election_ticks as u64 * TICK_US;
        let pace = Pace::draw(random, timeout_us);
        let faults = match random.percent(6) {
            true => Faults::default(),
            false => Faults::draw(random, timeout_us, &pace),
        };
        Swarm {
            nodes: nodes.unwrap_or(drawn),
            chaos_us: random.between(6_000_000, 20_000_000),
            tick_us: TICK_US,
            skew: random.percent(40),
            election_ticks,
            heartbeat_ticks: (election_ticks / one_of(random, &[3, 4, 8])).max(1),
            max_message_bytes: one_of(random, &[32, 32, 64, 64, 256, 1 << 20]),
            max_inflight: one_of(random, &[1, 2, 8, 64]),
            retain_entries: one_of(random, &[1, 5, 20, 60, 300]),
            checkpoint_every: one_of(random, &[3, 10, 40, 150]),
            segment_bytes: one_of(random, &[8, 16, 32, 64]) * 1024,
            pace,
            faults,
            load: Load::draw(random, timeout_us),
        }
    }

    /// The longest time a follower waits before it campaigns, were its clock right.
    pub fn election_us(&self) -> u64 {
        2 * u64::from(self.election_ticks) * self.tick_us
    }
}

/// A tick of 10 ms, as in production.
const TICK_US: u64 = 10_000;

impl Pace {
    fn draw(random: &mut Random, timeout_us: u64) -> Self {
        let slowest = one_of(random, &[500, 2_000, 10_000, timeout_us / 4, timeout_us / 2]);
        let tail_percent = if random.percent(50) { random.between(1, 15) } else { 0 };
        Pace {
            network_us: (random.between(50, 500), 500 + slowest),
            tail_percent,
            tail_us: one_of(random, &[timeout_us / 2, timeout_us, 3 * timeout_us]),
            fifo: random.percent(40),
            disk_us: (100, one_of(random, &[200, 1_000, 8_000, 40_000])),
            apply_us: one_of(random, &[1, 200, 3_000, 20_000]),
        }
    }

    /// Everything quick and in order.
    pub fn calm() -> Self {
        Pace {
            network_us: (100, 300),
            tail_percent: 0,
            tail_us: 0,
            fifo: true,
            disk_us: (100, 300),
            apply_us: 50,
        }
    }
}

impl Faults {
    fn draw(random: &mut Random, timeout_us: u64, pace: &Pace) -> Self {
        // One leader after the other is struck almost as soon as it is elected: logs diverge.
        let storm = random.percent(35);
        // Voters crash as soon as they have voted, and are back before the votes of the same term are all cast.
        let oblivion = random.percent(20);
        Faults {
            loss: intensity(random, 50, 200),
            duplicates: intensity(random, 50, 100),
            every_us: random.between(timeout_us / 2, 8 * timeout_us),
            weights: Weights {
                crash: intensity(random, 60, 8),
                blackout: intensity(random, 35, 3),
                pause: intensity(random, 40, 5),
                partition: intensity(random, 50, 6),
                oneway: intensity(random, 40, 5),
                isolate: intensity(random, 50, 6),
                reset: intensity(random, 40, 4),
            },
            strike_leaders: if storm { random.between(50, 96) } else { intensity(random, 50, 60) },
            strike_within_us: if storm { 4 * pace.network_us.1 } else { timeout_us },
            crash_after_sync: intensity(random, 40, 20),
            crash_after_promise: if oblivion { random.between(30, 90) } else { intensity(random, 30, 40) },
            down_us: match (oblivion, storm) {
                (true, _) => 4_000,
                (_, true) => one_of(random, &[5_000, 20_000, timeout_us]),
                _ => one_of(random, &[20_000, timeout_us, 4 * timeout_us, 2_000_000]),
            },
            power_percent: one_of(random, &[0, 50, 100, 100]),
            lost_answers: intensity(random, 40, 100),
        }
    }
}

impl Load {
    fn draw(random: &mut Random, timeout_us: u64) -> Self {
        Load {
            clients: random.between(2, 7) as usize,
            keys: random.between(1, 6),
            think_us: one_of(random, &[5_000, 30_000, 100_000]),
            patience_us: one_of(random, &[2 * timeout_us, 6 * timeout_us, 1_500_000]),
            read_percent: one_of(random, &[10, 40, 70]),
            watchers: random.below(5) as usize,
            compact: random.percent(40),
            leases: random.percent(25),
        }
    }
}
