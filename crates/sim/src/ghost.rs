//! The ghost of every slot: an instance of single-decree Paxos, which is told what each node has accepted *durably*.
//!
//! Property **ChosenFirst**: nothing is committed but what was chosen. Whichever node is the first to commit an entry, by
//! then the learner of the slot's own synod ([`quorate_synod::Learner`]), who looks at nothing but disks, has learned the
//! same value: enough voters hold it, all under one ballot. Source: Lamport 2001, §2.3, and Raft §5.3: "a log entry is
//! committed once … replicated on a majority"; it is the same for Zab's histories. That the leader is among them is not
//! asked: its own disk may be the slowest.
//!
//! The learner is told of those who hold what is committed, of nobody else: a value may be on enough disks, as they are
//! counted now, without having been chosen, since fewer or others were counted then; and in a dense log (Raft, Zab) an entry
//! keeps its ballot when it is handed on under a later one, so that it counts for nothing (Raft, figure 8). That what was
//! chosen stays is ChosenStays' business. For the same reason the entry of a dense log counts with its own ballot only.
//!
//! What counts as enough is the membership of the node that commits, at that moment, which is the one it counts by. A node
//! whose disk fails later had accepted all the same, so nothing is taken back.

use std::collections::{BTreeMap, VecDeque};

use quorate_protocol::{Ballot, Entry, Membership, NodeId, Recovered, Seq, WriteOp};
use quorate_synod::{Learner, Message, Proposal};

/// An entry as an acceptor has it: its index, its ballot, its content's digest.
type Accepted = (u64, Ballot, u64);

/// See the module's text. Of one group of replicas.
#[derive(Default)]
pub struct Ghost {
    /// What nodes have written, and may not have on their disks yet.
    under_way: BTreeMap<u64, VecDeque<(Seq, Vec<Accepted>)>>,
    /// What nodes have on their disks, in slots that nobody has committed.
    slots: BTreeMap<u64, Vec<(NodeId, Proposal<u64>)>>,
    /// Up to here it is committed, and judged.
    committed: u64,
}

impl Ghost {
    /// A node writes.
    pub fn written(&mut self, node: u64, seq: Seq, ops: &[WriteOp], digest: impl Fn(&Entry) -> u64) {
        let mut accepted = Vec::new();
        for op in ops {
            if let WriteOp::Append(entries) | WriteOp::Put(entries) = op {
                accepted.extend(entries.iter().map(|entry| named(entry, &digest)));
            }
        }
        if !accepted.is_empty() {
            self.under_way.entry(node).or_default().push_back((seq, accepted));
        }
    }

    /// Everything up to this write is on the node's disk.
    pub fn durable(&mut self, node: u64, upto: Seq) {
        let waiting = self.under_way.entry(node).or_default();
        let mut accepted = Vec::new();
        while let Some((_, written)) = waiting.pop_front_if(|(seq, _)| *seq <= upto) {
            accepted.extend(written);
        }
        self.accept(node, accepted);
    }

    /// A node starts, with this in its log, some of which it may have written without having heard that it is durable.
    pub fn found(&mut self, node: u64, found: &Recovered, digest: impl Fn(&Entry) -> u64) {
        self.under_way.remove(&node);
        self.accept(node, found.entries.iter().map(|entry| named(entry, &digest)).collect());
    }

    fn accept(&mut self, node: u64, accepted: Vec<Accepted>) {
        for (index, ballot, value) in accepted {
            if index > self.committed {
                let proposal = Proposal { ballot, value };
                self.slots.entry(index).or_default().push((NodeId(node), proposal));
            }
        }
    }

    /// A node that counts by `membership` commits what has this digest in slot `index`; of a dense log, with this ballot.
    pub fn committed(
        &mut self,
        index: u64,
        ballot: Option<Ballot>,
        digest: u64,
        membership: &Membership,
    ) -> Result<(), String> {
        if index <= self.committed {
            return Ok(());
        }
        let accepted = self.slots.remove(&index).unwrap_or_default();
        self.slots = self.slots.split_off(&index);
        self.committed = index;
        let mut learner = Learner::new();
        let counts = |proposal: &Proposal<u64>| {
            proposal.value == digest && ballot.is_none_or(|ballot| proposal.ballot == ballot)
        };
        for (node, proposal) in accepted.iter().filter(|(_, proposal)| counts(proposal)) {
            learner.receive(*node, &Message::Accepted(proposal.clone()), membership);
        }
        if learner.chosen().is_some() {
            return Ok(());
        }
        let told = |(node, proposal): &(NodeId, Proposal<u64>)| {
            format!("node {node}: digest {:016x} under {}", proposal.value, proposal.ballot)
        };
        let held: Vec<String> = accepted.iter().map(told).collect();
        let held = if held.is_empty() { "by nobody".into() } else { held.join(", ") };
        let voters = membership.voters().nodes();
        Err(format!(
            "slot {index} is committed with digest {digest:016x}, which was not chosen among {voters:?}: durable are {held}"
        ))
    }
}

