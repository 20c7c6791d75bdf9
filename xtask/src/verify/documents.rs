//! Links, paths and commands that the documents name must exist.
//!
//! Checked in every Markdown file: relative links and their anchors; paths in backticks that begin with a
//! folder of this workspace; commands of the binary and of `cargo xtask`, in backticks and in code blocks. In
//! Rust files: paths in backticks in comments. And the map must be whole: every room is on it.
//!
//! Caveats: Markdown is read as far as we write it (fenced blocks, code spans, inline links, `#` headings).
//! Only the first word of a command is looked up, not its flags.

use crate::COMMANDS;
use crate::finding::Finding;
use crate::scan::Source;
use crate::tree::Tree;

/// Beginnings that make a word in backticks a path.
const FOLDERS: [&str; 6] = ["crates/", "docs/", "xtask/", "tools/", ".ci/", ".cargo/"];

/// Where the binary's verbs are declared.
const CLI: &str = "crates/quorate/src/cli.rs";

/// Where the map is.
const MAP: &str = "ARCHITECTURE.md";

/// The findings of all documents.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let verbs = tree.text(CLI).map(verbs).unwrap_or_default();
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for part in parts(text) {
            match part.kind {
                Kind::Prose => findings.extend(links(tree, path, &part)),
                Kind::Span => {
                    findings.extend(named_path(tree, path, &part));
                    findings.extend(commands(&verbs, path, &part));
                }
                Kind::Block => findings.extend(commands(&verbs, path, &part)),
            }
        }
    }
    for (path, text) in tree.ending(".rs") {
        let source = Source::new(text);
        let comments = parts(&source.comments);
        let spans = comments.iter().filter(|part| part.kind == Kind::Span);
        findings.extend(spans.filter_map(|part| named_path(tree, path, part)));
    }
    let map = tree.text(MAP).unwrap_or("");
    let absent = tree.rooms().into_iter().filter(|room| !map.contains(&format!("`crates/{room}`")));
    findings.extend(absent.map(|room| {
        Finding::new(
            MAP,
            1,
            format!("the room `crates/{room}` is not on the map"),
            "say what it is, and its invariants",
        )
    }));
    findings
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prose,
    Span,
    Block,
}

/// A piece of a document: at most a line, and of one kind.
#[derive(Debug)]
struct Part<'a> {
    kind: Kind,
    line: usize,
    text: &'a str,
}

/// A document in pieces.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            parts.push(Part { kind: Kind::Block, line: line_number, text: line });
        } else {
            // A span does not cross a line as we write it; an odd backtick leaves the rest prose.
            let pieces: Vec<&str> = line.split('`').collect();
            for (nth, text) in pieces.iter().enumerate() {
                let span = nth % 2 == 1 && nth + 1 < pieces.len();
                parts.push(Part {
                    kind: if span { Kind::Span } else { Kind::Prose },
                    line: line_number,
                    text,
                });
            }
        }
    }
    parts
}

/// The links in a piece of prose that lead nowhere.
fn links(tree: &Tree, path: &str, part: &Part<'_>) -> Vec<Finding> {
    let targets = part.text.match_indices("](").map(|(at, _)| &part.text[at + 2..]);
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let broken = targets.filter(|target| !target.contains(':') && !leads_somewhere(tree, path, target));
    broken
        .map(|target| {
            Finding::new(path, part.line, format!("the link to {target} leads nowhere"), "mend or remove it")
        })
        .collect()
}

fn leads_somewhere(tree: &Tree, path: &str, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { Some(path.to_owned()) } else { resolve(path, file) };
    let Some(file) = file.filter(|file| file.is_empty() || tree.has(file)) else { return false };
    let has_anchor = |text: &str| text.lines().any(|line| line.starts_with('#') && slug(line) == anchor);
    anchor.is_empty() || tree.text(&file).is_some_and(has_anchor)
}

/// A path relative to the folder of a document, from the root; nothing where it leaves the tree.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut at: Vec<&str> = document.split('/').collect();
    at.pop();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(at.pop()?),
            step => at.push(step),
        }
    }
    Some(at.join("/"))
}

/// What a heading is linked by.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A path in backticks that does not exist.
fn named_path(tree: &Tree, path: &str, part: &Part<'_>) -> Option<Finding> {
    let named = part.text;
    if !FOLDERS.iter().any(|folder| named.starts_with(folder)) || named.contains([' ', '*', '<', '{', '…'])
    {
        return None;
    }
    let (file, line) = named.split_once(':').unwrap_or((named, ""));
    let numbered = line.bytes().all(|byte| byte.is_ascii_digit());
    (!numbered || !tree.has(file))
        .then(|| Finding::new(path, part.line, format!("there is no `{named}`"), "name what is there now"))
}

