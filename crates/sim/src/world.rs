//! The world: nodes, links, clients and the nemesis, and the loop that lets one thing happen after the other.
//!
//! It is generic over the consensus core. A run has two phases: trouble, then peace; what peace must bring is in
//! [`crate::recovery`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_protocol::{Consensus, Role};

use crate::Options;
use crate::clients::Clients;
use crate::env::{Env, Event};
use crate::nemesis::Operator;
use crate::node::{Node, NodeEvent};
use crate::recovery::Recovery;
use crate::report::{Failure, Fault, Report};
use crate::trace::{Sink, Trace};
use crate::watchers::Watchers;

/// See the module's text.
pub struct World<C: Consensus> {
    pub env: Env,
    pub nodes: Vec<Node<C>>,
    pub clients: Clients,
    pub watchers: Watchers,
    pub recovery: Recovery,
    pub operator: Operator,
}

impl<C: Consensus> World<C> {
    /// One run, from its seed to its verdicts.
    pub fn run(options: &Options, mut sink: Option<Sink<'_>>) -> Report {
        let swarm = options.swarm();
        let trace = Trace::new(sink.is_some(), C::NAME);
        let mut env = Env::new(options.dice(), swarm, options, C::CAPS, trace);
        let operator = Operator::new(env.swarm.nodes);
        let founded = operator.founded(env.swarm.write_quorum);
        let nodes =
            (0..env.swarm.nodes).map(|place| Node::<C>::new(place, founded.clone(), &mut env)).collect();
        let clients = Clients::new(&mut env);
        let watchers = Watchers::new(&mut env);
        let recovery = Recovery::default();
        let mut world = World { env, nodes, clients, watchers, recovery, operator };
        // A broken assertion is a finding like any other.
        let ended = catch_unwind(AssertUnwindSafe(|| world.live(&mut sink)));
        if ended.is_err() {
            world.env.checks.fail("NoPanic", crate::panics::last());
        }
        world.env.trace.flush(&mut sink);
        world.report(options)
    }

    fn live(&mut self, sink: &mut Option<Sink<'_>>) {
        self.begin();
        while !self.recovery.finished && self.env.checks.failure.is_none() {
            let Some(event) = self.env.next_event() else {
                return self.env.checks.fail("Liveness", "nothing happens any more");
            };
            self.happen(event);
            if self.env.most_events.is_some_and(|most| self.env.trace.events() > most) {
                return;
            }
            let most = self.env.swarm.most_events();
            if self.env.trace.events() > most {
                let detail = format!("{most} events and no end: messages beget messages");
                self.env.checks.fail("BoundedWork", detail);
            }
            if self.env.trace.told() {
                self.env.trace.flush(sink);
            }
        }
        if self.env.checks.failure.is_none() {
            let revision = self.env.checks.revision();
            let streams = std::mem::take(&mut self.watchers).conclude(revision);
            self.env.checks.conclude(&streams);
        }
    }

    fn begin(&mut self) {
        for place in 0..self.nodes.len() {
            let delay = self.env.dice.host.below(50_000);
            self.env.after_at(delay, place, 0, NodeEvent::Start);
        }
        let chaos_us = self.env.swarm.chaos_us;
        self.env.after(chaos_us, Event::Calm);
        self.unleash();
        self.employ();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Node { node, life, event } => self.reach(node, life, event),
            Event::Client(event) => self.clients.handle(event, &mut self.env),
            Event::Watcher(event) => self.watchers.handle(event, &mut self.env),
            Event::Nemesis(deed) if !self.recovery.begun || deed.in_peace() => self.deed(deed),
            Event::Nemesis(_) => {}
            Event::Calm => self.calm(),
            Event::Poll => self.poll(),
        }
    }

    /// Something reaches a node, unless it comes too late, meets a cut, or has to wait.
    fn reach(&mut self, at: usize, life: Option<u64>, event: NodeEvent) {
        let node = &mut self.nodes[at];
        if life.is_some_and(|life| life != node.life) {
            return;
        }
        if let NodeEvent::Parcel { from, bytes, .. } = &event
            && self.env.network.is_cut(*from, at)
        {
            self.env.trace.arrives(self.env.now, *from, at, bytes, Some("a link that has failed"));
            return self.env.stats.fault(Fault::Cut);
        }
        if node.paused_until > self.env.now {
            let wait = node.paused_until - self.env.now;
            return self.env.after(wait, Event::Node { node: at, life, event });
        }
        if let NodeEvent::Parcel { from, bytes, .. } = &event {
            let why_not = node.host().is_none().then_some("a node that is down");
            self.env.trace.arrives(self.env.now, *from, at, bytes, why_not);
        }
        node.handle(event, &mut self.env);
    }

    /// Whether a node is up and believes to lead.
    pub fn leads(&self, node: usize) -> bool {
        self.nodes[node].host().is_some_and(|host| host.role == Role::Leader)
    }

    /// Compare the logs of the nodes that are up.
    pub fn check_logs(&mut self) {
        let up = self.nodes.iter().filter_map(|node| Some((node.id().0, node.host()?.replica.core())));
        self.env.checks.logs(up);
    }

    fn report(self, options: &Options) -> Report {
        let Env { checks, trace, mut stats, now, .. } = self.env;
        (stats.elections, stats.committed) = checks.counts();
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
