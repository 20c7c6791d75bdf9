//! What an acceptor makes of its leader's proposals (phase 2b), and how a learner learns.
//!
//! Slots are accepted in any order; an acceptor says which it has accepted, and up to where it has all. It learns what is chosen
//! from the leader's commit index, and applies that only as far as its slots hold what *this* leader proposes: a slot may hold
//! another value, accepted under a lesser ballot. A leader proposes what is chosen, and nothing else, where something is
//! chosen; so it may send what was chosen long ago like any other proposal, and a follower that missed it accepts it.

use alloc::vec::Vec;

use quorate_protocol::{Ballot, Effect, Entry, Index, LogId, Membership, NodeId, WriteOp};

use crate::core::{Out, Paxos};
use crate::message::{Body, Message};
use crate::preparing::is_readable;
use crate::rules::Rules;
use crate::slots::same_value;

impl<R: Rules> Paxos<R> {
    pub(crate) fn accept(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        entries: Vec<Entry>,
        commit: Index,
        out: Out,
    ) {
        if !are_proposals(&entries, ballot) {
            return;
        }
        if ballot == self.promised {
            self.heard_leader(from, out);
        }
        let first = entries.first().map_or(Index(0), |entry| entry.id.index);
        let last = entries.last().map_or(Index(0), |entry| entry.id.index);
        let Some(new) = self.unknown(entries) else { return };
        if !self.put(new, out) {
            return;
        }
        let upto = R::may_apply(commit, self.matched).min(self.slots.dense());
        self.commit_to(upto, out);
        // What is too far off was not taken, and a message may have had holes.
        let held = |index| index <= self.commit || self.slots.ballot(index) == Some(ballot);
        let taken = (first.0..=last.0).take_while(|index| held(Index(*index))).last();
        let (first, upto) = taken.map_or((Index(0), Index(0)), |upto| (first, Index(upto)));
        let body = Body::Accepted { from: first, upto, matched: self.matched };
        out.push(Effect::Send { to: from, message: Message { ballot, body }, after: self.seq });
    }

    /// Those of the entries that are not accepted yet under their ballot. Nothing if one contradicts what is chosen.
    fn unknown(&mut self, entries: Vec<Entry>) -> Option<Vec<Entry>> {
        let mut new = entries;
        let mut contradicted = false;
        new.retain(|entry| {
            let held = self.slots.get(entry.id.index);
            let chosen = entry.id.index <= self.commit;
            contradicted |= chosen && held.is_some_and(|held| !same_value(held, entry));
            let known = held.is_some_and(|held| held.id.ballot == entry.id.ballot && same_value(held, entry));
            !chosen && !known && self.slots.within(entry.id.index)
        });
        if contradicted {
            self.violate("ChosenSafe: a leader proposes another value for what is chosen");
            return None;
        }
        Some(new)
    }

    pub(crate) fn heartbeat(&mut self, from: NodeId, commit: Index, round: u64, out: Out) {
        self.heard_leader(from, out);
        let upto = R::may_apply(commit, self.matched).min(self.slots.dense());
        self.commit_to(upto, out);
        self.leases.promise_to(from);
        let (matched, lacks, priority) = (self.matched, self.held.index, self.config.priority);
        let unsure = commit > self.commit || self.lacks();
        let body = Body::HeartbeatReply { round, matched, unsure, lacks, priority };
        self.send(from, body, self.meta_seq, out);
    }

    /// An image of a state: what it covers is chosen. What was accepted after it stays, for it may be chosen too.
    pub(crate) fn snapshot(&mut self, from: NodeId, id: LogId, membership: Membership, out: Out) {
        self.heard_leader(from, out);
        if id.index > self.commit && id.index <= self.matched {
            // The slots already lead there: no need for the image.
            self.commit_to(id.index, out);
        } else if id.index > self.commit {
            self.slots.purge(id);
            self.members.installed(id.index, membership);
            self.commit = id.index;
            self.match_on();
            self.refilled();
            out.push(Effect::InstallSnapshot(id));
            self.write(alloc::vec![WriteOp::Purge { id }], out);
        }
        let body = Body::Accepted { from: Index(0), upto: Index(0), matched: self.matched };
        self.send(from, body, self.seq, out);
    }
}

/// Entries ascend, are all proposed under this ballot, and can be read.
fn are_proposals(entries: &[Entry], ballot: Ballot) -> bool {
    let mut last = 0;
    entries.iter().all(|entry| {
        let fits = entry.id.ballot == ballot && entry.id.index.0 > last && is_readable(entry);
        last = entry.id.index.0;
        fits
    })
}
