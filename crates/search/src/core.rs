//! Which cores are searched, with which rules.
//!
//! This file's folder alone names protocols in this crate. As in the seeded world, bugs of a protocol are types that
//! override one of its rules, so that they exist here only; bugs of a host are mistakes that the small host of
//! this crate makes when told to.

mod paxos;
mod raft;
mod zab;

use crate::node::{Core, Mistakes};
use crate::scenario::Scenario;
use crate::search::{Bounds, Outcome, search};
use crate::world::World;

/// Two ticks make every timeout, so that chance has no part in a world: after one a voter no longer protects
/// its leader, after two it campaigns.
const TIMEOUT_TICKS: u32 = 2;

/// Searches a scenario with some core. What it calls hears, at each depth, how many states there are so far.
type Run = fn(&Scenario, Mistakes, Bounds, &mut dyn FnMut(usize, usize)) -> Outcome;

/// A protocol, as it is searched.
#[derive(Clone, Copy, Debug)]
pub struct Searched {
    /// Its name.
    pub name: &'static str,
    /// The scenarios that take seconds.
    pub small: &'static [&'static str],
    /// How many states of each are visited if nothing else is said: all of them, or, where there is no end to them within
    /// a reasonable time, the first by breadth.
    pub states: usize,
    /// Where nobody asks before a campaign.
    sound: Run,
    /// Where everybody does.
    asking: Run,
    /// The bugs that can be put in.
    pub plants: &'static [Plant],
}

/// A bug to put in.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Its name on the command line; where the seeded world has the same bug, the same.
    pub name: &'static str,
    /// The name of the smallest scenario in which it does harm.
    pub scenario: &'static str,
    run: Run,
    mistakes: Mistakes,
}

impl Plant {
    const fn of(name: &'static str, scenario: &'static str, run: Run) -> Plant {
        Plant { name, scenario, run, mistakes: Mistakes::NONE }
    }

    const fn by_host(self, mistakes: Mistakes) -> Plant {
        Plant { mistakes, ..self }
    }
}

impl Searched {
    /// All protocols.
    pub const ALL: [Searched; 3] = [raft::SEARCHED, paxos::SEARCHED, zab::SEARCHED];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Searched> {
        Searched::ALL.into_iter().find(|protocol| protocol.name == name)
    }

    /// The bug of this name.
    pub fn plant(&self, name: &str) -> Option<Plant> {
        self.plants.iter().find(|plant| plant.name == name).copied()
    }

    /// Searches a scenario, as it is or with a bug put in; with a bug of the protocol nobody asks first. `told`
    /// hears, at each depth, how many states there are so far.
    pub fn run(
        &self,
        scenario: &Scenario,
        plant: Option<Plant>,
        bounds: Bounds,
        mut told: impl FnMut(usize, usize),
    ) -> Outcome {
        match plant {
            Some(plant) => (plant.run)(scenario, plant.mistakes, bounds, &mut told),
            None if scenario.asks => (self.asking)(scenario, Mistakes::NONE, bounds, &mut told),
            None => (self.sound)(scenario, Mistakes::NONE, bounds, &mut told),
        }
    }
}

fn run_with<C: Core>(
    scenario: &Scenario,
    mistakes: Mistakes,
    bounds: Bounds,
    told: &mut dyn FnMut(usize, usize),
) -> Outcome {
    search(&mut World::<C>::new(scenario.limits, mistakes), bounds, told)
}
