//! The store against a naive twin: any changes, checkpoints, reopenings and power cuts.

mod common;

use common::{Disk, Model, contents, in_use, options, rev};
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_kv::{KeyValue, Member, Members, Record, Storage};
use quorate_storage::{Checkpoint, Committed, Store};

/// One thing a host does.
#[derive(Clone, Debug)]
enum Step {
    /// A transaction: records with these values; none is a tombstone.
    Apply(Vec<Option<Vec<u8>>>),
    /// Compaction removes those records whose place, counted by this number, is not a multiple of it.
    Remove(usize),
    PutLease(i64, i64),
    RemoveLease(i64),
    Publish(u64),
    Begin,
    Commit {
        durable: bool,
    },
    Finish,
    /// Stop and start again in good order.
    Reopen,
    /// The power goes; the bits say which unsynced writes had reached the disk.
    PowerCut(u64),
    /// Begin at this place of what there is, and stop after so many.
    Scan(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        6 => vec(any::<u8>(), 0..40).prop_map(Some),
        1 => (any::<u8>(), 3000usize..9000).prop_map(|(byte, len)| Some(vec![byte; len])),
        2 => Just(None),
    ];
    prop_oneof![
        8 => vec(value, 1..5).prop_map(Step::Apply),
        2 => (2usize..5).prop_map(Step::Remove),
        3 => (1i64..4, any::<i64>()).prop_map(|(id, ttl)| Step::PutLease(id, ttl)),
        3 => (1i64..4).prop_map(Step::RemoveLease),
        1 => (1u64..4).prop_map(Step::Publish),
        3 => Just(Step::Begin),
        3 => any::<bool>().prop_map(|durable| Step::Commit { durable }),
        3 => Just(Step::Finish),
        1 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(Step::PowerCut),
        2 => (any::<usize>(), 0usize..20).prop_map(|(from, count)| Step::Scan(from, count)),
    ]
}

/// The store, its twin, and what the twin was at each checkpoint.
struct World {
    disk: Disk,
    store: Option<Store>,
    model: Model,
    begun: Option<Checkpoint>,
    committed: Option<Committed>,
    /// The twin at the checkpoint under way.
    frozen: Model,
    /// The twin at the last durable checkpoint.
    durable: Model,
    /// The twin at checkpoints committed after it.
    since: Vec<Model>,
}

impl World {
    fn new() -> World {
        let disk = Disk::default();
        let store = Some(Store::with_backend("disk", disk.clone(), &options()).unwrap());
        World {
            disk,
            store,
            model: Model::default(),
            begun: None,
            committed: None,
            frozen: Model::default(),
            durable: Model::default(),
            since: Vec::new(),
        }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn both(&mut self, change: impl Fn(&mut dyn Storage)) {
        change(&mut self.model);
        change(self.store());
    }

    fn applied(&mut self, main: i64) {
        let mut meta = self.model.meta.clone();
        meta.applied_index += 1;
        meta.revision = main;
        self.both(|storage| storage.set_meta(&meta));
    }

    fn apply(&mut self, values: &[Option<Vec<u8>>]) {
        let main = self.model.meta.revision + 1;
        for (sub, value) in values.iter().enumerate() {
            let record = match value {
                Some(value) => Record::Put(KeyValue {
                    key: format!("{sub}").into(),
                    create_revision: main,
                    mod_revision: main,
                    version: 1,
                    value: value.clone().into(),
                    lease: 0,
                }),
                None => Record::Tombstone { key: format!("{sub}").into() },
            };
            self.both(|storage| storage.insert(rev(main, sub as i64), record.clone()));
        }
        self.applied(main);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Apply(values) => self.apply(values),
            Step::Remove(keep) => {
                let places = self.model.records.keys().enumerate();
                let mut gone: Vec<_> =
                    places.filter(|(at, _)| at % keep != 0).map(|(_, revision)| *revision).collect();
                gone.push(rev(i64::MAX, 0));
                self.both(|storage| storage.remove(&gone));
                self.applied(self.model.meta.revision);
            }
            Step::PutLease(id, ttl) => self.both(|storage| storage.put_lease(*id, *ttl)),
            Step::RemoveLease(id) => self.both(|storage| storage.remove_lease(*id)),
            Step::Publish(id) => {
                let mut meta = self.model.meta.clone();
                let (name, client_urls) = (format!("m{id}"), vec![format!("http://{}", meta.applied_index)]);
                let mut members: Vec<Member> = meta.members.iter().cloned().collect();
                members.retain(|member| member.id != *id);
                members.push(Member { id: *id, name, client_urls, ..Member::default() });
                meta.members = Members::founding(members).into();
                meta.membership = format!("of {id}").into();
                self.both(|storage| storage.set_meta(&meta));
            }
            Step::Begin if self.begun.is_none() && self.committed.is_none() => {
                self.begun = Some(self.store().begin_checkpoint());
                self.frozen = self.model.clone();
            }
            Step::Commit { durable } => self.commit(*durable),
            Step::Finish => {
                if let Some(done) = self.committed.take() {
                    drop(self.store().finish_checkpoint(done));
                    self.check_size();
                }
            }
            Step::Scan(from, count) => self.scan(*from, *count),
            Step::Begin | Step::Reopen | Step::PowerCut(_) => {}
        }
    }

