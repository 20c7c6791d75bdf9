//! Where the revisions of the state machine live on disk.
//!
//! The log is the truth; what is kept here is a checkpoint of the state machine, replaced by a newer one
//! every few seconds, after which the log's older part may go. After a crash the last durable checkpoint is
//! opened and the log replayed from its applied index on.
//!
//! ```text
//!   get, scan ──▶ pending ──▶ frozen ──▶ read handle          all of it behind &self, from many threads
//!                    ▲           │            ▲
//!          insert,   │           │ commit     │ finish
//!          remove ───┘           ▼            │
//!                             redb file ──────┘
//! ```
//!
//! [`Store`] gathers changes in memory (*pending*). A checkpoint sets them aside (*frozen*, immutable, still
//! read), writes them in one atomic transaction off the state machine's lock, and then drops them in favour
//! of a fresh read handle. Reading never begins a transaction and never waits for a commit.
//!
//! The directory holds one [generation](generation): `state-<n>.redb`, named by `CURRENT`. A snapshot from
//! another node is built aside as the next generation by an [`ImageWriter`] and then made the current one.
//!
//! Invariants:
//! 1. What a reopened store holds is exactly the state as of one `begin_checkpoint`: records, leases and
//!    [`Meta`](quorate_kv::Meta) together.
//! 2. It is at least as new as the last checkpoint committed with `durable`.
//! 3. Every record and lease read from disk carries a checksum over its name and its content; one that fails it is
//!    never returned. The facts carry a tally of all of them: an open, and an image, notice what is missing.
//! 4. No file but the current generation's survives an open.
//!
//! A store that is damaged says so when it is opened ([`StorageError::is_damage`]); it can be [set aside](set_aside)
//! and its state be fetched from another member. The host must still compare the applied index of an opened store
//! with the beginning of its log, and take it for damaged when entries between the two are gone: that is the last
//! line against a file that was replaced by an older copy of itself, or whose one unprotected bit (which of two
//! commits counts) has flipped after a crash.
#![forbid(unsafe_code)]

mod checkpoint;
mod database;
mod error;
pub mod generation;
pub mod image;
mod image_file;
mod layer;
mod layout;
mod store;
mod tally;

pub use checkpoint::{Checkpoint, Committed, Retired};
pub use error::StorageError;
pub use generation::{activate, move_aside, set_aside};
pub use image::ImageError;
pub use image_file::{Image, ImageReader, ImageWriter};
pub use store::{Options, Store};

/// The engine's trait for a place of bytes: what a simulated or faulty disk implements.
pub use redb::StorageBackend;
