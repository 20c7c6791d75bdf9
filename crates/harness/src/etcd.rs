//! A genuine etcd to compare with, if this machine has one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Process, cluster, ports};

/// A single genuine member; gone with the value.
pub struct Etcd {
    process: Process,
    port: u16,
    /// What `--version` says, first line.
    pub version: String,
    _home: tempfile::TempDir,
}

/// Where genuine etcds are: `$ETCD_BIN` (one path or several, separated by colons), then `etcd` on PATH. A
/// script that starts etcd as a child of its own will not do: only the script would be ended.
pub fn find() -> Vec<PathBuf> {
    let named = std::env::var_os("ETCD_BIN");
    let named = named.iter().flat_map(std::env::split_paths).collect::<Vec<_>>();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("etcd"));
    let mut found: Vec<PathBuf> = Vec::new();
    for candidate in named.into_iter().chain(on_path) {
        // Directories of PATH may be links to each other.
        let Ok(candidate) = candidate.canonicalize() else { continue };
        if version(&candidate).is_some() && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

/// The version of a genuine etcd; none for anything else, our own binary under that name included.
fn version(binary: &Path) -> Option<String> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let genuine = text.contains("Git SHA") && !text.to_lowercase().contains("quorate");
    let version = text.lines().next()?.strip_prefix("etcd Version: ")?;
    genuine.then(|| version.to_owned())
}

impl Etcd {
    /// Starts one member of it.
    pub fn start(binary: &Path) -> Etcd {
        let home = tempfile::Builder::new().prefix("quorate-etcd-").tempdir().expect("directory");
        let port = ports::free_pairs(1);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut command = cluster::bare(binary);
        command.arg(format!("--data-dir={}", home.path().join("data").display()));
        command.args(["--listen-client-urls", &url(port), "--advertise-client-urls", &url(port)]);
        command.args(["--listen-peer-urls", &url(port + 1)]);
        command.args(["--initial-advertise-peer-urls", &url(port + 1)]);
        command.arg(format!("--initial-cluster=default={}", url(port + 1)));
        let mut process = Process::start(&mut command);
        process.says("ready to serve client requests");
        let version = version(binary).expect("looked at before");
        Etcd { process, port, version, _home: home }
    }

    /// Where it serves.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it said.
    pub fn log(&self) -> String {
        self.process.said()
    }
}
