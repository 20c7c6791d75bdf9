//! The host's part: carrying out effects, in order, with the observer looking on.

use std::collections::VecDeque;

use quorate_protocol::codec::{Encode, Reader, Writer};
use quorate_protocol::{
    Ballot, Consensus, Effect, EntryKind, Event, Index, LogId, NodeId, ReadId, Role, Seq, WriteOp,
};

use crate::Dialect;
use crate::cluster::{Cluster, MessageOf, Planted};
use crate::disk::Image;
use crate::network::Packet;
use crate::node::ReadState;
use crate::report::{show_data, show_entry};

/// Events that follow from effects, at the same replica.
type Todo<D> = VecDeque<Event<MessageOf<D>>>;

impl<D: Dialect> Cluster<D> {
    /// The only way an event reaches a core.
    pub fn step(&mut self, id: NodeId, event: Event<MessageOf<D>>) {
        self.step_with(id, event, None);
    }

    /// The same, with the image staged that the event's message carries.
    pub(crate) fn step_with(&mut self, id: NodeId, event: Event<MessageOf<D>>, staged: Option<Image>) {
        let mut todo = VecDeque::from([event]);
        while let Some(event) = todo.pop_front() {
            if self.violation.is_some() {
                return;
            }
            let Some(core) = self.node(id).core.as_mut() else { return };
            let mut effects = Vec::new();
            core.step(event, &mut effects);
            self.node(id).effects += effects.len() as u64;
            for effect in effects {
                let carried = self.carry_out(id, effect, staged.as_ref(), &mut todo);
                carried.unwrap_or_else(|what| self.violate(what));
            }
            self.serve_reads(id);
            self.look(id).unwrap_or_else(|what| self.violate(what));
            if self.nodes[&id].autosync
                && let Some(seq) = self.write_out(id, usize::MAX)
            {
                todo.push_back(Event::Durable(seq));
            }
            let unsent = std::mem::take(&mut self.node(id).unsent);
            todo.extend(unsent.into_iter().map(|to| Event::SnapshotSent { to, ok: false }));
        }
    }

    fn carry_out(
        &mut self,
        id: NodeId,
        effect: Effect<MessageOf<D>>,
        staged: Option<&Image>,
        todo: &mut Todo<D>,
    ) -> Result<(), String> {
        self.say_write(id, &effect);
        match effect {
            Effect::Write { seq, ops } => self.write(id, seq, ops)?,
            Effect::Send { to, message, after } => self.send(id, to, message, after)?,
            Effect::Commit(upto) => self.commit(id, upto)?,
            Effect::ReadReady { id: read, index } => self.read_ready(id, read, index)?,
            Effect::ReadFailed(read) => {
                let life = self.nodes[&id].life;
                self.ghost.failed(id, life, read)?;
                self.node(id).reads.insert(read, ReadState::Failed);
                let line = format!("  {id} fails read {}", read.0);
                self.say(Some(line.clone()), Some(line));
            }
            Effect::Dropped { proposals, reason } => {
                self.node(id).dropped += proposals.len();
                let line = format!("  {id} drops {} proposals: {reason:?}", proposals.len());
                self.say(Some(line.clone()), Some(line));
            }
            Effect::SendSnapshot(to) => {
                self.say(None, Some(format!("  {id} wants an image for {to}")));
                let node = self.node(id);
                match node.autoimage {
                    true => {
                        node.images.insert(to, node.state.clone());
                        todo.push_back(self.snapshot_ready(id, to));
                    }
                    false => {
                        node.wanted.insert(to);
                    }
                }
            }
            Effect::InstallSnapshot(at) => self.install(id, at, staged)?,
            Effect::Role { role, round, leader } => self.role(id, role, round, leader)?,
        }
        Ok(())
    }

    fn write(&mut self, id: NodeId, seq: Seq, ops: Vec<WriteOp>) -> Result<(), String> {
        for op in &ops {
            let node = self.nodes.get_mut(&id).expect("the cluster has this node");
            if let WriteOp::Append(entries) = op {
                let first = entries.first().ok_or("an append without entries")?.id.index;
                let before = node.believed.id_at(first.prev());
                self.ghost.writes(before.ok_or("an append after a hole")?, entries)?;
            }
            if let WriteOp::Put(entries) = op {
                self.ghost.puts(id, node.believed.promised, entries)?;
            }
            node.believed.apply(op).map_err(|what| format!("{id} asks for {what}"))?;
        }
        self.node(id).pending.push_back((seq, ops));
        Ok(())
    }

