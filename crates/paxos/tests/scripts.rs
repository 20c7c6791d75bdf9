//! Paxos' own golden scripts, with every message: `tests/scripts/*.txt`. Rewrite what they record with
//! `UPDATE_GOLDENFILES=1 cargo test -p quorate-paxos --test scripts`, and read the difference.

#[allow(dead_code)]
mod common;

use std::path::Path;

use quorate_golden::Detail;

fn script(path: &Path) -> datatest_stable::Result<()> {
    quorate_golden::run::<common::Spoken>(path, Detail::Full)
}

datatest_stable::harness! {
    { test = script, root = "tests/scripts", pattern = r"\.txt$" },
}
