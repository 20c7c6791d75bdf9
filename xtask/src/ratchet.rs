//! Sizes that are past their limits today, and may only shrink.
//!
//! The table is `xtask/ratchet.txt`, one exception a line:
//!
//! ```text
//! file 514 crates/golden/src/script.rs
//! function 71 crates/quorate/src/bench/run.rs run
//! ```
//!
//! `verify` demands that what is past a limit stands in the table with exactly its size. Something new that is
//! too large is a finding, something listed that grew is a finding, and so is something that shrank, until
//! `fix` has lowered the entry: otherwise it could grow back unseen. `fix` never raises and never adds.

use std::collections::BTreeMap;
use std::fmt;

use crate::finding::Finding;
use crate::scan::Source;
use crate::tree::Tree;

/// Where the table is.
pub const TABLE: &str = "xtask/ratchet.txt";

/// Lines of a file, at most.
const FILE_LINES: usize = 500;

/// Lines of a function, at most: a screen.
const FUNCTION_LINES: usize = 60;

/// Something that has a size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A file, by path.
    File(String),
    /// A function, by path and name. Of several with one name in a file the longest counts.
    Function(String, String),
}

/// Sizes by item; and for what was measured, the line where it begins.
type Sizes = BTreeMap<Item, (usize, usize)>;

impl Item {
    fn path(&self) -> &str {
        match self {
            Item::File(path) | Item::Function(path, _) => path,
        }
    }

    fn limit(&self) -> usize {
        match self {
            Item::File(_) => FILE_LINES,
            Item::Function(..) => FUNCTION_LINES,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::File(_) => write!(f, "this file"),
            Item::Function(_, name) => write!(f, "function {name}"),
        }
    }
}

/// Everything in the tree that is past its limit.
fn measure(tree: &Tree) -> Sizes {
    let mut sizes = Sizes::new();
    let mut note = |item: Item, lines: usize, line: usize| {
        if lines > item.limit() {
            let size = sizes.entry(item).or_insert((lines, line));
            *size = (*size).max((lines, line));
        }
    };
    for (path, text) in tree.ending(".rs") {
        note(Item::File(path.into()), text.lines().count(), 1);
        for function in Source::new(text).functions() {
            note(Item::Function(path.into(), function.name), function.lines, function.line);
        }
    }
    sizes
}

/// The table; the second number is the line in it.
fn parse(text: &str) -> Result<Sizes, Finding> {
    let mut sizes = Sizes::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let entry = match words.as_slice() {
            [] => continue,
            [first, ..] if first.starts_with('#') => continue,
            ["file", lines, path] => Some((Item::File((*path).into()), lines)),
            ["function", lines, path, name] => Some((Item::Function((*path).into(), (*name).into()), lines)),
            _ => None,
        };
        let entry = entry.and_then(|(item, lines)| Some((item, lines.parse().ok()?)));
        let Some((item, lines)) = entry else {
            let what = format!("\"{line}\" is no entry");
            return Err(Finding::new(
                TABLE,
                at + 1,
                what,
                "write `file LINES PATH` or `function LINES PATH NAME`",
            ));
        };
        sizes.insert(item, (lines, at + 1));
    }
    Ok(sizes)
}

/// Compare the tree with the table.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let allowed = match parse(tree.text(TABLE).unwrap_or("")) {
        Ok(allowed) => allowed,
        Err(finding) => return vec![finding],
    };
    let actual = measure(tree);
    let mut findings = Vec::new();
    for (item, &(lines, line)) in &actual {
        let limit = item.limit();
        match allowed.get(item) {
            None => findings.push(Finding::new(
                item.path(),
                line,
                format!("{item} has {lines} lines, {limit} is the limit"),
                "split it where it changes its subject",
            )),
            Some(&(allowed, _)) if lines > allowed => findings.push(Finding::new(
                item.path(),
                line,
                format!("{item} has grown from {allowed} to {lines} lines, past the limit of {limit}"),
                "split it: what is past a limit may only shrink",
            )),
            _ => {}
        }
    }
    for (item, &(lines, line)) in &allowed {
        if actual.get(item).is_none_or(|&(now, _)| now < lines) {
            let what = format!("{item} of {} is smaller than the {lines} lines it may have", item.path());
            findings.push(Finding::new(TABLE, line, what, "run `cargo xtask fix`"));
        }
    }
    findings
}

/// The table with every entry lowered to what is true today, if that changes it.
pub fn lowered(tree: &Tree) -> Result<Option<String>, String> {
    let Some(text) = tree.text(TABLE) else { return Ok(None) };
    let allowed = parse(text).map_err(|finding| finding.to_string())?;
    let actual = measure(tree);
    let mut out: String =
        text.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for (item, &(allowed, _)) in &allowed {
        let Some(&(now, _)) = actual.get(item) else { continue };
        let lines = now.min(allowed);
        out += &match item {
            Item::File(path) => format!("file {lines} {path}\n"),
            Item::Function(path, name) => format!("function {lines} {path} {name}\n"),
        };
    }
    Ok((out != text).then_some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: usize) -> String {
        "//\n".repeat(lines)
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    fn whats(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::planted(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sizes_at_the_limit_are_fine() {
        assert!(whats(&[("a.rs", &file(500)), ("b.rs", &function(60))]).is_empty());
    }

    #[test]
    fn a_long_file_and_a_long_function_are_found() {
        let found = whats(&[("a.rs", &file(501)), ("b.rs", &function(61))]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:1: this file has 501 lines"), "{found:?}");
        assert!(found[1].starts_with("b.rs:1: function long has 61 lines"), "{found:?}");
    }

    #[test]
    fn an_exception_holds_for_its_size_only() {
        let table = "# why\nfile 510 a.rs\nfunction 70 b.rs long\n";
        assert!(whats(&[("a.rs", &file(510)), ("b.rs", &function(70)), (TABLE, table)]).is_empty());
        let grown = whats(&[("a.rs", &file(511)), ("b.rs", &function(71)), (TABLE, table)]);
        assert!(grown.len() == 2 && grown.iter().all(|what| what.contains("grown")), "{grown:?}");
        let shrunk = whats(&[("a.rs", &file(505)), ("b.rs", &function(20)), (TABLE, table)]);
        assert!(shrunk.len() == 2 && shrunk.iter().all(|what| what.contains("xtask fix")), "{shrunk:?}");
        let broken = whats(&[(TABLE, "file many a.rs\n")]);
        assert!(broken.len() == 1 && broken[0].starts_with("xtask/ratchet.txt:1: "), "{broken:?}");
    }

    #[test]
    fn fixing_lowers_and_never_raises_or_adds() {
        let table = "# why\nfile 510 a.rs\nfile 520 c.rs\nfunction 70 b.rs long\n";
        let tree = |a: usize, b: usize| {
            Tree::planted(&[("a.rs", &file(a)), ("b.rs", &function(b)), ("d.rs", &file(900)), (TABLE, table)])
        };
        let out = lowered(&tree(505, 71)).expect("a table").expect("changed");
        assert_eq!(out, "# why\nfile 505 a.rs\nfunction 70 b.rs long\n");
        let again = Tree::planted(&[("a.rs", &file(505)), ("b.rs", &function(71)), (TABLE, &out)]);
        assert_eq!(lowered(&again), Ok(None));
    }
}
