//! The operator: changes the membership, hands the leadership over, replaces what is lost.
//!
//! What it knows it reads from the members table of the most advanced node, as an operator would by asking the cluster;
//! what it wants it puts through the log as a command, again and again until the table says so. A new node joins
//! with an empty disk and is a learner first; it is promoted once it has caught up. A lost node is replaced by a
//! new one under a new id. Nodes that were removed run on for a while, as they do in life.

use std::collections::{BTreeMap, BTreeSet};

use quorate_kv::{Command, Member, MemberChange, Members, MemoryStorage, State};
use quorate_protocol::{Consensus, Membership, NodeId, Random};
use quorate_replica::Input;

use super::Deed;
use crate::env::Event;
use crate::host::{Host, node, place};
use crate::node::{Node, NodeEvent};
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::{note, tell};
use crate::world::World;

/// Members at a time, at most.
const MOST_MEMBERS: usize = 7;

/// Nodes in a run, at most.
const MOST_NODES: usize = 20;

/// A node counts as caught up if it lacks no more than so many entries.
const CAUGHT_UP: u64 = 20;

/// What the operator keeps in mind.
#[derive(Debug, Default)]
pub struct Operator {
    founders: usize,
    /// Who replaces whom.
    replacements: BTreeMap<NodeId, NodeId>,
    /// Learners that are to stay learners.
    learners: BTreeSet<NodeId>,
    /// Changes that the table does not show yet.
    wanted: Vec<MemberChange>,
    /// Newcomers that are to take the places of old voters, all at once.
    swap: Option<(Vec<NodeId>, Vec<NodeId>)>,
}

impl Operator {
    /// The operator of a cluster that begins with so many voters.
    pub fn new(founders: usize) -> Self {
        Operator { founders, ..Operator::default() }
    }

    /// The state that all founders begin with.
    pub fn founded(&self, write_quorum: u32) -> MemoryStorage {
        let voters: Vec<NodeId> = (0..self.founders).map(node).collect();
        let members = voters.iter().map(|id| Member {
            id: id.0,
            name: id.to_string(),
            peer_urls: vec![url(*id)],
            ..Member::default()
        });
        let membership =
            Membership::new(voters.iter().copied(), []).with_write_quorum(write_quorum).to_bytes();
        State::found(MemoryStorage::new(), members, membership).into_storage()
    }

    /// Whether nothing is wanted any more.
    pub(super) fn is_content(&self) -> bool {
        self.wanted.is_empty() && self.swap.is_none()
    }
}

fn url(id: NodeId) -> String {
    format!("node-{id}")
}

/// Whether the table is as a change wants it.
fn holds(change: &MemberChange, members: &Members) -> bool {
    match change {
        MemberChange::Add { id, .. } => members.get(*id).is_some() || members.is_removed(*id),
        MemberChange::Remove { id, .. } => members.is_removed(*id),
        MemberChange::Promote { id, .. } => members.get(*id).is_none_or(|member| !member.is_learner),
        MemberChange::Replace { old, new } => members.is_removed(*old) || members.get(*new).is_some(),
        MemberChange::Update { .. } => true,
    }
}

impl<C: Consensus> World<C> {
    /// The most advanced node that is up.
    fn authority(&self) -> Option<&Host<C>> {
        let up = self.ground.nodes.iter().filter_map(Node::host);
        up.max_by_key(|host| host.state.meta().applied_index)
    }

    /// The members table, as far as anybody knows.
    pub(crate) fn members(&self) -> Members {
        self.authority().map_or_else(Members::default, |host| host.state.members().clone())
    }

    /// The membership in force, if it is settled and is what the table asks for.
    pub(crate) fn settled(&self) -> Option<Membership> {
        let leader =
            self.ground.nodes.iter().filter_map(Node::host).find(|host| self.ground.leads(host.place))?;
        let target = self.ground.env.membership(&self.members());
        let status = leader.replica.status();
        (status.membership == target && status.commit == status.last.index).then_some(target)
    }

    /// How many voters the operator wants removed, though the table does not show it yet.
    pub(crate) fn leaving(&self) -> usize {
        let removal = |change: &&MemberChange| matches!(change, MemberChange::Remove { .. });
        self.operator.wanted.iter().filter(removal).count()
    }

    /// How many of so many voters may be damaged: those left can still elect a leader and accept what it proposes, and of
    /// those who accepted a value one at least still has it.
    pub(crate) fn bearable(&self, voters: usize) -> usize {
        let accept = match self.ground.env.swarm.write_quorum as usize {
            0 => voters / 2 + 1,
            write => write.min(voters),
        };
        accept.min((voters + 1).saturating_sub(accept)).saturating_sub(1)
    }

    /// The places of the members.
    pub(crate) fn service(&self) -> Vec<usize> {
        self.members().iter().map(|member| place(NodeId(member.id))).collect()
    }

    /// Let the operator begin.
    pub(crate) fn employ(&mut self) {
        let delay = self.ground.env.swarm.election_us() / 2;
        self.ground.env.after(delay, Event::Nemesis(Deed::Operate));
    }

