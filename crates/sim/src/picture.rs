//! A failed run as a space-time diagram: a column for each node, time down the page, messages as arrows.
//!
//! ```text
//!                 1       2       3
//!    0.031000     ┃       │       │     node 1 is leader in round 2
//!    0.031520     ├───────┼──────▶│     1→3 Append 5..7 after 4:2@1, commit 4
//!    0.040000     ✖       │       │     node 1 loses power, for 8000 us
//! ```
//!
//! A message is drawn when it arrives, or, if it never does, when it is sent. `┃` is a node that takes itself for the
//! leader, `╎` one that stands still; a node that is down has no line. Heartbeats, their answers and a watch's
//! progress are left out, and of a long story's beginning everything but elections and faults.

use std::fmt::Write;

use quorate_protocol::Role;

use crate::report::Failure;
use crate::story::{Fate, Happening, Moment};

/// Whether a picture needs this, however long the story that follows: an election or a fault.
pub fn is_milestone(moment: &Moment) -> bool {
    weight(&moment.what) == Weight::Milestone
}

/// Columns of the page for each node.
const WIDTH: usize = 8;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Left out.
    None,
    /// Left out of the beginning of a long story.
    Detail,
    /// Elections and faults.
    Milestone,
}

/// What is drawn across the columns.
enum Shape {
    Blank,
    /// A sign on a node's line.
    Mark(u64, char),
    /// From, to, and whether it arrives.
    Arrow(u64, u64, bool),
}

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Down,
    Up,
    Leads,
}

/// Draws one run.
struct Picture {
    lines: Vec<Line>,
    /// Until when each stands still.
    still: Vec<u64>,
}

/// The picture of a failed run of so many nodes, in about `limit` lines.
pub fn picture(moments: &[Moment], nodes: usize, failure: &Failure, limit: usize) -> String {
    // Nodes may have joined.
    let named = moments.iter().filter_map(|moment| moment.what.node()).max();
    let nodes = nodes.max(named.unwrap_or(0) as usize);
    let weights: Vec<Weight> = moments.iter().map(|moment| weight(&moment.what)).collect();
    let chosen = choose(&weights, limit.max(8));
    let mut picture = Picture { lines: vec![Line::Down; nodes], still: vec![0; nodes] };
    let mut page = picture.heading();
    let mut omitted = 0;
    for ((moment, weight), chosen) in moments.iter().zip(weights).zip(chosen) {
        picture.follow(moment);
        if !chosen {
            omitted += usize::from(weight != Weight::None);
            continue;
        }
        if std::mem::take(&mut omitted) > 0 {
            let _ = writeln!(page, "{:>11} {}", "...", picture.across(moment.at, &Shape::Blank));
        }
        let drawn = picture.across(moment.at, &shape(&moment.what));
        let _ = writeln!(page, "{} {drawn} {}", seconds(moment.at), moment.what);
    }
    let _ = writeln!(
        page,
        "{} {:>width$} {} violated",
        seconds(failure.at_us),
        "==>",
        failure.property,
        width = nodes * WIDTH
    );
    page
}

fn seconds(at: u64) -> String {
    format!("{:>4}.{:06}", at / 1_000_000, at % 1_000_000)
}

/// Which lines are printed: all that matter if they fit; else the last ones, and of what came before them the last
/// milestones.
fn choose(weights: &[Weight], limit: usize) -> Vec<bool> {
    let mut chosen = vec![false; weights.len()];
    let (mut left, mut milestones) = (limit * 3 / 4, limit / 4);
    let fits = weights.iter().filter(|weight| **weight != Weight::None).count() <= limit;
    for (at, weight) in weights.iter().enumerate().rev() {
        let budget = match weight {
            Weight::None => continue,
            _ if fits => {
                chosen[at] = true;
                continue;
            }
            _ if left > 0 => &mut left,
            Weight::Milestone if milestones > 0 => &mut milestones,
            _ => continue,
        };
        *budget -= 1;
        chosen[at] = true;
    }
    chosen
}

fn weight(what: &Happening) -> Weight {
    match what {
        // Drawn when it arrives.
        Happening::Send { fate: Fate::Arrives(_), .. } => Weight::None,
        Happening::Send { label, .. } | Happening::Receive { label, .. } => match label {
            Some(label) if label.idle => Weight::None,
            _ => Weight::Detail,
        },
        Happening::Watched { label, .. } if label.idle => Weight::None,
        Happening::Role { role: Role::Follower, .. } => Weight::Detail,
        Happening::Role { .. }
        | Happening::Start { .. }
        | Happening::Crash { .. }
        | Happening::Pause { .. }
        | Happening::Cut { .. }
        | Happening::Heal
        | Happening::Deed { .. }
        | Happening::Image { .. }
        | Happening::Peace => Weight::Milestone,
        _ => Weight::Detail,
    }
}

fn shape(what: &Happening) -> Shape {
    match what {
        Happening::Send { from, to, .. } | Happening::Vanish { from, to, .. } => {
            Shape::Arrow(*from, *to, false)
        }
        Happening::Receive { from, to, .. } => Shape::Arrow(*from, *to, true),
        Happening::Start { node, .. } => Shape::Mark(*node, '○'),
        Happening::Crash { node, .. } => Shape::Mark(*node, '✖'),
        Happening::Commit { node, .. } => Shape::Mark(*node, '✓'),
        Happening::Role { node, role: Role::Candidate, .. } => Shape::Mark(*node, '?'),
        Happening::Ask { node, .. } | Happening::Watch { node, .. } => Shape::Mark(*node, '«'),
        Happening::Image { node, .. } => Shape::Mark(*node, '▣'),
        _ => Shape::Blank,
    }
}

