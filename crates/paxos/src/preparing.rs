//! Phase 1, the candidate's side: gathering promises, and what to propose when there are enough.
//!
//! One prepare covers every slot from the first that the candidate does not know to be chosen. A promise reports what its
//! sender has accepted there; a long report comes in parts, each asked for by a prepare that begins where the last
//! part ended. What a promiser knows to be chosen the candidate takes over at once; of the rest it keeps, for each slot,
//! the value of the greatest ballot.
//!
//! Who has let go of slots the candidate would need does not promise, for its report would lack what is chosen, but says so; the
//! candidate may find that it holds all of that itself. Else it finds out what else it can: is it only for those that
//! it is not elected, the one among them that has let go of most is to lead in its place, and is told so
//! ([`Body::TakeOver`]). That one knows all that any of them has let go of, so they can report whatever it asks for; it may not even
//! have known that it votes.
//!
//! Which promises suffice depends on the membership, and the values reported may bring a later one. So the question is put anew with each
//! promise, and whoever a later membership brings is asked too.
//!
//! # Invariants
//!
//! 1. `values` holds only slots after the commit index, and only where they outrank what the candidate itself has accepted.
//! 2. A report is taken in order, without gaps.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use quorate_protocol::{Ballot, Effect, Entry, EntryKind, Index, LogId, Membership, NodeId};

use crate::core::{Out, Part, Paxos};
use crate::members::brought;
use crate::message::{Body, Message};
use crate::replication::Leader;
use crate::rules::Rules;
use crate::slots::{WINDOW, same_value};

/// A candidate's phase 1.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Preparing {
    transfer: bool,
    /// Whom it has asked.
    asked: BTreeMap<NodeId, Asked>,
    /// What outranks the candidate's own slots.
    values: BTreeMap<Index, Entry>,
    /// Ticks since it last asked.
    waited: u32,
}

/// One that was asked for a promise.
#[derive(Clone, Copy, Debug, Hash)]
struct Asked {
    /// What comes next of its report.
    next: Index,
    /// It has promised, and all of its report is here.
    promised: bool,
    /// What it knows to be chosen.
    commit: Index,
    /// It has let go of what it was asked for, and of everything up to here; 0 if not.
    let_go: Index,
}

impl<R: Rules> Paxos<R> {
    /// The ballot is promised to oneself: ask the others.
    pub(crate) fn begin_preparing(&mut self, transfer: bool, out: Out) {
        let preparing = Preparing { transfer, asked: BTreeMap::new(), values: BTreeMap::new(), waited: 0 };
        self.part = Part::Preparing(Box::new(preparing));
        let others = self.other_voters();
        self.ask_for_promises(others, out);
    }

    /// Ask those of these that were not asked before.
    fn ask_for_promises(&mut self, nodes: Vec<NodeId>, out: Out) {
        let next = self.commit.next();
        let Part::Preparing(preparing) = &mut self.part else { return };
        let new: Vec<NodeId> = nodes.into_iter().filter(|node| !preparing.asked.contains_key(node)).collect();
        for &node in &new {
            let asked = Asked { next, promised: false, commit: Index(0), let_go: Index(0) };
            preparing.asked.insert(node, asked);
        }
        new.into_iter().for_each(|node| self.send_prepare(node, out));
    }

    fn send_prepare(&self, to: NodeId, out: Out) {
        let Part::Preparing(preparing) = &self.part else { return };
        if let Some(asked) = preparing.asked.get(&to) {
            let body = Body::Prepare { from: asked.next, transfer: preparing.transfer };
            self.send(to, body, self.meta_seq, out);
        }
    }

    /// A tick passes in phase 1: what is unanswered may be lost.
    pub(crate) fn prepare_again(&mut self, out: Out) {
        let Part::Preparing(preparing) = &mut self.part else { return };
        preparing.waited += 1;
        if preparing.waited >= self.config.heartbeat_ticks {
            preparing.waited = 0;
            let silent = preparing.asked.iter().filter(|(_, asked)| !asked.promised);
            let silent: Vec<NodeId> = silent.map(|(&node, _)| node).collect();
            silent.into_iter().for_each(|node| self.send_prepare(node, out));
        }
    }

