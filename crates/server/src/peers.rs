//! The connections between the nodes of a cluster.
//!
//! Each node dials every other and uses that connection for what *it* has to say; what it hears comes over
//! the connections others have dialled. Each connection has a thread, but a message does not wait for it:
//! whoever has one writes it to the socket on the spot (see [`link`]), and the thread writes only what the
//! socket did not take. A message for which there is no room is dropped, as the protocols allow; a lost
//! connection is told to the core, so that what was in flight is sent again.
//!
//! Three kinds of traffic: the core's messages; questions about leases with their answers; and snapshots,
//! each on a connection of its own so that heartbeats never wait behind one.

mod link;
mod receiver;
mod sender;

use std::collections::{BTreeMap, HashMap};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quorate_protocol::{Consensus, NodeId};
use quorate_storage::ImageReader;
use quorate_wire::{Answer, Ask, Packet, encode_message};
use tokio::sync::oneshot;

use link::Link;
pub use receiver::{Listening, listen};
pub use sender::dial_all;

/// How long a connection may take to come about, and a write to make progress.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who this node is to its peers.
#[derive(Clone, Debug)]
pub struct Local {
    /// The consensus protocol's name.
    pub protocol: &'static str,
    /// The cluster.
    pub cluster: u64,
    /// This node.
    pub node: NodeId,
    /// Grows with every start.
    pub incarnation: u64,
}

/// One frame, as segments for a vectored write.
type Frame = Vec<Bytes>;

/// The registry of peers.
#[derive(Debug)]
pub struct Peers {
    local: Local,
    links: BTreeMap<NodeId, Link>,
    /// Questions of ours without an answer yet.
    asked: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    next_token: AtomicU64,
    /// Images waiting for the message that sends them off.
    staged: Mutex<BTreeMap<NodeId, Staged>>,
    sending: AtomicUsize,
    report: std::sync::OnceLock<sender::Reporter>,
    stopping: AtomicBool,
    /// Every open socket, to be shut down when the node stops.
    sockets: Mutex<HashMap<u64, TcpStream>>,
}

struct Staged(ImageReader);

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an image")
    }
}

impl Peers {
    /// For a node and where its peers listen.
    pub fn new(local: Local, addresses: BTreeMap<NodeId, Vec<String>>) -> Self {
        Peers {
            next_token: AtomicU64::new(local.incarnation << 20),
            local,
            links: addresses.into_iter().map(|(node, addresses)| (node, Link::new(addresses))).collect(),
            asked: Mutex::default(),
            staged: Mutex::default(),
            sending: AtomicUsize::new(0),
            report: std::sync::OnceLock::new(),
            stopping: AtomicBool::new(false),
            sockets: Mutex::default(),
        }
    }

    /// Send a core's message, or drop it if the peer's queue is full.
    pub fn send_message<C: Consensus>(self: &Arc<Self>, to: NodeId, message: &C::Message) {
        match encode_message(crate::log::GROUP, message) {
            Ok(frame) if C::carries_snapshot(message).is_some() => self.send_off(to, frame),
            Ok(frame) => self.send(to, frame),
            Err(error) => tracing::error!(to = to.0, "a message cannot be sent: {error}"),
        }
    }

    fn send(&self, to: NodeId, frame: Frame) {
        if let Some(link) = self.links.get(&to) {
            link.send(frame);
        }
    }

    /// Keep an image until the core sends it off.
    pub fn stage(&self, to: NodeId, image: ImageReader) {
        self.staged.lock().insert(to, Staged(image));
    }

    /// Give up images that were not sent off: an image keeps the space of everything newer from being reused.
    pub fn unstage(&self) {
        let staged = std::mem::take(&mut *self.staged.lock());
        drop(staged);
    }

    /// Whether an image is on its way to somebody: the log is not shortened meanwhile, or the receiver
    /// would need another one right after.
    pub fn sending_snapshot(&self) -> bool {
        self.sending.load(Ordering::SeqCst) > 0
    }

    /// Peers that can be reached at the moment.
    pub fn connected(&self) -> usize {
        self.links.values().filter(|link| link.connected.load(Ordering::SeqCst)).count()
    }

    /// Whether this peer can be reached at the moment.
    pub fn reaches(&self, to: NodeId) -> bool {
        self.links.get(&to).is_some_and(|link| link.connected.load(Ordering::SeqCst))
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Put a question to a node; no answer if the connection is lost or it takes too long.
    pub async fn ask(&self, to: NodeId, ask: &Ask, patience: Duration) -> Option<Answer> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.asked.lock().insert(token, sender);
        if let Ok(frame) = Packet::ask(token, ask).encode() {
            self.send(to, frame);
        }
        let answer = tokio::time::timeout(patience, receiver).await;
        self.asked.lock().remove(&token);
        answer.ok()?.ok()
    }

    fn answered(&self, token: u64, answer: Answer) {
        if let Some(sender) = self.asked.lock().remove(&token) {
            let _ = sender.send(answer);
        }
    }

    fn answer(&self, to: NodeId, token: u64, answer: &Answer) {
        if let Ok(frame) = Packet::answer(token, answer).encode() {
            self.send(to, frame);
        }
    }

    /// End every connection.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for socket in self.sockets.lock().values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Note a socket while it is in use.
    fn track(&self, socket: &TcpStream) -> Tracked<'_> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        if let Ok(copy) = socket.try_clone() {
            self.sockets.lock().insert(token, copy);
        }
        if self.stopping() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        Tracked { peers: self, token }
    }
}

/// A socket that [`Peers::stop`] will shut down.
struct Tracked<'a> {
    peers: &'a Peers,
    token: u64,
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        self.peers.sockets.lock().remove(&self.token);
    }
}
