//! What a host does besides carrying messages, from tick to tick: join and try again, sweep its keys, look where it is, be used, and
//! wind up when it has left.

use quorate_chord::{Chord, Event as Input, Id, Manner, Peer, Phase, Rules};

use super::member::{Member, SWEEPS};
use super::said::Said;
use super::{ANCHOR, name};
use crate::env::Env;
use crate::trace::tell;

/// Between two sweeps of a node's keys, in ticks.
const SWEEP_TICKS: u64 = 15;
/// Between two questions after the own place, in rough runs.
const WHERE_TICKS: u64 = 60;
/// So many wrong answers to that, one after the other, and a node joins again.
const ASTRAY: u32 = 3;
/// So often the well-known node tries to join before it takes itself for the only one.
const FORLORN: u32 = 40;

impl<R: Rules + Clone> Member<R> {
    /// A tick for the core and for the host.
    pub(super) fn pass_time(&mut self, env: &mut Env) {
        self.step(Input::Tick, env);
        self.hand_over(env);
        let Some(process) = &mut self.up else { return };
        process.ticks += 1;
        let (ticks, phase) = (process.ticks, process.view.phase);
        match phase {
            Phase::Outside if ticks >= process.join_at => self.join(env),
            Phase::Member => {
                if ticks.is_multiple_of(SWEEP_TICKS) {
                    self.sweep(env);
                }
                if ticks.is_multiple_of(WHERE_TICKS) && !env.swarm.ring.gentle && self.place != ANCHOR {
                    self.ask_where(env);
                }
                self.be_used(env);
            }
            Phase::Left => self.wind_up(env),
            _ => {}
        }
    }

    pub(super) fn join(&mut self, env: &mut Env) {
        let through = env.dice.host.below(env.places as u64) as usize;
        let through = if self.place == ANCHOR || env.swarm.ring.gentle { through } else { ANCHOR };
        let Some(process) = &mut self.up else { return };
        process.join_at = process.ticks + 20;
        process.joins += 1;
        if self.place == ANCHOR && process.joins > FORLORN && !env.swarm.ring.gentle {
            tell!(env, "node {} takes itself for the only one", self.place + 1);
            let config = Self::config(process.view.own, env);
            process.chord = Chord::alone(config, env.dice.host.next_u64());
            process.asked.clear();
            process.view = process.chord.view();
        } else if through != self.place {
            self.step(Input::Join(name(through)), env);
        }
    }

    /// What it holds and is not responsible for goes to who is.
    fn sweep(&mut self, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        let own = process.view.own.id;
        let Some(predecessor) = process.view.predecessor else { return };
        let foreign = |key: &&u64| !Id(**key).within(predecessor.id, own) && !process.keys.is_offered(**key);
        let Some(key) = process.keys.held.iter().find(foreign).copied().map(Id) else { return };
        let lookup = process.lookup(SWEEPS);
        process.asked.insert(lookup, key);
        self.step(Input::Lookup { lookup, key, manner: Manner::Iterative }, env);
    }

    fn ask_where(&mut self, env: &mut Env) {
        if let Some(process) = &self.up {
            let said = Said::Where { id: process.view.own.id };
            self.say(name(ANCHOR), &said, env);
        }
    }

    pub(super) fn told_where(&mut self, id: Id, owner: Peer, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        if id != process.view.own.id || process.view.phase != Phase::Member {
            return;
        }
        process.astray = if owner == process.view.own { 0 } else { process.astray + 1 };
        if process.astray >= ASTRAY {
            tell!(env, "node {} is not found where it is, and joins again", self.place + 1);
            process.astray = 0;
            process.heirs = Some(vec![owner]);
            self.last_words.clear();
            self.step(Input::Leave, env);
        }
    }

    /// Somebody wants something now and then.
    fn be_used(&mut self, env: &mut Env) {
        let think = (env.swarm.load.think_us / env.swarm.tick_us).max(4);
        let Some(process) = &mut self.up else { return };
        if process.ticks >= process.ask_at && env.swarm.faults.every_us > 0 {
            process.ask_at = process.ticks + env.dice.clients.between(1, 4 * think);
            let key = Id(env.dice.clients.next_u64());
            let manner = if env.dice.clients.percent(50) { Manner::Iterative } else { Manner::Recursive };
            self.look_up(key, manner, env);
        }
    }

    /// It has left; when others have its keys it goes, and comes back as another.
    fn wind_up(&mut self, env: &mut Env) {
        let Some(process) = &mut self.up else { return };
        if process.keys.held.is_empty() {
            let down_us = env.dice.host.between(1_000, env.swarm.faults.down_us.max(2_000));
            return self.end(down_us, env);
        }
        let kept: Vec<u64> =
            process.keys.held.iter().copied().filter(|key| !process.keys.is_offered(*key)).collect();
        let heirs = process.heirs.clone().unwrap_or_default();
        let ticks = process.ticks;
        // Whoever was next then, or anybody.
        let heir = match heirs.get(ticks as usize % (heirs.len() + 1)) {
            Some(heir) => heir.node,
            None => name(env.dice.host.below(env.places as u64) as usize),
        };
        if heir != name(self.place) {
            process.keys.offer(kept, heir, ticks);
        }
    }
}
