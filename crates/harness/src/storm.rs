//! The storm: everything that can be done to real processes from outside, under load, and the verdict.
//!
//! Three members run with [proxies](crate::proxy) between them. For a given time a [nemesis](nemesis) kills
//! them, stops them in their tracks, cuts, delays and throttles the links between them and fills the disk of
//! one of them, while [clients](clients) put, get, compare and swap, delete, read ranges, write several keys
//! in one transaction and read stale, others hold [leases](leases), and watchers follow everything. All of it
//! is recorded with the time by one clock. Then everything is healed and the cluster has [`HEALED`] to serve
//! through every member and to hold the same state on all.
//!
//! The verdict is that of the simulation's oracles (crate `quorate-checker`), fed with the recording:
//!
//! | property | over |
//! |---|---|
//! | EventHistory | the store's records, read afterwards by a new watch |
//! | Acknowledged, Replay | operations and records; stale reads are held against Replay alone |
//! | RevisionOrder, Linearizability | operations |
//! | WatchOrdered … WatchBookmarkable | each watcher's stream |
//! | StateHash | HashKV of all members |
//! | TransactionWhole | a transaction that wrote two keys wrote both, in one revision, or none |
//! | LeaseNotEarly, LeaseEnds | what lease holders saw; no lease and none of their keys is left in the end |
//! | MemberEnded | no member ended but by our hand, or because its disk was full |
//! | Convergence | the end |
//!
//! History and operations are not compacted away during the run: the records must be whole to be the authority.

pub mod clients;
pub mod history;
pub mod leases;
pub mod nemesis;
mod report;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_checker::Violation;
use quorate_checker::events::Event;
use quorate_checker::watch::Stream;
use quorate_protocol::Random;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::follow::{self, Seen};
use crate::proxy::Proxies;
use crate::tmpfs::Tmpfs;
use crate::{Cluster, PATIENCE, Setup};

use history::History;
pub use report::Report;

/// How long the cluster may take, once healed, to serve everywhere and to be of one state.
pub const HEALED: Duration = Duration::from_secs(30);

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary.
    pub binary: PathBuf,
    /// How long the trouble lasts.
    pub duration: Duration,
    /// Decides which faults come when. What the machine makes of it is not repeatable.
    pub seed: u64,
    /// Clients.
    pub clients: u64,
    /// The disk of the member whose disk will be full; 0 to leave that fault out.
    pub disk_bytes: u64,
    /// Further flags for the members.
    pub flags: Vec<String>,
}

/// A broken promise, with the evidence around it.
#[derive(Debug)]
pub struct Broken {
    /// What is broken.
    pub violation: Violation,
    /// What happened around it.
    pub around: String,
    /// What the members said last.
    pub said: String,
    /// What is known of the run all the same.
    pub report: Box<Report>,
}

/// Holders of leases.
const HOLDERS: u64 = 4;

/// Watchers: one begins at each member.
const WATCHERS: usize = 3;

/// A run under way.
struct Storm {
    runtime: Runtime,
    // The disk before the cluster, whose directory its place is in.
    proxies: Proxies,
    disk: Option<Tmpfs>,
    cluster: Cluster,
    history: Arc<History>,
    clients: Vec<JoinHandle<()>>,
    watchers: Vec<(Arc<Seen>, JoinHandle<Stream>)>,
}

/// Carries the run out.
///
/// # Errors
/// A broken promise.
pub fn run(options: &Options) -> Result<Report, Box<Broken>> {
    let mut storm = Storm::prepare(options);
    let mut report = Report { disk_skipped: storm.disk.is_none(), ..Report::default() };
    let begun = Instant::now();
    let mut nemesis = nemesis::Nemesis::new(Random::new(options.seed), Arc::clone(&storm.history));
    let weathered = nemesis.rage(&mut storm.cluster, &storm.proxies, storm.disk.as_mut(), options.duration);
    report.faults = nemesis.tally();
    report.ended_of_full_disk = nemesis.ended_of_full_disk;
    report.duration = begun.elapsed();
    let outcome = weathered.and_then(|()| storm.judge(&mut report));
    storm.history.sum_up(&mut report);
    match outcome {
        Ok(()) => Ok(report),
        Err(violation) => Err(Box::new(Broken {
            around: storm.history.around(&violation),
            said: storm.cluster.post_mortem(),
            violation,
            report: Box::new(report),
        })),
    }
}

