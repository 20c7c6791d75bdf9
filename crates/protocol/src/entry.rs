//! What the log holds, and the writes a core asks for.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::codec::{Decode, Encode, Malformed, Reader, Writer};
use crate::ids::{Ballot, Index, LogId, NodeId};
use crate::membership::Membership;

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Carries nothing: a new leader's first entry.
    Noop,
    /// Carries a command of the state machine.
    Command,
    /// Carries a [`Membership`](crate::Membership), in force from here on. The state machine keeps its bytes beside its
    /// state, so that a checkpoint or an image tells the membership it stands at.
    Config,
}

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its name.
    pub id: LogId,
    /// Its purpose.
    pub kind: EntryKind,
    /// Its content, opaque to every core.
    pub data: Bytes,
}

/// One change to a replica's durable state. A [`Write`](crate::Effect::Write) holds several, to be made
/// durable in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// What was promised to whom. Raft: (term, vote), node 0 when no vote was given in that term.
    Meta {
        /// The promise.
        promised: Ballot,
    },
    /// Entries, dense and ascending; whatever the log holds from the first one's index on is replaced.
    Append(Vec<Entry>),
    /// The state machine now stands at `id` by a snapshot; the log before and after is gone.
    Reset {
        /// The last entry the snapshot covers.
        id: LogId,
    },
    /// Entries up to and including `id` are no longer needed.
    Purge {
        /// The last of them.
        id: LogId,
    },
}

/// What a replica finds on its disk when it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last promise.
    pub promised: Ballot,
    /// The entry before the first of `entries`: the last one purged or covered by a snapshot.
    pub base: LogId,
    /// The log, dense, from `base.index + 1`.
    pub entries: Vec<Entry>,
    /// What the state machine holds already; at or after `base`, and possibly after the last entry (a
    /// checkpoint may be durable before the log that led to it).
    pub applied: LogId,
    /// The membership at `applied`; unknown (empty) before any was recorded, and then the one configured holds.
    pub membership: Membership,
    /// The last entry the log is known to have held durably, by (round, index). Where that is after the last of
    /// `entries`, what lies between is damaged: it must come from the peers, and until it has the replica does not
    /// campaign and compares candidates with this entry, for others may count on its copy.
    pub held: LogId,
}

impl Encode for NodeId {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.0);
    }
}

impl Decode for NodeId {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(NodeId(input.u64()?))
    }
}

impl Encode for Index {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.0);
    }
}

impl Decode for Index {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Index(input.u64()?))
    }
}

impl Encode for Ballot {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.round);
        self.node.encode(out);
    }
}

impl Decode for Ballot {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Ballot { round: input.u64()?, node: NodeId::decode(input)? })
    }
}

impl Encode for LogId {
    fn encode(&self, out: &mut Writer) {
        self.ballot.encode(out);
        self.index.encode(out);
    }
}

impl Decode for LogId {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(LogId { ballot: Ballot::decode(input)?, index: Index::decode(input)? })
    }
}

impl Encode for Entry {
    fn encode(&self, out: &mut Writer) {
        self.id.encode(out);
        out.u8(match self.kind {
            EntryKind::Noop => 0,
            EntryKind::Command => 1,
            EntryKind::Config => 2,
        });
        out.bytes(&self.data);
    }
}

impl Decode for Entry {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let id = LogId::decode(input)?;
        let kind = match input.u8()? {
            0 => EntryKind::Noop,
            1 => EntryKind::Command,
            2 => EntryKind::Config,
            _ => return Err(Malformed("entry kind")),
        };
        Ok(Entry { id, kind, data: input.bytes()? })
    }
}

impl Encode for WriteOp {
    fn encode(&self, out: &mut Writer) {
        match self {
            WriteOp::Meta { promised } => {
                out.u8(0);
                promised.encode(out);
            }
            WriteOp::Append(entries) => {
                out.u8(1);
                out.list(entries);
            }
            WriteOp::Reset { id } => {
                out.u8(2);
                id.encode(out);
            }
            WriteOp::Purge { id } => {
                out.u8(3);
                id.encode(out);
            }
        }
    }
}

impl Decode for WriteOp {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            0 => WriteOp::Meta { promised: Ballot::decode(input)? },
            1 => WriteOp::Append(input.list()?),
            2 => WriteOp::Reset { id: LogId::decode(input)? },
            3 => WriteOp::Purge { id: LogId::decode(input)? },
            _ => return Err(Malformed("write op")),
        })
    }
}
