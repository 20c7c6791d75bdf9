//! Who makes the trouble.
//!
//! The nemesis intervenes at random times, with the weights of the run. Two of its habits aim: it strikes new
//! leaders soon after their election, and it crashes nodes just after they have sent what waited for their disk.
//! Protocols of this kind are weakest at these two moments, and a blind nemesis would hit them rarely.

use quorate_protocol::Consensus;

use crate::env::{Env, Event};
use crate::node::NodeEvent;
use crate::report::Fault;
use crate::swarm::Weights;
use crate::trace::tell;
use crate::world::World;

/// What the nemesis does.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// Choose something, and come again.
    Act,
    /// End these cuts.
    Heal { cuts: u64 },
    /// Strike a new leader.
    Strike { node: usize, life: u64 },
    /// Crash a node that has just kept its word.
    Crash { node: usize, life: u64 },
}

/// What it can choose.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Crash,
    Blackout,
    Pause,
    Partition,
    OneWay,
    Isolate,
    Reset,
}

fn choose(weights: &Weights, mut ticket: impl FnMut(u64) -> u64) -> Option<Choice> {
    let Weights { crash, blackout, pause, partition, oneway, isolate, reset } = *weights;
    let table = [
        (crash, Choice::Crash),
        (blackout, Choice::Blackout),
        (pause, Choice::Pause),
        (partition, Choice::Partition),
        (oneway, Choice::OneWay),
        (isolate, Choice::Isolate),
        (reset, Choice::Reset),
    ];
    let total: u64 = table.iter().map(|(weight, _)| weight).sum();
    if total == 0 {
        return None;
    }
    let mut drawn = ticket(total);
    table.into_iter().find_map(|(weight, choice)| {
        let hit = drawn < weight;
        drawn = drawn.saturating_sub(weight);
        hit.then_some(choice)
    })
}

impl Env {
    /// A node was elected.
    pub fn elected(&mut self, node: usize, life: u64) {
        let percent = self.swarm.faults.strike_leaders;
        if percent > 0 && self.dice.nemesis.percent(percent) {
            let delay = self.dice.nemesis.below(self.swarm.faults.strike_within_us + 1);
            self.after(delay, Event::Nemesis(Deed::Strike { node, life }));
        }
    }

    /// A node's promise is durable, and what waited for it was sent.
    pub fn promised(&mut self, node: usize, life: u64) {
        let percent = self.swarm.faults.crash_after_promise;
        if percent > 0 && self.dice.nemesis.percent(percent) {
            let delay = self.dice.nemesis.below(2_000);
            self.after(delay, Event::Nemesis(Deed::Crash { node, life }));
        }
    }

    /// A node has sent something that waited for its disk.
    pub fn sent_after_sync(&mut self, node: usize, life: u64) {
        let permille = self.swarm.faults.crash_after_sync;
        if permille > 0 && self.dice.nemesis.below(1000) < permille {
            let delay = self.dice.nemesis.below(2_000);
            self.after(delay, Event::Nemesis(Deed::Crash { node, life }));
        }
    }
}

impl<C: Consensus> World<C> {
    /// The nemesis acts.
    pub fn deed(&mut self, deed: Deed) {
        match deed {
            Deed::Act => self.act(),
            Deed::Heal { cuts } if cuts == self.env.network.cuts => {
                tell!(self.env, "the links are whole again");
                self.env.heal_links();
            }
            Deed::Strike { node, life } if self.nodes[node].life == life => self.strike(node),
            Deed::Crash { node, life } if self.nodes[node].life == life => self.crash(node),
            _ => {}
        }
    }

    /// Let the nemesis begin.
    pub fn unleash(&mut self) {
        let every = self.env.swarm.faults.every_us;
        if every > 0 {
            let delay = self.env.dice.nemesis.below(2 * every);
            self.env.after(delay, Event::Nemesis(Deed::Act));
        }
    }

    fn act(&mut self) {
        let dice = &mut self.env.dice.nemesis;
        let choice = choose(&self.env.swarm.faults.weights, |bound| dice.below(bound));
        let node = self.env.dice.nemesis.below(self.nodes.len() as u64) as usize;
        match choice {
            Some(Choice::Crash) => self.crash(node),
            Some(Choice::Blackout) => self.blackout(),
            Some(Choice::Pause) => self.pause(node),
            Some(Choice::Partition) => self.partition(),
            Some(Choice::OneWay) => self.one_way(),
            Some(Choice::Isolate) => {
                let leader = self.a_leader();
                self.isolate(leader.unwrap_or(node));
            }
            Some(Choice::Reset) => self.reset(node),
            None => {}
        }
        self.check_logs();
        self.unleash();
    }

