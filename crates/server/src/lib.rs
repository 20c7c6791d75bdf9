//! A node: threads, sockets, configuration, metrics.
//!
//! Everything that decides anything is a pure value in another crate; this one gives those values time, a
//! disk, a network and clients. The core and the state machine are run by whoever has something for them
//! (see [`mod@combiner`]); around them is a handful of threads that look after one thing each and talk by
//! mailboxes ([`mod@mailbox`]):
//!
//! | thread | owns | module |
//! |---|---|---|
//! | consensus | the core's clock, and the core when there is much to do | [`mod@consensus`] |
//! | log | the write-ahead log | [`mod@log`] |
//! | apply | large batches for the state machine | [`mod@apply`] |
//! | watch | the hub of watchers | [`mod@watches`] |
//! | checkpoint | the way to the state's file | [`mod@checkpoint`] |
//! | to a peer, from a peer | a socket | [`mod@peers`] |
//! | clients (tokio) | client connections | [`mod@http`], [`mod@services`] |
//!
//! A thread that cannot go on strikes [`Fatal`](shared::Fatal): the node ends, acknowledging nothing more.
#![forbid(unsafe_code)]

mod apply;
mod authority;
mod checkpoint;
mod combiner;
mod compaction;
pub mod config;
mod consensus;
mod http;
pub mod identity;
mod joining;
mod leases;
mod log;
mod mailbox;
mod members;
mod metrics;
mod node;
mod opening;
mod peers;
mod process;
mod protocols;
mod requests;
mod scrubbing;
mod services;
mod shared;
mod snapshots;
mod startup;
mod steward;
mod ticks;
mod waiters;
mod watches;

pub use config::Config;
pub use node::Node;
pub use opening::StartError;
pub use protocols::Protocol;
pub use shared::Fate;
