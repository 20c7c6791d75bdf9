//! Placement as pure values: which nodes are responsible for a key.
//!
//! Four ways to answer, behind one trait ([`Placement`]), so that one suite of tests runs over all of them:
//!
//! | type | source | lookup | weights | what leaves a node that stays when another joins or leaves |
//! |---|---|---|---|---|
//! | [`Ring`] | Karger and others, "Consistent Hashing and Random Trees" (STOC 1997); virtual nodes as in Stoica and others (2001) and Dynamo (DeCandia and others, SOSP 2007) | one step, on average | yes | nothing but what the newcomer takes |
//! | [`Rendezvous`] | Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998) | O(nodes) | yes | the same |
//! | [`Jump`] | Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014) | O(log nodes) | no | the same if the last one leaves; twice that otherwise |
//! | [`Maglev`] | Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016) | one look-up | yes | a few keys more |
//!
//! Beside them, [`Bounded`]: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018),
//! for directories in which no node may get more than its share and a little.
//!
//! | module | what |
//! |---|---|
//! | `hash` | the hash function, stable for ever |
//! | `placement` | nodes, keys, zones, the trait, and preference lists spread over zones |
//! | `ring`, `rendezvous`, `jump`, `maglev` | the methods |
//! | `bounded` | bounded loads over the ring |
//!
//! # Invariants
//!
//! 1. The answer is a function of the key and the *set* of nodes; the order in which they came matters only to
//!    [`Jump`], whose nodes are numbered. So is a bounded directory: whatever its history, it looks the same.
//! 2. Nothing but integers and IEEE 754's basic operations, whose results the standard fixes to the last bit, so
//!    every platform answers the same, in this version and later ones. Golden vectors in the tests hold it to that.
//! 3. A preference list names each node once, has as many as were asked for while there are any, and takes two of
//!    one zone only when every other zone that still has nodes has as many already.
//!
//! # Caveats
//!
//! * The hash is no secret. Whoever chooses keys can choose ones that fall on one node.
//! * `f64` must be IEEE 754 without excess precision, as it is on every target but 32-bit x86 without SSE2.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bounded;
mod hash;
mod jump;
mod maglev;
mod placement;
mod rendezvous;
mod ring;

pub use bounded::{Bounded, Factor, Move};
pub use hash::{mix, xxh64};
pub use jump::{Jump, jump};
pub use maglev::{Maglev, fill};
pub use placement::{Key, Node, Placement, Refused, Zone};
pub use rendezvous::Rendezvous;
pub use ring::{Ring, token};
