//! A node from start to stop.
//!
//! ```text
//!  clients (tokio) ─┐                        ┌─▶ log thread ── durable ──┐
//!  from a peer ─────┼─▶ consensus core ──────┤       └─▶ to a peer       │
//!  clock, durable ──┘        ▲               ├─▶ to a peer               │
//!                            └───────────────┼───────────────────────────┘
//!                                            └─▶ state machine ──▶ clients
//!                                                  │      └─▶ watch thread ──▶ clients
//!                                                  ▼
//!                                          checkpoint thread ──▶ state file
//! ```
//!
//! The consensus core and the state machine belong to no thread: whoever brings an input runs them, a client's task, a
//! peer's receiver or the log thread; each has a thread of its own only for time and for large batches (see
//! [`combiner`](crate::combiner)). What is made when and in which order is told in [`startup`](crate::startup).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use quorate_kv::Member;
use quorate_protocol::NodeId;
use tokio::runtime::Runtime;

use crate::checkpoint;
use crate::config::{Config, Url};
use crate::opening::StartError;
use crate::shared::{Fate, Shared};

/// How long a leader that stops waits for another one.
const HANDING_OVER: Duration = Duration::from_secs(1);

/// How long clients' connections may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// A running node.
pub struct Node {
    pub(crate) shared: Arc<Shared>,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// Tells everything that has a mailbox to end.
    pub(crate) stop: Box<dyn Fn() + Send>,
    pub(crate) fatal: Receiver<Fate>,
    /// The clients' listeners.
    pub(crate) servers: Vec<tokio::task::JoinHandle<()>>,
    pub(crate) peer_addresses: Vec<std::net::SocketAddr>,
}

impl Node {
    /// Start a node; it serves as soon as a leader is known.
    ///
    /// # Errors
    /// Whatever keeps it from starting; nothing has been changed that matters.
    pub fn start(config: Config) -> Result<Node, StartError> {
        match config.has_run() {
            true => config.validate_again()?,
            false => config.validate()?,
        }
        config.protocol.start(config)
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
            let known = self.shared.state.read().members().get(self.id()).is_some_and(Member::is_started);
            if known && self.leader().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Tells why the node must end, should that happen.
    pub fn fatal(&self) -> &Receiver<Fate> {
        &self.fatal
    }

    /// Let another voter lead, if this node does: the cluster would miss a leader for an election timeout.
    fn hand_over(&self) {
        let (leadership, own) = (&self.shared.leadership, NodeId(self.id()));
        let Some(successor) = self.shared.roll.successor(own).filter(|_| leadership.leads()) else { return };
        tracing::info!("handing the leadership over to member {:x}", successor.0);
        self.shared.consensus().transfer(successor);
        let deadline = Instant::now() + HANDING_OVER;
        while leadership.leads() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stop cleanly: hand over, finish what is under way, leave everything durable.
    pub fn shutdown(mut self) {
        self.hand_over();
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.proposals.close();
        self.shared.reads.close();
        if let Some(runtime) = self.runtime.take() {
            // Whoever waits for an answer is told that there will be none, before the connection goes.
            let servers = std::mem::take(&mut self.servers);
            runtime.block_on(async {
                for server in servers {
                    let _ = tokio::time::timeout(FAREWELL, server).await;
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
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
