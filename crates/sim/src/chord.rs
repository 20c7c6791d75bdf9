//! Chord in the seeded world: nodes without disks that join, leave and fail, keys that follow them, lookups.
//!
//! A node's process is a [`quorate_chord::Chord`] and the keys it holds. Who goes down is gone with all it knew, and comes back as a
//! newcomer, with another identifier. The host does what Chord leaves to it: it hands keys over when it is told that they are
//! another's, passes on what it holds and is not responsible for, tries again when joining fails.
//!
//! There are two kinds of runs. *Gentle* ones keep to the assumptions of Zave's theorem: nobody alive is taken for dead
//! (time-outs are longer than anything that can delay an answer, and no message is lost), and nobody fails or leaves whose going
//! would leave a member without a live successor or too few principals. There her invariant is checked after every
//! step that changes a pointer. *Rough* ones lose messages, cut links and make clocks jump, so that the living are taken for dead;
//! nothing is promised then but that the ring is whole again once it is calm.
//!
//! A ring that a partition has parted does not find together by Chord alone. So in rough runs each host asks now and then, through one
//! well-known node, who is responsible for its own place: whoever is not found where it is leaves and joins again.
//!
//! | part | file |
//! |---|---|
//! | what a run is like | `character` |
//! | a node: its process, its clock, its messages; what it does by itself | `member`, `duties` |
//! | keys, and how they are handed over | `keys` |
//! | what hosts say to each other | `said` |
//! | the nodes as the invariant takes them | `views` |
//! | peace, and what it must bring | `peace` |

pub mod character;
mod duties;
mod keys;
mod member;
mod peace;
pub mod said;
mod views;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_checker::chord_ring;
use quorate_chord::{Id, Peer, Rules};
use quorate_protocol::{Caps, NodeId, Random};

use crate::Options;
use crate::env::{Env, Event};
use crate::faults::Choice;
use crate::ground::Ground;
use crate::nemesis::Deed;
use crate::report::{Failure, Report};
use crate::trace::{Sink, Trace, tell};
use member::Member;
use peace::Peace;

/// The node that all others know of. In rough runs it does not fail.
const ANCHOR: usize = 0;

/// See the module's text.
pub struct Ring<R: Rules> {
    ground: Ground<Member<R>>,
    /// Keys that somebody has held ever since the run began.
    keys: BTreeSet<u64>,
    peace: Peace,
}

impl<R: Rules + Clone> Ring<R> {
    /// One run, from its seed to its verdicts.
    pub fn run(options: &Options, mut sink: Option<Sink<'_>>) -> Report {
        let trace = Trace::new(sink.is_some(), crate::Protocol::Chord.name());
        let mut env = Env::new(options.dice(), options.swarm(), options, Caps { sparse_log: false }, trace);
        let (nodes, keys) = found::<R>(&mut env);
        let mut ring = Ring { ground: Ground { env, nodes }, keys, peace: Peace::default() };
        // A broken assertion is a finding like any other.
        let ended = catch_unwind(AssertUnwindSafe(|| ring.live(&mut sink)));
        if ended.is_err() {
            ring.ground.env.checks.fail("NoPanic", crate::panics::last());
        }
        ring.ground.env.trace.flush(&mut sink);
        ring.report(options)
    }