    /// Look after the cluster.
    pub(super) fn operate(&mut self) {
        let members = self.members();
        self.replace_lost(&members);
        self.promote(&members);
        self.swap(&members);
        self.operator.wanted.retain(|change| !holds(change, &members));
        let wanted = self.operator.wanted.clone();
        for change in wanted {
            self.propose(change);
        }
        self.update_servers(&members);
        self.employ();
    }

    /// Whether everything that the operator wants is there.
    pub(crate) fn is_staffed(&self) -> bool {
        let members = self.members();
        let well = |id: u64| self.ground.nodes.get(place(NodeId(id))).is_some_and(Node::is_well);
        let promoted = |id: u64| self.operator.learners.contains(&NodeId(id));
        self.operator.is_content()
            && self.settled().is_some()
            && members.iter().all(|member| well(member.id))
            && members.learners().all(promoted)
    }

    fn propose(&mut self, change: MemberChange) {
        let to = match self.ground.nodes.iter().position(|node| self.ground.leads(node.place)) {
            Some(leader) => leader,
            None => return,
        };
        tell!(self.ground.env, "the operator asks node {}: {change:?}", to + 1);
        self.ground.nodes[to].propose(&Command::Member(change), &mut self.ground.env);
    }

    /// A new node, with nothing on its disk; it starts at once.
    fn new_node(&mut self) -> NodeId {
        let place = self.ground.nodes.len();
        let new = Node::new(place, MemoryStorage::new(), &mut self.ground.env);
        self.ground.nodes.push(new);
        self.ground.env.places = self.ground.nodes.len();
        self.ground.env.after_at(1_000, place, 0, NodeEvent::Start);
        node(place)
    }

    fn replace_lost(&mut self, members: &Members) {
        for id in members.iter().map(|member| NodeId(member.id)) {
            let lost = self.ground.nodes.get(place(id)).is_some_and(|node| !node.is_well());
            if lost && !self.operator.replacements.contains_key(&id) {
                let new = self.new_node();
                self.ground.env.stats.fault(Fault::Replace);
                self.operator.replacements.insert(id, new);
                self.operator.learners.remove(&id);
                self.operator.wanted.push(MemberChange::Replace { old: id.0, new: new.0 });
            }
        }
    }

    /// Promote the learners that have caught up, but for those that are to stay.
    fn promote(&mut self, members: &Members) {
        let applied = self.authority().map_or(0, |host| host.state.meta().applied_index);
        for id in members.learners().collect::<Vec<_>>() {
            let has =
                self.ground.nodes[place(NodeId(id))].host().map_or(0, |host| host.state.meta().applied_index);
            let change = MemberChange::Promote { id, strict: false };
            let swapped = self.operator.swap.as_ref().is_some_and(|(new, _)| new.contains(&NodeId(id)));
            let stays = swapped || self.operator.learners.contains(&NodeId(id));
            if !stays && has > 0 && has + CAUGHT_UP >= applied && !self.operator.wanted.contains(&change) {
                self.operator.wanted.push(change);
            }
        }
    }

    /// When all newcomers have caught up, they and the old voters change places in one step; and at that moment
    /// those who know of it may lose those who do not.
    fn swap(&mut self, members: &Members) {
        let Some((new, old)) = &self.operator.swap else { return };
        let applied = |id: NodeId| {
            self.ground.nodes[place(id)].host().map_or(0, |host| host.state.meta().applied_index)
        };
        let there = |id: &NodeId| members.get(id.0).is_some() && applied(*id) > 0;
        let lost = |id: &NodeId| !self.ground.nodes[place(*id)].is_well();
        let give_up = new.iter().chain(old).any(lost) || !self.ground.env.damaged.is_empty();
        if !give_up && !new.iter().all(there) {
            return;
        }
        let Some((new, old)) = self.operator.swap.take() else { return };
        if give_up {
            return;
        }
        let promoted = new.iter().map(|id| MemberChange::Promote { id: id.0, strict: false });
        let removed = old.iter().map(|id| MemberChange::Remove { id: id.0, strict: false });
        self.operator.wanted.extend(promoted.chain(removed));
        let id = self.ground.env.deeds.strike();
        let mut dice = self.ground.env.deeds.dice(id);
        if self.ground.env.deeds.wanted(id) && dice.percent(60) {
            note!(
                self.ground.env,
                Happening::Deed { id, what: "newcomers are to be parted from the others" }
            );
            let soon = dice.below(
                6 * self.ground.env.swarm.pace.network_us.1 + 4 * self.ground.env.swarm.pace.disk_us.1,
            );
            self.ground.env.after(soon, Event::Nemesis(Deed::Split { new, dice }));
        }
    }

    /// The newcomers and the leader on one side, all others on the other.
    pub(super) fn split(&mut self, new: &[NodeId], mut dice: Random) {
        let leader = self.ground.a_leader(&mut dice);
        let known = |at: usize| new.contains(&node(at)) || leader == Some(at);
        self.ground.env.stats.fault(Fault::Partition);
        self.ground.cut("the newcomers and the leader apart", &mut dice, |from, to| known(from) != known(to));
    }

