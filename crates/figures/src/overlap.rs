//! Syncing beside sending (dissertation §10.2.1), with this project's own measurements of disk and network.
//!
//! Of a machine like those this was built on: a write with fdatasync takes 92 µs in the median and hardly
//! less than 80, a loopback round trip 13 µs, and handing something to another thread and back 7 µs. A bare
//! three-replica skeleton on it made 4.4 thousand operations a second one at a time with both at once, and
//! 2.6 with the leader's sync first: 1.75 times (both were slower than these parts add up to, so our ratio
//! comes out somewhat higher).

use crate::Effort;
use crate::core::time_per_op;
use crate::fsync::Pace;
use crate::report::{Report, Row};
use crate::svg::{Axis, Chart, Line, Scale, Stroke};
use crate::world::{Delay, Time, US};

/// Half a loopback round trip.
const WAY: Time = 6_500;

/// To the log's thread and back.
const HANDOVER: Time = 7 * US;

/// A sync: 80 µs at least, 92 in the median.
const SYNC: Delay = Delay::Tail(80 * US + HANDOVER, 12 * US);

/// How many times faster an operation is if the leader syncs beside sending.
pub(crate) fn gain(network: Delay, sync: Delay, ops: u64) -> f64 {
    let time = |sync_first| time_per_op(&Pace { network, sync, sync_first }, ops, 7);
    time(true) / time(false)
}

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    let ops = effort.of(50_000);
    let found = gain(Delay::Fixed(WAY), SYNC, ops);
    report.rows.push(Row {
        what: "the leader syncs beside sending, one operation at a time: gain".into(),
        published: "1.75 times".into(),
        tolerance: "15 %",
        measured: format!("{found:.2} times"),
        asking: String::new(),
        agrees: Some((found / 1.75 - 1.0).abs() <= 0.15),
    });
    let ratios = (0..=40).map(|step| 0.05 * 1.16_f64.powi(step));
    let calculated = |ratio: f64| (ratio, (2.0 + ratio) / (1.0 + ratio));
    let measured = |ratio: f64| {
        let way = Delay::Fixed((ratio * 50.0 * US as f64) as Time);
        (ratio, gain(way, Delay::Fixed(100 * US), effort.of(5_000)))
    };
    let varying = |ratio: f64| {
        let way = Delay::Fixed((ratio * 50.0 * US as f64) as Time);
        (ratio, gain(way, Delay::Tail(50 * US, 50 * US), effort.of(20_000)))
    };
    let dots = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];
    let line = |name: &str, colour, stroke, points| Line { name: name.into(), colour, stroke, points };
    let chart = Chart {
        title: "What it gains to sync beside sending, one operation at a time",
        x: Axis::new(
            "network round trip ÷ median sync",
            Scale::Logarithmic(0.05, 20.0),
            &[0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0],
            "",
        ),
        y: Axis::new("times faster", Scale::Linear(1.0, 2.2), &[1.0, 1.25, 1.5, 1.75, 2.0], ""),
        lines: vec![
            line("calculated, equal syncs", 0, Stroke::Solid, ratios.map(calculated).collect()),
            line("measured, equal syncs", 0, Stroke::Dots, dots.map(measured).to_vec()),
            line("measured, syncs that vary (50 µs and more)", 1, Stroke::Dots, dots.map(varying).to_vec()),
        ],
    };
    report.draw("sync-beside-sending.svg", &chart);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_syncs_gain_what_is_calculated() {
        for (way, sync) in [(5 * US, 100 * US), (50 * US, 100 * US), (500 * US, 100 * US)] {
            let calculated = (2 * sync + 2 * way) as f64 / (sync + 2 * way) as f64;
            let found = gain(Delay::Fixed(way), Delay::Fixed(sync), 100);
            assert!((found - calculated).abs() < 0.01, "{found} for {calculated}");
        }
    }
}