fn named(entry: &Entry, digest: impl Fn(&Entry) -> u64) -> Accepted {
    (entry.id.index.0, entry.id.ballot, digest(entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_protocol::{EntryKind, Index, LogId};

    fn put(index: u64, round: u64, value: u8) -> WriteOp {
        let id = LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) };
        WriteOp::Put(vec![Entry { id, kind: EntryKind::Command, data: Bytes::from(vec![value]) }])
    }

    fn digest(entry: &Entry) -> u64 {
        u64::from(entry.data[0])
    }

    /// Whether value 7 may be committed in slot 1 after these writes, of which as many as told are durable.
    fn judged(writes: &[(u64, WriteOp)], durable: usize, membership: &Membership) -> Result<(), String> {
        let mut ghost = Ghost::default();
        for (at, (node, op)) in writes.iter().enumerate() {
            ghost.written(*node, Seq(1), std::slice::from_ref(op), digest);
            if at < durable {
                ghost.durable(*node, Seq(1));
            }
        }
        ghost.committed(1, None, 7, membership)
    }

    #[test]
    fn what_is_committed_is_on_enough_disks_under_one_ballot() {
        let three = Membership::new([NodeId(1), NodeId(2), NodeId(3)], []);
        let both = [(1, put(1, 4, 7)), (2, put(1, 4, 7))];
        assert_eq!(judged(&both, 2, &three), Ok(()));
        assert!(judged(&both, 1, &three).is_err(), "the second disk is not done");
        let mixed = [(1, put(1, 4, 7)), (2, put(1, 5, 7))];
        assert!(judged(&mixed, 2, &three).is_err(), "acceptances under two ballots do not add up");
        let other = [(1, put(1, 4, 8)), (2, put(1, 4, 8)), (3, put(1, 3, 7))];
        let said = judged(&other, 3, &three).expect_err("another value");
        assert!(said.contains("not chosen among [NodeId(1)") && said.contains("0008 under 4@1"), "{said}");
        assert!(judged(&[], 0, &three).expect_err("none").contains("durable are by nobody"));
        let five = Membership::new((1..=5).map(NodeId), []);
        assert!(judged(&both, 2, &five).is_err());
        assert_eq!(judged(&both, 2, &five.with_write_quorum(2)), Ok(()));
    }

    #[test]
    fn a_dense_log_may_overwrite_what_enough_hold_and_did_not_commit() {
        let three = Membership::new([NodeId(1), NodeId(2), NodeId(3)], []);
        let under = |round| Some(Ballot { round, node: NodeId(1) });
        for (ballot, right) in [(None, true), (under(5), true), (under(4), false), (under(6), false)] {
            let mut ghost = Ghost::default();
            for (seq, node, round, value) in [(1, 1, 4, 8), (1, 2, 4, 8), (2, 2, 5, 7), (1, 3, 5, 7)] {
                ghost.written(node, Seq(seq), &[put(1, round, value)], digest);
                ghost.durable(node, Seq(seq));
            }
            assert_eq!(ghost.committed(1, ballot, 7, &three).is_ok(), right, "{ballot:?}");
        }
    }

    #[test]
    fn what_a_restarted_node_finds_counts_and_what_it_does_not_find_may_have() {
        let three = Membership::new([NodeId(1), NodeId(2), NodeId(3)], []);
        let WriteOp::Put(entries) = put(1, 4, 7) else { unreachable!("it puts") };
        let mut ghost = Ghost::default();
        ghost.written(1, Seq(1), &[put(1, 4, 7)], digest);
        ghost.written(2, Seq(1), &[put(1, 4, 7)], digest);
        ghost.durable(2, Seq(1));
        // Its disk had it, and the power failed before it was told.
        ghost.found(1, &Recovered { entries, ..Recovered::default() }, digest);
        ghost.found(2, &Recovered::default(), digest);
        assert_eq!(ghost.committed(1, None, 7, &three), Ok(()));
        assert_eq!(ghost.committed(1, None, 9, &three), Ok(()), "only the first is judged here");
    }
}
