//! The observers of a run: ghost state that no node can see, fed as things happen, and the verdicts at its end.
//!
//! The properties themselves are in `quorate-checker`, one a file; here they are given their food. During the run:
//! ElectionSafety, LeaderCompleteness, CommittedStable, StateHash, PromiseKept, OneValuePerBallot, ChosenStays, ChosenFirst, LeaseNotEarly
//! and every core's own invariants; of protocols whose logs are dense also LogMatching, Integrity, LocalPrimaryOrder and
//! GlobalPrimaryOrder. At
//! its end: EventHistory, Linearizability, RevisionOrder, Acknowledged, Replay and the six promises of a watch. The
//! store's own account, which the latter are held against, is what the first node to apply each entry made of it;
//! that the others made the same of it is what StateHash and CommittedStable are for.
//!
//! Where an entry's ballot is rewritten in place (`Caps::sparse_log`), contents are compared without ballots, and it is
//! the whole ballot that has one leader, not its round.

use std::collections::BTreeMap;

use quorate_checker::chosen::ChosenStays;
use quorate_checker::committed::Committed;
use quorate_checker::election::Elections;
use quorate_checker::events::{self, Change, Event};
use quorate_checker::global_primary_order::GlobalPrimaryOrder;
use quorate_checker::history::{Call, Operation, Outcome};
use quorate_checker::integrity::Integrity;
use quorate_checker::leader_completeness::LeaderCompleteness;
use quorate_checker::local_primary_order::LocalPrimaryOrder;
use quorate_checker::log::{Ballot as Led, Entry as LogEntry, Log};
use quorate_checker::one_value_per_ballot::OneValuePerBallot;
use quorate_checker::promise::{Promise, PromiseKept};
use quorate_checker::state_hash::StateHash;
use quorate_checker::watch::{self, Stream};
use quorate_checker::{Violation, acknowledged, digest, linearizable, log_matching, replay, revision_order};
use quorate_kv::{Command, LeaseId, Record};
use quorate_protocol::{Ballot, Caps, Consensus, Entry, EntryKind, Membership, Recovered, Seq, WriteOp};

use crate::ghost::Ghost;
use crate::swarm::FASTEST_PERMILLE;

/// See the module's text.
pub struct Checks {
    sparse: bool,
    /// What each group of replicas has done, and to which of them each node belongs.
    groups: Vec<Group>,
    group_of: Vec<usize>,
    promises: PromiseKept,
    clock: u64,
    /// How finely a node reads its clock: a tick. Nothing, if clocks may jump: then leases may end early.
    clock_us: Option<u64>,
    /// When each lease may end, at the earliest.
    leases: BTreeMap<LeaseId, u64>,
    /// Requests of clients on keys that only clients change.
    pub operations: Vec<Operation>,
    /// Requests on keys that leases delete.
    pub leased: Vec<Operation>,
    /// The first broken promise: its name and the evidence.
    pub failure: Option<(String, String)>,
}

/// What is promised of the replicas of one log.
struct Group {
    elections: Elections,
    committed: Committed,
    completeness: LeaderCompleteness,
    values: OneValuePerBallot,
    chosen: ChosenStays,
    orders: Orders,
    hashes: StateHash,
    ghost: Ghost,
    events: Vec<Event>,
    applied: u64,
}

impl Group {
    /// Whose state begins at index 1.
    fn new(sparse: bool) -> Self {
        Group {
            elections: Elections::default(),
            committed: if sparse { Committed::ignoring_ballots() } else { Committed::new() },
            completeness: match sparse {
                true => LeaderCompleteness::ignoring_ballots(),
                false => LeaderCompleteness::new(),
            },
            values: OneValuePerBallot::default(),
            chosen: ChosenStays::default(),
            orders: Orders::default(),
            hashes: StateHash::default(),
            ghost: Ghost::default(),
            events: Vec::new(),
            applied: 1,
        }
    }
}

/// What is promised of a leader's proposals where logs are dense.
#[derive(Default)]
struct Orders {
    integrity: Integrity,
    local: LocalPrimaryOrder,
    global: GlobalPrimaryOrder,
}

/// How an entry is named in the checks.
fn seen(entry: &Entry) -> LogEntry {
    let kind = match entry.kind {
        EntryKind::Noop => 0,
        EntryKind::Command => 1,
        EntryKind::Config => 2,
    };
    let ballot = entry.id.ballot;
    LogEntry {
        index: entry.id.index.0,
        round: ballot.round,
        node: ballot.node.0,
        digest: digest(&entry.data) ^ kind,
    }
}

/// A change as the checks see it.
pub fn change(event: &quorate_kv::Event) -> Event {
    let change = match &event.record {
        Record::Put(kv) => Change::Put {
            value: kv.value.clone(),
            create_revision: kv.create_revision as u64,
            version: kv.version as u64,
        },
        Record::Tombstone { .. } => Change::Delete,
    };
    Event { revision: event.revision.main as u64, key: event.record.key().clone(), change }
}

