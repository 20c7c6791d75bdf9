//! The state against its naive twin, over random histories.

mod common;
mod model;

use common::random;
use model::Model;
use proptest::prelude::*;
use quorate_kv::*;

/// What happens to a store besides commands.
#[derive(Clone, Debug)]
enum Step {
    Command(Command),
    /// The host finds time for some physical compaction.
    Compact(usize),
    /// The member restarts.
    Restart,
    Read(Range),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => random::command().prop_map(Step::Command),
        3 => (1..6usize).prop_map(Step::Compact),
        1 => Just(Step::Restart),
        6 => random::range().prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..60)
}

/// Two members at different paces, and the twin.
struct Members {
    brisk: State<MemoryStorage>,
    idle: State<MemoryStorage>,
    model: Model,
    index: u64,
}

impl Members {
    fn new() -> Self {
        let fresh = || State::restore(MemoryStorage::new());
        Members { brisk: fresh(), idle: fresh(), model: Model::new(), index: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Command(command) => self.command(command),
            Step::Compact(budget) => drop(self.brisk.compact_step(*budget)),
            Step::Restart => self.brisk = State::restore(self.brisk.storage().clone()),
            Step::Read(range) => {
                let expected = self.model.range(range);
                assert_eq!(self.brisk.range(range), expected, "{range:?}");
                assert_eq!(self.idle.range(range), expected, "{range:?}");
            }
        }
    }

    fn command(&mut self, command: &Command) {
        if validate(command, 128).is_err() {
            return;
        }
        if let Command::Txn(txn) = command
            && txn_is_read_only(txn)
        {
            let (outcome, _) = self.model.clone().apply(command);
            assert_eq!(self.brisk.txn_read(txn).map(Outcome::Txn), outcome);
        }
        self.index += 1;
        let (outcome, events) = self.model.apply(command);
        let expected = Applied { revision: self.model.revision, outcome, events };
        let ballot = (1, 2);
        assert_eq!(self.brisk.apply(self.index, ballot, command), expected, "{command:?}");
        assert_eq!(self.idle.apply(self.index, ballot, command), expected, "{command:?}");
        assert_eq!(self.brisk.storage().meta(), *self.brisk.meta());
        assert_eq!(self.brisk.meta().applied_index, self.index);
    }

    fn compare(&self, probe: &KeyRange, reads: &[Range]) {
        let Members { brisk, idle, model, .. } = self;
        assert_eq!(brisk.digest(), idle.digest());
        for range in reads {
            let expected = model.range(range);
            assert_eq!(brisk.range(range), expected, "{range:?}");
            assert_eq!(idle.range(range), expected, "{range:?}");
        }
        for state in [brisk, idle] {
            assert_eq!(state.check(), Ok(()));
            compare_hashes(state, model);
            compare_leases(state, model);
            compare_history(state, model, probe);
            assert_eq!(state.key_count(), model.live(i64::MAX).len() as u64);
            assert_eq!(state.members().iter().cloned().collect::<Vec<_>>(), model.members.sorted());
        }
    }
}

fn compare_hashes(state: &State<MemoryStorage>, model: &Model) {
    assert_eq!(state.hash_kv(0).map(|hash| hash.hash), Ok(model.hash(model.revision)));
    for revision in 1..=model.revision + 1 {
        let hash = state.hash_kv(revision);
        if revision > model.revision {
            assert_eq!(hash, Err(Error::FutureRevision));
        } else if revision < model.compact {
            assert_eq!(hash, Err(Error::Compacted));
        } else {
            let compact_revision = model.compact;
            let hash_revision = revision;
            assert_eq!(hash, Ok(HashKv { hash: model.hash(revision), compact_revision, hash_revision }));
        }
    }
}

fn compare_leases(state: &State<MemoryStorage>, model: &Model) {
    assert!(model.leased().iter().all(|id| model.leases.contains_key(id)));
    assert_eq!(state.leases().collect::<Vec<_>>(), model.leases.clone().into_iter().collect::<Vec<_>>());
    for (id, ttl) in &model.leases {
        assert_eq!(state.lease(*id), Some(LeaseView { ttl: *ttl, keys: model.attached(*id) }));
    }
}

fn compare_history(state: &State<MemoryStorage>, model: &Model, probe: &KeyRange) {
    let range = KeyRange { key: common::bytes("\0"), end: common::bytes("\0") };
    for range in [&range, probe] {
        for from in 1..=model.revision + 1 {
            for to in [from, from + 2, model.revision] {
                if from < model.compact {
                    assert_eq!(state.history(range, from, to, 3), Err(Error::Compacted));
                    continue;
                }
                let (mut events, mut next) = (Vec::new(), from);
                while next <= to.min(model.revision) {
                    let part = state.history(range, next, to, 3).expect("readable");
                    assert!(part.next > next);
                    assert!(part.events.iter().all(|event| event.revision.main < part.next));
                    events.extend(part.events);
                    next = part.next;
                }
                assert_eq!(events, model.history(range, from, to));
            }
        }
    }
    for (revision, key) in (1..=model.revision).flat_map(|revision| [(revision, "a"), (revision, "ab")]) {
        let live = if revision < model.compact { Default::default() } else { model.live(revision) };
        assert_eq!(state.at(key.as_bytes(), revision), live.get(key.as_bytes()).cloned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_the_naive_twin(
        steps in steps(),
        probe in random::key_range(),
        reads in prop::collection::vec(random::range(), 40),
    ) {
        let mut members = Members::new();
        for step in &steps {
            members.step(step);
        }
        members.compare(&probe, &reads);
        // However the physical removal ends, nothing changes; and then both have done the same work.
        while members.brisk.compact_step(2) {}
        members.compare(&probe, &reads);
        while members.idle.compact_step(1000) {}
        members.compare(&probe, &reads);
        prop_assert_eq!(members.brisk.storage(), members.idle.storage());
        prop_assert_eq!(members.brisk.index_len(), members.idle.index_len());
        let kept = members.model.kept();
        let mut stored = Vec::new();
        members.idle.storage().scan(Revision::default(), &mut |revision, record| {
            stored.push(Event { revision, record });
            true
        });
        prop_assert_eq!(stored, kept);
        members.brisk = State::restore(members.idle.storage().clone());
        members.compare(&probe, &reads);
    }
}

/// Enough keys that counting a little back reads what has changed instead of walking.
#[test]
fn counts_a_little_back_in_a_larger_store() {
    let mut store = common::Store::new();
    for number in 0..200 {
        store.put(&format!("k{number:03}"), "");
    }
    store.delete("k050", "k060");
    store.put("k055", "again");
    store.put("new", "");
    store.delete("k100", "k110");
    store.put("k120", "again");
    let count = |revision, key, end| {
        let range = Range { revision, count_only: true, ..common::get(key, end) };
        store.range(range).count
    };
    let revisions = 201..=206;
    let everything: Vec<_> = revisions.clone().map(|revision| count(revision, "\0", "\0")).collect();
    assert_eq!(everything, [200, 190, 191, 192, 182, 182]);
    let some: Vec<_> = revisions.map(|revision| count(revision, "k055", "k105")).collect();
    assert_eq!(some, [50, 45, 46, 46, 41, 41]);
}
