//! The operator: changes the membership, hands the leadership over, replaces what is lost.
//!
//! What it knows it reads from the members table of the most advanced node, as an operator would by asking the cluster;
//! what it wants it puts through the log as a command, again and again until the table says so. A new node joins
//! with an empty disk and is a learner first; it is promoted once it has caught up. A lost node is replaced by a
//! new one under a new id. Nodes that were removed run on for a while, as they do in life.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

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

/// Nodes in a run of one group, at most.
const MOST_NODES: usize = 20;

/// Nodes in a run, at most.
const MOST_PLACES: usize = 60;

/// A node counts as caught up if it lacks no more than so many entries.
const CAUGHT_UP: u64 = 20;

/// What the operator keeps in mind.
#[derive(Debug, Default)]
pub struct Operator {
    /// The places of its first members.
    founders: Range<usize>,
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
    /// The operator of a group that begins with the voters at these places.
    pub fn new(founders: Range<usize>) -> Self {
        Operator { founders, ..Operator::default() }
    }

    /// The state that all founders begin with.
    pub fn founded(&self, write_quorum: u32) -> MemoryStorage {
        let voters: Vec<NodeId> = self.founders.clone().map(node).collect();
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
    fn authority(&self, group: usize) -> Option<&Host<C>> {
        self.hosts(group).max_by_key(|host| host.state.meta().applied_index)
    }

    /// The members table, as far as anybody knows.
    pub(crate) fn members(&self, group: usize) -> Members {
        self.authority(group).map_or_else(Members::default, |host| host.state.members().clone())
    }

    /// The membership in force, if it is settled and is what the table asks for.
    pub(crate) fn settled(&self, group: usize) -> Option<Membership> {
        let leader = self.hosts(group).find(|host| self.ground.leads(host.place))?;
        let target = self.ground.env.membership(&self.members(group));
        let status = leader.replica.status();
        (status.membership == target && status.commit == status.last.index).then_some(target)
    }

    /// How many voters the operator wants removed, though the table does not show it yet.
    pub(crate) fn leaving(&self, group: usize) -> usize {
        let removal = |change: &&MemberChange| matches!(change, MemberChange::Remove { .. });
        self.operators[group].wanted.iter().filter(removal).count()
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
    pub(crate) fn service(&self, group: usize) -> Vec<usize> {
        self.members(group).iter().map(|member| place(NodeId(member.id))).collect()
    }

    /// A node of a group that believes to lead, if there is one; of several, any.
    pub(super) fn leader_of(&self, group: usize, dice: &mut Random) -> Option<usize> {
        let places = self.hosts(group).map(|host| host.place);
        let leaders: Vec<usize> = places.filter(|&place| self.ground.leads(place)).collect();
        let drawn = dice.below(leaders.len().max(1) as u64) as usize;
        leaders.get(drawn).copied()
    }

    fn most_nodes(&self) -> usize {
        (MOST_NODES * self.operators.len()).min(MOST_PLACES)
    }

    /// Let the operator begin.
    pub(crate) fn employ(&mut self) {
        let delay = self.ground.env.swarm.election_us() / 2;
        self.ground.env.after(delay, Event::Nemesis(Deed::Operate));
    }

    /// Look after the groups.
    pub(super) fn operate(&mut self) {
        (0..self.operators.len()).for_each(|group| self.look_after(group));
        self.employ();
    }

    fn look_after(&mut self, group: usize) {
        let members = self.members(group);
        self.replace_lost(group, &members);
        self.promote(group, &members);
        self.swap(group, &members);
        self.operators[group].wanted.retain(|change| !holds(change, &members));
        let wanted = self.operators[group].wanted.clone();
        for change in wanted {
            self.propose(group, change);
        }
        // Where one proposal is taken at a time, each is to be the first some day: one may have to wait for another.
        let count = self.operators[group].wanted.len();
        self.operators[group].wanted.rotate_left(count.min(1));
        self.update_servers(group, &members);
    }

    /// Whether everything that the operator wants is there.
    pub(crate) fn is_staffed(&self, group: usize) -> bool {
        let members = self.members(group);
        let well = |id: u64| self.ground.nodes.get(place(NodeId(id))).is_some_and(Node::is_well);
        let promoted = |id: u64| self.operators[group].learners.contains(&NodeId(id));
        self.operators[group].is_content()
            && self.settled(group).is_some()
            && members.iter().all(|member| well(member.id))
            && members.learners().all(promoted)
    }

    fn propose(&mut self, group: usize, change: MemberChange) {
        let Some(to) = self.hosts(group).map(|host| host.place).find(|at| self.ground.leads(*at)) else {
            return;
        };
        tell!(self.ground.env, "the operator asks node {}: {change:?}", to + 1);
        self.ground.nodes[to].propose(&Command::Member(change), &mut self.ground.env);
    }

    /// A new node, with nothing on its disk; it starts at once.
    fn new_node(&mut self, group: usize) -> NodeId {
        let place = self.ground.nodes.len();
        let new = Node::new(place, group, MemoryStorage::new(), &mut self.ground.env);
        self.ground.nodes.push(new);
        self.ground.env.places = self.ground.nodes.len();
        self.ground.env.after_at(1_000, place, 0, NodeEvent::Start);
        node(place)
    }

    fn replace_lost(&mut self, group: usize, members: &Members) {
        for id in members.iter().map(|member| NodeId(member.id)) {
            let lost = self.ground.nodes.get(place(id)).is_some_and(|node| !node.is_well());
            if lost && !self.operators[group].replacements.contains_key(&id) {
                let new = self.new_node(group);
                self.ground.env.stats.fault(Fault::Replace);
                self.operators[group].replacements.insert(id, new);
                self.operators[group].learners.remove(&id);
                self.operators[group].wanted.push(MemberChange::Replace { old: id.0, new: new.0 });
            }
        }
    }

    /// Promote the learners that have caught up, but for those that are to stay.
    fn promote(&mut self, group: usize, members: &Members) {
        let applied = self.authority(group).map_or(0, |host| host.state.meta().applied_index);
        for id in members.learners().collect::<Vec<_>>() {
            let has =
                self.ground.nodes[place(NodeId(id))].host().map_or(0, |host| host.state.meta().applied_index);
            let change = MemberChange::Promote { id, strict: false };
            let swapped =
                self.operators[group].swap.as_ref().is_some_and(|(new, _)| new.contains(&NodeId(id)));
            let stays = swapped || self.operators[group].learners.contains(&NodeId(id));
            if !stays
                && has > 0
                && has + CAUGHT_UP >= applied
                && !self.operators[group].wanted.contains(&change)
            {
                self.operators[group].wanted.push(change);
            }
        }
    }

    /// When all newcomers have caught up, they and the old voters change places in one step; and at that moment
    /// those who know of it may lose those who do not.
    fn swap(&mut self, group: usize, members: &Members) {
        let Some((new, old)) = &self.operators[group].swap else { return };
        let applied = |id: NodeId| {
            self.ground.nodes[place(id)].host().map_or(0, |host| host.state.meta().applied_index)
        };
        let there = |id: &NodeId| members.get(id.0).is_some() && applied(*id) > 0;
        let lost = |id: &NodeId| !self.ground.nodes[place(*id)].is_well();
        let give_up = new.iter().chain(old).any(lost) || self.ground.env.damaged_in(group) > 0;
        if !give_up && !new.iter().all(there) {
            return;
        }
        let Some((new, old)) = self.operators[group].swap.take() else { return };
        if give_up {
            return;
        }
        let promoted = new.iter().map(|id| MemberChange::Promote { id: id.0, strict: false });
        let removed = old.iter().map(|id| MemberChange::Remove { id: id.0, strict: false });
        self.operators[group].wanted.extend(promoted.chain(removed));
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
        let group = self.ground.env.group_of(place(new[0]));
        let leader = self.leader_of(group, &mut dice);
        let known = |at: usize| new.contains(&node(at)) || leader == Some(at);
        self.ground.env.stats.fault(Fault::Partition);
        self.ground.cut("the newcomers and the leader apart", &mut dice, |from, to| known(from) != known(to));
    }

    /// Clients ask members. A node that was replaced counts as damaged until its successor votes.
    fn update_servers(&mut self, group: usize, members: &Members) {
        let serving = members.iter().map(|member| place(NodeId(member.id)));
        let serving: Vec<usize> = serving.filter(|at| *at < self.ground.nodes.len()).collect();
        if !serving.is_empty() {
            self.ground.env.serving[group] = serving;
        }
        if let Some(settled) = self.settled(group) {
            let settled = |id: &NodeId| settled.voters().contains(*id);
            let replacements = &self.operators[group].replacements;
            let replaced: Vec<usize> = replacements
                .iter()
                .filter(|(old, new)| members.is_removed(old.0) && settled(new))
                .map(|(old, _)| place(*old))
                .collect();
            self.ground.env.damaged.retain(|at, _| !replaced.contains(at));
        }
    }

    /// Change something of the membership.
    pub(super) fn change_membership(&mut self, group: usize, dice: &mut Random) {
        let Some(settled) = self.settled(group).filter(|_| self.operators[group].is_content()) else {
            return;
        };
        let voters: Vec<NodeId> = settled.voters().nodes().to_vec();
        let size = settled.nodes().len();
        let room = size < MOST_MEMBERS && self.ground.nodes.len() < self.most_nodes();
        self.ground.env.stats.fault(Fault::Change);
        match dice.below(7) {
            0 | 1 if room => self.want_new(group, dice.percent(30)),
            2 | 3 => self.want_removal(group, &settled, dice),
            // Several at once: one change through a joint membership.
            4 | 5
                if self.ground.nodes.len() + 1 < self.most_nodes()
                    && self.ground.env.damaged_in(group) == 0 =>
            {
                let mut old = voters;
                let count = dice.between(1, old.len() as u64 / 2 + 2) as usize;
                while old.len() > count {
                    old.remove(dice.below(old.len() as u64) as usize);
                }
                let new: Vec<NodeId> = old.iter().map(|_| self.new_node(group)).collect();
                new.iter().for_each(|id| self.want_learner(group, *id));
                self.operators[group].swap = Some((new, old));
            }
            _ => {
                self.operators[group].learners.clear();
                if voters.len() > 3 {
                    self.want_removal(group, &settled, dice);
                }
            }
        }
    }

    fn want_new(&mut self, group: usize, stays_learner: bool) {
        let id = self.new_node(group);
        if stays_learner {
            self.operators[group].learners.insert(id);
        }
        self.want_learner(group, id);
    }

    fn want_learner(&mut self, group: usize, id: NodeId) {
        self.operators[group].wanted.push(MemberChange::Add {
            id: id.0,
            peer_urls: vec![url(id)],
            is_learner: true,
            max_learners: 10,
            strict: false,
        });
    }

    /// Remove a voter, perhaps the leader, if enough others are left, and none of them too few for the damaged.
    fn want_removal(&mut self, group: usize, settled: &Membership, dice: &mut Random) {
        let voters = settled.voters().nodes();
        let left = voters.len() - 1;
        if left < 2 || self.ground.env.damaged_in(group) > self.bearable(left) {
            return;
        }
        let leader = self.leader_of(group, dice).map(node).filter(|id| voters.contains(id));
        let drawn = voters[dice.below(voters.len() as u64) as usize];
        let id = leader.filter(|_| dice.percent(40)).unwrap_or(drawn);
        self.operators[group].wanted.push(MemberChange::Remove { id: id.0, strict: false });
    }

    /// Ask the leader to hand over.
    pub(super) fn transfer(&mut self, group: usize, dice: &mut Random) {
        let Some(leader) = self.leader_of(group, dice) else { return };
        let voters: Vec<u64> = self.members(group).voters().collect();
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