    fn commit(&mut self, durable: bool) {
        let Some(checkpoint) = self.begun.take() else { return };
        let done = checkpoint.commit(durable).unwrap();
        assert_eq!((done.meta(), done.durable()), (&self.frozen.meta, durable));
        self.committed = Some(done);
        if durable {
            self.durable = self.frozen.clone();
            self.since.clear();
        } else {
            self.since.push(self.frozen.clone());
        }
    }

    fn scan(&mut self, from: usize, count: usize) {
        let at = from.checked_rem(self.model.records.len()).unwrap_or(0);
        let from = self.model.records.keys().nth(at).copied().unwrap_or_default();
        let take = |storage: &dyn Storage| {
            let mut found = Vec::new();
            storage.scan(from, &mut |revision, record| {
                found.push((revision, record));
                found.len() <= count
            });
            found
        };
        assert_eq!(take(self.store.as_ref().unwrap()), take(&self.model));
    }

    /// After a finished checkpoint, when nothing is pending, the count is exact.
    fn check_size(&mut self) {
        if self.frozen == self.model {
            assert_eq!(self.store().size().in_use, in_use(&self.model));
        }
    }

    fn check(&self) {
        let store = self.store.as_ref().unwrap();
        assert_eq!(contents(store), self.model);
        // Every revision there ever was, the removed ones too.
        for main in 2..=self.model.meta.revision {
            for revision in (0..4).map(|sub| rev(main, sub)) {
                assert_eq!(store.get(revision), self.model.get(revision));
            }
        }
    }

    /// Start again on what `disk` holds; the state must be one of those `allowed`.
    fn restart(&mut self, disk: Disk, allowed: &[Model]) {
        self.store = None;
        let store = Store::with_backend("disk", disk.clone(), &options()).unwrap();
        let found = contents(&store);
        assert!(allowed.contains(&found), "the state after a restart is no checkpoint's");
        assert_eq!(store.size().in_use, in_use(&found));
        (self.disk, self.store) = (disk, Some(store));
        (self.begun, self.committed) = (None, None);
        (self.model, self.durable, self.frozen) = (found.clone(), found.clone(), found);
        self.since.clear();
    }

    fn interrupt(&mut self, step: &Step) {
        // What is durable, or a later checkpoint that happened to be kept.
        let allowed: Vec<Model> = [&self.durable].into_iter().chain(&self.since).cloned().collect();
        match step {
            Step::Reopen => {
                (self.begun, self.committed, self.store) = (None, None, None);
                self.restart(self.disk.clone(), &allowed);
            }
            Step::PowerCut(bits) => {
                let mut bits = *bits;
                let keep = || {
                    bits = bits.rotate_left(1);
                    bits & 1 == 1
                };
                let disk = self.disk.after_power_cut(keep);
                self.restart(disk, &allowed);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_store_is_its_twin(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.interrupt(step);
            world.check();
        }
        world.interrupt(&Step::PowerCut(0));
        world.interrupt(&Step::Reopen);
        world.check();
    }
}
