//! The hub keeps its six promises whatever is interleaved: writes, slow clients, compactions, catching up,
//! snapshots. See the text of the `watch` module, and `client` for how they are checked.

mod client;
mod common;
mod model;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use client::{Client, Truth};
use common::random;
use model::Model;
use proptest::prelude::*;
use quorate_kv::*;

#[derive(Clone, Debug)]
enum Step {
    /// Change some keys in one revision: put those with a value, delete the others.
    Write(Vec<(u8, Option<u8>)>),
    Publish(usize),
    /// Compact so many revisions below the newest.
    Compact(i64),
    /// Some physical compaction.
    Remove(usize),
    Open(u64, usize),
    Close(u64),
    /// The start revision is so many below the published one, or absolute if negative.
    Create(u64, WatchCreate),
    Cancel(u64, i64),
    Progress(u64),
    Tick,
    Take(u64, usize),
    CatchUp(usize),
    /// A revision's changes never reach the hub, but the next one's do.
    Lose,
    /// Everything not yet published arrives as a snapshot.
    Jump,
}

fn create() -> impl Strategy<Value = WatchCreate> {
    let start = prop_oneof![3 => Just(0i64), 6 => 1..60i64, 1 => Just(-1i64)];
    let id = prop_oneof![3 => Just(0i64), 1 => 1..6i64];
    let flag = || prop::bool::weighted(0.25);
    (random::key_range(), start, id, (flag(), flag(), flag()), (any::<bool>(), any::<bool>())).prop_map(
        |(range, start_revision, watch_id, (no_put, no_delete, fragment), (prev_kv, progress_notify))| {
            WatchCreate {
                range,
                start_revision,
                progress_notify,
                no_put,
                no_delete,
                prev_kv,
                watch_id,
                fragment,
            }
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stream = || 0..3u64;
    let value = prop::option::weighted(0.7, any::<u8>());
    let step = prop_oneof![
        16 => prop::collection::vec((0..8u8, value), 1..5).prop_map(Step::Write),
        14 => (1..4usize).prop_map(Step::Publish),
        2 => (0..8i64).prop_map(Step::Compact),
        2 => (1..5usize).prop_map(Step::Remove),
        1 => (stream(), 1..5usize).prop_map(|(stream, capacity)| Step::Open(stream, capacity)),
        1 => stream().prop_map(Step::Close),
        8 => (stream(), create()).prop_map(|(stream, create)| Step::Create(stream, create)),
        2 => (stream(), -1..7i64).prop_map(|(stream, id)| Step::Cancel(stream, id)),
        3 => stream().prop_map(Step::Progress),
        2 => Just(Step::Tick),
        8 => (stream(), 1..6usize).prop_map(|(stream, count)| Step::Take(stream, count)),
        8 => (1..12usize).prop_map(Step::CatchUp),
        1 => Just(Step::Lose),
        1 => Just(Step::Jump),
    ];
    prop::collection::vec(step, 1..160)
}

struct World {
    state: State<MemoryStorage>,
    model: Model,
    index: u64,
    hub: Hub,
    options: HubOptions,
    unpublished: VecDeque<(i64, Vec<Event>)>,
    clients: BTreeMap<StreamId, Client>,
}

impl World {
    fn new() -> Self {
        let options =
            HubOptions { fragment_bytes: 200, stream_bytes: 2000, batch_revisions: 4, batch_bytes: 150 };
        let mut world = World {
            state: State::restore(MemoryStorage::new()),
            model: Model::new(),
            index: 0,
            hub: Hub::new(1, options),
            options,
            unpublished: VecDeque::new(),
            clients: BTreeMap::new(),
        };
        (0..3).for_each(|stream| world.open(StreamId(stream), 3));
        world
    }

    fn open(&mut self, stream: StreamId, capacity: usize) {
        self.hub.open(stream, capacity);
        self.clients.insert(stream, Client::new(capacity));
    }

    fn apply(&mut self, command: &Command) {
        self.index += 1;
        let applied = self.state.apply(self.index, (1, 1), command);
        let (_, events) = self.model.apply(command);
        assert_eq!(applied.events, events);
        if !events.is_empty() {
            self.unpublished.push_back((applied.revision, events));
        }
    }

    fn write(&mut self, changes: &[(u8, Option<u8>)]) {
        let mut seen = BTreeSet::new();
        let ops = changes.iter().filter(|(key, _)| seen.insert(*key)).map(|(key, value)| {
            let key = ["a", "ab", "b", "c", "d", "e", "n31", "n7"][usize::from(*key)];
            match value {
                Some(value) => Op::Put(common::put(key, &"x".repeat(usize::from(*value) / 3))),
                None => Op::DeleteRange(common::delete(key, "")),
            }
        });
        let txn = common::then(ops.collect::<Vec<_>>());
        self.apply(&Command::Txn(Box::new(txn)));
    }

    fn publish(&mut self, count: usize) {
        for _ in 0..count {
            if let Some((revision, events)) = self.unpublished.pop_front() {
                self.hub.publish(revision, &events, &self.state);
                self.listen();
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(changes) => self.write(changes),
            Step::Publish(count) => self.publish(*count),
            Step::Compact(below) => {
                self.apply(&Command::Compact { revision: self.state.revision() - below });
            }
            Step::Remove(budget) => drop(self.state.compact_step(*budget)),
            Step::Open(stream, capacity) => self.open(StreamId(*stream), *capacity),
            Step::Close(stream) => {
                self.hub.close(StreamId(*stream));
                self.clients.remove(&StreamId(*stream));
            }
            Step::CatchUp(budget) => drop(self.hub.catch_up(&self.state, *budget)),
            Step::Lose if self.unpublished.len() > 1 => {
                self.unpublished.pop_front();
                self.publish(1);
            }
            Step::Lose => {}
            Step::Jump => {
                self.unpublished.clear();
                self.hub.jump(self.state.revision());
            }
            Step::Tick => self.hub.tick_progress(),
            Step::Create(..) | Step::Cancel(..) | Step::Progress(_) | Step::Take(..) => self.client(step),
        }
        self.listen();
    }

    fn client(&mut self, step: &Step) {
        let (Step::Create(stream, _)
        | Step::Cancel(stream, _)
        | Step::Progress(stream)
        | Step::Take(stream, _)) = step
        else {
            return;
        };
        let stream = StreamId(*stream);
        let Some(client) = self.clients.get_mut(&stream) else { return };
        match step {
            Step::Create(_, request) => {
                client.asks_to_watch(request);
                self.hub.create(stream, request.clone(), self.state.compact_revision());
            }
            Step::Cancel(_, id) => {
                client.asks_to_cancel(*id);
                self.hub.cancel(stream, *id);
            }
            Step::Progress(_) => {
                client.asks_for_progress();
                self.hub.progress(stream);
            }
            Step::Take(_, count) => {
                let count = (*count).min(client.inbox.len());
                client.inbox.drain(..count);
                self.hub.delivered(stream, count);
            }
            _ => {}
        }
    }

    fn listen(&mut self) {
        assert_eq!(self.hub.check(), Ok(()));
        let truth = Truth { model: &self.model, published: self.hub.revision(), options: self.options };
        for (stream, message) in self.hub.drain() {
            self.clients.get_mut(&stream).expect("open").receives(message, &truth);
        }
        for (stream, client) in &self.clients {
            client.check_bounds();
            assert_eq!(self.hub.outstanding(*stream), client.inbox.len());
        }
    }

    /// Everyone takes what there is until nobody is behind.
    fn settle(&mut self) {
        self.publish(usize::from(u16::MAX).min(self.unpublished.len()));
        for _ in 0..1000 {
            let streams: Vec<_> = self.clients.keys().copied().collect();
            for StreamId(stream) in streams {
                self.step(&Step::Take(stream, usize::MAX));
            }
            self.step(&Step::CatchUp(10));
            if self.hub.lagging() == 0 {
                break;
            }
        }
        assert_eq!(self.hub.lagging(), 0, "someone never catches up");
        assert_eq!(self.hub.revision(), self.state.revision());
        let truth = Truth { model: &self.model, published: self.hub.revision(), options: self.options };
        for client in self.clients.values() {
            client.is_content(&truth);
        }
        self.progress_everywhere();
    }

    /// When nobody is behind and nobody waits for the future, progress is told.
    fn progress_everywhere(&mut self) {
        let streams: Vec<_> = self.clients.keys().copied().collect();
        for StreamId(stream) in streams {
            self.step(&Step::Take(stream, usize::MAX));
            self.step(&Step::Progress(stream));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_six_promises(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }

    /// What a watcher from the first revision gets, if history is whole, is all of it.
    #[test]
    fn catching_up_equals_having_been_there(steps in steps(), range in random::key_range()) {
        let mut world = World::new();
        world.open(StreamId(7), 1000);
        let request = WatchCreate { range: range.clone(), start_revision: 1, ..WatchCreate::default() };
        world.step(&Step::Create(7, request.clone()));
        for step in steps.iter().filter(|step| !matches!(step, Step::Compact(_))) {
            world.step(step);
        }
        world.settle();
        world.open(StreamId(8), 1000);
        world.step(&Step::Create(8, request));
        world.settle();
        let seen = |stream| world.clients[&StreamId(stream)].seen.get(&0);
        prop_assert_eq!(seen(7), seen(8));
    }
}