fn promise(promised: Ballot, joined: Ballot) -> Promise {
    let of = |ballot: Ballot| Led { round: ballot.round, node: ballot.node.0 };
    Promise { promised: of(promised), joined: of(joined) }
}

/// A core's log as the checks see it.
fn log_of<C: Consensus>(node: u64, core: &C) -> Log {
    let status = core.status();
    let entries = core.entries(status.base.index.next(), status.last.index);
    Log { node, snapshot_index: status.base.index.0, entries: entries.iter().map(seen).collect() }
}

impl Checks {
    /// Of a world of so many groups.
    pub fn new(caps: Caps, groups: usize, clock_us: Option<u64>) -> Self {
        let sparse = caps.sparse_log;
        Checks {
            sparse,
            groups: (0..groups).map(|_| Group::new(sparse)).collect(),
            group_of: Vec::new(),
            promises: if sparse { PromiseKept::of_whole_ballots() } else { PromiseKept::new() },
            clock: 0,
            clock_us,
            leases: BTreeMap::new(),
            operations: Vec::new(),
            leased: Vec::new(),
            failure: None,
        }
    }

    /// There is another node, in this group.
    pub fn joins(&mut self, group: usize) {
        self.group_of.push(group);
    }

    /// The group of the node at a place.
    pub fn group_of(&self, place: usize) -> usize {
        self.group_of[place]
    }

    /// The group of a node.
    fn group(&mut self, node: u64) -> &mut Group {
        &mut self.groups[self.group_of[node as usize - 1]]
    }

