//! The five experiments of the Chord paper (SIGCOMM 2001, §6), and what two common mistakes cost.
//!
//! The bands are this house's: a mean path within 0.15 of a node, 99th percentiles of load within 5 %, greatest loads within
//! 15 %. What fails with a part of the nodes must be that part, within what so many lookups can tell. Churn is compared by its shape:
//! how often the paper's simulator fixed which finger cannot be told from the text.

mod measure;
#[cfg(test)]
mod tests;

use quorate_chord::{Corrected, Manner};

use crate::Effort;
use crate::report::{Report, Row};
use crate::svg::{Axis, Chart, Line, Scale, Stroke};
use measure::{Churn, Loads, Paper, Predecessor, Walking, churn, failures, loads, paths, virtual_loads};

/// Nodes of the rings whose paths are measured, and the mean path as published.
const RINGS: [(usize, f64); 4] = [(256, 3.9), (1_024, 4.9), (4_096, 5.9), (16_384, 6.9)];

/// Draws of the nodes' places, whose mean is shown: the greatest load is one node's luck.
const DRAWS: u64 = 5;

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    path_lengths(effort, report);
    mistakes(effort, report);
    load(effort, report);
    sudden_failures(effort, report);
    churning(effort, report);
}

fn row(what: String, published: String, tolerance: &'static str, measured: String, ours: String) -> Row {
    Row { what, published, tolerance, measured, asking: ours, agrees: None }
}

fn line(name: &str, colour: usize, stroke: Stroke, points: Vec<(f64, f64)>) -> Line {
    Line { name: name.into(), colour, stroke, points }
}

/// §6.3, figure 10.
fn path_lengths(effort: Effort, report: &mut Report) {
    let lookups = effort.of(20_000).max(2_000) as usize;
    let (mut fingers, mut both) = (Vec::new(), Vec::new());
    for (nodes, published) in RINGS {
        let [paper, iterative] = [
            paths::<Paper>(nodes, lookups, Manner::Iterative, 1),
            paths::<Corrected>(nodes, lookups, Manner::Iterative, 1),
        ];
        let recursive = paths::<Corrected>(nodes, lookups, Manner::Recursive, 1);
        let count = nodes as f64;
        fingers.push((count, paper.mean));
        both.push((count, iterative.mean));
        let ours = format!(
            "{:.2}; {:.1} messages, {:.1} recursively",
            iterative.mean, iterative.messages, recursive.messages
        );
        report.rows.push(Row {
            agrees: Some((paper.mean - published).abs() <= 0.15),
            ..row(
                format!("Chord, mean path, {nodes} nodes"),
                published.to_string(),
                "0.15",
                format!("{:.2}", paper.mean),
                ours,
            )
        });
        let ends = format!("{} to {}", paper.p1, paper.p99);
        let known = nodes == 16_384;
        report.rows.push(Row {
            agrees: known.then_some(paper.p1 == 3 && paper.p99 == 11),
            ..row(
                format!("Chord, 1st to 99th percentile, {nodes} nodes"),
                if known { "3 to 11".into() } else { String::new() },
                "",
                ends,
                String::new(),
            )
        });
    }
    let half = RINGS.map(|(nodes, _)| (nodes as f64, (nodes as f64).log2() / 2.0)).to_vec();
    let ticks = RINGS.map(|(nodes, _)| nodes as f64);
    report.draw(
        "chord-paths.svg",
        &Chart {
            title: "Nodes a lookup goes through",
            x: Axis::new("nodes", Scale::Logarithmic(200.0, 20_000.0), &ticks, ""),
            y: Axis::new("mean path", Scale::Linear(0.0, 8.0), &[0.0, 2.0, 4.0, 6.0, 8.0], ""),
            lines: vec![
                line("½ log₂ N", 0, Stroke::Dashed, half),
                line("by fingers, as in the paper", 0, Stroke::Dots, fingers),
                line("by successor lists, too", 1, Stroke::Dots, both),
            ],
        },
    );
}

/// What two textbook versions cost.
fn mistakes(effort: Effort, report: &mut Report) {
    let lookups = effort.of(2_000) as usize;
    for nodes in [256, 1_024] {
        let walking = paths::<Walking>(nodes, lookups, Manner::Recursive, 1).mean;
        let wrong = 100.0 * paths::<Predecessor>(nodes, lookups, Manner::Recursive, 1).wrong;
        let (path, share) = (format!("{walking:.0}"), format!("{wrong:.1} %"));
        let none = String::new();
        report.rows.push(row(
            format!("Chord, mean path where lookups walk the ring, {nodes} nodes"),
            none.clone(),
            "",
            path,
            none.clone(),
        ));
        report.rows.push(row(
            format!("Chord, wrong answers where the predecessor answers, {nodes} nodes"),
            none.clone(),
            "",
            share,
            none,
        ));
    }
}

/// The mean of several draws.
fn mean(draw: impl Fn(u64) -> Loads) -> Loads {
    let sum = (1..=DRAWS).map(draw).fold((0.0, 0.0), |sum, load| (sum.0 + load.p99, sum.1 + load.most));
    Loads { p99: sum.0 / DRAWS as f64, most: sum.1 / DRAWS as f64 }
}

