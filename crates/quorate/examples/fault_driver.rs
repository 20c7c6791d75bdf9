//! Faults against real processes, and the verdict. Exit code 1 when a promise is broken.
//!
//! ```text
//! cargo build --release -p quorate --example fault_driver && cargo build --release -p quorate
//! target/release/examples/fault_driver storm  [--seconds 600] [--seed 1] [--clients 16] [--disk-mib 1024]
//! target/release/examples/fault_driver outage [--kills 60] [--stops 30] [--seed 1] [--p99-ms 1500]
//! target/release/examples/fault_driver rot    [--flips 1000] [--seed 1] [--keys 20000] [--jobs 1]
//! target/release/examples/fault_driver wipe   [--rounds 6] [--keys 4000]
//! ```
//!
//! All take `--binary PATH`; the default is the one built along with this; `--protocol NAME`; and `--serve FLAG`, any
//! number of times: a flag for the members, such as `--serve --read-lease-drift-percent=10`. See `docs/checking.md`, "Real
//! processes", and the modules of `quorate_harness` that carry the names of the commands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use quorate_harness::{Cluster, Setup, outage, rot, storm, wipe};

const USAGE: &str = "usage: fault_driver storm|outage|rot|wipe [--binary PATH] [--protocol NAME] [--serve FLAG ...] [--NAME NUMBER ...]";

/// What the command line says.
struct Words {
    binary: PathBuf,
    serve: Vec<String>,
    numbers: BTreeMap<String, u64>,
}

impl Words {
    fn parse(words: impl Iterator<Item = String>, known: &[&str]) -> Option<Words> {
        let mut parsed = Words { binary: beside(), serve: Vec::new(), numbers: BTreeMap::new() };
        let mut words = words;
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--")?;
            let value = words.next()?;
            if name == "binary" {
                parsed.binary = value.into();
            } else if name == "serve" {
                parsed.serve.push(value);
            } else if name == "protocol" {
                parsed.serve.push(format!("--protocol={value}"));
            } else {
                let name = known.iter().find(|other| **other == name)?;
                parsed.numbers.insert((*name).to_owned(), value.parse().ok()?);
            }
        }
        Some(parsed)
    }

    fn setup(&self) -> Setup {
        self.serve.iter().fold(Setup::new(&self.binary, 3), |setup, flag| setup.flag(flag))
    }

    fn number(&self, name: &str, usual: u64) -> u64 {
        self.numbers.get(name).copied().unwrap_or(usual)
    }
}

/// A command by its name: what numbers it takes, and what it does; whether all was well.
type Command = (&'static str, &'static [&'static str], fn(&Words) -> bool);

const COMMANDS: [Command; 4] = [
    ("storm", &["seconds", "seed", "clients", "disk-mib"], storm),
    ("outage", &["kills", "stops", "seed", "p99-ms"], outage),
    ("rot", &["flips", "seed", "keys", "jobs"], rot),
    ("wipe", &["rounds", "keys"], wipe),
];

fn main() -> ExitCode {
    let mut line = std::env::args().skip(1);
    let command = line.next().unwrap_or_default();
    let command = COMMANDS.iter().find(|(name, ..)| *name == command);
    let parsed = command.and_then(|command| Some((command, Words::parse(line, command.1)?)));
    let Some(((name, _, run), words)) = parsed else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("{name}: three members of {} {}", words.binary.display(), words.serve.join(" "));
    match run(&words) {
        true => {
            println!("every promise was kept");
            ExitCode::SUCCESS
        }
        false => ExitCode::FAILURE,
    }
}

fn storm(words: &Words) -> bool {
    let options = storm::Options {
        binary: words.binary.clone(),
        duration: Duration::from_secs(words.number("seconds", 600)),
        seed: words.number("seed", 1),
        clients: words.number("clients", 16),
        disk_bytes: words.number("disk-mib", 1024) << 20,
        flags: words.serve.clone(),
    };
    match storm::run(&options) {
        Ok(report) => {
            print!("{report}");
            true
        }
        Err(broken) => {
            eprintln!("{broken}");
            false
        }
    }
}

fn outage(words: &Words) -> bool {
    let bound = Duration::from_millis(words.number("p99-ms", 1_500));
    let mut good = true;
    for (how, rounds) in
        [(outage::How::Kill, words.number("kills", 60)), (outage::How::Stop, words.number("stops", 30))]
    {
        if rounds == 0 {
            continue;
        }
        let mut cluster = Cluster::start(words.setup());
        let outages = outage::measure(&mut cluster, how, rounds as usize, words.number("seed", 1));
        println!("{outages}");
        // A member that is merely silent is waited for: only the kill has a bound.
        good &= how == outage::How::Stop || outages.percentile(99) <= bound;
    }
    if !good {
        eprintln!("after a kill the 99th percentile is above {bound:?}");
    }
    good
}

fn rot(words: &Words) -> bool {
    let (flips, jobs) = (words.number("flips", 1_000), words.number("jobs", 1).max(1));
    let begun = Instant::now();
    let mut all = rot::Rot::default();
    std::thread::scope(|scope| {
        let job = |job: u64| {
            let options = rot::Options {
                binary: words.binary.clone(),
                flips: (flips / jobs + u64::from(job < flips % jobs)) as usize,
                keys: words.number("keys", 20_000),
                seed: words.number("seed", 1) + (job << 32),
                flags: words.serve.clone(),
            };
            rot::run(&options, &|flip, verdict| {
                if !verdict.good() {
                    println!("{:>8.1} s  {flip}: {verdict:?}", begun.elapsed().as_secs_f64());
                }
            })
        };
        let running: Vec<_> = (0..jobs).map(|number| scope.spawn(move || job(number))).collect();
        running.into_iter().for_each(|job| all.merge(job.join().expect("a job does not panic")));
    });
    print!("{all}");
    println!("in {:.0} s", begun.elapsed().as_secs_f64());
    all.bad.is_empty()
}

fn wipe(words: &Words) -> bool {
    let mut cluster = Cluster::start(words.setup());
    match wipe::run(&mut cluster, words.number("rounds", 6) as usize, words.number("keys", 4_000)) {
        Ok(took) => {
            println!("whole again after {took:?}");
            true
        }
        Err(why) => {
            eprintln!("{why}");
            false
        }
    }
}

/// The binary that was built along with this example.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("quorate")
}
