//! `quorate serve` as operators run it: refusals before anything is touched, three processes that survive
//! the loss of any one, and mistakes that must not harm data.

mod common;

use std::path::Path;
use std::time::Instant;

use common::{Process, free_ports, ok, quorate, refused, run};
use quorate_harness::PATIENCE;
use rustix::process::Signal;

#[test]
fn refusals_say_why_and_touch_nothing() {
    let directory = tempfile::tempdir().expect("directory");
    let data = directory.path().join("d");
    let data = data.to_str().expect("text");
    for (words, code, text) in [
        (&["--foo"][..], 2, "flag provided but not defined: --foo"),
        (&["--foo"], 2, "Usage: quorate serve"),
        (&["--heartbeat-interval", "fast"], 2, "invalid value \"fast\" for --heartbeat-interval"),
        (&["stray"], 2, "\"stray\" is not a flag"),
        (&["--heartbeat-interval", "500"], 1, "--election-timeout 1000 ms is shorter"),
        (&["--cert-file", "a", "--key-file", "b"], 1, "TLS is not supported yet"),
        (&["--name", "x", "--initial-cluster", "a=http://127.0.0.1:1"], 1, "is not in --initial-cluster"),
        (&["--config-file", "a"], 1, "--config-file=a is not supported"),
    ] {
        let said = refused(&[&["serve", "--data-dir", data], words].concat(), code);
        assert!(said.contains(text), "{words:?}: {said}");
    }
    assert!(!Path::new(data).exists());
    let output = quorate().arg("serve").env("ETCD_ELECTION_TIMEOUT", "0").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn version_help_and_the_other_name() {
    for words in [&["--version"][..], &["serve", "--version"], &["serve", "-version"]] {
        let text = ok(words);
        assert!(text.starts_with("etcd Version: 3.") && text.lines().count() == 4, "{text}");
    }
    assert!(ok(&["serve", "--help"]).contains("--initial-cluster"));
    assert!(ok(&["--help"]).contains("serve"));
    let directory = tempfile::tempdir().expect("directory");
    let etcd = directory.path().join("etcd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_quorate"), &etcd).expect("a link");
    let output = std::process::Command::new(etcd).arg("--nonsense").output().expect("the link runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not defined: --nonsense"));
}

/// Three members on this machine.
struct Three<'a> {
    port: u16,
    home: &'a Path,
}

impl Three<'_> {
    fn endpoint(&self, at: u16) -> String {
        format!("http://127.0.0.1:{}", self.port + at * 10)
    }

    fn all(&self) -> String {
        (0..3).map(|at| self.endpoint(at)).collect::<Vec<_>>().join(",")
    }

    fn words(&self, at: u16) -> Vec<String> {
        let peer = |at: u16| format!("http://127.0.0.1:{}", self.port + at * 10 + 1);
        let cluster: Vec<String> = (0..3).map(|at| format!("m{at}={}", peer(at))).collect();
        vec![
            "serve".into(),
            format!("--name=m{at}"),
            format!("--data-dir={}", self.home.join(format!("m{at}")).display()),
            format!("-listen-client-urls={}", self.endpoint(at)),
            format!("-advertise-client-urls={}", self.endpoint(at)),
            format!("--listen-peer-urls={}", peer(at)),
            format!("--initial-advertise-peer-urls={}", peer(at)),
            format!("--initial-cluster={}", cluster.join(",")),
            "--wal-segment-bytes=4194304".into(),
        ]
    }

    fn start(&self, at: u16) -> Process {
        Process::start(quorate().args(self.words(at)))
    }

    /// Puts, again and again until it is acknowledged: elections take their time.
    fn put(&self, key: &str, value: &str) {
        let begun = Instant::now();
        loop {
            let all = self.all();
            let output = run(&["put", key, value, "--endpoints", &all]);
            if output.status.success() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{key} is never put: {output:?}");
        }
    }

    /// Which member leads.
    fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            let status = ok(&["status", "--endpoints", &self.all()]);
            if let Some(row) = status.lines().skip(1).position(|row| row.contains(" yes ")) {
                return row;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody leads: {status}");
        }
    }
}

#[test]
fn three_processes_survive_the_loss_of_any_and_of_all() {
    let home = tempfile::tempdir().expect("directory");
    let three = Three { port: free_ports(3), home: home.path() };
    let mut members: Vec<Process> = (0..3).map(|at| three.start(at)).collect();
    members.iter_mut().for_each(|member| member.says("ready to serve client requests"));
    three.put("first", "1");

    let leader = three.leader();
    members[leader].signal(Signal::KILL);
    members[leader].kill();
    three.put("second", "2");
    assert_eq!(ok(&["get", "first", "--endpoints", &three.all()]), "first\n1\n");
    members[leader] = three.start(leader as u16);
    members[leader].says("ready to serve client requests");
    assert_eq!(ok(&["get", "second", "--endpoints", &three.endpoint(leader as u16)]), "second\n2\n");

    members.iter_mut().for_each(Process::kill);
    let mut members: Vec<Process> = (0..3).map(|at| three.start(at)).collect();
    members.iter_mut().for_each(|member| member.says("ready to serve client requests"));
    for at in 0..3 {
        let text = ok(&["get", "", "--prefix", "--endpoints", &three.endpoint(at)]);
        assert_eq!(text, "first\n1\nsecond\n2\n", "member {at}");
    }
    mistakes(&three);
    assert_eq!(ok(&["get", "first", "--endpoints", &three.all()]), "first\n1\n");
    members.iter().for_each(|member| member.signal(Signal::TERM));
    for member in &mut members {
        assert_eq!(member.ends().code(), Some(0), "{}", member.everything());
    }
}

/// While the three run: their ports again, and their data again.
fn mistakes(three: &Three<'_>) {
    let words = three.words(0);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = refused(&words, 1);
    assert!(said.contains("--listen-client-urls") && said.contains("in use"), "{said}");

    // Another member, on ports of its own, that was given the first one's data.
    let other = Three { port: free_ports(3), home: three.home };
    let words = other.words(0);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = refused(&words, 1);
    assert!(said.contains("m0"), "{said}");
}
