//! What the tests share: members, and Zave's invariant.

#![allow(dead_code, reason = "each test uses its part")]

pub mod variants;
pub mod world;

use std::collections::BTreeMap;

use quorate_chord::{Id, Peer, Phase, View};
use quorate_protocol::NodeId;

/// A peer whose address is its place.
pub fn peer(id: u64) -> Peer {
    Peer { id: Id(id), node: NodeId(id) }
}

/// What is wrong with a ring, if anything is: Zave's invariant, and what follows from it, each checked by itself.
///
/// `principals` is how many there must be: r + 1.
pub fn wrong(nodes: &[View], principals: usize) -> Option<String> {
    let members: BTreeMap<Id, &View> =
        nodes.iter().filter(|view| view.phase == Phase::Member).map(|view| (view.own.id, view)).collect();
    members.values().find_map(|view| list_wrong(view)).or_else(|| {
        let next = match best_successors(&members) {
            Ok(next) => next,
            Err(what) => return Some(what),
        };
        let count = members.keys().filter(|id| !members.values().any(|view| skips(view, **id))).count();
        if count < principals {
            return Some(format!("{count} principals, fewer than {principals}"));
        }
        ring_wrong(&next)
    })
}

/// A successor list in order, without repetition, without its owner.
fn list_wrong(view: &View) -> Option<String> {
    let mut after = view.own.id;
    for peer in &view.successors {
        if !peer.id.between(after, view.own.id) {
            return Some(format!("the list of {} is out of order: {:?}", view.own.id.0, view.successors));
        }
        after = peer.id;
    }
    None
}

/// Each member's first live successor; all must have one.
fn best_successors(members: &BTreeMap<Id, &View>) -> Result<BTreeMap<Id, Id>, String> {
    let best = |(id, view): (&Id, &&View)| {
        let live = view.successors.iter().map(|peer| peer.id).find(|id| members.contains_key(id));
        match live.or(view.alone.then_some(*id)) {
            Some(next) => Ok((*id, next)),
            None => Err(format!("{} has no live successor among {:?}", id.0, view.successors)),
        }
    };
    members.iter().map(best).collect()
}

/// Whether a member's extended successor list, itself first, goes past this one.
pub fn skips(view: &View, id: Id) -> bool {
    let mut after = view.own.id;
    view.successors.iter().any(|peer| {
        let skipped = id.between(after, peer.id);
        after = peer.id;
        skipped
    })
}

/// One ring, once round in order, that every member leads to.
fn ring_wrong(next: &BTreeMap<Id, Id>) -> Option<String> {
    let walk = |from: Id| (0..next.len()).fold(from, |at, _| next[&at]);
    // After so many steps every walk is in a cycle.
    let first = walk(*next.keys().next()?);
    let mut cycle = vec![first];
    while next[cycle.last()?] != first {
        cycle.push(next[cycle.last()?]);
    }
    if let Some(other) = next.keys().find(|id| !cycle.contains(&walk(**id))) {
        return Some(format!("{} leads to another ring than {:?}", other.0, cycle));
    }
    let turns = cycle.iter().zip(cycle.iter().cycle().skip(1)).filter(|(from, to)| to <= from).count();
    (turns != 1).then(|| format!("the ring goes round {turns} times: {cycle:?}"))
}

/// Whether the ring is ideal: everybody's pointers are what they would be if all were known.
pub fn ideal(nodes: &[View], limit: usize) -> bool {
    let mut members: Vec<&View> = nodes.iter().filter(|view| view.phase == Phase::Member).collect();
    members.sort_by_key(|view| view.own.id);
    let count = members.len();
    members.iter().enumerate().all(|(at, view)| {
        let after = |by: usize| members[(at + by) % count].own;
        let list: Vec<Peer> = (1..count).map(after).take(limit).collect();
        view.successors == list && view.predecessor == Some(after(count - 1)).filter(|_| count > 1)
    })
}