    fn down_us(&mut self) -> u64 {
        let most = self.env.swarm.faults.down_us;
        self.env.dice.nemesis.between(1_000, most.max(2_000))
    }

    /// Crash one node.
    fn crash(&mut self, node: usize) {
        let power = self.env.dice.nemesis.percent(self.env.swarm.faults.power_percent);
        let down_us = self.down_us();
        self.nodes[node].crash(power, down_us, &mut self.env);
    }

    /// Cut the power of all nodes at once.
    fn blackout(&mut self) {
        self.env.stats.fault(Fault::Blackout);
        for node in 0..self.nodes.len() {
            let down_us = self.down_us();
            self.nodes[node].crash(true, down_us, &mut self.env);
        }
    }

    fn pause(&mut self, node: usize) {
        let longest = 2 * self.env.swarm.election_us();
        let for_us = self.env.dice.nemesis.between(1_000, longest);
        self.env.stats.fault(Fault::Pause);
        tell!(self.env, "node {} stands still for {for_us} us", node + 1);
        self.nodes[node].paused_until = self.env.now + for_us;
    }

    /// A node that believes to lead, if there is one; of several, any.
    fn a_leader(&mut self) -> Option<usize> {
        let leaders: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.leads(node)).collect();
        let drawn = self.env.dice.nemesis.below(leaders.len().max(1) as u64) as usize;
        leaders.get(drawn).copied()
    }

    /// New cuts replace the old ones; they end after a while.
    fn cut(&mut self, is_cut: impl Fn(usize, usize) -> bool) {
        self.env.heal_links();
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|&to| to != from) {
                if is_cut(from, to) {
                    self.env.network.cut(from, to);
                }
            }
        }
        let election_us = self.env.swarm.election_us();
        let lasts = self.env.dice.nemesis.between(election_us / 4, 5 * election_us);
        let cuts = self.env.network.cuts;
        self.env.after(lasts, Event::Nemesis(Deed::Heal { cuts }));
    }

    fn partition(&mut self) {
        self.env.stats.fault(Fault::Partition);
        let side = self.env.dice.nemesis.below(1 << self.nodes.len());
        tell!(self.env, "a partition: one side is {side:b}");
        self.cut(|from, to| (side >> from) & 1 != (side >> to) & 1);
    }

    fn isolate(&mut self, node: usize) {
        self.env.stats.fault(Fault::Partition);
        tell!(self.env, "node {} is cut off", node + 1);
        self.cut(|from, to| from == node || to == node);
    }

    fn one_way(&mut self) {
        self.env.stats.fault(Fault::OneWay);
        let links = self.env.dice.nemesis.next_u64();
        tell!(self.env, "some links fail in one direction");
        let nodes = self.nodes.len();
        self.cut(|from, to| (links >> (from * nodes + to)) & 1 == 1);
    }

    fn reset(&mut self, node: usize) {
        let others = self.nodes.len() as u64 - 1;
        let peer = (node + 1 + self.env.dice.nemesis.below(others.max(1)) as usize) % self.nodes.len();
        self.env.stats.fault(Fault::Reset);
        for (node, peer) in [(node, peer), (peer, node)] {
            let event = NodeEvent::LinkReset { peer };
            self.env.after(500, Event::Node { node, life: None, event });
        }
    }

    fn strike(&mut self, node: usize) {
        self.env.stats.fault(Fault::Strike);
        match self.env.dice.nemesis.below(10) {
            0..5 => self.crash(node),
            5..8 => self.isolate(node),
            _ => self.pause(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_with_weight_is_made_and_no_other() {
        let weights = Weights { pause: 2, reset: 1, ..Weights::default() };
        let made: Vec<String> = (0..3)
            .filter_map(|ticket| choose(&weights, |_| ticket))
            .map(|choice| format!("{choice:?}"))
            .collect();
        assert_eq!(made, ["Pause", "Pause", "Reset"]);
        assert!(choose(&Weights::default(), |_| 0).is_none());
    }
}
