//! What a frame can carry, as types.
//!
//! | packet | from → to | meaning |
//! |---|---|---|
//! | `Message` | replica → replica of one group | a consensus core's own message, opaque here |
//! | `SnapshotChunk` | leader → follower | a part of a state image; chunks of a stream go in order |
//! | `Ask`, `Answer` | node ↔ node | see [`ask`](crate::ask); a token pairs them |
//! | `Ping`, `Pong` | node ↔ node | round-trip time and liveness of the connection |
//!
//! The body of a message and of a question is the rest of the payload, undecoded: the host hands it to whom
//! it belongs, and a question that this release does not know can be answered with
//! [`Answer::Unsupported`](crate::Answer) rather than by closing the connection.

use bytes::Bytes;
use quorate_protocol::codec::{Encode, Malformed, Reader, Writer};

use crate::frame::{Frame, FrameError, Kind, encode_frame, encode_segments};
use crate::{Answer, Ask, Hello};

/// A part of a snapshot on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// The transfer it belongs to, numbered by the sender.
    pub stream: u64,
    /// Where in the transfer it belongs, in bytes: the receiver's check that nothing is missing.
    pub offset: u64,
    /// Nothing follows.
    pub last: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// One frame's content after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A consensus core's message.
    Message {
        /// The group it belongs to.
        group: u32,
        /// The message's bytes, for the core's own decoder.
        body: Bytes,
    },
    /// A part of a snapshot.
    SnapshotChunk(SnapshotChunk),
    /// A question; `body` decodes as [`Ask`].
    Ask {
        /// Returned with the answer.
        token: u64,
        /// The question's bytes.
        body: Bytes,
    },
    /// An answer; `body` decodes as [`Answer`].
    Answer {
        /// The question's token.
        token: u64,
        /// The answer's bytes.
        body: Bytes,
    },
    /// Asks for a pong with the same token.
    Ping {
        /// The sender's, opaque.
        token: u64,
    },
    /// Answers a ping.
    Pong {
        /// The ping's.
        token: u64,
    },
}

/// The frame of a consensus core's message, encoded in place without an intermediate buffer.
///
/// # Errors
/// The message is larger than a frame may be.
pub fn encode_message(group: u32, message: &impl Encode) -> Result<Vec<Bytes>, FrameError> {
    let mut out = Writer::new();
    out.u32(group);
    message.encode(&mut out);
    encode_frame(Kind::Message, out)
}

impl Packet {
    /// A question.
    pub fn ask(token: u64, ask: &Ask) -> Packet {
        Packet::Ask { token, body: body(ask) }
    }

    /// An answer.
    pub fn answer(token: u64, answer: &Answer) -> Packet {
        Packet::Answer { token, body: body(answer) }
    }

    /// Its frame, as segments for a vectored write; a body is a segment of its own, by reference.
    ///
    /// # Errors
    /// It is larger than a frame may be.
    pub fn encode(&self) -> Result<Vec<Bytes>, FrameError> {
        let mut out = Writer::new();
        let (kind, body) = match self {
            Packet::Message { group, body } => {
                out.u32(*group);
                (Kind::Message, Some(body))
            }
            Packet::SnapshotChunk(chunk) => {
                out.u64(chunk.stream);
                out.u64(chunk.offset);
                out.bool(chunk.last);
                (Kind::SnapshotChunk, Some(&chunk.bytes))
            }
            Packet::Ask { token, body } => {
                out.u64(*token);
                (Kind::Ask, Some(body))
            }
            Packet::Answer { token, body } => {
                out.u64(*token);
                (Kind::Answer, Some(body))
            }
            Packet::Ping { token } => {
                out.u64(*token);
                (Kind::Ping, None)
            }
            Packet::Pong { token } => {
                out.u64(*token);
                (Kind::Pong, None)
            }
        };
        let mut segments = out.into_segments();
        segments.extend(body.filter(|body| !body.is_empty()).cloned());
        encode_segments(kind, segments)
    }

    /// What a frame carries. Bodies are slices of the frame's payload.
    ///
    /// # Errors
    /// The payload is not what its kind says, or it is a second [`Hello`].
    pub fn decode(frame: Frame) -> Result<Packet, Malformed> {
        let payload = frame.payload;
        let mut input = Reader::new(payload.clone());
        // What has not been read yet; `slice` cannot fail, as the reader never passes the end.
        let rest = |input: &Reader| payload.slice(payload.len() - input.remaining()..);
        let packet = match frame.kind {
            Kind::Hello => return Err(Malformed("packet: a second hello")),
            Kind::Message => {
                let group = input.u32()?;
                return Ok(Packet::Message { group, body: rest(&input) });
            }
            Kind::SnapshotChunk => {
                let (stream, offset, last) = (input.u64()?, input.u64()?, input.bool()?);
                let bytes = rest(&input);
                return Ok(Packet::SnapshotChunk(SnapshotChunk { stream, offset, last, bytes }));
            }
            Kind::Ask => {
                let token = input.u64()?;
                return Ok(Packet::Ask { token, body: rest(&input) });
            }
            Kind::Answer => {
                let token = input.u64()?;
                return Ok(Packet::Answer { token, body: rest(&input) });
            }
            Kind::Ping => Packet::Ping { token: input.u64()? },
            Kind::Pong => Packet::Pong { token: input.u64()? },
        };
        match input.remaining() {
            0 => Ok(packet),
            _ => Err(Malformed("packet: trailing bytes")),
        }
    }
}

impl Hello {
    /// Its frame.
    pub fn to_frame(&self) -> Vec<Bytes> {
        let mut out = Writer::new();
        self.encode(&mut out);
        encode_frame(Kind::Hello, out).expect("a hello is smaller than a frame may be")
    }

    /// The hello that must be a connection's first frame.
    ///
    /// # Errors
    /// Another kind of frame, or [`Hello::decode`]'s.
    pub fn from_frame(frame: Frame) -> Result<Hello, crate::HelloError> {
        match frame.kind {
            Kind::Hello => Hello::decode(frame.payload),
            _ => Err(Malformed("greeting: another packet came first").into()),
        }
    }
}

fn body(content: &impl Encode) -> Bytes {
    let mut out = Writer::new();
    content.encode(&mut out);
    out.into_bytes()
}
