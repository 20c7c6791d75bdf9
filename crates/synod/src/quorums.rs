//! Who suffices.
//!
//! It takes some acceptors to choose a value and some to begin a ballot. All that safety needs is that any of the former meet
//! any of the latter ("Flexible Paxos", 2016); that majorities meet is one way to have that.

use quorate_protocol::{Membership, NodeId};

/// The sets of acceptors that suffice.
pub trait Quorums {
    /// Whether those for which `holds` suffice to begin a ballot: they meet all that suffice to choose.
    fn elects(&self, holds: impl Fn(NodeId) -> bool) -> bool;

    /// Whether those for which `holds` suffice to choose a value.
    fn chooses(&self, holds: impl Fn(NodeId) -> bool) -> bool;
}

/// The voters of a group are its acceptors.
impl Quorums for Membership {
    fn elects(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        Membership::elects(self, holds)
    }

    fn chooses(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        Membership::chooses(self, holds)
    }
}
