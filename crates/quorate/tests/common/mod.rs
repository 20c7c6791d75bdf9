//! What the tests of real processes share: the binary, free ports, and processes that never outlive a test.
#![allow(dead_code)] // Every test file uses its part.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test fails. Machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test, without the environment's settings.
pub fn quorate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.env_remove("QUORATE_ENDPOINTS").stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary to its end.
pub fn run(words: &[&str]) -> Output {
    quorate().args(words).output().expect("the binary runs")
}

/// Runs the binary and demands success; what it printed.
pub fn ok(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the binary and demands this exit code; what it said about it.
pub fn refused(words: &[&str], code: i32) -> String {
    let output = run(words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// A port p such that the pairs (p, p + 1), (p + 10, p + 11), ... are free.
pub fn free_ports(pairs: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 180) as u16 * 100;
    for _ in 0..200 {
        let base = 10_000 + (spread + NEXT.fetch_add(100, Ordering::Relaxed)) % 20_000;
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (0..pairs).all(|at| free(base + at * 10) && free(base + at * 10 + 1)) {
            return base;
        }
    }
    panic!("no free ports");
}

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it and begins to collect what it prints.
    pub fn start(command: &mut Command) -> Process {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let out = collect(child.stdout.take().expect("a pipe"));
        let err = collect(child.stderr.take().expect("a pipe"));
        Process { child, out, err }
    }

    /// Waits until standard output holds this text.
    pub fn prints(&mut self, text: &str) {
        self.holds(text, |process| process.out.lock().expect("collected").clone());
    }

    /// Waits until standard error holds this text.
    pub fn says(&mut self, text: &str) {
        self.holds(text, |process| process.err.lock().expect("collected").clone());
    }

    fn holds(&mut self, text: &str, read: impl Fn(&Process) -> String) {
        let begun = Instant::now();
        while !read(self).contains(text) {
            let ended = self.child.try_wait().expect("a child");
            let late = begun.elapsed() > PATIENCE;
            assert!(ended.is_none() && !late, "waiting for {text:?}, {ended:?}: {}", self.everything());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What was printed so far, and said.
    pub fn everything(&self) -> String {
        format!("out:\n{}err:\n{}", self.out.lock().expect("collected"), self.err.lock().expect("collected"))
    }

    /// What was printed so far.
    pub fn output(&self) -> String {
        self.out.lock().expect("collected").clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a living process");
    }

    /// Waits for its end.
    pub fn ends(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {}", self.everything());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = text.clone();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut text = into.lock().expect("collected");
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}
