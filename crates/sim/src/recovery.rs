//! Peace, and what it must bring.
//!
//! When the faults end, everything is healed: links whole, nodes started, pauses over, disks and links quick. From
//! then on the cluster has a bounded time to come back: a leader that all know; a put through every node; all
//! nodes at the same entry with the same state; every watcher told everything; leases ended. A protocol that is safe
//! because it never does anything fails here.

use quorate_protocol::Consensus;

use crate::env::Event;
use crate::ground::Still;
use crate::story::Happening;
use crate::swarm::{Faults, Pace};
use crate::trace::note;
use crate::world::World;

/// How often to look: in ticks.
const POLL_TICKS: u64 = 2;

/// How far the cluster has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Waiting for a leader.
    #[default]
    Leader,
    /// Waiting for the operator to have replaced what is lost.
    Staff,
    /// Waiting for all to be the same, with nothing new to push them there.
    Quiet,
    /// Waiting for a put through every node.
    Service,
    /// Waiting for leases to end.
    Leases,
    /// Waiting for all to be the same again.
    Convergence,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The faults are over.
    pub begun: bool,
    /// All is well again.
    pub finished: bool,
    deadline: u64,
    stage: Stage,
}

impl<C: Consensus> World<C> {
    /// The faults end.
    pub fn calm(&mut self) {
        note!(self.ground.env, Happening::Peace);
        self.ground.env.trace.event(50, self.ground.env.now, 0, 0);
        self.ground.env.swarm.pace = Pace::calm();
        self.ground.env.swarm.faults = Faults::default();
        self.ground.env.heal_links();
        self.ground.env.network.end_trouble();
        self.ground.env.slow_disks.clear();
        for node in &mut self.ground.nodes {
            node.still = Still::default();
            node.trouble.end();
            node.start_soon(&mut self.ground.env);
            // The bound of peace has room for that; the one of atomic commit has not.
            if self.ground.env.swarm.is_atomic() {
                node.quicken(&mut self.ground.env);
            }
        }
        self.clients.silent = true;
        self.transactors.silent = true;
        self.ground.env.atomic.healed(self.ground.env.now);
        self.watchers.steady = true;
        let leases_us = if self.ground.env.swarm.load.leases { 8_000_000 } else { 0 };
        // To replace a node takes an image, two changes of the membership and the operator's own time.
        let bound_us = 3_000_000 + 30 * self.ground.env.swarm.election_us() + leases_us;
        self.recovery =
            Recovery { begun: true, deadline: self.ground.env.now + bound_us, ..Recovery::default() };
        self.ground.env.after(POLL_TICKS * self.ground.env.swarm.tick_us, Event::Poll);
    }

    /// Look how far the cluster has come.
    pub fn poll(&mut self) {
        self.ground.env.trace.event(51, self.ground.env.now, self.recovery.stage as u64, 0);
        self.check_logs();
        let verdict = self.ground.env.atomic.check(self.ground.env.now);
        self.ground.env.checks.note(verdict);
        let stage = self.recovery.stage;
        match stage {
            Stage::Leader if self.all(Self::is_led) => self.recovery.stage = Stage::Staff,
            Stage::Staff if self.all(Self::is_staffed) => {
                (0..self.operators.len()).for_each(|group| self.switch_off_removed(group));
                self.recovery.stage = Stage::Quiet;
            }
            Stage::Quiet if self.busy() == 0 && self.converged() => {
                self.recovery.stage = Stage::Service;
                self.probe();
            }
            Stage::Service if self.unserved().is_empty() && self.busy() == 0 => {
                self.recovery.stage = Stage::Leases;
                self.recovery.deadline += self.revoking_us();
            }
            Stage::Leases if self.leases() == 0 => self.recovery.stage = Stage::Convergence,
            Stage::Convergence => self.recovery.finished = self.converged(),
            _ => {}
        }
        if self.recovery.finished {
            return;
        }
        if self.ground.env.now >= self.recovery.deadline {
            return self.give_up();
        }
        self.ground.env.after(POLL_TICKS * self.ground.env.swarm.tick_us, Event::Poll);
    }

    /// Requests of clients under way.
    fn busy(&self) -> usize {
        self.clients.busy() + self.transactors.busy()
    }

