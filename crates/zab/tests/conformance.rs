//! The scripts every core must pass with the same transcript, on Zab: `golden/scripts/conformance/*.txt`.

#[allow(dead_code)]
mod common;

use std::path::Path;

fn script(path: &Path) -> datatest_stable::Result<()> {
    quorate_golden::conform::<common::Spoken>(path)
}

datatest_stable::harness! {
    { test = script, root = "../golden/scripts/conformance", pattern = r"\.txt$" },
}
