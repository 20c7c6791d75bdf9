//! What is made durable, and its bytes.
//!
//! | record | by | register it writes, once |
//! |---|---|---|
//! | [`Prepare`](Record::Prepare), [`Refuse`](Record::Refuse) | participant | its vote: Yes or No |
//! | [`Promise`](Record::Promise), [`Accept`](Record::Accept) | participant, three phases | which attempts it joined |
//! | [`Resolve`](Record::Resolve) | participant | the decision, as it learnt it |
//! | [`Ready`](Record::Ready), [`Decide`](Record::Decide) | coordinator | the decision |
//! | [`Local`](Record::Local) | the only participant | vote and decision in one |
//! | [`Forget`](Record::Forget), [`Close`](Record::Close), [`Floor`](Record::Floor) | either | |

use alloc::vec::Vec;

use bytes::Bytes;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::ids::{Age, Ballot, SiteId, Timestamp, TxnId};
use crate::work::{PARTICIPANTS, Work};

/// How three phases end when the coordinator is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Termination {
    /// By the time-outs alone: who is uncertain aborts, who has pre-committed commits (Skeen 1981 §5). Right if the network never
    /// loses anything and silence means death; under a partition its two sides decide differently. Not for production.
    Classical,
    /// By a coordinator elected among those who answer (Skeen 1981 §6; BHG §7.5). Right if only sites fail; not
    /// under partition. Not for production.
    Skeen,
    /// By elected attempts, each of a majority of the participants (Keidar and Dolev 1998, E3PC). Always right, and never
    /// blocks a majority that can talk.
    Quorum,
}

/// How a transaction is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// In two phases, abort being presumed.
    TwoPhase,
    /// In two phases, and committed as soon as all votes are durable and it is that the transaction is under way: the decision's
    /// own record is not waited for.
    Parallel,
    /// In three.
    ThreePhase(Termination),
}

impl Protocol {
    /// Whether it has three phases: then participants may end it without the coordinator.
    pub(crate) fn has_three(self) -> bool {
        matches!(self, Protocol::ThreePhase(_))
    }
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Commit.
    Commit {
        /// As of when.
        ts: Timestamp,
        /// The first branch, or the second.
        first: bool,
    },
    /// Abort.
    Abort,
}

/// Why a transaction is aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An older one, or one that came before, is in the way. Begin again with a new name and the same age.
    Conflict,
    /// A participant has too many waiting. Begin again later.
    Overloaded,
    /// Its epoch is below a participant's floor.
    Stale,
    /// Not all voted in time.
    Timeout,
    /// Somebody asked about it before it was decided, or had voted, and so it never will be.
    Fenced,
    /// A participant decided it before, or was told so.
    Decided,
}

/// Something to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A participant votes Yes, if no lock is in the way when this is applied: then it is evaluated and holds its locks.
    Prepare {
        /// The transaction.
        txn: TxnId,
        /// Its age.
        age: Age,
        /// How it is committed.
        protocol: Protocol,
        /// All its participants.
        participants: Vec<SiteId>,
        /// What is to be done here.
        work: Work,
        /// Not before this.
        ts: Timestamp,
    },
    /// A participant votes No, or will, if it is ever asked.
    Refuse {
        /// The transaction.
        txn: TxnId,
        /// Why.
        reason: Reason,
    },
    /// A participant joins an attempt, and none before it any more.
    Promise {
        /// The transaction.
        txn: TxnId,
        /// The attempt.
        ballot: Ballot,
    },
    /// A participant pre-commits, or pre-aborts.
    Accept {
        /// The transaction.
        txn: TxnId,
        /// In this attempt.
        ballot: Ballot,
        /// Which.
        decision: Decision,
    },
    /// A participant has learnt the decision.
    Resolve {
        /// The transaction.
        txn: TxnId,
        /// The decision.
        decision: Decision,
        /// From the coordinator, which so knows it too.
        known: bool,
    },
    /// The coordinator of three phases has all votes, and will not abort of its own will. In the parallel form of two: it has
    /// asked for them, and will not abort unless one that cannot vote Yes any more says so.
    Ready {
        /// The transaction.
        txn: TxnId,
        /// How it is committed.
        protocol: Protocol,
        /// What it will decide.
        decision: Decision,
        /// By whom it is carried out.
        participants: Vec<SiteId>,
        /// What they read.
        answers: Vec<(SiteId, Bytes)>,
    },
    /// The coordinator decides.
    Decide {
        /// The transaction.
        txn: TxnId,
        /// The decision.
        decision: Decision,
        /// Why, if it is to abort.
        reason: Reason,
        /// The participants tell that it is so: it counts even if this site was ready for something else.
        learnt: bool,
        /// Who must be told.
        participants: Vec<SiteId>,
        /// What they read.
        answers: Vec<(SiteId, Bytes)>,
    },
    /// All participants know that it is committed, or, at one of them, the coordinator knows: below the floor it may be
    /// forgotten.
    Forget {
        /// The transaction.
        txn: TxnId,
    },
    /// A transaction of this site alone, decided and carried out, if no lock is in the way.
    Local {
        /// The transaction.
        txn: TxnId,
        /// Its age.
        age: Age,
        /// What is to be done.
        work: Work,
        /// Not before this.
        ts: Timestamp,
    },
    /// Nothing will be committed at or before this moment that is not yet.
    Close {
        /// The moment.
        ts: Timestamp,
    },
    /// What is of an earlier epoch is forgotten once it is over, and refused.
    Floor {
        /// The epoch.
        epoch: u64,
    },
}