impl Picture {
    /// The nodes' names.
    fn heading(&self) -> String {
        let names: String = (1..=self.lines.len()).map(|name| format!("{name:^WIDTH$}")).collect();
        format!("{:11} {}\n", "", names)
    }

    /// Take note of what changes the lines.
    fn follow(&mut self, moment: &Moment) {
        let (node, line) = match &moment.what {
            Happening::Start { node, .. } => (*node, Line::Up),
            Happening::Crash { node, .. } => (*node, Line::Down),
            Happening::Role { node, role: Role::Leader, .. } => (*node, Line::Leads),
            Happening::Role { node, .. } => (*node, Line::Up),
            Happening::Pause { node, for_us } => {
                if let Some(still) = self.still.get_mut(*node as usize - 1) {
                    *still = moment.at + for_us;
                }
                return;
            }
            Happening::Peace => return self.still.fill(0),
            _ => return,
        };
        if let Some(place) = self.lines.get_mut(node as usize - 1) {
            *place = line;
            if line == Line::Down {
                self.still[node as usize - 1] = 0;
            }
        }
    }

    /// A line across all columns.
    fn across(&self, at: u64, shape: &Shape) -> String {
        let mut row = vec![' '; self.lines.len() * WIDTH];
        let column = |node: u64| (node as usize - 1) * WIDTH + WIDTH / 2;
        for (place, line) in self.lines.iter().enumerate() {
            row[column(place as u64 + 1)] = match line {
                Line::Down => ' ',
                _ if self.still[place] > at => '╎',
                Line::Up => '│',
                Line::Leads => '┃',
            };
        }
        match *shape {
            Shape::Blank => {}
            Shape::Mark(node, sign) => row[column(node)] = sign,
            Shape::Arrow(from, to, arrives) => arrow(&mut row, column(from), column(to), arrives),
        }
        row.into_iter().collect()
    }
}

/// An arrow that ends before the receiver's line; or halfway, if it does not arrive.
fn arrow(row: &mut [char], from: usize, to: usize, arrives: bool) {
    let rightward = from < to;
    let end = match (arrives, rightward) {
        (true, true) => to - 1,
        (true, false) => to + 1,
        (false, _) => (from + to) / 2,
    };
    let (low, high) = if rightward { (from + 1, end) } else { (end, from.saturating_sub(1)) };
    for cell in &mut row[low..=high.max(low)] {
        *cell = if *cell == ' ' { '─' } else { '┼' };
    }
    row[from] = if rightward { '├' } else { '┤' };
    row[end] = match (arrives, rightward) {
        (true, true) => '▶',
        (true, false) => '◀',
        (false, _) => '✗',
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    fn failure() -> Failure {
        Failure {
            seed: 0,
            property: "ElectionSafety".into(),
            detail: String::new(),
            at_us: 50_000,
            options: Options::default(),
        }
    }

    fn tale() -> Vec<Moment> {
        let start = |node| Happening::Start { node, life: 0 };
        let vanish = Happening::Vanish { id: None, from: 3, to: 1, why: "a node that is down" };
        let what = vec![
            start(1),
            start(2),
            start(3),
            Happening::Role { node: 1, role: Role::Leader, round: 2, leader: Some(1) },
            Happening::Receive { id: None, from: 1, to: 3, label: None },
            Happening::Receive { id: None, from: 3, to: 2, label: None },
            Happening::Crash { node: 1, power: true, down_us: 5 },
            vanish,
        ];
        what.into_iter().enumerate().map(|(at, what)| Moment { at: 5_000 * at as u64, what }).collect()
    }

    #[test]
    fn messages_are_arrows_and_nodes_are_lines() {
        let expected = "               1       2       3    \n\
\x20  0.000000     ○                    node 1 starts, life 0\n\
\x20  0.005000     │       ○            node 2 starts, life 0\n\
\x20  0.010000     │       │       ○    node 3 starts, life 0\n\
\x20  0.015000     ┃       │       │    node 1 is leader in round 2, leader 1\n\
\x20  0.020000     ├───────┼──────▶│    1→3 something unreadable\n\
\x20  0.025000     ┃       │◀──────┤    3→2 something unreadable\n\
\x20  0.030000     ✖       │       │    node 1 loses power, for 5 us\n\
\x20  0.035000             ✗───────┤    3→1 meets a node that is down\n\
\x20  0.050000                      ==> ElectionSafety violated\n";
        assert_eq!(picture(&tale(), 3, &failure(), 20), expected);
    }

    #[test]
    fn of_a_long_story_the_end_and_the_milestones_are_kept() {
        let message = Happening::Receive { id: None, from: 1, to: 2, label: None };
        let mut moments = tale();
        moments.extend((0..100).map(|at| Moment { at: 40_000 + at, what: message.clone() }));
        let page = picture(&moments, 3, &failure(), 16);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines.iter().filter(|line| line.contains("1→2")).count(), 12, "{page}");
        assert!(lines[1].contains("node 3 starts") || lines[1].contains("..."), "{page}");
        assert!(page.contains("node 1 loses power"), "{page}");
        assert!(lines.len() <= 16 + 6, "{page}");
    }
}
