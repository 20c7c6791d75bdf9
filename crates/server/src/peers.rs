//! The connections between the nodes of a cluster.
//!
//! Each node dials every other and uses that connection for what *it* has to say; what it hears comes over
//! the connections others have dialled. Each connection has a thread, but a message does not wait for it:
//! whoever has one writes it to the socket on the spot (see [`link`]), and the thread writes only what the
//! socket did not take. A message for which there is no room is dropped, as the protocols allow; a lost
//! connection is told to the core, so that what was in flight is sent again.
//!
//! Three kinds of traffic: the core's messages; questions (about leases, members, promotions) with their answers; and
//! snapshots, each on a connection of its own so that heartbeats never wait behind one (see [`images`]).
//!
//! Whom there is a link to follows the members table ([`Peers::follow`]): links come, go and are dialled elsewhere as
//! the table is changed. A node that is not in the table may still dial: perhaps this node has not heard of it yet. It
//! is listened to, and since everybody who connects says first whom it knows, itself among them, it can be answered too,
//! even by a node whose table names nobody that is still there ([`members`](crate::members)). Only who is known to have
//! been removed is turned away, and told so.

mod images;
mod link;
mod pace;
pub mod question;
mod receiver;
mod sender;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use quorate_protocol::{Consensus, NodeId};
use quorate_storage::ImageReader;
use quorate_wire::{Answer, Ask, Packet, Roster, encode_message};
use tokio::sync::oneshot;

use link::Link;
use pace::Pace;
pub use receiver::{Listening, listen};
pub use sender::Hooks;

/// How long a connection may take to come about, and a write to make progress.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The number of an answer that nobody asked for: who the members are.
const UNASKED: u64 = 0;

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
    links: RwLock<BTreeMap<NodeId, Arc<Link>>>,
    /// Who may not come back.
    removed: Mutex<BTreeSet<NodeId>>,
    /// The links' threads.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Questions of ours without an answer yet.
    asked: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    next_token: AtomicU64,
    /// Images waiting for the message that sends them off.
    staged: Mutex<BTreeMap<NodeId, Staged>>,
    sending: AtomicUsize,
    /// How fast images may go out, all together.
    pace: Pace,
    hooks: OnceLock<Hooks>,
    stopping: AtomicBool,
    /// Every open socket with whom it leads to, to be shut down when the node stops or that one is removed.
    sockets: Mutex<HashMap<u64, (NodeId, TcpStream)>>,
}

struct Staged(ImageReader);

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an image")
    }
}

impl Peers {
    /// Of a node that knows of nobody yet. Images go out at no more than so many bytes a second; 0 for any number.
    pub fn new(local: Local, snapshot_rate_bytes: u64) -> Self {
        Peers {
            next_token: AtomicU64::new(local.incarnation << 20),
            local,
            links: RwLock::default(),
            removed: Mutex::default(),
            threads: Mutex::default(),
            asked: Mutex::default(),
            staged: Mutex::default(),
            sending: AtomicUsize::new(0),
            pace: Pace::new(snapshot_rate_bytes),
            hooks: OnceLock::new(),
            stopping: AtomicBool::new(false),
            sockets: Mutex::default(),
        }
    }

    /// The consensus protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.local.protocol
    }

    /// Say where news of connections and images go. Links are followed only after this.
    pub fn hook(&self, hooks: Hooks) {
        assert!(self.hooks.set(hooks).is_ok(), "a node has one core");
    }

    /// Keep links to these, and to nobody else; `removed` may not come back.
    pub fn follow(
        self: &Arc<Self>,
        wanted: &BTreeMap<NodeId, Vec<String>>,
        removed: impl IntoIterator<Item = NodeId>,
    ) {
        self.removed.lock().extend(removed);
        let mut links = self.links.write();
        let gone: Vec<NodeId> = links.keys().filter(|node| !wanted.contains_key(node)).copied().collect();
        for node in &gone {
            if let Some(link) = links.remove(node) {
                link.close();
            }
        }
        let mut new = Vec::new();
        for (&node, addresses) in wanted.iter().filter(|(node, _)| **node != self.local.node) {
            match links.get(&node) {
                Some(link) => link.moved(addresses),
                None => {
                    let link = Arc::new(Link::new(addresses.clone()));
                    links.insert(node, Arc::clone(&link));
                    new.push((node, link));
                }
            }
        }
        drop(links);
        for (_, (to, socket)) in self.sockets.lock().iter() {
            if gone.contains(to) {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
        self.threads.lock().extend(new.into_iter().map(|(node, link)| sender::spawn(self, node, link)));
    }

    /// Whom there are links to.
    pub fn known(&self) -> BTreeMap<NodeId, Vec<String>> {
        self.links.read().iter().map(|(node, link)| (*node, link.addresses())).collect()
    }

    /// Whether a node that dials may be listened to.
    fn admits(&self, from: NodeId) -> bool {
        self.links.read().contains_key(&from) || !self.removed.lock().contains(&from)
    }

    /// Tell everybody who the members are.
    pub fn introduce(&self, roster: Roster) {
        if let Some(frame) = introduction(roster) {
            self.links.read().values().for_each(|link| link.send(frame.clone()));
        }
    }

    fn link(&self, to: NodeId) -> Option<Arc<Link>> {
        self.links.read().get(&to).cloned()
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
        if let Some(link) = self.links.read().get(&to) {
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
        self.links.read().values().filter(|link| link.connected().is_some()).count()
    }

    /// Since when this peer can be reached, if it can be at the moment.
    pub fn connected_since(&self, to: NodeId) -> Option<Instant> {
        self.links.read().get(&to)?.connected()
    }

    /// Whether this peer can be reached at the moment.
    pub fn reaches(&self, to: NodeId) -> bool {
        self.connected_since(to).is_some()
    }

    /// How many peers there are.
    pub fn len(&self) -> usize {
        self.links.read().len()
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

    /// End every connection, and wait for the links' threads.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for (_, socket) in self.sockets.lock().values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Note a socket while it is in use.
    fn track(&self, with: NodeId, socket: &TcpStream) -> Tracked<'_> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        if let Ok(copy) = socket.try_clone() {
            self.sockets.lock().insert(token, (with, copy));
        }
        if self.stopping() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        Tracked { peers: self, token }
    }
}

/// Who the members are, for a peer that has not asked.
fn introduction(roster: Roster) -> Option<Frame> {
    Packet::answer(UNASKED, &Answer::Members(roster)).encode().ok()
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
