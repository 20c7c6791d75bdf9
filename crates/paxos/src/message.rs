//! What the nodes say to each other, and its bytes.
//!
//! One variant per message with exactly its own fields. Every message carries a ballot: that of the leadership, sought or
//! held, which it is about, and of a refusal the one its sender has promised. The table of who sends what to whom is in
//! `docs/paxos.md`.

use alloc::vec::Vec;
use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};
use quorate_protocol::{Ballot, Entry, Index, LogId, Membership};

/// A message with its ballot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The ballot it is about; of a question that precedes a ballot, and of its answer, the one that would be begun; of a refusal,
    /// the one that its sender has promised.
    pub ballot: Ballot,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Would you promise me this ballot?
    Ask {
        /// The asker knows what is chosen up to here.
        commit: Index,
    },
    /// The answer.
    AskReply {
        /// Yes or no.
        granted: bool,
    },
    /// Promise me this ballot, and tell what you have accepted. Phase 1a, for all slots from one on.
    Prepare {
        /// From here on.
        from: Index,
        /// The leader itself asked the candidate to take over: that a leader is heard is no reason to refuse.
        transfer: bool,
    },
    /// I do, and this is what I have accepted. Phase 1b.
    Promise {
        /// From here on.
        from: Index,
        /// The entries accepted, ascending.
        entries: Vec<Entry>,
        /// There are more: ask again for what follows.
        more: bool,
        /// The promiser knows what is chosen up to here, and the entries up to here are that.
        commit: Index,
    },
    /// Accept these. Phase 2a, for any number of slots.
    Accept {
        /// The entries, ascending; none in a probe or when only the commit index is news.
        entries: Vec<Entry>,
        /// Everything up to here is chosen.
        commit: Index,
    },
    /// I have, durably. Phase 2b.
    Accepted {
        /// The first slot accepted just now; 0 for none.
        from: Index,
        /// The last, with all in between.
        upto: Index,
        /// Every slot up to here holds what this ballot's leader proposes there.
        matched: Index,
    },
    /// I lead, and you are in the group.
    Heartbeat {
        /// Chosen up to here, as far as the follower has matched.
        commit: Index,
        /// The leader's latest round of reads.
        round: u64,
    },
    /// So I see.
    HeartbeatReply {
        /// The round of the heartbeat.
        round: u64,
        /// Every slot up to here holds what this ballot's leader proposes there.
        matched: Index,
        /// The follower does not have what it had acknowledged: it has restarted and no longer knows it to be chosen, or its
        /// disk has lost it.
        unsure: bool,
        /// Up to here the follower's disk has lost entries; 0 for none.
        lacks: Index,
        /// The follower's [`Config::priority`](quorate_protocol::Config::priority).
        priority: u8,
    },
    /// The state machine's image attached stands at `id`.
    Snapshot {
        /// Where it stands.
        id: LogId,
        /// The membership in force there.
        membership: Membership,
    },
    /// A message of a lesser ballot arrived: I have promised this one.
    Stale,
    /// Proposals from a follower's clients.
    Forward {
        /// Names one life of the sender.
        stream: u64,
        /// Numbers the messages of the stream within the ballot, so that none counts twice.
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
    /// Seek the next ballot at once: the leader hands over.
    TimeoutNow,
    /// I cannot report what you ask for: I have let go of everything up to here, all of which is chosen.
    LetGo {
        /// The last of it, with a ballot under which that was known to be so.
        base: LogId,
    },
    /// I cannot lead, for I lack what you have let go of: begin a ballot greater than this, which I have begun or would begin.
    TakeOver,
}

impl Body {
    /// What a message begins with, after its ballot.
    fn tag(&self) -> u8 {
        match self {
            Body::Ask { .. } => 1,
            Body::AskReply { .. } => 2,
            Body::Prepare { .. } => 3,
            Body::Promise { .. } => 4,
            Body::Accept { .. } => 5,
            Body::Accepted { .. } => 6,
            Body::Heartbeat { .. } => 7,
            Body::HeartbeatReply { .. } => 8,
            Body::Snapshot { .. } => 9,
            Body::Stale => 10,
            Body::Forward { .. } => 11,
            Body::ReadIndex { .. } => 12,
            Body::ReadIndexReply { .. } => 13,
            Body::TimeoutNow => 14,
            Body::LetGo { .. } => 15,
            Body::TakeOver => 16,
        }
    }
}

impl Encode for Message {
    fn encode(&self, out: &mut Writer) {
        self.ballot.encode(out);
        out.u8(self.body.tag());
        match &self.body {
            Body::Ask { commit } => commit.encode(out),
            Body::LetGo { base } => base.encode(out),
            Body::AskReply { granted } => out.bool(*granted),
            Body::Prepare { from, transfer } => {
                from.encode(out);
                out.bool(*transfer);
            }
            Body::Promise { from, entries, more, commit } => {
                from.encode(out);
                commit.encode(out);
                out.bool(*more);
                out.list(entries);
            }
            Body::Accept { entries, commit } => {
                commit.encode(out);
                out.list(entries);
            }
            Body::Accepted { from, upto, matched } => {
                [from, upto, matched].into_iter().for_each(|index| index.encode(out));
            }
            Body::Heartbeat { commit, round } => {
                commit.encode(out);
                out.u64(*round);
            }
            Body::HeartbeatReply { round, matched, unsure, lacks, priority } => {
                out.u64(*round);
                matched.encode(out);
                out.bool(*unsure);
                lacks.encode(out);
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
            Body::Stale | Body::TimeoutNow | Body::TakeOver => {}
        }
    }
}

impl Decode for Message {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let ballot = Ballot::decode(input)?;
        let body = match input.u8()? {
            1 => Body::Ask { commit: Index::decode(input)? },
            2 => Body::AskReply { granted: input.bool()? },
            3 => Body::Prepare { from: Index::decode(input)?, transfer: input.bool()? },
            4 => {
                let (from, commit) = (Index::decode(input)?, Index::decode(input)?);
                Body::Promise { from, commit, more: input.bool()?, entries: input.list()? }
            }
            5 => Body::Accept { commit: Index::decode(input)?, entries: input.list()? },
            6 => {
                let (from, upto) = (Index::decode(input)?, Index::decode(input)?);
                Body::Accepted { from, upto, matched: Index::decode(input)? }
            }
            7 => Body::Heartbeat { commit: Index::decode(input)?, round: input.u64()? },
            8 => {
                let (round, matched) = (input.u64()?, Index::decode(input)?);
                let (unsure, lacks) = (input.bool()?, Index::decode(input)?);
                Body::HeartbeatReply { round, matched, unsure, lacks, priority: input.u8()? }
            }
            9 => Body::Snapshot { id: LogId::decode(input)?, membership: Membership::decode(input)? },
            10 => Body::Stale,
            11 => {
                let (stream, number) = (input.u64()?, input.u64()?);
                let count = input.u32()?;
                // Each proposal takes at least its length; a count beyond that runs out of input below.
                let mut proposals = Vec::with_capacity((count as usize).min(input.remaining() / 4 + 1));
                for _ in 0..count {
                    proposals.push(input.bytes()?);
                }
                Body::Forward { stream, number, proposals }
            }
            12 => Body::ReadIndex { token: input.u64()? },
            13 => Body::ReadIndexReply { token: input.u64()?, index: Index::decode(input)? },
            14 => Body::TimeoutNow,
            15 => Body::LetGo { base: LogId::decode(input)? },
            16 => Body::TakeOver,
            _ => return Err(Malformed("paxos message")),
        };
        Ok(Message { ballot, body })
    }
}
