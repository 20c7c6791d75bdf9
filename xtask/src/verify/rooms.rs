//! Rooms depend on each other one way only, pure rooms are pure, and one place in each host picks a protocol.
//!
//! The table below is the architecture: to add an edge is to change it, and should read like that in review.
//! Dependencies of tests are free, apart from being declared once for the workspace.

use crate::finding::Finding;
use crate::scan::{Source, line_of, words};
use crate::tree::Tree;

/// What each room may depend on. `golden` and `harness` are for tests only: nobody's list has them.
const EDGES: [(&str, &[&str]); 22] = [
    ("protocol", &[]),
    ("synod", &["protocol"]),
    ("raft", &["protocol"]),
    ("paxos", &["protocol"]),
    ("zab", &["protocol"]),
    ("ring", &["protocol"]),
    ("chord", &["protocol"]),
    ("commit", &["protocol"]),
    ("kv", &[]),
    ("replica", &["protocol", "kv"]),
    ("wal", &["protocol"]),
    ("storage", &["protocol", "kv"]),
    ("wire", &["protocol", "kv"]),
    ("api", &["kv"]),
    ("checker", &[]),
    ("golden", &["protocol"]),
    ("harness", &["protocol", "api", "checker", "wire"]),
    ("server", &["protocol", "raft", "paxos", "zab", "kv", "replica", "wal", "storage", "wire", "api"]),
    (
        "sim",
        &[
            "protocol", "synod", "raft", "paxos", "zab", "commit", "chord", "kv", "replica", "wal",
            "storage", "wire", "checker",
        ],
    ),
    ("figures", &["protocol", "raft", "paxos", "zab", "ring", "chord"]),
    ("search", &["protocol", "raft", "paxos", "zab"]),
    ("quorate", &["api", "server", "sim", "figures", "search"]),
];

/// Rooms without clock, socket, disk, thread or source of chance: the compiler sees to it when they say so.
const PURE: [&str; 10] =
    ["protocol", "synod", "raft", "paxos", "zab", "ring", "chord", "commit", "kv", "replica"];

/// What pure rooms may use besides each other.
const PURE_LIBRARIES: [&str; 1] = ["bytes"];

/// The protocols' packages, and the only files outside their own rooms that may name them.
const PROTOCOLS: [(&str, &[&str]); 3] = [
    (
        "raft",
        &[
            "crates/server/src/protocols.rs",
            "crates/sim/src/plant/raft.rs",
            "crates/sim/src/label/raft.rs",
            "crates/figures/src/core.rs",
            "crates/search/src/core/raft.rs",
        ],
    ),
    (
        "paxos",
        &[
            "crates/server/src/protocols.rs",
            "crates/sim/src/plant/paxos.rs",
            "crates/sim/src/label/paxos.rs",
            "crates/figures/src/core.rs",
            "crates/search/src/core/paxos.rs",
        ],
    ),
    (
        "zab",
        &[
            "crates/server/src/protocols.rs",
            "crates/sim/src/plant/zab.rs",
            "crates/sim/src/label/zab.rs",
            "crates/figures/src/core.rs",
            "crates/search/src/core/zab.rs",
        ],
    ),
];

/// The findings of all rooms.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for room in tree.rooms() {
        let manifest = format!("crates/{room}/Cargo.toml");
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
            let remedy = "say in EDGES of xtask/src/verify/rooms.rs what it may depend on";
            findings.push(Finding::new(&manifest, 1, format!("the room {room} is not in the table"), remedy));
            continue;
        };
        dependencies(tree.text(&manifest).unwrap_or(""), |line, table, name, value| {
            let found = |what: String, remedy: &str| Finding::new(&manifest, line, what, remedy);
            if table == "build-dependencies" {
                findings.push(found(
                    "a build script".into(),
                    "commit what it would make: see `cargo xtask codegen`",
                ));
            }
            if !value.contains("workspace = true") && !name.ends_with(".workspace") {
                let remedy = "declare it once in the workspace's Cargo.toml and write { workspace = true }";
                findings.push(found(format!("{name} has a version of its own"), remedy));
            }
            if table != "dependencies" {
                return;
            }
            let name = name.trim_end_matches(".workspace");
            match name.strip_prefix("quorate-") {
                Some(other) if !allowed.contains(&other) => {
                    let remedy = "dependencies point one way: move what is needed down, or pass it in";
                    findings.push(found(format!("{room} may not depend on {other}"), remedy));
                }
                None if PURE.contains(&room) && !PURE_LIBRARIES.contains(&name) => {
                    findings.push(found(format!("{room} is pure and may not use {name}"), "do without it"));
                }
                _ => {}
            }
        });
        findings.extend(attributes(tree, room));
    }
    findings.extend(protocols(tree));
    findings
}

