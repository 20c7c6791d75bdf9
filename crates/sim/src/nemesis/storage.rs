//! What the nemesis does to disks. What it may do there is told in [`crate::disks`].

use quorate_protocol::{Consensus, Random};
use quorate_wal::Verdict;

use super::Deed;
use crate::disks::{Strike, Target};
use crate::env::Event;
use crate::faults::Choice;
use crate::ground::Body;
use crate::report::Fault;
use crate::trace::tell;
use crate::world::World;

/// A sector of a disk.
const SECTOR: u64 = 512;

impl<C: Consensus> World<C> {
    /// Whether this node's disk may be damaged now: no more of the voters are damaged at a time than the others can
    /// make up for, a minority where majorities decide.
    fn may_damage(&self, node: usize) -> bool {
        let group = self.ground.env.group_of(node);
        // While a voter is about to be removed, those who will be left are not known yet.
        let Some(settled) = self.settled(group).filter(|_| self.operators[group].is_content()) else {
            return false;
        };
        let voters = settled.voters().nodes();
        // Who is on the way out will not be there to make up for it.
        let most = self.bearable(voters.len().saturating_sub(self.leaving(group)));
        voters.contains(&self.ground.nodes[node].id())
            && self.ground.nodes[node].is_well()
            && !self.ground.env.damaged.contains_key(&node)
            && self.ground.env.damaged_in(group) < most
    }

    /// Those that were damaged and are whole again.
    pub(super) fn note_repairs(&mut self) {
        let whole = |node: &usize, life: &u64| {
            let node = &self.ground.nodes[*node];
            node.is_well() && node.life > *life && node.host().is_some_and(|host| host.has_what_it_held())
        };
        let repaired: Vec<usize> = self
            .ground
            .env
            .damaged
            .iter()
            .filter(|(node, life)| whole(node, life))
            .map(|(node, _)| *node)
            .collect();
        for node in repaired {
            tell!(self.ground.env, "node {} is whole again", node + 1);
            self.ground.env.damaged.remove(&node);
        }
    }

    /// Let an operation of the disk fail, or lie, or be the last.
    pub(super) fn strike_disk(&mut self, choice: Choice, node: usize, dice: &mut Random) {
        let (target, verdict, fault) = match choice {
            Choice::WriteError if dice.percent(50) => {
                let bytes = dice.below(2_000) as usize;
                (Target::Writes, Verdict::Short(bytes), Fault::WriteError)
            }
            Choice::WriteError => (Target::Writes, Verdict::IoError, Fault::WriteError),
            Choice::FsyncError => (Target::Syncs, Verdict::IoError, Fault::FsyncError),
            Choice::ReadError => (Target::Reads, Verdict::IoError, Fault::ReadError),
            Choice::LostWrite => (Target::Writes, Verdict::Lose, Fault::LostWrite),
            Choice::Misdirected => {
                let sectors = self.ground.env.swarm.segment_bytes / SECTOR - 8;
                let elsewhere = dice.below(sectors) * SECTOR;
                (Target::Writes, Verdict::Misdirect(elsewhere), Fault::Misdirected)
            }
            _ => (Target::Any, Verdict::Halt, Fault::DiskCrash),
        };
        let damages = matches!(choice, Choice::LostWrite | Choice::Misdirected);
        let possible = if damages {
            self.may_damage(node) && self.ground.nodes[node].host().is_some()
        } else {
            self.ground.nodes[node].is_well()
        };
        if !possible {
            return;
        }
        let at_start = choice == Choice::ReadError || choice == Choice::DiskCrash && dice.percent(50);
        if at_start {
            self.ground.crash(node, dice);
        }
        let after = match choice {
            Choice::DiskCrash | Choice::ReadError => dice.below(60),
            _ => dice.below(4),
        };
        self.ground.nodes[node].trouble.arm(Strike { target, after, verdict, fault });
        tell!(self.ground.env, "trouble for the disk of node {}: {choice:?} after {after}", node + 1);
        if damages {
            // Counted as damaged from now on, whenever the strike falls.
            self.ground.env.damaged.insert(node, self.ground.nodes[node].life);
        }
    }

