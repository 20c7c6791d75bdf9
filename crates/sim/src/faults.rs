//! Which faults a run has, and how many.
//!
//! Each [`Choice`] of the nemesis has a weight, drawn per run: 0 for a class that this run does not have. The rest of
//! [`Faults`] is what befalls every message, answer or promise with some probability.

use quorate_protocol::Random;

use crate::swarm::{Pace, intensity, one_of};

/// What the nemesis can choose to do, when it acts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// A node crashes.
    Crash,
    /// All nodes crash.
    Blackout,
    /// A node stands still.
    Pause,
    /// The nodes fall into two groups that do not hear each other.
    Partition,
    /// Some links fail in one direction.
    OneWay,
    /// The leader hears nobody and nobody hears it.
    Isolate,
    /// A connection is lost, and both ends are told.
    Reset,
    /// A link comes and goes.
    Flap,
    /// A link is slow for a while.
    SlowLink,
    /// A node runs by fits and starts.
    SlowNode,
    /// A node crashes each time soon after it has started.
    CrashLoop,
    /// A node says something that only a later version knows.
    Stranger,
    /// A write fails.
    WriteError,
    /// An fsync fails.
    FsyncError,
    /// A node cannot read its disk when it starts.
    ReadError,
    /// A disk is full for a while.
    DiskFull,
    /// A disk is slow for a while.
    SlowDisk,
    /// A disk loses a write that it acknowledged.
    LostWrite,
    /// A disk puts a write in the wrong place.
    Misdirected,
    /// A bit of what a disk keeps is flipped.
    BitFlip,
    /// A node's disk is lost with all that was on it.
    Wipe,
    /// A node's checkpoint is lost; its log is not.
    StateLoss,
    /// The power fails at a certain operation of a disk.
    DiskCrash,
    /// A clock changes its rate.
    Skew,
    /// A clock jumps forward.
    Jump,
    /// A clock stands still.
    Freeze,
    /// The operator changes the membership.
    Change,
    /// The operator hands the leadership over.
    Transfer,
    /// A leader is cut off while a voter that it counts on restarts.
    Usurp,
}

impl Choice {
    /// All of them.
    pub const ALL: [Choice; 29] = [
        Choice::Crash,
        Choice::Blackout,
        Choice::Pause,
        Choice::Partition,
        Choice::OneWay,
        Choice::Isolate,
        Choice::Reset,
        Choice::Flap,
        Choice::SlowLink,
        Choice::SlowNode,
        Choice::CrashLoop,
        Choice::Stranger,
        Choice::WriteError,
        Choice::FsyncError,
        Choice::ReadError,
        Choice::DiskFull,
        Choice::SlowDisk,
        Choice::LostWrite,
        Choice::Misdirected,
        Choice::BitFlip,
        Choice::Wipe,
        Choice::StateLoss,
        Choice::DiskCrash,
        Choice::Skew,
        Choice::Jump,
        Choice::Freeze,
        Choice::Change,
        Choice::Transfer,
        Choice::Usurp,
    ];

    /// In how many of a hundred runs it is made at all, and how often at most beside the others.
    fn habit(self) -> (u64, u64) {
        match self {
            Choice::Crash => (60, 8),
            Choice::Blackout => (35, 3),
            Choice::Pause => (40, 5),
            Choice::Partition => (50, 6),
            Choice::OneWay => (40, 5),
            Choice::Isolate => (50, 6),
            Choice::Reset => (40, 4),
            Choice::Flap | Choice::SlowLink | Choice::SlowNode | Choice::CrashLoop => (25, 4),
            Choice::Stranger => (20, 3),
            Choice::WriteError | Choice::FsyncError | Choice::ReadError => (25, 3),
            Choice::DiskFull | Choice::SlowDisk => (20, 3),
            Choice::LostWrite | Choice::Misdirected | Choice::BitFlip => (20, 3),
            Choice::Wipe | Choice::StateLoss => (15, 2),
            Choice::DiskCrash => (30, 5),
            Choice::Skew | Choice::Jump | Choice::Freeze => (20, 4),
            Choice::Change => (35, 8),
            Choice::Transfer => (35, 6),
            Choice::Usurp => (0, 1),
        }
    }

    /// Whether it is one of the few that every protocol of this kind is first tried with.
    fn is_plain(self) -> bool {
        matches!(
            self,
            Choice::Crash
                | Choice::Blackout
                | Choice::Pause
                | Choice::Partition
                | Choice::OneWay
                | Choice::Isolate
                | Choice::Reset
                | Choice::Change
                | Choice::Transfer
        )
    }

    /// Whether it makes clocks run apart by more than a bound.
    fn breaks_clocks(self) -> bool {
        matches!(self, Choice::Skew | Choice::Jump | Choice::Freeze)
    }
}

/// How often each choice is made.
#[derive(Clone, Debug, Default)]
pub struct Weights([u64; Choice::ALL.len()]);

