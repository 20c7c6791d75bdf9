//! What the tests share: members, and how they look to Zave's invariant.

#![allow(dead_code, reason = "each test uses its part")]

pub mod variants;
pub mod world;

use quorate_checker::chord_ring::{self, Node};
use quorate_chord::{Id, Peer, Phase, View};
use quorate_protocol::NodeId;

/// A peer whose address is its place.
pub fn peer(id: u64) -> Peer {
    Peer { id: Id(id), node: NodeId(id) }
}

/// A view as the invariant takes it.
pub fn node(view: &View) -> Node {
    Node {
        id: view.own.id.0,
        member: view.phase == Phase::Member,
        alone: view.alone,
        predecessor: view.predecessor.map(|peer| peer.id.0),
        successors: view.successors.iter().map(|peer| peer.id.0).collect(),
    }
}

pub fn nodes(views: &[View]) -> Vec<Node> {
    views.iter().map(node).collect()
}

/// What is wrong with a ring, if anything is. `principals` is how many there must be: r + 1.
pub fn wrong(views: &[View], principals: usize) -> Option<String> {
    chord_ring::check(&nodes(views), principals).err().map(|violation| violation.detail)
}

/// Whether the ring is ideal: everybody's pointers are what they would be if all were known.
pub fn ideal(views: &[View], limit: usize) -> bool {
    chord_ring::ideal(&nodes(views), limit)
}
