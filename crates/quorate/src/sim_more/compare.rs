//! `quorate sim compare`: the protocols side by side, in the same small worlds and, if asked for, as processes.

use std::path::PathBuf;

use clap::Args;
use quorate_figures::compare;

use super::{effort, processes, write};

/// Compare the protocols: costs, elections, partitions, recovery, and speed
#[derive(Debug, Clone, Args)]
pub(super) struct Compare {
    /// Write the charts into this directory, as SVG
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Few trials: quick, but rough
    #[arg(long)]
    brief: bool,
    /// Load real clusters of each protocol as well, in turn, so many rounds; a minute each or so
    #[arg(long, value_name = "ROUNDS", default_value_t = 0)]
    processes: u32,
}

impl Compare {
    /// The exit code.
    pub(super) fn run(&self) -> u8 {
        let comparison = compare(effort(self.brief), |name| eprintln!("{name}"));
        print!("{comparison}");
        if !write("compare", &comparison.drawings, self.out.as_deref()) {
            return 2;
        }
        if self.processes == 0 {
            return 0;
        }
        match processes::measure(self.processes, |doing| eprintln!("{doing}")) {
            Ok(table) => {
                print!("{table}");
                0
            }
            Err(error) => {
                eprintln!("quorate sim compare: {error}");
                1
            }
        }
    }
}
