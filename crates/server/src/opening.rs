//! What a node takes hold of before it starts: its ports, its directory, the log and the state in it.
//!
//! All that can go wrong at a start goes wrong here, before a thread runs or a peer has heard of the node. Ports come
//! before disks: a port in use is the commonest mistake, and the cheapest to find. The directory's lock and the log's
//! identity keep two processes, and two members, from one directory.

use std::net::TcpListener;
use std::path::PathBuf;

use quorate_kv::State;
use quorate_protocol::Recovered;
use quorate_storage::{StorageError, Store};
use quorate_wal::{RealDisk, Wal, WalError};
use tokio::runtime::Runtime;

use crate::config::{Config, ConfigError, Url};
use crate::http;
use crate::identity::Identity;
use crate::log::GROUP;
use crate::shared::Core;
use crate::snapshots::standing;

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

/// The sockets of a node, and the threads that serve clients.
pub struct Ports {
    pub runtime: Runtime,
    pub clients: Vec<tokio::net::TcpListener>,
    pub peers: Vec<TcpListener>,
}

impl Ports {
    /// Take all of them.
    ///
    /// # Errors
    /// One is in use, or not ours to take.
    pub fn bind(config: &Config) -> Result<Ports, StartError> {
        let runtime = runtime().map_err(io("cannot start the client runtime"))?;
        let clients = bind_clients(config, &runtime)?;
        let peers = bind_peers(config)?;
        Ok(Ports { runtime, clients, peers })
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

/// What a node finds on its disk.
pub struct Opened {
    pub wal: Wal<RealDisk>,
    pub state: State<Store>,
    pub recovered: Recovered,
    pub state_directory: PathBuf,
    pub options: quorate_storage::Options,
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
    let what = what.into();
    move |error| StartError::Io { what, error }
}

/// Open the log and the state, and see that they fit together.
///
/// # Errors
/// They do not, or cannot be read.
pub fn open<C: Core>(config: &Config, identity: &Identity) -> Result<Opened, StartError> {
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
