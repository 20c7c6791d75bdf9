//! Questions between nodes that need no log.
//!
//! Leases are kept alive by the leader alone, in memory (etcd does the same): a follower that a client asks
//! passes the question on and relays the answer. Which learner has caught up is known to the leader alone as well.
//! A node that is to join knows neither its id nor its cluster's; it asks as a [stranger](crate::Hello::stranger),
//! and may ask only what [`Ask::is_for_strangers`] allows.
//!
//! A question may be lost with its connection; asking again is harmless. Layout: a tag byte, then the fields.

use quorate_kv::Member;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

use crate::command::{put_count, put_strings, take_list, take_string, take_strings};

/// A question to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Start the lease's time to live anew.
    LeaseRenew {
        /// The lease.
        id: i64,
    },
    /// How long the lease has left.
    LeaseRemaining {
        /// The lease.
        id: i64,
    },
    /// Which release the node runs.
    Probe,
    /// Who is in the cluster.
    Members,
    /// Whether a learner has caught up with the leader, so that it may be promoted. Only the leader knows.
    InSync {
        /// The learner.
        id: u64,
    },
    /// The asking node was this member, and lost its disk: give it a new identity. Asked again, the answer is the
    /// identity given before, for as long as it has the URLs. To be refused while that member is heard from: it runs
    /// somewhere, and this is a mistake.
    ReplaceLost {
        /// The member that is lost.
        old: u64,
        /// Its peer URLs, which prove nothing and keep mistakes apart.
        peer_urls: Vec<String>,
    },
}

impl Ask {
    /// Whether it is answered to nodes that are not (or not yet) members.
    pub fn is_for_strangers(&self) -> bool {
        matches!(self, Ask::Probe | Ask::Members | Ask::ReplaceLost { .. })
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::LeaseRenew`].
    Renewed {
        /// Seconds to live, granted.
        ttl: i64,
    },
    /// To [`Ask::LeaseRemaining`].
    Remaining {
        /// Seconds left.
        remaining: i64,
        /// Seconds granted.
        granted: i64,
    },
    /// There is no such lease, or no such member.
    NotFound,
    /// Only the leader knows; this node is not it.
    NotLeader,
    /// To [`Ask::Probe`].
    Version {
        /// The release, as `1.2.3`.
        version: String,
    },
    /// The question is unknown to this release.
    Unsupported,
    /// To [`Ask::Members`].
    Members(Roster),
    /// To [`Ask::InSync`].
    InSync {
        /// Whether it has.
        ready: bool,
    },
    /// To [`Ask::ReplaceLost`].
    Replaced {
        /// The cluster.
        cluster: u64,
        /// The node's id from now on.
        id: u64,
    },
    /// The question was understood and is not granted.
    Refused {
        /// What to tell the operator.
        why: String,
    },
}

/// A cluster and who is in it, as the answering node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The cluster.
    pub cluster: u64,
    /// The consensus protocol it runs, by name.
    pub protocol: String,
    /// The leader, if known; 0 if not.
    pub leader: u64,
    /// The members, by id.
    pub members: Vec<Member>,
    /// The ids of former members.
    pub removed: Vec<u64>,
}

fn put_member(out: &mut Writer, member: &Member) {
    out.u64(member.id);
    out.slice(member.name.as_bytes());
    put_strings(out, &member.peer_urls);
    put_strings(out, &member.client_urls);
    out.bool(member.is_learner);
    out.bool(member.is_returning);
}

fn take_member(input: &mut Reader) -> Result<Member, Malformed> {
    Ok(Member {
        id: input.u64()?,
        name: take_string(input)?,
        peer_urls: take_strings(input)?,
        client_urls: take_strings(input)?,
        is_learner: input.bool()?,
        is_returning: input.bool()?,
    })
}

impl Encode for Roster {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.cluster);
        out.slice(self.protocol.as_bytes());
        out.u64(self.leader);
        put_count(out, self.members.len());
        self.members.iter().for_each(|member| put_member(out, member));
        put_count(out, self.removed.len());
        self.removed.iter().for_each(|id| out.u64(*id));
    }
}

impl Decode for Roster {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Roster {
            cluster: input.u64()?,
            protocol: take_string(input)?,
            leader: input.u64()?,
            members: take_list(input, take_member)?,
            removed: take_list(input, |input| input.u64())?,
        })
    }
}

impl Encode for Ask {
    fn encode(&self, out: &mut Writer) {
        match self {
            Ask::LeaseRenew { id } => {
                out.u8(1);
                out.i64(*id);
            }
            Ask::LeaseRemaining { id } => {
                out.u8(2);
                out.i64(*id);
            }
            Ask::Probe => out.u8(3),
            Ask::Members => out.u8(4),
            Ask::InSync { id } => {
                out.u8(5);
                out.u64(*id);
            }
            Ask::ReplaceLost { old, peer_urls } => {
                out.u8(6);
                out.u64(*old);
                put_strings(out, peer_urls);
            }
        }
    }
}

impl Decode for Ask {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            1 => Ask::LeaseRenew { id: input.i64()? },
            2 => Ask::LeaseRemaining { id: input.i64()? },
            3 => Ask::Probe,
            4 => Ask::Members,
            5 => Ask::InSync { id: input.u64()? },
            6 => Ask::ReplaceLost { old: input.u64()?, peer_urls: take_strings(input)? },
            _ => return Err(Malformed("question: unknown kind")),
        })
    }
}

impl Encode for Answer {
    fn encode(&self, out: &mut Writer) {
        match self {
            Answer::Renewed { ttl } => {
                out.u8(1);
                out.i64(*ttl);
            }
            Answer::Remaining { remaining, granted } => {
                out.u8(2);
                out.i64(*remaining);
                out.i64(*granted);
            }
            Answer::NotFound => out.u8(3),
            Answer::NotLeader => out.u8(4),
            Answer::Version { version } => {
                out.u8(5);
                out.slice(version.as_bytes());
            }
            Answer::Unsupported => out.u8(6),
            Answer::Members(roster) => {
                out.u8(7);
                roster.encode(out);
            }
            Answer::InSync { ready } => {
                out.u8(8);
                out.bool(*ready);
            }
            Answer::Replaced { cluster, id } => {
                out.u8(9);
                out.u64(*cluster);
                out.u64(*id);
            }
            Answer::Refused { why } => {
                out.u8(10);
                out.slice(why.as_bytes());
            }
        }
    }
}

impl Decode for Answer {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(match input.u8()? {
            1 => Answer::Renewed { ttl: input.i64()? },
            2 => Answer::Remaining { remaining: input.i64()?, granted: input.i64()? },
            3 => Answer::NotFound,
            4 => Answer::NotLeader,
            5 => Answer::Version { version: take_string(input)? },
            6 => Answer::Unsupported,
            7 => Answer::Members(Roster::decode(input)?),
            8 => Answer::InSync { ready: input.bool()? },
            9 => Answer::Replaced { cluster: input.u64()?, id: input.u64()? },
            10 => Answer::Refused { why: take_string(input)? },
            _ => return Err(Malformed("answer: unknown kind")),
        })
    }
}
