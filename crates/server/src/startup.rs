//! How a node is put together.
//!
//! In this order: ports and disk ([`opening`](crate::opening)); what all share; the state machine and the consensus core,
//! each a [`Combiner`]; the threads; at last the listeners, so that nobody is heard before there is somebody to
//! answer. Nothing here fails but for the first step.

use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{bounded, unbounded};
use parking_lot::{Mutex, RwLock};
use quorate_kv::{Applied, Command, Publish, State};
use quorate_protocol::{self as protocol, NodeId, Outbox, Random, Recovered, Seq};
use quorate_replica::{Lessor, Limits, Replica};
use quorate_storage::Store;
use quorate_wal::{RealDisk, Wal};
use tokio::runtime::Runtime;

use crate::apply::Applier;
use crate::combiner::Combiner;
use crate::config::Config;
use crate::consensus::{Busy, Driver, Ear, attend};
use crate::identity::Identity;
use crate::log::{LogInput, LogWriter, prepare_segments};
use crate::mailbox::{Receiver, Sender, mailbox};
use crate::members::{self, Roll};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::opening::{self, Opened, Ports, StartError};
use crate::peers::{self, Hooks, Listening, Local, Peers};
use crate::shared::{ApplyInput, ConsensusInput, Core, Fatal, Leadership, Shared, TICK};
use crate::snapshots::membership;
use crate::steward::Steward;
use crate::ticks::Ticks;
use crate::watches::{WatchInput, Watches};
use crate::{checkpoint, compaction, http, joining, leases};

/// Start a node that runs this protocol.
///
/// # Errors
/// What [`opening`] finds.
pub fn start<C: Core>(config: Config) -> Result<Node, StartError> {
    // A node that has to ask others first does so before they can reach it.
    let asked = if config.has_run() { None } else { Some(joining::begin(&config, C::NAME)?) };
    let Ports { runtime, clients, peers } = Ports::bind(&config)?;
    let beginning = asked.map_or_else(|| joining::begin(&config, C::NAME), Ok)?;
    let opened = opening::open::<C>(&config, beginning)?;
    let Opened { identity, wal, state, recovered, hearsay, state_directory, options } = opened;
    let life = Life::begin();
    let core = core_config(&config, identity, &recovered);
    let core = C::recover(core, recovered, Random::new(life.seed));
    let replica = Replica::new(core, limits(&config));

    let (watch_tx, watch_rx) = mailbox();
    let (fatal_tx, fatal) = unbounded();
    let within = Within {
        runtime: runtime.handle().clone(),
        watches: watch_tx,
        fatal: Fatal::new(fatal_tx),
        roll: Roll::new(Arc::clone(&state.meta().members), membership(state.meta()), hearsay),
    };
    let shared = share::<C>(config, identity, state, &life, within);
    let applier = Applier {
        shared: Arc::clone(&shared),
        waiting: Vec::new(),
        members: (shared.roll.table(), shared.state.read().membership().clone()),
        directory: state_directory.clone(),
        options,
    };
    let (log, log_inputs) = mailbox();
    let parts = Parts::assemble(&shared, replica, applier, log);
    let mut threads = Threads { list: Vec::new(), member: shared.config.name.clone() };
    parts.keep_log(&mut threads, wal, log_inputs);
    parts.run_threads(&mut threads, watch_rx);
    let core = Arc::clone(&parts.core);
    let listening = Listening { shared: Arc::clone(&shared), core, directory: state_directory, options };
    let peer_addresses = listen_to_peers(&mut threads, listening, peers);
    let servers = serve_clients(&shared, &runtime, clients);
    let stop = parts.stopper();
    let threads = threads.list;
    Ok(Node { shared, runtime: Some(runtime), servers, threads, stop, fatal, peer_addresses })
}

/// What tells this life of a node from its others.
struct Life {
    incarnation: u64,
    seed: u64,
}

impl Life {
    fn begin() -> Life {
        let incarnation = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_millis() as u64);
        Life { incarnation, seed: entropy(incarnation) }
    }
}

/// What the parts of a node share besides its configuration and its state.
struct Within {
    runtime: tokio::runtime::Handle,
    watches: Sender<WatchInput>,
    fatal: Fatal,
    roll: Roll,
}

