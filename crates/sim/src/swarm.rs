//! What a run is like: its size, its speeds, and which faults it has.
//!
//! Everything here is drawn once, at the start of a run, from its seed. Each class of faults is on or off and, when
//! on, mild or fierce (swarm testing: Groce and others, ISSTA 2012). A run in which everything fails at once
//! rarely gets far enough to meet a subtle bug; most bugs need two or three kinds of trouble and peace from the others.
//!
//! Most runs are storms of some seconds. Some last a virtual hour or a day, with longer ticks and sparse load and
//! faults: there the clocks drift, segments are used again and again, leases and leaderships live long, and nothing
//! depends on the next fault being near. Idle time costs ticks only, so a day takes about a second.
//!
//! Times are microseconds of virtual time.

use quorate_protocol::Random;

pub use crate::faults::Faults;

/// A run's character.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Replicas, of all groups together.
    pub nodes: usize,
    /// Groups of replicas with a log each.
    pub groups: usize,
    /// How long the faults last.
    pub chaos_us: u64,
    /// A tick, on a clock that runs right.
    pub tick_us: u64,
    /// Whether clocks run at different rates.
    pub skew: bool,
    /// Whether a node that stood still makes up for the ticks it missed.
    pub catch_up: bool,
    /// Whether the nodes' limits differ, as while a new release is rolled out.
    pub mixed: bool,
    /// See `quorate_protocol::Config`.
    pub lease_drift: Option<u8>,
    /// Whether nodes have different priorities.
    pub priorities: bool,
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
    /// How many voters accept a value, where the protocol lets that be chosen and there are so many; 0 for a majority.
    pub write_quorum: u32,
    /// How much may wait, and for how long.
    pub room: Room,
    /// Speeds.
    pub pace: Pace,
    /// Faults.
    pub faults: Faults,
    /// Load.
    pub load: Load,
    /// What a ring of Chord is like; not drawn where there is none.
    pub ring: Ring,
    /// How patient sites of atomic commit are; all 0 where there are none.
    pub commit: Commit,
}

/// What a ring of Chord is like.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// The length of a successor list.
    pub successors: usize,
    /// Whether the run keeps to the assumptions of Zave's theorem.
    pub gentle: bool,
}

/// How long sites of atomic commit wait: see `quorate_commit::Config`. In ticks.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// For votes.
    pub vote_ticks: u64,
    /// Until something is sent or proposed again.
    pub retry_ticks: u64,
    /// For the decision.
    pub doubt_ticks: u64,
    /// Until time is closed again.
    pub close_ticks: u64,
    /// Not ticks, but records under way at once.
    pub max_proposed: usize,
}

/// How much may wait at a node before it refuses more, and how long it waits: in some runs so little that nodes are
/// overloaded.
#[derive(Clone, Debug)]
pub struct Room {
    /// See `quorate_protocol::Config`.
    pub uncommitted_bytes: usize,
    /// See `quorate_replica::Limits`.
    pub proposals: usize,
    /// See `quorate_replica::Limits`.
    pub reads: usize,
    /// Ticks that a request waits for a leader, in tenths of the election timeout's.
    pub patience_tenths: u64,
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
    /// Between two pieces of an image: its rate is capped.
    pub piece_us: u64,
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
    /// Sites that one transaction reads or writes at, mostly at most.
    pub participants: usize,
}

/// On with a probability of `percent`, then between 1 and `most`, squared towards the low end.
pub fn intensity(random: &mut Random, percent: u64, most: u64) -> u64 {
    if !random.percent(percent) {
        return 0;
    }
    let bound = random.between(1, most + 1);
    random.between(1, bound + 1)
}

/// One of several.
pub fn one_of<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

/// How long a run is, and how long its ticks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Storm,
    Hour,
    Day,
}

impl Length {
    fn draw(random: &mut Random) -> Self {
        match random.below(1000) {
            0..20 => Length::Day,
            20..140 => Length::Hour,
            _ => Length::Storm,
        }
    }

    fn tick_us(self) -> u64 {
        match self {
            Length::Storm => TICK_US,
            Length::Hour => 30 * TICK_US,
            Length::Day => 200 * TICK_US,
        }
    }

    fn chaos_us(self, random: &mut Random) -> u64 {
        match self {
            Length::Storm => random.between(6_000_000, 20_000_000),
            Length::Hour => random.between(2_400, 4_800) * 1_000_000,
            Length::Day => random.between(60_000, 110_000) * 1_000_000,
        }
    }
}

