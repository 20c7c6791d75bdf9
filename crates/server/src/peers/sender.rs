//! What this node says: a thread per peer that dials, greets, and writes what could not be written at once.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_protocol::NodeId;
use quorate_wire::{FrameDecoder, Hello, Packet, SnapshotChunk};

use super::{Frame, PATIENCE, Peers};
use crate::combiner::Combiner;
use crate::consensus::Driver;
use crate::shared::{ConsensusInput, Core};

/// Between two attempts to reach a peer.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two attempts to send a snapshot.
const RETRY: Duration = Duration::from_millis(300);

/// How often an idle connection is looked after.
const IDLE: Duration = Duration::from_millis(500);

/// A greeting is small.
const MAX_HELLO_BYTES: usize = 1024;

/// Tells the consensus thread, whose type this module does not know, of snapshots sent.
pub struct Reporter(Box<dyn Fn(NodeId, bool) + Send + Sync>);

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a reporter")
    }
}

/// Start a thread per peer; a lost connection is reported to the core.
pub fn dial_all<C: Core>(
    peers: &Arc<Peers>,
    core: &Arc<Combiner<Driver<C>>>,
) -> Vec<std::thread::JoinHandle<()>> {
    let report_to = Arc::downgrade(core);
    let report = move |to, ok| {
        if let Some(core) = report_to.upgrade() {
            core.leave(ConsensusInput::SnapshotSent(to, ok));
        }
    };
    // Set once: a node dials its peers once.
    let _ = peers.report.set(Reporter(Box::new(report)));
    let spawn = |&to: &NodeId| {
        let (peers, core) = (Arc::clone(peers), Arc::clone(core));
        let lost = move || core.submit(ConsensusInput::LinkReset(to));
        let name = format!("to-{to}");
        std::thread::Builder::new()
            .name(name)
            .spawn(move || keep_connected(&peers, to, &lost))
            .expect("the system has room for a thread")
    };
    peers.links.keys().map(spawn).collect()
}

fn keep_connected(peers: &Peers, to: NodeId, lost: &dyn Fn()) {
    let link = &peers.links[&to];
    let mut last_error = String::new();
    while !peers.stopping() {
        let dialled = dial(peers, to).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let error = match dialled {
            Ok(socket) => {
                last_error.clear();
                tracing::info!(to = to.0, "connected to a peer");
                link.connected.store(true, Ordering::SeqCst);
                let socket = Arc::new(socket);
                link.connect(&socket);
                lost();
                let error = talk(peers, to, &socket).expect_err("a conversation ends with a reason");
                link.disconnect();
                link.connected.store(false, Ordering::SeqCst);
                lost();
                error
            }
            Err(error) => error,
        };
        let error = error.to_string();
        if !peers.stopping() && error != last_error {
            tracing::warn!(to = to.0, addresses = ?link.addresses, "no connection to a peer: {error}");
            last_error = error;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Connect and greet.
fn dial(peers: &Peers, to: NodeId) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the peer's address names no host");
    for address in &peers.links[&to].addresses {
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
    let tracked = peers.track(&socket);
    let local = &peers.local;
    let hello = Hello {
        protocol: local.protocol.to_owned(),
        cluster: local.cluster,
        from: local.node,
        to,
        incarnation: local.incarnation,
    };
    write_all(&mut socket, &hello.to_frame())?;
    let theirs = read_hello(&mut socket)?;
    let me = quorate_wire::Local {
        protocol: local.protocol,
        cluster: local.cluster,
        node: local.node,
        dialled: Some(to),
    };
    theirs.check(&me).map_err(io::Error::other)?;
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
fn talk(peers: &Peers, to: NodeId, socket: &TcpStream) -> io::Result<std::convert::Infallible> {
    let _tracked = peers.track(socket);
    let link = &peers.links[&to];
    let ping = Packet::Ping { token: 0 }.encode().map_err(io::Error::other)?;
    loop {
        match link.wait_for_backlog(Instant::now() + IDLE)? {
            true => {
                await_writable(socket)?;
                link.write_backlog()?;
            }
            false => link.send(ping.clone()),
        }
        if peers.stopping() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the node stops"));
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

impl Peers {
    /// Send the staged image with the message that goes last, on a connection of its own.
    pub(super) fn send_off(self: &Arc<Self>, to: NodeId, message: Frame) {
        let Some(staged) = self.staged.lock().remove(&to) else {
            return self.report_sent(to, false);
        };
        self.sending.fetch_add(1, Ordering::SeqCst);
        let peers = Arc::clone(self);
        std::thread::spawn(move || {
            let sent = stream(&peers, to, staged.0, &message);
            if let Err(error) = &sent {
                tracing::warn!(to = to.0, "a snapshot did not arrive: {error}");
            }
            peers.sending.fetch_sub(1, Ordering::SeqCst);
            if sent.is_err() {
                // The core tries again as soon as it hears: not in a tight circle.
                std::thread::sleep(RETRY);
            }
            peers.report_sent(to, sent.is_ok());
        });
    }

    fn report_sent(&self, to: NodeId, ok: bool) {
        if let Some(report) = self.report.get() {
            report.0(to, ok);
        }
    }
}

fn stream(
    peers: &Peers,
    to: NodeId,
    mut image: quorate_storage::ImageReader,
    message: &Frame,
) -> io::Result<()> {
    let mut socket = dial(peers, to)?;
    let _tracked = peers.track(&socket);
    let mut offset = 0;
    while let Some(bytes) = image.next_chunk().map_err(io::Error::other)? {
        let len = bytes.len() as u64;
        let chunk = SnapshotChunk { stream: 1, offset, last: false, bytes };
        write_all(&mut socket, &Packet::SnapshotChunk(chunk).encode().map_err(io::Error::other)?)?;
        offset += len;
    }
    let end = SnapshotChunk { stream: 1, offset, last: true, bytes: bytes::Bytes::new() };
    write_all(&mut socket, &Packet::SnapshotChunk(end).encode().map_err(io::Error::other)?)?;
    write_all(&mut socket, message)?;
    // The other side closes once it has taken the message or refused the image.
    socket.shutdown(std::net::Shutdown::Write)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    match socket.read(&mut [0; 1])? {
        0 => Err(io::Error::other("the peer refused it")),
        _ => Ok(()),
    }
}