/// Calls `each` with line, table, name and value of every dependency in a manifest.
fn dependencies(manifest: &str, mut each: impl FnMut(usize, &str, &str, &str)) {
    let mut table = "";
    for (at, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_end_matches(']');
        } else if table.ends_with("dependencies")
            && let Some((name, value)) = line.split_once('=')
        {
            each(at + 1, table, name.trim(), value.trim());
        }
    }
}

/// What a room's root must say of itself.
fn attributes(tree: &Tree, room: &str) -> Vec<Finding> {
    let library = format!("crates/{room}/src/lib.rs");
    let Some(text) = tree.text(&library) else { return Vec::new() };
    let code = Source::new(text).code;
    let mut wanted = vec!["#![forbid(unsafe_code)]"];
    wanted.extend(PURE.contains(&room).then_some("#![no_std]"));
    wanted
        .into_iter()
        .filter(|attribute| !code.contains(attribute))
        .map(|attribute| {
            Finding::new(&library, 1, format!("{attribute} is missing"), "say so after the essay")
        })
        .collect()
}

/// Where a protocol is named that must not be.
fn protocols(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (protocol, allowed) in PROTOCOLS {
        let name = format!("quorate_{protocol}");
        for (path, text) in tree.ending(".rs") {
            let own = path.starts_with(&format!("crates/{protocol}/"));
            let product = path.starts_with("crates/") && path.contains("/src/");
            if own || !product || allowed.contains(&path) {
                continue;
            }
            let code = Source::new(text).code;
            findings.extend(words(&code, &name).map(|at| {
                let remedy = format!("be generic over the core; only {} may name it", allowed.join(" and "));
                Finding::new(path, line_of(text, at), format!("the protocol {protocol} is named"), remedy)
            }));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURE_LIB: &str = "//! Essay.\n#![no_std]\n#![forbid(unsafe_code)]\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::planted(files)).iter().map(ToString::to_string).collect()
    }

    /// What is found when the room's manifest has this under this table.
    fn with(room: &str, table: &str, line: &str) -> Vec<String> {
        let manifest = format!("[package]\nversion = \"1\"\n\n[{table}]\n{line}\n");
        let (path, library) = (format!("crates/{room}/Cargo.toml"), format!("crates/{room}/src/lib.rs"));
        found(&[(&path, &manifest), (&library, PURE_LIB)])
    }

    #[test]
    fn edges_that_are_allowed_are_fine() {
        assert!(with("raft", "dependencies", "quorate-protocol = { workspace = true }").is_empty());
        assert!(with("raft", "dependencies", "bytes.workspace = true").is_empty());
        assert!(with("raft", "dev-dependencies", "quorate-golden = { workspace = true }").is_empty());
        assert!(with("server", "dependencies", "tokio = { workspace = true }").is_empty());
    }

    #[test]
    fn an_edge_the_wrong_way_is_found() {
        let found = with("replica", "dependencies", "quorate-raft = { workspace = true }");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("crates/replica/Cargo.toml:5: replica may not depend on raft"),
            "{found:?}"
        );
        assert_eq!(with("kv", "dependencies", "quorate-protocol.workspace = true").len(), 1);
    }

    #[test]
    fn a_library_in_a_pure_room_is_found() {
        assert_eq!(with("kv", "dependencies", "tokio = { workspace = true }").len(), 1);
    }

    #[test]
    fn a_version_of_its_own_and_a_build_script_are_found() {
        assert_eq!(with("server", "dev-dependencies", "tempfile = \"3\"").len(), 1);
        assert_eq!(with("server", "build-dependencies", "prost = { workspace = true }").len(), 1);
    }

    #[test]
    fn a_room_outside_the_table_is_found() {
        assert_eq!(with("attic", "dependencies", "").len(), 1);
    }

    #[test]
    fn a_room_that_does_not_say_it_is_pure_is_found() {
        let manifest = ("crates/kv/Cargo.toml", "[dependencies]\n");
        let without = |attribute: &str| PURE_LIB.replace(attribute, "");
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            let found = found(&[manifest, ("crates/kv/src/lib.rs", &without(attribute))]);
            assert!(found.len() == 1 && found[0].contains(attribute), "{found:?}");
        }
        let commented = without("#![no_std]") + "// #![no_std]\n";
        assert_eq!(found(&[manifest, ("crates/kv/src/lib.rs", &commented)]).len(), 1);
    }

    #[test]
    fn a_protocol_named_outside_its_place_is_found() {
        let names = "//! Essay.\nuse quorate_raft::Raft;\n";
        assert_eq!(found(&[("crates/server/src/consensus.rs", names)]).len(), 1);
        assert_eq!(found(&[("crates/server/src/protocols.rs", names)]).len(), 0);
        assert_eq!(found(&[("crates/raft/src/core.rs", names)]).len(), 0);
        assert_eq!(found(&[("crates/wal/src/lib.rs", "//! Not `quorate_raft`.\n")]).len(), 0);
    }
}