impl Swarm {
    /// Draw a run; `nodes` overrides the number of replicas.
    pub fn draw(mut random: Random, nodes: Option<usize>) -> Self {
        let random = &mut random;
        let drawn = if random.percent(65) { 3 } else { 5 };
        let length = Length::draw(random);
        let (tick_us, chaos_us) = (length.tick_us(), length.chaos_us(random));
        let lease_drift = random.percent(25).then(|| one_of(random, &[5, 20, 35]));
        let ticks: &[u32] = if lease_drift.is_some() { &[10, 20, 30] } else { &[4, 6, 10, 20, 30] };
        let election_ticks = one_of(random, ticks);
        let timeout_us = election_ticks as u64 * tick_us;
        let mut pace = Pace::draw(random, timeout_us);
        let mut load = Load::draw(random, timeout_us);
        if lease_drift.is_some() {
            // A stale read by lease is a matter of milliseconds, between two elections that follow closely.
            (load.think_us, load.read_percent) = (3_000, 85);
            if random.percent(75) {
                pace = Pace { disk_us: (100, 1_000), apply_us: 200, ..pace };
                (pace.network_us, pace.tail_percent) = ((50, 1_000), 0);
            }
        }
        let calm = random.percent(6);
        let mut faults = Faults::draw(random, timeout_us, &pace, lease_drift.is_some());
        if length != Length::Storm {
            // As many deeds and requests as in some storms, spread over the time.
            faults.every_us = faults.every_us.max(chaos_us / random.between(30, 250));
            load.think_us = chaos_us / random.between(60, 300);
        }
        let mut swarm = Swarm {
            nodes: nodes.unwrap_or(drawn),
            groups: 1,
            chaos_us,
            tick_us,
            skew: random.percent(40) || lease_drift.is_some() && random.percent(60),
            catch_up: random.percent(50) || lease_drift.is_some(),
            mixed: random.percent(15),
            lease_drift,
            priorities: random.percent(25),
            election_ticks,
            heartbeat_ticks: (election_ticks / one_of(random, &[3, 4, 8])).max(1),
            max_message_bytes: one_of(random, &[32, 32, 64, 64, 256, 1 << 20]),
            max_inflight: one_of(random, &[1, 2, 8, 64]),
            retain_entries: one_of(random, &[1, 5, 20, 60, 300]),
            checkpoint_every: one_of(random, &[3, 10, 40, 150]),
            segment_bytes: one_of(random, &[8, 16, 32, 64]) * 1024,
            write_quorum: 0,
            room: Room::ample(),
            pace,
            faults: if calm { Faults::default() } else { faults },
            load,
            commit: Commit::default(),
            ring: Ring::default(),
        };
        if random.percent(40) {
            swarm.write_quorum = random.between(1, 5) as u32;
        }
        if random.percent(20) {
            swarm.room = Room::scant(random);
        }
        swarm
    }

    /// The longest time a follower waits before it campaigns, were its clock right.
    pub fn election_us(&self) -> u64 {
        let slowest = if self.mixed { 3 } else { 2 };
        slowest * u64::from(self.election_ticks) * self.tick_us
    }

    /// So many times longer than a storm's are this run's ticks.
    pub fn stretch(&self) -> u64 {
        self.tick_us / TICK_US
    }

    /// Far more events than such a run has in which messages are answered by a bounded number of messages.
    pub fn most_events(&self) -> u64 {
        500_000 + 40 * self.nodes as u64 * (self.chaos_us / self.tick_us)
    }

    /// A clock's rate, in thousandths of a right one's tick. Where leases count on a bound, clocks use all of it.
    pub fn draw_rate(&self, random: &mut Random) -> u64 {
        let (low, high) = self.rates();
        match self.lease_drift {
            Some(_) => one_of(random, &[low, high]),
            None => random.between(low, high + 1),
        }
    }

    /// A clock's rates: the least and the greatest length of a tick, in thousandths of a right one.
    fn rates(&self) -> (u64, u64) {
        match self.lease_drift {
            // Two clocks differ by no more than the bound that leases are given.
            Some(percent) => (1000, 1000 + 10 * u64::from(percent)),
            // Up to 15 % too fast or too slow: far more than a quartz clock ever is.
            None => (FASTEST_PERMILLE, 1150),
        }
    }
}

/// A tick of 10 ms, as in production.
const TICK_US: u64 = 10_000;

/// A tick of the fastest clock, in thousandths of a right one's.
pub const FASTEST_PERMILLE: u64 = 850;

impl Room {
    /// More than clients who ask one thing at a time can fill.
    fn ample() -> Self {
        Room { uncommitted_bytes: 1 << 20, proposals: 100, reads: 100, patience_tenths: 40 }
    }

    /// Whether proposals that come together may be refused.
    pub fn is_scant(&self) -> bool {
        let Room { uncommitted_bytes, proposals, .. } = Room::ample();
        self.uncommitted_bytes < uncommitted_bytes || self.proposals < proposals
    }

    fn scant(random: &mut Random) -> Self {
        Room {
            uncommitted_bytes: one_of(random, &[0, 40, 200, 1 << 20]),
            proposals: one_of(random, &[0, 1, 2, 100]),
            reads: one_of(random, &[1, 2, 100]),
            patience_tenths: one_of(random, &[1, 5, 40]),
        }
    }
}

impl Pace {
    pub fn draw(random: &mut Random, timeout_us: u64) -> Self {
        let slowest = one_of(random, &[500, 2_000, 10_000, timeout_us / 4, timeout_us / 2]);
        let tail_percent = if random.percent(50) { random.between(1, 15) } else { 0 };
        Pace {
            network_us: (random.between(50, 500), 500 + slowest),
            tail_percent,
            tail_us: one_of(random, &[timeout_us / 2, timeout_us, 3 * timeout_us]),
            fifo: random.percent(40),
            disk_us: (100, one_of(random, &[200, 1_000, 8_000, 40_000])),
            apply_us: one_of(random, &[1, 200, 3_000, 20_000]),
            piece_us: one_of(random, &[20, 200, 2_000, 10_000]),
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
            piece_us: 20,
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
            participants: 0,
        }
    }
}
