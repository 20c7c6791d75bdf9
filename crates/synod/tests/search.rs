//! Every course of events in small worlds: messages lost, repeated, reordered; proposers that start over; crashes between any two
//! steps. And that the search would notice: each rule broken on its own, and two bugs of a host, are found.
//!
//! A message once sent may be delivered at any later time, any number of times, or never: what is under way is the set of
//! all that was ever sent. Two worlds share the machinery. In the *prompt* one an acceptor's state is saved as soon as it changes, so that
//! a crash takes nothing from it; in the *slow* one it is saved some time later, what it says waits for that, and a
//! crash takes both. (It takes no other message meanwhile.)
//!
//! Left out, because it adds nothing: refusals, for a proposer may give a ballot up at any time without being told; the crash of a
//! proposer that knows its round, for it is as if it had given its ballot up; promises that nobody waits for any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use quorate_protocol::{Ballot, Membership, NodeId};
use quorate_search::{Bounds, Outcome, System, search};
use quorate_synod::{Acceptor, Learner, Message, Paper, Proposer, Quorums, Rules};

/// A value that a proposer wants.
type Value = u8;

/// What the hosts do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Answers leave before the state they follow from is saved.
    SendsEarly,
    /// What was promised is not saved, only what was accepted.
    ForgetsPromise,
    /// A proposer that restarts does not know its last round.
    ForgetsRound,
    /// Any two acceptors suffice to begin a ballot.
    ElectsWithTwo,
}

/// How large a world is.
#[derive(Clone, Copy, Debug)]
struct Shape {
    acceptors: u64,
    proposers: u64,
    /// Rounds, at most.
    rounds: u64,
    /// How many acceptors choose; 0 for a majority.
    write_quorum: u32,
    slow: bool,
    mistake: Mistake,
}

/// Three acceptors, two proposers, two ballots each.
const SMALL: Shape =
    Shape { acceptors: 3, proposers: 2, rounds: 2, write_quorum: 0, slow: false, mistake: Mistake::None };

/// An acceptor and its disk.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Node<R: Rules> {
    acceptor: Acceptor<Value, R>,
    disk: Acceptor<Value, R>,
    /// What waits for the disk.
    held: BTreeSet<Message<Value>>,
}

impl<R: Rules> Clone for Node<R> {
    fn clone(&self) -> Self {
        Node { acceptor: self.acceptor.clone(), disk: self.disk.clone(), held: self.held.clone() }
    }
}

/// Everything, by numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    acceptors: [u16; 5],
    proposers: [u16; 3],
    /// The messages ever sent.
    sent: u128,
}

#[derive(Clone, Debug)]
enum Action {
    /// A proposer begins a ballot.
    Begin(NodeId),
    /// A message is delivered to an acceptor.
    ToAcceptor(NodeId, usize),
    /// A message is delivered to a proposer.
    ToProposer(NodeId, usize),
    /// An acceptor's state is saved, and what waited for it is sent.
    Save(NodeId),
    Crash(NodeId),
    /// A proposer crashes.
    Restart(NodeId),
}

/// The acceptors, and who of them suffices.
struct Group {
    members: Membership,
    elects_with_two: bool,
}

impl Quorums for Group {
    fn elects(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        match self.elects_with_two {
            true => self.members.voters().any_of(2, holds),
            false => self.members.elects(holds),
        }
    }

    fn chooses(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        self.members.chooses(holds)
    }
}

/// Gives values numbers.
#[derive(Debug)]
struct Numbers<T>(HashMap<T, usize>, Vec<T>);

impl<T: Clone + Eq + Hash> Numbers<T> {
    fn of(&mut self, value: T) -> usize {
        if let Some(&number) = self.0.get(&value) {
            return number;
        }
        self.1.push(value.clone());
        self.0.insert(value, self.1.len() - 1);
        self.1.len() - 1
    }

    fn new() -> Self {
        Numbers(HashMap::new(), Vec::new())
    }
}

struct World<R: Rules> {
    shape: Shape,
    group: Group,
    nodes: Numbers<Node<R>>,
    proposers: Numbers<Proposer<Value, R>>,
    messages: Numbers<(NodeId, Message<Value>)>,
}

/// Acceptors are nodes from 1 on, and so are proposers: what matters is which of the two a message is for.
fn place(node: NodeId) -> usize {
    node.0 as usize - 1
}

fn ids(n: u64) -> impl Iterator<Item = NodeId> {
    (1..=n).map(NodeId)
}

