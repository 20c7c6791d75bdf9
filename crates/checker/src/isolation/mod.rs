//! Properties **Serializable**, **SessionSerializable** and **StrictSerializable**: some order of the transactions, one after the
//! other, explains all that was read; of the second, with each process's own in its order; of the third, with each before all
//! that began after its end.
//!
//! Sources: Adya, "Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed Transactions" (PhD
//! thesis, MIT 1999), for the dependencies and the anomalies' names; Kingsbury and Alvaro, "Elle: Inferring Isolation
//! Anomalies from Experimental Observations" (VLDB 2020), for finding them in what clients saw; Papadimitriou, "The Serializability
//! of Concurrent Database Updates" (1979), for why one does not search for the order itself.
//!
//! What clients saw says which transaction must come before which ([`edges`](self)): who wrote before whom (ww), who read
//! whose write (wr), who read what another then overwrote (rw). A cycle among these is a proof that no order explains the
//! history, and is told as one. Histories come as [`Transaction`]s on lists and registers.
//!
//! | file | what |
//! |---|---|
//! | `history` | transactions, as they are recorded |
//! | `anomaly` | the kinds |
//! | `index` | who wrote and read what; what can be known of the versions' order; what is wrong without any order |
//! | `edges`, `graph` | the graph, linear in the history; its strongly connected components |
//! | `cycles`, `story` | cycles, their kinds, and how they are told |
//! | [`bank`], [`fractured`], [`long_fork`] | the same promise, by small recognisers that need no graph |
//!
//! What holds (and is held against all orders, tried one after the other, in `tests/isolation_twin.rs`): what is reported has
//! no order that explains it. The converse holds for histories that are *fully observed*: each list is read whole by
//! a last transaction, or each version of a register has a number. Otherwise an anomaly may hide where nobody looked.
//!
//! Not judged: reads of transactions that did not happen, and ranges (phantoms); a workload that reads ranges should read a list of
//! what is in the range.

mod anomaly;
pub mod bank;
mod cycles;
mod edges;
pub mod fractured;
mod graph;
mod history;
mod index;
pub mod long_fork;
mod story;

pub use anomaly::{Anomaly, Kind, Time};
pub use history::{Op, Status, Transaction};

use crate::Violation;
use alloc::format;
use alloc::vec::Vec;
use graph::Mask;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is an order.
    Serializable,
    /// There is one that keeps the order of each process's own.
    Session,
    /// There is one that keeps the order of real time.
    Strict,
}

/// No more than these are told.
const TOLD: usize = 16;

/// All that is wrong, the worst first, [`Level`] being promised. Of each component of the graph only the worst cycle is told.
pub fn anomalies(history: &[Transaction], level: Level) -> Vec<Anomaly> {
    let time = match level {
        Level::Serializable => Mask::NONE,
        Level::Session => Mask::PROCESS,
        Level::Strict => Mask::PROCESS.and(Mask::TIME),
    };
    let mut index = index::Index::new(history);
    let mut found = core::mem::take(&mut index.anomalies);
    let graph = edges::graph(&index, &mut found, time);
    found.extend(cycles::find(&graph, time).iter().map(|cycle| story::tell(&index, cycle)));
    found.sort_by_key(|anomaly| (anomaly.time, anomaly.kind));
    found.dedup();
    found
}

/// Whether the history keeps the promise.
pub fn check(history: &[Transaction], level: Level) -> Result<(), Violation> {
    let found = anomalies(history, level);
    let Some(worst) = found.first() else { return Ok(()) };
    let property = match level {
        Level::Serializable => "Serializable",
        Level::Session => "SessionSerializable",
        Level::Strict => "StrictSerializable",
    };
    let more = match found.len() - 1 {
        0 => alloc::string::String::new(),
        more => {
            let kinds: Vec<&str> = found[1..].iter().take(TOLD).map(|anomaly| anomaly.kind.name()).collect();
            format!("\nand {more} more: {}", kinds.join(", "))
        }
    };
    Err(Violation::new(property, format!("{worst}{more}")))
}
