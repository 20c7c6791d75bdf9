//! Atomic commit as a pure value: all of several sites carry a transaction out, or none does.
//!
//! Sources: Gray, "Notes on Data Base Operating Systems" (1978); Rosenkrantz, Stearns and Lewis, "System Level
//! Concurrency Control for Distributed Database Systems" (1978), wait-die; Skeen, "Nonblocking Commit Protocols"
//! (1981), three phases; Mohan, Lindsay and Obermarck, "Transaction Management in the R* Distributed Database
//! Management System" (1986), presumed abort; Bernstein, Hadzilacos and Goodman, "Concurrency Control and Recovery in
//! Database Systems" (1987), chapter 7, cited as BHG; Keidar and Dolev, "Increasing the Resilience of Distributed and
//! Replicated Database Systems" (1998), E3PC; Gray and Lamport, "Consensus on Transaction Commit" (2006), whose remedy
//! for a coordinator that dies, replication, is done here by replicating the site.
//!
//! # How their terms map to types
//!
//! | sources | here |
//! |---|---|
//! | coordinator, participant (resource manager), and where they are | [`Site`]; one can be both |
//! | DT log, force-write | [`Record`], [`Effect::Propose`], [`Event::Applied`] |
//! | VOTE-REQ, YES, NO | [`Body::Prepare`], [`Vote`] |
//! | uncertain, in doubt | [`Site::in_doubt`] |
//! | cooperative termination, decision request | [`Body::Enquiry`] |
//! | presumed abort | [`Rules::fences_before_answering`] |
//! | PRE-COMMIT, termination protocols | [`Body::PreCommit`], [`Termination`] |
//! | last elected, last attempt | the ballots of [`Record::Promise`] and [`Record::Accept`] |
//! | wait-die | [`Age`], and the module `queue` |
//!
//! | module | what |
//! |---|---|
//! | `ids`, `work` | names; what a transaction does at a site, and what carries it out |
//! | `contract` | configuration, events, effects |
//! | `record`, `message` | what is made durable, what is said, and their bytes |
//! | `rules` | what can be got wrong, one method each |
//! | `state`, `image` | what is durable, how records change it, its bytes |
//! | `site` | the site: state, driver, and who handles what |
//! | `locks`, `queue` | keys and ranges; who waits and who dies |
//! | `coordinator`, `parallel`, `participant`, `termination`, `reads` | the parts |
//!
//! # Invariants
//!
//! BHG §7.3: AC1, all who decide decide the same; AC2, nobody decides twice; AC3, commit only if all have voted Yes;
//! AC4, if all vote Yes and nothing fails, it is committed; AC5, once failures end, all decide. Beyond these: no lock
//! without an unresolved record; nobody reads what is not decided; what a client has been told is durable.
//!
//! # Caveats
//!
//! * The parallel form of two phases cannot be aborted while a participant's site is down that may have voted.
//! * Two phases block while the coordinator's site is down and no participant knows. If sites are groups, that is
//!   while a majority of one is down.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod contract;
mod coordinator;
mod ids;
mod image;
mod locks;
mod message;
mod parallel;
mod participant;
mod proposals;
mod queue;
mod reads;
mod record;
mod rules;
mod site;
mod state;
mod termination;
mod work;

pub use contract::{Config, Effect, Effects, Event, InDoubt, Outcome, Refusal};
pub use ids::{Age, Ballot, ReadId, Seniority, SiteId, Timestamp, TxnId};
pub use locks::Locks;
pub use message::{Body, Message, Vote};
pub use record::{Decision, Protocol, Reason, Record, Termination};
pub use rules::{Paper, Rules};
pub use site::Site;
pub use work::{Evaluation, OPERATIONS, PARTICIPANTS, Resource, Span, Work};
