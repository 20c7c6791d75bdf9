//! The command line: which verb is meant, and with what.
//!
//! `serve` is special: it takes etcd's flags in etcd's syntax ([`crate::flags`]), and so does the whole binary
//! when it is invoked under the name `etcd`, as by scripts that were written for it.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{bench, dev, sim_more, verbs};

/// A replicated transactional store that speaks the etcd v3 API
#[derive(Debug, Parser)]
#[command(
    name = "quorate",
    arg_required_else_help = true,
    after_help = "quorate --version prints the version."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run one member of a cluster, with etcd's flags
    #[command(disable_help_flag = true)]
    Serve {
        /// See quorate serve --help
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    Dev(dev::Dev),
    Get(verbs::Get),
    Put(verbs::Put),
    Del(verbs::Del),
    Watch(verbs::Watch),
    Status(verbs::Status),
    Member(verbs::Members),
    MoveLeader(verbs::MoveLeader),
    Bench(bench::BenchArgs),
    Sim(sim_more::Sim),
}

/// Runs the binary; the exit code.
pub(crate) fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let program = line.first().map(Path::new).and_then(Path::file_name);
    if program.is_some_and(|name| name == "etcd") {
        return serve(line.into_iter().skip(1)).into();
    }
    let word = |at: usize| line.get(at).and_then(|word| word.to_str());
    match word(1) {
        Some("--version" | "-V") if line.len() == 2 => {
            print!("{}", version());
            return ExitCode::SUCCESS;
        }
        // Not through clap, which has rules of its own for dashes.
        Some("serve") => return serve(line.into_iter().skip(2)).into(),
        _ => {}
    }
    run(Cli::parse_from(line).verb).into()
}

fn run(verb: Verb) -> u8 {
    match verb {
        Verb::Serve { flags } => serve(flags.into_iter().map(OsString::from)),
        Verb::Dev(dev) => dev::main(&dev),
        Verb::Get(get) => verbs::run("get", get.run()),
        Verb::Put(put) => verbs::run("put", put.run()),
        Verb::Del(del) => verbs::run("del", del.run()),
        Verb::Watch(watch) => verbs::run("watch", watch.run()),
        Verb::Status(status) => verbs::run("status", status.run()),
        Verb::Member(member) => verbs::run("member", member.run()),
        Verb::MoveLeader(leader) => verbs::run("move-leader", leader.run()),
        Verb::Bench(args) => bench::main(args),
        Verb::Sim(args) => sim_more::main(&args),
    }
}

/// Runs `quorate serve`; words that are not UTF-8 are refused as flags that nobody knows.
fn serve(words: impl Iterator<Item = OsString>) -> u8 {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    crate::serve::main(&words)
}

/// What `--version` prints: etcd's four lines, of which scripts read the first, with our own name in them.
pub(crate) fn version() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!(
        "etcd Version: {}\nGit SHA: quorate-{}\nGo Version: none (Quorate is written in Rust)\nGo OS/Arch: {}/{arch}\n",
        quorate_api::version::VERSION,
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_version_has_etcds_four_lines() {
        let text = version();
        let lines: Vec<&str> = text.lines().map(|line| line.split(": ").next().unwrap_or("")).collect();
        assert_eq!(lines, ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]);
        assert!(text.starts_with("etcd Version: 3.7."));
    }

    #[test]
    fn verbs_and_their_mistakes() {
        let parse = |line: &str| Cli::try_parse_from(line.split_ascii_whitespace());
        for line in [
            "quorate get a --prefix --rev 3 --limit 2 --keys-only",
            "quorate get a --count-only --endpoints 127.0.0.1:1,http://127.0.0.1:2",
            "quorate put a - --lease 1f",
            "quorate put a b",
            "quorate del a --prefix",
            "quorate watch a --prefix --rev 1 --prev-kv",
            "quorate status",
            "quorate member list",
            "quorate member add a --peer-urls http://127.0.0.1:1,http://127.0.0.1:2 --learner",
            "quorate member remove 1f --endpoints 127.0.0.1:1",
            "quorate member update 1f --peer-urls http://127.0.0.1:1",
            "quorate member promote 1f",
            "quorate move-leader 1f",
            "quorate dev --nodes 5 --client-port 12379 --data-dir /d",
            "quorate bench put --clients 3",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
        for line in [
            "quorate",
            "quorate frobnicate",
            "quorate get",
            "quorate dev --nodes 0",
            "quorate dev --client-port 65535",
            "quorate get a --rev -1",
            "quorate get a --limit=-1",
            "quorate get a --keys-only --count-only",
            "quorate put a",
            "quorate put a b --lease zz",
            "quorate status --endpoints https://a:1",
            "quorate member",
            "quorate member add a",
            "quorate member remove xyz",
            "quorate move-leader",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
