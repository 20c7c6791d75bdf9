//! A child process: its output is collected, it can be signalled, and it is gone when the value is.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it and begins to collect what it prints.
    pub fn start(command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let out = collect(child.stdout.take().expect("a pipe"));
        let err = collect(child.stderr.take().expect("a pipe"));
        Process { child, out, err }
    }

    /// Waits until standard output holds this text.
    pub fn prints(&mut self, text: &str) {
        self.holds(text, |process| process.output());
    }

    /// Waits until standard error holds this text.
    pub fn says(&mut self, text: &str) {
        self.holds(text, |process| process.said());
    }

    fn holds(&mut self, text: &str, read: impl Fn(&Process) -> String) {
        let begun = Instant::now();
        while !read(self).contains(text) {
            let ended = self.child.try_wait().expect("a child");
            let late = begun.elapsed() > PATIENCE;
            if (ended.is_some() || late) && !read(self).contains(text) {
                panic!("waiting for {text:?}, {ended:?}: {}", self.everything());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What was printed so far, and said.
    pub fn everything(&self) -> String {
        format!("out:\n{}err:\n{}", self.output(), self.said())
    }

    /// What was printed so far on standard output.
    pub fn output(&self) -> String {
        self.out.lock().expect("collected").clone()
    }

    /// What was said so far on standard error.
    pub fn said(&self) -> String {
        self.err.lock().expect("collected").clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its memory in use now, in bytes (Linux; 0 elsewhere).
    pub fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a living process");
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for its end.
    pub fn ends(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {}", self.everything());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once (SIGKILL).
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