fn share<C: Core>(
    config: Config,
    identity: Identity,
    state: State<Store>,
    life: &Life,
    within: Within,
) -> Arc<Shared> {
    let Within { runtime, watches, fatal, roll } = within;
    let local = Local {
        protocol: C::NAME,
        cluster: identity.cluster,
        node: NodeId(identity.member),
        incarnation: life.incarnation,
    };
    let (revision, applied) = (state.revision(), state.meta().applied_index);
    Arc::new(Shared {
        peers: Arc::new(Peers::new(local, config.snapshot_rate_bytes)),
        config,
        identity,
        roll,
        runtime,
        state: RwLock::new(state),
        files: Mutex::new(()),
        lessor: Mutex::new(Lessor::new()),
        leadership: Leadership::default(),
        applied: applied.into(),
        committed: applied.into(),
        revision: revision.into(),
        proposals: Shared::waiters(life.seed | 1),
        reads: Shared::waiters(1),
        consensus: OnceLock::new(),
        watches,
        watch_streams: 0.into(),
        metrics: Metrics::default(),
        fatal: Arc::new(fatal),
        stopping: false.into(),
        started: Instant::now(),
    })
}

/// The values that decide things, and their mailboxes.
struct Parts<C: Core> {
    shared: Arc<Shared>,
    core: Arc<Combiner<Driver<C>>>,
    apply: Arc<Combiner<Applier>>,
    log: Sender<LogInput<C::Message>>,
}

impl<C: Core> Parts<C> {
    fn assemble(
        shared: &Arc<Shared>,
        replica: Replica<C>,
        applier: Applier,
        log: Sender<LogInput<C::Message>>,
    ) -> Parts<C> {
        let apply = Arc::new(Combiner::new(applier));
        let busy = Arc::new(Busy::default());
        let core = Arc::new_cyclic(|own| {
            Combiner::new(Driver::<C> {
                shared: Arc::clone(shared),
                replica,
                apply: Arc::clone(&apply),
                log: log.clone(),
                own: own.clone(),
                busy: Arc::clone(&busy),
                written: Seq(0),
                durable: Seq(0),
                staged: None,
                outputs: Vec::new(),
                ticks: Ticks::begin(shared.config.read_lease_drift_percent.is_some()),
                steward: Steward::new(),
            })
        });
        let ear = Ear { core: Arc::downgrade(&core), busy };
        assert!(shared.consensus.set(Box::new(ear)).is_ok(), "the core is set up once");
        shared.peers.hook(hooks(shared, &core));
        Parts { shared: Arc::clone(shared), core, apply, log }
    }

    /// The log's thread, and the one that makes its segments ready.
    fn keep_log(&self, threads: &mut Threads, wal: Wal<RealDisk>, inputs: Receiver<LogInput<C::Message>>) {
        let (prepare, asked) = bounded(1);
        let (preparer, shared) = (wal.preparer(), Arc::clone(&self.shared));
        threads.spawn("prepare", move || prepare_segments(&shared, &preparer, &asked));
        let (shared, core) = (Arc::clone(&self.shared), Arc::clone(&self.core));
        let log = LogWriter::<C> { shared, wal, inputs, core, outbox: Outbox::default(), prepare };
        threads.spawn("log", move || log.run());
    }

    /// The threads that stand by the core and the state machine, and those that dial the peers.
    fn run_threads(&self, threads: &mut Threads, watch_inputs: Receiver<WatchInput>) {
        let apply = Arc::clone(&self.apply);
        threads.spawn("apply", move || while apply.attend(None) {});
        let watches = Watches::new(Arc::clone(&self.shared), watch_inputs);
        threads.spawn("watch", move || watches.run());
        let shared = Arc::clone(&self.shared);
        threads.spawn("checkpoint", move || checkpoint::run(&shared));
        let core = Arc::clone(&self.core);
        threads.spawn("consensus", move || attend(&core));
        self.shared.follow_peers();
    }

    /// Tells everything that has a mailbox to end.
    fn stopper(self) -> Box<dyn Fn() + Send> {
        Box::new(move || {
            self.core.submit(ConsensusInput::Stop);
            self.log.send(LogInput::Stop);
            self.apply.submit(ApplyInput::Stop);
            self.shared.watches.send(WatchInput::Stop);
        })
    }
}

/// What news of connections and images leads to.
fn hooks<C: Core>(shared: &Arc<Shared>, core: &Arc<Combiner<Driver<C>>>) -> Hooks {
    // Weak: what holds the peers is held by the core.
    let (sent_to, reset_to) = (Arc::downgrade(core), Arc::downgrade(core));
    let (known, shared) = (Arc::downgrade(shared), Arc::downgrade(shared));
    let sent = move |to, ok| {
        if let Some(core) = sent_to.upgrade() {
            core.leave(ConsensusInput::SnapshotSent(to, ok));
        }
    };
    let reset = move |to| {
        if let Some(core) = reset_to.upgrade() {
            core.submit(ConsensusInput::LinkReset(to));
        }
    };
    let roster = move || known.upgrade().map(|shared| shared.roster());
    let removed = move |_: NodeId| {
        if let Some(shared) = shared.upgrade() {
            shared.end_removed();
        }
    };
    Hooks {
        sent: Box::new(sent),
        reset: Box::new(reset),
        roster: Box::new(roster),
        removed: Box::new(removed),
    }
}

