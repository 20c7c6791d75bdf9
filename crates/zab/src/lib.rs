//! Zab as a pure value.
//!
//! Source: Junqueira, Reed and Serafini, "Zab: High-performance broadcast for primary-backup systems" (DSN 2011), cited
//! as §n; Medeiros, "ZooKeeper's atomic broadcast protocol: theory and practice" (2012), which tells of fast leader
//! election and of what the implementation does otherwise; Hunt and others, "ZooKeeper: wait-free coordination for
//! internet-scale systems" (2010). What went wrong in practice is cited by the number of ZooKeeper's issue.
//!
//! # How its terms map to types
//!
//! | paper | here |
//! |---|---|
//! | zxid ⟨e, c⟩ | `LogId`: the epoch is the ballot's round, the primary its node; the counter is the index, dense over all epochs |
//! | acceptedEpoch, f.p | `promised`: an epoch, and the leader it was accepted from; durable in `WriteOp::Meta` |
//! | currentEpoch, f.a | `joined`, durable in the same |
//! | history, h_f | `quorate_protocol::Log` |
//! | phase 0 to 3 | modules `election`, `discovery`, `synchronisation`, `broadcast` |
//! | CEPOCH, NEWEPOCH, ACK-E, NEWLEADER, ACK-LD, COMMIT-LD, ... | [`Body`], one variant each |
//! | observers | learners |
//! | a FIFO channel | a *session*: see below |
//!
//! # Sessions
//!
//! Zab's broadcast has no check of the preceding entry: it rests on channels that lose, repeat and reorder nothing. No
//! host is asked for such channels here. A leader numbers its synchronisations with each follower; what it then
//! sends belongs to that session, and within it the dense indexes number the entries. A follower takes only what
//! comes next in its session; what comes earlier it holds back (module `following`). Where something stays missing, it
//! asks to be synchronised again, which begins a new session from where its log ends. A heartbeat tells how far the
//! session has come, so that a loss at its end is found too.
//!
//! # Invariants
//!
//! 1. The accepted epoch never decreases, one leader is accepted in each, and currentEpoch <= acceptedEpoch.
//! 2. `base <= commit <= last`; an entry at or before `commit` never changes.
//! 3. currentEpoch becomes e only when the log is the history of e's leader up to NEWLEADER: its write follows those of
//!    the entries.
//! 4. Having begun a session with the leader of an epoch, a follower's log is a prefix of that leader's history, and it is
//!    cut back no more in that epoch.
//! 5. A leader never cuts its log back, and proposes nothing before its epoch is established: its own and a quorum's
//!    currentEpoch is e, durably.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod broadcast;
mod core;
mod discovery;
mod election;
mod following;
mod leader;
mod lease;
mod membership;
mod message;
mod reads;
mod rules;
mod synchronisation;
mod transfer;

pub use crate::core::Zab;
pub use message::{Body, History, Message, State, Vote};
pub use rules::{Paper, Rules};
