//! `quorate dev`: a whole cluster in one process, to try things out on.
//!
//! The nodes are the same as with `quorate serve`: each has its own log and state on disk and talks to the
//! others over TCP; only the process is shared. Member i (from 0) serves clients on the client port plus 10 i
//! and peers on the port after that. Without `--data-dir` the data lives in a fresh temporary directory that
//! is removed at the end.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use quorate_server::config::{Config, LogFormat, LogLevel, Url};
use quorate_server::{Node, Protocol};

use crate::ending::{End, Endings};
use crate::flags::LogTarget;
use crate::logging;

/// Between the client ports of two neighbours.
const PORT_STEP: u16 = 10;
const HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 2379;
/// How long a cluster of healthy nodes may take to choose a leader before it is worth a remark.
const PATIENCE: Duration = Duration::from_secs(30);

/// Run a cluster in this process, to try things out on
#[derive(Debug, Clone, Args)]
pub(crate) struct Dev {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// The consensus protocol
    #[arg(
        long,
        default_value_t,
        value_parser = PossibleValuesParser::new(Protocol::NAMES).try_map(|name| name.parse::<Protocol>())
    )]
    protocol: Protocol,
    /// How many nodes must hold a write, where the protocol leaves the choice [default: a majority]
    #[arg(long)]
    write_quorum: Option<u32>,
    /// Client port of the first node; the others follow in steps of 10, peer ports are one above
    #[arg(long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..=65_400))]
    client_port: u16,
    /// Where the data lives and stays [default: a temporary directory, removed at the end]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The least severe lines of the log to show
    #[arg(long, value_enum, default_value_t = Level::Error)]
    log_level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Where the data lives: given, or ours to remove.
enum Home {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Home {
    fn path(&self) -> &Path {
        match self {
            Home::Given(path) => path,
            Home::Temporary(directory) => directory.path(),
        }
    }
}

/// Runs `quorate dev`; the exit code.
pub(crate) fn main(dev: &Dev) -> u8 {
    let level = match dev.log_level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    };
    logging::start(level, LogFormat::Console, LogTarget::Stderr);
    let home = match &dev.data_dir {
        Some(path) => Ok(Home::Given(path.clone())),
        None => tempfile::Builder::new().prefix("quorate-dev-").tempdir().map(Home::Temporary),
    };
    let home = match home {
        Ok(home) => home,
        Err(error) => {
            eprintln!("quorate dev: cannot make a temporary directory: {error}; name one with --data-dir");
            return 1;
        }
    };
    match run(dev, &home) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("quorate dev: {why}");
            1
        }
    }
}

fn run(dev: &Dev, home: &Home) -> Result<(), String> {
    let endings = Endings::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let configs = dev.configs(home.path());
    configs.iter().try_for_each(Config::validate).map_err(|error| error.to_string())?;
    let mut nodes: Vec<(Config, Node)> = Vec::new();
    for config in configs {
        match Node::start(config.clone()) {
            Ok(node) => {
                let watched = endings.watch(&config.name, &node);
                watched.map_err(|error| format!("cannot start a thread: {error}"))?;
                nodes.push((config, node));
            }
            Err(error) => {
                stop(nodes);
                return Err(format!("node {} does not start: {error} (see --client-port)", config.name));
            }
        }
    }
    let end = match until_ready(&nodes, &endings) {
        Some(end) => end,
        None => {
            let _ = std::io::stdout().lock().write_all(dev.text(home, &nodes).as_bytes());
            endings.wait()
        }
    };
    match end {
        End::Signal(_) => {
            stop(nodes);
            Ok(())
        }
        End::Removed(why) => {
            stop(nodes);
            Err(why)
        }
        End::Fatal(why) => {
            // Not stopped in order: nothing more may be written. The processes' threads end with it.
            nodes.into_iter().for_each(|(_, node)| std::mem::forget(node));
            Err(why)
        }
    }
}

/// Waits until every node serves; a reason to end instead, if there is one first.
fn until_ready(nodes: &[(Config, Node)], endings: &Endings) -> Option<End> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        if let Some(end) = endings.within(Duration::ZERO) {
            return Some(end);
        }
        if nodes.iter().all(|(_, node)| node.wait_ready(Duration::from_millis(100))) {
            return None;
        }
        if !said && begun.elapsed() > PATIENCE {
            said = true;
            eprintln!("quorate dev: no leader after {} s; waiting on", PATIENCE.as_secs());
        }
    }
}

