//! The run that loads records while members are killed, and its verdict.
//!
//! Several writers load; a watch that was opened before follows. The leader is killed with SIGKILL and
//! started again, then each follower in turn, then all three at once. Afterwards:
//!
//! 1. every acknowledged write is in the store, and no write is in it twice ([`acknowledged`]);
//! 2. every record is there, written once;
//! 3. the members' HashKV are equal;
//! 4. revisions run on by one, per key and in all ([`events`](quorate_checker::events)), and answers came with
//!    revisions in the order of time ([`revision_order`]);
//! 5. the operations are linearizable per key ([`linearizable`]), and every answer fits the history
//!    ([`replay`]);
//! 6. the watch saw every event exactly once and in order ([`watch`]).
//!
//! The history that 1, 4, 5 and 6 are held against is read from the store's records after the chaos, by a
//! new watch from the first revision on another member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_checker::events::{Change, Event};
use quorate_checker::history::Operation;
use quorate_checker::watch::Stream;
use quorate_checker::{Violation, acknowledged, events, linearizable, replay, revision_order, watch};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::follow::{self, Seen};
use crate::load::{Load, Writer};
use crate::{Cluster, PATIENCE, records};

/// What a run came to.
#[derive(Debug)]
pub struct Verdict {
    /// Records loaded, each found exactly once.
    pub records: usize,
    /// Answers to writers.
    pub answered: usize,
    /// Attempts with an unknown outcome.
    pub unknown: usize,
    /// The store's last revision.
    pub revision: u64,
    /// The members' common hash.
    pub hash: u32,
    /// How often the watch had to begin anew.
    pub resumed: u64,
    /// Time the load took.
    pub loaded_in: Duration,
    /// Each member's memory at the end, in bytes.
    pub memory_bytes: Vec<u64>,
}

/// Carries the run out.
///
/// # Errors
/// A broken promise, with the evidence.
pub fn run(cluster: &mut Cluster, records: Vec<records::Record>, writers: u64) -> Result<Verdict, Violation> {
    let runtime = Runtime::new().expect("a runtime");
    let begun = Instant::now();
    let wanted = records.clone();
    let load = Load::new(records);
    let seen = Arc::new(Seen::default());
    let watching = runtime.spawn(follow::everything(cluster.endpoints(), 0, Arc::clone(&seen)));
    let tasks: Vec<JoinHandle<()>> = (0..writers)
        .map(|number| {
            let (load, endpoints) = (Arc::clone(&load), cluster.endpoints());
            runtime.spawn(async move {
                Writer::new(load, number, &endpoints).await.expect("endpoints").run().await;
            })
        })
        .collect();
    break_things(cluster, &runtime, &load, wanted.len());
    load.over.store(true, Ordering::SeqCst);
    for task in tasks {
        runtime.block_on(task).expect("a writer does not panic");
    }
    let loaded_in = begun.elapsed();
    let (hash, revision) = runtime.block_on(cluster.agree());
    let history = settled(&runtime, cluster, revision as u64);
    wait_for(&seen, revision as u64);
    seen.over.store(true, Ordering::SeqCst);
    let mut stream = runtime.block_on(watching).expect("the follower does not panic");
    stream.complete_through = revision as u64;
    let operations = load.recorded().into_operations();
    judge(&operations, &history, &stream)?;
    every_record_once(&wanted, &history)?;
    Ok(Verdict {
        records: wanted.len(),
        answered: load.answered.load(Ordering::SeqCst),
        unknown: load.unknown.load(Ordering::SeqCst),
        revision: revision as u64,
        hash,
        resumed: seen.resumed.load(Ordering::SeqCst),
        loaded_in,
        memory_bytes: (0..cluster.len()).map(|at| cluster.member(at).memory_bytes()).collect(),
    })
}

/// The leader, each follower, all at once; spread over the load.
fn break_things(cluster: &mut Cluster, runtime: &Runtime, load: &Load, records: usize) {
    let loaded = |share: usize| {
        let goal = records - records * share / 100;
        let begun = Instant::now();
        while load.left() > goal && begun.elapsed() < 20 * PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    loaded(15);
    let leader = runtime.block_on(cluster.leader());
    cluster.kill(leader);
    loaded(25);
    cluster.restart(leader);
    for (turn, at) in (0..cluster.len()).filter(|&at| at != leader).enumerate() {
        loaded(35 + 20 * turn);
        cluster.kill(at);
        loaded(45 + 20 * turn);
        cluster.restart(at);
    }
    loaded(80);
    (0..cluster.len()).for_each(|at| cluster.kill(at));
    cluster.start_all();
}

/// The whole history up to `revision`, from the records of a member the watch did not begin at.
fn settled(runtime: &Runtime, cluster: &Cluster, revision: u64) -> Vec<Event> {
    let seen = Arc::new(Seen::default());
    let reading = runtime.spawn(follow::everything(cluster.endpoints(), 1, Arc::clone(&seen)));
    wait_for(&seen, revision);
    seen.over.store(true, Ordering::SeqCst);
    follow::events(&runtime.block_on(reading).expect("the follower does not panic"))
}

fn wait_for(seen: &Seen, revision: u64) {
    let begun = Instant::now();
    while seen.revision.load(Ordering::SeqCst) < revision {
        let at = seen.revision.load(Ordering::SeqCst);
        assert!(begun.elapsed() < 2 * PATIENCE, "the watch stands at {at}, the store at {revision}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn judge(operations: &[Operation], history: &[Event], stream: &Stream) -> Result<(), Violation> {
    events::check(history)?;
    acknowledged::check(operations, history)?;
    revision_order::check(operations)?;
    replay::check(operations, history)?;
    watch::check(stream, history)?;
    linearizable::check(operations)
}

fn every_record_once(wanted: &[records::Record], history: &[Event]) -> Result<(), Violation> {
    let mut puts: BTreeMap<&[u8], Vec<&Event>> = BTreeMap::new();
    for event in history.iter().filter(|event| event.key.starts_with(records::PREFIX)) {
        puts.entry(&event.key).or_default().push(event);
    }
    let broken = |key: &[u8], what: String| {
        Err(Violation::new("EveryRecordOnce", format!("{}: {what}", key.escape_ascii())))
    };
    for (key, value) in wanted {
        match puts.get(key.as_slice()).map(Vec::as_slice) {
            None => return broken(key, "it is not there".into()),
            Some([Event { change: Change::Put { value: found, version: 1, .. }, .. }]) if found == value => {}
            Some(events) => return broken(key, format!("it was written otherwise: {events:?}")),
        }
    }
    Ok(())
}
