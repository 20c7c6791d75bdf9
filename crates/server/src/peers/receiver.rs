//! What this node hears: a listener, and a thread per connection that somebody has dialled.
//!
//! Who dials is a member (or will turn out to be one), a member that has been removed, which is told so, or a node that
//! is none yet and asks what it needs to know to become one.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::NodeId;
use quorate_protocol::codec::{Decode, Malformed, Reader};
use quorate_storage::{Image, ImageWriter};
use quorate_wire::{Answer, Ask, FrameDecoder, Hello, HelloError, Packet, SnapshotChunk};

use super::sender::{read_hello, write_all};
use super::{PATIENCE, Peers, UNASKED};
use crate::combiner::Combiner;
use crate::consensus::Driver;
use crate::shared::{ConsensusInput, Core, Shared};
use crate::snapshots::standing;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// A stranger's question is small.
const MAX_QUESTION_BYTES: usize = 64 << 10;

/// A peer that says nothing for so long is gone: it pings when it has nothing else to say.
const SILENCE: Duration = Duration::from_secs(10);

/// Connections at a time, at most: peers, their snapshots, and whoever strays here.
const MAX_CONNECTIONS: usize = 256;

/// What a listener needs.
pub struct Listening<C: Core> {
    /// The node.
    pub shared: Arc<Shared>,
    /// Where messages go.
    pub core: Arc<Combiner<Driver<C>>>,
    /// Where images are built.
    pub directory: std::path::PathBuf,
    /// How.
    pub options: quorate_storage::Options,
}

/// Accept connections until the node stops.
pub fn listen<C: Core>(listening: Arc<Listening<C>>, listener: TcpListener) {
    for socket in listener.incoming() {
        if listening.shared.peers.stopping() {
            return;
        }
        let Ok(socket) = socket else {
            // Out of file descriptors, say: existing connections go on, new ones wait a little.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if listening.shared.peers.sockets.lock().len() >= MAX_CONNECTIONS {
            tracing::warn!("too many connections on the peer port; one is turned away");
            continue;
        }
        let listening = Arc::clone(&listening);
        std::thread::spawn(move || {
            let from = socket.peer_addr().map_or("somebody".into(), |address| address.to_string());
            if let Err(error) = serve::<C>(&listening, socket)
                && !listening.shared.peers.stopping()
            {
                tracing::warn!(from, "a connection on the peer port ends: {error}");
            }
        });
    }
}

fn serve<C: Core>(listening: &Listening<C>, mut socket: TcpStream) -> io::Result<()> {
    let peers = &listening.shared.peers;
    let greeting = peers.track(peers.local.node, &socket);
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let Some(from) = greeted(peers, &mut socket)? else {
        return inform(&listening.shared, &mut socket);
    };
    let _tracked = peers.track(from, &socket);
    drop(greeting);
    socket.set_read_timeout(Some(SILENCE))?;
    let mut hearing = Hearing::<C> { listening, from, image: None, staged: None };
    each_packet(&mut socket, FrameDecoder::default(), |packet, socket| hearing.take(packet, socket))
}

fn each_packet(
    socket: &mut TcpStream,
    mut decoder: FrameDecoder,
    mut take: impl FnMut(Packet, &mut TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    let mut chunk = vec![0; READ_BYTES];
    loop {
        while let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            let packet = Packet::decode(frame).map_err(io::Error::other)?;
            take(packet, socket)?;
        }
        match socket.read(&mut chunk)? {
            0 => return Ok(()),
            n => decoder.feed(&chunk[..n]),
        }
    }
}

