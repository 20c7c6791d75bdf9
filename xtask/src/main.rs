//! The workspace's own chores, run as `cargo xtask <command>`.
//!
//! | command | reads or writes | what |
//! |---|---|---|
//! | `verify` | reads | the rules of this project that no compiler knows: [`verify`] |
//! | `fix` | writes | formats, generates, lowers the ratchet: [`fix`] |
//! | `codegen` | writes, or reads with `--check` | the Rust of etcd's protobuf files: [`codegen`] |
//!
//! Rule: a command that checks never writes, and one that writes says what it wrote. Each command is a
//! module; this file only picks one.

mod codegen;
mod finding;
mod fix;
mod ratchet;
mod scan;
mod tree;
mod verify;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask verify | fix | codegen [--check]";

/// The commands, for the check that documents name no others.
const COMMANDS: [&str; 3] = ["verify", "fix", "codegen"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["verify"] => verify::run(),
        ["fix"] => fix::run(),
        ["codegen"] => codegen::write(),
        ["codegen", "--check"] => codegen::check(),
        _ => Err(USAGE.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
