//! Requests whose `:authority` is a whole URL, put right before the HTTP/2 library sees them.
//!
//! etcd's command-line client of the 3.4 series, given endpoints with a scheme (`--endpoints
//! http://127.0.0.1:2379`), hands the endpoint as it stands to its grpc-go, which sends it as the request's
//! `:authority`. An authority has no scheme (RFC 9113 section 8.3.1), and the library under us resets such a
//! stream as malformed before any of our code is asked. etcd's own library lets it pass, nobody ever looks at
//! the value, and the command is the one in everybody's notes. So the bytes are changed on their way in: the
//! value becomes [`hpack::STAND_IN`].
//!
//! [`Stream`] wraps a client's socket; its reading side runs through a [`Rewriter`], which knows no socket:
//!
//! | what arrives | what becomes of it |
//! |---|---|
//! | not HTTP/2's preface (RFC 9113 section 3.4) | passed on, and never looked at again |
//! | the preface, frames other than HEADERS (4.1) | passed on as they arrive: clients wait for our SETTINGS first |
//! | the first HEADERS (6.2), in order | passed on whole, and never looked at again |
//! | the first HEADERS, with a URL for an authority | passed on whole, changed; those that follow are looked at too |
//! | HEADERS that go on in CONTINUATION, or exceed [`MAX_HEADERS`] | passed on, as the row for those in order |
//!
//! A client writes all its requests in one manner, so the first tells. A well-behaved connection costs one look
//! at its first request, and from then on one branch for each read: bytes go from the socket to their reader
//! with no copy in between. What the client reads is never looked at.
//!
//! # Invariants
//!
//! 1. Bytes are held back only while they are an incomplete frame header or an incomplete HEADERS frame, at most
//!    9 bytes and [`MAX_HEADERS`]; nothing could be done with those anyhow. At the end of the stream they are
//!    passed on as they are.
//! 2. How the stream is cut into reads does not matter.
//! 3. The two ends' tables of header fields stay in step (RFC 7541 section 4). The stand-in is shorter than any
//!    value it replaces, so an entry leaves the reader's table later than the writer expects, never
//!    earlier; and as entries are counted from the newest, those that stay longer are never named.
//! 4. A frame never grows.
//!
//! Caveat: a client whose first request is in order and whose second is not is not helped.

mod hpack;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's header: length (3), type, flags, stream (4).
const FRAME_HEADER: usize = 9;

/// Bytes of a HEADERS frame's payload that are held, at most: what a frame may have unless we allow for more.
const MAX_HEADERS: usize = 16 << 10;

/// The type of a HEADERS frame, and its flags.
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The client's bytes, piece by piece.
#[derive(Debug, Default)]
struct Rewriter {
    phase: Phase,
    /// The beginning of a frame that is not decided on yet.
    held: Vec<u8>,
    /// A request has been changed: the client is one of those.
    changed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// A frame's header is held, as far as it has come.
    Header,
    /// So many bytes belong to a frame that is not for us.
    Skip(usize),
    /// A HEADERS frame is held, as far as it has come; this is its whole size.
    Headers(usize),
    /// Nothing more is looked at.
    Through,
}

impl Default for Phase {
    fn default() -> Self {
        Phase::Preface(0)
    }
}

