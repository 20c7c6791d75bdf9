//! What nodes say to each other, and its bytes.
//!
//! One variant per message with exactly its own fields; the table of who sends what to whom is in `docs/chord.md`.
//! Nothing that decodes can panic, and no list is longer than [`LIST`].

use alloc::vec::Vec;

use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::id::{Id, Peer};

/// Peers in one message, at most.
pub(crate) const LIST: usize = 256;

/// A question's number, which its answer repeats. Counted from a random start in each life, so that no late answer
/// fits a later question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// What are your pointers? Asked to change one's own by the answer.
    Query {
        /// The question.
        token: Token,
    },
    /// These.
    State {
        /// The question.
        token: Token,
        /// The answerer.
        own: Peer,
        /// Its predecessor, if it knows one.
        predecessor: Option<Peer>,
        /// Its successor list.
        successors: Vec<Peer>,
    },
    /// I am waiting for an answer myself, and my pointers may be about to change. Ask again.
    Busy {
        /// The question.
        token: Token,
    },
    /// I am no member.
    Absent {
        /// The question.
        token: Token,
    },
    /// I take you for my successor; I might be your predecessor.
    Notify {
        /// The sender.
        own: Peer,
    },
    /// One step towards a key: where would you go?
    Step {
        /// The question.
        token: Token,
        /// The key.
        key: Id,
    },
    /// I am the key's predecessor, and these come after me, the first of them being responsible.
    Owner {
        /// The question.
        token: Token,
        /// The answerer.
        own: Peer,
        /// Its successors; empty if it is alone.
        successors: Vec<Peer>,
    },
    /// Ask these, the nearest to the key first.
    Closer {
        /// The question.
        token: Token,
        /// Nodes between the answerer and the key.
        peers: Vec<Peer>,
    },
    /// Find who is responsible and tell the asker.
    Route {
        /// The asker's question.
        token: Token,
        /// Whom it is for: if another lives at the address by now, it goes no further. Otherwise a question could be passed
        /// back, and on and on.
        to: Id,
        /// The asker.
        asker: Peer,
        /// The key.
        key: Id,
        /// How many nodes it went through.
        hops: u32,
    },
    /// The one that was asked for.
    Routed {
        /// The question.
        token: Token,
        /// Who is responsible.
        owner: Peer,
        /// How many nodes the question went through to the owner's predecessor.
        hops: u32,
    },
    /// I leave. These were my neighbours.
    Leaving {
        /// The one who leaves.
        own: Peer,
        /// Its successors.
        successors: Vec<Peer>,
    },
}

impl Encode for Message {
    fn encode(&self, out: &mut Writer) {
        match self {
            Message::Query { token } => tagged(out, 1, *token),
            Message::State { token, own, predecessor, successors } => {
                tagged(out, 2, *token);
                own.encode(out);
                out.bool(predecessor.is_some());
                predecessor.iter().for_each(|peer| peer.encode(out));
                out.list(successors);
            }
            Message::Busy { token } => tagged(out, 3, *token),
            Message::Absent { token } => tagged(out, 4, *token),
            Message::Notify { own } => {
                out.u8(5);
                own.encode(out);
            }
            Message::Step { token, key } => {
                tagged(out, 6, *token);
                out.u64(key.0);
            }
            Message::Owner { token, own, successors } => {
                tagged(out, 7, *token);
                own.encode(out);
                out.list(successors);
            }
            Message::Closer { token, peers } => {
                tagged(out, 8, *token);
                out.list(peers);
            }
            Message::Route { token, to, asker, key, hops } => {
                tagged(out, 9, *token);
                out.u64(to.0);
                asker.encode(out);
                out.u64(key.0);
                out.u32(*hops);
            }
            Message::Routed { token, owner, hops } => {
                tagged(out, 10, *token);
                owner.encode(out);
                out.u32(*hops);
            }
            Message::Leaving { own, successors } => {
                out.u8(11);
                own.encode(out);
                out.list(successors);
            }
        }
    }
}

fn tagged(out: &mut Writer, tag: u8, token: Token) {
    out.u8(tag);
    out.u64(token.0);
}

impl Decode for Message {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        let tag = input.u8()?;
        if matches!(tag, 5 | 11) {
            let own = Peer::decode(input)?;
            return Ok(match tag {
                5 => Message::Notify { own },
                _ => Message::Leaving { own, successors: peers(input)? },
            });
        }
        let token = Token(input.u64()?);
        Ok(match tag {
            1 => Message::Query { token },
            2 => {
                let own = Peer::decode(input)?;
                let predecessor = if input.bool()? { Some(Peer::decode(input)?) } else { None };
                Message::State { token, own, predecessor, successors: peers(input)? }
            }
            3 => Message::Busy { token },
            4 => Message::Absent { token },
            6 => Message::Step { token, key: Id(input.u64()?) },
            7 => Message::Owner { token, own: Peer::decode(input)?, successors: peers(input)? },
            8 => Message::Closer { token, peers: peers(input)? },
            9 => {
                let (to, asker, key) = (Id(input.u64()?), Peer::decode(input)?, Id(input.u64()?));
                Message::Route { token, to, asker, key, hops: input.u32()? }
            }
            10 => Message::Routed { token, owner: Peer::decode(input)?, hops: input.u32()? },
            _ => return Err(Malformed("chord message")),
        })
    }
}

fn peers(input: &mut Reader) -> Result<Vec<Peer>, Malformed> {
    let peers: Vec<Peer> = input.list()?;
    if peers.len() > LIST {
        return Err(Malformed("chord peers"));
    }
    Ok(peers)
}
