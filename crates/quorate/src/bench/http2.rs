//! The client's half of HTTP/2 for unary gRPC calls, as a value: bytes in, bytes out.
//!
//! Source: RFC 9113. It exists because the load tool shares the machine with the servers it measures: a
//! general client costs more processor time per call than the calls of the servers. Here a call is two frames
//! appended to a buffer, and a batch of responses is one walk over what a read returned.
//!
//! What makes it small: responses are never pushed back (we announce the largest stream window and refill the
//! connection's in large steps), header blocks need no table (see [`super::hpack`]), and one connection makes
//! calls of one method only. What is kept in full: the *sender's* duties of flow control (stream and
//! connection windows, frame size), settings, pings, and a clean account of which call ended how.
//!
//! Invariants: a call begun ends exactly once, in [`Http2::done`] or by [`Http2::abandon`]; nothing received
//! can panic; a fault is final for the connection.

use std::collections::VecDeque;
use std::time::Instant;

use super::hpack::{self, RequestHeaders};

/// The bytes every client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// The largest frame we accept: the protocol's default, not raised.
const MAX_FRAME_IN: usize = 16_384;
const WINDOW_DEFAULT: i64 = 65_535;
/// How far the connection's receive window is opened, and after how much it is opened again.
const WINDOW_IN: u32 = 1 << 30;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Status 0; `found` tells whether a range answered with a record.
    Ok {
        /// Field 2 of the response was there.
        found: bool,
    },
    /// Any other status, or none.
    Failed {
        /// The gRPC code; 2 (unknown) when there was none.
        code: u32,
        /// The server's text.
        message: String,
    },
}

/// A call that ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Whose call it was.
    pub(crate) slot: u32,
    /// When it was begun.
    pub(crate) started: Instant,
    /// How it ended.
    pub(crate) outcome: Outcome,
}

/// Why a connection is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The peer broke the protocol.
    #[error("the server broke HTTP/2: {0}")]
    Protocol(&'static str),
    /// The peer said goodbye.
    #[error("the server closed the connection (GOAWAY, code {0})")]
    GoAway(u32),
}

/// A stream that is, or was, open.
struct Stream {
    slot: u32,
    started: Instant,
    /// What the peer still allows us to send.
    window: i64,
    /// What of the request waits for the window.
    unsent: Vec<u8>,
    answered: bool,
    found: bool,
    live: bool,
}

/// One connection's state.
pub(crate) struct Http2 {
    headers: RequestHeaders,
    /// Bytes to send; the holder takes them off.
    pub(crate) out: Vec<u8>,
    /// Calls that ended; the holder takes them off.
    pub(crate) done: Vec<Done>,
    streams: VecDeque<Stream>,
    /// The id of the front of `streams`.
    front: u32,
    in_flight: usize,
    blocked: VecDeque<u32>,
    window_out: i64,
    window_in_used: u32,
    peer_window: i64,
    peer_frame: usize,
    peer_streams: u32,
    settled: bool,
    indexed: bool,
    begun: bool,
    /// A header block in parts: stream, flags of its first frame, bytes.
    partial: Option<(u32, u8, Vec<u8>)>,
    /// The trailers of a call that went well, once seen.
    good: Vec<u8>,
}