impl Rewriter {
    /// Take bytes from the client; what can go on is appended to `out`.
    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            match self.phase {
                Phase::Preface(seen) => {
                    let passed = self.preface(seen, input);
                    pass(&mut input, passed, out);
                }
                Phase::Skip(left) => {
                    let passed = pass(&mut input, left, out);
                    self.phase = if passed == left { Phase::Header } else { Phase::Skip(left - passed) };
                }
                Phase::Header => {
                    if self.hold(&mut input, FRAME_HEADER) {
                        self.frame_begins(out);
                    }
                }
                Phase::Headers(size) => {
                    if self.hold(&mut input, size) {
                        self.headers_complete(out);
                    }
                }
                Phase::Through => {
                    let all = input.len();
                    pass(&mut input, all, out);
                }
            }
        }
    }

    /// The client sends nothing more: whatever is held goes on.
    fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.phase = Phase::Through;
    }

    /// Whether nothing more is looked at.
    fn through(&self) -> bool {
        self.phase == Phase::Through
    }

    /// Compare with what is left of the preface; answers how many bytes have been compared.
    fn preface(&mut self, seen: usize, input: &[u8]) -> usize {
        let wanted = &PREFACE[seen..];
        let compared = wanted.len().min(input.len());
        self.phase = match input[..compared] == wanted[..compared] {
            false => Phase::Through,
            true if compared == wanted.len() => Phase::Header,
            true => Phase::Preface(seen + compared),
        };
        compared
    }

    /// Hold bytes until there are `size`; answers whether there are.
    fn hold(&mut self, input: &mut &[u8], size: usize) -> bool {
        let missing = size - self.held.len();
        pass(input, missing, &mut self.held);
        self.held.len() == size
    }

    /// A frame's header is held: what kind is it?
    fn frame_begins(&mut self, out: &mut Vec<u8>) {
        let header = &self.held;
        let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        let (kind, flags) = (header[3], header[4]);
        if kind == HEADERS && flags & END_HEADERS != 0 && length <= MAX_HEADERS && length > 0 {
            self.phase = Phase::Headers(FRAME_HEADER + length);
            return;
        }
        out.append(&mut self.held);
        self.phase = match (kind, length) {
            (HEADERS, _) if !self.changed => Phase::Through,
            (_, 0) => Phase::Header,
            (_, length) => Phase::Skip(length),
        };
    }

    /// A HEADERS frame is held: change it if it needs to be, and let it go.
    fn headers_complete(&mut self, out: &mut Vec<u8>) {
        self.changed |= put_right(&mut self.held);
        out.append(&mut self.held);
        self.phase = if self.changed { Phase::Header } else { Phase::Through };
    }
}

/// Move bytes from `input` to `out`, `most` at most; answers how many.
fn pass(input: &mut &[u8], most: usize, out: &mut Vec<u8>) -> usize {
    let (passed, rest) = input.split_at(most.min(input.len()));
    out.extend_from_slice(passed);
    *input = rest;
    passed.len()
}

/// Replace the authority of a HEADERS frame, if it is a URL; answers whether it was. Padding is kept.
fn put_right(frame: &mut Vec<u8>) -> bool {
    let Some(authority) = fragment(frame).and_then(|(at, block)| Some((at, hpack::url_authority(block)?)))
    else {
        return false;
    };
    let (at, string) = authority;
    let before = string.len();
    frame.splice(at + string.start..at + string.end, hpack::stand_in());
    let length = frame.len() - FRAME_HEADER;
    assert!(hpack::stand_in().count() <= before, "a frame never grows");
    frame[..3].copy_from_slice(&[(length >> 16) as u8, (length >> 8) as u8, length as u8]);
    true
}

/// Where in a HEADERS frame its header block lies, and the block (RFC 9113 section 6.2).
fn fragment(frame: &[u8]) -> Option<(usize, &[u8])> {
    let flags = frame[4];
    let (mut from, mut padding) = (FRAME_HEADER, 0);
    if flags & PADDED != 0 {
        padding = usize::from(*frame.get(from)?);
        from += 1;
    }
    if flags & PRIORITY != 0 {
        from += 5;
    }
    let block = frame.get(from..frame.len().checked_sub(padding)?)?;
    Some((from, block))
}

/// A client's connection, with its requests' authorities put right. Writes go straight through.
#[derive(Debug)]
pub struct Stream<S> {
    inner: S,
    /// None once nothing more is looked at.
    reading: Option<Box<Reading>>,
}

#[derive(Debug, Default)]
struct Reading {
    rewriter: Rewriter,
    /// Bytes that may go on and found no room yet.
    ready: Vec<u8>,
}

impl<S> Stream<S> {
    /// Around a connection of which nothing has been read.
    pub fn new(inner: S) -> Self {
        Stream { inner, reading: Some(Box::default()) }
    }
}

impl Reading {
    /// Hand out what is ready, as far as there is room; answers whether that was anything.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let fits = self.ready.len().min(buf.remaining());
        buf.put_slice(&self.ready[..fits]);
        self.ready.drain(..fits);
        fits > 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Stream { inner, reading } = self.get_mut();
        let Some(live) = reading else {
            return Pin::new(inner).poll_read(cx, buf);
        };
        // An answer without bytes would mean the end: go on until there are some, or it is.
        while buf.remaining() > 0 && !live.hand_out(buf) {
            if live.rewriter.through() {
                *reading = None;
                return Pin::new(inner).poll_read(cx, buf);
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut *inner).poll_read(cx, buf))?;
            match &buf.filled()[before..] {
                [] => live.rewriter.finish(&mut live.ready),
                fresh => live.rewriter.feed(fresh, &mut live.ready),
            }
            buf.set_filled(before);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
