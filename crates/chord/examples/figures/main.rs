//! The Chord paper's figures, measured again; a table in Markdown.
//!
//!     cargo run --release -p quorate-chord --example figures
//!
//! With a number as an argument, that many times the lookups. The experiments are in `measure`.

mod measure;

use std::time::Instant;

use measure::{Loads, Paper, Predecessor, Walking, churn, failures, loads, paths, virtual_loads};
use quorate_chord::{Corrected, Manner};

fn main() {
    let effort: usize = std::env::args().nth(1).and_then(|effort| effort.parse().ok()).unwrap_or(1);
    let began = Instant::now();
    path_lengths(20_000 * effort);
    load();
    println!("\n| failed at once | lookups that miss who was responsible | who is now |\n|---:|---:|---:|");
    for percent in [5, 10, 20, 50] {
        let (lost, wrong) = failures(10_000, percent, 10_000 * effort, percent);
        println!("| {percent} % | {:.1} % | {:.2} % |", 100.0 * lost, 100.0 * wrong);
    }
    println!(
        "\n| joins and failures each second | published | paper's manner | ours |\n|---:|---:|---:|---:|"
    );
    for (rate, published) in [(0.01, 0.3), (0.05, 2.5), (0.10, 6.5)] {
        let seconds = 10_000 * effort as u64;
        let share = |churn: measure::Churn| 100.0 * churn.failed as f64 / churn.lookups as f64;
        let manner = share(churn::<Paper>(500, rate, seconds, 1));
        let ours = share(churn::<Corrected>(500, rate, seconds, 1));
        println!("| {rate} | {published} % | {manner:.2} % | {ours:.2} % |");
    }
    eprintln!("{:.1} s", began.elapsed().as_secs_f64());
}

fn path_lengths(lookups: usize) {
    println!(
        "| nodes | ½ log₂ N | by fingers | 1st to 99th | with successor lists | messages, iterative | recursive |"
    );
    println!("|---:|---:|---:|---|---:|---:|---:|");
    for nodes in [256, 1_024, 4_096, 16_384] {
        let began = Instant::now();
        let fingers = paths::<Paper>(nodes, lookups, Manner::Iterative, 1);
        let both = paths::<Corrected>(nodes, lookups, Manner::Iterative, 1);
        let recursive = paths::<Corrected>(nodes, lookups, Manner::Recursive, 1);
        let half = (nodes as f64).log2() / 2.0;
        println!(
            "| {nodes} | {half} | {:.2} | {} to {} | {:.2} | {:.1} | {:.1} |",
            fingers.mean, fingers.p1, fingers.p99, both.mean, both.messages, recursive.messages
        );
        eprintln!("{nodes} nodes: {:.1} s", began.elapsed().as_secs_f64());
    }
    println!("\n| mistake | 256 nodes | 1,024 nodes |\n|---|---:|---:|");
    let walking = [256, 1_024].map(|nodes| paths::<Walking>(nodes, 2_000, Manner::Recursive, 1).mean);
    println!("| the lookup walks the ring: mean path | {:.0} | {:.0} |", walking[0], walking[1]);
    let wrong = [256, 1_024].map(|nodes| paths::<Predecessor>(nodes, 2_000, Manner::Recursive, 1).wrong);
    println!(
        "| the predecessor answers: wrong node | {:.1} % | {:.1} % |",
        100.0 * wrong[0],
        100.0 * wrong[1]
    );
}

/// The mean of several draws.
fn mean(draw: impl Fn(u64) -> Loads) -> Loads {
    const DRAWS: u64 = 5;
    let (p99, most) =
        (1..=DRAWS).map(draw).fold((0.0, 0.0), |sum, load| (sum.0 + load.p99, sum.1 + load.most));
    Loads { p99: p99 / DRAWS as f64, most: most / DRAWS as f64 }
}

fn load() {
    println!("\n| keys per node, in means | 99th percentile | most |\n|---|---:|---:|");
    let one = mean(|seed| loads(10_000, 500_000, seed));
    println!("| 10,000 nodes, 500,000 keys, found by lookups | {:.2} | {:.1} |", one.p99, one.most);
    for each in [1, 2, 5, 10, 20] {
        let load = mean(|seed| virtual_loads(10_000, each, 1_000_000, seed));
        println!("| {each} virtual nodes, 1,000,000 keys | {:.2} | {:.1} |", load.p99, load.most);
    }
}
