//! One line per effect.

use quorate_protocol::{Entry, EntryKind, WriteOp};

/// How much a transcript tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing: for runs nobody reads.
    Silent,
    /// Only what every core must agree on: who leads, which commands are applied, which reads are served.
    Neutral,
    /// Rounds, indexes, writes and messages too.
    Full,
}

/// An entry's content.
pub fn show_data(entry: &Entry) -> String {
    match entry.kind {
        EntryKind::Noop => "noop".into(),
        EntryKind::Config => "config".into(),
        EntryKind::Command => String::from_utf8_lossy(&entry.data).into_owned(),
    }
}

/// `index:round=content`.
pub fn show_entry(entry: &Entry) -> String {
    format!("{}:{}={}", entry.id.index, entry.id.ballot.round, show_data(entry))
}

/// A change to the disk.
pub fn show_op(op: &WriteOp) -> String {
    match op {
        WriteOp::Meta { promised } => format!("promise {promised}"),
        WriteOp::Append(entries) => {
            let shown: Vec<String> = entries.iter().map(show_entry).collect();
            format!("append {}", shown.join(" "))
        }
        WriteOp::Reset { id } => format!("reset {}:{}", id.index, id.ballot.round),
        WriteOp::Purge { id } => format!("purge {}:{}", id.index, id.ballot.round),
    }
}