/// §6.2, figures 8 and 9.
fn load(effort: Effort, report: &mut Report) {
    let (nodes, keys) = if effort == Effort::Full { (10_000, 500_000) } else { (2_000, 100_000) };
    let one = mean(|seed| loads(nodes, keys, seed));
    let mut judge = |what: String, published: Option<f64>, tolerance: &'static str, band: f64, found: f64| {
        report.rows.push(Row {
            agrees: published.map(|published| (found / published - 1.0).abs() <= band),
            ..row(
                what,
                published.map_or_else(String::new, |published| format!("{published} times")),
                tolerance,
                format!("{found:.2} times"),
                String::new(),
            )
        });
    };
    let what = |what: &str| format!("Chord, keys per node, {what}, in means");
    judge(what("99th percentile"), Some(4.6), "5 %", 0.05, one.p99);
    judge(what("most"), Some(9.1), "15 %", 0.15, one.most);
    let (mut p99, mut most) = (Vec::new(), Vec::new());
    for (each, published) in [(1, Some(4.8)), (2, None), (5, None), (10, None), (20, Some(1.6))] {
        let load = mean(|seed| virtual_loads(10_000, each, 1_000_000, seed));
        judge(what(&format!("{each} virtual nodes, 99th percentile")), published, "5 %", 0.05, load.p99);
        p99.push((each as f64, load.p99));
        most.push((each as f64, load.most));
    }
    report.draw(
        "chord-loads.svg",
        &Chart {
            title: "A million keys on ten thousand nodes",
            x: Axis::new(
                "virtual nodes each",
                Scale::Logarithmic(0.9, 22.0),
                &[1.0, 2.0, 5.0, 10.0, 20.0],
                "",
            ),
            y: Axis::new("keys, in means", Scale::Linear(0.0, 10.0), &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0], ""),
            lines: vec![
                line("the fullest node", 1, Stroke::Solid, most),
                line("99th percentile", 0, Stroke::Solid, p99),
                line("99th percentile as published", 0, Stroke::Dots, vec![(1.0, 4.8), (20.0, 1.6)]),
            ],
        },
    );
}

/// §6.4, figure 11.
fn sudden_failures(effort: Effort, report: &mut Report) {
    let (nodes, lookups) = if effort == Effort::Full { (10_000, 10_000) } else { (400, 1_000) };
    let mut points = Vec::new();
    for percent in [5, 10, 20, 50] {
        let (lost, wrong) = failures(nodes, percent, lookups, percent);
        let share = percent as f64 / 100.0;
        points.push((percent as f64, 100.0 * lost));
        // Who fails is drawn, what they had is drawn, what is looked up is drawn: four deviations of each.
        let band = 4.0 * (share * (1.0 - share) * (2.0 / nodes as f64 + 1.0 / lookups as f64)).sqrt();
        report.rows.push(Row {
            agrees: Some((lost - share).abs() <= band && wrong <= 0.002),
            ..row(
                format!("Chord, lookups that miss who was responsible when {percent} % fail at once"),
                format!("{percent} %"),
                "4 deviations",
                format!("{:.1} %", 100.0 * lost),
                format!("{:.2} % miss who is now", 100.0 * wrong),
            )
        });
    }
    let equal = vec![(0.0, 0.0), (50.0, 50.0)];
    report.draw(
        "chord-failures.svg",
        &Chart {
            title: "Lookups after many have failed at once",
            x: Axis::new("failed", Scale::Linear(0.0, 55.0), &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0], " %"),
            y: Axis::new("missed", Scale::Linear(0.0, 55.0), &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0], " %"),
            lines: vec![
                line("the same share", 0, Stroke::Dashed, equal),
                line("measured", 0, Stroke::Dots, points),
            ],
        },
    );
}

/// §6.5, figure 12.
fn churning(effort: Effort, report: &mut Report) {
    let seconds = effort.of(10_000);
    let share = |churn: Churn| 100.0 * churn.failed as f64 / churn.lookups.max(1) as f64;
    let (mut published, mut manner, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for (rate, known) in [(0.01, 0.3), (0.05, 2.5), (0.10, 6.5)] {
        let paper = share(churn::<Paper>(500, rate, seconds, 1));
        let own = share(churn::<Corrected>(500, rate, seconds, 1));
        published.push((rate, known));
        manner.push((rate, paper));
        ours.push((rate, own));
        report.rows.push(Row {
            // The same order of magnitude.
            agrees: Some(paper >= known / 3.0 && paper <= known * 3.0),
            ..row(
                format!("Chord, lookups that fail, {rate} joins and failures a second among 500"),
                format!("{known} %"),
                "shape",
                format!("{paper:.2} %"),
                format!("{own:.2} %"),
            )
        });
    }
    report.draw(
        "chord-churn.svg",
        &Chart {
            title: "Lookups while nodes join and fail",
            x: Axis::new(
                "joins, and failures, a second",
                Scale::Linear(0.0, 0.11),
                &[0.0, 0.02, 0.04, 0.06, 0.08, 0.1],
                "",
            ),
            y: Axis::new("fail", Scale::Linear(0.0, 7.0), &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], " %"),
            lines: vec![
                line("published", 0, Stroke::Dashed, published),
                line("in the paper's manner", 0, Stroke::Solid, manner),
                line("ours", 1, Stroke::Solid, ours),
            ],
        },
    );
}