    pub(super) fn trouble_disk(&mut self, choice: Choice, node: usize, dice: &mut Random) {
        if !self.ground.nodes[node].is_well() {
            return;
        }
        let election_us = self.ground.env.swarm.election_us();
        let for_us = dice.between(election_us / 4, 5 * election_us);
        if choice == Choice::SlowDisk {
            self.ground.env.stats.fault(Fault::SlowDisk);
            self.ground.env.slow_disks.insert(node, self.ground.env.now + for_us);
            return;
        }
        self.ground.env.stats.fault(Fault::DiskFull);
        tell!(self.ground.env, "the disk of node {} is full for {for_us} us", node + 1);
        self.ground.nodes[node].trouble.set_full(true);
        self.ground.env.after(for_us, Event::Nemesis(Deed::Room { node }));
    }

    pub(super) fn room(&mut self, node: usize) {
        tell!(self.ground.env, "the disk of node {} has room again", node + 1);
        self.ground.nodes[node].trouble.set_full(false);
    }

    /// Flip a bit in what is certain to have been durable, and let the node find out.
    pub(super) fn flip_bit(&mut self, node: usize, dice: &mut Random) {
        let lately = dice.percent(30);
        if !self.flip(node, lately, dice) {
            return;
        }
        if dice.percent(80) {
            let (life, delay) =
                (self.ground.nodes[node].life, dice.below(4 * self.ground.env.swarm.election_us()));
            let dice = dice.fork();
            self.ground.env.after(delay, Event::Nemesis(Deed::Crash { node, life, dice }));
        }
    }

    fn flip(&mut self, node: usize, lately: bool, dice: &mut Random) -> bool {
        let flipped =
            self.may_damage(node) && self.ground.nodes[node].flip_bit(lately, dice, &mut self.ground.env);
        if flipped {
            self.ground.env.stats.fault(Fault::BitFlip);
            self.ground.env.damaged.insert(node, self.ground.nodes[node].life);
        }
        flipped
    }

    /// The worst moment for damage: some nodes miss what is committed without them; then one that has it loses it, and
    /// is left with those who never had it.
    pub(super) fn begin_rot(&mut self, victim: usize, dice: &mut Random) {
        let group = self.ground.env.group_of(victim);
        let Some(leader) = self.leader_of(group, dice).filter(|leader| *leader != victim) else { return };
        let Some(settled) = self.settled(group).filter(|_| self.may_damage(victim)) else { return };
        let voters = settled.voters().nodes().iter().map(|id| crate::host::place(*id));
        let others = voters.filter(|at| *at != leader && *at != victim);
        let majority = settled.voters().nodes().len() / 2 + 1;
        let keepers: Vec<usize> = [leader].into_iter().chain(others).take(majority - 1).collect();
        self.ground.env.stats.fault(Fault::Partition);
        tell!(self.ground.env, "nodes at {keepers:?} and node {} go on without the others", victim + 1);
        let with = |at: usize| at == victim || keepers.contains(&at);
        self.ground
            .cut("those who will have it alone, and the others", dice, |from, to| with(from) != with(to));
        let wait = dice.between(20_000, 20_000 + self.ground.env.swarm.election_us());
        let dice = dice.fork();
        self.ground.env.after(wait, Event::Nemesis(Deed::Rot { victim, keepers: keepers.clone(), dice }));
    }

    /// See [`Self::begin_rot`].
    pub(super) fn rot(&mut self, victim: usize, keepers: &[usize], mut dice: Random) {
        if self.flip(victim, true, &mut dice) {
            self.ground.env.stats.fault(Fault::Partition);
            self.ground.cut("those who have it, and the others", &mut dice, |from, to| {
                keepers.contains(&from) != keepers.contains(&to)
            });
            self.ground.nodes[victim].crash(false, 1_000, &mut self.ground.env);
        }
    }

    /// A disk is gone, with all that was on it.
    pub(super) fn wipe(&mut self, node: usize) {
        if self.may_damage(node) && self.ground.nodes[node].crash(true, 1_000, &mut self.ground.env) {
            self.ground.env.stats.fault(Fault::Wipe);
            self.ground.env.damaged.insert(node, self.ground.nodes[node].life);
            self.ground.nodes[node].give_up("its disk is gone", &mut self.ground.env);
        }
    }

    /// The state store is gone, the log is not.
    pub(super) fn lose_state(&mut self, node: usize, dice: &mut Random) {
        if self.may_damage(node) && dice.percent(100) {
            let down_us = dice.between(1_000, self.ground.env.swarm.faults.down_us.max(2_000));
            if self.ground.nodes[node].crash(dice.percent(50), down_us, &mut self.ground.env) {
                self.ground.env.stats.fault(Fault::StateLoss);
                self.ground.env.damaged.insert(node, self.ground.nodes[node].life - 1);
                self.ground.nodes[node].lose_state(&mut self.ground.env);
            }
        }
    }
}
