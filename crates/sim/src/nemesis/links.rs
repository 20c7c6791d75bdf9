//! What the nemesis does to links.

use quorate_protocol::Random;

use super::Deed;
use crate::env::Event;
use crate::ground::{Body, Ground};
use crate::network::{Link, Spoiled};
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::{note, tell};

impl<B: Body> Ground<B> {
    /// New cuts replace the old ones; they end after a while.
    pub(super) fn cut(
        &mut self,
        what: &'static str,
        dice: &mut Random,
        is_cut: impl Fn(usize, usize) -> bool,
    ) {
        self.env.heal_links();
        let mut links = Vec::new();
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|&to| to != from) {
                if is_cut(from, to) {
                    self.env.network.cut(from, to);
                    links.push((from as u64 + 1, to as u64 + 1));
                }
            }
        }
        note!(self.env, Happening::Cut { what, links });
        let election_us = self.env.swarm.election_us();
        let lasts = dice.between(election_us / 4, 5 * election_us);
        let cuts = self.env.network.cuts;
        self.env.after(lasts, Event::Nemesis(Deed::Heal { cuts }));
    }

    pub(super) fn partition(&mut self, dice: &mut Random) {
        self.env.stats.fault(Fault::Partition);
        let side = dice.below(1 << self.nodes.len());
        self.cut("a partition", dice, |from, to| (side >> from) & 1 != (side >> to) & 1);
    }

    pub(super) fn isolate(&mut self, node: usize, dice: &mut Random) {
        self.env.stats.fault(Fault::Partition);
        self.cut("one node alone", dice, |from, to| from == node || to == node);
    }

    /// A leader and one of its followers do not hear each other, until that one would rather lead; then the
    /// leader loses the rest, and a voter that has promised it to refuse candidates restarts.
    pub(super) fn usurp(&mut self, dice: &mut Random) {
        let Some(leader) = self.a_leader(dice) else { return };
        let (usurper, voter) = (self.another(leader, dice), self.another(leader, dice));
        if usurper == voter {
            return;
        }
        self.env.stats.fault(Fault::Partition);
        self.cut("a leader and a follower", dice, |from, to| {
            [(leader, usurper), (usurper, leader)].contains(&(from, to))
        });
        let wait = dice.between(self.env.swarm.election_us() / 2, self.env.swarm.election_us());
        let dice = dice.fork();
        self.env.after(wait, Event::Nemesis(Deed::Depose { leader, voter, dice }));
    }

    /// See [`Self::usurp`].
    pub(super) fn depose(&mut self, leader: usize, voter: usize, mut dice: Random) {
        self.isolate(leader, &mut dice);
        self.nodes[voter].crash(false, 1_000, &mut self.env);
    }

    pub(super) fn one_way(&mut self, dice: &mut Random) {
        self.env.stats.fault(Fault::OneWay);
        let links: Vec<u64> = self.nodes.iter().map(|_| dice.next_u64()).collect();
        self.cut("some directions", dice, |from, to| (links[from] >> to) & 1 == 1);
    }

    /// Another node than this one.
    fn another(&self, node: usize, dice: &mut Random) -> usize {
        let others = (self.nodes.len() as u64 - 1).max(1);
        (node + 1 + dice.below(others) as usize) % self.nodes.len()
    }

    pub(super) fn reset(&mut self, node: usize, dice: &mut Random) {
        let peer = self.another(node, dice);
        self.env.stats.fault(Fault::Reset);
        self.env.reset_both(node, peer);
    }

    /// All connections of a node are lost.
    pub(super) fn reset_all(&mut self, node: usize) {
        self.env.stats.fault(Fault::Reset);
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.env.reset_both(node, peer);
        }
    }

    pub(super) fn begin_flapping(&mut self, node: usize, dice: &mut Random) {
        let link = (node, self.another(node, dice));
        let every_us = dice.between(1_000, self.env.swarm.election_us());
        self.env.stats.fault(Fault::Flap);
        self.flap(link, true, dice.between(2, 20), every_us);
    }

    pub(super) fn flap(&mut self, link: Link, gone: bool, left: u64, every_us: u64) {
        tell!(self.env, "the link {}-{} {}", link.0 + 1, link.1 + 1, if gone { "fails" } else { "is back" });
        self.env.network.flap(link, gone);
        if gone || left > 0 {
            let deed = Deed::Flap { link, gone: !gone, left: left.saturating_sub(1), every_us };
            self.env.after(every_us, Event::Nemesis(deed));
        }
    }

    pub(super) fn slow_link(&mut self, node: usize, dice: &mut Random) {
        let peer = self.another(node, dice);
        let election_us = self.env.swarm.election_us();
        let by_us = dice.between(1_000, election_us);
        let until = self.env.now + dice.between(election_us / 4, 10 * election_us);
        self.env.stats.fault(Fault::SlowLink);
        tell!(self.env, "the link {}-{} is slower by {by_us} us", node + 1, peer + 1);
        self.env.network.slow_down((node, peer), until, by_us);
        if dice.percent(50) {
            self.env.network.slow_down((peer, node), until, by_us);
        }
    }

    /// A node says something that its peer has never heard of, as one of a later version might.
    pub(super) fn stranger(&mut self, node: usize, dice: &mut Random) {
        let peer = self.another(node, dice);
        if let Some(said) = self.nodes[node].strange() {
            self.env.stats.fault(Fault::Stranger);
            self.env.transmit(node, peer, said, Spoiled::Foreign);
        }
    }
}
