//! Sending an image: a connection of its own, chunk by chunk, at a bounded pace, with the core's message at the end.
//!
//! A connection that breaks ends the attempt; the core is told and asks for another, which begins anew. The receiver
//! throws away what it has of the first.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_protocol::NodeId;
use quorate_storage::ImageReader;
use quorate_wire::{Packet, SnapshotChunk};

use super::sender::{dial, write_all};
use super::{Frame, Peers};

/// Between two attempts to send an image.
const RETRY: Duration = Duration::from_millis(300);

/// How long the receiver may take to make the whole image durable.
const ACCEPTANCE: Duration = Duration::from_secs(60);

/// How long to sleep before looking whether the node stops.
const NAP: Duration = Duration::from_millis(100);

impl Peers {
    /// Send the staged image with the message that goes last, on a connection of its own.
    pub(super) fn send_off(self: &Arc<Self>, to: NodeId, message: Frame) {
        let Some(staged) = self.staged.lock().remove(&to) else {
            return self.report_sent(to, false);
        };
        self.sending.fetch_add(1, Ordering::SeqCst);
        let peers = Arc::clone(self);
        std::thread::spawn(move || {
            let gone = || io::Error::new(io::ErrorKind::NotConnected, "it is no peer any more");
            let addresses = peers.link(to).map(|link| link.addresses()).ok_or_else(gone);
            let sent = addresses.and_then(|at| peers.stream(to, &at, staged.0, &message));
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
        if let Some(hooks) = self.hooks.get() {
            (hooks.sent)(to, ok);
        }
    }

    fn stream(
        &self,
        to: NodeId,
        addresses: &[String],
        mut image: ImageReader,
        message: &Frame,
    ) -> io::Result<()> {
        let mut socket = dial(self, to, addresses)?;
        let _tracked = self.track(to, &socket);
        let mut offset = 0;
        while let Some(bytes) = image.next_chunk().map_err(io::Error::other)? {
            let len = bytes.len() as u64;
            self.send_chunk(&mut socket, SnapshotChunk { stream: 1, offset, last: false, bytes })?;
            offset += len;
        }
        let end = SnapshotChunk { stream: 1, offset, last: true, bytes: bytes::Bytes::new() };
        self.send_chunk(&mut socket, end)?;
        write_all(&mut socket, message)?;
        // The other side says that it has taken the message, or closes.
        socket.shutdown(std::net::Shutdown::Write)?;
        socket.set_read_timeout(Some(ACCEPTANCE))?;
        match socket.read(&mut [0; 1])? {
            0 => Err(io::Error::other("the peer refused it")),
            _ => Ok(()),
        }
    }

    /// Send a chunk when its time has come. A receiver that takes nothing for [`PATIENCE`](super::PATIENCE) is given up
    /// (the socket's own time limit); one that takes a little now and then is waited for.
    fn send_chunk(&self, socket: &mut TcpStream, chunk: SnapshotChunk) -> io::Result<()> {
        let mut wait = self.pace.book(chunk.bytes.len(), Instant::now());
        while !wait.is_zero() {
            let nap = wait.min(NAP);
            std::thread::sleep(nap);
            wait -= nap;
            if self.stopping() {
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the node stops"));
            }
        }
        write_all(socket, &Packet::SnapshotChunk(chunk).encode().map_err(io::Error::other)?)
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