/// Commands in a piece of code that do not exist.
fn commands(verbs: &[String], path: &str, part: &Part<'_>) -> Vec<Finding> {
    let words: Vec<&str> = part.text.split_whitespace().collect();
    let mut findings = Vec::new();
    let mut look_up = |word: Option<&&str>, known: &dyn Fn(&str) -> bool| {
        let bare = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let Some(word) = word.filter(bare).filter(|word| !word.starts_with('-') && !known(word)) else {
            return;
        };
        findings.push(Finding::new(
            path,
            part.line,
            format!("there is no command \"{word}\""),
            "name what is there now",
        ));
    };
    let is_verb = |word: &str| verbs.is_empty() || verbs.iter().any(|verb| verb == word);
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1);
        if *word == "quorate" || word.ends_with("/quorate") {
            look_up(next, &is_verb);
        }
        if *word != "cargo" {
            continue;
        }
        if next == Some(&"xtask") {
            look_up(words.get(at + 2), &|word| COMMANDS.contains(&word));
        }
        let run = &words[at + 1..];
        let other = ["--example", "-p", "--package", "--manifest-path"];
        if next == Some(&"run") && !run.iter().any(|word| other.contains(word)) {
            let after = run.iter().position(|word| *word == "--").and_then(|at| run.get(at + 1));
            look_up(after, &is_verb);
        }
    }
    findings
}

/// The binary's verbs, from the enum that declares them.
fn verbs(cli: &str) -> Vec<String> {
    let code = Source::new(cli).code;
    let Some((_, body)) = code.split_once("enum Verb {") else { return Vec::new() };
    let mut depth = 0_i32;
    let mut verbs = Vec::new();
    for line in body.lines() {
        let word: String = line.trim_start().chars().take_while(char::is_ascii_alphanumeric).collect();
        if depth == 0 && word.starts_with(|c: char| c.is_ascii_uppercase()) {
            verbs.push(word.to_ascii_lowercase());
        }
        let count = |these: [char; 3]| line.matches(these).count() as i32;
        depth += count(['{', '(', '[']) - count(['}', ')', ']']);
        if depth < 0 {
            break;
        }
    }
    verbs
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBS: &str = "enum Verb {\n    /// Doc\n    #[command(x = true)]\n    Serve {\n        Flags: u8,\n    },\n    Dev(dev::Dev),\n}\nenum Other { Lost }\n";

    fn found(path: &str, text: &str) -> Vec<String> {
        let tree = [
            (path, text),
            (CLI, VERBS),
            ("crates/quorate/Cargo.toml", ""),
            ("docs/raft.md", "# Raft\n\n## What it's for\n"),
            (MAP, "`crates/quorate`"),
        ];
        check(&Tree::planted(&tree)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn verbs_are_read_from_the_command_line() {
        assert_eq!(verbs(VERBS), ["serve", "dev"]);
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "[a](docs/raft.md) [b](docs/raft.md#what-its-for) [c](docs/) [d](#top) [e](https://docs.rs)\n# Top\n";
        assert_eq!(found("README.md", text), [""; 0]);
        assert_eq!(found("docs/other.md", "[a](raft.md) [b](../README.md)").len(), 1);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for text in ["[a](docs/none.md)", "[a](docs/raft.md#none)", "[a](#none)", "[a](../../x)"] {
            assert_eq!(found("README.md", text).len(), 1, "{text}");
        }
        assert!(found("README.md", "x\n\n[a](b.md)")[0].starts_with("README.md:3: "));
    }

    #[test]
    fn paths_that_do_not_exist_are_found() {
        assert_eq!(
            found("README.md", "`crates/quorate/src/cli.rs`, `docs/`, `docs/raft.md:2`, `a/b`").len(),
            0
        );
        assert_eq!(found("README.md", "`crates/none/`, `docs/raft.md:x`").len(), 2);
        assert_eq!(
            found("crates/quorate/src/a.rs", "// see `docs/none.md`\nlet a = \"`docs/none.md`\";").len(),
            1
        );
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        let fine = "`quorate dev --nodes 3`, `quorate`, `quorate --version`, `cargo xtask verify`\n\
                    ```sh\ncargo run --release -- dev\n./target/release/quorate serve\ncargo run -p x -- fly\n```\n";
        assert_eq!(found("README.md", fine), [""; 0]);
        for text in [
            "`quorate fly`",
            "`cargo xtask fly`",
            "```\ncargo run --release -- fly\n```",
            "```\nbin/quorate fly\n```",
        ] {
            assert_eq!(found("README.md", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_room_that_is_not_on_the_map_is_found() {
        assert_eq!(found("crates/attic/Cargo.toml", "").len(), 1);
    }
}
