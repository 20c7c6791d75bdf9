//! The world: nodes, links, clients and the nemesis, and the loop that lets one thing happen after the other.
//!
//! It is generic over the consensus core. A run has two phases: trouble, then peace; what peace must bring is in
//! [`crate::recovery`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_protocol::Consensus;

use crate::Options;
use crate::atomic::clients::Transactors;
use crate::clients::Clients;
use crate::env::{Env, Event};
use crate::ground::Ground;
use crate::host::Host;
use crate::nemesis::Operator;
use crate::node::{Node, NodeEvent};
use crate::recovery::Recovery;
use crate::report::{Failure, Report};
use crate::trace::{Sink, Trace};
use crate::watchers::Watchers;

/// See the module's text.
pub struct World<C: Consensus> {
    pub ground: Ground<Node<C>>,
    /// Clients of the store; or, where there are sites of atomic commit, of those.
    pub clients: Clients,
    pub transactors: Transactors,
    pub watchers: Watchers,
    pub recovery: Recovery,
    /// One for each group.
    pub operators: Vec<Operator>,
}

impl<C: Consensus> World<C> {
    /// One run, from its seed to its verdicts.
    pub fn run(options: &Options, mut sink: Option<Sink<'_>>) -> Report {
        let swarm = options.swarm();
        let trace = Trace::new(sink.is_some(), C::NAME);
        let mut env = Env::new(options.dice(), swarm, options, C::CAPS, trace);
        let each = env.swarm.nodes / env.swarm.groups;
        let mut nodes: Vec<Node<C>> = Vec::new();
        let mut operators = Vec::new();
        for group in 0..env.swarm.groups {
            let places = nodes.len()..nodes.len() + each;
            let operator = Operator::new(places.clone());
            let founded = operator.founded(env.swarm.write_quorum);
            nodes.extend(places.map(|place| Node::new(place, group, founded.clone(), &mut env)));
            operators.push(operator);
        }
        let load = env.swarm.load.clients;
        let atomic = env.swarm.is_atomic();
        let clients = Clients::new(if atomic { 0 } else { load }, &mut env);
        let transactors = Transactors::new(if atomic { load } else { 0 }, &mut env);
        let watchers = Watchers::new(&mut env);
        let recovery = Recovery::default();
        let mut world =
            World { ground: Ground { env, nodes }, clients, transactors, watchers, recovery, operators };
        // A broken assertion is a finding like any other.
        let ended = catch_unwind(AssertUnwindSafe(|| world.live(&mut sink)));
        if ended.is_err() {
            world.ground.env.checks.fail("NoPanic", crate::panics::last());
        }
        world.ground.env.trace.flush(&mut sink);
        world.report(options)
    }

    fn live(&mut self, sink: &mut Option<Sink<'_>>) {
        self.begin();
        while !self.recovery.finished && self.ground.env.checks.failure.is_none() {
            let Some(event) = self.ground.env.next_event() else {
                return self.ground.env.checks.fail("Liveness", "nothing happens any more");
            };
            self.happen(event);
            if self.ground.env.most_events.is_some_and(|most| self.ground.env.trace.events() > most) {
                return;
            }
            let most = self.ground.env.swarm.most_events();
            if self.ground.env.trace.events() > most {
                let detail = format!("{most} events and no end: messages beget messages");
                self.ground.env.checks.fail("BoundedWork", detail);
            }
            if self.ground.env.trace.told() {
                self.ground.env.trace.flush(sink);
            }
        }
        if self.ground.env.checks.failure.is_none() {
            let revision = self.ground.env.checks.revision();
            let streams = std::mem::take(&mut self.watchers).conclude(revision);
            self.ground.env.checks.conclude(&streams);
            if self.ground.env.swarm.is_atomic() {
                self.conclude_atomic();
            }
        }
    }

    fn begin(&mut self) {
        for place in 0..self.ground.nodes.len() {
            let delay = self.ground.env.dice.host.below(50_000);
            self.ground.env.after_at(delay, place, 0, NodeEvent::Start);
        }
        let chaos_us = self.ground.env.swarm.chaos_us;
        self.ground.env.after(chaos_us, Event::Calm);
        self.ground.unleash();
        self.employ();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Node { node, life, event } => self.ground.reach(node, life, event),
            Event::Client(event) if self.ground.env.swarm.is_atomic() => {
                self.transactors.handle(event, &mut self.ground.env);
            }
            Event::Client(event) => self.clients.handle(event, &mut self.ground.env),
            Event::Watcher(event) => self.watchers.handle(event, &mut self.ground.env),
            Event::Nemesis(deed) if !self.recovery.begun || deed.in_peace() => self.deed(deed),
            Event::Nemesis(_) => {}
            Event::Calm => self.calm(),
            Event::Poll => self.poll(),
        }
    }

    /// The nodes of a group that are up.
    pub fn hosts(&self, group: usize) -> impl Iterator<Item = &Host<C>> {
        let env = &self.ground.env;
        let ours = self.ground.nodes.iter().filter(move |node| env.group_of(node.place) == group);
        ours.filter_map(Node::host)
    }

    /// Compare the logs of the nodes that are up.
    pub fn check_logs(&mut self) {
        for group in 0..self.operators.len() {
            let Ground { env, nodes } = &mut self.ground;
            let ours = nodes.iter().filter(|node| env.checks.group_of(node.place) == group);
            let up: Vec<_> =
                ours.filter_map(|node| Some((node.id().0, node.host()?.replica.core()))).collect();
            env.checks.logs(up.into_iter());
        }
    }

    fn report(self, options: &Options) -> Report {
        let Env { checks, trace, mut stats, now, atomic, .. } = self.ground.env;
        (stats.elections, stats.committed) = checks.counts();
        (stats.transactions_committed, stats.transactions_aborted) = atomic.counts();
        stats.doubts = atomic.doubts;
        stats.doubts.open = atomic.in_doubt();
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