    /// A promise, or a part of one.
    pub(crate) fn promise(
        &mut self,
        from: NodeId,
        start: Index,
        entries: Vec<Entry>,
        more: bool,
        commit: Index,
        out: Out,
    ) {
        if !is_report(start, &entries, self.promised) || (more && entries.is_empty()) {
            return;
        }
        let Part::Preparing(preparing) = &mut self.part else { return };
        let Some(asked) = preparing.asked.get_mut(&from) else { return };
        if asked.promised || asked.next != start {
            return;
        }
        asked.next = entries.last().map_or(start, |entry| entry.id.index.next());
        (asked.promised, asked.commit) = (!more, commit);
        self.learn(entries, commit, out);
        match more {
            true => {
                self.elapsed = 0;
                self.send_prepare(from, out);
            }
            false => self.lead_if_elected(out),
        }
    }

    /// Take over what a promiser knows to be chosen, and remember what else it has accepted.
    fn learn(&mut self, entries: Vec<Entry>, chosen: Index, out: Out) {
        let mut learned = Vec::new();
        let mut upto = self.commit;
        for mut entry in entries.into_iter().filter(|entry| entry.id.index > self.commit) {
            let own = self.slots.get(entry.id.index);
            if entry.id.index <= chosen && entry.id.index == upto.next() {
                if own.is_some_and(|own| own.id.ballot >= entry.id.ballot && !same_value(own, &entry)) {
                    return self.violate("ChosenSafe: another value was accepted after one was chosen");
                }
                upto = entry.id.index;
                // The only value that this ballot can propose here: it is accepted as that.
                entry.id.ballot = self.promised;
                learned.push(entry);
                continue;
            }
            let Part::Preparing(preparing) = &mut self.part else { return };
            let known = preparing.values.get(&entry.id.index).or(own);
            if known.is_none_or(|known| R::outranks(&entry, known)) {
                preparing.values.insert(entry.id.index, entry);
            }
        }
        if self.put(learned, out) {
            self.commit_to(upto, out);
        }
        if let Part::Preparing(preparing) = &mut self.part {
            preparing.values = preparing.values.split_off(&self.commit.next());
        }
    }

    /// Somebody has let go of everything up to `base`. What this node holds there under the ballot of `base`, or a greater one, was
    /// proposed by a leader that knew what was chosen (as in recovery, see `doubtful`): it is that, and it is now known
    /// to be. Without this a node that has restarted holds what the others have let go of and could never be told that
    /// it is chosen, if nobody else can lead.
    pub(crate) fn knows_less_than(&mut self, from: NodeId, base: LogId, out: Out) {
        let mut upto = self.commit;
        while upto < base.index && self.slots.ballot(upto.next()).is_some_and(|ballot| ballot >= base.ballot)
        {
            upto = upto.next();
        }
        if matches!(self.part, Part::Leader(_)) {
            return;
        }
        self.commit_to(upto, out);
        match &mut self.part {
            Part::Preparing(preparing) => {
                preparing.values = preparing.values.split_off(&upto.next());
                let Some(asked) = preparing.asked.get_mut(&from) else { return };
                // An old word, about what is not asked for any more.
                if asked.next > base.index {
                    return;
                }
                if upto >= base.index {
                    asked.next = upto.next();
                    return self.send_prepare(from, out);
                }
                asked.let_go = base.index;
            }
            Part::Asking { let_go, .. } if upto < base.index => _ = let_go.insert(from, base.index),
            _ => return,
        }
        self.give_way(out);
    }

    /// Is it only for those who have let go of what this node lacks that it is not elected, let the one lead that has let go of
    /// most. It knows at least as much to be chosen as any of them has let go of, so all can report what it asks for.
    ///
    /// Not all of them, for each new ballot interrupts the others; and it is told rather than left to find out, for it may not know
    /// that it votes: it may lack the very slot that says so.
    pub(crate) fn give_way(&self, out: Out) {
        let own = self.config.id;
        let (ballot, elected, heir) = match &self.part {
            Part::Asking { ballot, granted, let_go } => {
                let able = |node: NodeId| granted.contains(&node) || let_go.contains_key(&node);
                let most = let_go.iter().map(|(node, upto)| (*upto, Reverse(*node))).max();
                (*ballot, R::elects(self.membership(), able), most)
            }
            Part::Preparing(preparing) => {
                let asked = &preparing.asked;
                let has = |asked: &Asked| asked.promised || asked.let_go > Index(0);
                let able = |node: NodeId| node == own || asked.get(&node).is_some_and(has);
                let silent = asked.iter().filter(|(_, asked)| !asked.promised && asked.let_go > Index(0));
                let most = silent.map(|(node, asked)| (asked.let_go, Reverse(*node))).max();
                (self.promised, R::elects(&self.members.with(&preparing.values), able), most)
            }
            _ => return,
        };
        if let Some((_, Reverse(to))) = heir.filter(|_| elected) {
            let message = Message { ballot, body: Body::TakeOver };
            out.push(Effect::Send { to, message, after: self.meta_seq });
        }
    }

