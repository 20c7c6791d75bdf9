//! Small rings, completely: every order in which exchanges, messages, joins, failures and departures can follow each
//! other, within Zave's assumptions.
//!
//! The assumptions: who is asked and alive answers before it is taken for dead; and nobody fails or leaves whose going would
//! leave a member without a live successor, or fewer than r + 1 principals. What must hold in every state is her invariant.
//!
//! A state is what the nodes are (by their views, numbered) and the messages on their way. Questions' numbers are left out of both:
//! a node has one question under way at a time, and no answer to an earlier one can come from the node asked.

mod common;

use std::collections::HashMap;
use std::fmt::Debug;

use common::variants::{OriginalJoin, Unheard};
use common::{peer, wrong};
use quorate_checker::chord_ring::{self, Node};
use quorate_chord::{Chord, Config, Corrected, Effect, Event, Message, Phase, Rules, Token, View};
use quorate_protocol::NodeId;
use quorate_search::{Bounds, Outcome, System, search};

/// What is searched.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    /// The members of the first ring.
    members: &'static [u64],
    /// Who may join, once.
    joiners: &'static [u64],
    /// r.
    successors: usize,
    /// How many may fail or leave.
    losses: u8,
    /// Whether they leave with a word instead of failing.
    graceful: bool,
    /// How many nodes may be waiting for an answer at once.
    exchanges: usize,
}

/// A state: numbers of nodes (0 is gone, or not there yet), numbers of messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    nodes: [u16; 5],
    flight: Vec<u16>,
    losses: u8,
    /// Joiners that have come, by bit.
    come: u8,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Stabilise(usize),
    Deliver(usize),
    Expire(usize),
    Join(usize, usize),
    Lose(usize),
}

/// Values by number, and back.
struct Numbered<K, V> {
    numbers: HashMap<K, u16>,
    values: Vec<V>,
}

impl<K: std::hash::Hash + Eq, V> Numbered<K, V> {
    fn new() -> Self {
        Numbered { numbers: HashMap::new(), values: Vec::new() }
    }

    fn number(&mut self, key: K, value: V) -> u16 {
        *self.numbers.entry(key).or_insert_with(|| {
            self.values.push(value);
            u16::try_from(self.values.len() - 1).expect("few enough")
        })
    }
}

struct Rings<R: Rules> {
    scenario: Scenario,
    places: Vec<u64>,
    nodes: Numbered<Option<View>, Option<(Chord<R>, View)>>,
    messages: Numbered<(usize, usize, Message), (usize, usize, Message)>,
    /// What a node is when an answer on its way has come: by their numbers.
    heard: HashMap<(u16, u16), u16>,
    /// Whether the nodes, as all must take them, are in order: many states look alike to the invariant.
    verdicts: HashMap<[u16; 5], Option<String>>,
    /// What becomes of a node upon something, and what it sends: by its number and that of the message, or more.
    steps: HashMap<(u16, u32), (u16, Vec<u16>)>,
}

/// In place of a message's number.
const STABILISES: u32 = 1 << 16;
const TICKS: u32 = STABILISES + 1;

/// Leaves a question's number out.
fn numberless(mut message: Message) -> Message {
    if let Message::Query { token }
    | Message::State { token, .. }
    | Message::Busy { token }
    | Message::Absent { token } = &mut message
    {
        *token = Token(0);
    }
    message
}

/// Puts one in.
fn with_number(mut message: Message, number: Token) -> Message {
    if let Message::State { token, .. } | Message::Busy { token } | Message::Absent { token } = &mut message {
        *token = number;
    }
    message
}

impl<R: Rules + Clone + Debug> Rings<R> {
    fn new(scenario: Scenario) -> Self {
        let places = [scenario.members, scenario.joiners].concat();
        let (nodes, messages) = (Numbered::new(), Numbered::new());
        let (heard, verdicts) = (HashMap::new(), HashMap::new());
        let steps = HashMap::new();
        let mut rings = Rings { scenario, places, nodes, messages, heard, verdicts, steps };
        rings.nodes.number(None, None);
        rings
    }

    fn config(&self, at: usize) -> Config {
        Config {
            stabilise_ticks: 0,
            finger_ticks: 0,
            timeout_ticks: 1,
            tries: 1,
            ..Config::new(peer(self.places[at]), self.scenario.successors)
        }
    }

