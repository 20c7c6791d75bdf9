//! What Raft's nodes say to each other, and its bytes.
//!
//! One variant per message with exactly its own fields. Every message carries its sender's term, except a
//! pre-vote, whose term is the one its sender *would* campaign in. The table of who sends what to whom is
//! in `docs/raft.md`.

use alloc::vec::Vec;
use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};
use quorate_protocol::{Entry, Index, LogId, Membership};

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
        /// The leader itself asked the candidate to take over (dissertation §3.10): that a leader is heard is no
        /// reason to refuse.
        transfer: bool,
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
        /// The follower's disk has lost entries after `hint` that it had acknowledged: what it matched before counts
        /// no more.
        lost: bool,
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
        /// The follower's [`Config::priority`](quorate_protocol::Config::priority).
        priority: u8,
    },
    /// The state machine's image attached stands at `id`. InstallSnapshot, §7.
    Snapshot {
        /// Where it stands.
        id: LogId,
        /// The membership in force there.
        membership: Membership,
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
    /// Campaign at once: the leader hands over. TimeoutNow, dissertation §3.10.
    TimeoutNow,
}

impl Body {
    /// What a message begins with, after its term.
    fn tag(&self) -> u8 {
        match self {
            Body::PreVote { .. } => 1,
            Body::PreVoteReply { .. } => 2,
            Body::Vote { .. } => 3,
            Body::VoteReply { .. } => 4,
            Body::Append { .. } => 5,
            Body::Accepted { .. } => 6,
            Body::Rejected { .. } => 7,
            Body::Heartbeat { .. } => 8,
            Body::HeartbeatReply { .. } => 9,
            Body::Snapshot { .. } => 10,
            Body::Stale => 11,
            Body::Forward { .. } => 12,
            Body::ReadIndex { .. } => 13,
            Body::ReadIndexReply { .. } => 14,
            Body::TimeoutNow => 15,
        }
    }
}

impl Encode for Message {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.term.0);
        out.u8(self.body.tag());
        match &self.body {
            Body::PreVote { last } => last.encode(out),
            Body::PreVoteReply { granted } | Body::VoteReply { granted } => out.bool(*granted),
            Body::Vote { last, transfer } => {
                last.encode(out);
                out.bool(*transfer);
            }
            Body::Append { prev, entries, commit } => {
                prev.encode(out);
                commit.encode(out);
                out.list(entries);
            }
            Body::Accepted { matched } => matched.encode(out),
            Body::Rejected { prev, hint, lost } => {
                prev.encode(out);
                hint.encode(out);
                out.bool(*lost);
            }
            Body::Heartbeat { commit, round } => {
                commit.encode(out);
                out.u64(*round);
            }
            Body::HeartbeatReply { round, unsure, priority } => {
                out.u64(*round);
                out.bool(*unsure);
                out.u8(*priority);
            }
            Body::Snapshot { id, membership } => {
                id.encode(out);
                membership.encode(out);
            }
            Body::Forward { stream, number, proposals } => {
                out.u64(*stream);
                out.u64(*number);
                out.u32(u32::try_from(proposals.len()).expect("proposals are bounded"));
                proposals.iter().for_each(|proposal| out.bytes(proposal));
            }
            Body::ReadIndex { token } => out.u64(*token),
            Body::ReadIndexReply { token, index } => {
                out.u64(*token);
                index.encode(out);
            }
            Body::Stale | Body::TimeoutNow => {}
        }
    }
}

impl Decode for Message {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let term = Term(input.u64()?);
        let body = match input.u8()? {
            1 => Body::PreVote { last: LogId::decode(input)? },
            2 => Body::PreVoteReply { granted: input.bool()? },
            3 => Body::Vote { last: LogId::decode(input)?, transfer: input.bool()? },
            4 => Body::VoteReply { granted: input.bool()? },
            5 => {
                let prev = LogId::decode(input)?;
                let commit = Index::decode(input)?;
                Body::Append { prev, commit, entries: input.list()? }
            }
            6 => Body::Accepted { matched: Index::decode(input)? },
            7 => {
                let (prev, hint) = (Index::decode(input)?, LogId::decode(input)?);
                Body::Rejected { prev, hint, lost: input.bool()? }
            }
            8 => Body::Heartbeat { commit: Index::decode(input)?, round: input.u64()? },
            9 => {
                let (round, unsure) = (input.u64()?, input.bool()?);
                Body::HeartbeatReply { round, unsure, priority: input.u8()? }
            }
            10 => Body::Snapshot { id: LogId::decode(input)?, membership: Membership::decode(input)? },
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
            15 => Body::TimeoutNow,
            _ => return Err(Malformed("raft message")),
        };
        Ok(Message { term, body })
    }
}
