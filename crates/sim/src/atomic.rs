//! Atomic commit in the seeded world: sites that coordinate transactions and take part in them.
//!
//! A site is a group of replicas with one log, or a single process, which is such a group of one member: its log is then its own
//! disk's, and it drives whenever it runs (and has elected itself). So the very host that carries a consensus core carries
//! a site as well; what is in [`crate::host`], the log, its recovery, images and the operator's changes, serves both. Records go
//! through the log like any command, and what a site holds goes into checkpoints and images beside the store's state.
//!
//! | part | file |
//! |---|---|
//! | what a run is like | `character` |
//! | what a site keeps | `data` |
//! | a site on its host | `site` |
//! | clients, and what they do | `clients`, `plans` |
//! | verdicts | `checks`, `end`, and the crate `quorate-checker` |

mod character;
pub mod checks;
pub mod clients;
pub mod data;
mod end;
pub mod plans;
pub mod site;

use quorate_commit::{Age, Protocol, SiteId, Termination, TxnId, Work};

use crate::env::Env;
use crate::plant::Plant;

/// What a client asks of a site: a transaction.
#[derive(Clone, Debug)]
pub struct Begin {
    pub txn: TxnId,
    pub age: Age,
    pub protocol: Protocol,
    pub works: Vec<(SiteId, Work)>,
}

/// So many epochs old a name may be and still be used: then it is given up, and an epoch later forgotten.
pub const PATIENCE_EPOCHS: u64 = 2;

impl Env {
    /// How transactions are committed in this run.
    pub fn commit_protocol(&self) -> Protocol {
        match (self.three_phases, self.plant) {
            (false, _) => Protocol::TwoPhase,
            (true, Some(Plant::ClassicalTermination)) => Protocol::ThreePhase(Termination::Classical),
            (true, Some(Plant::SkeenTermination)) => Protocol::ThreePhase(Termination::Skeen),
            (true, _) => Protocol::ThreePhase(Termination::Quorum),
        }
    }

    /// How long an epoch lasts.
    fn epoch_us(&self) -> u64 {
        20 * self.swarm.election_us() + 4 * self.swarm.load.patience_us
    }

    /// The epoch that a transaction begun now is of.
    pub fn epoch(&self) -> u64 {
        self.now / self.epoch_us()
    }

    /// The epoch below which all may be forgotten.
    pub fn floor(&self) -> u64 {
        self.epoch().saturating_sub(PATIENCE_EPOCHS + 1)
    }
}
