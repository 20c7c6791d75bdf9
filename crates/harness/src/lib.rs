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
//! | [`proxy`] | proxies between members: cuts in one or both directions, delay, throttling |
//! | [`tmpfs`] | a small disk that can be filled, for those who may mount one |
//! | [`storm`] | every fault at once against a mixed load, its history, and the verdict |
//! | [`outage`] | how long writes stand still when the leader goes |
//! | [`rot`] | flipped bits in the files of a stopped member |
//! | [`wipe`] | a member's whole disk lost and replaced |
//!
//! Clusters run the binary's usual protocol, or the one that the variable [`PROTOCOL`] names, or the one a test asks for:
//! [`under_each_protocol`] makes a test of each.
//!
//! Invariants: nothing is ended but what was started here, by its process id, also when a test panics; every
//! wait has a bound; all traffic stays on the loopback interface.
#![forbid(unsafe_code)]

pub mod chaos;
pub mod cluster;
pub mod etcd;
pub mod follow;
pub mod load;
pub mod outage;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod records;
pub mod rot;
pub mod storm;
pub mod tmpfs;
pub mod wipe;

pub use cluster::{Cluster, Setup};
pub use process::Process;

use std::time::Duration;

/// How long anything may take before a test fails. Machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The environment variable that names the protocol of clusters for which a test asks for none.
pub const PROTOCOL: &str = "QUORATE_TEST_PROTOCOL";

/// The flag that says so to a member, if it is set.
pub fn protocol_flag() -> Option<String> {
    let protocol = std::env::var(PROTOCOL).ok().filter(|protocol| !protocol.is_empty())?;
    Some(format!("--protocol={protocol}"))
}

/// Runs an asynchronous test as `#[tokio::test(flavor = "multi_thread")]` does.
pub fn run_async(test: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(test);
}

/// Makes a test for each protocol of every function named, which takes the protocol's name. Once in a module.
#[macro_export]
macro_rules! under_each_protocol {
    (@all $bodies:tt |$test:ident| $run:expr) => {
        $crate::under_each_protocol!(@one raft $bodies |$test| $run);
        $crate::under_each_protocol!(@one paxos $bodies |$test| $run);
        $crate::under_each_protocol!(@one zab $bodies |$test| $run);
    };
    (@one $protocol:ident ($($body:ident)+) |$test:ident| $run:expr) => {
        mod $protocol {
            $(
                #[test]
                fn $body() {
                    let $test = super::$body(stringify!($protocol));
                    $run
                }
            )+
        }
    };
    (async $($body:ident),+) => {
        $crate::under_each_protocol!(@all ($($body)+) |test| $crate::run_async(test));
    };
    ($($body:ident),+) => {
        $crate::under_each_protocol!(@all ($($body)+) |test| test);
    };
}