    /// Put pending writes on the disk, one after the other, and let go of what waited for each. Answers up to
    /// where.
    pub(crate) fn write_out(&mut self, id: NodeId, n: usize) -> Option<Seq> {
        let n = n.min(self.node(id).pending.len());
        let writes: Vec<_> = self.node(id).pending.drain(..n).collect();
        let durable = writes.last()?.0;
        for (seq, ops) in writes {
            let node = self.nodes.get_mut(&id).expect("the cluster has this node");
            for op in &ops {
                node.disk.log.apply(op).expect("what could be believed can be written");
                if let WriteOp::Put(entries) = op {
                    self.ghost.durable(id, entries);
                }
            }
            for (to, message) in node.outbox.durable(seq) {
                self.leave(id, to, message).unwrap_or_else(|what| self.violate(what));
            }
        }
        if !self.nodes[&id].autosync {
            self.say(None, Some(format!("  {id} durable #{}", durable.0)));
        }
        Some(durable)
    }

    fn send(&mut self, id: NodeId, to: NodeId, message: MessageOf<D>, after: Seq) -> Result<(), String> {
        let shown = self.shown(&message);
        let early = self.settings.planted == Some(Planted::SendsEarly);
        let after = if early { Seq(0) } else { after };
        match self.node(id).outbox.put(to, message, after) {
            Some((to, message)) => self.leave(id, to, message),
            None => {
                if !self.nodes[&id].autosync {
                    self.say_traffic(format!("  {id} holds {to} {shown} until #{}", after.0));
                }
                Ok(())
            }
        }
    }

    /// A message leaves: what it claims must be on the disk, and it must survive its encoding.
    fn leave(&mut self, from: NodeId, to: NodeId, message: MessageOf<D>) -> Result<(), String> {
        let shown = self.shown(&message);
        let claims = D::claims(from, to, &message);
        let disk = &self.nodes[&from].disk;
        if let Err(what) = claims.are_durable(disk) {
            return Err(format!("Durable before sent: {} of {what}", D::kind(&message)));
        }
        if let Some(vote) = claims.promised.filter(|_| claims.vote && !D::Core::CAPS.sparse_log) {
            self.ghost.votes(from, vote)?;
        }
        let image = self.image_for(from, to, &message)?;
        *self.sent.entry((from, to, D::kind(&message))).or_default() += 1;
        let mut out = Writer::new();
        message.encode(&mut out);
        let message = Reader::whole(out.into_bytes()).map_err(|what| format!("{what} in {shown}"))?;
        let life = self.nodes[&from].life;
        let carries = image.is_some();
        self.images += usize::from(carries);
        let lost = !self.network.send(from, to, Packet { message, image, life });
        self.say_traffic(format!("  {from} sends {to} {shown}{}", if lost { " (lost)" } else { "" }));
        if lost && carries {
            self.node(from).unsent.push(to);
        }
        Ok(())
    }

    fn commit(&mut self, id: NodeId, upto: Index) -> Result<(), String> {
        let from = self.nodes[&id].state.id.index;
        let core = self.nodes[&id].core.as_ref().expect("the core has just been stepped");
        let entries = core.entries(from.next(), upto);
        if upto <= from || entries.len() as u64 != upto - from {
            return Err(format!("{id} commits up to {upto} after {from} but has {} entries", entries.len()));
        }
        let status = core.status();
        let round = status.promised.round;
        let news = self.ghost.commits(id, round, &entries)?;
        let mut ghost = std::mem::take(&mut self.ghost);
        let held = news.iter().try_for_each(|entry| {
            let holds = |node: NodeId| self.nodes.get(&node).is_some_and(|node| node.disk.holds(entry));
            let leaders = self.leaders().into_iter().filter_map(|node| {
                let ballot = Ballot { round: self.status(node)?.promised.round, node };
                Some((node, ballot, &self.nodes.get(&node)?.believed))
            });
            ghost.holds(entry, &status.membership, holds, leaders)
        });
        self.ghost = ghost;
        held?;
        for entry in entries {
            self.node(id).state.apply(&entry).map_err(|what| format!("at {id} {what}"))?;
            let command = entry.kind == EntryKind::Command;
            let neutral = command.then(|| format!("  {id} applies {}", show_data(&entry)));
            self.say(neutral, Some(format!("  {id} applies {}", show_entry(&entry))));
        }
        Ok(())
    }

