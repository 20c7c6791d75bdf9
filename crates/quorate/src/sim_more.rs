//! `quorate sim`, with the verbs below it: `figures` measures the papers' figures, `compare` the protocols side by
//! side, `search` searches small worlds exhaustively. Without one of them it runs seeded worlds ([`crate::sim`]).
//!
//! What is measured or found goes to standard output; what tells a person how far it is, to standard error.
//! The exit code is 0 if all is as it should be, 1 if a figure disagrees or something wrong is found, and 2
//! if the command line or a file was the trouble.

mod compare;
mod processes;

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use quorate_figures::{Drawing, Effort, measure};
use quorate_search::{Bounds, Plant, Scenario, Searched};

use crate::sim::{self, SimArgs};
use compare::Compare;

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
    Compare(Compare),
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
    /// Search this protocol's core [default: all of them]
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Search this one; "list" names them
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Put this bug in, to see it found; "list" names them
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Stop after so many states [default: as many as the protocol needs, or bears]
    #[arg(long)]
    states: Option<usize>,
}

/// Runs the verb; the exit code.
pub(crate) fn main(args: &Sim) -> u8 {
    match &args.other {
        None => sim::main(&args.worlds),
        Some(Other::Figures(figures)) => figures.run(),
        Some(Other::Compare(compare)) => compare.run(),
        Some(Other::Search(search)) => search.run(),
    }
}

impl Figures {
    fn run(&self) -> u8 {
        let report = measure(effort(self.brief), |name| eprintln!("{name}"));
        print!("{report}");
        match write("figures", &report.drawings, self.out.as_deref()) {
            true => u8::from(!self.brief && !report.agrees()),
            false => 2,
        }
    }
}

fn effort(brief: bool) -> Effort {
    if brief { Effort::Brief } else { Effort::Full }
}

/// Write the charts, if somewhere is named; answers whether that went well, and says if not.
fn write(verb: &str, drawings: &[Drawing], out: Option<&Path>) -> bool {
    let Some(out) = out else { return true };
    let write = || {
        std::fs::create_dir_all(out).map_err(|error| (out.to_path_buf(), error))?;
        drawings.iter().try_for_each(|drawing| {
            let path = out.join(drawing.file);
            std::fs::write(&path, &drawing.svg).map_err(|error| (path, error))
        })
    };
    let written: Result<(), (PathBuf, std::io::Error)> = write();
    if let Err((path, error)) = &written {
        eprintln!("quorate sim {verb}: cannot write {}: {error}", path.display());
    }
    written.is_ok()
}

impl Search {
    fn run(&self) -> u8 {
        let lists = [self.scenario.as_deref(), self.plant.as_deref()].contains(&Some("list"));
        if lists {
            list();
            return 0;
        }
        let protocols = match self.protocol.as_deref().map(|name| (name, Searched::named(name))) {
            // A bug belongs to some protocol; the first that knows it will do.
            None => match &self.plant {
                Some(bug) => {
                    Searched::ALL.into_iter().filter(|one| one.plant(bug).is_some()).take(1).collect()
                }
                None => Searched::ALL.to_vec(),
            },
            Some((_, Some(protocol))) => vec![protocol],
            Some((name, None)) => return unknown("protocol", name),
        };
        let mut searches = Vec::new();
        for protocol in protocols {
            match self.scenarios(&protocol) {
                Ok(scenarios) => searches.extend(scenarios.into_iter().map(|one| (protocol, one))),
                Err(code) => return code,
            }
        }
        if let (Some(bug), true) = (&self.plant, searches.is_empty()) {
            return unknown("bug", bug);
        }
        println!(
            "| protocol | scenario | states | steps | depth | complete | seconds |\n|---|---|---|---|---|---|---|"
        );
        searches
            .iter()
            .fold(0, |code, (protocol, (scenario, plant))| code | self.search(protocol, scenario, *plant))
    }

    /// What to search of a protocol: what is named, where a bug does harm, or all that is small.
    fn scenarios(&self, protocol: &Searched) -> Result<Vec<(Scenario, Option<Plant>)>, u8> {
        let plant = match self.plant.as_deref().map(|name| (name, protocol.plant(name))) {
            None => None,
            Some((_, Some(plant))) => Some(plant),
            Some((name, None)) => return Err(unknown("bug", name)),
        };
        let name = self.scenario.as_deref().or(plant.map(|plant| plant.scenario));
        let names = name.map_or(protocol.small.to_vec(), |name| vec![name]);
        let named = |name: &str| Scenario::named(name).ok_or_else(|| unknown("scenario", name));
        names.into_iter().map(|name| Ok((named(name)?, plant))).collect()
    }

    /// One scenario; a line for the table, and what is wrong.
    fn search(&self, protocol: &Searched, scenario: &Scenario, plant: Option<Plant>) -> u8 {
        let began = Instant::now();
        let person = stderr().is_terminal();
        let bounds = Bounds { states: self.states.unwrap_or(protocol.states), depth: usize::MAX };
        let outcome = protocol.run(scenario, plant, bounds, |depth, states| {
            if person {
                eprint!("\r{}: {states} states, depth {depth}   ", scenario.name);
            }
        });
        if person {
            eprint!("\r{:60}\r", "");
        }
        let complete = if outcome.complete { "yes" } else { "no" };
        println!(
            "| {} | {} | {} | {} | {} | {complete} | {:.1} |",
            protocol.name,
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
        println!("{:<28} {}", scenario.name, scenario.about);
    }
    for protocol in Searched::ALL {
        println!(
            "\n{}: {} take seconds, the others minutes or more",
            protocol.name,
            protocol.small.join(", ")
        );
        for plant in protocol.plants {
            println!("{:<28} found in {}", plant.name, plant.scenario);
        }
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
        for line in [
            "sim --seeds 3",
            "sim figures --out d",
            "sim compare --brief",
            "sim search --scenario stale --states 9",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in ["sim --seeds 3 figures", "sim figure", "sim search --states x"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_found_is_a_failure_and_what_is_unknown_a_mistake() {
        let code = |line: &str| main(&parse(line).expect(line));
        assert_eq!(code("sim search --protocol raft --scenario stale"), 0);
        assert_eq!(code("sim search --plant vote-twice"), 1);
        assert_eq!(code("sim search --plant list"), 0);
        assert_eq!(code("sim search --plant no-such-bug"), 2);
        assert_eq!(code("sim search --protocol no-such-protocol"), 2);
        assert_eq!(code("sim search --scenario no-such-world"), 2);
    }
}
