//! `quorate dev` and the client verbs, as people run them: real processes, real ports, real files.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Process, free_ports, ok, quorate, refused};
use rustix::process::Signal;

/// Starts a cluster whose temporary directories are made below `temporary`.
fn dev(port: u16, temporary: &Path, more: &[&str]) -> Process {
    let port = port.to_string();
    let mut command = quorate();
    command.env("TMPDIR", temporary).args(["dev", "--client-port", &port]).args(more);
    let mut process = Process::start(&mut command);
    process.prints("Ctrl-C ends it.");
    process
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("a directory").count()
}

#[test]
fn a_cluster_answers_every_verb_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().expect("directory");
    let port = free_ports(3);
    let mut cluster = dev(port, temporary.path(), &[]);
    assert_eq!(entries(temporary.path()), 1);
    assert_eq!(cluster.output().matches("  leads").count(), 1, "{}", cluster.output());
    let all: Vec<String> = (0..3).map(|at| format!("http://127.0.0.1:{}", port + at * 10)).collect();
    let all = all.join(",");

    read_and_write(&all);
    watch(&all);
    let status = ok(&["status", "--endpoints", &all]);
    assert_eq!(status.lines().count(), 4, "{status}");
    assert_eq!(status.matches(" yes ").count(), 1, "{status}");
    bench(&all);

    cluster.signal(Signal::TERM);
    assert_eq!(cluster.ends().code(), Some(0), "{}", cluster.everything());
    assert_eq!(entries(temporary.path()), 0, "the temporary directory is still there");
    let text = refused(&["get", "a", "--endpoints", &all], 1);
    assert!(text.contains("no endpoint can be reached"), "{text}");
}

fn read_and_write(all: &str) {
    let at = ["--endpoints", all];
    let with = |words: &[&str]| ok(&[words, &at[..]].concat());
    assert_eq!(with(&["put", "a", "1"]), "OK\n");
    let mut put = quorate();
    let mut put = put.args(["put", "a/b", "-"]).args(at).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let child = put.as_mut().expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(b"two\nlines").expect("written");
    assert!(child.wait().expect("a child").success());

    assert_eq!(with(&["get", "a"]), "a\n1\n");
    assert_eq!(with(&["get", "a", "--prefix"]), "a\n1\na/b\ntwo\nlines\n");
    assert_eq!(with(&["get", "a", "--prefix", "--keys-only", "--limit", "1"]), "a\n");
    assert_eq!(with(&["get", "", "--prefix", "--count-only"]), "2\n");
    assert_eq!(with(&["get", "a", "--prefix", "--count-only", "--rev", "2"]), "1\n");
    assert_eq!(with(&["get", "nothing"]), "");
    assert_eq!(with(&["del", "a", "--prefix"]), "2\n");
    assert_eq!(with(&["del", "a", "--prefix"]), "0\n");
    assert_eq!(with(&["get", "a", "--rev", "3"]), "a\n1\n");
    let text = refused(&["get", "a", "--rev", "1000", "--endpoints", all], 1);
    assert!(text.contains("required revision is a future revision"), "{text}");
    let text = refused(&["put", "a", "b", "--lease", "77", "--endpoints", all], 1);
    assert!(text.contains("requested lease not found"), "{text}");
}

fn watch(all: &str) {
    let mut command = quorate();
    command.args(["watch", "a", "--prefix", "--rev", "2", "--prev-kv", "--endpoints", all]);
    let mut watch = Process::start(&mut command);
    let history = "PUT\na\n1\nPUT\na/b\ntwo\nlines\nDELETE\na\n1\na\n\nDELETE\na/b\ntwo\nlines\na/b\n\n";
    watch.prints(history);
    ok(&["put", "a/new", "x", "--endpoints", all]);
    watch.prints("PUT\na/new\nx\n");
    watch.signal(Signal::INT);
    assert_eq!(watch.ends().code(), Some(0));
    assert_eq!(watch.output(), format!("{history}PUT\na/new\nx\n"));
}

fn bench(all: &str) {
    let load = ["--endpoints", all, "--clients", "8", "--warmup", "10", "--key-space", "100", "--json"];
    let put = ok(&[&["bench", "put", "--total", "200"], &load[..]].concat());
    assert!(put.contains("\"succeeded\":200,") && put.contains("\"errors\":{}"), "{put}");
    assert!(put.contains("\"pid\":"), "the local servers were not found: {put}");
    let range = ok(&[&["bench", "range", "--fill", "--total", "200"], &load[..]].concat());
    assert!(range.contains("\"succeeded\":200,") && range.contains("\"found\":200,"), "{range}");
    let large = ["bench", "put", "--total", "5", "--warmup", "0", "--value-bytes", "1000000"];
    let large = ok(&[&large[..], &["--endpoints", all, "--json"]].concat());
    assert!(large.contains("\"succeeded\":5,"), "{large}");
    let refusal = ["bench", "put", "--total", "5", "--warmup", "0", "--value-bytes", "1600000"];
    let output = common::run(&[&refusal[..], &["--endpoints", all]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("5 x") && text.contains("etcdserver: request is too large"), "{text}");
}

#[test]
fn named_data_stays() {
    let temporary = tempfile::tempdir().expect("directory");
    let data = temporary.path().join("data");
    let data = data.to_str().expect("text");
    let port = free_ports(1);
    let endpoint = format!("127.0.0.1:{port}");
    for life in 0..2 {
        let mut cluster = dev(port, temporary.path(), &["--nodes", "1", "--data-dir", data]);
        if life == 0 {
            ok(&["put", "kept", "yes", "--endpoints", &endpoint]);
        }
        assert_eq!(ok(&["get", "kept", "--endpoints", &endpoint]), "kept\nyes\n");
        cluster.signal(Signal::INT);
        assert_eq!(cluster.ends().code(), Some(0));
    }
}

#[test]
fn a_taken_port_is_named() {
    let temporary = tempfile::tempdir().expect("directory");
    let port = free_ports(3);
    let taken = std::net::TcpListener::bind(("127.0.0.1", port + 20)).expect("free a moment ago");
    let output =
        quorate().env("TMPDIR", temporary.path()).args(["dev", "--client-port", &port.to_string()]).output();
    let output = output.expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&(port + 20).to_string()) && text.contains("--client-port"), "{text}");
    assert_eq!(entries(temporary.path()), 0, "the temporary directory is still there");
    drop(taken);
}