/// What a record is about: of each, one is under way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject(u8, TxnId);

impl Subject {
    /// A coordinator's decision.
    pub(crate) fn decision(txn: TxnId) -> Subject {
        Subject(7, txn)
    }
}

impl Record {
    /// What it is about.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Record::Prepare { txn, .. } => Subject(1, *txn),
            Record::Refuse { txn, .. } => Subject(2, *txn),
            Record::Promise { txn, .. } => Subject(3, *txn),
            Record::Accept { txn, .. } => Subject(4, *txn),
            Record::Resolve { txn, .. } => Subject(5, *txn),
            Record::Ready { txn, .. } => Subject(6, *txn),
            Record::Decide { txn, .. } => Subject::decision(*txn),
            Record::Forget { txn } => Subject(8, *txn),
            Record::Local { txn, .. } => Subject(9, *txn),
            Record::Close { .. } => Subject(10, TxnId::default()),
            Record::Floor { .. } => Subject(11, TxnId::default()),
        }
    }

    /// Whether it is about something new. Everything else brings to an end what was begun, or lets others end it.
    pub(crate) fn begins(&self) -> bool {
        matches!(
            self,
            Record::Prepare { .. } | Record::Local { .. } | Record::Close { .. } | Record::Floor { .. }
        )
    }

    /// Whose it is, if it is of one transaction.
    pub fn txn(&self) -> Option<TxnId> {
        match self {
            Record::Close { .. } | Record::Floor { .. } => None,
            record => Some(record.subject().1),
        }
    }
}

impl Encode for Record {
    fn encode(&self, out: &mut Writer) {
        let subject = self.subject();
        out.u8(subject.0);
        if self.txn().is_some() {
            subject.1.encode(out);
        }
        match self {
            Record::Prepare { age, protocol, participants, work, ts, .. } => {
                age.encode(out);
                protocol.encode(out);
                out.list(participants);
                work.encode(out);
                ts.encode(out);
            }
            Record::Refuse { reason, .. } => reason.encode(out),
            Record::Promise { ballot, .. } => ballot.encode(out),
            Record::Accept { ballot, decision, .. } => {
                ballot.encode(out);
                decision.encode(out);
            }
            Record::Resolve { decision, known, .. } => {
                decision.encode(out);
                out.bool(*known);
            }
            Record::Ready { protocol, decision, participants, answers, .. } => {
                protocol.encode(out);
                decision.encode(out);
                out.list(participants);
                encode_answers(answers, out);
            }
            Record::Decide { decision, reason, learnt, participants, answers, .. } => {
                decision.encode(out);
                reason.encode(out);
                out.bool(*learnt);
                out.list(participants);
                encode_answers(answers, out);
            }
            Record::Forget { .. } => {}
            Record::Local { age, work, ts, .. } => {
                age.encode(out);
                work.encode(out);
                ts.encode(out);
            }
            Record::Close { ts } => ts.encode(out),
            Record::Floor { epoch } => out.u64(*epoch),
        }
    }
}