    /// Note a broken promise. Only the first counts: the others follow from it.
    pub fn fail(&mut self, property: &str, detail: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some((property.into(), detail.into()));
        }
    }

    /// Note a verdict.
    pub fn note(&mut self, verdict: Result<(), Violation>) {
        if let Err(violation) = verdict {
            self.fail(violation.property, violation.detail);
        }
    }

    /// A time for the recording of requests; no two are equal.
    pub fn stamp(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A core's own invariants, after every step.
    pub fn core<C: Consensus>(&mut self, node: u64, core: &C) {
        let verdict = core.check().and(core.broken().map_or(Ok(()), Err));
        if let Err(violation) = verdict {
            self.fail("CoreInvariant", format!("node {node}: {}", violation.0));
        }
    }

    /// Under which ballot somebody leads or learns: where a round has one leader it is the round that counts.
    fn ballot(&self, ballot: Ballot) -> Led {
        Led { round: ballot.round, node: if self.sparse { ballot.node.0 } else { 0 } }
    }

    /// A node was elected.
    pub fn leads<C: Consensus>(&mut self, node: u64, core: &C) {
        let ballot = self.ballot(core.status().promised);
        let verdict = self.group(node).elections.observe(ballot, node);
        self.note(verdict);
        let verdict = self.group(node).completeness.observe_leader(ballot, log_of(node, core));
        self.note(verdict);
    }

    /// A node that has promised `ballot` and counts by `membership` learned that an entry is committed.
    pub fn committed(&mut self, node: u64, ballot: Ballot, membership: &Membership, entry: &Entry) {
        let under = (!self.sparse).then_some(entry.id.ballot);
        let (entry, ballot) = (seen(entry), self.ballot(ballot));
        let ghost = &mut self.group(node).ghost;
        if let Err(detail) = ghost.committed(entry.index, under, entry.digest, membership) {
            self.fail("ChosenFirst", format!("node {node}: {detail}"));
        }
        let id = (entry.round, entry.node);
        let group = self.group(node);
        let verdict = group
            .committed
            .observe(node, entry.index, id, entry.digest)
            .and_then(|()| group.completeness.observe_commit(ballot, entry))
            .and_then(|()| group.chosen.observe_commit(ballot, &entry));
        self.note(verdict);
        if !self.sparse {
            let Orders { integrity, local, global } = &mut self.group(node).orders;
            let verdict = integrity
                .observe_commit(node, &entry)
                .and_then(|()| local.observe_commit(node, &entry))
                .and_then(|()| global.observe(node, &entry));
            self.note(verdict);
        }
    }

    /// A node has found this on its disk.
    pub fn found(&mut self, node: u64, found: &Recovered) {
        self.promises.restarted(node, promise(found.promised, found.joined));
        self.group(node).ghost.found(node, found, |entry| seen(entry).digest);
    }

    /// Everything that a node wrote up to this write is on its disk.
    pub fn durable(&mut self, node: u64, upto: Seq) {
        self.group(node).ghost.durable(node, upto);
    }

    /// A node that has promised `ballot` writes this to its log.
    pub fn writes(&mut self, node: u64, ballot: Ballot, seq: Seq, ops: &[WriteOp]) {
        self.group(node).ghost.written(node, seq, ops, |entry| seen(entry).digest);
        for op in ops {
            let entries = match op {
                WriteOp::Meta { promised, joined } => {
                    let verdict = self.promises.observe(node, promise(*promised, *joined));
                    self.note(verdict);
                    continue;
                }
                WriteOp::Append(entries) | WriteOp::Put(entries) => entries,
                WriteOp::Truncate(_) | WriteOp::Reset { .. } | WriteOp::Purge { .. } => continue,
            };
            for entry in entries {
                let own = entry.id.ballot.node.0 == node && entry.id.ballot.round == ballot.round;
                let entry = seen(entry);
                let own = own && !self.sparse;
                let group = self.group(node);
                if own {
                    group.orders.integrity.observe_proposal(&entry);
                    group.orders.local.observe_proposal(&entry);
                }
                let verdict = group
                    .values
                    .observe(node, &entry)
                    .and_then(|()| group.chosen.observe_accept(node, &entry));
                self.note(verdict);
            }
        }
    }

    /// A node applied entry `index`, which made these changes. Answers whether it was the first to do so.
    pub fn applied(&mut self, node: u64, index: u64, events: &[quorate_kv::Event]) -> bool {
        let group = self.group(node);
        let next = group.applied + 1;
        if index < next {
            return false;
        }
        group.applied = index;
        group.events.extend(events.iter().map(change));
        if index != next {
            self.fail("AppliedInOrder", format!("node {node} applied index {index}, and nobody {next}"));
        }
        true
    }

    /// An entry about a lease was applied for the first time, by whichever node: none ends before its time is up
    /// on the fastest clock there is.
    pub fn lease(&mut self, now: u64, command: &Command) {
        let Some(clock_us) = self.clock_us else { return };
        match command {
            Command::LeaseGrant { id, ttl } => {
                let lives_us = (*ttl).max(0) as u64 * 1000 * FASTEST_PERMILLE;
                self.leases.insert(*id, now + lives_us.saturating_sub(clock_us));
            }
            Command::LeaseRevoke { id } => {
                let due = self.leases.remove(id);
                if let Some(due) = due.filter(|due| *due > now) {
                    let detail = format!("lease {id} was ended {} us before its time", due - now);
                    self.fail("LeaseNotEarly", detail);
                }
            }
            _ => {}
        }
    }

    /// A node's state at an applied index.
    pub fn state(&mut self, node: u64, index: u64, hash: u64) {
        let verdict = self.group(node).hashes.observe(node, index, hash);
        self.note(verdict);
    }

    /// The logs of all nodes of a group that run.
    pub fn logs<'a, C: Consensus + 'a>(&mut self, cores: impl Iterator<Item = (u64, &'a C)>) {
        if !self.sparse {
            let logs: Vec<Log> = cores.map(|(node, core)| log_of(node, core)).collect();
            self.note(log_matching::check(&logs));
        }
    }

    /// A client asks; the numbers of the operations that this is.
    pub fn invoke(&mut self, client: u64, calls: Vec<Call>) -> Vec<usize> {
        let invoked = self.stamp();
        let first = self.operations.len();
        self.operations.extend(calls.into_iter().map(|call| Operation {
            client,
            invoked,
            answered: u64::MAX,
            call,
            outcome: Outcome::Ambiguous,
        }));
        (first..self.operations.len()).collect()
    }

    /// Requests that had a leader, entries that were committed.
    pub fn counts(&self) -> (u64, u64) {
        let rounds = self.groups.iter().map(|group| group.elections.rounds() as u64).sum();
        (rounds, self.groups.iter().map(|group| group.applied).sum())
    }

    /// What the store of the first group has gone through; clients of the store ask no other.
    fn events(&self) -> &[Event] {
        &self.groups[0].events
    }

    /// The newest revision of the store.
    pub fn revision(&self) -> u64 {
        self.events().last().map_or(1, |event| event.revision)
    }

    /// The verdicts at the end of a run.
    pub fn conclude(&mut self, streams: &[Stream]) {
        // A read that was never answered says nothing.
        let unanswered_read = |operation: &Operation| {
            matches!(operation.call, Call::Get { .. }) && operation.outcome == Outcome::Ambiguous
        };
        self.operations.retain(|operation| !unanswered_read(operation));
        let all: Vec<Operation> = self.operations.iter().chain(&self.leased).cloned().collect();
        let verdict = events::check(self.events())
            .and_then(|()| revision_order::check(&self.operations))
            .and_then(|()| acknowledged::check(&all, self.events()))
            .and_then(|()| replay::check(&self.operations, self.events()))
            .and_then(|()| linearizable::check(&self.operations));
        self.note(verdict);
        for stream in streams {
            self.note(watch::check(stream, self.events()));
        }
    }
}