    /// Clients ask members. A node that was replaced counts as damaged until its successor votes.
    fn update_servers(&mut self, members: &Members) {
        let serving = members.iter().map(|member| place(NodeId(member.id)));
        let serving: Vec<usize> = serving.filter(|at| *at < self.ground.nodes.len()).collect();
        if !serving.is_empty() {
            self.ground.env.serving = serving;
        }
        if let Some(settled) = self.settled() {
            let settled = |id: &NodeId| settled.voters().contains(*id);
            let replacements = &self.operator.replacements;
            let replaced: Vec<usize> = replacements
                .iter()
                .filter(|(old, new)| members.is_removed(old.0) && settled(new))
                .map(|(old, _)| place(*old))
                .collect();
            self.ground.env.damaged.retain(|at, _| !replaced.contains(at));
        }
    }

    /// Change something of the membership.
    pub(super) fn change_membership(&mut self, dice: &mut Random) {
        let Some(settled) = self.settled().filter(|_| self.operator.is_content()) else { return };
        let voters: Vec<NodeId> = settled.voters().nodes().to_vec();
        let size = settled.nodes().len();
        let room = size < MOST_MEMBERS && self.ground.nodes.len() < MOST_NODES;
        self.ground.env.stats.fault(Fault::Change);
        match dice.below(7) {
            0 | 1 if room => self.want_new(dice.percent(30)),
            2 | 3 => self.want_removal(&settled, dice),
            // Several at once: one change through a joint membership.
            4 | 5 if self.ground.nodes.len() + 1 < MOST_NODES && self.ground.env.damaged.is_empty() => {
                let mut old = voters;
                let count = dice.between(1, old.len() as u64 / 2 + 2) as usize;
                while old.len() > count {
                    old.remove(dice.below(old.len() as u64) as usize);
                }
                let new: Vec<NodeId> = old.iter().map(|_| self.new_node()).collect();
                new.iter().for_each(|id| self.want_learner(*id));
                self.operator.swap = Some((new, old));
            }
            _ => {
                self.operator.learners.clear();
                if voters.len() > 3 {
                    self.want_removal(&settled, dice);
                }
            }
        }
    }

    fn want_new(&mut self, stays_learner: bool) {
        let id = self.new_node();
        if stays_learner {
            self.operator.learners.insert(id);
        }
        self.want_learner(id);
    }

    fn want_learner(&mut self, id: NodeId) {
        self.operator.wanted.push(MemberChange::Add {
            id: id.0,
            peer_urls: vec![url(id)],
            is_learner: true,
            max_learners: 10,
            strict: false,
        });
    }

    /// Remove a voter, perhaps the leader, if enough others are left, and none of them too few for the damaged.
    fn want_removal(&mut self, settled: &Membership, dice: &mut Random) {
        let voters = settled.voters().nodes();
        let left = voters.len() - 1;
        if left < 2 || self.ground.env.damaged.len() > self.bearable(left) {
            return;
        }
        let leader = self.ground.a_leader(dice).map(node).filter(|id| voters.contains(id));
        let drawn = voters[dice.below(voters.len() as u64) as usize];
        let id = leader.filter(|_| dice.percent(40)).unwrap_or(drawn);
        self.operator.wanted.push(MemberChange::Remove { id: id.0, strict: false });
    }

    /// Ask the leader to hand over.
    pub(super) fn transfer(&mut self, dice: &mut Random) {
        let Some(leader) = self.ground.a_leader(dice) else { return };
        let voters: Vec<u64> = self.members().voters().collect();
        if voters.is_empty() {
            return;
        }
        let to = NodeId(voters[dice.below(voters.len() as u64) as usize]);
        self.ground.env.stats.fault(Fault::Transfer);
        tell!(self.ground.env, "the operator asks node {} to hand over to {to}", leader + 1);
        self.ground.nodes[leader].step(Input::Transfer(to), &mut self.ground.env);
        match dice.below(4) {
            // The old leader hears nothing of what comes of it.
            // With it, where a majority is left without it, stays one that asks it at which index to read.
            0 | 1 => {
                let friend = voters[dice.below(voters.len() as u64) as usize] as usize - 1;
                let target = place(to);
                let friend = (voters.len() >= 5 && friend != target).then_some(friend);
                let ours = |at: usize| at == leader || friend == Some(at);
                self.ground.env.stats.fault(Fault::OneWay);
                self.ground.cut("an old leader and its friend, but for its word", dice, |from, to| {
                    ours(from) != ours(to) && (from, to) != (leader, target)
                });
            }
            2 => {
                let soon = dice.below(4 * self.ground.env.swarm.pace.network_us.1);
                let dice = dice.fork();
                self.ground.env.after(soon, Event::Nemesis(Deed::Isolate { node: leader, dice }));
            }
            _ => {}
        }
    }
}