    fn number(&mut self, chord: Chord<R>) -> u16 {
        let view = chord.view();
        let mut key = view.clone();
        if let Some((_, _, token)) = &mut key.asking {
            *token = Token(0);
        }
        self.nodes.number(Some(key), Some((chord, view)))
    }

    fn node(&self, state: &State, at: usize) -> Option<&(Chord<R>, View)> {
        self.nodes.values[usize::from(state.nodes[at])].as_ref()
    }

    fn at(&self, node: NodeId) -> usize {
        self.places.iter().position(|place| *place == node.0).expect("known")
    }

    /// The nodes as all others must take them: an answer that changes a pointer counts from when it was given, for
    /// until it arrives nobody is told of the pointer.
    fn effective(&mut self, state: &State) -> [u16; 5] {
        let mut nodes = state.nodes;
        for number in &state.flight {
            let (from, to, message) = &self.messages.values[usize::from(*number)];
            let Message::State { .. } = message else { continue };
            let (from, to) = (peer(self.places[*from]).node, *to);
            let before = state.nodes[to];
            if let Some(known) = self.heard.get(&(before, *number)) {
                nodes[to] = *known;
            } else if let Some((node, View { asking: Some((_, _, token)), .. })) =
                &self.nodes.values[usize::from(before)]
            {
                let (mut node, message) = (node.clone(), with_number(message.clone(), *token));
                node.step(Event::Receive { from, message }, &mut Vec::new());
                let after = self.number(node);
                self.heard.insert((before, *number), after);
                nodes[to] = after;
            }
        }
        nodes
    }

    fn views(&self, nodes: [u16; 5]) -> Vec<View> {
        let view = |number: u16| Some(self.nodes.values[usize::from(number)].as_ref()?.1.clone());
        nodes.into_iter().filter_map(view).collect()
    }

    /// How many wait for an answer.
    fn waiting(&self, state: &State) -> usize {
        let asks = |at: &usize| self.node(state, *at).is_some_and(|(_, view)| view.asking.is_some());
        (0..self.places.len()).filter(asks).count()
    }

    /// A node steps; answers the state after it. What is the same as before is not done again.
    fn step_once(
        &mut self,
        state: &State,
        at: usize,
        what: u32,
        event: impl FnOnce(&Self) -> Event,
    ) -> State {
        let key = (state.nodes[at], what);
        if !self.steps.contains_key(&key) {
            let event = event(self);
            let done = self.stepped(state, at, event);
            self.steps.insert(key, done);
        }
        let (node, sent) = &self.steps[&key];
        let mut next = state.clone();
        next.nodes[at] = *node;
        next.flight.extend(sent.iter().filter(|number| !state.flight.contains(number)));
        self.tidy(&mut next);
        next
    }

    fn stepped(&mut self, state: &State, at: usize, event: Event) -> (u16, Vec<u16>) {
        let mut chord = self.node(state, at).expect("it is there").0.clone();
        let mut effects = Vec::new();
        chord.step(event, &mut effects);
        self.carried_out(at, chord, effects)
    }

    /// The numbers of a node and of what it sends, each once.
    fn carried_out(&mut self, at: usize, chord: Chord<R>, effects: Vec<Effect>) -> (u16, Vec<u16>) {
        let mut sent = Vec::new();
        for effect in effects {
            if let Effect::Send { to, message } = effect {
                let to = self.at(to);
                let key = (at, to, numberless(message));
                let number = self.messages.number(key.clone(), key);
                if !sent.contains(&number) {
                    sent.push(number);
                }
            }
        }
        let here = matches!(chord.phase(), Phase::Member | Phase::Joining);
        (if here { self.number(chord) } else { 0 }, sent)
    }

    fn carry_out(&mut self, mut next: State, at: usize, (node, sent): (u16, Vec<u16>)) -> State {
        next.nodes[at] = node;
        let fresh: Vec<u16> = sent.into_iter().filter(|number| !next.flight.contains(number)).collect();
        next.flight.extend(fresh);
        self.tidy(&mut next);
        next
    }

    /// What is on its way to nobody is lost.
    fn tidy(&self, state: &mut State) {
        state.flight.retain(|number| state.nodes[self.messages.values[usize::from(*number)].1] != 0);
        state.flight.sort_unstable();
    }

