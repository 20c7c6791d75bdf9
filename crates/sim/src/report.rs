//! What came of a run, and of many.

use std::fmt;
use std::ops::AddAssign;

use crate::Options;
use crate::doubts::Doubts;

/// The classes of faults, as they are counted, and what the operator does beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A message that never arrived.
    Loss,
    /// A message that arrived twice.
    Duplicate,
    /// A message that took far longer than the others.
    Slow,
    /// A message that was overtaken by a later one.
    Reorder,
    /// A message damaged on its way.
    Corrupt,
    /// A message that met a failed link.
    Cut,
    /// Nodes put apart in two groups, or one alone.
    Partition,
    /// Links that failed in one direction.
    OneWay,
    /// A link that came and went.
    Flap,
    /// A link slow for a while.
    SlowLink,
    /// A connection lost.
    Reset,
    /// An image that broke off midway.
    BrokenImage,
    /// A process killed.
    Kill,
    /// A node that lost its power, and with it unsynced writes.
    PowerCut,
    /// A power cut in the middle of a write.
    TornWrite,
    /// All nodes down at once.
    Blackout,
    /// A node that crashed again and again.
    CrashLoop,
    /// A node that stood still.
    Pause,
    /// A node that ran by fits and starts.
    SlowNode,
    /// A new leader struck down.
    Strike,
    /// A node started with limits other than the others'.
    Versions,
    /// A message of a version that its receiver does not know.
    Stranger,
    /// A write that failed.
    WriteError,
    /// An fsync that failed.
    FsyncError,
    /// A read that failed.
    ReadError,
    /// A disk full for a while.
    DiskFull,
    /// A disk slow for a while.
    SlowDisk,
    /// A write acknowledged and lost.
    LostWrite,
    /// A write put in the wrong place.
    Misdirected,
    /// A bit flipped on a disk.
    BitFlip,
    /// A disk lost with all that was on it.
    Wipe,
    /// A checkpoint lost.
    StateLoss,
    /// The power cut at an operation of a disk.
    DiskCrash,
    /// A clock that changed its rate.
    Skew,
    /// A clock that jumped forward.
    Jump,
    /// A clock that stood still.
    Freeze,
    /// An answer to a client that was lost.
    LostAnswer,
    /// A change of the membership begun by the operator.
    Change,
    /// A member replaced, its disk being lost.
    Replace,
    /// A leadership handed over by the operator.
    Transfer,
}

impl Fault {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Fault; 40] = [
        Fault::Loss,
        Fault::Duplicate,
        Fault::Slow,
        Fault::Reorder,
        Fault::Corrupt,
        Fault::Cut,
        Fault::Partition,
        Fault::OneWay,
        Fault::Flap,
        Fault::SlowLink,
        Fault::Reset,
        Fault::BrokenImage,
        Fault::Kill,
        Fault::PowerCut,
        Fault::TornWrite,
        Fault::Blackout,
        Fault::CrashLoop,
        Fault::Pause,
        Fault::SlowNode,
        Fault::Strike,
        Fault::Versions,
        Fault::Stranger,
        Fault::WriteError,
        Fault::FsyncError,
        Fault::ReadError,
        Fault::DiskFull,
        Fault::SlowDisk,
        Fault::LostWrite,
        Fault::Misdirected,
        Fault::BitFlip,
        Fault::Wipe,
        Fault::StateLoss,
        Fault::DiskCrash,
        Fault::Skew,
        Fault::Jump,
        Fault::Freeze,
        Fault::LostAnswer,
        Fault::Change,
        Fault::Replace,
        Fault::Transfer,
    ];

    /// Its name in a summary.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Loss => "messages lost",
            Fault::Duplicate => "messages doubled",
            Fault::Slow => "messages slow",
            Fault::Reorder => "messages overtaken",
            Fault::Corrupt => "messages damaged",
            Fault::Cut => "messages cut off",
            Fault::Partition => "partitions",
            Fault::OneWay => "one-way cuts",
            Fault::Flap => "flapping links",
            Fault::SlowLink => "slow links",
            Fault::Reset => "connections lost",
            Fault::BrokenImage => "images broken off",
            Fault::Kill => "processes killed",
            Fault::PowerCut => "power cuts",
            Fault::TornWrite => "  writes torn",
            Fault::Blackout => "blackouts",
            Fault::CrashLoop => "crash loops",
            Fault::Pause => "pauses",
            Fault::SlowNode => "slow nodes",
            Fault::Strike => "leaders struck",
            Fault::Versions => "nodes of other limits",
            Fault::Stranger => "messages unknown",
            Fault::WriteError => "writes failed",
            Fault::FsyncError => "fsyncs failed",
            Fault::ReadError => "reads failed",
            Fault::DiskFull => "disks full",
            Fault::SlowDisk => "disks slow",
            Fault::LostWrite => "writes lost",
            Fault::Misdirected => "writes misdirected",
            Fault::BitFlip => "bits flipped",
            Fault::Wipe => "disks wiped",
            Fault::StateLoss => "checkpoints lost",
            Fault::DiskCrash => "crashes inside disk work",
            Fault::Skew => "clock rates changed",
            Fault::Jump => "clocks jumped",
            Fault::Freeze => "clocks frozen",
            Fault::LostAnswer => "answers lost",
            Fault::Change => "membership changes",
            Fault::Replace => "members replaced",
            Fault::Transfer => "leaderships handed over",
        }
    }
}