impl<R: Rules + Clone + Eq + Hash + std::fmt::Debug> World<R> {
    fn new(shape: Shape) -> Self {
        World {
            shape,
            group: Group {
                members: Membership::new(ids(shape.acceptors), []).with_write_quorum(shape.write_quorum),
                elects_with_two: shape.mistake == Mistake::ElectsWithTwo,
            },
            nodes: Numbers::new(),
            proposers: Numbers::new(),
            messages: Numbers::new(),
        }
    }

    fn explore(shape: Shape, states: usize) -> Outcome {
        search(&mut Self::new(shape), Bounds { states, depth: usize::MAX }, |_, _| {})
    }

    fn node(&mut self, state: &mut State, id: NodeId, node: Node<R>) {
        let number = self.nodes.of(node);
        state.acceptors[place(id)] = u16::try_from(number).expect("few nodes");
    }

    fn proposer(&mut self, state: &mut State, id: NodeId, proposer: Proposer<Value, R>) {
        let number = self.proposers.of(proposer);
        state.proposers[place(id)] = u16::try_from(number).expect("few proposers");
    }

    fn send(&mut self, state: &mut State, from: NodeId, message: Message<Value>) {
        if matches!(message, Message::Refused { .. }) {
            return;
        }
        let number = self.messages.of((from, message));
        assert!(number < 128, "few messages");
        state.sent |= 1 << number;
    }

    /// Forget the promises that nobody waits for any more.
    fn tidy(&self, state: &mut State) {
        let waits = |ballot: Ballot| {
            let proposer = &self.proposers.1[usize::from(state.proposers[place(ballot.node)])];
            proposer.ballot() == ballot && proposer.proposal().is_none()
        };
        let mut kept = state.sent;
        for at in self.sent(state) {
            if let Message::Promise { ballot, .. } = &self.messages.1[at].1
                && !waits(*ballot)
            {
                kept &= !(1 << at);
            }
        }
        state.sent = kept;
    }

    fn sent(&self, state: &State) -> Vec<usize> {
        (0..self.messages.1.len()).filter(|at| state.sent >> at & 1 == 1).collect()
    }

    /// An acceptor handles a message.
    fn accept(&mut self, state: &State, id: NodeId, message: &Message<Value>) -> Option<State> {
        let mut node = self.nodes.1[usize::from(state.acceptors[place(id)])].clone();
        if self.shape.slow && node.acceptor != node.disk {
            return None;
        }
        let answer = node.acceptor.receive(message)?.saved();
        let mut next = state.clone();
        if !self.shape.slow {
            node.disk = self.saved(&node.acceptor);
            self.send(&mut next, id, answer);
        } else if self.shape.mistake == Mistake::SendsEarly {
            self.send(&mut next, id, answer);
        } else {
            node.held.insert(answer);
        }
        self.node(&mut next, id, node);
        Some(next)
    }

    /// What the disk holds afterwards.
    fn saved(&self, acceptor: &Acceptor<Value, R>) -> Acceptor<Value, R> {
        if self.shape.mistake != Mistake::ForgetsPromise {
            return acceptor.clone();
        }
        let mut forgetful = Acceptor::new();
        if let Some(proposal) = acceptor.accepted() {
            _ = forgetful.receive(&Message::Accept(proposal.clone()));
        }
        forgetful
    }

    fn disk(&mut self, state: &State, id: NodeId, found: &mut Vec<(Action, State)>) {
        let node = self.nodes.1[usize::from(state.acceptors[place(id)])].clone();
        if node.acceptor == node.disk && node.held.is_empty() {
            return;
        }
        if self.shape.slow {
            let mut next = state.clone();
            for message in &node.held {
                self.send(&mut next, id, message.clone());
            }
            let disk = self.saved(&node.acceptor);
            let saved = Node { acceptor: node.acceptor.clone(), disk, held: BTreeSet::new() };
            self.node(&mut next, id, saved);
            found.push((Action::Save(id), next));
        }
        let mut next = state.clone();
        let crashed = Node { acceptor: node.disk.clone(), disk: node.disk, held: BTreeSet::new() };
        self.node(&mut next, id, crashed);
        found.push((Action::Crash(id), next));
    }

    fn propose(&mut self, state: &State, id: NodeId, found: &mut Vec<(Action, State)>) {
        let proposer = self.proposers.1[usize::from(state.proposers[place(id)])].clone();
        if proposer.seen() < self.shape.rounds {
            let (mut begun, mut next) = (proposer.clone(), state.clone());
            let prepare = begun.begin().expect("rounds are few").saved();
            self.send(&mut next, id, prepare);
            self.proposer(&mut next, id, begun);
            found.push((Action::Begin(id), next));
        }
        for at in self.sent(state) {
            let (from, message) = self.messages.1[at].clone();
            let (mut told, mut next) = (proposer.clone(), state.clone());
            if let Some(proposal) = told.receive(from, &message, &self.group) {
                self.send(&mut next, id, proposal);
            }
            if told != proposer {
                self.proposer(&mut next, id, told);
                found.push((Action::ToProposer(id, at), next));
            }
        }
        let kept = if self.shape.mistake == Mistake::ForgetsRound { 0 } else { proposer.round() };
        let restarted = Proposer::new(id, id.0 as Value, kept);
        if self.shape.mistake == Mistake::ForgetsRound && restarted != proposer {
            let mut next = state.clone();
            self.proposer(&mut next, id, restarted);
            found.push((Action::Restart(id), next));
        }
    }
}

