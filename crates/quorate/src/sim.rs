//! `quorate sim`: seeded worlds from the command line.
//!
//! The first line of a failure, and of the whole output then, is the one command that repeats it; then come the broken
//! promise, a smaller run that breaks it too, if one was found, and its picture. Progress goes to standard error.
//! The exit code is 0 if every promise was kept, 1 if one was broken, 2 if the command line or a file was
//! the trouble.

mod args;
mod failed;
mod progress;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::Instant;

use quorate_sim::{
    CLASSES, Failure, Group, KNOBS, Moment, Options, Plant, Protocol, Recorder, Report, explore, run,
};

pub(crate) use args::SimArgs;
use progress::Progress;

/// Runs the verb; the exit code.
pub(crate) fn main(args: &SimArgs) -> u8 {
    if let Some(list) = args.list() {
        // A reader that has gone away needs no list.
        let _ = io::stdout().write_all(list.as_bytes());
        return 0;
    }
    let worlds = match args.worlds() {
        Ok(worlds) => worlds,
        Err(mistake) => {
            eprintln!("quorate sim: {mistake}");
            return 2;
        }
    };
    let several = worlds.len() > 1;
    let code = |options: Options| {
        if several && !args.hashes {
            println!("{:<24} {:>14}", "protocol", options.protocol.name());
        }
        match args.seed {
            _ if args.hashes => hashes(args, options),
            Some(_) => one(args, &options),
            None => many(args, options),
        }
    };
    worlds.into_iter().map(code).max().unwrap_or(0)
}

/// The bugs that these protocols can have, a line for each.
fn plants(protocols: &[Protocol]) -> String {
    let line = |plant: &Plant| {
        let protocols = args::names(plant.protocols());
        format!("{:<30} {protocols:<17} {:<66} {}\n", plant.name(), plant.origin(), plant.breaks())
    };
    let wanted = |plant: &&Plant| plant.protocols().iter().any(|protocol| protocols.contains(protocol));
    Plant::ALL.iter().filter(wanted).map(line).collect()
}

/// The classes of faults, by groups.
fn classes() -> String {
    let mut list =
        "all                          every class below\nnone                         no faults\n".to_owned();
    for group in Group::ALL {
        list.push_str(&format!("{:<28} every class of this group:\n", group.name()));
        for class in CLASSES.iter().filter(|class| class.group == group) {
            list.push_str(&format!("  {:<26} {}\n", class.name, class.means));
        }
    }
    list
}

/// The numbers of a run's character, and what they are in this run.
fn numbers(options: &Options) -> String {
    let swarm = options.swarm();
    let mut list = String::new();
    for knob in KNOBS {
        let ((least, most), value) = (knob.bounds, (knob.get)(&swarm));
        list.push_str(&format!("{:<28} {value:>12}  of {least} to {most}\n", knob.name));
    }
    list.push_str(&format!("{:<28} {:>12}  other dice, the same character\n", "roll", options.plan.roll));
    list
}

fn one(args: &SimArgs, options: &Options) -> u8 {
    let mut recorder = match args.trace.as_ref().map(File::create) {
        None => None,
        Some(Ok(file)) => Some(Recorder::begin(BufWriter::new(file), options)),
        Some(Err(error)) => return cannot_write(args, &error),
    };
    let mut out = io::stdout().lock();
    let mut sink = |moment: &Moment| {
        if args.verbose {
            // A reader that has gone away is no reason to stop the run.
            let _ = writeln!(out, "{moment}");
        }
        if let Some(recorder) = &mut recorder {
            recorder.moment(moment);
        }
    };
    let read = args.verbose || args.trace.is_some();
    let report = run(options, if read { Some(&mut sink) } else { None });
    drop(out);
    if let Some(Err(error)) = recorder.map(|recorder| recorder.end(&report)) {
        return cannot_write(args, &error);
    }
    if let Some(failure) = &report.failure {
        failed::tell(failure, args.effort());
        return 1;
    }
    println!("{}{:<24} {:016x}", report.stats, "trace hash", report.trace_hash);
    0
}

fn cannot_write(args: &SimArgs, error: &io::Error) -> u8 {
    let path = args.trace.as_deref().unwrap_or_default();
    eprintln!("quorate sim: cannot write the trace to {path}: {error}; name another file with --trace");
    2
}

/// Every seed's digest, in the order of the seeds, and nothing else.
fn hashes(args: &SimArgs, options: Options) -> u8 {
    let mut next = args.seeds().start;
    let mut waiting: BTreeMap<u64, u64> = BTreeMap::new();
    let mut broken = false;
    explore(args.seeds(), args.jobs(), options, |report| {
        if let Some(failure) = &report.failure {
            broken = true;
            eprintln!("{failure}");
        }
        waiting.insert(report.seed, report.trace_hash);
        let mut read = true;
        while let Some(hash) = waiting.remove(&next) {
            read &= writeln!(io::stdout(), "{next} {hash:016x}").is_ok();
            next += 1;
        }
        read
    });
    u8::from(broken)
}

