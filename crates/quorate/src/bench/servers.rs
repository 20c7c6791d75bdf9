//! What the servers of a run cost, when they run on this machine: processor time and peak memory.
//!
//! Source: Linux's /proc. A server is found by the port it listens on: `/proc/net/tcp` gives the socket's
//! number, and the process that holds it has a link to it under `/proc/<pid>/fd`. Processor time is fields 14
//! and 15 of `/proc/<pid>/stat`, peak memory is `VmHWM` of `/proc/<pid>/status`.
//!
//! Caveats: processes of other users cannot be looked into; elsewhere than on Linux nothing is found. Peak
//! memory is since the process began, not since the run did.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, ToSocketAddrs};

/// Processor time is counted in hundredths of a second on every Linux this runs on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A server process and what it had used when the run began.
pub(crate) struct Server {
    pid: u32,
    cpu_before: f64,
}

/// What one server process used.
pub(crate) struct Usage {
    /// The process.
    pub(crate) pid: u32,
    /// Processor seconds during the run, or `None` when the process is gone.
    pub(crate) cpu_seconds: Option<f64>,
    /// The most memory it ever had.
    pub(crate) peak_bytes: Option<u64>,
}

impl Server {
    pub(crate) fn begin(pid: u32) -> Option<Server> {
        Some(Server { pid, cpu_before: cpu_seconds(&pid.to_string())? })
    }

    pub(crate) fn usage(&self) -> Usage {
        let pid = self.pid.to_string();
        Usage {
            pid: self.pid,
            cpu_seconds: cpu_seconds(&pid).map(|now| now - self.cpu_before),
            peak_bytes: peak_bytes(&pid),
        }
    }
}

/// The processor seconds that this process has used.
pub(crate) fn own_cpu_seconds() -> f64 {
    cpu_seconds("self").unwrap_or(0.0)
}

/// The processes that listen on the local ones of these `host:port` texts, in ascending order, each once.
pub(crate) fn find(endpoints: &[String]) -> Vec<u32> {
    let ports: BTreeSet<u16> = endpoints.iter().filter_map(|endpoint| local_port(endpoint)).collect();
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets.extend(text.lines().filter_map(|line| listening(line, &ports)));
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| holds_one_of(*pid, &sockets))
        .collect();
    pids.sort_unstable();
    pids
}

/// The port of an endpoint on this machine's loopback.
fn local_port(endpoint: &str) -> Option<u16> {
    let address = endpoint.to_socket_addrs().ok()?.next()?;
    let loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    loopback.then_some(address.port())
}

/// The socket number on a line of `/proc/net/tcp` that says one of `ports` is listened on.
fn listening(line: &str, ports: &BTreeSet<u16>) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let port = fields.get(1)?.rsplit_once(':')?.1;
    let port = u16::from_str_radix(port, 16).ok()?;
    (*fields.get(3)? == LISTEN && ports.contains(&port)).then(|| fields.get(9)?.parse().ok())?
}

fn holds_one_of(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let socket = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        socket.and_then(|number| number.parse().ok()).is_some_and(|number| sockets.contains(&number))
    })
}

fn cpu_seconds(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the process, in parentheses, may hold anything; the fields after it are numbered from 3.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(14 - 3);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn peak_bytes(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_process_is_found_by_the_port_it_listens_on() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let endpoint = listener.local_addr().expect("address").to_string();
        assert_eq!(find(std::slice::from_ref(&endpoint)), [std::process::id()]);
        drop(listener);
        assert_eq!(find(&[endpoint]), [] as [u32; 0]);
    }

    #[test]
    fn usage_grows_with_work() {
        let server = Server::begin(std::process::id()).expect("this process");
        let begun = std::time::Instant::now();
        let mut sum = 0u64;
        while begun.elapsed().as_millis() < 60 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let usage = server.usage();
        assert!(usage.cpu_seconds.is_some_and(|seconds| seconds > 0.0));
        assert!(usage.peak_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(Server::begin(u32::MAX).is_none());
    }
}
