//! What this node says: a thread per peer that dials, greets, and writes what could not be written at once.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quorate_protocol::NodeId;
use quorate_wire::{FrameDecoder, Hello, HelloError, Packet, Roster};

use super::link::Link;
use super::{PATIENCE, Peers, introduction};

/// Between two attempts to reach a peer.
const PAUSE: Duration = Duration::from_millis(100);

/// How often an idle connection is looked after.
const IDLE: Duration = Duration::from_millis(500);

/// A greeting is small.
const MAX_HELLO_BYTES: usize = 1024;

/// Tells the consensus core, whose type this module does not know, of images and connections.
pub struct Hooks {
    /// An image was handed over to this peer, or not.
    pub sent: Box<dyn Fn(NodeId, bool) + Send + Sync>,
    /// A connection to this peer began or ended: what was in flight may be gone.
    pub reset: Box<dyn Fn(NodeId) + Send + Sync>,
    /// Who the members are, as far as this node knows.
    pub roster: Box<dyn Fn() -> Option<Roster> + Send + Sync>,
    /// This peer says that this node has been removed from the cluster.
    pub removed: Box<dyn Fn(NodeId) + Send + Sync>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hooks")
    }
}

/// Start the thread of a link.
pub fn spawn(peers: &Arc<Peers>, to: NodeId, link: Arc<Link>) -> JoinHandle<()> {
    let peers = Arc::clone(peers);
    std::thread::Builder::new()
        .name(format!("to-{to}"))
        .spawn(move || keep_connected(&peers, to, &link))
        .expect("the system has room for a thread")
}

fn keep_connected(peers: &Peers, to: NodeId, link: &Link) {
    let reset = || {
        if let Some(hooks) = peers.hooks.get() {
            (hooks.reset)(to);
        }
    };
    let over = || peers.stopping() || link.closed();
    let mut last_error = String::new();
    while !over() {
        let addresses = link.addresses();
        let dialled = dial(peers, to, &addresses);
        let error = match dialled.and_then(|socket| socket.set_nonblocking(true).map(|()| socket)) {
            Ok(socket) => {
                last_error.clear();
                tracing::info!(to = to.0, "connected to a peer");
                let socket = Arc::new(socket);
                link.connect(&socket);
                introduce(peers, link);
                reset();
                let error = talk(peers, to, link, &socket).expect_err("a conversation ends with a reason");
                link.disconnect();
                reset();
                error
            }
            Err(error) => error,
        };
        let error = error.to_string();
        if !over() && error != last_error {
            tracing::warn!(to = to.0, ?addresses, "no connection to a peer: {error}");
            last_error = error;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Say who the members are: the peer may have been away for so long that it knows none of them.
fn introduce(peers: &Peers, link: &Link) {
    let roster = peers.hooks.get().and_then(|hooks| (hooks.roster)());
    if let Some(frame) = roster.and_then(introduction) {
        link.send(frame);
    }
}

/// Connect and greet.
pub fn dial(peers: &Peers, to: NodeId, addresses: &[String]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the peer's address names no host");
    for address in addresses {
        let resolved = match address.to_socket_addrs() {
            Ok(resolved) => resolved,
            Err(error) => {
                last = error;
                continue;
            }
        };
        for address in resolved {
            match TcpStream::connect_timeout(&address, PATIENCE).and_then(|socket| greet(peers, to, socket)) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

fn greet(peers: &Peers, to: NodeId, mut socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let tracked = peers.track(to, &socket);
    let local = &peers.local;
    let hello = Hello {
        protocol: local.protocol.to_owned(),
        cluster: local.cluster,
        from: local.node,
        to,
        incarnation: local.incarnation,
        removed: false,
    };
    write_all(&mut socket, &hello.to_frame())?;
    let theirs = read_hello(&mut socket)?;
    let me = quorate_wire::Local {
        protocol: local.protocol,
        cluster: local.cluster,
        node: local.node,
        dialled: Some(to),
    };
    let checked = theirs.check(&me);
    if let (Err(HelloError::Removed { .. }), Some(hooks)) = (&checked, peers.hooks.get()) {
        (hooks.removed)(to);
    }
    checked.map_err(io::Error::other)?;
    drop(tracked);
    Ok(socket)
}

/// Read the first frame of a connection. All of it has to come in time: whoever sends a byte now and then
/// must not keep a place from a peer.
pub fn read_hello(socket: &mut TcpStream) -> io::Result<Hello> {
    let mut decoder = FrameDecoder::new(MAX_HELLO_BYTES);
    let mut byte = [0; 1];
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            return Hello::from_frame(frame).map_err(io::Error::other);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the greeting takes too long"));
        }
        socket.set_read_timeout(Some(left))?;
        // By single bytes: what follows the greeting belongs to the next reader.
        match socket.read(&mut byte)? {
            0 => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer hung up at the greeting"));
            }
            _ => decoder.feed(&byte),
        }
    }
}

/// Keep a connection going: write what could not be written at once, and say something now and then.
fn talk(peers: &Peers, to: NodeId, link: &Link, socket: &TcpStream) -> io::Result<std::convert::Infallible> {
    let _tracked = peers.track(to, socket);
    let ping = Packet::Ping { token: 0 }.encode().map_err(io::Error::other)?;
    loop {
        match link.wait_for_backlog(Instant::now() + IDLE)? {
            true => {
                await_writable(socket)?;
                link.write_backlog()?;
            }
            false => link.send(ping.clone()),
        }
        if peers.stopping() || link.closed() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "nothing more is to be said"));
        }
    }
}

/// Wait until the socket takes bytes again. A peer that takes none for long is as good as gone.
fn await_writable(socket: &TcpStream) -> io::Result<()> {
    let patience = rustix::time::Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let mut polled = [rustix::event::PollFd::new(socket, rustix::event::PollFlags::OUT)];
    match rustix::event::poll(&mut polled, Some(&patience)) {
        Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads nothing")),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A vectored write of all segments.
pub fn write_all(socket: &mut impl Write, segments: &[bytes::Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = segments.iter().map(|segment| IoSlice::new(segment)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        match socket.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut rest, n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
