//! Prints the trace hash of the first runs, one a line: `SEED HASH`. Run in two builds, the lines must be equal.
//!
//! ```text
//! cargo run -p quorate-sim --example hashes -- 20
//! cargo run -p quorate-sim --example hashes --release -- 20
//! ```

use quorate_sim::{Options, run};

fn main() {
    let seeds = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10);
    for seed in 0..seeds {
        let report = run(&Options { seed, ..Options::default() }, None);
        println!("{seed} {:016x}", report.trace_hash);
    }
}
