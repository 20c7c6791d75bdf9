//! What a run of the load tool is told.

use clap::{Args, Subcommand};

use super::load::KeyOrder;
use crate::client::Cluster;

/// Measure a running cluster
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(super) op: Op,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Op {
    /// Put one key per call
    Put(PutArgs),
    /// Read one key per call (linearizable unless --serializable)
    Range(RangeArgs),
}

#[derive(Debug, Clone, Args)]
pub(super) struct PutArgs {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Clone, Args)]
pub(super) struct RangeArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Read what the asked member has, without a quorum
    #[arg(long)]
    pub(super) serializable: bool,
    /// Put every key of the key space before reading
    #[arg(long)]
    pub(super) fill: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    /// Clients, each with one call in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) clients: u32,
    /// Connections that the clients share [default: a quarter of the clients, at most 100]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) connections: Option<u32>,
    /// Calls that are counted
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) total: u64,
    /// Calls before those, not counted
    #[arg(long, default_value_t = 1_000)]
    pub(super) warmup: u64,
    /// Bytes of each value put
    #[arg(long, default_value_t = 256, value_parser = at_most::<{ 1 << 30 }>)]
    pub(super) value_bytes: usize,
    /// Digits of each key
    #[arg(long, default_value_t = 8, value_parser = at_most::<4096>)]
    pub(super) key_bytes: usize,
    /// How many different keys there are
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) key_space: u64,
    /// The order in which keys are visited
    #[arg(long, value_enum, default_value_t = KeyOrder::Random)]
    pub(super) keys: KeyOrder,
    /// Load the leader alone
    #[arg(long)]
    pub(super) target_leader: bool,
    /// Seed of keys and values
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Server processes whose cost is shown [default: those that listen on local endpoints]
    #[arg(long, value_delimiter = ',')]
    pub(super) pids: Vec<u32>,
    /// Seconds without any answer after which the run is given up
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) timeout: u64,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// A number up to a bound.
fn at_most<const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number <= MAX => Ok(number),
        _ => Err(format!("must be a number from 0 to {MAX}")),
    }
}

impl Common {
    /// A quarter of the clients, as in the published figures (1 on 1, 64 on 16, 256 on 64, 1000 on 100).
    pub(super) fn connections(&self) -> u32 {
        self.connections.unwrap_or((self.clients / 4).clamp(1, 100)).min(self.clients)
    }
}

impl Op {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Op::Put(_) => "put",
            Op::Range(range) if range.serializable => "serializable range",
            Op::Range(_) => "linearizable range",
        }
    }
}

impl BenchArgs {
    pub(super) fn common(&self) -> &Common {
        match &self.op {
            Op::Put(put) => &put.common,
            Op::Range(range) => &range.common,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(text: &str) -> Result<BenchArgs, clap::Error> {
        Ok(Cli::try_parse_from(text.split_ascii_whitespace())?.bench)
    }

    #[test]
    fn connections_follow_clients() {
        for (line, expected) in [
            ("bench put", 1),
            ("bench put --clients 64", 16),
            ("bench range --clients 256", 64),
            ("bench put --clients 1000", 100),
            ("bench put --clients 3 --connections 8", 3),
            ("bench put --clients 8 --connections 2", 2),
        ] {
            assert_eq!(parse(line).expect(line).common().connections(), expected, "{line}");
        }
    }

    #[test]
    fn bad_arguments_are_refused_by_name() {
        for (line, word) in [
            ("bench", "subcommand"),
            ("bench delete", "delete"),
            ("bench put --clients 0", "--clients"),
            ("bench put --connections 0", "--connections"),
            ("bench put --total 0", "--total"),
            ("bench put --total many", "--total"),
            ("bench put --value-bytes=-1", "--value-bytes"),
            ("bench put --value-bytes 99999999999", "--value-bytes"),
            ("bench put --key-space 0", "--key-space"),
            ("bench put --keys zipf", "--keys"),
            ("bench put --serializable", "--serializable"),
            ("bench put --endpoints nowhere", "--endpoints"),
            ("bench put --pids x", "--pids"),
        ] {
            let text = parse(line).expect_err(line).to_string();
            assert!(text.contains(word), "{line}: {text}");
        }
    }
}