/// What happened in a run, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Transactions over several sites that were committed.
    pub transactions_committed: u64,
    /// That were aborted.
    pub transactions_aborted: u64,
    /// How long sites were in doubt.
    pub doubts: Doubts,
    /// Faults, by class.
    pub faults: [u64; Fault::ALL.len()],
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            runs: 0,
            virtual_us: 0,
            events: 0,
            elections: 0,
            committed: 0,
            snapshots: 0,
            operations: 0,
            answered: 0,
            ambiguous: 0,
            watched: 0,
            transactions_committed: 0,
            transactions_aborted: 0,
            doubts: Doubts::default(),
            faults: [0; Fault::ALL.len()],
        }
    }
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
        self.transactions_committed += other.transactions_committed;
        self.transactions_aborted += other.transactions_aborted;
        self.doubts += &other.doubts;
        self.faults.iter_mut().zip(other.faults).for_each(|(sum, more)| *sum += more);
    }
}

/// A time, for people.
pub fn span(us: u64) -> String {
    let seconds = us / 1_000_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{}.{} s", seconds, us / 100_000 % 10),
        (0, ..) => format!("{hours}:{minutes:02}:{:02} h", seconds % 60),
        _ => format!("{days} d {hours}:{minutes:02}:{:02} h", seconds % 60),
    }
}

/// A table. Classes of faults that never came are left out of it.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>14}", "virtual time", span(self.virtual_us))?;
        let rows = [
            ("runs", self.runs),
            ("events", self.events),
            ("elections won", self.elections),
            ("entries committed", self.committed),
            ("snapshots installed", self.snapshots),
            ("client operations", self.operations),
            ("  answered", self.answered),
            ("  outcome unknown", self.ambiguous),
            ("changes watched", self.watched),
        ];
        let transactions = [
            ("transactions committed", self.transactions_committed),
            ("  aborted", self.transactions_aborted),
            ("times in doubt", self.doubts.all().count),
            ("  us in the mean", self.doubts.all().mean_us()),
            ("  us at most", self.doubts.all().most_us),
            ("  us after healing", self.doubts.healed_us),
            ("  at the end", self.doubts.open),
        ];
        let any = self.transactions_committed + self.transactions_aborted > 0;
        let transactions = transactions.into_iter().filter(|_| any);
        let faults = Fault::ALL.iter().map(|fault| (fault.name(), self.faults[*fault as usize]));
        for (name, count) in
            rows.into_iter().chain(transactions).chain(faults.filter(|(_, count)| *count > 0))
        {
            writeln!(f, "{name:<24} {count:>14}")?;
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
    /// The run, exactly.
    pub options: Options,
}

impl Failure {
    /// The command that repeats the run.
    pub fn command(&self) -> String {
        self.options.command()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_at_a_glance() {
        assert_eq!(span(12_340_000), "12.3 s");
        assert_eq!(span(61_000_000), "0:01:01 h");
        assert_eq!(span(90_061_000_000), "1 d 1:01:01 h");
    }

    #[test]
    fn sums_are_a_table() {
        let mut stats = Stats { runs: 2, virtual_us: 1_500_000, ..Stats::default() };
        stats.fault(Fault::Loss);
        let table = stats.to_string();
        assert!(table.starts_with("virtual time                      1.5 s\n"), "{table}");
        assert!(table.ends_with("messages lost                         1\n"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() == 39), "{table}");
    }
}
