//! Property **ChordRing**: every member has a live successor, there are at least r + 1 principals, and so there is one ring, in
//! order, that every member leads to.
//!
//! Source: Zave, "Reasoning about Identifier Spaces: How to Make Chord Correct" (IEEE Transactions on Software Engineering 2017):
//! the invariant is her theorem's; what follows from it is checked by itself, so that a mistake in either shows. It holds as long as
//! nobody alive is taken for dead, and nobody goes whose going would break it: [`may_go`] says whether that is so.
//!
//! Places are numbers on a circle. A node changes its pointers upon an answer, and until the answer arrives tells
//! nobody of them: whoever has messages on their way gives the nodes as they will be when the answers have arrived.

use crate::Violation;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

const PROPERTY: &str = "ChordRing";

/// A look at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its place.
    pub id: u64,
    /// Whether it is a member; others do not count.
    pub member: bool,
    /// Whether it is its own successor, knowing nobody else.
    pub alone: bool,
    /// Its predecessor, if it knows one.
    pub predecessor: Option<u64>,
    /// Its successor list.
    pub successors: Vec<u64>,
}

/// Whether `place` is met on the way round from `from`, before `upto`; all the way round if they are the same.
fn between(place: u64, from: u64, upto: u64) -> bool {
    let to = |other: u64| other.wrapping_sub(from);
    place != from && place != upto && (from == upto || to(place) < to(upto))
}

/// The invariant, with what follows from it. `principals` is how many there must be: r + 1.
pub fn check(nodes: &[Node], principals: usize) -> Result<(), Violation> {
    let members = members(nodes);
    wrong(&members, principals).map_or(Ok(()), |what| Err(Violation::new(PROPERTY, what)))
}

/// Whether a member may fail or leave within the theorem's assumptions. `principals` are how many there must be without it.
pub fn may_go(nodes: &[Node], gone: u64, principals: usize) -> bool {
    let mut members = members(nodes);
    members.remove(&gone);
    best_successors(&members).is_ok() && count_principals(&members) >= principals
}

/// Whether the ring is ideal: everybody's pointers are what they would be if all were known. `limit` is the length of a
/// whole successor list.
pub fn ideal(nodes: &[Node], limit: usize) -> bool {
    let members: Vec<&Node> = members(nodes).into_values().collect();
    let count = members.len();
    members.iter().enumerate().all(|(at, node)| {
        let after = |by: usize| members[(at + by) % count].id;
        let list: Vec<u64> = (1..count).map(after).take(limit).collect();
        node.successors == list && node.predecessor == Some(after(count - 1)).filter(|_| count > 1)
    })
}

type Members<'a> = BTreeMap<u64, &'a Node>;

fn members(nodes: &[Node]) -> Members<'_> {
    nodes.iter().filter(|node| node.member).map(|node| (node.id, node)).collect()
}

fn wrong(members: &Members, principals: usize) -> Option<String> {
    if let Some(what) = members.values().find_map(|node| list_wrong(node)) {
        return Some(what);
    }
    let next = match best_successors(members) {
        Ok(next) => next,
        Err(what) => return Some(what),
    };
    let count = count_principals(members);
    if count < principals {
        return Some(format!("{count} principals, fewer than {principals}"));
    }
    ring_wrong(&next)
}

/// A successor list in order, without repetition, without its owner.
fn list_wrong(node: &Node) -> Option<String> {
    let mut after = node.id;
    for place in &node.successors {
        if !between(*place, after, node.id) {
            return Some(format!("the list of {} is out of order: {:?}", node.id, node.successors));
        }
        after = *place;
    }
    None
}

/// Each member's first live successor; all must have one.
fn best_successors(members: &Members) -> Result<BTreeMap<u64, u64>, String> {
    let best = |(id, node): (&u64, &&Node)| {
        let live = node.successors.iter().copied().find(|id| members.contains_key(id));
        match live.or(node.alone.then_some(*id)) {
            Some(next) => Ok((*id, next)),
            None => Err(format!("{id} has no live successor among {:?}", node.successors)),
        }
    };
    members.iter().map(best).collect()
}

/// How many members nobody's extended successor list, itself first, goes past.
fn count_principals(members: &Members) -> usize {
    members.keys().filter(|id| !members.values().any(|node| skips(node, **id))).count()
}

/// Whether a member's extended successor list goes past this place.
fn skips(node: &Node, id: u64) -> bool {
    let mut after = node.id;
    node.successors.iter().any(|place| {
        let skipped = between(id, after, *place);
        after = *place;
        skipped
    })
}

/// One ring, once round in order, that every member leads to.
fn ring_wrong(next: &BTreeMap<u64, u64>) -> Option<String> {
    let step = |at: u64| next.get(&at).copied().unwrap_or(at);
    // After as many steps as there are members every walk is in a cycle.
    let walk = |from: u64| (0..next.len()).fold(from, |at, _| step(at));
    let first = walk(*next.keys().next()?);
    let mut cycle = vec![first];
    let mut at = step(first);
    while at != first {
        cycle.push(at);
        at = step(at);
    }
    if let Some(other) = next.keys().find(|id| !cycle.contains(&walk(**id))) {
        return Some(format!("{other} leads to another ring than {cycle:?}"));
    }
    let turns = cycle.iter().zip(cycle.iter().cycle().skip(1)).filter(|(from, to)| to <= from).count();
    (turns != 1).then(|| format!("the ring goes round {turns} times: {cycle:?}"))
}