impl<R: Rules + Clone + Eq + Hash + std::fmt::Debug> System for World<R> {
    type State = State;
    type Action = Action;

    fn start(&mut self) -> Vec<State> {
        let mut state = State { acceptors: [0; 5], proposers: [0; 3], sent: 0 };
        for id in ids(self.shape.acceptors) {
            let (acceptor, disk) = (Acceptor::new(), Acceptor::new());
            self.node(&mut state, id, Node { acceptor, disk, held: BTreeSet::new() });
        }
        for id in ids(self.shape.proposers) {
            self.proposer(&mut state, id, Proposer::new(id, id.0 as Value, 0));
        }
        vec![state]
    }

    fn successors(&mut self, state: &State, found: &mut Vec<(Action, State)>) {
        for id in ids(self.shape.acceptors) {
            for at in self.sent(state) {
                let message = self.messages.1[at].1.clone();
                if let Some(next) = self.accept(state, id, &message)
                    && next != *state
                {
                    found.push((Action::ToAcceptor(id, at), next));
                }
            }
            self.disk(state, id, found);
        }
        ids(self.shape.proposers).for_each(|id| self.propose(state, id, found));
        found.iter_mut().for_each(|(_, next)| self.tidy(next));
        found.retain(|(_, next)| next != state);
    }

    fn wrong(&mut self, state: &State) -> Option<String> {
        let mut proposed: BTreeMap<Ballot, Value> = BTreeMap::new();
        let mut accepted: BTreeMap<Ballot, (Value, BTreeSet<NodeId>)> = BTreeMap::new();
        let mut learner = Learner::new();
        for at in self.sent(state) {
            let (from, message) = &self.messages.1[at];
            match message {
                Message::Accept(proposal) => {
                    let first = *proposed.entry(proposal.ballot).or_insert(proposal.value);
                    if first != proposal.value {
                        return Some(format!("OneValue: {} proposes two", proposal.ballot));
                    }
                    if !ids(self.shape.proposers).any(|id| id.0 as Value == proposal.value) {
                        return Some(format!("Validity: nobody wanted {}", proposal.value));
                    }
                }
                Message::Accepted(proposal) => {
                    let entry = accepted.entry(proposal.ballot).or_insert((proposal.value, BTreeSet::new()));
                    entry.1.insert(*from);
                    _ = learner.receive(*from, message, &self.group);
                }
                _ => {}
            }
        }
        let chosen: Vec<(Ballot, Value)> = accepted
            .iter()
            .filter(|(_, (_, by))| self.group.chooses(|node| by.contains(&node)))
            .map(|(ballot, (value, _))| (*ballot, *value))
            .collect();
        let (at, first) = *chosen.first()?;
        if let Some((ballot, value)) = chosen.iter().find(|(_, value)| *value != first) {
            return Some(format!("Agreement: {first} is chosen under {at}, {value} under {ballot}"));
        }
        if let Some((ballot, value)) = proposed.range(at..).find(|(_, value)| **value != first) {
            return Some(format!("ChosenSafe: {first} is chosen under {at}, {ballot} proposes {value}"));
        }
        (learner.chosen() != Some(&first)).then(|| format!("Learned: {:?}", learner.chosen()))
    }

    fn tell(&self, _: &State, action: &Action, _: &State) -> String {
        match action {
            Action::ToAcceptor(id, at) => format!("{:?} reaches acceptor {id}", self.messages.1[*at]),
            Action::ToProposer(id, at) => format!("{:?} reaches proposer {id}", self.messages.1[*at]),
            Action::Begin(id) => format!("{id} begins a ballot"),
            Action::Save(id) => format!("{id} saves"),
            Action::Crash(id) => format!("acceptor {id} crashes"),
            Action::Restart(id) => format!("proposer {id} restarts"),
        }
    }
}

/// Everything there is, nothing wrong.
#[track_caller]
fn sound(shape: Shape, states: usize, depth: usize) {
    let outcome = World::<Paper>::explore(shape, usize::MAX);
    assert_eq!(outcome.counterexample, None, "{shape:?}");
    assert_eq!((outcome.complete, outcome.states, outcome.depth), (true, states, depth), "{shape:?}");
}

