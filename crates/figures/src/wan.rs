//! Elections over a wide area (dissertation §9.5).
//!
//! Five voters; each message takes 30 to 40 ms, each timeout is 300 to 600 ms; one or two of five have
//! failed, the leader among them. Time is counted from the leader's last heartbeat, which arrives everywhere
//! at once, as in the dissertation's simulation of the other sections.

use crate::Effort;
use crate::core::{Manner, election};
use crate::election::Election;
use crate::report::{Report, Row};
use crate::stats::{Times, trials};
use crate::svg::{Axis, Chart, Line, Scale, Stroke};
use crate::world::{Delay, MS, Time};

/// Ticks of the shortest timeout and of the range.
const RANGE: u32 = 150;

/// The length of a tick.
const TICK: Time = 2 * MS;

/// Times to elect a leader, in milliseconds.
pub(crate) fn times(manner: Manner, down: u64, n: u64) -> Times {
    let way = Delay::Uniform(30 * MS, 40 * MS);
    let setup = Election {
        nodes: 5,
        also_down: down - 1,
        tick: TICK,
        election_ticks: RANGE,
        heartbeat: Delay::Fixed(0),
        request: way,
        reply: way,
        uneven_logs: false,
        patience: 60_000 * MS,
    };
    let elected = trials(n, |seed| election::<RANGE>(manner, &setup, seed).elected);
    Times::new(elected.into_iter().map(|at| at.map(|at| at as f64 / MS as f64)))
}

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    let mut lines = Vec::new();
    for (colour, down, mean, longest) in [(0, 1, 475.0, 1_500.0), (1, 2, 650.0, 3_000.0)] {
        let n = effort.of(100_000);
        let (basic, asking) = (times(Manner::Basic, down, n), times(Manner::Asking, down, n));
        let late = |times: &Times| times.quantile(0.999).unwrap_or(f64::INFINITY);
        report.rows.push(Row {
            what: format!("30–40 ms, timeouts 300–600 ms, {down} of 5 down: mean"),
            published: format!("about {mean} ms"),
            tolerance: "10 %",
            measured: format!("{:.0} ms", basic.mean()),
            asking: format!("{:.0} ms", asking.mean()),
            agrees: Some((basic.mean() / mean - 1.0).abs() <= 0.1),
        });
        report.rows.push(Row {
            what: format!("the same, {down} of 5 down: 99.9 % within"),
            published: format!("{longest} ms"),
            tolerance: "at most, 10 %",
            measured: format!("{:.0} ms", late(&basic)),
            asking: format!("{:.0} ms", late(&asking)),
            agrees: Some(late(&basic) <= 1.1 * longest),
        });
        let line = |times: &Times, manner: &str, stroke| Line {
            name: format!("{down} of 5 down, {manner}"),
            colour,
            stroke,
            points: times.distribution(300),
        };
        lines.push(line(&basic, "candidates at once", Stroke::Solid));
        lines.push(line(&asking, "with pre-votes", Stroke::Dashed));
    }
    let chart = Chart {
        title: "Time to elect a leader over a wide area",
        x: Axis::new(
            "time since the last heartbeat",
            Scale::Linear(300.0, 2_000.0),
            &[300.0, 500.0, 750.0, 1_000.0, 1_250.0, 1_500.0, 1_750.0, 2_000.0],
            " ms",
        ),
        y: Axis::new("elections done", Scale::Linear(0.0, 1.0), &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], ""),
        lines,
    };
    report.draw("election-wan.svg", &chart);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand trials: the mean's standard deviation is about 5 and 11 ms. Twice the range of timeouts
    /// would add some 55 and 30 ms.
    #[test]
    fn elections_take_as_long_as_published() {
        for (down, mean, band) in [(1, 473.0, 30.0), (2, 645.0, 60.0)] {
            let times = times(Manner::Basic, down, 1_000);
            assert_eq!(times.never(), 0);
            assert!((times.mean() - mean).abs() < band, "{down} down: {}", times.mean());
        }
    }

    #[test]
    fn asking_first_takes_a_round_trip_more() {
        let mean = |manner| times(manner, 1, 1_000).mean();
        let more = mean(Manner::Asking) - mean(Manner::Basic);
        assert!((50.0..110.0).contains(&more), "{more}");
    }
}
