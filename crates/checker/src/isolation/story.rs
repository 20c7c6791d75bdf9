//! A cycle, told: which transactions, and why each must come before the next.

use alloc::format;
use alloc::string::String;

use super::anomaly::Anomaly;
use super::cycles::Cycle;
use super::graph::{Edge, Why};
use super::history::Name;
use super::index::Index;

/// The cycle as an anomaly.
pub(super) fn tell(index: &Index, cycle: &Cycle) -> Anomaly {
    // Begin with a transaction: a helper is told with the edge before it.
    let transaction = |(node, _): &(u32, Edge)| (*node as usize) < index.history.len();
    let first = cycle.steps.iter().position(transaction).unwrap_or(0);
    let steps = || cycle.steps[first..].iter().chain(&cycle.steps[..first]);
    let count = steps().filter(|step| transaction(step)).count();
    let mut detail = format!("a cycle of {count} transactions");
    let name = |node: u32| index.history.get(node as usize).map(|txn| format!("T{}", txn.id));
    let begins = steps().next().map_or(0, |(node, _)| *node);
    let mut from = begins;
    for (at, (node, edge)) in steps().enumerate() {
        if let Some(txn) = index.history.get(*node as usize) {
            detail += &format!("\n  {txn}");
            from = *node;
        }
        let to = edge.to;
        // Edges that lead to or between helpers are told once, by the one that leads away from them.
        if let (Some(one), Some(other)) = (name(from), name(to)) {
            let why = reason(
                index,
                from,
                edge,
                at.checked_sub(1).and_then(|before| steps().nth(before)),
                &one,
                &other,
            );
            let closes = if to == begins { " (which was first here)" } else { "" };
            detail += &format!("\n    {why}{closes}");
        }
    }
    Anomaly { kind: cycle.kind, time: cycle.time, detail }
}

/// Why the one comes before the other.
fn reason(
    index: &Index,
    from: u32,
    edge: &Edge,
    before: Option<&(u32, Edge)>,
    one: &str,
    other: &str,
) -> String {
    let key = |key: u32| Name(index.keys[key as usize].name);
    let seen = |version: Option<u64>| version.map_or_else(|| "nothing".into(), |value| format!("{value}"));
    match edge.why {
        Why::Ww { key: at, before, after } => {
            format!("ww: {other}'s {after} in {} comes after {one}'s {before}", key(at))
        }
        Why::Wr { key: at, value } => format!("wr: {other} read {value} of {}, which {one} wrote", key(at)),
        Why::Rw { key: at, seen: version, next } => {
            let (name, seen, next) = (key(at), seen(version), seen(next));
            format!("rw: {one} read {name} up to {seen}, and {other}'s {next} came after that")
        }
        Why::After { key: at, value } => {
            let version = match before {
                Some((_, Edge { why: Why::Rw { seen, .. }, .. })) => *seen,
                _ => None,
            };
            format!(
                "rw: {one} read {} up to {}, and {other}'s {value} was not there yet",
                key(at),
                seen(version)
            )
        }
        Why::Process | Why::Time => {
            let ended = index.history[from as usize].completed;
            let kind = if edge.why == Why::Process { "process" } else { "realtime" };
            format!("{kind}: {one} was over at {ended}, before {other} began")
        }
    }
}
