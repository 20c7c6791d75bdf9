//! Who makes the trouble.
//!
//! The nemesis intervenes at random times, with the weights of the run: these are its *acts*. Some of its habits aim,
//! and are its *strikes*: it strikes new leaders soon after their election, and nodes just after they have sent
//! what waited for their disk, while they recover, and while they install an image. Protocols of this kind are
//! weakest at these moments, and a blind nemesis would hit them rarely.
//!
//! Each deed has dice of its own, see [`crate::deeds`].
//!
//! | kind of deed | on what | file |
//! |---|---|---|
//! | on links | nodes of any kind | `links` |
//! | on processes and clocks | nodes of any kind | `processes` |
//! | on disks | replicas | `storage` |
//! | the operator's | replicas | `operator` |

mod links;
mod operator;
mod processes;
mod storage;

use quorate_protocol::{Consensus, NodeId, Random};

use crate::env::{Env, Event};
use crate::faults::Choice;
use crate::ground::{Body, Ground};
use crate::network::Link;
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::note;
use crate::world::World;

pub use operator::Operator;

/// What the nemesis does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Choose something, and come again.
    Act,
    /// End these cuts.
    Heal { cuts: u64 },
    /// Strike a new leader.
    Strike { node: usize, life: u64, dice: Random },
    /// Crash a node that has just kept its word.
    Crash { node: usize, life: u64, dice: Random },
    /// Let a link go or come back, so many times more.
    Flap { link: Link, gone: bool, left: u64, every_us: u64 },
    /// Let a slow node stand still for a moment, so many times more.
    Stutter { node: usize, left: u64, dice: Random },
    /// Crash a node soon after it has started, so many times more.
    Again { node: usize, left: u64, dice: Random },
    /// A disk has room again.
    Room { node: usize },
    /// The second half of a usurpation: the leader is cut off for good, a voter restarts.
    Depose { leader: usize, voter: usize, dice: Random },
    /// Part the newcomers from those that they replace.
    Split { new: Vec<NodeId>, dice: Random },
    /// Damage a voter's log and part those who have what is in it from it and the rest.
    Rot { victim: usize, keepers: Vec<usize>, dice: Random },
    /// Cut a node off.
    Isolate { node: usize, dice: Random },
    /// The operator looks after the cluster.
    Operate,
}

impl Deed {
    /// Whether it is done after the faults have ended, too.
    pub fn in_peace(&self) -> bool {
        matches!(self, Deed::Operate)
    }
}

/// A habit that answers something a node did: with this probability, in a thousand, a strike.
fn strikes(env: &mut Env, permille: u64) -> Option<Random> {
    if permille == 0 {
        return None;
    }
    let id = env.deeds.strike();
    let mut dice = env.deeds.dice(id);
    let strikes = dice.below(1000) < permille && env.deeds.wanted(id);
    if strikes {
        note!(env, Happening::Deed { id, what: "a strike at a delicate moment" });
    }
    strikes.then_some(dice)
}

impl Env {
    /// A node was elected.
    pub fn elected(&mut self, node: usize, life: u64) {
        if let Some(mut dice) = strikes(self, 10 * self.swarm.faults.strike_leaders) {
            let delay = dice.below(self.swarm.faults.strike_within_us + 1);
            self.after(delay, Event::Nemesis(Deed::Strike { node, life, dice }));
        }
    }

    /// A node's promise is durable, and what waited for it was sent.
    pub fn promised(&mut self, node: usize, life: u64) {
        self.crash_soon(10 * self.swarm.faults.crash_after_promise, 2_000, node, life);
    }

    /// A node has sent something that waited for its disk.
    pub fn sent_after_sync(&mut self, node: usize, life: u64) {
        self.crash_soon(self.swarm.faults.crash_after_sync, 2_000, node, life);
    }

    /// A node asks at which index it may read: one of the first questions of its life. What is answered may reach its
    /// next life.
    pub fn asks_early(&mut self, node: usize, life: u64) {
        let within_us = self.swarm.pace.network_us.1;
        self.crash_soon(10 * self.swarm.faults.crash_after_question, within_us, node, life);
    }

    /// A node installs an image: its checkpoint is there, the log's reset is not yet durable.
    pub fn installs(&mut self, node: usize, life: u64) {
        self.crash_soon(10 * self.swarm.faults.crash_in_install, 100, node, life);
    }

    fn crash_soon(&mut self, permille: u64, within_us: u64, node: usize, life: u64) {
        if let Some(mut dice) = strikes(self, permille) {
            let delay = dice.below(within_us);
            self.after(delay, Event::Nemesis(Deed::Crash { node, life, dice }));
        }
    }
}

