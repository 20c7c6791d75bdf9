//! Fingers, and the next step towards a key.
//!
//! Source: §4.3, definition 1 and figure 4; §4.4, fix_fingers. The i-th finger is the successor of the node's own
//! identifier plus 2^i, i from 0 to 63. Each step by the best finger at least halves the distance to the key's
//! predecessor, so there are about ½ log₂ N of them on average.

use alloc::vec::Vec;

use crate::contract::Effects;
use crate::core::Chord;
use crate::id::{Id, Peer};
use crate::rules::Rules;

/// Fingers of a node, for identifiers of 64 bits.
const FINGERS: u8 = 64;

/// Nodes that a step names, at most.
const NAMED: usize = 4;

/// A node's fingers.
///
/// Invariant: they lead somewhere between the node and itself, all the way round; that they are the right ones is
/// what `fix_finger` works at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fingers {
    /// Runs of equal fingers: the number of the first, and where it leads. A node among N has about log₂ N of them.
    runs: Vec<(u8, Option<Peer>)>,
    /// The one to be fixed next.
    next: u8,
}

/// Where the i-th finger begins.
fn start(own: Id, number: u8) -> Id {
    Id(own.0.wrapping_add(1 << number))
}

impl Fingers {
    /// All of them, among members in the order of their identifiers.
    pub fn of(own: Id, members: &[Peer]) -> Self {
        let mut fingers = Fingers::default();
        for number in 0..FINGERS {
            let from = start(own, number);
            let at = members.partition_point(|peer| peer.id < from);
            let peer = members.get(at).or(members.first()).filter(|peer| peer.id != own).copied();
            fingers.push(number, peer);
        }
        fingers
    }

    fn push(&mut self, number: u8, peer: Option<Peer>) {
        if self.runs.last().is_none_or(|(_, last)| *last != peer) {
            self.runs.push((number, peer));
        }
    }

    /// The fingers, from the 0th.
    pub fn iter(&self) -> impl Iterator<Item = Option<Peer>> {
        let ends = self.runs.iter().skip(1).map(|(number, _)| *number).chain([FINGERS]);
        self.runs
            .iter()
            .zip(ends)
            .flat_map(|((from, peer), end)| core::iter::repeat_n(*peer, usize::from(end - from)))
            .chain(core::iter::repeat(None))
            .take(usize::from(FINGERS))
    }

    /// A finger has been found; so are those after it that begin before where it leads.
    pub fn set(&mut self, own: Id, number: u8, peer: Peer) {
        let reaches = |other: u8| other >= number && start(own, other).within(own, peer.id);
        let peer_is_other = peer.id != own;
        let all: Vec<Option<Peer>> = self.iter().collect();
        self.runs.clear();
        for (other, known) in (0..FINGERS).zip(all) {
            let found = other == number || (peer_is_other && reaches(other));
            self.push(other, if found { Some(peer).filter(|_| peer_is_other) } else { known });
        }
    }

    /// A node is dead: no finger leads there any more.
    pub fn forget(&mut self, peer: Peer) {
        if self.runs.iter().any(|(_, known)| *known == Some(peer)) {
            let runs = core::mem::take(&mut self.runs);
            runs.into_iter()
                .for_each(|(number, known)| self.push(number, known.filter(|known| *known != peer)));
        }
    }
}

/// The next step towards a key.
pub(crate) enum Next {
    /// This node is its predecessor.
    Owner,
    /// These are nearer, the nearest first.
    Closer(Vec<Peer>),
}

impl<R: Rules> Chord<R> {
    /// Where a lookup goes from here: closest_preceding_finger, and the next best.
    pub(crate) fn next(&self, key: Id) -> Next {
        let own = self.config.own.id;
        let Some(head) = self.successors.first() else { return Next::Owner };
        if key.within(own, head.id) {
            return Next::Owner;
        }
        let count = if R::uses_fingers() && R::uses_successors() { self.successors.len() } else { 1 };
        let runs = self.fingers.runs.iter().filter(|_| R::uses_fingers()).filter_map(|(_, peer)| *peer);
        // Both are in order, so the nearest to the key are the last before it.
        let nearest = |peers: &mut dyn DoubleEndedIterator<Item = Peer>| -> Vec<Peer> {
            peers.rev().filter(|peer| peer.id.between(own, key)).take(NAMED).collect()
        };
        let mut peers = nearest(&mut self.successors[..count].iter().copied());
        peers.extend(nearest(&mut { runs }));
        peers.sort_unstable_by_key(|peer| (peer.id.distance(key), peer.node));
        peers.dedup();
        peers.truncate(NAMED);
        Next::Closer(peers)
    }

    /// Finds out where the next finger should lead.
    pub(crate) fn fix_finger(&mut self, effects: &mut Effects) {
        let own = self.config.own.id;
        let Some(head) = self.successors.first().copied() else { return };
        // Those that begin before the first successor lead to it, and need no lookup.
        let first = (0..FINGERS).find(|number| !start(own, *number).within(own, head.id)).unwrap_or(FINGERS);
        if first > 0 {
            self.fingers.set(own, 0, head);
        }
        if first == FINGERS || !R::uses_fingers() {
            return;
        }
        let number =
            if self.fingers.next < first || self.fingers.next >= FINGERS { first } else { self.fingers.next };
        self.fingers.next = number + 1;
        self.look_up_finger(number, start(own, number), effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_protocol::NodeId;

    fn peer(id: u64) -> Peer {
        Peer { id: Id(id), node: NodeId(id) }
    }

    #[test]
    fn fingers_are_the_successors_of_powers_of_two() {
        // Figure 3 (b) of the paper: nodes 0, 1 and 3 of eight; here of 2^64, on the same lower three bits.
        let members = [peer(0), peer(1), peer(3)];
        let of = |own| Fingers::of(Id(own), &members).iter().map(|peer| peer.map(|peer| peer.id.0)).collect();
        let zero: Vec<Option<u64>> = of(0);
        assert_eq!(zero[..3], [Some(1), Some(3), None], "the last leads back to the node itself");
        let one: Vec<Option<u64>> = of(1);
        assert_eq!(one[..3], [Some(3), Some(3), Some(0)]);
        let three: Vec<Option<u64>> = of(3);
        assert_eq!((three.len(), three[0], three[63]), (64, Some(0), Some(0)));
    }

    #[test]
    fn what_is_found_settles_the_fingers_that_begin_before_it() {
        let mut fingers = Fingers::default();
        fingers.set(Id(0), 2, peer(17));
        let known: Vec<usize> =
            fingers.iter().enumerate().filter(|(_, peer)| peer.is_some()).map(|(at, _)| at).collect();
        assert_eq!(known, [2, 3, 4], "4, 8 and 16 are before 17");
        fingers.set(Id(0), 3, peer(9));
        assert_eq!(fingers.iter().nth(2), Some(Some(peer(17))));
        assert_eq!(fingers.iter().nth(3), Some(Some(peer(9))));
        assert_eq!(fingers.iter().nth(4), Some(Some(peer(17))));
        fingers.forget(peer(9));
        assert_eq!(fingers.iter().nth(3), Some(None));
        assert_eq!(fingers.iter().count(), 64);
    }
}
