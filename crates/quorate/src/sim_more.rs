//! `quorate sim`, with the two verbs below it: `figures` measures the papers' figures, `search` searches
//! small worlds exhaustively. Without one of them it runs seeded worlds ([`crate::sim`]).
//!
//! What is measured or found goes to standard output; what tells a person how far it is, to standard error.
//! The exit code is 0 if all is as it should be, 1 if a figure disagrees or something wrong is found, and 2
//! if the command line or a file was the trouble.

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use quorate_figures::{Effort, Report, measure};
use quorate_search::{Bounds, Plant, Scenario};

use crate::sim::{self, SimArgs};

/// Run seeded worlds in which networks, disks, clocks and processes fail, and check what the cluster promises
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Sim {
    #[command(flatten)]
    worlds: SimArgs,
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Debug, Clone, Subcommand)]
enum Other {
    Figures(Figures),
    Search(Search),
}

/// Measure the papers' figures on our core, and print them beside what was published
#[derive(Debug, Clone, Args)]
struct Figures {
    /// Write the charts into this directory, as SVG
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Few trials: quick, but too few to compare
    #[arg(long)]
    brief: bool,
}

/// Search small worlds exhaustively; all the small ones if none is named
#[derive(Debug, Clone, Args)]
struct Search {
    /// Search this one; "list" names them
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Put this bug in, to see it found; "list" names them
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Stop after so many states
    #[arg(long, default_value_t = 80_000_000)]
    states: usize,
}

/// Runs the verb; the exit code.
pub(crate) fn main(args: &Sim) -> u8 {
    match &args.other {
        None => sim::main(&args.worlds),
        Some(Other::Figures(figures)) => figures.run(),
        Some(Other::Search(search)) => search.run(),
    }
}

impl Figures {
    fn run(&self) -> u8 {
        let effort = if self.brief { Effort::Brief } else { Effort::Full };
        let report = measure(effort, |name| eprintln!("{name}"));
        print!("{report}");
        if let Some(Err((path, error))) = self.out.as_deref().map(|out| write(&report, out)) {
            eprintln!("quorate sim figures: cannot write {}: {error}", path.display());
            return 2;
        }
        u8::from(!self.brief && !report.agrees())
    }
}

fn write(report: &Report, out: &Path) -> Result<(), (PathBuf, std::io::Error)> {
    std::fs::create_dir_all(out).map_err(|error| (out.to_path_buf(), error))?;
    for drawing in &report.drawings {
        let path = out.join(drawing.file);
        std::fs::write(&path, &drawing.svg).map_err(|error| (path, error))?;
    }
    Ok(())
}

impl Search {
    fn run(&self) -> u8 {
        let lists = [self.scenario.as_deref(), self.plant.as_deref()].contains(&Some("list"));
        if lists {
            list();
            return 0;
        }
        let plant = match self.plant.as_deref().map(|name| (name, Plant::named(name))) {
            None => None,
            Some((_, Some(plant))) => Some(plant),
            Some((name, None)) => return unknown("bug", name),
        };
        let name = self.scenario.as_deref().or(plant.map(Plant::scenario));
        let scenarios: Vec<Scenario> = match name.map(|name| (name, Scenario::named(name))) {
            None => Scenario::ALL.into_iter().filter(|scenario| !scenario.large).collect(),
            Some((_, Some(scenario))) => vec![scenario],
            Some((name, None)) => return unknown("scenario", name),
        };
        println!("| scenario | states | steps | depth | complete | seconds |\n|---|---|---|---|---|---|");
        scenarios.iter().fold(0, |code, scenario| code | self.search(scenario, plant))
    }

    /// One scenario; a line for the table, and what is wrong.
    fn search(&self, scenario: &Scenario, plant: Option<Plant>) -> u8 {
        let began = Instant::now();
        let person = stderr().is_terminal();
        let bounds = Bounds { states: self.states, depth: usize::MAX };
        let outcome = quorate_search::run(scenario, plant, bounds, |depth, states| {
            if person {
                eprint!("\r{}: {states} states, depth {depth}   ", scenario.name);
            }
        });
        if person {
            eprint!("\r{:60}\r", "");
        }
        let complete = if outcome.complete { "yes" } else { "no" };
        println!(
            "| {} | {} | {} | {} | {complete} | {:.1} |",
            scenario.name,
            outcome.states,
            outcome.steps,
            outcome.depth,
            began.elapsed().as_secs_f64()
        );
        match outcome.counterexample {
            None => 0,
            Some(counterexample) => {
                println!("\n{counterexample}\n");
                1
            }
        }
    }
}

fn list() {
    for scenario in Scenario::ALL {
        let large = if scenario.large { " (takes minutes)" } else { "" };
        println!("{:<28} {}{large}", scenario.name, scenario.about);
    }
    println!();
    for plant in Plant::ALL {
        println!("{:<28} found in {}", plant.name(), plant.scenario());
    }
}

fn unknown(what: &str, name: &str) -> u8 {
    eprintln!("quorate sim search: no {what} is called {name:?}: see quorate sim search --scenario list");
    2
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        sim: Sim,
    }

    fn parse(line: &str) -> Result<Sim, clap::Error> {
        Ok(Cli::try_parse_from(line.split_ascii_whitespace())?.sim)
    }

    #[test]
    fn the_verbs_below_sim() {
        for line in ["sim --seeds 3", "sim figures --out d", "sim search --scenario stale --states 9"] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in ["sim --seeds 3 figures", "sim figure", "sim search --states x"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_found_is_a_failure_and_what_is_unknown_a_mistake() {
        let code = |line: &str| main(&parse(line).expect(line));
        assert_eq!(code("sim search --scenario stale"), 0);
        assert_eq!(code("sim search --plant vote-twice"), 1);
        assert_eq!(code("sim search --plant list"), 0);
        assert_eq!(code("sim search --plant no-such-bug"), 2);
        assert_eq!(code("sim search --scenario no-such-world"), 2);
    }
}