    fn live(&mut self, sink: &mut Option<Sink<'_>>) {
        let chaos_us = self.ground.env.swarm.chaos_us;
        self.ground.env.after(chaos_us, Event::Calm);
        self.ground.unleash();
        while !self.peace.finished && self.ground.env.checks.failure.is_none() {
            let Some(event) = self.ground.env.next_event() else {
                return self.ground.env.checks.fail("Liveness", "nothing happens any more");
            };
            self.happen(event);
            let (events, most) = (self.ground.env.trace.events(), self.ground.env.swarm.most_events());
            if self.ground.env.most_events.is_some_and(|most| events > most) {
                return;
            }
            if events > most {
                let detail = format!("{most} events and no end: messages beget messages");
                self.ground.env.checks.fail("BoundedWork", detail);
            }
            if self.ground.env.trace.told() {
                self.ground.env.trace.flush(sink);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Node { node, life, event } => {
                self.ground.reach(node, life, event);
                self.look_at(node);
            }
            Event::Nemesis(deed) if !self.peace.begun => self.deed(deed),
            Event::Calm => self.calm(),
            Event::Poll => self.poll(),
            Event::Nemesis(_) | Event::Client(_) | Event::Watcher(_) => {}
        }
    }

    /// A node may have changed its pointers, or told them.
    fn look_at(&mut self, node: usize) {
        let Ground { env, nodes } = &mut self.ground;
        if nodes[node].changed() && env.swarm.ring.gentle {
            let principals = env.swarm.ring.successors + 1;
            if let Err(violation) = views::check(nodes, principals) {
                env.checks.fail(violation.property, violation.detail);
            }
        }
    }

    fn deed(&mut self, deed: Deed) {
        if let Deed::Again { node, .. } = deed {
            self.lose_keys_of(node);
        }
        let Some(Deed::Act) = self.ground.deed(deed) else { return };
        if let Some((choice, node, mut dice)) = self.ground.choose() {
            self.act(choice, node, &mut dice);
        }
        self.ground.unleash();
    }

    fn act(&mut self, choice: Choice, node: usize, dice: &mut Random) {
        let Ground { env, nodes } = &mut self.ground;
        let (gentle, principals) = (env.swarm.ring.gentle, env.swarm.ring.successors + 1);
        let goes = matches!(choice, Choice::Crash | Choice::CrashLoop | Choice::Change);
        let leaves = choice == Choice::Change;
        if goes && if gentle { !views::may_go(nodes, node, leaves, principals) } else { node == ANCHOR } {
            return tell!(env, "node {} is needed", node + 1);
        }
        if leaves {
            nodes[node].leave(env);
        } else {
            if goes {
                self.lose_keys_of(node);
            }
            self.ground.harm(choice, node, dice);
        }
        self.look_at(node);
    }

    /// What nobody else holds goes with a node; so does what it has just taken, whose giver may hear so and forget it.
    fn lose_keys_of(&mut self, gone: usize) {
        let others = self.ground.nodes.iter().filter(|node| node.place() != gone);
        let others: BTreeSet<u64> = others.flat_map(|node| node.keys_without(name(gone))).collect();
        self.keys.retain(|key| others.contains(key));
    }

    fn report(self, options: &Options) -> Report {
        let Env { checks, trace, mut stats, now, .. } = self.ground.env;
        (stats.virtual_us, stats.events) = (now, trace.events());
        let failure = checks.failure.map(|(property, detail)| Failure {
            seed: options.seed,
            property,
            detail,
            at_us: now,
            options: options.clone(),
        });
        Report { seed: options.seed, trace_hash: trace.hash(), stats, failure }
    }
}

/// The first ring, of about half the places, the others' first starts, and the keys, each where it belongs.
fn found<R: Rules + Clone>(env: &mut Env) -> (Vec<Member<R>>, BTreeSet<u64>) {
    let places = env.swarm.nodes;
    let least = (env.swarm.ring.successors + 2).min(places);
    let count = env.dice.host.between(least as u64, (places as u64 / 2 + 2).max(least as u64 + 1)) as usize;
    let mut first: Vec<Peer> = (0..count.min(places)).map(|place| member::newcomer(place, env)).collect();
    first.sort_unstable();
    let mut nodes: Vec<Member<R>> = (0..places).map(|place| Member::new(place, env)).collect();
    let keys: BTreeSet<u64> = (0..8 * env.swarm.load.keys).map(|_| env.dice.clients.next_u64()).collect();
    for peer in &first {
        let before = first.iter().rev().find(|other| other.id < peer.id).or(first.last());
        let from = before.map_or(peer.id, |before| before.id);
        let own = keys.iter().copied().filter(|key| Id(*key).within(from, peer.id));
        nodes[member::place(peer.node)].found(&first, own.collect(), env);
    }
    for node in nodes.iter_mut().skip(count) {
        let delay = env.dice.host.below(env.swarm.chaos_us * 3 / 4);
        node.start_after(delay, env);
    }
    (nodes, keys)
}

/// A node's name at a place.
fn name(place: usize) -> NodeId {
    NodeId(place as u64 + 1)
}

impl<R: Rules + Clone> Ring<R> {
    /// The members as they are, without what is on its way.
    fn plain(&self) -> Vec<chord_ring::Node> {
        self.ground.nodes.iter().filter_map(|node| Some(views::node(&node.process()?.view))).collect()
    }
}
