//! What the properties see of a node, in numbers.

use bytes::Bytes;
use quorate_protocol::codec::{Encode, Writer};
use quorate_protocol::{Ballot, Entry, Index, NodeId, Role};

use crate::ghost::Seen;
use crate::intern::Interner;
use crate::node::{Core, Node, rank, tell_entry};
use crate::world::NODES;

/// An entry's number: of all of it, or without its ballot where that is rewritten in place.
pub(crate) fn entry_number<C: Core>(entries: &mut Interner<Bytes, Entry>, entry: &Entry) -> u32 {
    let mut entry = entry.clone();
    if C::CAPS.sparse_log {
        entry.id.ballot = Ballot::default();
    }
    let mut out = Writer::new();
    entry.encode(&mut out);
    entries.number(out.into_bytes(), || entry)
}

/// What the properties see of a node.
pub(crate) fn see<C: Core>(node: &Node<C>, id: u64, entries: &mut Interner<Bytes, Entry>) -> Seen {
    let status = node.core.status();
    let log = node.core.entries(Index(1), status.last.index);
    let mut number =
        |log: &[Entry]| -> Vec<u32> { log.iter().map(|entry| entry_number::<C>(entries, entry)).collect() };
    let numbers = number(&log);
    let accepted = log.iter().zip(&numbers);
    let accepted = accepted.map(|(entry, &number)| (entry.id.index.0, rank::<C>(entry.id.ballot), number));
    let bits = |holds: &dyn Fn(NodeId) -> bool| -> u32 {
        (1..=NODES as u64).filter(|id| holds(NodeId(*id))).map(|id| 1u32 << id).sum()
    };
    let membership = &status.membership;
    let mut quorums = vec![bits(&|node| membership.voters().contains(node))];
    if membership.is_joint() {
        quorums.push(bits(&|node| membership.votes(node) && membership.outgoing().contains(node)));
    }
    let text: Vec<String> = log.iter().map(tell_entry).collect();
    let part = match (status.role, status.leader) {
        (Role::Follower, Some(leader)) => format!("follows {leader}"),
        (role, _) => format!("{role:?}").to_lowercase(),
    };
    let told = format!(
        "{part}, round {}, votes for {}, log [{}], commit {}, {} writes pending",
        status.promised.round,
        status.promised.node,
        text.join(" "),
        status.commit,
        node.pending()
    );
    Seen {
        id,
        disk: number(&node.disk.entries),
        accepted: if C::CAPS.sparse_log { accepted.collect() } else { Vec::new() },
        log: numbers,
        leads: node.leads(),
        tends: status.role == Role::Leader,
        round: rank::<C>(status.promised),
        limited: status.promised.round,
        quorums,
        pending: node.pending(),
        told,
    }
}
