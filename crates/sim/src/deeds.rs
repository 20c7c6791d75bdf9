//! The deeds of the nemesis, numbered, so that a run can be repeated without some of them.
//!
//! An *act* is what the nemesis does by itself from time to time; acts are `a1`, `a2` and so on. A *strike* answers
//! something that a node did: it was elected, or kept a promise; strikes are `s1`, `s2` and so on.
//!
//! # Invariant
//!
//! A deed's time (of an act) and its choices are drawn from dice of its own, which depend on the run's seed and on
//! the deed's number only. So leaving one out changes no other, but for what the nodes do otherwise because of it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use quorate_protocol::Random;

/// A deed's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeedId {
    /// An intervention at a time of its own.
    Act(u64),
    /// An intervention that answers an event.
    Strike(u64),
}

impl fmt::Display for DeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeedId::Act(number) => write!(f, "a{number}"),
            DeedId::Strike(number) => write!(f, "s{number}"),
        }
    }
}

impl FromStr for DeedId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| ());
        match text.split_at_checked(1) {
            Some(("a", digits)) => number(digits).map(DeedId::Act),
            Some(("s", digits)) => number(digits).map(DeedId::Strike),
            _ => Err(()),
        }
    }
}

/// Counts the deeds of a run.
pub struct Deeds {
    base: u64,
    acts: u64,
    strikes: u64,
    /// Only these are done, if it is given.
    only: Option<BTreeSet<DeedId>>,
}

impl Deeds {
    /// None so far.
    pub fn new(mut random: Random, only: Option<BTreeSet<DeedId>>) -> Self {
        Deeds { base: random.next_u64(), acts: 0, strikes: 0, only }
    }

    /// The next act's name.
    pub fn act(&mut self) -> DeedId {
        self.acts += 1;
        DeedId::Act(self.acts)
    }

    /// The next strike's name.
    pub fn strike(&mut self) -> DeedId {
        self.strikes += 1;
        DeedId::Strike(self.strikes)
    }

    /// Whether a deed is to be done.
    pub fn wanted(&self, id: DeedId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&id))
    }

    /// A deed's dice.
    pub fn dice(&self, id: DeedId) -> Random {
        let name = match id {
            DeedId::Act(number) => number << 2,
            DeedId::Strike(number) => number << 2 | 1,
        };
        Random::new(self.base ^ Random::new(name).next_u64())
    }

    /// Dice for the time until the next act.
    pub fn waiting(&self) -> Random {
        Random::new(self.base ^ Random::new(self.acts << 2 | 2).next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for id in [DeedId::Act(1), DeedId::Strike(712)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "a", "b1", "1", "a-1", "sx", "ä1"] {
            assert!(text.parse::<DeedId>().is_err(), "{text}");
        }
    }

    #[test]
    fn deeds_do_not_share_dice() {
        let deeds = Deeds::new(Random::new(1), None);
        let ids = [DeedId::Act(1), DeedId::Act(2), DeedId::Strike(1), DeedId::Strike(2)];
        let drawn: BTreeSet<u64> = ids.iter().map(|id| deeds.dice(*id).next_u64()).collect();
        assert_eq!(drawn.len(), ids.len());
    }
}
