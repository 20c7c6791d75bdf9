//! The scenarios of atomic commit, by hand: `tests/scripts/*.txt`. Rewrite what they record with
//! `UPDATE_GOLDENFILES=1 cargo test -p quorate-commit --test scripts`, and read the difference. What they demand
//! (`expect`, `doubt`, `value`), and the observer's properties, hold also while they are rewritten.

#[allow(dead_code)]
mod common;

use std::path::Path;

use common::script::Script;
use quorate_commit::Paper;

fn script(path: &Path) -> datatest_stable::Result<()> {
    Ok(goldenscript::run(&mut Script::<Paper>::default(), path)?)
}

datatest_stable::harness! {
    { test = script, root = "tests/scripts", pattern = r"\.txt$" },
}
