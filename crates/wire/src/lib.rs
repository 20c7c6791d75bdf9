//! What travels between the nodes of a cluster, and the bytes of commands in the log.
//!
//! A peer connection is a stream of [frames](frame), each with its own checksums; a frame carries one
//! [`Packet`]. The first packet in each direction is a [`Hello`], which keeps strangers, other clusters and
//! other protocols apart before anything else is believed. After it come messages of consensus cores,
//! snapshot chunks, [questions between nodes](ask) and pings, in any order.
//!
//! What a client asked for becomes a [`Request`]: bytes that the log, the peers and the disk carry without
//! looking inside.
//!
//! All layouts are fixed little-endian, written and read with `quorate-protocol`'s codec. Nothing that
//! decodes can panic, overflow the stack or allocate more than in proportion to its input; decoded values
//! share the buffer they came in.
#![forbid(unsafe_code)]

pub mod ask;
pub mod command;
pub mod frame;
pub mod hello;
pub mod packet;

pub use ask::{Answer, Ask, Roster};
pub use command::{Request, decode_request, encode_request, peek_origin};
pub use frame::{Frame, FrameDecoder, FrameError, Kind, encode_frame, encode_segments};
pub use hello::{Hello, HelloError, Local};
pub use packet::{Packet, SnapshotChunk, encode_message};
