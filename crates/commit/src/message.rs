//! What sites say to each other, and its bytes.
//!
//! The table of who sends what to whom is in `docs/commit.md`. Each speaks of what is applied at its sender, and so
//! of what stays true. Nothing that decodes can panic.

use alloc::vec::Vec;

use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::ids::{Age, Ballot, SiteId, Timestamp, TxnId};
use crate::record::{Decision, Protocol, Reason, decode_sites};
use crate::work::Work;

/// A vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vote {
    /// Prepared; only the decision counts now.
    Yes {
        /// When.
        ts: Timestamp,
        /// Its compares hold.
        holds: bool,
        /// What was read.
        answer: Bytes,
    },
    /// It will not.
    No(Reason),
}

/// A message; each is about one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The transaction.
    pub txn: TxnId,
    /// What is said.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Coordinator to participant: can you?
    Prepare {
        /// The transaction's age.
        age: Age,
        /// How it is committed.
        protocol: Protocol,
        /// All its participants.
        participants: Vec<SiteId>,
        /// What is to be done at the receiver.
        work: Work,
        /// Not before this.
        ts: Timestamp,
    },
    /// Participant to coordinator.
    Vote(Vote),
    /// Anybody who knows, to anybody who should: it is decided.
    Decision(Decision),
    /// Participant to coordinator: I have carried it out.
    Ack {
        /// What the resource answered.
        result: Bytes,
    },
    /// Participant to coordinator, or to a peer: what became of it?
    Enquiry,
    /// Coordinator to who enquires: it is not decided yet, and I am at it.
    Wait,
    /// Who leads an attempt, to participants: pre-commit, or pre-abort.
    PreCommit {
        /// The attempt.
        ballot: Ballot,
        /// For which decision.
        decision: Decision,
    },
    /// Participant to who leads an attempt: I have.
    PreAck {
        /// The attempt.
        ballot: Ballot,
    },
    /// Who leads an attempt to end it, to participants: join, and tell your state.
    Query {
        /// The attempt.
        ballot: Ballot,
    },
    /// Participant to who leads an attempt: I have prepared, and do not know the decision.
    State {
        /// The attempt.
        ballot: Ballot,
        /// The latest attempt in which it pre-committed or pre-aborted, and which.
        accepted: Option<(Ballot, Decision)>,
        /// It has failed since it prepared, or does not know.
        recovered: bool,
    },
}

impl Body {
    /// Its kind in a word, for counting and showing.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Prepare { .. } => "Prepare",
            Body::Vote(_) => "Vote",
            Body::Decision(_) => "Decision",
            Body::Ack { .. } => "Ack",
            Body::Enquiry => "Enquiry",
            Body::Wait => "Wait",
            Body::PreCommit { .. } => "PreCommit",
            Body::PreAck { .. } => "PreAck",
            Body::Query { .. } => "Query",
            Body::State { .. } => "State",
        }
    }
}

impl Encode for Message {
    fn encode(&self, out: &mut Writer) {
        self.txn.encode(out);
        match &self.body {
            Body::Prepare { age, protocol, participants, work, ts } => {
                out.u8(1);
                age.encode(out);
                protocol.encode(out);
                out.list(participants);
                work.encode(out);
                ts.encode(out);
            }
            Body::Vote(Vote::Yes { ts, holds, answer }) => {
                out.u8(2);
                ts.encode(out);
                out.bool(*holds);
                out.bytes(answer);
            }
            Body::Vote(Vote::No(reason)) => {
                out.u8(3);
                reason.encode(out);
            }
            Body::Decision(decision) => {
                out.u8(4);
                decision.encode(out);
            }
            Body::Ack { result } => {
                out.u8(5);
                out.bytes(result);
            }
            Body::Enquiry => out.u8(6),
            Body::PreCommit { ballot, decision } => {
                out.u8(7);
                ballot.encode(out);
                decision.encode(out);
            }
            Body::PreAck { ballot } => {
                out.u8(8);
                ballot.encode(out);
            }
            Body::Query { ballot } => {
                out.u8(9);
                ballot.encode(out);
            }
            Body::State { ballot, accepted, recovered } => {
                out.u8(10);
                ballot.encode(out);
                encode_accepted(accepted, out);
                out.bool(*recovered);
            }
            Body::Wait => out.u8(11),
        }
    }
}

impl Decode for Message {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let txn = TxnId::decode(input)?;
        let body = match input.u8()? {
            1 => Body::Prepare {
                age: Age::decode(input)?,
                protocol: Protocol::decode(input)?,
                participants: decode_sites(input)?,
                work: Work::decode(input)?,
                ts: Timestamp::decode(input)?,
            },
            2 => Body::Vote(Vote::Yes {
                ts: Timestamp::decode(input)?,
                holds: input.bool()?,
                answer: input.bytes()?,
            }),
            3 => Body::Vote(Vote::No(Reason::decode(input)?)),
            4 => Body::Decision(Decision::decode(input)?),
            5 => Body::Ack { result: input.bytes()? },
            6 => Body::Enquiry,
            7 => Body::PreCommit { ballot: Ballot::decode(input)?, decision: Decision::decode(input)? },
            8 => Body::PreAck { ballot: Ballot::decode(input)? },
            9 => Body::Query { ballot: Ballot::decode(input)? },
            10 => Body::State {
                ballot: Ballot::decode(input)?,
                accepted: decode_accepted(input)?,
                recovered: input.bool()?,
            },
            11 => Body::Wait,
            _ => return Err(Malformed("commit message")),
        };
        Ok(Message { txn, body })
    }
}

pub(crate) fn encode_accepted(accepted: &Option<(Ballot, Decision)>, out: &mut Writer) {
    out.bool(accepted.is_some());
    if let Some((ballot, decision)) = accepted {
        ballot.encode(out);
        decision.encode(out);
    }
}

pub(crate) fn decode_accepted(input: &mut Reader) -> Result<Option<(Ballot, Decision)>, Malformed> {
    Ok(if input.bool()? { Some((Ballot::decode(input)?, Decision::decode(input)?)) } else { None })
}
