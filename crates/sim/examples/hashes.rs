//! Prints the trace hash of the first runs of a protocol, Raft if none is named, one a line: `SEED HASH`. Run in two builds, the lines
//! must be equal.
//!
//! ```text
//! cargo run -p quorate-sim --example hashes -- 20 zab
//! cargo run -p quorate-sim --example hashes --release -- 20 zab
//! ```

use quorate_sim::{Options, Protocol, run};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(10);
    let name = arguments.next().unwrap_or_else(|| "raft".to_string());
    let Some(protocol) = Protocol::named(&name) else {
        eprintln!("no protocol is called {name}: `quorate sim --help` names them");
        std::process::exit(2);
    };
    for seed in 0..seeds {
        let report = run(&Options { seed, protocol, ..Options::default() }, None);
        println!("{seed} {:016x}", report.trace_hash);
    }
}
