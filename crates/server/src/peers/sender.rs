//! What this node says: a thread per peer that dials, greets and writes.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_protocol::NodeId;
use quorate_wire::{FrameDecoder, Hello, Packet, SnapshotChunk};

use super::{Frame, PATIENCE, Peers};
use crate::mailbox::Sender;
use crate::shared::ConsensusInput;

/// Between two attempts to reach a peer.
const PAUSE: Duration = Duration::from_millis(100);

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
pub fn dial_all<M: Send + 'static>(
    peers: &Arc<Peers>,
    consensus: &Sender<ConsensusInput<M>>,
) -> Vec<std::thread::JoinHandle<()>> {
    let report_to = consensus.clone();
    let report = move |to, ok| {
        report_to.send(ConsensusInput::SnapshotSent(to, ok));
    };
    // Set once: a node dials its peers once.
    let _ = peers.report.set(Reporter(Box::new(report)));
    let spawn = |&to: &NodeId| {
        let (peers, consensus) = (Arc::clone(peers), consensus.clone());
        let lost = move || {
            consensus.send(ConsensusInput::LinkReset(to));
        };
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
        let error = match dial(peers, to) {
            Ok(socket) => {
                last_error.clear();
                tracing::info!(to = to.0, "connected to a peer");
                link.connected.store(true, Ordering::SeqCst);
                // What gathered while nobody listened is old news.
                link.frames.clear();
                lost();
                let error = talk(peers, to, &socket).expect_err("a conversation ends with a reason");
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

/// Read the first frame of a connection.
pub fn read_hello(socket: &mut TcpStream) -> io::Result<Hello> {
    let mut decoder = FrameDecoder::new(MAX_HELLO_BYTES);
    let mut byte = [0; 1];
    loop {
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            return Hello::from_frame(frame).map_err(io::Error::other);
        }
        // By single bytes: what follows the greeting belongs to the next reader.
        match socket.read(&mut byte)? {
            0 => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer hung up at the greeting"));
            }
            _ => decoder.feed(&byte),
        }
    }
}

/// Write what is queued until the connection ends.
fn talk(peers: &Peers, to: NodeId, mut socket: &TcpStream) -> io::Result<std::convert::Infallible> {
    let _tracked = peers.track(socket);
    let link = &peers.links[&to];
    // The other side says nothing more on this connection: anything readable is its end.
    socket.set_nonblocking(false)?;
    let (mut frames, mut batch) = (Vec::new(), Frame::new());
    loop {
        link.frames.take_all(&mut frames, Some(Instant::now() + IDLE));
        if peers.stopping() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the node stops"));
        }
        if frames.is_empty() {
            frames.push(Packet::Ping { token: 0 }.encode().map_err(io::Error::other)?);
        }
        frames.drain(..).for_each(|frame| batch.extend(frame));
        write_all(&mut socket, &batch)?;
        batch.clear();
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
