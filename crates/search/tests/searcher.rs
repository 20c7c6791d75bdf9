//! The searcher itself, on puzzles and protocols whose state counts are known from elsewhere.

use quorate_search::{Bounds, System, search};

const ALL: Bounds = Bounds { states: 1_000_000, depth: 1_000 };

/// The jugs of "Die Hard", as in Lamport's TLA+ course: 3 and 5 gallons, 4 are wanted. 16 states; 6 steps to
/// the goal.
struct Jugs {
    /// Whether to call the goal wrong, so as to be shown the way.
    wanted: bool,
}

impl System for Jugs {
    type State = (u8, u8);
    type Action = &'static str;

    fn start(&mut self) -> Vec<(u8, u8)> {
        vec![(0, 0)]
    }

    fn successors(&mut self, &(small, big): &(u8, u8), found: &mut Vec<(&'static str, (u8, u8))>) {
        let (into_big, into_small) = (small.min(5 - big), big.min(3 - small));
        found.extend([
            ("fill small", (3, big)),
            ("fill big", (small, 5)),
            ("empty small", (0, big)),
            ("empty big", (small, 0)),
            ("small to big", (small - into_big, big + into_big)),
            ("big to small", (small + into_small, big - into_small)),
        ]);
    }

    fn wrong(&mut self, &(_, big): &(u8, u8)) -> Option<String> {
        (self.wanted && big == 4).then(|| "four gallons".to_string())
    }

    fn tell(&self, _: &(u8, u8), action: &&'static str, to: &(u8, u8)) -> String {
        format!("{action}: {to:?}")
    }
}

#[test]
fn the_jugs_have_sixteen_states() {
    let outcome = search(&mut Jugs { wanted: false }, ALL, |_, _| {});
    assert_eq!((outcome.states, outcome.steps, outcome.complete), (16, 96, true));
    assert_eq!(outcome.counterexample, None);
}

#[test]
fn the_shortest_way_to_four_gallons_has_six_steps() {
    let outcome = search(&mut Jugs { wanted: true }, ALL, |_, _| {});
    let found = outcome.counterexample.expect("it can be done");
    assert_eq!(found.steps.len(), 6);
    assert_eq!(found.what, "four gallons");
    assert_eq!(found.steps[0], "fill big: (0, 5)");
    assert_eq!(found.steps[5], "big to small: (3, 4)");
}

#[test]
fn bounds_are_kept_and_told() {
    let few = search(&mut Jugs { wanted: false }, Bounds { states: 10, ..ALL }, |_, _| {});
    assert_eq!((few.states, few.complete), (10, false));
    let near = search(&mut Jugs { wanted: false }, Bounds { depth: 1, ..ALL }, |_, _| {});
    assert_eq!((near.states, near.depth, near.complete), (3, 1, false));
}

/// Two-phase commit as in Gray and Lamport's TLA+ text ("Consensus on Transaction Commit", 2006), with this
/// many participants: 288 states with three and 8,832 with five.
struct TwoPhase {
    participants: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    Working,
    Prepared,
    Committed,
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Phases {
    parts: [Part; 5],
    manager: Part,
    /// Of whom the manager knows that they are prepared, and who has sent it so, as bits.
    knows: u8,
    sent: u8,
    commit_sent: bool,
    abort_sent: bool,
}

impl System for TwoPhase {
    type State = Phases;
    type Action = usize;

    fn start(&mut self) -> Vec<Phases> {
        let parts = [Part::Working; 5];
        let manager = Part::Working;
        vec![Phases { parts, manager, knows: 0, sent: 0, commit_sent: false, abort_sent: false }]
    }

    fn successors(&mut self, state: &Phases, found: &mut Vec<(usize, Phases)>) {
        let everybody = (1u8 << self.participants) - 1;
        if state.manager == Part::Working {
            found.push((0, Phases { manager: Part::Aborted, abort_sent: true, ..*state }));
            if state.knows == everybody {
                found.push((0, Phases { manager: Part::Committed, commit_sent: true, ..*state }));
            }
        }
        for at in 0..self.participants {
            let bit = 1 << at;
            let becomes = |part| {
                let mut next = *state;
                next.parts[at] = part;
                next
            };
            if state.manager == Part::Working && state.sent & bit != 0 {
                found.push((at, Phases { knows: state.knows | bit, ..*state }));
            }
            if state.parts[at] == Part::Working {
                found.push((at, Phases { sent: state.sent | bit, ..becomes(Part::Prepared) }));
                found.push((at, becomes(Part::Aborted)));
            }
            if state.commit_sent {
                found.push((at, becomes(Part::Committed)));
            }
            if state.abort_sent {
                found.push((at, becomes(Part::Aborted)));
            }
        }
    }

    fn wrong(&mut self, state: &Phases) -> Option<String> {
        let is = |part| state.parts.contains(&part);
        (is(Part::Committed) && is(Part::Aborted)).then(|| "some commit and some abort".to_string())
    }

    fn tell(&self, _: &Phases, at: &usize, to: &Phases) -> String {
        format!("{at}: {to:?}")
    }
}

#[test]
fn two_phase_commit_has_as_many_states_as_published() {
    for (participants, states) in [(3, 288), (5, 8_832)] {
        let outcome = search(&mut TwoPhase { participants }, ALL, |_, _| {});
        assert_eq!((outcome.states, outcome.complete), (states, true), "{participants} participants");
        assert_eq!(outcome.counterexample, None);
    }
}
