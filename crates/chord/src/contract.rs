//! Events in, effects out.
//!
//! The node is a value with one mutation, [`Chord::step`](crate::Chord::step). It has no clock (ticks are events), no
//! socket and no source of chance but a seed. Messages may be lost, delayed, repeated and reordered; what is lost is
//! asked again or given up. Nothing is durable: a node that restarts joins anew.

use alloc::vec::Vec;

use quorate_protocol::NodeId;

use crate::id::{Id, Peer};
use crate::message::Message;

/// How a node is set up. Ticks are the host's.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Itself.
    pub own: Peer,
    /// The length r of its successor list: 2 log₂ of the nodes expected is ample (TON §V.A.3 proves it for O(log n)).
    pub successors: usize,
    /// Ticks between two rounds of stabilising, on average; each wait is drawn from half to one and a half of it. 0 if
    /// only [`Event::Stabilise`] is to begin one.
    pub stabilise_ticks: u32,
    /// Ticks between fixing two fingers, drawn likewise. 0 for never.
    pub finger_ticks: u32,
    /// Ticks after which an answer is not waited for any more.
    pub timeout_ticks: u32,
    /// How often a query is sent before the one who does not answer is taken for dead.
    pub tries: u32,
    /// Lookups under way at once, at most; more are refused.
    pub max_lookups: usize,
}

impl Config {
    /// The defaults of this house, at ten ticks a second: stabilise every three seconds, fix a finger every second, and take
    /// who has not answered three times within a second for dead.
    pub fn new(own: Peer, successors: usize) -> Self {
        Config {
            own,
            successors,
            stabilise_ticks: 30,
            finger_ticks: 10,
            timeout_ticks: 10,
            tries: 3,
            max_lookups: 1_024,
        }
    }
}

/// A caller's name for a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// How to look up (§6.2: "iterative or recursive").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manner {
    /// The asker asks one node after the other: twice the messages, but it sees who does not answer, and goes round.
    Iterative,
    /// Each node passes the question on; the last one answers. What is lost on the way is asked iteratively.
    Recursive,
}

/// What a host tells a node.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A message has arrived.
    Receive {
        /// Its sender, as the transport knows it.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// Become a member, through this one.
    Join(NodeId),
    /// Begin a round of stabilising now, if none is under way.
    Stabilise,
    /// Who is responsible for this?
    Lookup {
        /// The caller's name for it.
        lookup: LookupId,
        /// The key's place.
        key: Id,
        /// How.
        manner: Manner,
    },
    /// Tell the neighbours, give the keys away, and be gone.
    Leave,
}

/// Why something was not done. Nothing was changed; asking again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node is no member.
    NotMember,
    /// As many lookups as are allowed are under way.
    TooMany,
    /// Nobody answered who could have told.
    NoAnswer,
    /// Another member has the same identifier: choose another.
    Taken,
}

/// What a node asks of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a message; it may be lost.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// The lookup's answer.
    Found {
        /// The lookup.
        lookup: LookupId,
        /// Who is responsible.
        owner: Peer,
        /// How many nodes were gone through from here to the owner's predecessor; 0 if that is this node.
        hops: u32,
        /// How many did not answer on the way.
        timeouts: u32,
    },
    /// The lookup has no answer.
    Failed {
        /// The lookup.
        lookup: LookupId,
        /// Why.
        why: Refusal,
    },
    /// This node is a member now.
    Joined,
    /// Joining failed.
    JoinFailed(Refusal),
    /// Keys after `from`, up to and including `upto`, are this node's now. On joining they are still at `at`, if it
    /// is known; where that one died, they are where copies are.
    Gained {
        /// After this.
        from: Id,
        /// Up to this.
        upto: Id,
        /// Who had them.
        at: Option<Peer>,
    },
    /// Keys after `from`, up to and including `upto`, are `to`'s now: hand them over.
    Given {
        /// After this.
        from: Id,
        /// Up to this.
        upto: Id,
        /// Whose they are.
        to: Peer,
    },
    /// No successor is left: this node is no member any more, and should join anew.
    Lost,
    /// This node has left.
    Left,
}

/// The effects of a step, in order.
pub type Effects = Vec<Effect>;