    /// A joiner comes; the lookup of its place, which changes nothing, is done at once.
    fn join(&mut self, state: &State, at: usize, through: usize) -> Option<State> {
        let mut chord: Chord<R> = Chord::new(self.config(at), at as u64);
        let mut effects = Vec::new();
        chord.step(Event::Join(NodeId(self.places[through])), &mut effects);
        while let [Effect::Send { to, message: message @ Message::Step { token, .. } }] = &effects[..] {
            let mut answer = vec![Effect::Send { to: *to, message: Message::Absent { token: *token } }];
            let asked = self.at(*to);
            if let Some((asked, _)) = self.node(state, asked) {
                answer.clear();
                let message = message.clone();
                asked.clone().step(Event::Receive { from: peer(self.places[at]).node, message }, &mut answer);
            }
            let [Effect::Send { message, .. }] = &answer[..] else { return None };
            let event = Event::Receive { from: *to, message: message.clone() };
            effects = Vec::new();
            chord.step(event, &mut effects);
        }
        let came = matches!(chord.phase(), Phase::Member | Phase::Joining);
        let mut next = State { come: state.come | 1 << at, ..state.clone() };
        let done = came.then(|| self.carried_out(at, chord, effects))?;
        next = self.carry_out(next, at, done);
        Some(next)
    }

    /// A member is lost, if the assumptions allow it.
    fn lose(&mut self, state: &State, at: usize) -> Option<State> {
        let mut next = State { losses: state.losses + 1, ..state.clone() };
        if self.scenario.graceful {
            let done = self.stepped(&next, at, Event::Leave);
            next = self.carry_out(next, at, done);
        } else {
            next.nodes[at] = 0;
            self.tidy(&mut next);
        }
        let effective = self.effective(&next);
        let views: Vec<Node> = self.views(effective).iter().map(common::node).collect();
        let gone = self.places[at];
        chord_ring::may_go(&views, gone, self.scenario.successors + 1).then_some(next)
    }

    /// Whether who this node asks is gone, and no answer of it on its way.
    fn in_vain(&self, state: &State, at: usize) -> bool {
        let Some((_, View { asking: Some((_, to, _)), .. })) = self.node(state, at) else { return false };
        let to = self.at(to.node);
        let between = |number: &u16| {
            let (from, receiver, _) = &self.messages.values[usize::from(*number)];
            (*from, *receiver) == (to, at) || (*from, *receiver) == (at, to)
        };
        state.nodes[to] == 0 && !state.flight.iter().any(between)
    }
}

impl<R: Rules + Clone + Debug> System for Rings<R> {
    type State = State;
    type Action = Action;

    fn start(&mut self) -> Vec<State> {
        let mut members: Vec<u64> = self.scenario.members.to_vec();
        members.sort_unstable();
        let members: Vec<_> = members.into_iter().map(peer).collect();
        let mut nodes = [0; 5];
        for (at, node) in nodes.iter_mut().enumerate().take(members.len()) {
            *node = self.number(Chord::among(self.config(at), &members, at as u64));
        }
        vec![State { nodes, flight: Vec::new(), losses: 0, come: 0 }]
    }

    fn successors(&mut self, state: &State, found: &mut Vec<(Action, State)>) {
        let waiting = self.waiting(state);
        for at in 0..state.flight.len() {
            let number = state.flight[at];
            let to = self.messages.values[usize::from(number)].1;
            let mut without = state.clone();
            without.flight.remove(at);
            let next = self.step_once(&without, to, u32::from(number), |rings| {
                let (from, to, message) = rings.messages.values[usize::from(number)].clone();
                let asking = rings.node(state, to).and_then(|(_, view)| view.asking);
                let message = with_number(message, asking.map_or(Token(0), |(_, _, token)| token));
                Event::Receive { from: peer(rings.places[from]).node, message }
            });
            found.push((Action::Deliver(at), next));
        }
        for at in 0..self.places.len() {
            match self.node(state, at).map(|(_, view)| (view.phase, view.asking.is_some())) {
                Some((Phase::Member, asking)) => {
                    if !asking && waiting < self.scenario.exchanges {
                        let next = self.step_once(state, at, STABILISES, |_| Event::Stabilise);
                        found.push((Action::Stabilise(at), next));
                    }
                    if state.losses < self.scenario.losses {
                        found.extend(self.lose(state, at).map(|next| (Action::Lose(at), next)));
                    }
                }
                None if at >= self.scenario.members.len() && state.come & 1 << at == 0 => {
                    let free = waiting < self.scenario.exchanges;
                    for through in (0..self.places.len()).filter(|_| free) {
                        if self.node(state, through).is_some_and(|(_, view)| view.phase == Phase::Member) {
                            let next = self.join(state, at, through);
                            found.extend(next.map(|next| (Action::Join(at, through), next)));
                        }
                    }
                }
                _ => {}
            }
            if self.in_vain(state, at) {
                let next = self.step_once(state, at, TICKS, |_| Event::Tick);
                found.push((Action::Expire(at), next));
            }
        }
    }