/// The search finds what is planted, and names the property.
#[track_caller]
fn caught<R: Rules + Clone + Eq + Hash + std::fmt::Debug>(shape: Shape, property: &str) {
    let outcome = World::<R>::explore(shape, 3_000_000);
    let found = outcome.counterexample.expect("it is found");
    println!("{found}");
    assert!(found.what.starts_with(property), "{found}");
}

#[test]
fn two_proposers_and_three_acceptors() {
    sound(Shape { rounds: 1, ..SMALL }, 1_369, 16);
    sound(SMALL, 206_373, 32);
}

#[test]
fn acceptors_that_save_late_and_crash() {
    sound(Shape { rounds: 1, slow: true, ..SMALL }, 341_076, 35);
}

#[test]
fn three_proposers() {
    sound(Shape { proposers: 3, rounds: 1, ..SMALL }, 43_193, 24);
}

/// Two of four choose and three begin a ballot; two of five and four of them. That those who choose do not meet each other is no
/// matter.
#[test]
fn flexible_quorums() {
    let shape = Shape { rounds: 1, write_quorum: 2, ..SMALL };
    sound(Shape { acceptors: 4, ..shape }, 11_953, 22);
    sound(Shape { acceptors: 5, ..shape }, 99_345, 28);
    sound(Shape { acceptors: 5, write_quorum: 0, ..shape }, 100_545, 24);
}

/// Too many states to see all of: as many as time allows, the nearest first.
#[test]
fn a_larger_world_as_far_as_time_allows() {
    let shape = Shape { proposers: 3, acceptors: 4, rounds: 1, ..SMALL };
    let outcome = World::<Paper>::explore(shape, 150_000);
    assert_eq!((outcome.counterexample, outcome.states, outcome.complete), (None, 150_000, false));
}

/// Rules with one of them broken.
macro_rules! broken {
    ($name:ident { $($rule:item)* }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        struct $name;

        impl Rules for $name {
            $($rule)*
        }
    };
}

#[test]
fn an_acceptor_that_ignores_its_promise_is_caught() {
    broken!(AcceptsAnything {
        fn may_accept(_: Ballot, _: Ballot) -> bool {
            true
        }
    });
    caught::<AcceptsAnything>(Shape { rounds: 1, ..SMALL }, "ChosenSafe");
}

/// As some textbooks have it: the number of an accepted proposal is compared, that of a promise is not.
#[test]
fn an_acceptor_that_counts_only_what_it_accepted_is_caught() {
    caught::<Paper>(Shape { rounds: 1, mistake: Mistake::ForgetsPromise, ..SMALL }, "ChosenSafe");
}

#[test]
fn the_largest_value_instead_of_the_latest_is_caught() {
    broken!(LargestValue {
        fn outranks<V: Ord>(other: (Ballot, &V), known: (Ballot, &V)) -> bool {
            other.1 > known.1
        }
    });
    caught::<LargestValue>(SMALL, "ChosenSafe");
}

#[test]
fn a_proposer_that_insists_on_its_own_value_is_caught() {
    broken!(Insists {
        fn is_bound_by_reports() -> bool {
            false
        }
    });
    caught::<Insists>(Shape { rounds: 1, ..SMALL }, "ChosenSafe");
}

#[test]
fn an_election_quorum_that_misses_a_write_quorum_is_caught() {
    // Two of four choose, and two of four would begin a ballot: as majorities of three do.
    let shape = Shape { acceptors: 4, rounds: 1, write_quorum: 2, mistake: Mistake::ElectsWithTwo, ..SMALL };
    caught::<Paper>(shape, "ChosenSafe");
}

#[test]
fn a_proposer_that_begins_a_ballot_twice_is_caught() {
    caught::<Paper>(Shape { rounds: 1, mistake: Mistake::ForgetsRound, ..SMALL }, "OneValue");
}

#[test]
fn an_answer_that_leaves_before_it_is_saved_is_caught() {
    caught::<Paper>(Shape { rounds: 1, slow: true, mistake: Mistake::SendsEarly, ..SMALL }, "ChosenSafe");
}

/// One rule is not what safety rests on: to promise less than was promised is a lie that harms nobody, for what is accepted is
/// judged by the greatest promise all the same.
#[test]
fn promising_less_again_harms_nobody() {
    broken!(PromisesAnything {
        fn may_promise(_: Ballot, _: Ballot) -> bool {
            true
        }
    });
    let outcome = World::<PromisesAnything>::explore(Shape { rounds: 1, ..SMALL }, usize::MAX);
    assert_eq!((outcome.counterexample, outcome.complete), (None, true));
}
