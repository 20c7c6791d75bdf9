//! How a node is put together.
//!
//! In this order: ports and disk ([`opening`](crate::opening)); what all share; the state machine and the consensus core,
//! each a [`Combiner`]; the threads; at last the listeners, so that nobody is heard before there is somebody to
//! answer. Nothing here fails but for the first step.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{bounded, unbounded};
use parking_lot::{Mutex, RwLock};
use quorate_kv::{Command, Publish, State};
use quorate_protocol::{self as protocol, NodeId, Outbox, Random, Seq};
use quorate_replica::{Lessor, Limits, Replica};
use quorate_storage::Store;
use quorate_wal::{RealDisk, Wal};
use tokio::runtime::Runtime;

use crate::apply::Applier;
use crate::combiner::Combiner;
use crate::config::{Config, Url};
use crate::consensus::{Busy, Driver, Ear, attend};
use crate::identity::Identity;
use crate::log::{LogInput, LogWriter, prepare_segments};
use crate::mailbox::{Receiver, Sender, mailbox};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::opening::{self, Opened, Ports, StartError};
use crate::peers::{self, Listening, Local, Peers};
use crate::shared::{ApplyInput, ConsensusInput, Core, Fatal, Leadership, Shared, TICK};
use crate::watches::{WatchInput, Watches};
use crate::{checkpoint, compaction, http, leases};

/// Start a node that runs this protocol.
///
/// # Errors
/// What [`opening`] finds.
pub fn start<C: Core>(config: Config) -> Result<Node, StartError> {
    let identity = Identity::of(&config).expect("a valid configuration lists this member");
    let Ports { runtime, clients, peers } = Ports::bind(&config)?;
    let Opened { wal, state, recovered, state_directory, options } = opening::open::<C>(&config, &identity)?;
    let life = Life::begin();
    let core = C::recover(core_config(&config, &identity), recovered, Random::new(life.seed));
    let replica = Replica::new(core, limits(&config));

    let (watch_tx, watch_rx) = mailbox();
    let (fatal_tx, fatal) = unbounded();
    let shared = share::<C>(config, identity, state, &life, watch_tx, Fatal::new(fatal_tx));
    let applier = Applier {
        shared: Arc::clone(&shared),
        waiting: Vec::new(),
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
    serve_clients(&shared, &runtime, clients);
    let stop = parts.stopper();
    Ok(Node { shared, runtime: Some(runtime), threads: threads.list, stop, fatal, peer_addresses })
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

fn share<C: Core>(
    config: Config,
    identity: Identity,
    state: State<Store>,
    life: &Life,
    watches: Sender<WatchInput>,
    fatal: Fatal,
) -> Arc<Shared> {
    let local = Local {
        protocol: C::NAME,
        cluster: identity.cluster,
        node: NodeId(identity.member),
        incarnation: life.incarnation,
    };
    let (revision, applied) = (state.revision(), state.meta().applied_index);
    Arc::new(Shared {
        peers: Arc::new(Peers::new(local, peer_addresses(&identity))),
        config,
        identity,
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
            })
        });
        let ear = Ear { core: Arc::downgrade(&core), busy };
        assert!(shared.consensus.set(Box::new(ear)).is_ok(), "the core is set up once");
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
        threads.list.extend(peers::dial_all(&self.shared.peers, &self.core));
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
fn serve_clients(shared: &Arc<Shared>, runtime: &Runtime, listeners: Vec<tokio::net::TcpListener>) {
    for listener in listeners {
        runtime.spawn(http::serve(Arc::clone(shared), listener));
    }
    runtime.spawn(leases::expire(Arc::clone(shared)));
    runtime.spawn(compaction::run(Arc::clone(shared)));
    runtime.spawn(compaction::watch_quota(Arc::clone(shared)));
    runtime.spawn(publish(Arc::clone(shared)));
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

fn core_config(config: &Config, identity: &Identity) -> protocol::Config {
    let voters = identity.members.iter().map(|member| NodeId(member.id)).collect();
    let ticks = |ms: u64| (ms / TICK.as_millis() as u64).max(1) as u32;
    protocol::Config {
        election_ticks: ticks(config.election_timeout_ms),
        heartbeat_ticks: ticks(config.heartbeat_interval_ms),
        ..protocol::Config::new(NodeId(identity.member), voters)
    }
}

fn peer_addresses(identity: &Identity) -> BTreeMap<NodeId, Vec<String>> {
    let others = identity.members.iter().filter(|member| member.id != identity.member);
    let address = |url: &Url| url.authority();
    others.map(|member| (NodeId(member.id), member.peer_urls.iter().map(address).collect())).collect()
}

/// The replica's bounds: `--snapshot-count` is how many applied entries stay for followers that fall behind.
fn limits(config: &Config) -> Limits {
    let retain_entries = usize::try_from(config.snapshot_count).unwrap_or(usize::MAX);
    Limits { retain_entries, ..Limits::default() }
}

/// A number that differs between lives of a node: it spreads timeouts and names streams.
fn entropy(incarnation: u64) -> u64 {
    // The standard library seeds its hashers from the operating system.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u64(incarnation);
    hasher.finish()
}

/// Tell the members of ourselves, then serve.
async fn publish(shared: Arc<Shared>) {
    let publish = Publish {
        member: shared.member(),
        name: shared.config.name.clone(),
        client_urls: shared.config.advertise_client_urls.iter().map(ToString::to_string).collect(),
    };
    loop {
        match shared.propose(&Command::Publish(publish.clone())).await {
            Ok(_) => break,
            Err(error) if shared.stopping.load(Ordering::SeqCst) => {
                return tracing::info!("stopped before serving: {}", error.text());
            }
            Err(error) => {
                tracing::warn!("cannot join the cluster yet, trying on: {}", error.text());
            }
        }
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
