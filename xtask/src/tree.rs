//! The work tree as the checks see it: every path, and the text of every file that people write.
//!
//! The tree is read once. The checks are functions of it and never touch the disk, so that a test can plant
//! what it likes in a tree that exists only in memory.
//!
//! Generated code is known by path only: nobody writes it, so no rule of style applies to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Not ours to judge: build output, history, and what a generator or a tool wrote.
const UNREAD: [&str; 4] = ["target", ".git", "crates/api/src/generated", "tools/protoc/target"];

/// Written by cargo.
const LOCKS: &str = "Cargo.lock";

/// What the checks look at.
#[derive(Debug, Default)]
pub struct Tree {
    /// Text by path relative to the root.
    texts: BTreeMap<String, String>,
    /// Every path, directories too.
    paths: BTreeSet<String>,
}

impl Tree {
    /// Read the workspace.
    ///
    /// # Errors
    /// A directory or file that cannot be read.
    pub fn read() -> Result<Tree, String> {
        let mut tree = Tree::default();
        tree.enter(&root(), "")?;
        Ok(tree)
    }

    fn enter(&mut self, dir: &Path, prefix: &str) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("cannot read {}: {e}", dir.display());
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let read = !UNREAD.contains(&path.as_str());
            if entry.file_type().map_err(failed)?.is_dir() {
                if read {
                    self.enter(&entry.path(), &format!("{path}/"))?;
                }
            } else if !path.ends_with(LOCKS) {
                // What is no text (a recorded file of bytes) is known by path only.
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    self.texts.insert(path.clone(), text);
                }
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// A tree of these files, for tests.
    #[cfg(test)]
    pub fn planted(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            tree.paths.extend(ends.map(|end| path[..end].to_owned()));
        }
        tree
    }

    /// Whether a file or directory is there.
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(path.trim_end_matches('/'))
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Every text with its path, in order.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The texts whose names end so, in order.
    pub fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(end))
    }

    /// The names of the folders under `crates/` that hold a package.
    pub fn rooms(&self) -> Vec<&str> {
        let room = |path: &'_ str| -> Option<(usize, usize)> {
            let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!name.contains('/')).then_some((7, 7 + name.len()))
        };
        self.texts().filter_map(|(path, _)| room(path).map(|(from, to)| &path[from..to])).collect()
    }
}

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}
