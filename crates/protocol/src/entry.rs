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
    /// What was promised to whom, and whose history was taken over.
    Meta {
        /// The promise. Raft: (term, vote), node 0 when no vote was given in that term. Paxos: the greatest ballot
        /// promised. Zab: acceptedEpoch.
        promised: Ballot,
        /// Zab: currentEpoch, that of the leader with whom the log was last synchronised. Elsewhere nothing.
        joined: Ballot,
    },
    /// Entries, dense and ascending; whatever the log holds from the first one's index on is replaced. The log of a
    /// replica is written by `Append` and `Truncate`, or by `Put`, never by both.
    Append(Vec<Entry>),
    /// Whatever the log holds after this index is gone.
    Truncate(Index),
    /// Entries, ascending, not necessarily dense: each replaces what its own slot held, and nothing else. Slots that
    /// were never put are holes.
    Put(Vec<Entry>),
    /// The state machine now stands at `id` by a snapshot; the log before and after is gone.
    Reset {
        /// The last entry the snapshot covers.
        id: LogId,
    },
    /// Entries up to and including `id` are no longer needed, whether the log holds them or not; those after it stay.
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
    /// Whose history was taken over.
    pub joined: Ballot,
    /// The entry before the first of `entries`: the last one purged or covered by a snapshot.
    pub base: LogId,
    /// The log, ascending, after `base.index`; dense unless it was written by [`WriteOp::Put`].
    pub entries: Vec<Entry>,
    /// What the state machine holds already; at or after `base`, and possibly after the last entry (a
    /// checkpoint may be durable before the log that led to it).
    pub applied: LogId,
    /// The membership at `applied`; unknown (empty) before any was recorded, and then the one configured holds.
    pub membership: Membership,
    /// The last entry the log is known to have held durably, by (round, index). Where that is after the last of
    /// `entries`, what lies between is damaged: it must come from the peers, and until it has the replica does not
    /// campaign and compares candidates with this entry, for others may count on its copy. Of a log written by
    /// [`WriteOp::Put`]: nothing, unless damage was found in it once; then the greatest ballot and, apart from that, the greatest
    /// index it had held by then. Until every slot up to that index is chosen or accepted anew at that ballot or a
    /// later one, the replica promises nothing.
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
            WriteOp::Meta { promised, joined } => {
                out.u8(0);
                promised.encode(out);
                joined.encode(out);
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
            WriteOp::Truncate(index) => {
                out.u8(4);
                index.encode(out);
            }
            WriteOp::Put(entries) => {
                out.u8(5);
                out.list(entries);
            }
        }
    }
}

impl Decode for WriteOp {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            0 => WriteOp::Meta { promised: Ballot::decode(input)?, joined: Ballot::decode(input)? },
            1 => WriteOp::Append(input.list()?),
            2 => WriteOp::Reset { id: LogId::decode(input)? },
            3 => WriteOp::Purge { id: LogId::decode(input)? },
            4 => WriteOp::Truncate(Index::decode(input)?),
            5 => WriteOp::Put(input.list()?),
            _ => return Err(Malformed("write op")),
        })
    }
}
