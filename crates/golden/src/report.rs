//! One line per effect.

use quorate_protocol::{Entry, EntryKind, Membership, NodeId, WriteOp};

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
        EntryKind::Config => match Membership::from_bytes(entry.data.clone()) {
            Ok(membership) => format!("({})", show_membership(&membership)),
            Err(malformed) => malformed.to_string(),
        },
        EntryKind::Command => String::from_utf8_lossy(&entry.data).into_owned(),
    }
}

/// Who is in the group: `1 2 3`, `1 2 4 from 1 2 3` while joint, `1 2 3 learners 4`, `nobody`.
pub fn show_membership(membership: &Membership) -> String {
    let list = |nodes: Vec<NodeId>| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ");
    let mut shown = match membership.is_unknown() {
        true => "nobody".into(),
        false => list(membership.voters().nodes().to_vec()),
    };
    if membership.is_joint() {
        shown.push_str(&format!(" from {}", list(membership.outgoing().nodes().to_vec())));
    }
    if !membership.learners().is_empty() {
        shown.push_str(&format!(" learners {}", list(membership.learners().iter().copied().collect())));
    }
    shown
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
