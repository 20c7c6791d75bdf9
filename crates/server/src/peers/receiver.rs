//! What this node hears: a listener, and a thread per connection that somebody has dialled.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use quorate_protocol::NodeId;
use quorate_protocol::codec::{Decode, Malformed, Reader};
use quorate_storage::{Image, ImageWriter};
use quorate_wire::{Answer, Ask, FrameDecoder, Hello, Packet, SnapshotChunk};

use super::sender::{read_hello, write_all};
use super::{PATIENCE, Peers};
use crate::combiner::Combiner;
use crate::consensus::Driver;
use crate::shared::{ConsensusInput, Core, Shared};
use crate::snapshots::standing;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

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
    let _tracked = peers.track(&socket);
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let from = greeted(peers, &mut socket)?;
    socket.set_read_timeout(Some(SILENCE))?;
    let mut hearing = Hearing::<C> { listening, from, image: None, staged: None };
    let mut decoder = FrameDecoder::default();
    let mut chunk = vec![0; READ_BYTES];
    loop {
        while let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            let packet = Packet::decode(frame).map_err(io::Error::other)?;
            hearing.take(packet, &mut socket)?;
        }
        match socket.read(&mut chunk)? {
            0 => return Ok(()),
            n => decoder.feed(&chunk[..n]),
        }
    }
}

/// Check who dials, and say who answers.
fn greeted(peers: &Peers, socket: &mut TcpStream) -> io::Result<NodeId> {
    let local = &peers.local;
    let theirs = read_hello(socket)?;
    let hello = Hello {
        protocol: local.protocol.to_owned(),
        cluster: local.cluster,
        from: local.node,
        to: theirs.from,
        incarnation: local.incarnation,
    };
    // Answered in any case: the other side can then say what is wrong as well.
    write_all(socket, &hello.to_frame())?;
    let me = quorate_wire::Local {
        protocol: local.protocol,
        cluster: local.cluster,
        node: local.node,
        dialled: None,
    };
    theirs.check(&me).map_err(io::Error::other)?;
    match peers.links.contains_key(&theirs.from) {
        true => Ok(theirs.from),
        false => Err(io::Error::other(format!(
            "member {} is not in this node's cluster; check --initial-cluster on both",
            theirs.from
        ))),
    }
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
                let answer = answer(&self.listening.shared, body);
                self.listening.shared.peers.answer(self.from, token, &answer);
                Ok(())
            }
            Packet::Answer { token, body } => {
                let answer = Reader::whole::<Answer>(body).map_err(io::Error::other)?;
                self.listening.shared.peers.answered(token, answer);
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

fn answer(shared: &Shared, body: bytes::Bytes) -> Answer {
    let Ok(ask) = Ask::decode(&mut Reader::new(body)) else { return Answer::Unsupported };
    match ask {
        Ask::LeaseRenew { id } => shared.renew_here(id),
        Ask::LeaseRemaining { id } => shared.remaining_here(id),
        Ask::Probe => Answer::Version { version: quorate_api::version::VERSION.to_owned() },
    }
}
