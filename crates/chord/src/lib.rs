//! Chord as a pure value: who holds a key, when no node knows all nodes.
//!
//! Sources: Stoica, Morris, Karger, Kaashoek and Balakrishnan, "Chord: A Scalable Peer-to-peer Lookup Service for
//! Internet Applications" (SIGCOMM 2001), cited as §n; the same with others in IEEE/ACM Transactions on Networking
//! (2003), cited as TON; Zave, "Reasoning about Identifier Spaces: How to Make Chord Correct" (IEEE Transactions on
//! Software Engineering, 2017), cited as Zave. Where they differ, Zave's is done, for the original does not keep
//! its ring.
//!
//! # How their terms map to types
//!
//! | papers | here |
//! |---|---|
//! | identifier | [`Id`]: a place on a circle of 2^64 |
//! | node, with its address | [`Peer`] |
//! | successor list, predecessor (succList, prdc) | [`View`], of [`Chord::view`] |
//! | finger\[i\].node | `fingers`: the successor of the node's own identifier plus 2^i |
//! | find_successor, find_predecessor, closest_preceding_finger | [`Event::Lookup`]; [`Message::Step`], [`Message::Route`] |
//! | join | [`Event::Join`] |
//! | stabilize; notify, which Zave makes rectify | [`Event::Stabilise`], which ticks bring too; [`Message::Notify`] |
//! | fix_fingers | a lookup of its own every `finger_ticks` |
//! | keys that move | [`Effect::Gained`], [`Effect::Given`] |
//! | "query" and its time-out | [`Message::Query`], and `timeout_ticks` for each of `tries` |
//!
//! | module | what |
//! |---|---|
//! | `id` | identifiers, peers, and what is between what |
//! | `contract` | configuration, events, effects |
//! | `message` | what nodes say to each other, and its bytes |
//! | `rules` | what can be got wrong, one method each |
//! | `core` | the node: its state, time, and who handles what |
//! | `ring` | join, stabilise, rectify, leave: everything that changes the ring |
//! | `lookup` | lookups, iterative and recursive |
//! | `fingers` | fingers, and the next step towards a key |
//!
//! # Invariants
//!
//! Zave's, of all members together, as long as no more nodes fail than she allows: every member has a live successor,
//! and there are at least r + 1 *principals*, members that nobody's successor list skips. From these two it follows that
//! there is one ring, in order, and that every member can reach it. Of one node:
//!
//! 1. Its successor list is in the circle's order from itself, has no node twice, never itself, and at most r.
//! 2. Nobody enters the list's front, nor becomes predecessor, who has not just been heard.
//! 3. While it waits for an answer that may change its pointers, nobody is told them: who asks hears [`Message::Busy`].
//!    So every change takes effect, for all who can see, when the answer to it was given.
//!
//! # Caveats
//!
//! * A node that does not answer in time is taken for dead. If it is not, a ring can lose it until it is notified of
//!   itself again; Zave's proof assumes that this does not happen.
//! * While pointers are on their way to the truth, two nodes may both take themselves for responsible for a key. What
//!   is stored so must be able to live with that, as a cache is. It is not a place for a lock.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod contract;
mod core;
mod fingers;
mod id;
mod lookup;
mod message;
mod ring;
mod rules;

pub use crate::core::{Chord, Phase, View};
pub use crate::ring::Reason;
pub use contract::{Config, Effect, Effects, Event, LookupId, Manner, Refusal};
pub use id::{Id, Peer};
pub use message::{Message, Token};
pub use rules::{Corrected, Rules};
