//! What the nemesis does to processes and their clocks.

use quorate_protocol::Random;

use super::Deed;
use crate::env::Event;
use crate::faults::Choice;
use crate::ground::{Body, Ground};
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::{note, tell};

impl<B: Body> Ground<B> {
    fn down_us(&self, dice: &mut Random) -> u64 {
        dice.between(1_000, self.env.swarm.faults.down_us.max(2_000))
    }

    /// Crash one node.
    pub(super) fn crash(&mut self, node: usize, dice: &mut Random) {
        let power = dice.percent(self.env.swarm.faults.power_percent);
        let down_us = self.down_us(dice);
        self.nodes[node].crash(power, down_us, &mut self.env);
    }

    /// Cut the power of all nodes at once.
    pub(super) fn blackout(&mut self, dice: &mut Random) {
        self.env.stats.fault(Fault::Blackout);
        for node in 0..self.nodes.len() {
            let down_us = self.down_us(dice);
            self.nodes[node].crash(true, down_us, &mut self.env);
        }
    }

    pub(super) fn pause(&mut self, node: usize, dice: &mut Random) {
        let longest = 2 * self.env.swarm.election_us();
        let for_us = dice.between(1_000, longest);
        self.env.stats.fault(Fault::Pause);
        note!(self.env, Happening::Pause { node: node as u64 + 1, for_us });
        self.nodes[node].still().paused_until = self.env.now + for_us;
    }

    pub(super) fn slow_node(&mut self, node: usize, dice: &mut Random) {
        self.env.stats.fault(Fault::SlowNode);
        tell!(self.env, "node {} is slow", node + 1);
        let left = dice.between(5, 60);
        self.stutter(node, left, dice.fork());
    }

    /// A slow node: it stands still, runs for a moment, stands still again.
    pub(super) fn stutter(&mut self, node: usize, left: u64, mut dice: Random) {
        let tick_us = self.env.swarm.tick_us;
        let stands_us = dice.between(tick_us / 2, 4 * tick_us);
        let until = self.env.now + stands_us;
        let still = self.nodes[node].still();
        still.paused_until = still.paused_until.max(until);
        if left > 0 {
            let delay = stands_us + dice.below(tick_us);
            let deed = Deed::Stutter { node, left: left - 1, dice };
            self.env.after(delay, Event::Nemesis(deed));
        }
    }

    pub(super) fn crash_loop(&mut self, node: usize, dice: &mut Random) {
        self.env.stats.fault(Fault::CrashLoop);
        let left = dice.between(2, 10);
        self.crash_again(node, left, dice.fork());
    }

    pub(super) fn crash_again(&mut self, node: usize, left: u64, mut dice: Random) {
        let power = dice.percent(self.env.swarm.faults.power_percent);
        let down_us = dice.between(1_000, 20_000);
        self.nodes[node].crash(power, down_us, &mut self.env);
        if left > 0 {
            let delay = down_us + dice.below(self.env.swarm.election_us());
            let deed = Deed::Again { node, left: left - 1, dice };
            self.env.after(delay, Event::Nemesis(deed));
        }
    }

    pub(super) fn disturb_clock(&mut self, choice: Choice, node: usize, dice: &mut Random) {
        let election_us = self.env.swarm.election_us();
        match choice {
            Choice::Jump => {
                let ticks = dice.between(1, 4 * u64::from(self.env.swarm.election_ticks));
                self.env.stats.fault(Fault::Jump);
                tell!(self.env, "the clock of node {} jumps {ticks} ticks", node + 1);
                self.nodes[node].jump(ticks, &mut self.env);
            }
            Choice::Freeze => {
                let for_us = dice.between(election_us / 4, 5 * election_us);
                self.env.stats.fault(Fault::Freeze);
                tell!(self.env, "the clock of node {} stands still for {for_us} us", node + 1);
                self.nodes[node].still().frozen_until = self.env.now + for_us;
            }
            _ => {
                self.env.stats.fault(Fault::Skew);
                let permille = self.env.swarm.draw_rate(dice);
                self.nodes[node].set_rate(permille, &self.env);
            }
        }
    }
}
