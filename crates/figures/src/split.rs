//! How common split votes are (dissertation §9.3).
//!
//! All followers' timers start together when the last heartbeat arrives. Messages take a fixed time each way.
//! An election is split if its term finds no leader, because others became candidates before the first one's
//! request reached them. What matters is the ratio of that time to the range of the timeouts, and how many
//! votes may be missed.
//!
//! # An oracle
//!
//! With timeouts uniform over a range of 1 and a way of λ, the term is split if more followers than may be
//! missed time out within λ of the first. If m may be missed, that is the gap between the first and the
//! (m+2)-th of s timeouts, which has a Beta distribution: the probability is that of more than m successes in
//! s trials of probability λ ([`expected`]). It gives the published numbers to their last digit.
//!
//! # Pre-votes change nothing here
//!
//! A follower that asks first campaigns one round trip after its timeout. A second one spoils its term only
//! if it, too, has its answers before the first one's request for votes arrives: if its timeout passes within
//! λ of the first, as before. (With ways that vary, this is only nearly so.)

use crate::Effort;
use crate::core::{Manner, election};
use crate::election::Election;
use crate::report::{Report, Row};
use crate::stats::trials;
use crate::svg::{Axis, Chart, Line, Scale, Stroke};
use crate::world::{Delay, Time};

/// Ticks in the range of the timeouts, and in the shortest one. A node's timeout is a whole number of ticks,
/// but they begin at a phase of its own, so that it passes at a time uniform over the range, however few
/// ticks that has.
const RANGE: u32 = 100;

/// The length of a tick. Nothing depends on it but how finely phases differ.
const TICK: Time = 100_000;

/// The share of elections split, with five voters of which `down` have failed.
pub(crate) fn measured(manner: Manner, down: u64, ratio: f64, n: u64) -> f64 {
    let way = Delay::Fixed((ratio * f64::from(RANGE) * TICK as f64) as Time);
    let setup = Election {
        nodes: 5,
        also_down: down - 1,
        tick: TICK,
        election_ticks: RANGE,
        heartbeat: Delay::Fixed(0),
        request: way,
        reply: way,
        uneven_logs: false,
        patience: 100 * u64::from(RANGE) * TICK,
    };
    let split = trials(n, |seed| election::<RANGE>(manner, &setup, seed).split);
    split.iter().filter(|split| **split).count() as f64 / n as f64
}

/// The same by calculation: `missable` votes may be missed out of those of `up` followers.
pub(crate) fn expected(up: u64, missable: u64, ratio: f64) -> f64 {
    let choose = |k: u64| (0..k).fold(1.0, |product, i| product * (up - i) as f64 / (i + 1) as f64);
    let exactly = |k: u64| choose(k) * ratio.powi(k as i32) * (1.0 - ratio).powi((up - k) as i32);
    (missable + 1..=up).map(exactly).sum()
}

/// Of five voters, the followers left when `down` have failed, and how many of their votes a candidate may
/// miss.
fn left(down: u64) -> (u64, u64) {
    (5 - down, 5 - down - 3)
}

pub(crate) fn measure(effort: Effort, report: &mut Report) {
    let published = [(1, 0.01, 0.06, 0.5), (1, 0.1, 5.2, 0.5), (1, 0.2, 18.1, 0.5), (2, 0.2, 48.8, 1.0)];
    for (down, ratio, percent, tolerance) in published {
        let n = effort.of(50_000);
        let share = |manner| 100.0 * measured(manner, down, ratio, n);
        let (basic, asking) = (share(Manner::Basic), share(Manner::Asking));
        report.rows.push(Row {
            what: format!("split votes, {down} of 5 down, latency {ratio} of the range"),
            published: format!("{percent} %"),
            tolerance: if tolerance < 1.0 { "0.5 points" } else { "1 point" },
            measured: format!("{basic:.2} %"),
            asking: format!("{asking:.2} %"),
            agrees: Some((basic - percent).abs() <= tolerance),
        });
    }
    let mut lines = Vec::new();
    for (colour, down) in [(0, 1), (1, 2)] {
        let (up, missable) = left(down);
        let fine = (0..=60).map(|step| f64::from(step) * 0.005);
        lines.push(Line {
            name: format!("{down} down, calculated"),
            colour,
            stroke: Stroke::Solid,
            points: fine.map(|ratio| (ratio, 100.0 * expected(up, missable, ratio))).collect(),
        });
        let coarse = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3];
        let point = |ratio| (ratio, 100.0 * measured(Manner::Basic, down, ratio, effort.of(20_000)));
        lines.push(Line {
            name: format!("{down} down, measured"),
            colour,
            stroke: Stroke::Dots,
            points: coarse.map(point).to_vec(),
        });
    }
    let chart = Chart {
        title: "Elections with a split vote, five voters",
        x: Axis::new(
            "one-way latency ÷ range of election timeouts",
            Scale::Linear(0.0, 0.3),
            &[0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3],
            "",
        ),
        y: Axis::new(
            "elections split",
            Scale::Linear(0.0, 70.0),
            &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0],
            " %",
        ),
        lines,
    };
    report.draw("split-votes.svg", &chart);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calculation_gives_the_published_numbers() {
        for (down, ratio, percent) in [(1, 0.01, 0.06), (1, 0.1, 5.2), (1, 0.2, 18.1), (2, 0.2, 48.8)] {
            let (up, missable) = left(down);
            let calculated = 100.0 * expected(up, missable, ratio);
            assert!((calculated - percent).abs() < 0.05, "{down} down, {ratio}: {calculated}");
        }
    }

    /// Two thousand trials: the standard deviation is 0.9 points at 18 % and 1.1 at 49 %, the bands are five
    /// of them. With timeouts over twice the range it would be 5 % and 27 %, with half of it 52 % and 78 %.
    #[test]
    fn elections_split_as_often_as_calculated() {
        for manner in [Manner::Basic, Manner::Asking] {
            for (down, ratio, band) in [(1, 0.1, 2.5), (1, 0.2, 4.3), (2, 0.2, 5.6)] {
                let (up, missable) = left(down);
                let percent = 100.0 * measured(manner, down, ratio, 2_000);
                let calculated = 100.0 * expected(up, missable, ratio);
                assert!((percent - calculated).abs() < band, "{manner:?}, {down} down, {ratio}: {percent}");
            }
        }
    }
}
