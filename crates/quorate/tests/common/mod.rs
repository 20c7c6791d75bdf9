//! What the tests of the command line share: the binary, free ports, and processes that never outlive a test.
#![allow(dead_code, unused_imports)] // Every test file uses its part.

use std::process::{Command, Output, Stdio};

pub use quorate_harness::Process;
pub use quorate_harness::ports::free_pairs as free_ports;

/// The binary under test, without the environment's settings.
pub fn quorate() -> Command {
    let mut command = quorate_harness::cluster::bare(env!("CARGO_BIN_EXE_quorate").as_ref());
    command.stdin(Stdio::null());
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