impl Weights {
    fn draw(random: &mut Random, leases: bool) -> Self {
        let mut weights = Weights::default();
        // In every other run the troubles are the few that elections and replication are weakest against.
        let plain = random.percent(50);
        for choice in Choice::ALL {
            let (percent, most) = choice.habit();
            let weight = intensity(random, percent, most);
            let left_out = leases && choice.breaks_clocks() || plain && !choice.is_plain();
            if !left_out {
                weights.0[choice as usize] = weight;
            }
        }
        if leases {
            // What a lease is about: a leader that is cut off and does not know it, or that hands over.
            weights.0[Choice::Isolate as usize] += 6;
            weights.0[Choice::Usurp as usize] = random.between(1, 8);
            weights.0[Choice::Transfer as usize] += 2;
        } else {
            weights.0[Choice::Usurp as usize] = 0;
        }
        weights
    }

    /// How often this one is chosen.
    pub fn of(&self, choice: Choice) -> u64 {
        self.0[choice as usize]
    }

    /// Choose this one so often.
    pub fn set(&mut self, choice: Choice, weight: u64) {
        self.0[choice as usize] = weight;
    }

    /// Whether clocks may differ by more than their rates.
    pub fn break_clocks(&self) -> bool {
        self.of(Choice::Jump) + self.of(Choice::Freeze) > 0
    }

    /// Choose; `ticket` draws a number below its argument.
    pub fn choose(&self, ticket: impl FnOnce(u64) -> u64) -> Option<Choice> {
        let total: u64 = self.0.iter().sum();
        if total == 0 {
            return None;
        }
        let mut drawn = ticket(total);
        Choice::ALL.into_iter().find(|choice| {
            let weight = self.of(*choice);
            let hit = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            hit
        })
    }
}

/// Which faults, and how many.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Messages lost, of a thousand.
    pub loss: u64,
    /// Messages delivered twice, of a thousand.
    pub duplicates: u64,
    /// Messages damaged on their way, of ten thousand.
    pub corrupt: u64,
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
    /// Nodes that crash while they install an image, of a hundred.
    pub crash_in_install: u64,
    /// Nodes that crash while they recover, of a hundred.
    pub crash_in_recovery: u64,
    /// Nodes that crash just after they have asked one of the first questions of their life, of a hundred.
    pub crash_after_question: u64,
    /// How long a crashed node stays down, at most. The least is a millisecond.
    pub down_us: u64,
    /// Crashes that lose unsynced writes, of a hundred; the others lose only the process.
    pub power_percent: u64,
    /// Answers to clients that are lost, of a thousand.
    pub lost_answers: u64,
}

impl Faults {
    /// Draw a run's faults. With `leases`, clocks keep to their bound.
    pub fn draw(random: &mut Random, timeout_us: u64, pace: &Pace, leases: bool) -> Self {
        // One leader after the other is struck almost as soon as it is elected: logs diverge.
        let storm = random.percent(35);
        // Voters crash as soon as they have voted, and are back before the votes of the same term are all cast.
        let oblivion = random.percent(20);
        Faults {
            loss: intensity(random, 50, 200),
            duplicates: intensity(random, 50, 100),
            corrupt: intensity(random, 40, 200),
            every_us: random.between(timeout_us / 2, 8 * timeout_us),
            weights: Weights::draw(random, leases),
            strike_leaders: if storm { random.between(50, 96) } else { intensity(random, 50, 60) },
            strike_within_us: if storm { 4 * pace.network_us.1 } else { timeout_us },
            crash_after_sync: intensity(random, 40, 20),
            crash_after_promise: if oblivion { random.between(30, 90) } else { intensity(random, 30, 40) },
            crash_in_install: intensity(random, 30, 60),
            crash_in_recovery: intensity(random, 30, 40),
            crash_after_question: intensity(random, 25, 60),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_with_weight_is_made_and_no_other() {
        let mut weights = Weights::default();
        weights.set(Choice::Pause, 2);
        weights.set(Choice::Reset, 1);
        let made: Vec<Choice> = (0..3).filter_map(|ticket| weights.choose(|_| ticket)).collect();
        assert_eq!(made, [Choice::Pause, Choice::Pause, Choice::Reset]);
        assert!(Weights::default().choose(|_| 0).is_none());
    }

    #[test]
    fn the_list_is_complete_and_in_order() {
        for (at, choice) in Choice::ALL.into_iter().enumerate() {
            assert_eq!(choice as usize, at);
        }
    }

    #[test]
    fn clocks_keep_to_their_bound_where_leases_rely_on_it() {
        for seed in 0..100 {
            let weights = Weights::draw(&mut Random::new(seed), true);
            assert!(Choice::ALL.into_iter().all(|c| !c.breaks_clocks() || weights.of(c) == 0));
        }
    }
}
