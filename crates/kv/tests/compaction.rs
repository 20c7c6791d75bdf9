//! Corners of compaction that random histories rarely reach.

mod common;

use common::*;
use quorate_kv::*;

fn stored(store: &Store) -> Vec<Revision> {
    let mut revisions = Vec::new();
    store.state.storage().scan(Revision::default(), &mut |revision, _| {
        revisions.push(revision);
        true
    });
    revisions
}

fn seen(store: &Store, range: &KeyRange, from: i64, to: i64) -> Vec<Revision> {
    let history = store.state.history(range, from, to, 10).expect("readable");
    history.events.iter().map(|event| event.revision).collect()
}

/// A key deleted and put again in one revision: the deletion is superseded at once, and a compaction to that
/// revision removes it, also from the sight of a watcher that starts there, whether it is gone yet or not.
#[test]
fn what_one_revision_itself_supersedes() {
    let mut store = Store::new();
    store.put("a", "");
    store.put("b", "");
    assert_eq!(store.txn(then([Op::DeleteRange(delete("a", "\0")), Op::Put(put("a", ""))])).0, 4);
    let at = |sub| Revision { main: 4, sub };
    let everything = keys("\0", "\0");
    assert_eq!(seen(&store, &everything, 4, 4), [at(0), at(1), at(2)]);
    let digest = store.state.digest();
    store.compact(4);
    assert_ne!(store.state.digest(), digest);
    let digest = store.state.digest();
    for done in [false, true] {
        // Short enough to be read from the storage, and long enough to be found through the index.
        for to in [4, 100] {
            assert_eq!(seen(&store, &everything, 4, to), [at(1), at(2)], "b's deletion and a's put, {done}");
            assert_eq!(seen(&store, &keys("a", ""), 4, to), [at(2)], "{done}");
        }
        assert_eq!(store.state.digest(), digest);
        while store.state.compact_step(1) {}
    }
    assert_eq!(stored(&store), [at(1), at(2)], "a deletion at the compact revision stays");
    store.put("c", "");
    store.compact(5);
    while store.state.compact_step(1) {}
    assert_eq!(stored(&store), [at(2), Revision { main: 5, sub: 0 }], "until the next compaction");
    assert_eq!(store.state.index_len(), 2);
}

/// A compaction that comes while a pass is under way is not finished with that pass.
#[test]
fn a_second_compaction_during_a_pass() {
    let mut store = Store::new();
    for _ in 0..4 {
        store.put("a", "");
        store.put("b", "");
    }
    store.compact(5);
    assert!(store.state.compact_step(1), "a's first version is gone, the pass goes on");
    assert!(store.state.compact_step(1), "and has left a behind");
    store.compact(9);
    let mut finished = vec![];
    loop {
        let more = store.state.compact_step(1);
        if finished.last() != Some(&store.state.meta().finished_compaction) {
            finished.push(store.state.meta().finished_compaction);
        }
        assert_eq!(store.state.storage().meta().finished_compaction, store.state.meta().finished_compaction);
        if !more {
            break;
        }
    }
    assert_eq!(finished, [-1, 5, 9]);
    assert_eq!(stored(&store), [Revision { main: 8, sub: 0 }, Revision { main: 9, sub: 0 }]);
    assert!(!store.state.compact_step(1), "nothing to do");
}

/// A restart in the middle of a pass begins it anew and ends with the same contents.
#[test]
fn a_restart_during_a_pass() {
    let mut store = Store::new();
    for _ in 0..50 {
        store.put("a", "");
        store.put("b", "");
        store.delete("b", "");
    }
    store.compact(151);
    let mut steps = 0;
    while store.state.compact_step(7) {
        store.state = State::restore(store.state.storage().clone());
        steps += 1;
    }
    assert!(steps > 10);
    assert_eq!(stored(&store), [Revision { main: 149, sub: 0 }, Revision { main: 151, sub: 0 }]);
    assert!(!State::restore(store.state.storage().clone()).compact_step(1), "finished for good");
}

/// Compacting looks at what may have to go, not at every key.
#[test]
fn a_step_does_not_walk_keys_without_history() {
    let mut store = Store::new();
    for number in 0..1000 {
        store.put(&format!("k{number:04}"), "");
    }
    store.put("k0500", "again");
    store.compact(1002);
    assert!(!store.state.compact_step(2), "one step finds the one superseded record and the end");
    assert_eq!(stored(&store).len(), 1000);
}