impl Decode for Record {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let tag = input.u8()?;
        match tag {
            10 => return Ok(Record::Close { ts: Timestamp::decode(input)? }),
            11 => return Ok(Record::Floor { epoch: input.u64()? }),
            _ => {}
        }
        let txn = TxnId::decode(input)?;
        Ok(match tag {
            1 => Record::Prepare {
                txn,
                age: Age::decode(input)?,
                protocol: Protocol::decode(input)?,
                participants: decode_sites(input)?,
                work: Work::decode(input)?,
                ts: Timestamp::decode(input)?,
            },
            2 => Record::Refuse { txn, reason: Reason::decode(input)? },
            3 => Record::Promise { txn, ballot: Ballot::decode(input)? },
            4 => Record::Accept { txn, ballot: Ballot::decode(input)?, decision: Decision::decode(input)? },
            5 => Record::Resolve { txn, decision: Decision::decode(input)?, known: input.bool()? },
            6 => Record::Ready {
                txn,
                protocol: Protocol::decode(input)?,
                decision: Decision::decode(input)?,
                participants: decode_sites(input)?,
                answers: decode_answers(input)?,
            },
            7 => Record::Decide {
                txn,
                decision: Decision::decode(input)?,
                reason: Reason::decode(input)?,
                learnt: input.bool()?,
                participants: decode_sites(input)?,
                answers: decode_answers(input)?,
            },
            8 => Record::Forget { txn },
            9 => Record::Local {
                txn,
                age: Age::decode(input)?,
                work: Work::decode(input)?,
                ts: Timestamp::decode(input)?,
            },
            _ => return Err(Malformed("commit record")),
        })
    }
}

/// Sites, not more than a transaction may have.
pub(crate) fn decode_sites(input: &mut Reader) -> Result<Vec<SiteId>, Malformed> {
    let sites: Vec<SiteId> = input.list()?;
    if sites.len() > PARTICIPANTS { Err(Malformed("too many participants")) } else { Ok(sites) }
}

pub(crate) fn encode_answers(answers: &[(SiteId, Bytes)], out: &mut Writer) {
    out.u32(answers.len() as u32);
    for (site, answer) in answers {
        site.encode(out);
        out.bytes(answer);
    }
}

pub(crate) fn decode_answers(input: &mut Reader) -> Result<Vec<(SiteId, Bytes)>, Malformed> {
    let count = input.u32()? as usize;
    if count > PARTICIPANTS {
        return Err(Malformed("too many answers"));
    }
    (0..count).map(|_| Ok((SiteId::decode(input)?, input.bytes()?))).collect()
}

impl Encode for Protocol {
    fn encode(&self, out: &mut Writer) {
        out.u8(match self {
            Protocol::TwoPhase => 0,
            Protocol::ThreePhase(Termination::Classical) => 1,
            Protocol::ThreePhase(Termination::Skeen) => 2,
            Protocol::ThreePhase(Termination::Quorum) => 3,
            Protocol::Parallel => 4,
        });
    }
}

impl Decode for Protocol {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            0 => Protocol::TwoPhase,
            1 => Protocol::ThreePhase(Termination::Classical),
            2 => Protocol::ThreePhase(Termination::Skeen),
            3 => Protocol::ThreePhase(Termination::Quorum),
            4 => Protocol::Parallel,
            _ => return Err(Malformed("commit protocol")),
        })
    }
}

impl Encode for Decision {
    fn encode(&self, out: &mut Writer) {
        match self {
            Decision::Abort => out.u8(0),
            Decision::Commit { ts, first } => {
                out.u8(1);
                ts.encode(out);
                out.bool(*first);
            }
        }
    }
}

impl Decode for Decision {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            0 => Decision::Abort,
            1 => Decision::Commit { ts: Timestamp::decode(input)?, first: input.bool()? },
            _ => return Err(Malformed("decision")),
        })
    }
}

/// All reasons, in the order of their bytes.
const REASONS: [Reason; 6] =
    [Reason::Conflict, Reason::Overloaded, Reason::Stale, Reason::Timeout, Reason::Fenced, Reason::Decided];

impl Encode for Reason {
    fn encode(&self, out: &mut Writer) {
        out.u8(*self as u8);
    }
}

impl Decode for Reason {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        REASONS.get(usize::from(input.u8()?)).copied().ok_or(Malformed("reason"))
    }
}
