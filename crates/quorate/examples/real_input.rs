//! Loads records made of this machine's own files into three members that are killed meanwhile, and checks
//! every promise afterwards (see `quorate_harness::chaos`).
//!
//! ```text
//! cargo build --release -p quorate
//! cargo run --release -p quorate --example real_input -- --records 100000 [--writers 32] [--binary PATH]
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use quorate_harness::{Cluster, Setup, chaos, records};

fn main() -> ExitCode {
    let (mut wanted, mut writers, mut binary) = (100_000, 32, beside());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (word.as_str(), value.parse::<usize>()) {
            ("--records", Ok(number)) => wanted = number,
            ("--writers", Ok(number)) => writers = number as u64,
            ("--binary", _) => binary = PathBuf::from(value),
            _ => {
                eprintln!("usage: real_input [--records N] [--writers N] [--binary PATH]");
                return ExitCode::from(2);
            }
        }
    }
    let records = records::below(Path::new("/usr"), wanted);
    println!("{} records from this machine's files; three members of {}", records.len(), binary.display());
    let mut cluster = Cluster::start(Setup::new(binary, 3));
    match chaos::run(&mut cluster, records, writers) {
        Ok(verdict) => {
            println!("{verdict:#?}\nevery promise was kept");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}\n{}", cluster.post_mortem());
            ExitCode::FAILURE
        }
    }
}

/// The binary that was built along with this example.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("quorate")
}
