//! Peace, and what it must bring: all nodes members, everybody's pointers as they would be if all were known, every key at the
//! node responsible and nowhere else, and lookups that find it, from everywhere, within a bounded time.

use quorate_checker::chord_ring;
use quorate_chord::{Id, Manner, Peer, Phase, Rules};

use super::{Ring, character};
use crate::ground::Ground;
use crate::story::Happening;
use crate::swarm::{Faults, Pace};
use crate::trace::note;

/// How far the ring has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Waiting for an ideal ring.
    #[default]
    Ideal,
    /// Waiting for the keys to be where they belong.
    Keys,
    /// Waiting for lookups to be answered.
    Lookups,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Peace {
    pub begun: bool,
    pub finished: bool,
    deadline: u64,
    stage: Stage,
}

impl<R: Rules + Clone> Ring<R> {
    /// The faults end.
    pub(super) fn calm(&mut self) {
        let Ground { env, nodes } = &mut self.ground;
        note!(env, Happening::Peace);
        env.trace.event(50, env.now, 0, 0);
        let (timeout_ticks, tries) = character::patience(&env.swarm);
        env.swarm.pace = Pace::calm();
        env.swarm.faults = Faults::default();
        env.heal_links();
        env.network.end_trouble();
        nodes.iter_mut().for_each(|node| node.end_trouble(env));
        // A newcomer for each place, one after the other, a wrong predecessor or two, and a wrong list of successors, each of which is
        // put right in a round of stabilising or in the time that the dead are waited for.
        let rounds = 60 * env.swarm.nodes as u64;
        let bound = 4_000 + rounds * 8 + 20 * u64::from(timeout_ticks * tries);
        self.peace = Peace { begun: true, deadline: env.now + bound * env.swarm.tick_us, ..Peace::default() };
        env.poll_soon();
    }

    /// Look how far the ring has come.
    pub(super) fn poll(&mut self) {
        let env = &mut self.ground.env;
        env.trace.event(51, env.now, self.peace.stage as u64, 0);
        match self.peace.stage {
            Stage::Ideal if self.is_ideal() => self.peace.stage = Stage::Keys,
            Stage::Keys if self.misplaced().is_none() && !self.waits() => {
                self.peace.stage = Stage::Lookups;
                self.look_up_everywhere();
            }
            Stage::Lookups => self.peace.finished = self.answered(),
            _ => {}
        }
        let env = &mut self.ground.env;
        if self.peace.finished || env.checks.failure.is_some() {
            return;
        }
        if env.now >= self.peace.deadline {
            return self.give_up();
        }
        env.poll_soon();
    }

    fn give_up(&mut self) {
        let (property, detail) = match self.peace.stage {
            Stage::Ideal => ("Liveness", format!("the ring is not whole again: {:?}", self.plain())),
            Stage::Keys => match self.misplaced() {
                Some(what) => ("KeysFollow", what),
                None => ("LookupAnswered", "a lookup of the time of trouble has no answer".into()),
            },
            Stage::Lookups => ("LookupAnswered", "a lookup has no answer".into()),
        };
        self.ground.env.checks.fail(property, detail);
    }

    fn is_ideal(&self) -> bool {
        let member = |node: &chord_ring::Node| node.member;
        let plain = self.plain();
        plain.len() == self.ground.nodes.len()
            && plain.iter().all(member)
            && chord_ring::ideal(&plain, self.ground.env.swarm.ring.successors)
    }

    /// Who should be responsible for a key.
    fn owner(&self, key: Id) -> Option<Peer> {
        let members = self.ground.nodes.iter().filter_map(|node| {
            let view = &node.process()?.view;
            (view.phase == Phase::Member).then_some(view.own)
        });
        members.min_by_key(|peer| key.distance(peer.id))
    }

    /// A key that is not where it belongs, or also elsewhere.
    fn misplaced(&self) -> Option<String> {
        let mut left = self.keys.clone();
        for node in &self.ground.nodes {
            for key in node.keys() {
                let owner = self.owner(Id(key))?;
                if owner.node != super::name(node.place()) {
                    return Some(format!(
                        "node {} holds {key:016x}, which is node {}'s",
                        node.place() + 1,
                        owner.node
                    ));
                }
                left.remove(&key);
            }
        }
        left.first().map(|key| format!("nobody holds {key:016x}, and nobody failed who alone had it"))
    }

    fn look_up_everywhere(&mut self) {
        let Ground { env, nodes } = &mut self.ground;
        for node in nodes {
            if let Some(process) = node.process_mut() {
                process.found.clear();
            }
            for manner in [Manner::Iterative, Manner::Recursive] {
                let key = Id(env.dice.clients.next_u64());
                node.look_up(key, manner, env);
            }
        }
    }

    /// Whether a lookup is under way.
    fn waits(&self) -> bool {
        self.ground.nodes.iter().filter_map(|node| node.process()).any(|process| !process.asked.is_empty())
    }

    /// Whether all have been answered; rightly, or that is the end.
    fn answered(&mut self) -> bool {
        for at in 0..self.ground.nodes.len() {
            let Some(process) = self.ground.nodes[at].process() else { continue };
            for found in &process.found {
                let owner = self.owner(found.key);
                if found.owner != owner {
                    let what = format!(
                        "node {}: {:016x} is said to be {:?}'s, and is {owner:?}'s",
                        at + 1,
                        found.key.0,
                        found.owner
                    );
                    return {
                        self.ground.env.checks.fail("LookupCorrect", what);
                        false
                    };
                }
            }
        }
        !self.waits()
    }
}