impl Storm {
    fn prepare(options: &Options) -> Storm {
        let mut setup = Setup::new(&options.binary, WATCHERS).proxied();
        setup.flags.extend(options.flags.iter().cloned());
        let mut cluster = Cluster::prepare(setup);
        let disk = match options.disk_bytes {
            0 => None,
            bytes => Tmpfs::mount(&cluster.data_dir(nemesis::SMALL_DISK), bytes),
        };
        let proxies = Proxies::start(&cluster).expect("the ports were free");
        cluster.start_all();
        let runtime = Runtime::new().expect("a runtime");
        let history = Arc::new(History::default());
        let endpoints = cluster.endpoints();
        let mut random = Random::new(options.seed ^ 0x5707);
        let mut clients = Vec::new();
        let within = runtime.enter();
        for number in 0..options.clients {
            let client = clients::Client::new(number, &endpoints, random.fork(), Arc::clone(&history));
            clients.push(runtime.spawn(client.run()));
        }
        for number in 0..HOLDERS {
            let holder = leases::Holder::new(number, &endpoints, random.fork(), Arc::clone(&history));
            clients.push(runtime.spawn(holder.run()));
        }
        let watchers = (0..WATCHERS)
            .map(|at| {
                let seen = Arc::new(Seen::default());
                (Arc::clone(&seen), runtime.spawn(follow::everything(endpoints.clone(), at, seen)))
            })
            .collect();
        drop(within);
        Storm { runtime, proxies, disk, cluster, history, clients, watchers }
    }

    /// Peace: everything is whole again, and has to show it.
    fn judge(&mut self, report: &mut Report) -> Result<(), Violation> {
        let healed = Instant::now();
        // The clients go on for a moment: they, too, must see that all is well again.
        let calm = self.runtime.block_on(verdict::serves_everywhere(&self.cluster, healed));
        report.served_in = healed.elapsed();
        self.history.stop();
        for client in self.clients.drain(..) {
            self.runtime.block_on(client).expect("a client does not panic");
        }
        calm?;
        self.runtime.block_on(verdict::no_lease_left(&self.cluster))?;
        let (hash, revision) = self.runtime.block_on(verdict::one_state(&self.cluster, Instant::now()))?;
        (report.hash, report.revision) = (hash, revision);
        report.converged_in = healed.elapsed();
        let events = self.records(revision)?;
        let mut streams = Vec::new();
        for (seen, task) in std::mem::take(&mut self.watchers) {
            wait_for(&seen, revision, "a watcher")?;
            seen.over.store(true, Ordering::SeqCst);
            report.resumed += seen.resumed.load(Ordering::SeqCst);
            let mut stream = self.runtime.block_on(task).expect("a watcher does not panic");
            stream.complete_through = revision;
            streams.push(stream);
        }
        report.events = events.len();
        self.history.judge(&events, &streams)
    }

    /// The store's whole history, by a new watch from the first revision.
    fn records(&self, revision: u64) -> Result<Vec<Event>, Violation> {
        let seen = Arc::new(Seen::default());
        let reading = self.runtime.spawn(follow::everything(self.cluster.endpoints(), 1, Arc::clone(&seen)));
        wait_for(&seen, revision, "a watch of the whole history")?;
        seen.over.store(true, Ordering::SeqCst);
        Ok(follow::events(&self.runtime.block_on(reading).expect("a watcher does not panic")))
    }
}

fn wait_for(seen: &Seen, revision: u64, who: &str) -> Result<(), Violation> {
    let begun = Instant::now();
    while seen.revision.load(Ordering::SeqCst) < revision {
        if begun.elapsed() > PATIENCE {
            let at = seen.revision.load(Ordering::SeqCst);
            let detail = format!("{who} stands at revision {at}, the store at {revision}");
            return Err(Violation::new("Convergence", detail));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n{}", self.violation, self.around)?;
        writeln!(f, "what the members said last\n{}\n{}", self.said, self.report)
    }
}
