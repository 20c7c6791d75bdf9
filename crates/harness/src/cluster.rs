//! Members of a cluster, each a process of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use etcd_client::Client;
use rustix::process::Signal;

use crate::{PATIENCE, Process, ports, raw};

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The binary.
    pub binary: PathBuf,
    /// How many members.
    pub members: usize,
    /// Flags all of them get besides names, addresses and directories.
    pub flags: Vec<String>,
    /// Whether members reach each other through proxies, which somebody else has to provide (see
    /// [`Proxies`](crate::proxy::Proxies)).
    pub proxied: bool,
}

impl Setup {
    /// This many members of this binary.
    pub fn new(binary: impl Into<PathBuf>, members: usize) -> Setup {
        // Small log segments: a test needs little, and has them preallocated three times.
        let mut flags = vec!["--wal-segment-bytes=8388608".into(), "--log-format=console".into()];
        flags.extend(crate::protocol_flag());
        Setup { binary: binary.into(), members, flags, proxied: false }
    }

    /// With proxies between the members.
    pub fn proxied(mut self) -> Setup {
        self.proxied = true;
        self
    }

    /// Running this protocol.
    pub fn protocol(self, protocol: &str) -> Setup {
        self.flag(&format!("--protocol={protocol}"))
    }

    /// With one more flag.
    pub fn flag(mut self, flag: &str) -> Setup {
        self.flags.push(flag.into());
        self
    }
}

/// A cluster of processes with directories that vanish with it.
pub struct Cluster {
    setup: Setup,
    home: tempfile::TempDir,
    port: u16,
    members: Vec<Option<Process>>,
    /// What members of earlier lives said, for the post-mortem.
    past: Vec<String>,
}

impl Cluster {
    /// Chooses ports and directories; starts nobody yet.
    pub fn prepare(setup: Setup) -> Cluster {
        let home = tempfile::Builder::new().prefix("quorate-test-").tempdir().expect("directory");
        let port = ports::free_pairs(setup.members as u16);
        let members = (0..setup.members).map(|_| None).collect();
        let past = vec![String::new(); setup.members];
        Cluster { setup, home, port, members, past }
    }

    /// Starts all members and waits until they serve.
    pub fn start(setup: Setup) -> Cluster {
        let mut cluster = Cluster::prepare(setup);
        cluster.start_all();
        cluster
    }

    /// Starts whoever does not run, and waits until all serve.
    pub fn start_all(&mut self) {
        for at in 0..self.members.len() {
            if self.members[at].is_none() {
                self.launch(at);
            }
        }
        (0..self.members.len()).for_each(|at| self.await_ready(at));
    }

    /// Starts one member without waiting.
    pub fn launch(&mut self, at: usize) {
        self.launch_with(at, &[]);
    }

    /// Starts one member with further flags of its own, without waiting.
    pub fn launch_with(&mut self, at: usize, flags: &[&str]) {
        let process = Process::start(self.command(at).args(flags));
        self.bury(at);
        self.members[at] = Some(process);
    }

    /// Waits until a member serves.
    pub fn await_ready(&mut self, at: usize) {
        self.member_mut(at).says("ready to serve client requests");
    }

    /// Starts one member and waits until it serves.
    pub fn restart(&mut self, at: usize) {
        self.launch(at);
        self.await_ready(at);
    }

    /// The command that starts a member.
    pub fn command(&self, at: usize) -> Command {
        let mut command = bare(&self.setup.binary);
        command.args(self.words(at));
        command
    }

    /// That command's words.
    pub fn words(&self, at: usize) -> Vec<String> {
        let peers: Vec<String> =
            (0..self.members.len()).map(|at| format!("m{at}={}", self.peer_url(at))).collect();
        let mut words = vec![
            "serve".into(),
            format!("--name=m{at}"),
            format!("--data-dir={}", self.data_dir(at).display()),
            format!("--listen-client-urls={}", self.endpoint(at)),
            format!("--advertise-client-urls={}", self.endpoint(at)),
            format!("--listen-peer-urls=http://127.0.0.1:{}", self.peer_port(at)),
            format!("--initial-advertise-peer-urls={}", self.peer_url(at)),
            format!("--initial-cluster={}", peers.join(",")),
        ];
        words.extend(self.setup.flags.iter().cloned());
        words
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The directory that holds the members' directories.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A member's data directory.
    pub fn data_dir(&self, at: usize) -> PathBuf {
        self.home.path().join(format!("m{at}"))
    }

    /// A member's client port.
    pub fn client_port(&self, at: usize) -> u16 {
        self.port + at as u16 * 10
    }

    /// A member's peer port.
    pub fn peer_port(&self, at: usize) -> u16 {
        self.client_port(at) + 1
    }

    /// Where a member serves clients.
    pub fn endpoint(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.client_port(at))
    }

