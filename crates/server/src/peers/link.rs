//! One peer's outgoing side.
//!
//! Whoever has a message writes it to the socket at once, without waiting: loopback and a healthy network
//! take it, and no thread need be woken. What the socket does not take becomes a backlog, which the
//! connection's thread writes as room comes about; while there is one, messages queue up behind it, up to a bound.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::{Buf, Bytes};
use parking_lot::{Condvar, Mutex};

use super::Frame;

/// Bytes that may wait for one peer before messages are dropped.
const MAX_BACKLOG_BYTES: usize = 64 << 20;

/// Segments given to the system in one call.
const MAX_SLICES: usize = 512;

/// What is known of one peer.
#[derive(Debug)]
pub struct Link {
    /// Where it listens: `host:port`, to be resolved at each attempt.
    addresses: Mutex<Vec<String>>,
    /// Since when it is connected, if it is.
    connected: Mutex<Option<Instant>>,
    /// It is no member any more: its thread ends.
    closed: AtomicBool,
    out: Mutex<Out>,
    /// Something for the connection's thread to do.
    stir: Condvar,
}

#[derive(Debug, Default)]
struct Out {
    socket: Option<Arc<TcpStream>>,
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    /// Why the connection broke, until its thread has seen it.
    broken: Option<io::Error>,
}

impl Link {
    /// A peer that is not connected.
    pub fn new(addresses: Vec<String>) -> Self {
        Link {
            addresses: Mutex::new(addresses),
            connected: Mutex::default(),
            closed: AtomicBool::new(false),
            out: Mutex::default(),
            stir: Condvar::new(),
        }
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.lock().clone()
    }

    /// It listens elsewhere now. A connection to where it was before is given up.
    pub fn moved(&self, addresses: &[String]) {
        let mut known = self.addresses.lock();
        if *known != addresses {
            *known = addresses.to_vec();
            drop(known);
            self.hang_up();
        }
    }

    /// It is no member any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.hang_up();
    }

    /// Whether it is no member any more.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn hang_up(&self) {
        let mut out = self.out.lock();
        if let Some(socket) = &out.socket {
            let _ = socket.shutdown(std::net::Shutdown::Both);
            out.fail(io::Error::new(io::ErrorKind::NotConnected, "the members have changed"));
        }
        drop(out);
        self.stir.notify_one();
    }

    /// Since when it is connected, if it is at the moment.
    pub fn connected(&self) -> Option<Instant> {
        *self.connected.lock()
    }

    /// Messages go over this socket from now on; it does not block.
    pub fn connect(&self, socket: &Arc<TcpStream>) {
        *self.out.lock() = Out { socket: Some(Arc::clone(socket)), ..Out::default() };
        *self.connected.lock() = Some(Instant::now());
    }

    /// The connection is gone; messages are dropped.
    pub fn disconnect(&self) {
        *self.connected.lock() = None;
        *self.out.lock() = Out::default();
    }

    /// Send a frame, or drop it if there is no connection or too much waits.
    pub fn send(&self, frame: Frame) {
        let mut out = self.out.lock();
        if out.socket.is_none() || out.backlog_bytes > MAX_BACKLOG_BYTES {
            return;
        }
        let idle = out.backlog.is_empty();
        out.backlog_bytes += frame.iter().map(Bytes::len).sum::<usize>();
        out.backlog.extend(frame);
        if idle {
            out.write();
            if !out.backlog.is_empty() || out.broken.is_some() {
                drop(out);
                self.stir.notify_one();
            }
        }
    }

    /// Wait until there is a backlog (true) or `deadline` (false).
    pub fn wait_for_backlog(&self, deadline: Instant) -> io::Result<bool> {
        let mut out = self.out.lock();
        while out.backlog.is_empty() && out.broken.is_none() {
            if self.stir.wait_until(&mut out, deadline).timed_out() {
                break;
            }
        }
        match out.broken.take() {
            Some(error) => Err(error),
            None => Ok(!out.backlog.is_empty()),
        }
    }

    /// Write what the socket takes of the backlog.
    pub fn write_backlog(&self) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write();
        out.broken.take().map_or(Ok(()), Err)
    }
}

impl Out {
    fn write(&mut self) {
        let Some(socket) = self.socket.clone() else { return };
        while !self.backlog.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                self.backlog.iter().take(MAX_SLICES).map(|segment| IoSlice::new(segment)).collect();
            match (&*socket).write_vectored(&slices) {
                Ok(0) => return self.fail(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: io::Error) {
        *self = Out { broken: Some(error), ..Out::default() };
    }

    fn advance(&mut self, mut written: usize) {
        self.backlog_bytes -= written;
        while let Some(first) = self.backlog.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.backlog.pop_front();
        }
    }
}
