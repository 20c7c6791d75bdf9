//! The scripts every core must pass with the same transcript, on Raft: `golden/scripts/conformance/*.txt`.

#[allow(dead_code)]
mod common;

use std::path::Path;

use quorate_golden::Detail;

fn script(path: &Path) -> datatest_stable::Result<()> {
    quorate_golden::run::<common::Spoken>(path, Detail::Neutral)
}

datatest_stable::harness! {
    { test = script, root = "../golden/scripts/conformance", pattern = r"\.txt$" },
}
