//! A node from start to stop.
//!
//! ```text
//!  clients ── tokio ──▶ consensus thread ──▶ log thread ──▶ peers
//!     ▲                    │        ▲              │
//!     │                    ▼        └── durable ───┘
//!     └──── apply thread ◀─┘ committed entries
//!                │ └──▶ watch thread ──▶ clients
//!                ▼
//!          checkpoint thread ──▶ state file
//! ```

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};
use parking_lot::{Mutex, RwLock};
use quorate_kv::{Command, Publish, State};
use quorate_protocol::{self as protocol, NodeId, Outbox, Random, Recovered, Seq};
use quorate_raft::Raft;
use quorate_replica::{Lessor, Limits, Replica};
use quorate_storage::{StorageError, Store};
use quorate_wal::{RealDisk, Wal, WalError};
use tokio::runtime::Runtime;

use crate::apply::Applier;
use crate::combiner::Combiner;
use crate::config::{Config, ConfigError, Url};
use crate::consensus::{Busy, Driver, Ear, attend};
use crate::identity::Identity;
use crate::log::{GROUP, LogInput, LogWriter, prepare_segments};
use crate::mailbox::{Sender, mailbox};
use crate::metrics::Metrics;
use crate::peers::{self, Listening, Local, Peers};
use crate::shared::{ApplyInput, ConsensusInput, Core, Fatal, Leadership, Shared, TICK};
use crate::snapshots::standing;
use crate::watches::{WatchInput, Watches};
use crate::{checkpoint, compaction, http, leases};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log.
    #[error(transparent)]
    Log(#[from] WalError),
    /// The state.
    #[error(transparent)]
    State(#[from] StorageError),
    /// A directory or socket.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// The state is older than the log allows.
    #[error(
        "the state in {directory} stands at index {state}, but the log begins after index {log}: the state was \
         replaced or lost. Restore this member from its peers: stop it, move its data directory away, and start \
         it again as a new member"
    )]
    StateBehindLog {
        /// The state's directory.
        directory: PathBuf,
        /// Where it stands.
        state: u64,
        /// Where the log begins.
        log: u64,
    },
}

/// A running node.
pub struct Node {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    threads: Vec<JoinHandle<()>>,
    stop: Box<dyn Fn() + Send>,
    fatal: Receiver<String>,
    peer_addresses: Vec<std::net::SocketAddr>,
}

impl Node {
    /// Start a node; it serves as soon as a leader is known.
    ///
    /// # Errors
    /// Whatever keeps it from starting; nothing has been changed that matters.
    pub fn start(config: Config) -> Result<Node, StartError> {
        config.validate()?;
        // The one place that picks a protocol.
        start::<Raft>(config)
    }

    /// This member's id.
    pub fn id(&self) -> u64 {
        self.shared.member()
    }

    /// The leader's id, if known.
    pub fn leader(&self) -> Option<u64> {
        self.shared.leadership.leader()
    }

    /// Where clients reach it.
    pub fn client_urls(&self) -> &[Url] {
        &self.shared.config.advertise_client_urls
    }

    /// Wait until it serves client requests: it knows a leader, and the members know it.
    pub fn wait_ready(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let known = self.shared.state.read().members().iter().any(|member| member.id == self.id());
            if known && self.leader().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Tells why the node must end, should that happen.
    pub fn fatal(&self) -> &Receiver<String> {
        &self.fatal
    }

    /// Stop cleanly: finish what is under way, leave everything durable.
    pub fn shutdown(mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(3));
        }
        (self.stop)();
        self.shared.peers.stop();
        // The listeners wait in accept; a connection wakes them.
        for address in &self.peer_addresses {
            let _ = std::net::TcpStream::connect_timeout(address, Duration::from_millis(200));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if !self.shared.fatal.struck()
            && let Err(error) = checkpoint::checkpoint(&self.shared)
        {
            tracing::warn!("the last checkpoint failed; the log is replayed at the next start: {error}");
        }
        tracing::info!("stopped");
    }
}

/// What a node finds on its disk.
struct Opened {
    wal: Wal<RealDisk>,
    state: State<Store>,
    recovered: Recovered,
    state_directory: PathBuf,
    options: quorate_storage::Options,
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
    let what = what.into();
    move |error| StartError::Io { what, error }
}

fn open<C: Core>(config: &Config, identity: &Identity) -> Result<Opened, StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let directory = &config.data_dir;
    let make = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    make.map_err(io(format!("cannot create the data directory {}", directory.display())))?;
    let mut disk = RealDisk::open(directory.join("wal"))?;
    if config.unsafe_no_fsync {
        disk = disk.without_sync();
    }
    let wal_identity = quorate_wal::Identity {
        cluster: identity.cluster,
        node: identity.member,
        protocol: C::NAME.to_owned(),
    };
    let wal_options = quorate_wal::Options { segment_bytes: config.wal_segment_bytes, ..Default::default() };
    let (wal, mut groups) = Wal::open(disk, wal_options, &wal_identity)?;
    let state_directory = directory.join("state");
    let options = quorate_storage::Options { fatal: unreadable, ..Default::default() };
    let state = State::restore(Store::open(&state_directory, &options)?);
    let mut recovered = groups.remove(&GROUP).unwrap_or_default();
    recovered.applied = standing(state.meta());
    if recovered.applied.index < recovered.base.index {
        let (state, log) = (recovered.applied.index.0, recovered.base.index.0);
        return Err(StartError::StateBehindLog { directory: state_directory, state, log });
    }
    Ok(Opened { wal, state, recovered, state_directory, options })
}

