//! What the tests of this crate share.

pub mod ghost;
pub mod script;
pub mod show;
pub mod store;
pub mod storm;
pub mod world;

use quorate_commit::{Config, SiteId};

/// A site of small patience.
pub fn config(own: SiteId) -> Config {
    Config {
        vote_ticks: 20,
        retry_ticks: 4,
        doubt_ticks: 10,
        close_ticks: 0,
        close_lag: 0,
        read_ticks: 40,
        ..Config::new(own)
    }
}
