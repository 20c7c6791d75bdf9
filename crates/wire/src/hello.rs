//! The handshake: who speaks, to whom, of which cluster.
//!
//! Both ends send a [`Hello`] first and check the other's with [`Hello::check`] before they believe anything
//! else. This is what keeps a node with a mistyped address or a stale disk from voting in somebody else's
//! cluster. The incarnation grows with every start of a node, so that an end can tell a new life of its peer
//! from a second connection of the same one.
//!
//! A node that is to join a cluster knows neither its own id nor the cluster's. It greets as a
//! [stranger](Hello::stranger), with zeros, and is answered by a hello to node 0; it is no peer, and may only
//! [ask](crate::ask). A node that has been removed is told so in the hello that answers its own, since it may have
//! no other way to learn it: those that remain do not speak to it any more.
//!
//! The version comes first in the layout and is checked before the rest is read, so that later versions may
//! change everything after it.

use bytes::Bytes;
use quorate_protocol::NodeId;
use quorate_protocol::codec::{Malformed, Reader, Writer};

use crate::command::take_string;

/// The version of everything nodes say to each other.
pub const WIRE_VERSION: u32 = 2;

/// The first packet in each direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The consensus protocol, by name.
    pub protocol: String,
    /// The cluster spoken for; 0 from a stranger.
    pub cluster: u64,
    /// The node that speaks; 0 for a stranger.
    pub from: NodeId,
    /// The node it means to speak to; 0 from and to a stranger.
    pub to: NodeId,
    /// Counts the lives of `from`; greater is later.
    pub incarnation: u64,
    /// As far as `from` knows, `to` has been removed from the cluster.
    pub removed: bool,
}

/// What an end knows of itself when it checks the other's hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local<'a> {
    /// The consensus protocol it runs.
    pub protocol: &'a str,
    /// Its cluster.
    pub cluster: u64,
    /// Itself.
    pub node: NodeId,
    /// The node it dialled; none on the accepting end, which takes any.
    pub dialled: Option<NodeId>,
}

/// Why a peer is turned away. No state changes; dialling again helps only after the cause is mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Another version.
    #[error(
        "the peer speaks version {theirs} of the peer protocol, this node version {WIRE_VERSION}: \
         run releases that share a version"
    )]
    Version {
        /// The peer's.
        theirs: u32,
    },
    /// Another consensus protocol.
    #[error(
        "member {from:x} runs {theirs}, this node runs {ours}: start all members with the same --protocol"
    )]
    Protocol {
        /// Who speaks.
        from: u64,
        /// What it runs.
        theirs: String,
        /// What this node runs.
        ours: String,
    },
    /// Another cluster.
    #[error(
        "member {from:x} belongs to cluster {theirs:x}, this node to cluster {ours:x}: most likely \
         --initial-cluster, --initial-cluster-token or --write-quorum differs between the two, or one of them kept \
         the data directory of an earlier cluster"
    )]
    Cluster {
        /// Who speaks.
        from: u64,
        /// Its cluster.
        theirs: u64,
        /// This node's.
        ours: u64,
    },
    /// The address belongs to somebody else.
    #[error("this address belongs to member {actual:x}, not {meant:x}: check --initial-cluster")]
    WrongTarget {
        /// Whom the dialling end meant.
        meant: u64,
        /// Whom it reached.
        actual: u64,
    },
    /// A node reached itself, or two nodes carry one id.
    #[error(
        "member {0:x} is greeted by a member with its own id: a peer URL in --initial-cluster leads back to \
         it, or a copy of its data directory runs elsewhere"
    )]
    SameId(u64),
    /// The peer says that this node is no member any more. It cannot become one again under this id.
    #[error(
        "member {by:x} says that this member, {me:x}, has been removed from cluster {cluster:x}: to join again, \
         add it with `member add` and start it with an empty data directory and --initial-cluster-state=existing"
    )]
    Removed {
        /// Who says so.
        by: u64,
        /// This node.
        me: u64,
        /// The cluster.
        cluster: u64,
    },
    /// The peer is a stranger: somebody to answer questions of, and no peer.
    #[error("the peer is no member (yet): it may only ask questions")]
    Stranger,
    /// The bytes make no sense.
    #[error("the peer's greeting is {0}: it is not a Quorate node, or the stream was damaged")]
    Malformed(#[from] Malformed),
}

impl Hello {
    /// The greeting of a node that is no member and knows no cluster.
    pub fn stranger(protocol: &str, incarnation: u64) -> Hello {
        let (protocol, nobody) = (protocol.to_owned(), NodeId(0));
        Hello { protocol, cluster: 0, from: nobody, to: nobody, incarnation, removed: false }
    }

    /// Whether it is a stranger's.
    pub fn is_stranger(&self) -> bool {
        self.from.0 == 0
    }

    /// Its bytes.
    pub fn encode(&self, out: &mut Writer) {
        out.u32(WIRE_VERSION);
        out.slice(self.protocol.as_bytes());
        out.u64(self.cluster);
        out.u64(self.from.0);
        out.u64(self.to.0);
        out.u64(self.incarnation);
        out.bool(self.removed);
    }

    /// Read it back.
    ///
    /// # Errors
    /// [`HelloError::Version`] or [`HelloError::Malformed`].
    pub fn decode(payload: Bytes) -> Result<Hello, HelloError> {
        let mut input = Reader::new(payload);
        let theirs = input.u32()?;
        if theirs != WIRE_VERSION {
            return Err(HelloError::Version { theirs });
        }
        let hello = Hello {
            protocol: take_string(&mut input)?,
            cluster: input.u64()?,
            from: NodeId(input.u64()?),
            to: NodeId(input.u64()?),
            incarnation: input.u64()?,
            removed: input.bool()?,
        };
        if hello.is_stranger() && (hello.cluster != 0 || hello.to.0 != 0 || hello.removed) {
            return Err(Malformed("hello: a stranger knows the cluster").into());
        }
        match input.remaining() {
            0 => Ok(hello),
            _ => Err(Malformed("hello: trailing bytes").into()),
        }
    }

    /// Whether its sender is somebody to talk to.
    ///
    /// # Errors
    /// The first thing that is wrong. The cluster is looked at before the addressee: with two clusters mixed
    /// up, the ids say nothing.
    pub fn check(&self, local: &Local<'_>) -> Result<(), HelloError> {
        let from = self.from.0;
        if self.is_stranger() {
            return Err(HelloError::Stranger);
        }
        if self.cluster != local.cluster {
            return Err(HelloError::Cluster { from, theirs: self.cluster, ours: local.cluster });
        }
        if self.protocol != local.protocol {
            let (theirs, ours) = (self.protocol.clone(), local.protocol.to_owned());
            return Err(HelloError::Protocol { from, theirs, ours });
        }
        if self.from == local.node {
            return Err(HelloError::SameId(from));
        }
        match local.dialled {
            Some(meant) if meant != self.from => {
                Err(HelloError::WrongTarget { meant: meant.0, actual: from })
            }
            _ if self.to != local.node => {
                Err(HelloError::WrongTarget { meant: self.to.0, actual: local.node.0 })
            }
            _ if self.removed => {
                Err(HelloError::Removed { by: from, me: local.node.0, cluster: local.cluster })
            }
            _ => Ok(()),
        }
    }
}
