//! Every module opens with an essay, and nothing half done is left in.

use crate::finding::Finding;
use crate::scan::{Source, line_of, words};
use crate::tree::Tree;

/// Macros that stand for code not written or not meant to stay.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Words in comments that postpone. Taken apart, so that this file has none.
const MARKS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// The findings of all Rust files.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs").flat_map(|(path, text)| file(path, text)).collect()
}

fn file(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::new(text);
    let mut findings = Vec::new();
    if !text.trim_start().starts_with("//!") {
        let remedy = "open with `//!`: what it is, its source, its invariants, its caveats";
        findings.push(Finding::new(path, 1, "this module has no essay", remedy));
    }
    let mut found = |at: usize, what: String, remedy: &str| {
        findings.push(Finding::new(path, line_of(text, at), what, remedy));
    };
    for name in MACROS {
        let calls = words(&source.code, name).filter(|at| source.code[at + name.len()..].starts_with('!'));
        calls.for_each(|at| {
            found(at, format!("{name}! is left in"), "write what is missing, or leave it out")
        });
    }
    let ignored = source.code.match_indices("#[ignore").map(|(at, _)| at);
    ignored.for_each(|at| found(at, "a test is ignored".into(), "mend it, or remove it"));
    for mark in MARKS {
        let marks = words(&source.comments, mark);
        marks.for_each(|at| {
            found(at, format!("{mark} is left in"), "do it, or say plainly what is missing and why")
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(&Tree::planted(&[("crates/a/src/b.rs", text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_module_without_an_essay_is_found() {
        assert_eq!(lines("//! What it is.\nfn a() {}\n"), []);
        assert_eq!(lines("// What it is.\nfn a() {}\n"), [1]);
        assert_eq!(lines("use std::fmt;\n//! Too late.\n"), [1]);
    }

    #[test]
    fn what_is_half_done_is_found() {
        for planted in
            ["todo!()", "unimplemented!(\"x\")", "dbg!(1)", "#[ignore]\nfn a() {}", "#[ignore = \"\"]"]
        {
            assert_eq!(lines(&format!("//! Essay.\n\n{planted}\n")), [3], "{planted}");
        }
        for mark in MARKS {
            assert_eq!(lines(&format!("//! Essay.\n// {mark}: later\n")), [2], "{mark}");
        }
    }

    #[test]
    fn what_only_looks_so_is_not() {
        assert_eq!(lines("//! Essay: no `todo!()` here.\nlet a = \"dbg!(x)\"; my_todo!(); todo();\n"), []);
    }
}