/// Stops all nodes at once: one after the other, the last would lack a quorum and wait for it.
fn stop(nodes: Vec<(Config, Node)>) {
    std::thread::scope(|scope| {
        for (_, node) in nodes {
            scope.spawn(move || node.shutdown());
        }
    });
}

impl Dev {
    /// The configuration of every node.
    fn configs(&self, home: &Path) -> Vec<Config> {
        let name = |at: u16| format!("n{}", at + 1);
        let client = |at: u16| Url::http(HOST, self.client_port + at * PORT_STEP);
        let peer = |at: u16| Url::http(HOST, self.client_port + at * PORT_STEP + 1);
        let cluster: Vec<(String, Vec<Url>)> = (0..self.nodes).map(|at| (name(at), vec![peer(at)])).collect();
        (0..self.nodes)
            .map(|at| Config {
                name: name(at),
                data_dir: home.join(name(at)),
                listen_client_urls: vec![client(at)],
                advertise_client_urls: vec![client(at)],
                listen_peer_urls: vec![peer(at)],
                initial_advertise_peer_urls: vec![peer(at)],
                initial_cluster: cluster.clone(),
                initial_cluster_token: "quorate-dev".into(),
                protocol: self.protocol,
                write_quorum: self.write_quorum,
                // Several nodes share a disk here, and little is written: smaller files do.
                wal_segment_bytes: 16 << 20,
                ..Config::default()
            })
            .collect()
    }

    /// What is printed once all nodes serve.
    fn text(&self, home: &Home, nodes: &[(Config, Node)]) -> String {
        let rows: Vec<Row> = nodes
            .iter()
            .map(|(config, node)| Row {
                name: config.name.clone(),
                endpoint: config.advertise_client_urls[0].to_string(),
                leads: node.leader() == Some(node.id()),
            })
            .collect();
        let kept = match home {
            Home::Given(_) => "kept",
            Home::Temporary(_) => "removed at the end",
        };
        self.announcement(&format!("{} ({kept})", home.path().display()), &rows)
    }

    fn announcement(&self, data: &str, rows: &[Row]) -> String {
        let mut out = format!("{} nodes serve client requests; data in {data}\n\n", rows.len());
        for row in rows {
            let _ =
                writeln!(out, "  {}  {}{}", row.name, row.endpoint, if row.leads { "  leads" } else { "" });
        }
        let program = std::env::args().next().unwrap_or_else(|| "quorate".into());
        let endpoints: Vec<&str> = rows.iter().map(|row| row.endpoint.as_str()).collect();
        let option = if self.client_port == DEFAULT_PORT && self.nodes <= 3 {
            String::new()
        } else {
            format!(" --endpoints {}", endpoints.join(","))
        };
        let _ = write!(
            out,
            "\nTry, from another terminal:\n\n  {program} put greeting hello{option}\n  \
             {program} get greeting{option}\n\nCtrl-C ends it.\n"
        );
        out
    }
}

/// A node, as it is announced.
struct Row {
    name: String,
    endpoint: String,
    leads: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev(nodes: u16, client_port: u16) -> Dev {
        Dev {
            nodes,
            protocol: Protocol::default(),
            write_quorum: None,
            client_port,
            data_dir: None,
            log_level: Level::Warn,
        }
    }

    #[test]
    fn configurations_are_valid_and_ports_as_promised() {
        for nodes in 1..=9 {
            let configs = dev(nodes, 65_400).configs(Path::new("/d"));
            assert_eq!(configs.len(), usize::from(nodes));
            for config in &configs {
                config.validate().expect("valid");
            }
        }
        let ports: Vec<(u16, u16)> = dev(3, 2379)
            .configs(Path::new("/d"))
            .iter()
            .map(|config| (config.listen_client_urls[0].port(), config.listen_peer_urls[0].port()))
            .collect();
        assert_eq!(ports, [(2379, 2380), (2389, 2390), (2399, 2400)]);
    }

    #[test]
    fn the_announcement_says_who_leads_and_what_to_try() {
        let rows = |port: u16| {
            [Row { name: "n1".into(), endpoint: format!("http://127.0.0.1:{port}"), leads: true }]
        };
        let text = dev(1, 2379).announcement("/d (kept)", &rows(2379));
        assert!(text.contains("http://127.0.0.1:2379  leads"), "{text}");
        assert!(text.contains("put greeting hello\n") && text.contains("get greeting\n"), "{text}");
        let text = dev(1, 9).announcement("/d (kept)", &rows(9));
        assert!(text.contains("get greeting --endpoints http://127.0.0.1:9"), "{text}");
    }
}