impl<B: Body> Ground<B> {
    /// Do what can be done to nodes of any kind; other deeds come back.
    pub fn deed(&mut self, deed: Deed) -> Option<Deed> {
        match deed {
            Deed::Heal { cuts } if cuts == self.env.network.cuts => {
                note!(self.env, Happening::Heal);
                self.env.heal_links();
            }
            Deed::Strike { node, life, dice } if self.nodes[node].life() == life => self.strike(node, dice),
            Deed::Crash { node, life, mut dice } if self.nodes[node].life() == life => {
                self.crash(node, &mut dice);
            }
            Deed::Flap { link, gone, left, every_us } => self.flap(link, gone, left, every_us),
            Deed::Stutter { node, left, dice } => self.stutter(node, left, dice),
            Deed::Again { node, left, dice } => self.crash_again(node, left, dice),
            Deed::Depose { leader, voter, dice } => self.depose(leader, voter, dice),
            Deed::Isolate { node, mut dice } => self.isolate(node, &mut dice),
            Deed::Heal { .. } | Deed::Strike { .. } | Deed::Crash { .. } => {}
            other => return Some(other),
        }
        None
    }

    /// Let the nemesis begin, or go on.
    pub fn unleash(&mut self) {
        let every = self.env.swarm.faults.every_us;
        if every > 0 {
            let delay = self.env.deeds.waiting().below(2 * every);
            self.env.after(delay, Event::Nemesis(Deed::Act));
        }
    }

    /// What the nemesis chooses to do now, to which node, with which dice.
    pub fn choose(&mut self) -> Option<(Choice, usize, Random)> {
        let id = self.env.deeds.act();
        let mut dice = self.env.deeds.dice(id);
        let choice = self.env.swarm.faults.weights.choose(|bound| dice.below(bound));
        let node = dice.below(self.nodes.len() as u64) as usize;
        let choice = choice.filter(|_| self.env.deeds.wanted(id))?;
        note!(self.env, Happening::Deed { id, what: crate::classes::name(choice) });
        Some((choice, node, dice))
    }

    /// Do one of the things that can be done to nodes of any kind; answers whether it was one.
    pub fn harm(&mut self, choice: Choice, node: usize, dice: &mut Random) -> bool {
        match choice {
            Choice::Crash => self.crash(node, dice),
            Choice::Blackout => self.blackout(dice),
            Choice::Pause => self.pause(node, dice),
            Choice::Partition => self.partition(dice),
            Choice::OneWay => self.one_way(dice),
            Choice::Isolate => {
                let leader = self.a_leader(dice);
                self.isolate(leader.unwrap_or(node), dice);
            }
            Choice::Reset => self.reset(node, dice),
            Choice::Flap => self.begin_flapping(node, dice),
            Choice::SlowLink => self.slow_link(node, dice),
            Choice::SlowNode => self.slow_node(node, dice),
            Choice::CrashLoop => self.crash_loop(node, dice),
            Choice::Stranger => self.stranger(node, dice),
            Choice::Usurp => self.usurp(dice),
            Choice::Skew | Choice::Jump | Choice::Freeze => self.disturb_clock(choice, node, dice),
            _ => return false,
        }
        true
    }

    /// A node that believes to lead, if there is one; of several, any.
    pub fn a_leader(&self, dice: &mut Random) -> Option<usize> {
        let leaders: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.leads(node)).collect();
        let drawn = dice.below(leaders.len().max(1) as u64) as usize;
        leaders.get(drawn).copied()
    }

    fn strike(&mut self, node: usize, mut dice: Random) {
        self.env.stats.fault(Fault::Strike);
        match dice.below(10) {
            0..4 => self.crash(node, &mut dice),
            4..7 => self.isolate(node, &mut dice),
            7..9 => self.reset_all(node),
            _ => self.pause(node, &mut dice),
        }
    }
}

impl<C: Consensus> World<C> {
    /// The nemesis acts.
    pub fn deed(&mut self, deed: Deed) {
        match self.ground.deed(deed) {
            Some(Deed::Act) => self.act(),
            Some(Deed::Room { node }) => self.room(node),
            Some(Deed::Split { new, dice }) => self.split(&new, dice),
            Some(Deed::Rot { victim, keepers, dice }) => self.rot(victim, &keepers, dice),
            Some(Deed::Operate) => self.operate(),
            _ => {}
        }
    }

    fn act(&mut self) {
        self.note_repairs();
        if let Some((choice, node, mut dice)) = self.ground.choose()
            && !self.ground.harm(choice, node, &mut dice)
        {
            self.carry_out(choice, node, &mut dice);
        }
        self.check_logs();
        self.ground.unleash();
    }

    /// What can be done only to a node with a disk and an operator.
    fn carry_out(&mut self, choice: Choice, node: usize, dice: &mut Random) {
        let group = self.ground.env.group_of(node);
        match choice {
            Choice::Wipe => self.wipe(node),
            Choice::StateLoss => self.lose_state(node, dice),
            Choice::BitFlip if dice.percent(60) => self.begin_rot(node, dice),
            Choice::BitFlip => self.flip_bit(node, dice),
            Choice::DiskFull | Choice::SlowDisk => self.trouble_disk(choice, node, dice),
            Choice::WriteError
            | Choice::FsyncError
            | Choice::ReadError
            | Choice::LostWrite
            | Choice::Misdirected
            | Choice::DiskCrash => self.strike_disk(choice, node, dice),
            Choice::Change => self.change_membership(group, dice),
            Choice::Transfer => self.transfer(group, dice),
            _ => {}
        }
    }
}
