//! The search itself: breadth first, each state once.
//!
//! A [`System`] says where it can begin, what can follow a state, and what must hold in each. All states that
//! can be reached within the bounds are visited in the order of their distance from the beginning, so what is
//! found first is also found by a shortest path.
//!
//! # Memory
//!
//! A state is kept once, in the order of discovery, beside the number of the state it was discovered from;
//! the set of known states is a table of these numbers. With a state of 28 bytes (see `world`) that makes
//! about 45 bytes each, so a hundred million fit into 5 GB. Actions are not kept: a path is told by asking
//! each state on it once more what can follow.
//!
//! States are compared, not only their hashes, so two states are never taken for one here.

use std::fmt::Display;
use std::hash::{Hash, Hasher};

/// Something that can be in one of many states.
pub trait System {
    /// A state; the smaller the better.
    type State: Clone + Eq + Hash;
    /// What leads from one to the next.
    type Action: Clone;

    /// Where it can begin.
    fn start(&mut self) -> Vec<Self::State>;

    /// Everything that can follow, in a fixed order.
    fn successors(&mut self, state: &Self::State, found: &mut Vec<(Self::Action, Self::State)>);

    /// What is wrong with a state, if anything is.
    fn wrong(&mut self, state: &Self::State) -> Option<String>;

    /// An action, told for a reader. May span lines.
    fn tell(&self, from: &Self::State, action: &Self::Action, to: &Self::State) -> String;
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// States, at most.
    pub states: usize,
    /// Steps from the beginning, at most.
    pub depth: usize,
}

/// Something wrong, and how it came to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What is wrong.
    pub what: String,
    /// A shortest path there, one text for each step.
    pub steps: Vec<String>,
}

impl Display for Counterexample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "{}", self.what)
    }
}

/// What a search has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Distinct states.
    pub states: usize,
    /// Steps between them, those to known states included.
    pub steps: u64,
    /// The greatest distance from the beginning.
    pub depth: usize,
    /// Whether there is nothing beyond: no bound was met.
    pub complete: bool,
    /// What went wrong.
    pub counterexample: Option<Counterexample>,
}

/// Looks at everything within the bounds, until something is wrong. `told` hears, at each depth, how many
/// states there are so far.
pub fn search<S: System>(system: &mut S, bounds: Bounds, mut told: impl FnMut(usize, usize)) -> Outcome {
    let mut known = Known::new();
    let mut outcome = Outcome { states: 0, steps: 0, depth: 0, complete: true, counterexample: None };
    let mut found = Vec::new();
    let start = system.start();
    for state in start {
        if known.insert(state, NOBODY) && failed(system, &known, &mut outcome) {
            return outcome;
        }
    }
    let mut level = 0..known.states.len();
    while !level.is_empty() {
        told(outcome.depth, known.states.len());
        if outcome.depth == bounds.depth {
            outcome.complete = false;
            break;
        }
        for at in level.clone() {
            let state = known.states[at].clone();
            system.successors(&state, &mut found);
            for (_, next) in found.drain(..) {
                outcome.steps += 1;
                if known.states.len() == bounds.states && !known.has(&next) {
                    outcome.complete = false;
                } else if known.states.len() < bounds.states
                    && known.insert(next, at as u32)
                    && failed(system, &known, &mut outcome)
                {
                    outcome.depth += 1;
                    return outcome;
                }
            }
        }
        level = level.end..known.states.len();
        outcome.depth += usize::from(!level.is_empty());
    }
    outcome.states = known.states.len();
    outcome
}

/// Whether the latest state is wrong; notes how it came to that.
fn failed<S: System>(system: &mut S, known: &Known<S::State>, outcome: &mut Outcome) -> bool {
    let last = known.states.len() - 1;
    let Some(what) = system.wrong(&known.states[last]) else { return false };
    let mut path = vec![last];
    while let Some(&at) = path.last()
        && known.parents[at] != NOBODY
    {
        path.push(known.parents[at] as usize);
    }
    path.reverse();
    let mut found = Vec::new();
    let mut steps = Vec::new();
    for pair in path.windows(2) {
        let (from, to) = (&known.states[pair[0]], &known.states[pair[1]]);
        system.successors(from, &mut found);
        let (action, _) = found.drain(..).find(|(_, next)| next == to).expect("it was found from there");
        steps.push(system.tell(from, &action, to));
    }
    outcome.states = known.states.len();
    outcome.complete = false;
    outcome.counterexample = Some(Counterexample { what, steps });
    true
}

/// The parent of a state to begin with.
const NOBODY: u32 = u32::MAX;

/// The known states, by number, and a table to find them by.
struct Known<T> {
    states: Vec<T>,
    parents: Vec<u32>,
    /// Open addressing with linear probing; a power of two, at most two thirds full. Numbers of states plus
    /// one, 0 for free.
    table: Vec<u32>,
}

impl<T: Eq + Hash> Known<T> {
    fn new() -> Self {
        Known { states: Vec::new(), parents: Vec::new(), table: vec![0; 1024] }
    }

    /// Where a state is in the table, or would be.
    fn place(&self, state: &T) -> usize {
        let mask = self.table.len() - 1;
        let mut at = hash(state) as usize & mask;
        while self.table[at] != 0 && self.states[self.table[at] as usize - 1] != *state {
            at = (at + 1) & mask;
        }
        at
    }

    fn has(&self, state: &T) -> bool {
        self.table[self.place(state)] != 0
    }

    /// Adds a state; answers whether it is new.
    fn insert(&mut self, state: T, parent: u32) -> bool {
        let place = self.place(&state);
        if self.table[place] != 0 {
            return false;
        }
        self.states.push(state);
        self.parents.push(parent);
        self.table[place] = u32::try_from(self.states.len()).expect("fewer states than 2^32");
        if self.states.len() * 3 > self.table.len() * 2 {
            self.grow();
        }
        true
    }

    fn grow(&mut self) {
        let len = self.table.len() * 2;
        self.table = Vec::new();
        self.table.resize(len, 0);
        for number in 0..self.states.len() {
            let place = self.place(&self.states[number]);
            self.table[place] = number as u32 + 1;
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut mixer = Mixer::default();
    value.hash(&mut mixer);
    mixer.finish()
}

/// A quick mixing of words, for tables in which a collision costs only time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.chunks(8).for_each(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        });
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        let z = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        z ^ (z >> 32)
    }
}
