//! `quorate sim`: seeded worlds from the command line.
//!
//! The first line of a failure, and of the whole output then, is the one command that repeats it. Progress goes to
//! standard error and only to a person.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use clap::Args;
use quorate_sim::{Failure, Options, Plant, Report, explore, run};

/// Run seeded worlds in which networks, disks, clocks and processes fail, and check what the cluster promises
#[derive(Debug, Clone, Args)]
pub(crate) struct SimArgs {
    /// How many worlds, one for each seed from --start on
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Run this one world only
    #[arg(long, conflicts_with_all = ["seeds", "start", "jobs"])]
    seed: Option<u64>,
    /// Worlds at a time [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Replicas [default: 3 or 5, as the seed says]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: Option<u8>,
    /// Put this bug in, to see it caught; "list" names them
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Print everything that happens, line by line
    #[arg(long, requires = "seed")]
    verbose: bool,
}

/// Runs the verb; the exit code.
pub(crate) fn main(args: &SimArgs) -> u8 {
    if args.plant.as_deref() == Some("list") {
        list();
        return 0;
    }
    let plant = match args.plant.as_deref().map(|name| (name, Plant::named(name))) {
        None => None,
        Some((_, Some(plant))) => Some(plant),
        Some((name, None)) => {
            eprintln!("quorate sim: no bug is called {name:?}: see quorate sim --plant list");
            return 2;
        }
    };
    let options =
        Options { seed: args.seed.unwrap_or(args.start), nodes: args.nodes.map(usize::from), plant };
    match args.seed {
        Some(_) => one(&options, args.verbose),
        None => many(args, options),
    }
}

fn list() {
    for plant in Plant::ALL {
        println!("{:<28} {:<60} {}", plant.name(), plant.origin(), plant.breaks());
    }
}

fn one(options: &Options, verbose: bool) -> u8 {
    let mut out = std::io::stdout().lock();
    // A reader that has gone away is no reason to stop the run.
    let mut sink = |line: &str| {
        let _ = writeln!(out, "{line}");
    };
    let report = run(options, verbose.then_some(&mut sink));
    drop(out);
    if let Some(failure) = &report.failure {
        println!("{failure}");
        return 1;
    }
    println!("{}trace hash           {:016x}", report.stats, report.trace_hash);
    0
}

fn many(args: &SimArgs, options: Options) -> u8 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, usize::from);
    let seeds = args.start..args.start.saturating_add(args.seeds);
    let mut failures: Vec<Failure> = Vec::new();
    let mut progress = Progress::new(args.seeds);
    let began = Instant::now();
    let stats = explore(seeds, jobs, options, |report| {
        progress.ran(report);
        failures.extend(report.failure.clone());
        failures.is_empty()
    });
    progress.end();
    // Worlds under way were seen to their end, so the lowest seed that fails is among them.
    failures.sort_by_key(|failure| failure.seed);
    if let Some(failure) = failures.first() {
        println!("{failure}\n");
    }
    print!("{stats}");
    println!("{:<20} {:>12}", "violations", failures.len());
    println!("{:<20} {:>12.1}", "seconds", began.elapsed().as_secs_f64());
    u8::from(!failures.is_empty())
}

/// Tells a person how far it is.
struct Progress {
    of: u64,
    done: u64,
    told: bool,
}

impl Progress {
    fn new(of: u64) -> Self {
        Progress { of, done: 0, told: std::io::stderr().is_terminal() }
    }

    fn ran(&mut self, _report: &Report) {
        self.done += 1;
        if self.told && (self.done.is_multiple_of(10) || self.done == self.of) {
            eprint!("\r{} of {} worlds", self.done, self.of);
        }
    }

    fn end(&self) {
        if self.told {
            eprint!("\r{:40}\r", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        sim: SimArgs,
    }

    fn parse(line: &str) -> Result<SimArgs, clap::Error> {
        Ok(Cli::try_parse_from(line.split_ascii_whitespace())?.sim)
    }

    #[test]
    fn one_world_or_many_but_not_both() {
        for line in ["sim", "sim --seeds 3 --start 9 --jobs 2", "sim --seed 7 --verbose --nodes 5"] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in
            ["sim --seed 7 --seeds 3", "sim --verbose", "sim --nodes 0", "sim --jobs 0", "sim --seeds 0"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_caught_bug_is_a_failure_and_an_unknown_one_a_mistake() {
        let args = |line: &str| parse(line).expect(line);
        assert_eq!(main(&args("sim --seed 0")), 0);
        assert_eq!(main(&args("sim --seeds 20 --plant watch-resumes-one-late")), 1);
        assert_eq!(main(&args("sim --plant list")), 0);
        assert_eq!(main(&args("sim --plant no-such-bug")), 2);
    }
}
