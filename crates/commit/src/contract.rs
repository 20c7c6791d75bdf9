//! Events in, effects out.
//!
//! A [`Site`](crate::Site) is a value with one mutation, [`Site::step`](crate::Site::step). Each replica of a site holds
//! one; exactly one of them, the group's leader, *drives*. A site that is one process drives whenever it runs.
//!
//! # What is durable
//!
//! Durable state changes by [`Record`]s only. Who drives asks for one with [`Effect::Propose`]; the host puts it into the
//! group's log, or into the process's own and forces it to disk, and then, on every replica, in the log's order, and
//! again from the log after a restart, tells of it with [`Event::Applied`]. To apply is deterministic and always
//! possible: a record that another one came before changes nothing. So two who both think they drive do no harm.
//! Everything sent is sent in the step that applies what it speaks of, or later: a host may send at once.
//!
//! What a driver knows beyond that (timers, votes, who waits for a lock) is lost with it. A host calls
//! [`Event::Drive`] once a leader has applied what its predecessors committed: nothing depends on it, but before that
//! a driver knows too little to be of use.
//!
//! # Time
//!
//! Ticks are the host's, and bring a reading of its hybrid logical clock. If that jumps, forth or back, nothing
//! breaks: what is recorded is always above what was recorded before.
//!
//! # Messages
//!
//! They may be lost, delayed, repeated and reordered. A site sends to itself too; the host delivers that as anything else.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::ids::{Age, ReadId, SiteId, Timestamp, TxnId};
use crate::message::Message;
use crate::record::{Decision, Protocol, Reason, Record};
use crate::work::Work;

/// How a site is set up. Ticks are the host's. The same at all replicas of a site.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Itself.
    pub own: SiteId,
    /// Ticks a coordinator waits for votes before it aborts, and for what follows them in three phases.
    pub vote_ticks: u64,
    /// Ticks until what was not answered is sent again, or what was not taken is proposed again; four times that at most.
    pub retry_ticks: u64,
    /// Ticks after its Yes until a participant that has not heard the decision asks for it.
    pub doubt_ticks: u64,
    /// Ticks between two proposals to close time for writing. 0 for only when a read waits for it.
    pub close_ticks: u64,
    /// How far behind the clock time is closed, in the clock's units.
    pub close_lag: u64,
    /// Ticks a read waits for its moment to be closed.
    pub read_ticks: u64,
    /// Transactions this site coordinates at the same time, at most.
    pub max_coordinating: usize,
    /// Transactions that wait for locks here, at most; and as many may have records to be applied.
    pub max_waiting: usize,
    /// Records under way in the log at the same time, at most; others wait for their turn. At least 1.
    pub max_proposed: usize,
    /// Reads that wait for their moment, at most.
    pub max_reads: usize,
}

impl Config {
    /// The defaults of this house, for ticks of 10 ms and a clock whose unit is a microsecond.
    pub fn new(own: SiteId) -> Self {
        Config {
            own,
            vote_ticks: 200,
            retry_ticks: 20,
            doubt_ticks: 50,
            close_ticks: 20,
            close_lag: 0,
            read_ticks: 200,
            max_coordinating: 4_096,
            max_waiting: 4_096,
            max_proposed: 256,
            max_reads: 4_096,
        }
    }
}

/// What a host tells a site.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed; the clock says so much now.
    Tick {
        /// The reading.
        now: Timestamp,
    },
    /// A message has arrived.
    Receive {
        /// Its sender, as the transport knows it.
        from: SiteId,
        /// The message.
        message: Message,
    },
    /// From now on this replica drives, or does no longer. Said again, it begins anew.
    Drive(bool),
    /// A client begins a transaction, or asks again about one.
    Begin {
        /// Its name; this site must be its coordinator.
        txn: TxnId,
        /// Its age: that of its first try.
        age: Age,
        /// How it is committed.
        protocol: Protocol,
        /// What is to be done, and where. Where that is only here, it takes one record and no message.
        works: Vec<(SiteId, Work)>,
    },
    /// Read as of a moment. Any replica can, driving or not.
    Read {
        /// The caller's name for it.
        read: ReadId,
        /// The moment.
        at: Timestamp,
        /// What: for the resource.
        payload: Bytes,
    },
    /// This record is durable, and the next in order.
    Applied(Record),
    /// The log has not taken this record, which was proposed here, say because it is overloaded.
    Lost(Record),
    /// Let whoever drives propose to forget what is of an earlier epoch than this, and to refuse it from then on.
    Floor(u64),
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This replica does not drive: ask the one that does.
    NotDriving,
    /// The transaction's name says that another site coordinates it.
    NotCoordinator,
    /// The transaction's epoch is below the floor: what became of it may be forgotten.
    Stale,
    /// It names no participants, too many, or one twice; or too many operations.
    Malformed,
    /// As much is under way as is allowed. Try later.
    Overloaded,
    /// The moment was not closed for writing in time.
    NotClosed,
}

/// What became of a transaction, for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed.
    Committed {
        /// When.
        ts: Timestamp,
        /// By its first branch: all compares held.
        first: bool,
        /// What was read, and where.
        answers: Vec<(SiteId, Bytes)>,
    },
    /// It is aborted, for good.
    Aborted(Reason),
    /// Nothing was begun.
    Refused(Refusal),
    /// This replica does not drive any more, and does not know. Ask the one that does, under the same name.
    Unknown,
}

/// What a site asks of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this durable, then tell of it on every replica. If the log does not take it, tell that
    /// ([`Event::Lost`]): it will be proposed again. It may also be lost without a word, with the leadership of who drives.
    Propose(Record),
    /// Send a message; it may be lost.
    Send {
        /// The receiver, this site included.
        to: SiteId,
        /// The message.
        message: Message,
    },
    /// For the client that began it here.
    Outcome {
        /// The transaction.
        txn: TxnId,
        /// What became of it.
        outcome: Outcome,
    },
    /// All participants have carried out a transaction that was begun here, with these results.
    Settled {
        /// The transaction.
        txn: TxnId,
        /// What the resources answered.
        results: Vec<(SiteId, Bytes)>,
    },
    /// This site, as a participant, has decided; told on each replica, so that it can tell those who watch.
    Resolved {
        /// The transaction.
        txn: TxnId,
        /// The decision.
        decision: Decision,
        /// What the resource answered, if it is committed.
        result: Bytes,
    },
    /// The read's answer.
    ReadDone {
        /// The read.
        read: ReadId,
        /// The answer.
        answer: Bytes,
    },
    /// The read is not answered.
    ReadRefused {
        /// The read.
        read: ReadId,
        /// Why.
        why: Refusal,
    },
}

/// The effects of a step, in order.
pub type Effects = Vec<Effect>;

/// A transaction that has prepared here and does not know its decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The transaction.
    pub txn: TxnId,
    /// How it is committed.
    pub protocol: Protocol,
    /// All its participants.
    pub participants: Vec<SiteId>,
    /// When it prepared.
    pub ts: Timestamp,
    /// It is pre-committed, or pre-aborted, in three phases.
    pub accepted: Option<Decision>,
    /// How often it was asked about; of who drives.
    pub asked: u64,
}
