//! The papers' figures, measured again on our core.
//!
//! Whoever implements a protocol from its paper can compare more than its rules with it: the numbers the
//! authors measured follow from the rules, and a core that is subtly different (draws its timeouts from
//! elsewhere, resets a timer where it should not) gives other numbers. So the experiments of the Raft paper
//! and of Ongaro's dissertation are repeated here, over the very core that serves clients, in the smallest
//! host it can have (`world`): an event queue with delays, no log, no state machine. So are the Chord paper's, and the methods of
//! hashing are compared with a reference.
//!
//! | figure | module | source |
//! |---|---|---|
//! | how common split votes are | `split` | dissertation §9.3 |
//! | elections over a wide area | `wan` | dissertation §9.5 |
//! | downtime after a crash | `crash` | Raft (extended version), §9.3 and figure 16 |
//! | syncing beside sending | `overlap` | dissertation §10.2.1; the numbers are our own machine's |
//! | Chord: paths, loads, failures, churn | `chord` | Stoica and others 2001, §6 |
//! | hashing: balance, moves | `ring` | a reference measured elsewhere |
//!
//! # Invariants
//!
//! 1. Every number is decided by the number of trials and nothing else: not by threads, clocks or addresses.
//! 2. Nothing is tuned to fit. Where a paper leaves a parameter open, several values are shown; where our
//!    core differs from what the paper measured (it asks before it campaigns), both are measured.
//!
//! # Caveats
//!
//! Published numbers were read from the papers' text and plots; their tolerances are those of the text.

#![forbid(unsafe_code)]

mod chord;
mod compare;
mod core;
mod crash;
mod election;
mod fsync;
mod overlap;
mod report;
mod ring;
mod split;
mod stats;
mod svg;
mod wan;
mod world;

pub use compare::{Comparison, Table, compare};
pub use report::{Drawing, Report, Row};

/// How many trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Enough for every published tolerance; some minutes, most of them Chord's under churn.
    Full,
    /// A fiftieth of that, for tests: the bands are wider then.
    Brief,
}

impl Effort {
    /// This many trials, or as many as this effort makes of them.
    fn of(self, trials: u64) -> u64 {
        match self {
            Effort::Full => trials,
            Effort::Brief => (trials / 50).max(100),
        }
    }
}

/// Measures all figures. `told` hears the name of each before it begins.
pub fn measure(effort: Effort, mut told: impl FnMut(&str)) -> Report {
    let mut report = Report::default();
    type Figure = fn(Effort, &mut Report);
    let figures: [(&str, Figure); 6] = [
        ("split votes", split::measure),
        ("elections over a wide area", wan::measure),
        ("downtime after a crash", crash::measure),
        ("syncing beside sending", overlap::measure),
        ("hashing", ring::measure),
        ("Chord", chord::measure),
    ];
    for (name, figure) in figures {
        told(name);
        figure(effort, &mut report);
    }
    report
}