/// Check who dials, and say who answers; none for a stranger, who is no peer and may only ask.
fn greeted(peers: &Peers, socket: &mut TcpStream) -> io::Result<Option<NodeId>> {
    let local = &peers.local;
    let theirs = read_hello(socket)?;
    let admitted = theirs.is_stranger() || theirs.cluster != local.cluster || peers.admits(theirs.from);
    let hello = Hello {
        protocol: local.protocol.to_owned(),
        cluster: local.cluster,
        from: local.node,
        to: theirs.from,
        incarnation: local.incarnation,
        removed: !admitted,
    };
    // Answered in any case: the other side can then say what is wrong as well.
    write_all(socket, &hello.to_frame())?;
    let me = quorate_wire::Local {
        protocol: local.protocol,
        cluster: local.cluster,
        node: local.node,
        dialled: None,
    };
    match theirs.check(&me) {
        Ok(()) if admitted => Ok(Some(theirs.from)),
        Ok(()) => Err(io::Error::other(format!("member {} has been removed from the cluster", theirs.from))),
        Err(HelloError::Stranger) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Answer a stranger's questions, over the connection they come on.
fn inform(shared: &Shared, socket: &mut TcpStream) -> io::Result<()> {
    each_packet(socket, FrameDecoder::new(MAX_QUESTION_BYTES), |packet, socket| {
        let Packet::Ask { token, body } = packet else {
            return Err(io::Error::other("a node that is no member may only ask questions"));
        };
        let answer = match Ask::decode(&mut Reader::new(body)) {
            Ok(ask) if ask.is_for_strangers() => answer(shared, ask),
            _ => Answer::Unsupported,
        };
        write_all(socket, &Packet::answer(token, &answer).encode().map_err(io::Error::other)?)
    })
}

/// What is being heard on one connection.
struct Hearing<'a, C: Core> {
    listening: &'a Listening<C>,
    from: NodeId,
    image: Option<(ImageWriter, u64)>,
    staged: Option<Image>,
}

impl<C: Core> Hearing<'_, C> {
    fn take(&mut self, packet: Packet, socket: &mut TcpStream) -> io::Result<()> {
        match packet {
            Packet::Message { group, body } if group == crate::log::GROUP => {
                let message = Reader::whole::<C::Message>(body).map_err(io::Error::other)?;
                self.message(message, socket)
            }
            Packet::Message { .. } => Err(io::Error::other("a message for an unknown group")),
            Packet::SnapshotChunk(chunk) => self.chunk(&chunk),
            Packet::Ask { token, body } => {
                let ask = Ask::decode(&mut Reader::new(body));
                let answer = ask.map_or(Answer::Unsupported, |ask| answer(&self.listening.shared, ask));
                self.listening.shared.peers.answer(self.from, token, &answer);
                Ok(())
            }
            Packet::Answer { token, body } => {
                let answer = Reader::whole::<Answer>(body).map_err(io::Error::other)?;
                match answer {
                    Answer::Members(roster) if token == UNASKED => self.listening.shared.heard(&roster),
                    answer => self.listening.shared.peers.answered(token, answer),
                }
                Ok(())
            }
            Packet::Ping { .. } | Packet::Pong { .. } => Ok(()),
        }
    }

    fn message(&mut self, message: C::Message, socket: &mut TcpStream) -> io::Result<()> {
        let input = match C::carries_snapshot(&message) {
            None => ConsensusInput::Message(self.from, message),
            Some(id) => {
                let image = self.staged.take().filter(|image| standing(&image.meta) == id);
                let image = image.ok_or_else(|| io::Error::other("a snapshot came without its image"))?;
                socket.write_all(&[1])?;
                ConsensusInput::Snapshot(self.from, message, image)
            }
        };
        self.listening.core.submit(input);
        Ok(())
    }

    fn chunk(&mut self, chunk: &SnapshotChunk) -> io::Result<()> {
        if self.image.is_none() {
            tracing::info!(from = self.from.0, "receiving a snapshot");
            let writer = ImageWriter::create(&self.listening.directory, &self.listening.options);
            self.image = Some((writer.map_err(io::Error::other)?, 0));
        }
        let Some((writer, offset)) = &mut self.image else { return Ok(()) };
        if chunk.offset != *offset {
            return Err(io::Error::other(Malformed("snapshot: a chunk is missing")));
        }
        writer.write(&chunk.bytes).map_err(io::Error::other)?;
        *offset += chunk.bytes.len() as u64;
        if chunk.last
            && let Some((writer, _)) = self.image.take()
        {
            self.staged = Some(writer.finish().map_err(io::Error::other)?);
        }
        Ok(())
    }
}

fn answer(shared: &Shared, ask: Ask) -> Answer {
    match ask {
        Ask::LeaseRenew { id } => shared.renew_here(id),
        Ask::LeaseRemaining { id } => shared.remaining_here(id),
        Ask::Probe => Answer::Version { version: quorate_api::version::VERSION.to_owned() },
        Ask::Members => Answer::Members(shared.roster()),
        Ask::InSync { id } => shared.in_sync_here(id),
        Ask::ReplaceLost { old, peer_urls } => {
            // This thread belongs to the connection, and has nothing else to do.
            shared.runtime.block_on(shared.replace_lost(old, &peer_urls))
        }
    }
}