impl Http2 {
    /// A connection for calls with these headers. Sends the preface and our settings.
    pub(crate) fn new(headers: RequestHeaders) -> Http2 {
        let mut out = PREFACE.to_vec();
        // No header table, no push, and the largest stream window.
        let settings: [(u16, u32); 3] = [(1, 0), (2, 0), (4, i32::MAX as u32)];
        frame_header(&mut out, settings.len() * 6, SETTINGS, 0, 0);
        for (name, value) in settings {
            out.extend_from_slice(&name.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        window_update(&mut out, WINDOW_IN);
        Http2 {
            headers,
            out,
            done: Vec::new(),
            streams: VecDeque::new(),
            front: 1,
            in_flight: 0,
            blocked: VecDeque::new(),
            window_out: WINDOW_DEFAULT,
            window_in_used: 0,
            peer_window: WINDOW_DEFAULT,
            peer_frame: MAX_FRAME_IN,
            peer_streams: u32::MAX,
            settled: false,
            indexed: true,
            begun: false,
            partial: None,
            good: Vec::new(),
        }
    }

    /// Whether the peer's settings have arrived; no call may begin before.
    pub(crate) fn settled(&self) -> bool {
        self.settled
    }

    /// How many calls the peer allows at a time.
    pub(crate) fn peer_streams(&self) -> u32 {
        self.peer_streams
    }

    /// Calls begun and not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether stream numbers are used up and another connection is needed.
    pub(crate) fn exhausted(&self) -> bool {
        self.front as usize + 2 * self.streams.len() > 0x7fff_ff00
    }

    /// Begins a call with a request that is already framed for gRPC.
    pub(crate) fn start(&mut self, slot: u32, started: Instant, request: &[u8]) {
        let id = self.front + 2 * self.streams.len() as u32;
        let block = if self.indexed && self.begun { &self.headers.later } else { &self.headers.first };
        self.begun = true;
        frame_header(&mut self.out, block.len(), HEADERS, END_HEADERS, id);
        self.out.extend_from_slice(block);
        let mut stream = Stream {
            slot,
            started,
            window: self.peer_window,
            unsent: Vec::new(),
            answered: false,
            found: false,
            live: true,
        };
        let size = request.len();
        if size <= self.peer_frame && size as i64 <= stream.window.min(self.window_out) {
            // The usual case: one frame, copied once.
            frame_header(&mut self.out, size, DATA, END_STREAM, id);
            self.out.extend_from_slice(request);
            self.window_out -= size as i64;
        } else {
            stream.unsent = request.to_vec();
            self.blocked.push_back(id);
        }
        self.streams.push_back(stream);
        self.in_flight += 1;
        if !self.blocked.is_empty() {
            self.unblock();
        }
    }

    /// Gives up on everything in flight: each slot with the time its call began.
    pub(crate) fn abandon(&mut self) -> Vec<(u32, Instant)> {
        self.in_flight = 0;
        self.streams
            .drain(..)
            .filter(|stream| stream.live)
            .map(|stream| (stream.slot, stream.started))
            .collect()
    }

    /// Takes in what was read; returns how many bytes of it were whole frames.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some(header) = bytes[used..].first_chunk::<FRAME_HEADER>() {
            let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if len > MAX_FRAME_IN {
                return Err(Fault::Protocol("a frame is larger than 16384 bytes"));
            }
            let id = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & 0x7fff_ffff;
            let Some(payload) = bytes[used + FRAME_HEADER..].get(..len) else { break };
            self.frame(header[3], header[4], id, payload)?;
            used += FRAME_HEADER + len;
        }
        Ok(used)
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> Result<(), Fault> {
        if self.partial.is_some() && kind != CONTINUATION {
            return Err(Fault::Protocol("a header block was interrupted"));
        }
        match kind {
            DATA => self.data(flags, id, payload),
            HEADERS => {
                let block = unpadded(flags, payload)?;
                let skip = if flags & PRIORITY != 0 { 5 } else { 0 };
                let block = block.get(skip..).ok_or(Fault::Protocol("a short HEADERS frame"))?;
                self.header_block(id, flags, block)
            }
            CONTINUATION => self.continuation(id, flags, payload),
            RST_STREAM => {
                let code = number(payload)?;
                let message = format!("the server reset the call (HTTP/2 code {code})");
                self.finish(id, Outcome::Failed { code: if code == 7 { 14 } else { 2 }, message });
                Ok(())
            }
            SETTINGS if flags & ACK == 0 => self.settings(payload),
            PING if flags & ACK == 0 => {
                frame_header(&mut self.out, payload.len(), PING, ACK, 0);
                self.out.extend_from_slice(payload);
                Ok(())
            }
            GOAWAY => Err(Fault::GoAway(number(payload.get(4..).unwrap_or_default())?)),
            WINDOW_UPDATE => {
                let more = i64::from(number(payload)? & 0x7fff_ffff);
                match id {
                    0 => self.window_out += more,
                    id => {
                        if let Some(stream) = self.stream(id) {
                            stream.window += more;
                        }
                    }
                }
                self.unblock();
                Ok(())
            }
            _ => Ok(()), // Acknowledgements, priorities, and what later versions may add.
        }
    }

    fn data(&mut self, flags: u8, id: u32, payload: &[u8]) -> Result<(), Fault> {
        self.window_in_used += payload.len() as u32;
        if self.window_in_used > WINDOW_IN / 2 {
            window_update(&mut self.out, self.window_in_used);
            self.window_in_used = 0;
        }
        let payload = unpadded(flags, payload)?;
        if let Some(stream) = self.stream(id)
            && !stream.answered
        {
            stream.answered = true;
            stream.found = payload.get(5..).is_some_and(has_field_two);
        }
        if flags & END_STREAM != 0 {
            let message = "the answer ended without a gRPC status".into();
            self.finish(id, Outcome::Failed { code: 2, message });
        }
        Ok(())
    }

    fn header_block(&mut self, id: u32, flags: u8, block: &[u8]) -> Result<(), Fault> {
        if flags & END_HEADERS == 0 {
            self.partial = Some((id, flags, block.to_vec()));
            return Ok(());
        }
        if flags & END_STREAM == 0 {
            return Ok(()); // The answer's first headers say nothing that trailers do not.
        }
        if !self.good.is_empty() && block == self.good {
            let found = self.stream(id).is_some_and(|stream| stream.found);
            self.finish(id, Outcome::Ok { found });
            return Ok(());
        }
        let trailers = hpack::read(block).ok_or(Fault::Protocol("a header block cannot be read"))?;
        let outcome = match trailers.status {
            Some(0) => {
                self.good = block.to_vec();
                Outcome::Ok { found: self.stream(id).is_some_and(|stream| stream.found) }
            }
            Some(code) => Outcome::Failed { code, message: trailers.message },
            None => {
                Outcome::Failed { code: 2, message: "the answer has no gRPC status; is this etcd?".into() }
            }
        };
        self.finish(id, outcome);
        Ok(())
    }

    fn continuation(&mut self, id: u32, flags: u8, payload: &[u8]) -> Result<(), Fault> {
        let Some((stream, first_flags, mut block)) = self.partial.take() else {
            return Err(Fault::Protocol("a CONTINUATION frame out of place"));
        };
        if stream != id || block.len() > 1 << 20 {
            return Err(Fault::Protocol("a header block was interrupted, or has no end"));
        }
        block.extend_from_slice(payload);
        self.header_block(id, first_flags | (flags & END_HEADERS), &block)
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Fault> {
        for entry in payload.chunks_exact(6) {
            let value = number(&entry[2..])?;
            match u16::from_be_bytes([entry[0], entry[1]]) {
                1 => self.indexed = value >= hpack::TABLE_BYTES_NEEDED,
                3 => self.peer_streams = value,
                4 => {
                    let value = i64::from(value & 0x7fff_ffff);
                    let change = value - self.peer_window;
                    self.peer_window = value;
                    self.streams.iter_mut().for_each(|stream| stream.window += change);
                }
                5 => self.peer_frame = (value as usize).max(MAX_FRAME_IN),
                _ => {}
            }
        }
        self.settled = true;
        frame_header(&mut self.out, 0, SETTINGS, ACK, 0);
        self.unblock();
        Ok(())
    }

    /// Sends what the windows allow of requests that wait, oldest first.
    fn unblock(&mut self) {
        for _ in 0..self.blocked.len() {
            let Some(id) = self.blocked.pop_front() else { break };
            let Some(at) = self.position(id) else { continue };
            let stream = &mut self.streams[at];
            while stream.live && !stream.unsent.is_empty() {
                let allowed = stream.window.min(self.window_out).max(0) as usize;
                let size = allowed.min(self.peer_frame).min(stream.unsent.len());
                if size == 0 {
                    break;
                }
                let flags = if size == stream.unsent.len() { END_STREAM } else { 0 };
                frame_header(&mut self.out, size, DATA, flags, id);
                self.out.extend(stream.unsent.drain(..size));
                stream.window -= size as i64;
                self.window_out -= size as i64;
            }
            if stream.live && !stream.unsent.is_empty() {
                self.blocked.push_back(id);
            }
        }
    }

    fn position(&self, id: u32) -> Option<usize> {
        let at = (id.checked_sub(self.front)? / 2) as usize;
        (id % 2 == 1 && at < self.streams.len()).then_some(at)
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.position(id)?;
        Some(&mut self.streams[at])
    }

    fn finish(&mut self, id: u32, outcome: Outcome) {
        let Some(stream) = self.stream(id) else { return };
        if !stream.live {
            return;
        }
        stream.live = false;
        stream.unsent = Vec::new();
        let (slot, started) = (stream.slot, stream.started);
        self.done.push(Done { slot, started, outcome });
        self.in_flight -= 1;
        while self.streams.front().is_some_and(|stream| !stream.live) {
            self.streams.pop_front();
            self.front += 2;
        }
    }
}

fn frame_header(out: &mut Vec<u8>, len: usize, kind: u8, flags: u8, id: u32) {
    let len = (len as u32).to_be_bytes();
    let id = id.to_be_bytes();
    out.extend_from_slice(&[len[1], len[2], len[3], kind, flags, id[0], id[1], id[2], id[3]]);
}

fn window_update(out: &mut Vec<u8>, by: u32) {
    frame_header(out, 4, WINDOW_UPDATE, 0, 0);
    out.extend_from_slice(&by.to_be_bytes());
}

fn number(payload: &[u8]) -> Result<u32, Fault> {
    let bytes = payload.first_chunk().ok_or(Fault::Protocol("a frame is too short"))?;
    Ok(u32::from_be_bytes(*bytes))
}

/// A payload without its padding.
fn unpadded(flags: u8, payload: &[u8]) -> Result<&[u8], Fault> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Fault::Protocol("a frame is too short"))?;
    let len = rest.len().checked_sub(usize::from(padding));
    Ok(&rest[..len.ok_or(Fault::Protocol("more padding than frame"))?])
}

/// Whether a protobuf message that begins with field 1 (a response's header) has field 2 right after it: in
/// `RangeResponse`, the first record. Both are length-delimited.
fn has_field_two(message: &[u8]) -> bool {
    let mut rest = message;
    if let Some((&0x0a, after)) = rest.split_first() {
        let Some((&len, after)) = after.split_first() else { return false };
        // A header has four integers of at most ten bytes each: its length always fits one byte.
        rest = after.get(usize::from(len)..).unwrap_or_default();
    }
    rest.first() == Some(&0x12)
}

#[cfg(test)]
mod tests;
