//! What Zab's nodes say to each other, and its bytes.
//!
//! One variant per message with exactly its own fields. Every message carries an epoch: the one its sender leads or
//! follows in, or, where none is spoken of yet, the one it has accepted. The table of who sends what to whom is
//! in `docs/zab.md`.

use alloc::vec::Vec;
use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};
use quorate_protocol::{Ballot, Entry, Index, LogId, Membership, NodeId};

/// How far a node's history reaches: what decides who may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// Its currentEpoch.
    pub current: u64,
    /// Its last entry.
    pub last: LogId,
}

impl History {
    /// What orders histories: currentEpoch first, then the last zxid.
    pub fn rank(&self) -> (u64, u64, Index) {
        (self.current, self.last.ballot.round, self.last.index)
    }
}

/// What the sender of a vote is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It looks for a leader.
    Looking,
    /// It follows the one it voted for.
    Following,
    /// It was elected.
    Elected,
}

/// Who ought to lead, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// Whom.
    pub node: NodeId,
    /// Its history.
    pub history: History,
}

/// A message with its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The epoch spoken of.
    pub epoch: u64,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Phase 0: This is my vote.
    Notification {
        /// The round of the election, counted by whoever begins one.
        round: u64,
        /// The vote.
        vote: Vote,
        /// What the sender is doing.
        state: State,
        /// The leader asked the sender to take over: that it is heard is no reason to refuse.
        transfer: bool,
    },
    /// CEPOCH: I follow you, and have accepted this epoch.
    FollowerInfo {
        /// The epoch, and whose it was.
        accepted: Ballot,
    },
    /// NEWEPOCH: accept the message's epoch.
    NewEpoch {
        /// A quorum already has.
        chosen: bool,
    },
    /// ACK-E: I have accepted it, and this is my history. Also: synchronise me again.
    AckEpoch {
        /// The history it answers for.
        history: History,
        /// The last entry that may agree with yours.
        end: LogId,
        /// The last session of yours that I have heard of, in this epoch; 0 for none.
        heard: u64,
    },
    /// A session begins: your log is mine up to here; what is after it, cut off (TRUNC). What it lacks follows (DIFF).
    Sync {
        /// The session.
        session: u64,
        /// Up to here.
        prev: LogId,
    },
    /// A session begins with the attached image of the state machine (SNAP).
    Snapshot {
        /// The session.
        session: u64,
        /// Where it stands.
        id: LogId,
        /// The membership in force there.
        membership: Membership,
    },
    /// NEWLEADER: this is where my history ends, or ended when you came; make it yours.
    NewLeader {
        /// The session.
        session: u64,
        /// The last of it.
        last: LogId,
    },
    /// ACK-LD: it is mine, durably, and so is the epoch.
    AckLeader {
        /// The session.
        session: u64,
        /// Its log agrees with the leader's up to here, durably.
        matched: Index,
    },
    /// UPTODATE, COMMIT-LD: the epoch is established; serve.
    UpToDate {
        /// The session.
        session: u64,
        /// What is committed.
        commit: Index,
    },
    /// PROPOSE; before NEWLEADER: more of the DIFF.
    Propose {
        /// The session.
        session: u64,
        /// The entries follow this index.
        prev: Index,
        /// The entries, dense.
        entries: Vec<Entry>,
        /// What is committed.
        commit: Index,
    },
    /// ACK: the log agrees with the leader's up to here, durably.
    Ack {
        /// The session.
        session: u64,
        /// Up to here.
        matched: Index,
    },
    /// COMMIT, where no proposal carries it.
    Commit {
        /// The session.
        session: u64,
        /// What is committed.
        commit: Index,
    },
    /// I lead, and you are in the group.
    Ping {
        /// The session; 0 if the leader knows of none.
        session: u64,
        /// What was sent in the session ends here.
        sent: Index,
        /// NEWLEADER was sent in it.
        led: bool,
        /// The epoch is established.
        established: bool,
        /// What is committed.
        commit: Index,
        /// The leader's latest read round.
        round: u64,
    },
    /// So I see: I have accepted no later epoch.
    Pong {
        /// The round of the heartbeat.
        round: u64,
        /// The follower's [`Config::priority`](quorate_protocol::Config::priority).
        priority: u8,
    },
    /// Your epoch is over, or not the one of its number that I have accepted.
    Stale {
        /// What was accepted.
        accepted: Ballot,
    },
    /// Proposals from a follower's clients.
    Forward {
        /// Names one life of the sender.
        stream: u64,
        /// Numbers the messages of the stream, so that none counts twice.
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
    /// Take over: the leader hands over.
    TakeOver,
}

impl Encode for History {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.current);
        self.last.encode(out);
    }
}

impl Decode for History {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(History { current: input.u64()?, last: LogId::decode(input)? })
    }
}

impl Encode for Vote {
    fn encode(&self, out: &mut Writer) {
        self.node.encode(out);
        self.history.encode(out);
    }
}

impl Decode for Vote {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Vote { node: NodeId::decode(input)?, history: History::decode(input)? })
    }
}