/// The state machine has no answer to a record it was promised and cannot read: end before anything wrong is
/// said.
fn unreadable(error: StorageError) -> ! {
    tracing::error!("this node must stop: {error}");
    std::process::exit(1)
}

fn start<C: Core>(config: Config) -> Result<Node, StartError> {
    let identity = Identity::of(&config).expect("a valid configuration lists this member");
    // Ports before disks: a port in use is the commonest mistake, and the cheapest to find.
    let runtime = runtime().map_err(io("cannot start the client runtime"))?;
    let clients = bind_clients(&config, &runtime)?;
    let peer_listeners = bind_peers(&config)?;
    let Opened { wal, state, recovered, state_directory, options } = open::<C>(&config, &identity)?;
    let incarnation = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| since.as_millis() as u64);
    let seed = entropy(incarnation);
    let core = C::recover(core_config(&config, &identity), recovered, Random::new(seed));

    let (log_tx, log_rx) = mailbox();
    let (watch_tx, watch_rx) = mailbox();
    let (fatal_tx, fatal_rx) = unbounded();
    let (prepare_tx, prepare_rx) = bounded(1);
    let local =
        Local { protocol: C::NAME, cluster: identity.cluster, node: NodeId(identity.member), incarnation };
    let (revision, applied) = (state.revision(), state.meta().applied_index);
    let shared = Arc::new(Shared {
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
        proposals: Shared::waiters(seed | 1),
        reads: Shared::waiters(1),
        consensus: OnceLock::new(),
        watches: watch_tx,
        watch_streams: 0.into(),
        metrics: Metrics::default(),
        fatal: Arc::new(Fatal::new(fatal_tx)),
        stopping: false.into(),
        started: Instant::now(),
    });

    let mut threads = Threads { list: Vec::new(), member: shared.config.name.clone() };
    let preparer = wal.preparer();
    let apply = Arc::new(Combiner::new(Applier {
        shared: Arc::clone(&shared),
        waiting: Vec::new(),
        directory: state_directory.clone(),
        options,
    }));
    let busy = Arc::new(Busy::default());
    let core = Arc::new_cyclic(|own| {
        Combiner::new(Driver::<C> {
            shared: Arc::clone(&shared),
            replica: Replica::new(core, Limits::default()),
            apply: Arc::clone(&apply),
            log: log_tx.clone(),
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
    let log = LogWriter::<C> {
        shared: Arc::clone(&shared),
        wal,
        inputs: log_rx,
        core: Arc::clone(&core),
        outbox: Outbox::default(),
        prepare: prepare_tx,
    };
    let watches = Watches::new(Arc::clone(&shared), watch_rx);
    let for_prepare = Arc::clone(&shared);
    threads.spawn("prepare", move || prepare_segments(&for_prepare, &preparer, &prepare_rx));
    threads.spawn("log", move || log.run());
    let for_apply = Arc::clone(&apply);
    threads.spawn("apply", move || while for_apply.attend(None) {});
    threads.spawn("watch", move || watches.run());
    let for_checkpoint = Arc::clone(&shared);
    threads.spawn("checkpoint", move || checkpoint::run(&for_checkpoint));
    let for_core = Arc::clone(&core);
    threads.spawn("consensus", move || attend(&for_core));
    threads.list.extend(peers::dial_all(&shared.peers, &core));
    let mut peer_addresses = Vec::new();
    let listening = Arc::new(Listening {
        shared: Arc::clone(&shared),
        core: Arc::clone(&core),
        directory: state_directory,
        options,
    });
    for listener in peer_listeners {
        peer_addresses.extend(listener.local_addr());
        let listening = Arc::clone(&listening);
        threads.spawn("from-peers", move || peers::listen::<C>(listening, listener));
    }
    for listener in clients {
        runtime.spawn(http::serve(Arc::clone(&shared), listener));
    }
    runtime.spawn(leases::expire(Arc::clone(&shared)));
    runtime.spawn(compaction::run(Arc::clone(&shared)));
    runtime.spawn(compaction::watch_quota(Arc::clone(&shared)));
    runtime.spawn(publish(Arc::clone(&shared)));

    let stop = stopper(core, apply, log_tx, Arc::clone(&shared));
    Ok(Node { shared, runtime: Some(runtime), threads: threads.list, stop, fatal: fatal_rx, peer_addresses })
}

fn stopper<C: Core>(
    core: Arc<Combiner<Driver<C>>>,
    apply: Arc<Combiner<Applier>>,
    log: Sender<LogInput<C::Message>>,
    shared: Arc<Shared>,
) -> Box<dyn Fn() + Send> {
    Box::new(move || {
        core.submit(ConsensusInput::Stop);
        log.send(LogInput::Stop);
        apply.submit(ApplyInput::Stop);
        shared.watches.send(WatchInput::Stop);
    })
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

fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(4))
        .thread_name("clients")
        .enable_all()
        .build()
}

fn bind_clients(config: &Config, runtime: &Runtime) -> Result<Vec<tokio::net::TcpListener>, StartError> {
    let bind = |url: &Url| {
        let address = url.bind_address().expect("a valid configuration binds");
        let bound = runtime.block_on(http::bind(address));
        bound.map_err(io(format!("cannot listen for clients on {url} (--listen-client-urls)")))
    };
    config.listen_client_urls.iter().map(bind).collect()
}

fn bind_peers(config: &Config) -> Result<Vec<TcpListener>, StartError> {
    let bind = |url: &Url| {
        let address = url.bind_address().expect("a valid configuration binds");
        TcpListener::bind(address)
            .map_err(io(format!("cannot listen for peers on {url} (--listen-peer-urls)")))
    };
    config.listen_peer_urls.iter().map(bind).collect()
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
