//! Real processes for tests (never part of what is shipped).
//!
//! | module | what it is |
//! |---|---|
//! | [`process`] | a child process whose output is collected, ended when dropped |
//! | [`ports`] | pairs of free loopback ports |
//! | [`cluster`] | members as processes of their own: start, kill, stop, hang, restart; who leads; equal hashes |
//! | [`etcd`] | a genuine etcd, if this machine has one |
//! | [`raw`] | clients of the plain protocol, for requests that a polite client library cannot express |
//! | [`records`] | records made of this machine's files |
//! | [`load`] | concurrent writers that retry, and remember what they were told |
//! | [`follow`] | a watch that resumes after every loss and remembers what it was told |
//! | [`chaos`] | the run that loads while members are killed, and its verdict |
//!
//! Invariants: nothing is ended but what was started here, by its process id, also when a test panics; every
//! wait has a bound; all traffic stays on the loopback interface.
#![forbid(unsafe_code)]

pub mod chaos;
pub mod cluster;
pub mod etcd;
pub mod follow;
pub mod load;
pub mod ports;
pub mod process;
pub mod raw;
pub mod records;

pub use cluster::{Cluster, Setup};
pub use process::Process;

use std::time::Duration;

/// How long anything may take before a test fails. Machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
