//! One line per effect.

use quorate_protocol::{Ballot, Entry, EntryKind, Membership, NodeId, WriteOp};

/// How much a transcript tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing: for runs nobody reads.
    Silent,
    /// Only what every core must agree on: who leads, which commands are applied, which reads are served; of each command of
    /// a script node by node.
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

fn show_entries(entries: &[Entry]) -> String {
    let shown: Vec<String> = entries.iter().map(show_entry).collect();
    shown.join(" ")
}

/// A change to the disk.
pub fn show_op(op: &WriteOp) -> String {
    match op {
        WriteOp::Meta { promised, joined } if *joined == Ballot::default() => format!("promise {promised}"),
        WriteOp::Meta { promised, joined } => format!("promise {promised} joined {joined}"),
        WriteOp::Append(entries) => format!("append {}", show_entries(entries)),
        WriteOp::Put(entries) => format!("put {}", show_entries(entries)),
        WriteOp::Truncate(index) => format!("truncate after {index}"),
        WriteOp::Reset { id } => format!("reset {}:{}", id.index, id.ballot.round),
        WriteOp::Purge { id } => format!("purge {}:{}", id.index, id.ballot.round),
    }
}

/// Lines of [`Detail::Neutral`] in an order that does not depend on who was told first: node by node, of each whom it follows
/// in the end, then what it applied, then what became of its clients.
pub(crate) fn neutral(lines: Vec<String>) -> Vec<String> {
    let place = |line: &String| {
        let mut words = line.split_whitespace();
        let node: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(u64::MAX);
        let kind = match words.next() {
            Some("leads" | "follows") => 0,
            Some("applies" | "takes") => 1,
            _ => 2,
        };
        (node, kind)
    };
    let mut lines = lines;
    lines.sort_by_key(place);
    let last_of_its_kind = |at: usize| lines.get(at + 1).is_none_or(|next| place(next) != place(&lines[at]));
    let kept: Vec<bool> =
        (0..lines.len()).map(|at| place(&lines[at]).1 != 0 || last_of_its_kind(at)).collect();
    lines.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(line, _)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neutral_lines_tell_node_by_node_whom_it_follows_in_the_end() {
        let told = [
            "  2 applies b",
            "  1 follows 3",
            "  2 leads",
            "  1 applies b",
            "  1 follows 2",
            "  1 serves read 7",
        ];
        let expected = ["  1 follows 2", "  1 applies b", "  1 serves read 7", "  2 leads", "  2 applies b"];
        assert_eq!(neutral(told.map(String::from).to_vec()), expected);
    }
}