    /// `from` cannot lead, under this ballot, because this node has let go of what it would need: lead in its place. What it has
    /// accepted is asked for too, though this node may not know that it votes.
    pub(crate) fn take_over(&mut self, from: NodeId, ballot: Ballot, out: Out) {
        if ballot < self.promised {
            return self.answer_stale(from, out);
        }
        if self.may_promise_at_all()
            && !self.hears_leader_other_than(from)
            && !self.leases.forbid(self.config.id)
        {
            self.campaign(false, out);
            self.ask_for_promises(alloc::vec![from], out);
        }
    }

    /// Lead, if enough have promised: enough of the membership that what they report brings. The own promise counts once it is
    /// on disk, like any other.
    pub(crate) fn lead_if_elected(&mut self, out: Out) {
        let Part::Preparing(preparing) = &self.part else { return };
        if self.durable < self.meta_seq {
            return;
        }
        let (own, asked) = (self.config.id, &preparing.asked);
        let promised = |node| node == own || asked.get(&node).is_some_and(|asked| asked.promised);
        let membership = self.members.with(&preparing.values);
        if R::elects(&membership, promised) {
            return self.lead(&membership, out);
        }
        let voters = membership.nodes().into_iter().filter(|&node| node != own && membership.votes(node));
        self.ask_for_promises(voters.collect(), out);
    }

    /// Phase 1 is done: propose what was found, under the own ballot, and a no-op after it, with which everything that was chosen
    /// before is known to be.
    fn lead(&mut self, membership: &Membership, out: Out) {
        let Part::Preparing(preparing) = core::mem::replace(&mut self.part, Part::Follower) else { return };
        let Some(mut entries) = self.to_propose(&preparing.values) else { return };
        let caught_up = self.commit + entries.len() as u64 + 1;
        let bytes = entries.iter().map(|entry| entry.data.len()).sum();
        let id = LogId { ballot: self.promised, index: caught_up };
        entries.push(Entry { id, kind: EntryKind::Noop, data: bytes::Bytes::new() });
        let others = membership.nodes().into_iter().filter(|&node| node != self.config.id);
        let knows = |node: NodeId| preparing.asked.get(&node).filter(|asked| asked.promised);
        let others = others.map(|node| (node, knows(node).map(|asked| asked.commit.min(caught_up))));
        self.leader = Some(self.config.id);
        self.elapsed = 0;
        self.part = Part::Leader(Box::new(Leader::new(others.collect(), self.commit, caught_up, bytes)));
        self.put_own(entries, out);
    }

    /// What phase 1 found, slot by slot, under the own ballot. Nothing if the holes are more than there can be.
    fn to_propose(&self, values: &BTreeMap<Index, Entry>) -> Option<Vec<Entry>> {
        let last = values.last_key_value().map_or(Index(0), |(index, _)| *index).max(self.slots.last().index);
        let held = self.slots.range(self.commit.next(), last).count() as u64 + values.len() as u64;
        if last.0.saturating_sub(self.commit.0) > held + WINDOW {
            return None;
        }
        let mut entries = Vec::new();
        for index in self.commit.0 + 1..=last.0 {
            let found = values.get(&Index(index)).or(self.slots.get(Index(index))).cloned();
            if found.is_none() && R::closes_gaps() {
                continue;
            }
            let index = self.commit + entries.len() as u64 + 1;
            let id = LogId { ballot: self.promised, index };
            entries.push(match found {
                Some(found) => Entry { id, ..found },
                None => Entry { id, kind: EntryKind::Noop, data: bytes::Bytes::new() },
            });
        }
        Some(entries)
    }
}

/// Whether these can be what somebody has accepted from a slot on, before it promised this ballot: ascending, under lesser
/// ballots or this one, with no more holes than an acceptor leaves, and readable.
fn is_report(start: Index, entries: &[Entry], promised: Ballot) -> bool {
    let mut next = start.0;
    entries.iter().all(|entry| {
        let index = entry.id.index.0;
        let fits = index >= next && index - next <= WINDOW && entry.id.ballot <= promised;
        next = index.saturating_add(1);
        fits && is_readable(entry)
    })
}

/// Whether an entry that brings a membership brings one, and is where one can be.
pub(crate) fn is_readable(entry: &Entry) -> bool {
    let (index, kind) = (entry.id.index.0, entry.kind);
    (1..u64::MAX / 2).contains(&index) && (kind != EntryKind::Config || brought(entry).is_some())
}
