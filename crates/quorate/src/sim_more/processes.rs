//! The protocols as processes: three members each, on this machine, loaded by `quorate bench`.
//!
//! Machines are noisy, so the protocols take turns: in each round every one of them is started on empty
//! directories, loaded, and stopped, and what is shown is the median over the rounds, with its ratio to the
//! first protocol's. A cluster that is measured has the machine to itself, but for the load tool.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_figures::Table;
use quorate_server::Protocol;
use serde_json::Value;

/// Members of a cluster.
const MEMBERS: usize = 3;

/// How long a cluster may take to serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked: a name, the load tool's verb, how many clients, how many calls.
const LOADS: [(&str, &[&str], u32, u32); 4] = [
    ("put, 64 clients", &["put"], 64, 30_000),
    ("put, 1,000 clients", &["put"], 1_000, 60_000),
    ("linearizable range, 64 clients", &["range", "--fill"], 64, 60_000),
    ("linearizable range, 1,000 clients", &["range"], 1_000, 60_000),
];

/// What the load tool said.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    server_us: f64,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
    #[error("the cluster under --protocol {protocol} does not serve within {} s; its logs are in {directory}", PATIENCE.as_secs())]
    NotReady { protocol: String, directory: PathBuf },
    #[error("the load tool failed under --protocol {protocol}: {text}")]
    Load { protocol: String, text: String },
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ProcessError {
    let what = what.into();
    move |error| ProcessError::Io { what, error }
}

/// Measures all protocols in turn, `rounds` times. `told` hears what is being done.
///
/// # Errors
/// A cluster cannot be started, or does not serve.
pub(crate) fn measure(rounds: u32, mut told: impl FnMut(&str)) -> Result<Table, ProcessError> {
    let names: Vec<String> = Protocol::NAMES.iter().map(ToString::to_string).collect();
    let mut samples = vec![vec![Vec::new(); names.len()]; LOADS.len()];
    for round in 1..=rounds {
        for (which, protocol) in names.iter().enumerate() {
            let cluster = Cluster::start(protocol)?;
            for (load, samples) in LOADS.iter().zip(&mut samples) {
                told(&format!("round {round} of {rounds}, {protocol}: {}", load.0));
                samples[which].push(cluster.load(load)?);
            }
        }
    }
    Ok(table(&names, &samples))
}

fn table(names: &[String], samples: &[Vec<Vec<Sample>>]) -> Table {
    let head =
        std::iter::once("three processes, values of 256 bytes".to_string()).chain(names.iter().cloned());
    let mut rows = Vec::new();
    for ((name, ..), samples) in LOADS.iter().zip(samples) {
        let mut push = |what: &str, of: fn(&Sample) -> f64, digits: usize| {
            let medians: Vec<f64> = samples.iter().map(|all| median(all.iter().map(of))).collect();
            let first = medians.first().copied().unwrap_or(0.0);
            let cells = medians.iter().enumerate().map(|(at, value)| match at {
                0 => format!("{value:.digits$}"),
                _ => format!("{value:.digits$} (× {:.2})", value / first),
            });
            rows.push(std::iter::once(format!("{name}: {what}")).chain(cells).collect());
        };
        push("calls per second", |sample| sample.per_second, 0);
        push("median ms", |sample| sample.p50_ms, 2);
        push("99 % ms", |sample| sample.p99_ms, 2);
        push("processor µs of the three per call", |sample| sample.server_us, 1);
    }
    Table { title: "Real processes", head: head.collect(), rows }
}

/// The one in the middle; of an even number, the upper of the two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Members that run; they end with this value.
struct Cluster {
    protocol: String,
    endpoints: String,
    members: Vec<Child>,
    directory: tempfile::TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What they hold is of no more use, so they need not end in order.
        for member in &mut self.members {
            _ = member.kill();
            _ = member.wait();
        }
    }
}

impl Cluster {
    fn start(protocol: &str) -> Result<Cluster, ProcessError> {
        let directory = tempfile::tempdir().map_err(io("cannot make a directory for the data"))?;
        let ports = free_ports(2 * MEMBERS).map_err(io("cannot find free ports"))?;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let peers: Vec<String> = (0..MEMBERS).map(|n| format!("m{n}={}", url(ports[2 * n + 1]))).collect();
        let endpoints: Vec<String> = (0..MEMBERS).map(|n| format!("127.0.0.1:{}", ports[2 * n])).collect();
        let mut cluster = Cluster {
            protocol: protocol.to_string(),
            endpoints: endpoints.join(","),
            members: Vec::new(),
            directory,
        };
        for n in 0..MEMBERS {
            let (client, peer) = (url(ports[2 * n]), url(ports[2 * n + 1]));
            let path = cluster.directory.path().join(format!("m{n}"));
            let log = File::create(path.with_extension("log")).map_err(io("cannot write a log"))?;
            let mut command = own_binary()?;
            command.args(["serve", "--protocol", protocol, "--name", &format!("m{n}")]);
            command.arg("--data-dir").arg(&path);
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &peers.join(",")]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            cluster.members.push(command.spawn().map_err(io("cannot start a member"))?);
        }
        cluster.wait()?;
        Ok(cluster)
    }

    fn wait(&self) -> Result<(), ProcessError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut command = own_binary()?;
            command.args(["put", "--endpoints", &self.endpoints, "ready", "yes"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if command.status().map_err(io("cannot run the client"))?.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let directory = self.directory.path().to_path_buf();
        Err(ProcessError::NotReady { protocol: self.protocol.clone(), directory })
    }

    fn load(&self, (_, verb, clients, total): &(&str, &[&str], u32, u32)) -> Result<Sample, ProcessError> {
        let mut command = own_binary()?;
        command.arg("bench").args(*verb).args(["--json", "--endpoints", &self.endpoints]);
        command.args(["--clients", &clients.to_string(), "--total", &total.to_string()]);
        command.args(["--warmup", &(total / 5).to_string(), "--key-space", "20000"]);
        let output = command.output().map_err(io("cannot run the load tool"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let failed =
            |text: &str| ProcessError::Load { protocol: self.protocol.clone(), text: text.to_string() };
        if !output.status.success() {
            return Err(failed(&format!("{said}{}", String::from_utf8_lossy(&output.stderr))));
        }
        let said: Value = serde_json::from_str(&said).map_err(|error| failed(&error.to_string()))?;
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        Ok(Sample {
            per_second: number(&said["per_second"]),
            p50_ms: number(&said["latency_us"]["p50"]) / 1000.0,
            p99_ms: number(&said["latency_us"]["p99"]) / 1000.0,
            server_us: number(&said["server_cpu_us_per_op"]),
        })
    }
}

/// This very binary, once more.
fn own_binary() -> Result<Command, ProcessError> {
    std::env::current_exe().map(Command::new).map_err(io("cannot find this binary"))
}

fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_shown_with_its_ratio_to_the_first() {
        let of = |values: [f64; 3]| {
            values.map(|per_second| Sample { per_second, p50_ms: 1.0, ..Sample::default() }).to_vec()
        };
        let samples = vec![vec![of([100.0, 300.0, 200.0]), of([150.0, 100.0, 500.0])]; LOADS.len()];
        let table = table(&["a".into(), "b".into()], &samples);
        assert_eq!(table.rows[0][1..], ["200", "150 (× 0.75)"]);
        assert_eq!(table.rows[1][1..], ["1.00", "1.00 (× 1.00)"]);
        assert_eq!(table.rows.len(), 4 * LOADS.len());
    }
}
