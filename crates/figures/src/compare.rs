//! The protocols side by side, in the same worlds.
//!
//! Papers compare protocols by rules of thumb: two round trips, one round trip, so many messages. Here each
//! number is counted on the core that serves clients, in the same least host ([`crate::world`]), with the
//! same delays, the same timeouts and the same dice. Where the protocols differ the table shows it, and
//! where they do not it shows that, which is as worth knowing.
//!
//! | table | module | what for |
//! |---|---|---|
//! | what an operation costs | `cost` | messages, bytes and round trips when nothing fails |
//! | a leader crashes | `crash` | how long nobody leads, with and without word of it, and when candidates duel |
//! | links fail in part | `partial` | the three partitions of Omni-Paxos (Ng, Haridi and Carbone, EuroSys 2023, §2) |
//! | much to take over | `recovery` | what a new leader must do about entries whose fate it does not know |
//!
//! # Invariants
//!
//! 1. No experiment knows a protocol; [`Contender`] is made from a core's type alone.
//! 2. Every number is decided by the number of trials and nothing else.
//!
//! # Caveats
//!
//! Disks are instant and messages take one millisecond each way, whatever their size: what is compared is the
//! protocols, and the machine's share is measured with real processes (`quorate bench`). Costs count what the
//! cores say; frames and addresses come on top, the same for all.

mod arena;
mod cost;
mod crash;
mod partial;
mod recovery;

use std::fmt;

use quorate_protocol::Consensus;

use crate::Effort;
use crate::report::Drawing;
use crate::stats::Times;
use crate::svg::{Axis, Chart, Line, Scale, Stroke};

/// A protocol, as the experiments see it.
pub(crate) struct Contender {
    name: &'static str,
    cost: fn(&cost::Setting) -> cost::Cost,
    crash: fn(&crash::Setting, Effort) -> crash::Outcome,
    partial: fn(partial::Partition, u64) -> partial::Outcome,
    recovery: fn(u64) -> recovery::Outcome,
    catching_up: fn(u64) -> recovery::Outcome,
}

impl Contender {
    /// The one with this core.
    pub fn of<C: Consensus>() -> Self {
        Contender {
            name: C::NAME,
            cost: cost::measure::<C>,
            crash: crash::measure::<C>,
            partial: partial::measure::<C>,
            recovery: recovery::taking_over::<C>,
            catching_up: recovery::catching_up::<C>,
        }
    }
}

/// A table with a heading.
#[derive(Clone, Debug)]
pub struct Table {
    /// The heading.
    pub title: &'static str,
    /// The first row.
    pub head: Vec<String>,
    /// The others.
    pub rows: Vec<Vec<String>>,
}

/// In Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { title, head, rows } = self;
        writeln!(f, "### {title}\n\n| {} |", head.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(head.len()))?;
        rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))?;
        writeln!(f)
    }
}

/// The comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The tables.
    pub tables: Vec<Table>,
    /// The charts.
    pub drawings: Vec<Drawing>,
}

/// All tables, one after the other.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.iter().try_for_each(|table| write!(f, "{table}"))
    }
}

/// Compares all protocols. `told` hears what is measured before it begins.
pub fn compare(effort: Effort, mut told: impl FnMut(&str)) -> Comparison {
    let contenders = crate::core::contenders();
    let mut comparison = Comparison::default();
    let head = |first: &str| -> Vec<String> {
        std::iter::once(first.to_string()).chain(contenders.iter().map(|c| c.name.to_string())).collect()
    };
    told("what an operation costs");
    comparison.tables.push(cost::table(&contenders, head("three nodes, entries of 256 bytes")));
    told("a leader crashes");
    let (table, chart) = crash::table(&contenders, effort, head("five nodes, downtime in election timeouts"));
    comparison.tables.push(table);
    comparison.drawings.push(chart);
    told("links fail in part");
    comparison.tables.push(partial::table(
        &contenders,
        effort,
        head("committing again after, in election timeouts"),
    ));
    told("much to take over");
    let (table, chart) = recovery::table(&contenders, head("three nodes, entries of 256 bytes"));
    comparison.tables.push(table);
    comparison.drawings.push(chart);
    comparison
}

/// Of a line.
type Points = Vec<(f64, f64)>;

/// A chart with one line for each.
fn chart(file: &'static str, title: &'static str, axes: (Axis, Axis), lines: Vec<(&str, Points)>) -> Drawing {
    let line = |(colour, (name, points)): (usize, (&str, Points))| Line {
        name: name.to_string(),
        colour,
        stroke: Stroke::Solid,
        points,
    };
    let (x, y) = axes;
    let chart = Chart { title, x, y, lines: lines.into_iter().enumerate().map(line).collect() };
    Drawing { file, svg: chart.to_svg() }
}

/// Median and 99th percentile.
fn spread(times: &Times) -> String {
    let shown = |value: Option<f64>| value.map_or("never".to_string(), |value| format!("{value:.2}"));
    format!("{} / {}", shown(times.quantile(0.5)), shown(times.quantile(0.99)))
}

/// An axis from 0 to 1.
fn share(label: &'static str) -> Axis {
    Axis::new(label, Scale::Linear(0.0, 1.0), &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole of it, briefly: every protocol has a number in every row, and the same again.
    #[test]
    fn a_comparison_is_complete_and_repeatable() {
        let comparison = compare(Effort::Brief, |_| ());
        assert_eq!(comparison.tables.len(), 4);
        for table in &comparison.tables {
            assert!(table.rows.iter().all(|row| row.len() == table.head.len()), "{}", table.title);
        }
        assert_eq!(comparison.to_string(), compare(Effort::Brief, |_| ()).to_string());
    }
}
