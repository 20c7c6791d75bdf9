//! A node's service: applying what is committed, answering clients, feeding watchers, ending leases.

use bytes::Bytes;
use quorate_kv::{Applied, Command, Outcome, StreamId, WatchCreate};
use quorate_protocol::{Consensus, Entry, EntryKind, Index, ReadId, Role};
use quorate_replica::Input;
use quorate_wire::{decode_request, encode_request, peek_origin};

use crate::atomic::site;
use crate::clients::Reply;
use crate::env::Env;
use crate::host::{Connection, Host, Waiter};
use crate::node::{Ask, NodeEvent};
use crate::plant::{self, Plant};
use crate::story::Happening;
use crate::trace::note;

/// At every so many applied entries the states of the nodes are compared.
const COMPARE_EVERY: u64 = 32;

/// Messages a watcher's connection holds.
const STREAM_CAPACITY: usize = 4;

impl<C: Consensus> Host<C> {
    /// A client asks.
    pub fn ask(&mut self, waiter: Waiter, ask: Ask, env: &mut Env) {
        match ask {
            Ask::Write(command) => self.propose(Some(waiter), &command, env),
            Ask::Read(range) => {
                self.requests += 1;
                let id = ReadId(self.requests);
                self.reads.insert(id, (waiter, range));
                self.step(Input::Read(vec![id]), env);
                if self.requests <= 3 && self.role != Role::Leader {
                    env.asks_early(self.place, self.life);
                }
            }
            Ask::KeepAlive(_) if !self.lessor.leads() => env.refuse(waiter.client, waiter.number),
            Ask::KeepAlive(lease) => {
                let ttl = self.lessor.renew(lease, self.now_ms());
                env.answer(waiter, Reply::Ttl(ttl));
            }
            Ask::Begin(begin) => self.begin(waiter, *begin, env),
            Ask::ReadAt { at, payload } => self.look(waiter, at, payload, env),
        }
    }

    pub fn propose(&mut self, waiter: Option<Waiter>, command: &Command, env: &mut Env) {
        self.requests += 1;
        // Numbers of different lives differ, or an entry of an earlier one would answer a later client.
        let request = self.life << 32 | self.requests;
        match encode_request(self.id().0, request, command) {
            Ok(data) => {
                if let Some(waiter) = waiter {
                    self.writes.insert(request, waiter);
                }
                if env.plant == Some(Plant::RetriedProposal) {
                    self.unanswered.insert(request, data.clone());
                }
                self.step(Input::Propose(vec![data]), env);
            }
            Err(error) => env.checks.fail("Wire", error.to_string()),
        }
    }

    /// The replica did not replicate these.
    pub fn refused(&mut self, proposals: &[Bytes], env: &mut Env) {
        for proposal in proposals {
            self.record_lost(proposal, env);
            // Another node's, which had passed it on to this one, counts its requests alike.
            if let Some(request) = own_request(self.id().0, proposal)
                && let Some(waiter) = self.writes.remove(&request)
            {
                env.refuse(waiter.client, waiter.number);
            }
        }
    }