    fn install(&mut self, id: NodeId, at: LogId, staged: Option<&Image>) -> Result<(), String> {
        let image = staged.filter(|image| image.id == at);
        let image =
            image.ok_or_else(|| format!("{id} installs an image at {at} that is not staged"))?.clone();
        if at.index <= self.nodes[&id].state.id.index {
            return Err(format!("{id} installs an image at {at}, behind its state"));
        }
        self.ghost.commits(id, at.ballot.round, &image.entries)?;
        let commands = image.entries.iter().filter(|entry| entry.kind == EntryKind::Command).count();
        let node = self.node(id);
        node.disk.checkpoint = image.clone();
        node.state = image;
        let neutral = format!("  {id} takes an image of {commands} commands");
        self.say(Some(neutral), Some(format!("  {id} installs {}:{}", at.index, at.ballot.round)));
        Ok(())
    }

    fn role(&mut self, id: NodeId, role: Role, round: u64, leader: Option<NodeId>) -> Result<(), String> {
        if role == Role::Leader {
            let log = &self.nodes[&id].believed;
            self.ghost.leads(id, round, log)?;
        }
        let told = self.nodes[&id].follows;
        self.node(id).follows = leader;
        let (neutral, full) = match (role, leader) {
            (Role::Leader, None) => (None, format!("  {id} hands over in {round}")),
            (Role::Leader, _) => (Some(format!("  {id} leads")), format!("  {id} leads in {round}")),
            (Role::Candidate, _) => (None, format!("  {id} stands in {round}")),
            (Role::Follower, Some(l)) => {
                (Some(format!("  {id} follows {l}")), format!("  {id} follows {l} in {round}"))
            }
            (Role::Follower, None) if told == Some(id) => {
                (Some(format!("  {id} leads no more")), format!("  {id} waits in {round}"))
            }
            (Role::Follower, None) => (None, format!("  {id} waits in {round}")),
        };
        self.say(neutral.filter(|_| told != leader), Some(full));
        Ok(())
    }

    fn read_ready(&mut self, id: NodeId, read: ReadId, index: Index) -> Result<(), String> {
        let life = self.nodes[&id].life;
        self.ghost.answered(id, life, read, index)?;
        self.node(id).reads.insert(read, ReadState::Ready(index));
        self.say(None, Some(format!("  {id} may serve read {} at {index}", read.0)));
        Ok(())
    }

    /// Serve the reads whose index the state machine has reached.
    fn serve_reads(&mut self, id: NodeId) {
        let node = self.node(id);
        let at = node.state.id.index;
        let mut served = Vec::new();
        for (read, state) in &mut node.reads {
            if matches!(state, ReadState::Ready(index) if *index <= at) {
                *state = ReadState::Served(at);
                served.push(*read);
            }
        }
        let commands = node.state.entries.iter().filter(|entry| entry.kind == EntryKind::Command).count();
        for read in served {
            let line = format!("  {id} serves read {} after {commands} commands", read.0);
            self.say(Some(line.clone()), Some(line));
        }
    }

    /// Look at a replica after a step.
    fn look(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.nodes.get_mut(&id).expect("the cluster has this node");
        let core = node.core.as_ref().expect("the core has just been stepped");
        core.check().map_err(|violation| format!("{id} finds: {}", violation.0))?;
        let status = core.status();
        let shown = (self.ghost.rank(status.promised), status.commit);
        if shown.0 < node.shown.0 || shown.1 < node.shown.1 {
            return Err(format!("{id} goes back from {:?} to {shown:?} (promise, commit)", node.shown));
        }
        node.shown = shown;
        let facts = [
            (status.last == node.believed.last(), "its log ends where its writes do"),
            (status.base == node.believed.base, "its log starts where its writes do"),
            (status.commit == node.state.id.index, "what it has committed was handed out"),
        ];
        match facts.iter().find(|(holds, _)| !holds) {
            Some((_, fact)) => Err(format!("{id} breaks: {fact}")),
            None => Ok(()),
        }
    }
}
