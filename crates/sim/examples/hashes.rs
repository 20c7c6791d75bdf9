//! Prints the trace hash of the first runs, one a line: `SEED HASH`. Run in two builds, the lines must be equal.
//!
//! ```text
//! cargo run -p quorate-sim --example hashes -- 20
//! cargo run -p quorate-sim --example hashes --release -- 20 paxos
//! ```

use quorate_sim::{Options, Protocol, run};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(10);
    let protocol = arguments.next().and_then(|name| Protocol::named(&name)).unwrap_or_default();
    for seed in 0..seeds {
        let report = run(&Options { protocol, seed, ..Options::default() }, None);
        println!("{seed} {:016x}", report.trace_hash);
    }
}
