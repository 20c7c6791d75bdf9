//! What came of a run, and of many.

use std::fmt;
use std::ops::AddAssign;

use crate::plant::Plant;

/// The classes of faults, as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A message that never arrived.
    Loss,
    /// A message that arrived twice.
    Duplicate,
    /// A message that took far longer than the others.
    Slow,
    /// A message that met a failed link.
    Cut,
    /// Nodes put apart in two groups, or one alone.
    Partition,
    /// Links that failed in one direction.
    OneWay,
    /// A connection lost.
    Reset,
    /// A process killed.
    Kill,
    /// A node that lost its power, and with it unsynced writes.
    PowerCut,
    /// All nodes down at once.
    Blackout,
    /// A node that stood still.
    Pause,
    /// A new leader struck down.
    Strike,
    /// An answer to a client that was lost.
    LostAnswer,
}

impl Fault {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Fault; 13] = [
        Fault::Loss,
        Fault::Duplicate,
        Fault::Slow,
        Fault::Cut,
        Fault::Partition,
        Fault::OneWay,
        Fault::Reset,
        Fault::Kill,
        Fault::PowerCut,
        Fault::Blackout,
        Fault::Pause,
        Fault::Strike,
        Fault::LostAnswer,
    ];

    /// Its name in a summary.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Loss => "messages lost",
            Fault::Duplicate => "messages doubled",
            Fault::Slow => "messages slow",
            Fault::Cut => "messages cut off",
            Fault::Partition => "partitions",
            Fault::OneWay => "one-way cuts",
            Fault::Reset => "connections lost",
            Fault::Kill => "processes killed",
            Fault::PowerCut => "power cuts",
            Fault::Blackout => "blackouts",
            Fault::Pause => "pauses",
            Fault::Strike => "leaders struck",
            Fault::LostAnswer => "answers lost",
        }
    }
}

/// What happened in a run, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Runs in the sum.
    pub runs: u64,
    /// Virtual time, in microseconds.
    pub virtual_us: u64,
    /// Events processed.
    pub events: u64,
    /// Rounds (terms) that had a leader.
    pub elections: u64,
    /// Entries committed.
    pub committed: u64,
    /// Snapshots installed.
    pub snapshots: u64,
    /// Requests of clients.
    pub operations: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Of these, with an outcome that is not known.
    pub ambiguous: u64,
    /// Changes that watchers received.
    pub watched: u64,
    /// Faults, by class.
    pub faults: [u64; Fault::ALL.len()],
}

impl Stats {
    /// One more of a class.
    pub fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }
}

impl AddAssign<&Stats> for Stats {
    fn add_assign(&mut self, other: &Stats) {
        self.runs += other.runs;
        self.virtual_us += other.virtual_us;
        self.events += other.events;
        self.elections += other.elections;
        self.committed += other.committed;
        self.snapshots += other.snapshots;
        self.operations += other.operations;
        self.answered += other.answered;
        self.ambiguous += other.ambiguous;
        self.watched += other.watched;
        self.faults.iter_mut().zip(other.faults).for_each(|(sum, more)| *sum += more);
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("runs", self.runs),
            ("virtual seconds", self.virtual_us / 1_000_000),
            ("events", self.events),
            ("elections won", self.elections),
            ("entries committed", self.committed),
            ("snapshots installed", self.snapshots),
            ("client operations", self.operations),
            ("  answered", self.answered),
            ("  outcome unknown", self.ambiguous),
            ("changes watched", self.watched),
        ];
        let faults = Fault::ALL.iter().map(|fault| (fault.name(), self.faults[*fault as usize]));
        for (name, count) in rows.into_iter().chain(faults) {
            writeln!(f, "{name:<20} {count:>12}")?;
        }
        Ok(())
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The run.
    pub seed: u64,
    /// Which promise.
    pub property: String,
    /// The evidence.
    pub detail: String,
    /// When it was noticed, in microseconds of virtual time.
    pub at_us: u64,
    /// What else the run needs besides its seed.
    pub plant: Option<Plant>,
    /// Likewise, the number of nodes if it was not left to the seed.
    pub nodes: Option<usize>,
}

impl Failure {
    /// The command that repeats the run.
    pub fn command(&self) -> String {
        let nodes = self.nodes.map_or(String::new(), |nodes| format!(" --nodes {nodes}"));
        let plant = self.plant.map_or(String::new(), |plant| format!(" --plant {}", plant.name()));
        format!("cargo run --release -- sim --seed {}{nodes}{plant}", self.seed)
    }
}

/// The command that repeats it comes first.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at_us;
        writeln!(f, "{}", self.command())?;
        write!(f, "seed {}: {} violated after ", self.seed, self.property)?;
        write!(f, "{}.{:06} s of virtual time\n{}", at / 1_000_000, at % 1_000_000, self.detail)
    }
}

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The run.
    pub seed: u64,
    /// The digest of everything that happened.
    pub trace_hash: u64,
    /// The counts.
    pub stats: Stats,
    /// The first broken promise, if one was broken.
    pub failure: Option<Failure>,
}