/// One thread for each listener; answers where they listen.
fn listen_to_peers<C: Core>(
    threads: &mut Threads,
    listening: Listening<C>,
    listeners: Vec<TcpListener>,
) -> Vec<SocketAddr> {
    let listening = Arc::new(listening);
    let mut addresses = Vec::new();
    for listener in listeners {
        addresses.extend(listener.local_addr());
        let listening = Arc::clone(&listening);
        threads.spawn("from-peers", move || peers::listen::<C>(listening, listener));
    }
    addresses
}

/// The clients' side, and what is done now and then.
fn serve_clients(
    shared: &Arc<Shared>,
    runtime: &Runtime,
    listeners: Vec<tokio::net::TcpListener>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let serve = |listener| runtime.spawn(http::serve(Arc::clone(shared), listener));
    let servers = listeners.into_iter().map(serve).collect();
    runtime.spawn(leases::expire(Arc::clone(shared)));
    runtime.spawn(compaction::run(Arc::clone(shared)));
    runtime.spawn(compaction::watch_quota(Arc::clone(shared)));
    runtime.spawn(members::tend(Arc::clone(shared)));
    runtime.spawn(publish(Arc::clone(shared)));
    servers
}

struct Threads {
    list: Vec<JoinHandle<()>>,
    member: String,
}

impl Threads {
    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) {
        let name = format!("{name} {}", self.member);
        let thread = std::thread::Builder::new().name(name).spawn(work);
        self.list.push(thread.expect("the system has room for a thread"));
    }
}

fn core_config(config: &Config, identity: Identity, recovered: &Recovered) -> protocol::Config {
    let voters = recovered.membership.voters().nodes().to_vec();
    protocol::Config {
        election_ticks: ticks(config.election_timeout_ms),
        heartbeat_ticks: ticks(config.heartbeat_interval_ms),
        priority: config.election_priority,
        lease_drift_percent: config.read_lease_drift_percent,
        ..protocol::Config::new(NodeId(identity.member), voters)
    }
}

/// A time in ticks.
fn ticks(ms: u64) -> u32 {
    (ms / TICK.as_millis() as u64).max(1) as u32
}

/// The replica's bounds: `--snapshot-count` is how many applied entries stay for followers that fall behind.
fn limits(config: &Config) -> Limits {
    let retain_entries = usize::try_from(config.snapshot_count).unwrap_or(usize::MAX);
    Limits { retain_entries, lone_ticks: 4 * ticks(config.election_timeout_ms), ..Limits::default() }
}

/// A number that differs between lives of a node: it spreads timeouts and names streams.
fn entropy(incarnation: u64) -> u64 {
    // The standard library seeds its hashers from the operating system.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(incarnation);
    hasher.finish()
}

/// How long the members may take to take note of us before they are told again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Between two attempts to tell the members of ourselves.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Tell the members of ourselves, then serve.
async fn publish(shared: Arc<Shared>) {
    let publish = Publish {
        member: shared.member(),
        name: shared.config.name.clone(),
        client_urls: shared.config.advertise_client_urls.iter().map(ToString::to_string).collect(),
    };
    loop {
        let command = Command::Publish(publish.clone());
        // Said again soon: what a node that has just started says to a leader is easily lost on a connection that is not
        // there yet, and to say it twice is harmless.
        let Ok(said) = tokio::time::timeout(PATIENCE, shared.propose(&command)).await else { continue };
        match said {
            Ok(Applied { outcome: Ok(_), .. }) => break,
            // It is not in the table: it has been removed, or its table is still an old one.
            Ok(_) if shared.roll.removed() || shared.stopping.load(Ordering::SeqCst) => return,
            Ok(_) => tracing::warn!("cannot join the cluster yet: it does not know this member"),
            Err(error) if shared.stopping.load(Ordering::SeqCst) => {
                return tracing::info!("stopped before serving: {}", error.text());
            }
            Err(error) => {
                tracing::warn!("cannot join the cluster yet, trying on: {}", error.text());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let urls: Vec<String> = publish.client_urls;
    tracing::info!(member = shared.member(), ?urls, "ready to serve client requests");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_count_bounds_the_entries_kept_and_leaves_the_bound_in_bytes() {
        let asked = limits(&Config { snapshot_count: 7, ..Config::default() });
        assert_eq!((asked.retain_entries, asked.retain_bytes), (7, Limits::default().retain_bytes));
    }
}
