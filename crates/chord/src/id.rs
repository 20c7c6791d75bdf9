//! Identifiers on a circle, and what is between what.

use alloc::vec::Vec;

use quorate_protocol::NodeId;
use quorate_protocol::codec::{Decode, Encode, Malformed, Reader, Writer};

/// A place on the circle of 2^64; of a key, or of a node. Whoever makes one hashes the key, or the node's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

impl Id {
    /// How far it is from here to there, going up.
    pub fn distance(self, to: Id) -> u64 {
        to.0.wrapping_sub(self.0)
    }

    /// Whether it is strictly between these two, going up from the first. Between a place and itself is all the rest.
    pub fn between(self, from: Id, to: Id) -> bool {
        let (here, there) = (from.distance(self), from.distance(to));
        here != 0 && (there == 0 || here < there)
    }

    /// Whether it is after `from` and not after `upto`. From a place up to itself is everything.
    pub fn within(self, from: Id, upto: Id) -> bool {
        self == upto || self.between(from, upto)
    }
}

/// A node, and where it is on the circle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Its identifier.
    pub id: Id,
    /// Whom to send to.
    pub node: NodeId,
}

impl Encode for Peer {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.id.0);
        out.u64(self.node.0);
    }
}

impl Decode for Peer {
    fn decode(input: &mut Reader) -> Result<Self, Malformed> {
        Ok(Peer { id: Id(input.u64()?), node: NodeId(input.u64()?) })
    }
}

/// The successor list that this and what follows give a node at `own`: in order, up to where it would come round to the
/// node itself, and at most `limit`. Whatever was sent, the result is a list as it should be.
pub(crate) fn successors(own: Id, peers: impl IntoIterator<Item = Peer>, limit: usize) -> Vec<Peer> {
    let mut list: Vec<Peer> = Vec::new();
    for peer in peers {
        let after = list.last().map_or(own, |last| last.id);
        if list.len() == limit || !peer.id.between(after, own) {
            break;
        }
        list.push(peer);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_goes_round() {
        let [a, b, c] = [Id(u64::MAX - 1), Id(3), Id(9)];
        assert!(b.between(a, c) && c.between(b, a) && a.between(c, b));
        assert!(!b.between(c, a) && !a.between(a, c) && !c.between(a, c));
        assert!(c.within(a, c) && !a.within(a, c) && b.within(c, c) && c.within(c, c));
        assert!(b.between(c, c) && !c.between(c, c));
    }

    #[test]
    fn a_list_is_in_order_and_stops_before_its_owner() {
        let peer = |id| Peer { id: Id(id), node: NodeId(id) };
        let list = |peers: &[u64]| -> Vec<u64> {
            successors(Id(50), peers.iter().map(|id| peer(*id)), 3).iter().map(|peer| peer.id.0).collect()
        };
        assert_eq!(list(&[60, 70, 10, 20]), [60, 70, 10]);
        assert_eq!(list(&[60, 50, 70]), [60]);
        assert_eq!(list(&[60, 55, 70]), [60]);
        assert_eq!(list(&[10, 60]), [10]);
        assert!(list(&[50]).is_empty());
    }
}
