//! How long sites of atomic commit are in doubt: from their Yes until they know the decision.
//!
//! Who is in doubt holds locks, so this is what a crash costs the others. It depends on who goes down, and when: that is
//! what tells two phases from three.

use std::fmt;
use std::ops::AddAssign;

/// What happened while a site was in doubt; of several things, the last in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// Nobody who mattered went down.
    Nothing,
    /// The coordinator's driver went down, and the decision was on record somewhere.
    LossAfterDecision,
    /// The same, and it was not.
    LossBeforeDecision,
    /// Its own driver went down.
    OwnLoss,
}

impl Met {
    /// All of them.
    pub const ALL: [Met; 4] = [Met::Nothing, Met::LossAfterDecision, Met::LossBeforeDecision, Met::OwnLoss];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Met::Nothing => "nobody went down",
            Met::LossAfterDecision => "coordinator, after deciding",
            Met::LossBeforeDecision => "coordinator, before deciding",
            Met::OwnLoss => "the participant itself",
        }
    }
}

/// A number of times in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// How many.
    pub count: u64,
    /// All together.
    pub sum_us: u64,
    /// The longest.
    pub most_us: u64,
}

impl Doubt {
    /// The mean.
    pub fn mean_us(&self) -> u64 {
        self.sum_us / self.count.max(1)
    }
}

impl AddAssign<&Doubt> for Doubt {
    fn add_assign(&mut self, other: &Doubt) {
        self.count += other.count;
        self.sum_us += other.sum_us;
        self.most_us = self.most_us.max(other.most_us);
    }
}

/// In milliseconds.
impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, most) = (self.mean_us() as f64 / 1000.0, self.most_us as f64 / 1000.0);
        write!(f, "{} times, mean {mean:.1} ms, at most {most:.1} ms", self.count)
    }
}

/// All of a run, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    by: [Doubt; Met::ALL.len()],
    /// Of those that began under faults, the longest after these had ended, counted from then.
    pub healed_us: u64,
    /// Not over at the end.
    pub open: u64,
}

impl Doubts {
    /// One is over.
    pub fn ended(&mut self, met: Met, lasted_us: u64) {
        self.by[met as usize] += &Doubt { count: 1, sum_us: lasted_us, most_us: lasted_us };
    }

    /// Those during which this happened.
    pub fn of(&self, met: Met) -> Doubt {
        self.by[met as usize]
    }

    /// All.
    pub fn all(&self) -> Doubt {
        let mut all = Doubt::default();
        self.by.iter().for_each(|doubt| all += doubt);
        all
    }
}

impl AddAssign<&Doubts> for Doubts {
    fn add_assign(&mut self, other: &Doubts) {
        self.by.iter_mut().zip(&other.by).for_each(|(sum, more)| *sum += more);
        self.healed_us = self.healed_us.max(other.healed_us);
        self.open += other.open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_all_and_the_longest_is_the_longest() {
        let mut doubts = Doubts::default();
        doubts.ended(Met::Nothing, 1_000);
        doubts.ended(Met::OwnLoss, 5_000);
        let mut sum = doubts;
        sum += &doubts;
        assert_eq!(sum.all(), Doubt { count: 4, sum_us: 12_000, most_us: 5_000 });
        assert_eq!(sum.of(Met::OwnLoss).to_string(), "2 times, mean 5.0 ms, at most 5.0 ms");
        assert_eq!(sum.of(Met::LossBeforeDecision).count, 0);
    }
}
