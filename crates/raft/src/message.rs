//! What Raft's nodes say to each other, and its bytes.
//!
//! One variant per message with exactly its own fields. Every message carries its sender's term, except a
//! pre-vote, whose term is the one its sender *would* campaign in. The table of who sends what to whom is
//! in `docs/raft.md`.

use alloc::vec::Vec;
use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};
use quorate_protocol::{Entry, Index, LogId};

/// A term: numbers the leaderships, at most one leader in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl Term {
    /// The one after.
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

/// A message with its term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's term; of a pre-vote and its grant: the term campaigned for.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Would you vote for me? Dissertation §9.6.
    PreVote {
        /// The asker's last entry.
        last: LogId,
    },
    /// The answer.
    PreVoteReply {
        /// Yes or no.
        granted: bool,
    },
    /// Vote for me. RequestVote, §5.2 of the paper.
    Vote {
        /// The candidate's last entry.
        last: LogId,
    },
    /// The answer.
    VoteReply {
        /// Yes or no.
        granted: bool,
    },
    /// Entries that follow `prev`. AppendEntries, §5.3.
    Append {
        /// The entry before the first.
        prev: LogId,
        /// The entries, dense; none in a probe or when only the commit index is news.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: Index,
    },
    /// The follower's log agrees with the leader's up to here, durably.
    Accepted {
        /// Up to here.
        matched: Index,
    },
    /// The follower's log does not have the entry the append was to follow.
    Rejected {
        /// That entry's index.
        prev: Index,
        /// The follower's last entry that might agree.
        hint: LogId,
    },
    /// I lead, and you are in the group.
    Heartbeat {
        /// What the follower may take as committed, as far as it has matched.
        commit: Index,
        /// The leader's latest read round, §6.4 of the dissertation.
        round: u64,
    },
    /// So I see.
    HeartbeatReply {
        /// The round of the heartbeat.
        round: u64,
        /// The heartbeat's commit index could not be taken, for the log has not been compared that far: the
        /// follower has restarted since it acknowledged it, and must be asked again.
        unsure: bool,
    },
    /// The state machine's image attached stands at `id`. InstallSnapshot, §7.
    Snapshot {
        /// Where it stands.
        id: LogId,
    },
    /// A message of an older term arrived: that term is over.
    Stale,
    /// Proposals from a follower's clients.
    Forward {
        /// Names one life of the sender.
        stream: u64,
        /// Numbers the messages of the stream within the term, so that none counts twice.
        number: u64,
        /// The commands.
        proposals: Vec<Bytes>,
    },
    /// At which index must I read?
    ReadIndex {
        /// The asker's name for the question, never used twice.
        token: u64,
    },
    /// At this one.
    ReadIndexReply {
        /// The question.
        token: u64,
        /// The index.
        index: Index,
    },
}

impl Encode for Message {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.term.0);
        match &self.body {
            Body::PreVote { last } => {
                out.u8(1);
                last.encode(out);
            }
            Body::PreVoteReply { granted } => {
                out.u8(2);
                out.bool(*granted);
            }
            Body::Vote { last } => {
                out.u8(3);
                last.encode(out);
            }
            Body::VoteReply { granted } => {
                out.u8(4);
                out.bool(*granted);
            }
            Body::Append { prev, entries, commit } => {
                out.u8(5);
                prev.encode(out);
                commit.encode(out);
                out.list(entries);
            }
            Body::Accepted { matched } => {
                out.u8(6);
                matched.encode(out);
            }
            Body::Rejected { prev, hint } => {
                out.u8(7);
                prev.encode(out);
                hint.encode(out);
            }
            Body::Heartbeat { commit, round } => {
                out.u8(8);
                commit.encode(out);
                out.u64(*round);
            }
            Body::HeartbeatReply { round, unsure } => {
                out.u8(9);
                out.u64(*round);
                out.bool(*unsure);
            }
            Body::Snapshot { id } => {
                out.u8(10);
                id.encode(out);
            }
            Body::Stale => out.u8(11),
            Body::Forward { stream, number, proposals } => {
                out.u8(12);
                out.u64(*stream);
                out.u64(*number);
                out.u32(u32::try_from(proposals.len()).expect("proposals are bounded"));
                proposals.iter().for_each(|proposal| out.bytes(proposal));
            }
            Body::ReadIndex { token } => {
                out.u8(13);
                out.u64(*token);
            }
            Body::ReadIndexReply { token, index } => {
                out.u8(14);
                out.u64(*token);
                index.encode(out);
            }
        }
    }
}

impl Decode for Message {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let term = Term(input.u64()?);
        let body = match input.u8()? {
            1 => Body::PreVote { last: LogId::decode(input)? },
            2 => Body::PreVoteReply { granted: input.bool()? },
            3 => Body::Vote { last: LogId::decode(input)? },
            4 => Body::VoteReply { granted: input.bool()? },
            5 => {
                let prev = LogId::decode(input)?;
                let commit = Index::decode(input)?;
                Body::Append { prev, commit, entries: input.list()? }
            }
            6 => Body::Accepted { matched: Index::decode(input)? },
            7 => Body::Rejected { prev: Index::decode(input)?, hint: LogId::decode(input)? },
            8 => Body::Heartbeat { commit: Index::decode(input)?, round: input.u64()? },
            9 => Body::HeartbeatReply { round: input.u64()?, unsure: input.bool()? },
            10 => Body::Snapshot { id: LogId::decode(input)? },
            11 => Body::Stale,
            12 => {
                let (stream, number) = (input.u64()?, input.u64()?);
                let count = input.u32()?;
                // Each proposal takes at least its length; a count beyond that runs out of input below.
                let mut proposals = Vec::with_capacity((count as usize).min(input.remaining() / 4 + 1));
                for _ in 0..count {
                    proposals.push(input.bytes()?);
                }
                Body::Forward { stream, number, proposals }
            }
            13 => Body::ReadIndex { token: input.u64()? },
            14 => Body::ReadIndexReply { token: input.u64()?, index: Index::decode(input)? },
            _ => return Err(Malformed("raft message")),
        };
        Ok(Message { term, body })
    }
}