    /// The port of the proxy in front of a member's peer port, if there is one.
    pub fn proxy_port(&self, at: usize) -> u16 {
        self.client_port(at) + 2
    }

    /// Where its peers find a member.
    fn peer_url(&self, at: usize) -> String {
        let port = if self.setup.proxied { self.proxy_port(at) } else { self.peer_port(at) };
        format!("http://127.0.0.1:{port}")
    }

    /// Where all of them do.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.len()).map(|at| self.endpoint(at)).collect()
    }

    /// Whether a member was started and not ended from here; it may have ended by itself.
    pub fn runs(&self, at: usize) -> bool {
        self.members[at].is_some()
    }

    /// A member that runs.
    pub fn member(&self, at: usize) -> &Process {
        self.members[at].as_ref().expect("the member runs")
    }

    /// A member that runs.
    pub fn member_mut(&mut self, at: usize) -> &mut Process {
        self.members[at].as_mut().expect("the member runs")
    }

    /// SIGKILL.
    pub fn kill(&mut self, at: usize) {
        self.member_mut(at).kill();
        self.bury(at);
    }

    /// SIGTERM, and the end that must follow.
    pub fn stop(&mut self, at: usize) {
        self.member(at).signal(Signal::TERM);
        let status = self.member_mut(at).ends();
        assert_eq!(status.code(), Some(0), "{}", self.member(at).everything());
        self.bury(at);
    }

    /// Stop the process in its tracks, or let it go on.
    pub fn hang(&self, at: usize, hang: bool) {
        self.member(at).signal(if hang { Signal::STOP } else { Signal::CONT });
    }

    /// Forgets a member that has ended by itself, keeping what it said.
    pub fn bury(&mut self, at: usize) {
        if let Some(process) = self.members[at].take() {
            self.past[at].push_str(&process.said());
        }
    }

    /// Everything a member ever said.
    pub fn log(&self, at: usize) -> String {
        let now = self.members[at].as_ref().map_or(String::new(), Process::said);
        format!("{}{now}", self.past[at])
    }

    /// Waits until a member's metrics have this line.
    pub fn shows(&self, at: usize, line: &str) {
        shows(&self.endpoint(at), line);
    }

    /// A client of one member.
    pub async fn client(&self, at: usize) -> Client {
        connect(&self.endpoint(at)).await
    }

    /// Waits until a running member is known to lead, by its own account.
    pub async fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            for at in (0..self.len()).filter(|&at| self.members[at].is_some()) {
                if let Some(status) = raw::status(&self.endpoint(at)).await
                    && status.leader != 0
                    && status.header.is_some_and(|header| header.member_id == status.leader)
                {
                    return at;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nobody leads: {}", self.post_mortem());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all members hold the same history; its hash and revision.
    pub async fn agree(&self) -> (u32, i64) {
        let begun = Instant::now();
        loop {
            let mut seen = Vec::new();
            for endpoint in self.endpoints() {
                seen.push(raw::hash_kv(&endpoint, 0).await);
            }
            if let Some(first) = seen[0]
                && seen.iter().all(|hash| *hash == Some(first))
            {
                return (first.0, first.1);
            }
            assert!(begun.elapsed() < PATIENCE, "the members differ: {seen:?}: {}", self.post_mortem());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What all members said, shortened.
    pub fn post_mortem(&self) -> String {
        let tail = |at| {
            let log = self.log(at);
            let lines: Vec<&str> = log.lines().collect();
            format!("--- m{at}\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"))
        };
        (0..self.len()).map(tail).collect()
    }
}

/// The binary without settings from the environment.
pub fn bare(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_remove("QUORATE_ENDPOINTS");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD_") {
            command.env_remove(name);
        }
    }
    command
}

/// Waits until the metrics of the member at this endpoint have this line.
pub fn shows(endpoint: &str, line: &str) {
    let begun = Instant::now();
    loop {
        let metrics = metrics(endpoint).unwrap_or_default();
        if metrics.lines().any(|shown| shown == line) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it never shows {line:?}: {metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `/metrics` answers.
fn metrics(endpoint: &str) -> std::io::Result<String> {
    let authority = endpoint.replace("http://", "");
    let mut socket = TcpStream::connect(&authority)?;
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}

/// A client of this endpoint; waits for it to be there.
pub async fn connect(endpoint: &str) -> Client {
    let begun = Instant::now();
    loop {
        match Client::connect([endpoint], None).await {
            Ok(client) => return client,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "cannot connect to {endpoint}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