impl Body {
    /// What a message begins with, after its epoch.
    fn tag(&self) -> u8 {
        match self {
            Body::Notification { .. } => 1,
            Body::FollowerInfo { .. } => 2,
            Body::NewEpoch { .. } => 3,
            Body::AckEpoch { .. } => 4,
            Body::Sync { .. } => 5,
            Body::Snapshot { .. } => 6,
            Body::NewLeader { .. } => 7,
            Body::AckLeader { .. } => 8,
            Body::UpToDate { .. } => 9,
            Body::Propose { .. } => 10,
            Body::Ack { .. } => 11,
            Body::Commit { .. } => 12,
            Body::Ping { .. } => 13,
            Body::Pong { .. } => 14,
            Body::Stale { .. } => 15,
            Body::Forward { .. } => 16,
            Body::ReadIndex { .. } => 17,
            Body::ReadIndexReply { .. } => 18,
            Body::TakeOver => 19,
        }
    }
}

impl Encode for Message {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.epoch);
        out.u8(self.body.tag());
        match &self.body {
            Body::Notification { round, vote, state, transfer } => {
                out.u64(*round);
                vote.encode(out);
                out.u8(match state {
                    State::Looking => 0,
                    State::Following => 1,
                    State::Elected => 2,
                });
                out.bool(*transfer);
            }
            Body::FollowerInfo { accepted } | Body::Stale { accepted } => accepted.encode(out),
            Body::NewEpoch { chosen } => out.bool(*chosen),
            Body::AckEpoch { history, end, heard } => {
                history.encode(out);
                end.encode(out);
                out.u64(*heard);
            }
            Body::Sync { session, prev: id } | Body::NewLeader { session, last: id } => {
                out.u64(*session);
                id.encode(out);
            }
            Body::Snapshot { session, id, membership } => {
                out.u64(*session);
                id.encode(out);
                membership.encode(out);
            }
            Body::AckLeader { session, matched: index }
            | Body::Ack { session, matched: index }
            | Body::UpToDate { session, commit: index }
            | Body::Commit { session, commit: index } => {
                out.u64(*session);
                index.encode(out);
            }
            Body::Propose { session, prev, entries, commit } => {
                out.u64(*session);
                prev.encode(out);
                commit.encode(out);
                out.list(entries);
            }
            Body::Ping { session, sent, led, established, commit, round } => {
                out.u64(*session);
                sent.encode(out);
                out.bool(*led);
                out.bool(*established);
                commit.encode(out);
                out.u64(*round);
            }
            _ => encode_service(&self.body, out),
        }
    }
}

/// What serves clients, and has no part in agreeing.
fn encode_service(body: &Body, out: &mut Writer) {
    match body {
        Body::Pong { round, priority } => {
            out.u64(*round);
            out.u8(*priority);
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
        _ => {}
    }
}

impl Decode for Message {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let epoch = input.u64()?;
        let body = match input.u8()? {
            1 => {
                let (round, vote) = (input.u64()?, Vote::decode(input)?);
                let state = match input.u8()? {
                    0 => State::Looking,
                    1 => State::Following,
                    2 => State::Elected,
                    _ => return Err(Malformed("state of a voter")),
                };
                Body::Notification { round, vote, state, transfer: input.bool()? }
            }
            2 => Body::FollowerInfo { accepted: Ballot::decode(input)? },
            3 => Body::NewEpoch { chosen: input.bool()? },
            4 => {
                let (history, end) = (History::decode(input)?, LogId::decode(input)?);
                Body::AckEpoch { history, end, heard: input.u64()? }
            }
            5 => Body::Sync { session: input.u64()?, prev: LogId::decode(input)? },
            6 => {
                let (session, id) = (input.u64()?, LogId::decode(input)?);
                Body::Snapshot { session, id, membership: Membership::decode(input)? }
            }
            7 => Body::NewLeader { session: input.u64()?, last: LogId::decode(input)? },
            8 => Body::AckLeader { session: input.u64()?, matched: Index::decode(input)? },
            9 => Body::UpToDate { session: input.u64()?, commit: Index::decode(input)? },
            10 => {
                let (session, prev) = (input.u64()?, Index::decode(input)?);
                let commit = Index::decode(input)?;
                Body::Propose { session, prev, commit, entries: input.list()? }
            }
            11 => Body::Ack { session: input.u64()?, matched: Index::decode(input)? },
            12 => Body::Commit { session: input.u64()?, commit: Index::decode(input)? },
            13 => {
                let (session, sent) = (input.u64()?, Index::decode(input)?);
                let (led, established) = (input.bool()?, input.bool()?);
                let commit = Index::decode(input)?;
                Body::Ping { session, sent, led, established, commit, round: input.u64()? }
            }
            14 => Body::Pong { round: input.u64()?, priority: input.u8()? },
            15 => Body::Stale { accepted: Ballot::decode(input)? },
            16 => {
                let (stream, number) = (input.u64()?, input.u64()?);
                let count = input.u32()?;
                // Each proposal takes at least its length; a count beyond that runs out of input below.
                let mut proposals = Vec::with_capacity((count as usize).min(input.remaining() / 4 + 1));
                for _ in 0..count {
                    proposals.push(input.bytes()?);
                }
                Body::Forward { stream, number, proposals }
            }
            17 => Body::ReadIndex { token: input.u64()? },
            18 => Body::ReadIndexReply { token: input.u64()?, index: Index::decode(input)? },
            19 => Body::TakeOver,
            _ => return Err(Malformed("zab message")),
        };
        Ok(Message { epoch, body })
    }
}