    /// Entries are committed; they are applied a little later.
    pub fn committed(&mut self, entries: Vec<Entry>, env: &mut Env) {
        let status = self.replica.status();
        for entry in &entries {
            env.checks.committed(self.id().0, status.promised, &status.membership, entry);
        }
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let (first, last) = (first.id.index.0, last.id.index.0);
            note!(env, Happening::Commit { node: self.id().0, first, last });
        }
        self.backlog.extend(entries);
        if !self.apply_due {
            self.apply_due = true;
            let delay = env.dice.host.below(env.swarm.pace.apply_us + 1);
            env.after_at(delay, self.place, self.life, NodeEvent::Apply);
        }
    }

    /// Apply what has gathered.
    pub fn apply(&mut self, env: &mut Env) {
        self.apply_due = false;
        while let Some(entry) = self.backlog.pop_front() {
            self.apply_entry(entry, env);
        }
        self.tell_watchers(env);
        self.serve_ready(env);
        self.wish(env);
        self.take_wheel(env);
        self.run(env);
        self.checkpoint_if_due(env);
    }

    fn apply_entry(&mut self, entry: Entry, env: &mut Env) {
        let (index, ballot) = (entry.id.index.0, (entry.id.ballot.round, entry.id.ballot.node.0));
        self.since_checkpoint += 1;
        if entry.kind != EntryKind::Command {
            match entry.kind {
                EntryKind::Config => self.state.apply_config(index, ballot, &entry.data),
                _ => self.state.apply_noop(index, ballot),
            }
            env.checks.applied(self.id().0, index, &[]);
        } else if let Some(record) = site::record(&entry.data) {
            self.state.apply_noop(index, ballot);
            env.checks.applied(self.id().0, index, &[]);
            match record {
                Ok(record) => self.apply_record(record, env),
                Err(error) => env.checks.fail("Wire", format!("entry {index} does not decode: {error}")),
            }
        } else {
            match decode_request(entry.data) {
                Ok(request) => {
                    let applied = self.carry_out(index, ballot, &request.command, env);
                    if env.checks.applied(self.id().0, index, &applied.events) {
                        env.checks.lease(env.now, &request.command);
                    }
                    self.note_lease(&request.command, &applied);
                    self.hub.publish(applied.revision, &applied.events, &self.state);
                    self.answer_writer(request.origin, request.request, applied, env);
                }
                Err(error) => env.checks.fail("Wire", format!("entry {index} does not decode: {error}")),
            }
        }
        if index.is_multiple_of(COMPARE_EVERY) {
            env.checks.state(self.id().0, index, self.digest());
        }
    }

    fn carry_out(&mut self, index: u64, ballot: (u64, u64), command: &Command, env: &Env) -> Applied {
        let keeps = env.plant == Some(Plant::RevokeOnOneNode) && self.place == 0;
        if let Command::LeaseRevoke { .. } = command
            && keeps
        {
            self.state.apply_noop(index, ballot);
            let revision = self.state.revision();
            return Applied { revision, outcome: Ok(Outcome::LeaseRevoke), events: Vec::new() };
        }
        self.state.apply(index, ballot, command)
    }

    /// Whoever leads is to bring about the membership that the members table asks for; but only once it has caught up
    /// with its log, for before that its table may be an old one, and to go back to the members of old
    /// can leave the cluster without a quorum for ever.
    pub fn wish(&mut self, env: &mut Env) {
        let at = Index(self.state.meta().applied_index);
        if !self.replica.heeds(at) {
            return;
        }
        let target = env.membership(self.state.members());
        let present = self.replica.status().membership;
        // A wish that the table has gone back on is replaced too.
        if !target.is_unknown() && target != *self.replica.desired().unwrap_or(&present) {
            self.step(Input::Change { target, at }, env);
        }
    }

    fn answer_writer(&mut self, origin: u64, request: u64, applied: Applied, env: &mut Env) {
        self.unanswered.remove(&request);
        if origin == self.id().0
            && let Some(waiter) = self.writes.remove(&request)
        {
            env.answer(waiter, Reply::Applied { outcome: applied.outcome, revision: applied.revision });
        }
    }

    fn note_lease(&mut self, command: &Command, applied: &Applied) {
        match (command, &applied.outcome) {
            (_, Ok(Outcome::LeaseGrant { id, ttl })) => self.lessor.granted(*id, *ttl, self.now_ms()),
            (Command::LeaseRevoke { id }, _) => self.lessor.revoked(*id),
            _ => {}
        }
    }

    /// Ask for the end of the leases whose time is up.
    pub fn expire_leases(&mut self, env: &mut Env) {
        for id in self.lessor.expired(self.now_ms(), 8) {
            self.propose(None, &Command::LeaseRevoke { id }, env);
        }
    }

    /// Serve the reads for which the state machine has come far enough.
    pub fn serve_ready(&mut self, env: &mut Env) {
        let applied = Index(self.state.meta().applied_index);
        let ready: Vec<_> = self.ready.extract_if(.., |(index, _)| *index <= applied).collect();
        for id in ready.into_iter().flat_map(|(_, ids)| ids) {
            let Some((waiter, range)) = self.reads.remove(&id) else { continue };
            match self.state.range(&range) {
                Ok(found) => env.answer(waiter, Reply::Range { found, revision: self.state.revision() }),
                Err(error) => env.checks.fail("Range", error.to_string()),
            }
        }
    }

    /// A watcher connects.
    pub fn watch(&mut self, watcher: usize, stream: StreamId, create: WatchCreate, env: &mut Env) {
        self.connections.insert(stream, Connection { watcher, arrives: 0 });
        self.hub.open(stream, STREAM_CAPACITY);
        let start_revision = plant::serve_from(env.plant, create.start_revision);
        if env.plant == Some(Plant::CancelLost) {
            self.watched.insert(stream, create.clone());
        }
        self.hub.create(stream, WatchCreate { start_revision, ..create }, self.state.compact_revision());
        self.tell_watchers(env);
    }

    /// Put what the hub has to say on the connections.
    pub fn tell_watchers(&mut self, env: &mut Env) {
        let said: Vec<_> = self.hub.drain().collect();
        for (stream, mut message) in said {
            message.fragment &= env.plant != Some(Plant::FragmentUnmarked);
            if message.canceled && env.plant == Some(Plant::CancelLost) {
                self.revive(stream, message.compact_revision);
                continue;
            }
            if let Some(connection) = self.connections.get_mut(&stream) {
                env.tell_watcher(connection, stream, message);
            }
        }
    }

    /// [`Plant::CancelLost`]: go on with what is left of history, and tell nobody.
    fn revive(&mut self, stream: StreamId, compact_revision: i64) {
        if let Some(create) = self.watched.get(&stream) {
            let create = WatchCreate { start_revision: compact_revision, ..create.clone() };
            self.hub.close(stream);
            self.hub.open(stream, STREAM_CAPACITY);
            self.hub.create(stream, create, self.state.compact_revision());
        }
    }

    /// [`Plant::RetriedProposal`]: propose again what has no answer.
    pub fn propose_again(&mut self) {
        let again: Vec<Bytes> = self.unanswered.values().cloned().collect();
        if !again.is_empty() {
            self.inputs.push_back(Input::Propose(again));
        }
    }
}

/// The number of the request in a proposal, if a client of this node asked for it.
fn own_request(node: u64, proposal: &Bytes) -> Option<u64> {
    let (origin, request) = peek_origin(proposal).ok()?;
    (origin == node).then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proposal of node 3's, passed on to node 2 and refused there, was once told to a client of node 2's whose request had
    /// the same number, and went on.
    #[test]
    fn a_request_belongs_to_the_node_that_was_asked() {
        let proposal = encode_request(3, 7, &Command::Compact { revision: 1 }).expect("small");
        assert_eq!(own_request(3, &proposal), Some(7));
        assert_eq!(own_request(2, &proposal), None);
        assert_eq!(own_request(3, &Bytes::from_static(b"nothing")), None);
    }
}
