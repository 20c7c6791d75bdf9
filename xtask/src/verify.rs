//! `cargo xtask verify`: the rules of this project that no compiler knows.
//!
//! | rule | module |
//! |---|---|
//! | rooms depend on each other one way only; pure rooms are pure; one place per host picks a protocol | [`rooms`] |
//! | files and functions stay small, and what is not may only shrink | [`ratchet`] |
//! | every module opens with an essay; no half-done code | [`style`] |
//! | nothing names the machine it was written on, or a stranger's host | [`words`] |
//! | links, paths and commands named in documents exist | [`documents`] |
//! | generated code is as generated | [`codegen`] |
//!
//! It reads only; each finding says where, what and what to do. Every check is proven by a test that plants
//! what it looks for.

mod documents;
mod rooms;
mod style;
mod words;

use crate::finding::Finding;
use crate::tree::Tree;
use crate::{codegen, ratchet};

/// A rule: from the tree to what breaks it.
type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: [Check; 5] = [rooms::check, ratchet::check, style::check, words::check, documents::check];

/// Check everything, and print all that is found.
///
/// # Errors
/// Says how many findings there are, if any.
pub fn run() -> Result<(), String> {
    let tree = Tree::read()?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let generated = codegen::check();
    match (findings.len(), generated) {
        (0, generated) => generated,
        (1, Ok(())) => Err("1 finding".into()),
        (count, Ok(())) => Err(format!("{count} findings")),
        (count, Err(stale)) => Err(format!("{count} findings, and {stale}")),
    }
}
