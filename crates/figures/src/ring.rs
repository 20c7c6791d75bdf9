//! How evenly hashing spreads keys, against a reference measured elsewhere: a hundred nodes, a million keys.
//!
//! The reference is one draw of each method's distribution. So it is compared with several draws of ours: it must be
//! within four of *their* standard deviations of their mean, a fifth of a hundredth being granted for its rounding.

use quorate_protocol::NodeId;
use quorate_ring::{Jump, Key, Maglev, Node, Placement, Rendezvous, Ring, mix};

use crate::Effort;
use crate::report::{Report, Row};
use crate::svg::{Axis, Chart, Line, Scale, Stroke};

const NODES: u64 = 100;

/// Each draw's nodes have other names, so other hashes.
fn nodes(draw: u64) -> Vec<Node> {
    (1..=NODES).map(|number| Node::new(draw * 1_000 + number)).collect()
}

fn keys(count: u64) -> impl Iterator<Item = Key> {
    (1..=count).map(|number| Key(mix(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// Standard deviation and maximum of the keys per node, in parts of the mean.
fn spread(placement: &impl Placement, count: u64) -> (f64, f64) {
    let mut loads: std::collections::BTreeMap<NodeId, u64> =
        placement.nodes().iter().map(|node| (node.id, 0)).collect();
    for owner in keys(count).filter_map(|key| placement.owner(key)) {
        *loads.entry(owner).or_default() += 1;
    }
    let mean = count as f64 / loads.len().max(1) as f64;
    let square = loads.values().map(|load| (*load as f64 - mean).powi(2)).sum::<f64>() / loads.len() as f64;
    let most = loads.values().max().copied().unwrap_or(0) as f64;
    (square.sqrt() / mean, most / mean)
}

/// Mean and standard deviation of a sample.
fn moments(sample: &[f64]) -> (f64, f64) {
    let mean = sample.iter().sum::<f64>() / sample.len() as f64;
    let square =
        sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (sample.len() as f64 - 1.0).max(1.0);
    (mean, square.sqrt())
}

struct Compared<'a> {
    report: &'a mut Report,
    count: u64,
}

impl Compared<'_> {
    fn row(&mut self, what: String, reference: Option<f64>, found: (f64, f64), grant: f64) {
        let (mean, error) = found;
        self.report.rows.push(Row {
            what,
            published: reference.map_or_else(String::new, |reference| reference.to_string()),
            tolerance: "4 deviations",
            measured: format!("{mean:.4} ± {error:.4}"),
            asking: String::new(),
            agrees: reference.map(|reference| (mean - reference).abs() <= 4.0 * error + grant),
        });
    }

    /// Deviation and greatest load of a method, beside the reference's. Answers the deviation.
    fn method<P: Placement>(
        &mut self,
        name: &str,
        draws: u64,
        make: impl Fn(&[Node]) -> Option<P>,
        reference: (Option<f64>, Option<f64>),
    ) -> f64 {
        let drawn: Vec<(f64, f64)> =
            (0..draws).filter_map(|draw| Some(spread(&make(&nodes(draw))?, self.count))).collect();
        let of = |pick: fn(&(f64, f64)) -> f64| moments(&drawn.iter().map(pick).collect::<Vec<f64>>());
        let deviation = of(|drawn| drawn.0);
        self.row(format!("{name}: deviation of keys per node, in means"), reference.0, deviation, 0.002);
        self.row(format!("{name}: most keys on a node, in means"), reference.1, of(|drawn| drawn.1), 0.01);
        deviation.0
    }
}

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    let count = if effort == Effort::Full { 1_000_000 } else { 200_000 };
    let mut compared = Compared { report, count };
    let mut points = Vec::new();
    let references = [
        (1, (Some(0.724), Some(3.64))),
        (10, (None, None)),
        (100, (Some(0.085), Some(1.20))),
        (1_000, (Some(0.035), Some(1.08))),
    ];
    for (tokens, reference) in references {
        let draws = if tokens == 1 { 16 } else { 8 };
        let name = format!("ring, {tokens} virtual node{}", if tokens == 1 { "" } else { "s" });
        let found = compared.method(&name, draws, |nodes| Ring::of(tokens, nodes).ok(), reference);
        points.push((f64::from(tokens), found));
    }
    compared.method("rendezvous", 4, |nodes| Rendezvous::of(nodes).ok(), (Some(0.009), Some(1.03)));
    compared.method("jump", 1, |nodes| Jump::of(nodes).ok(), (Some(0.010), None));
    compared.method("Maglev, 65,537 entries", 8, |nodes| Maglev::of(nodes).ok(), (Some(0.009), None));
    let extra: Vec<f64> = (0..8).filter_map(|draw| extra_moves(draw, count)).collect();
    let what = "Maglev: keys that move besides, when one of a hundred goes";
    compared.row(what.into(), Some(0.005), moments(&extra), 0.0005);
    draw(report, points, count);
}

/// The share of keys that move between nodes that stay, when one goes.
fn extra_moves(draw: u64, count: u64) -> Option<f64> {
    let nodes = nodes(draw);
    let (before, mut after) = (Maglev::of(&nodes).ok()?, Maglev::of(&nodes).ok()?);
    let gone = nodes.get((draw * 13 % NODES) as usize)?.id;
    after.remove(gone);
    let moved = |key: &Key| before.owner(*key) != after.owner(*key) && before.owner(*key) != Some(gone);
    Some(keys(count).filter(moved).count() as f64 / count as f64)
}

fn draw(report: &mut Report, points: Vec<(f64, f64)>, count: u64) {
    let theory = |tokens: f64| (1.0 / tokens + NODES as f64 / count as f64).sqrt();
    let calculated =
        (0..=30).map(|step| 10f64.powf(f64::from(step) / 10.0)).map(|v| (v, theory(v))).collect();
    let reference = vec![(1.0, 0.724), (100.0, 0.085), (1_000.0, 0.035)];
    let line = |name: &str, colour, stroke, points| Line { name: name.into(), colour, stroke, points };
    let chart = Chart {
        title: "How evenly a ring of a hundred nodes spreads keys",
        x: Axis::new(
            "virtual nodes each",
            Scale::Logarithmic(0.9, 1_100.0),
            &[1.0, 10.0, 100.0, 1_000.0],
            "",
        ),
        y: Axis::new(
            "deviation / mean",
            Scale::Logarithmic(0.02, 1.5),
            &[0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
            "",
        ),
        lines: vec![
            line("calculated, √(1/V + n/m)", 0, Stroke::Solid, calculated),
            line("measured, mean of draws", 0, Stroke::Dots, points),
            line("reference, one draw", 1, Stroke::Dots, reference),
        ],
    };
    report.draw("ring-balance.svg", &chart);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_measurement_agrees_where_the_sample_is_not_all() {
        let mut report = Report::default();
        measure(Effort::Brief, &mut report);
        let ring = report
            .rows
            .iter()
            .filter(|row| row.what.starts_with("ring, 1 ") || row.what.starts_with("ring, 100 "));
        let all: Vec<String> =
            report.rows.iter().map(|row| format!("{}: {}", row.what, row.measured)).collect();
        assert!(ring.clone().count() == 4 && ring.clone().all(|row| row.agrees == Some(true)), "{all:#?}");
        let besides = report.rows.last().expect("a row");
        assert_eq!(besides.agrees, Some(true), "{}", besides.measured);
        assert_eq!(report.drawings.len(), 1);
    }
}