    fn wrong(&mut self, state: &State) -> Option<String> {
        let nodes = self.effective(state);
        if let Some(known) = self.verdicts.get(&nodes) {
            return known.clone();
        }
        let verdict = wrong(&self.views(nodes), self.scenario.successors + 1);
        self.verdicts.insert(nodes, verdict.clone());
        verdict
    }

    fn tell(&self, from: &State, action: &Action, to: &State) -> String {
        let place = |at: usize| self.places[at];
        let what = match action {
            Action::Stabilise(at) => format!("{} stabilises", place(*at)),
            Action::Expire(at) => format!("{} hears nothing", place(*at)),
            Action::Join(at, through) => format!("{} joins through {}", place(*at), place(*through)),
            Action::Lose(at) => format!("{} is lost", place(*at)),
            Action::Deliver(at) => {
                let (from, to, message) = &self.messages.values[usize::from(from.flight[*at])];
                format!("{} hears from {}: {message:?}", place(*to), place(*from))
            }
        };
        let lists: Vec<String> = self
            .views(to.nodes)
            .iter()
            .map(|view| {
                let list: Vec<u64> = view.successors.iter().map(|peer| peer.id.0).collect();
                format!("{}: {:?} {list:?}", view.own.id.0, view.predecessor.map(|peer| peer.id.0))
            })
            .collect();
        format!("{what}\n    {}", lists.join(", "))
    }
}

/// More states than any of these has.
const STATES: usize = 3_000_000;

fn run<R: Rules + Clone + Debug>(scenario: Scenario) -> Outcome {
    let outcome = search(&mut Rings::<R>::new(scenario), Bounds { states: STATES, depth: 1_000 }, |_, _| {});
    println!("{scenario:?}: {} states, {} steps, depth {}", outcome.states, outcome.steps, outcome.depth);
    outcome
}

/// Nothing is wrong, and everything was looked at.
fn sound(scenario: Scenario) {
    let outcome = run::<Corrected>(scenario);
    assert!(outcome.counterexample.is_none(), "{}", outcome.counterexample.unwrap());
    assert!(outcome.complete);
}

/// Something is wrong.
fn found<R: Rules + Clone + Debug>(scenario: Scenario, what: &str) {
    let story = run::<R>(scenario).counterexample.expect("it is found");
    println!("{story}");
    assert!(story.what.contains(what), "{story}");
}

/// r = 2: three principals are needed.
const THREE: Scenario = Scenario {
    members: &[10, 30, 50],
    joiners: &[35, 40],
    successors: 2,
    losses: 0,
    graceful: false,
    exchanges: 1,
};

/// One more than are needed, so that one can go.
const FOUR: Scenario = Scenario { members: &[10, 20, 30, 50], joiners: &[40], losses: 1, ..THREE };

/// r = 1: two principals are needed, and every pointer counts.
const SINGLE: Scenario = Scenario { successors: 1, losses: 2, ..THREE };

#[test]
fn two_join_a_ring_of_three() {
    sound(THREE);
    sound(Scenario { joiners: &[20, 40], ..THREE });
}

#[test]
fn one_joins_a_ring_of_four_and_one_fails() {
    sound(FOUR);
}

#[test]
fn with_single_successors_two_join_a_ring_of_three_and_some_go() {
    sound(Scenario { joiners: &[40], ..SINGLE });
    sound(Scenario { joiners: &[40], graceful: true, ..SINGLE });
    sound(Scenario { losses: 1, ..SINGLE });
}

#[test]
fn one_of_a_ring_of_four_leaves() {
    sound(Scenario { graceful: true, joiners: &[], ..FOUR });
}

#[test]
fn exchanges_at_once() {
    sound(Scenario { exchanges: 2, joiners: &[35], ..THREE });
}

#[test]
fn the_original_join_is_found() {
    found::<OriginalJoin>(FOUR, "no live successor");
}

#[test]
fn adopting_an_unheard_pointer_is_found() {
    found::<Unheard>(Scenario { joiners: &[40], losses: 1, ..SINGLE }, "no live successor");
}
