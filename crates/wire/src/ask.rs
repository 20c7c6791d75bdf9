//! Questions between nodes that need no log.
//!
//! Leases are kept alive by the leader alone, in memory (etcd does the same): a follower that a client asks
//! passes the question on and relays the answer. A question may be lost with its connection; asking again is
//! harmless. Layout: a tag byte, then the fields.

use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::command::take_string;

/// A question to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Start the lease's time to live anew.
    LeaseRenew {
        /// The lease.
        id: i64,
    },
    /// How long the lease has left.
    LeaseRemaining {
        /// The lease.
        id: i64,
    },
    /// Which release the node runs.
    Probe,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::LeaseRenew`].
    Renewed {
        /// Seconds to live, granted.
        ttl: i64,
    },
    /// To [`Ask::LeaseRemaining`].
    Remaining {
        /// Seconds left.
        remaining: i64,
        /// Seconds granted.
        granted: i64,
    },
    /// There is no such lease.
    NotFound,
    /// Only the leader knows; this node is not it.
    NotLeader,
    /// To [`Ask::Probe`].
    Version {
        /// The release, as `1.2.3`.
        version: String,
    },
    /// The question is unknown to this release.
    Unsupported,
}

impl Encode for Ask {
    fn encode(&self, out: &mut Writer) {
        match self {
            Ask::LeaseRenew { id } => {
                out.u8(1);
                out.i64(*id);
            }
            Ask::LeaseRemaining { id } => {
                out.u8(2);
                out.i64(*id);
            }
            Ask::Probe => out.u8(3),
        }
    }
}

impl Decode for Ask {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            1 => Ask::LeaseRenew { id: input.i64()? },
            2 => Ask::LeaseRemaining { id: input.i64()? },
            3 => Ask::Probe,
            _ => return Err(Malformed("question: unknown kind")),
        })
    }
}

impl Encode for Answer {
    fn encode(&self, out: &mut Writer) {
        match self {
            Answer::Renewed { ttl } => {
                out.u8(1);
                out.i64(*ttl);
            }
            Answer::Remaining { remaining, granted } => {
                out.u8(2);
                out.i64(*remaining);
                out.i64(*granted);
            }
            Answer::NotFound => out.u8(3),
            Answer::NotLeader => out.u8(4),
            Answer::Version { version } => {
                out.u8(5);
                out.slice(version.as_bytes());
            }
            Answer::Unsupported => out.u8(6),
        }
    }
}

impl Decode for Answer {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            1 => Answer::Renewed { ttl: input.i64()? },
            2 => Answer::Remaining { remaining: input.i64()?, granted: input.i64()? },
            3 => Answer::NotFound,
            4 => Answer::NotLeader,
            5 => Answer::Version { version: take_string(input)? },
            6 => Answer::Unsupported,
            _ => return Err(Malformed("answer: unknown kind")),
        })
    }
}
