//! Frames: how packets are told apart on a byte stream between two nodes.
//!
//! ```text
//! offset  0      2     3      4      8            12            16
//!         magic  kind  flags  len    crc32c of    crc32c of     payload, len bytes
//!         "Qw"         0             the payload  bytes 0..12
//! ```
//!
//! The header has its own checksum, so that a damaged length is noticed before it is waited for. TCP's
//! checksum misses about one damaged segment in 2^16; a consensus message believed wrongly can lose data,
//! hence the second one here. The header's layout is frozen: versions are told apart by the
//! [`Hello`](crate::Hello) inside the first frame, which any version can therefore find.
//!
//! Encoding leaves large values where they are and yields segments for a vectored write; decoding yields
//! slices of the read buffer. A slice keeps its whole read buffer alive: who stores small parts for long
//! should copy them.
//!
//! After an error a stream cannot be trusted any more; the decoder repeats the error and the host closes the
//! connection.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quorate_protocol::codec::Writer;

/// The first two bytes of every frame.
pub const MAGIC: [u8; 2] = *b"Qw";

/// A header's size.
pub const HEADER_BYTES: usize = 16;

/// The largest payload a frame may carry.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// What a frame carries; see [`Packet`](crate::Packet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The handshake; the first frame in each direction.
    Hello = 1,
    /// A message of a consensus core.
    Message = 2,
    /// A part of a snapshot.
    SnapshotChunk = 3,
    /// A question to the node.
    Ask = 4,
    /// The answer to one.
    Answer = 5,
    /// Asks for a pong.
    Ping = 6,
    /// Returns a ping's token.
    Pong = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        use Kind::*;
        [Hello, Message, SnapshotChunk, Ask, Answer, Ping, Pong].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame, its checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// The payload; shares the read buffer.
    pub payload: Bytes,
}

/// Why a byte stream cannot be read on. The connection is to be closed; dialling again is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not this protocol at all.
    #[error(
        "the stream does not carry Quorate's peer frames (found bytes {0:02x?} where {MAGIC:02x?} should be): \
         check that the peer URL names a peer port and that both ends agree on TLS"
    )]
    Magic([u8; 2]),
    /// The header was damaged.
    #[error("a frame's header fails its checksum: the stream was damaged on its way; dial again")]
    HeaderChecksum,
    /// The payload was damaged.
    #[error("a frame's payload fails its checksum: the stream was damaged on its way; dial again")]
    PayloadChecksum,
    /// The sender speaks of something this version does not know.
    #[error(
        "a frame has kind {kind} and flags {flags:#x}, unknown to this version: run the same version on all nodes"
    )]
    Unknown {
        /// The kind's number.
        kind: u8,
        /// The flags.
        flags: u8,
    },
    /// The payload is larger than this end accepts.
    #[error("a frame of {len} bytes is announced, more than the {max} this node accepts")]
    TooLarge {
        /// Bytes announced.
        len: u32,
        /// Bytes accepted.
        max: u32,
    },
}

/// The segments of a frame, header first, for a vectored write.
///
/// # Errors
/// The payload is larger than [`MAX_PAYLOAD_BYTES`]; the receiver would refuse it.
pub fn encode_frame(kind: Kind, payload: Writer) -> Result<Vec<Bytes>, FrameError> {
    encode_segments(kind, payload.into_segments())
}

/// [`encode_frame`], of a payload that is in segments already.
///
/// # Errors
/// As there.
pub fn encode_segments(kind: Kind, mut segments: Vec<Bytes>) -> Result<Vec<Bytes>, FrameError> {
    let len: usize = segments.iter().map(Bytes::len).sum();
    if len > MAX_PAYLOAD_BYTES {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        return Err(FrameError::TooLarge { len, max: MAX_PAYLOAD_BYTES as u32 });
    }
    let crc = segments.iter().fold(0, |crc, segment| crc32c::crc32c_append(crc, segment));
    let mut header = BytesMut::with_capacity(HEADER_BYTES);
    header.put_slice(&MAGIC);
    header.put_u8(kind as u8);
    header.put_u8(0);
    header.put_u32_le(len as u32);
    header.put_u32_le(crc);
    header.put_u32_le(crc32c::crc32c(&header));
    segments.insert(0, header.freeze());
    Ok(segments)
}

/// A header, checked.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    len: usize,
    crc: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES], max: u32) -> Result<Header, FrameError> {
        let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        let magic = [bytes[0], bytes[1]];
        if magic != MAGIC {
            return Err(FrameError::Magic(magic));
        }
        if crc32c::crc32c(&bytes[..12]) != word(12) {
            return Err(FrameError::HeaderChecksum);
        }
        let (kind, flags, len) = (bytes[2], bytes[3], word(4));
        match Kind::from_byte(kind) {
            Some(kind) if flags == 0 && len <= max => Ok(Header { kind, len: len as usize, crc: word(8) }),
            Some(_) if flags == 0 => Err(FrameError::TooLarge { len, max }),
            _ => Err(FrameError::Unknown { kind, flags }),
        }
    }
}

/// Turns a byte stream into frames. Read into [`FrameDecoder::buffer`] (or [`feed`](FrameDecoder::feed) it),
/// then take frames with [`next_frame`](FrameDecoder::next_frame) until there are none.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max: u32,
    header: Option<Header>,
    failed: Option<FrameError>,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        FrameDecoder::new(MAX_PAYLOAD_BYTES)
    }
}

impl FrameDecoder {
    /// Accept payloads of up to `max_payload_bytes` (and never more than [`MAX_PAYLOAD_BYTES`]). A connection
    /// that has not said hello yet deserves a small number.
    pub fn new(max_payload_bytes: usize) -> Self {
        let max = max_payload_bytes.min(MAX_PAYLOAD_BYTES) as u32;
        FrameDecoder { buffer: BytesMut::new(), max, header: None, failed: None }
    }

    /// Accept payloads of up to so many bytes from the next frame on.
    pub fn set_max_payload_bytes(&mut self, max: usize) {
        self.max = max.min(MAX_PAYLOAD_BYTES) as u32;
    }

    /// Where received bytes are to be appended. Only append.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Append received bytes, copying them.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Bytes received and not yet part of a frame handed out.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole frame, or none until more bytes arrive.
    ///
    /// # Errors
    /// The stream is not what it should be; every later call says the same.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.advance().inspect_err(|error| self.failed = Some(*error))
    }

    fn advance(&mut self) -> Result<Option<Frame>, FrameError> {
        let header = match self.header {
            Some(header) => header,
            None => match self.take_header()? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        if self.buffer.len() < header.len {
            // Large payloads get their room at once, but only up to a step: the sender has yet to prove that
            // it has so many bytes to send.
            self.buffer.reserve((header.len - self.buffer.len()).min(1 << 20));
            return Ok(None);
        }
        self.header = None;
        let payload = self.buffer.split_to(header.len).freeze();
        if crc32c::crc32c(&payload) != header.crc {
            return Err(FrameError::PayloadChecksum);
        }
        Ok(Some(Frame { kind: header.kind, payload }))
    }

    fn take_header(&mut self) -> Result<Option<Header>, FrameError> {
        let Some(bytes) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            // A stranger is recognised by its first bytes; it may never send a header's worth.
            return match *self.buffer {
                [a, b, ..] if [a, b] != MAGIC => Err(FrameError::Magic([a, b])),
                _ => Ok(None),
            };
        };
        let header = Header::parse(bytes, self.max)?;
        self.buffer.advance(HEADER_BYTES);
        self.header = Some(header);
        Ok(Some(header))
    }
}