fn many(args: &SimArgs, options: Options) -> u8 {
    let mut failures: Vec<Failure> = Vec::new();
    let seeds = args.seeds();
    let mut progress = Progress::new(seeds.end - seeds.start);
    let began = Instant::now();
    let stats = explore(seeds, args.jobs(), options, |report: &Report| {
        failures.extend(report.failure.clone());
        progress.ran(report, failures.len());
        failures.is_empty()
    });
    progress.end();
    let seconds = began.elapsed().as_secs_f64();
    // Worlds under way were seen to their end, so the lowest seed that fails is among them.
    failures.sort_by_key(|failure| failure.seed);
    if let Some(failure) = failures.first() {
        failed::tell(failure, args.effort());
        println!();
    }
    print!("{stats}");
    println!("{:<24} {seconds:>14.1}", "seconds it took");
    println!("{:<24} {:>14}", "violations", failures.len());
    u8::from(!failures.is_empty())
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

    fn args(line: &str) -> SimArgs {
        parse(line).expect(line)
    }

    #[test]
    fn one_world_or_many_but_not_both() {
        for line in [
            "sim",
            "sim --seeds 3 --start 9 --jobs 2 --faults network,disk --shrink 0",
            "sim --seed 7 --verbose --nodes 5 --trace f --protocol raft",
            "sim --seed 7 --set load.clients=1 --deeds a1,s2-4",
            "sim --hashes --seeds 5",
            "sim --protocol all --seeds 5",
            "sim --protocol two-phase --groups paxos --nodes 4",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in [
            "sim --seed 7 --seeds 3",
            "sim --verbose",
            "sim --trace f",
            "sim --deeds a1",
            "sim --hashes --seed 1 --verbose",
            "sim --hashes --seed 1 --trace f",
            "sim --nodes 0",
            "sim --jobs 0",
            "sim --seeds 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_caught_bug_is_a_failure_and_an_unknown_one_a_mistake() {
        assert_eq!(main(&args("sim --seed 0")), 0);
        assert_eq!(main(&args("sim --seed 3 --protocol all")), 0);
        assert_eq!(main(&args("sim --seeds 20 --plant watch-resumes-one-late --shrink 0")), 1);
        for (line, code) in [
            ("sim --plant list", 0),
            ("sim --faults list", 0),
            ("sim --set list", 0),
            ("sim --plant no-such-bug", 2),
            ("sim --protocol chain", 2),
            ("sim --protocol two-phase --groups chain", 2),
            ("sim --protocol two-phase --nodes 1", 2),
            ("sim --nodes 10", 2),
            ("sim --protocol two-phase --plant vote-without-log-check", 2),
            ("sim --protocol paxos --plant vote-without-log-check", 2),
            ("sim --protocol all --plant no-such-bug", 2),
            ("sim --faults gremlins", 2),
            ("sim --set load.clerks=1", 2),
            ("sim --seed 1 --trace /no/such/directory/file", 2),
        ] {
            assert_eq!(main(&args(line)), code, "{line}");
        }
    }

    #[test]
    fn mistakes_name_the_thing_and_the_remedy() {
        let mistake = |line: &str| args(line).worlds().expect_err(line).to_string();
        assert_eq!(
            mistake("sim --plant nought"),
            "no bug is called \"nought\": see quorate sim --plant list"
        );
        let unknown = mistake("sim --protocol chain");
        assert_eq!(
            unknown,
            "no world runs the protocol \"chain\": choose one of raft, paxos, zab, two-phase, three-phase, chord, consensus, or all"
        );
        let foreign = mistake("sim --protocol zab --plant largest-value");
        assert_eq!(foreign, "the bug largest-value is one of paxos, not of zab: add --protocol paxos");
        assert!(mistake("sim --seed 1 --deeds all").contains("write a3 or s12"));
    }

    #[test]
    fn all_protocols_are_those_that_can_have_the_bug() {
        let protocols = |line: &str| {
            let worlds = args(line).worlds().expect(line);
            worlds.iter().map(|options| options.protocol.name()).collect::<Vec<_>>()
        };
        let all = ["raft", "paxos", "zab", "two-phase", "three-phase", "chord"];
        assert_eq!(protocols("sim --protocol all"), all);
        assert_eq!(protocols("sim --protocol consensus"), all[..3]);
        assert_eq!(protocols("sim --protocol all --plant yes-forgotten"), all[3..5]);
        assert_eq!(protocols("sim --protocol all --plant forget-promise-on-restart"), ["paxos", "zab"]);
    }

    #[test]
    fn lists_have_a_line_for_each() {
        assert_eq!(args("sim --plant list").list().expect("a list").lines().count(), Plant::ALL.len());
        let of_zab = args("sim --protocol zab --plant list").list().expect("a list");
        assert!(of_zab.contains("hole-closed") && !of_zab.contains("largest-value"));
        let faults = args("sim --faults list").list().expect("a list");
        assert_eq!(faults.lines().count(), 2 + Group::ALL.len() + CLASSES.len());
        let numbers = args("sim --seed 3 --set list").list().expect("a list");
        assert_eq!(numbers.lines().count(), KNOBS.len() + 1);
        assert!(args("sim --seed 3").list().is_none());
    }

    #[test]
    fn what_a_failure_prints_is_read_back() {
        let line = "sim --seed 5 --protocol paxos --nodes 3 --plant ack-before-fsync --faults loss --set load.keys=1,roll=2 --deeds a2";
        let options = args(line).worlds().expect("options").remove(0);
        assert_eq!(options.command(), format!("cargo run --release -- {line}"));
    }

    #[test]
    fn a_trace_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("run.jsonl");
        let line = format!("sim --seed 3 --trace {}", path.display());
        assert_eq!(main(&args(&line)), 0);
        let file = std::fs::read_to_string(path).expect("it is there");
        assert!(file.starts_with("{\"kind\":\"header\",\"format\":\"quorate-trace\""));
        assert!(file.lines().last().is_some_and(|line| line.contains("\"kind\":\"end\"")));
    }
}