    /// Let clients see whether they are served: by every node, or by every site.
    fn probe(&mut self) {
        if self.ground.env.swarm.is_atomic() {
            return self.transactors.probe(&mut self.ground.env);
        }
        self.clients.probe(&self.service(0), &mut self.ground.env);
    }

    /// Nodes, or sites, through which nobody was served yet.
    fn unserved(&self) -> Vec<usize> {
        [self.clients.unserved(), self.transactors.unserved()].concat()
    }

    /// Whether something is so of all groups.
    fn all(&self, is_so: impl Fn(&Self, usize) -> bool) -> bool {
        (0..self.operators.len()).all(|group| is_so(self, group))
    }

    /// Whether all nodes of a group are up and agree on a leader.
    fn is_led(&self, group: usize) -> bool {
        let service = self.service(group);
        let mut well = service.iter().map(|at| &self.ground.nodes[*at]).filter(|node| node.is_well());
        let leads = service.iter().copied().find(|at| self.ground.leads(*at)).map(crate::host::node);
        leads.is_some() && well.all(|node| node.host().is_some_and(|host| host.leader == leads))
    }

    /// Nodes that were removed are of no more use.
    fn switch_off_removed(&mut self, group: usize) {
        let members = self.members(group);
        for node in &mut self.ground.nodes {
            if members.is_removed(node.id().0) {
                node.retire(&mut self.ground.env);
            }
        }
    }

    fn leases(&self) -> usize {
        let service = self.service(0);
        service
            .iter()
            .filter_map(|at| self.ground.nodes[*at].host())
            .map(|host| host.state.leases().count())
            .sum()
    }

    /// Where there is room for one proposal at a time, leases that end together are ended one by one: of the rest
    /// each is refused, and the leader asks again after two seconds.
    fn revoking_us(&self) -> u64 {
        let one_by_one = self.ground.env.swarm.room.is_scant();
        if one_by_one { 2_100_000 * self.leases() as u64 } else { 0 }
    }

    /// Whether all nodes of each group are at the same entry, with the same state, and the watchers know all of it.
    fn converged(&mut self) -> bool {
        if !(0..self.operators.len()).all(|group| self.agrees(group)) {
            return false;
        }
        let revision = self.ground.env.checks.revision();
        self.watchers.behind(revision, &mut self.ground.env) == 0
    }

    fn agrees(&mut self, group: usize) -> bool {
        let mut applied = Vec::new();
        let service = self.service(group);
        for at in &service {
            let Some(host) = self.ground.nodes[*at].host() else { return false };
            if host.seat.as_ref().is_some_and(|seat| !seat.is_idle()) {
                return false;
            }
            let status = host.replica.status();
            let index = host.state.meta().applied_index;
            // In a slot after what is chosen an acceptor may hold for ever what nobody else accepted.
            if index != status.commit.0 || index != status.last.index.0 && !C::CAPS.sparse_log {
                return false;
            }
            applied.push(index);
        }
        if applied.iter().any(|index| *index != applied[0]) {
            return false;
        }
        for at in &service {
            let Some(host) = self.ground.nodes[*at].host() else { return false };
            self.ground.env.checks.state(host.id().0, applied[0], host.digest());
        }
        true
    }

    fn give_up(&mut self) {
        let mut detail = format!("stage {:?} is not over in time", self.recovery.stage);
        let unserved = self.unserved();
        let revision = self.ground.env.checks.revision();
        let behind = self.watchers.behind(revision, &mut self.ground.env);
        detail.push_str(&format!(
            "\nnodes without service {unserved:?}, requests under way {}, leases {}, watchers behind {behind}",
            self.busy(),
            self.leases()
        ));
        for node in &self.ground.nodes {
            let Some(host) = node.host() else {
                detail.push_str(&format!("\nnode {} is down", node.id()));
                continue;
            };
            let applied = host.state.meta().applied_index;
            detail.push_str(&format!("\nnode {}: applied {applied}, {:?}", node.id(), host.replica.status()));
            if let Some(seat) = &host.seat {
                detail.push_str(&format!("; {}", seat.open()));
            }
        }
        self.ground.env.checks.fail("Liveness", detail);
    }
}
