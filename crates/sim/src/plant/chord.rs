//! Chord with one rule broken.

use quorate_chord::{Corrected, Rules};

use super::Plant;
use crate::Options;
use crate::chord::Ring;
use crate::report::Report;
use crate::trace::Sink;

/// The rules as corrected, but for one.
#[derive(Clone, Debug)]
pub struct Broken;

impl Rules for Broken {
    fn hears_first() -> bool {
        !super::is_in(Plant::UnheardPointer)
    }

    fn joins_whole() -> bool {
        !super::is_in(Plant::OriginalJoin)
    }

    fn owner_is_successor() -> bool {
        !super::is_in(Plant::PredecessorOwns)
    }
}

/// Run one world with the core that the options ask for.
pub fn run(options: &Options, sink: Option<Sink<'_>>) -> Report {
    match options.plant {
        Some(plant) => super::with(plant, || Ring::<Broken>::run(options, sink)),
        None => Ring::<Corrected>::run(options, sink),
    }
}
