//! What is read from the storage, and what is not: the promises about cost, counted in records.

mod common;

use std::cell::Cell;

use common::*;
use quorate_kv::*;

/// A storage that counts the records it gives away.
#[derive(Default)]
struct Counting {
    inner: MemoryStorage,
    read: Cell<usize>,
}

impl Counting {
    fn count(&self) {
        self.read.set(self.read.get() + 1);
    }
}

impl Storage for Counting {
    fn get(&self, revision: Revision) -> Option<Record> {
        self.count();
        self.inner.get(revision)
    }
    fn insert(&mut self, revision: Revision, record: Record) {
        self.inner.insert(revision, record);
    }
    fn remove(&mut self, revisions: &[Revision]) {
        self.inner.remove(revisions);
    }
    fn scan(&self, from: Revision, visit: &mut dyn FnMut(Revision, Record) -> bool) {
        self.inner.scan(from, &mut |revision, record| {
            self.count();
            visit(revision, record)
        });
    }
    fn put_lease(&mut self, id: LeaseId, ttl: i64) {
        self.inner.put_lease(id, ttl);
    }
    fn remove_lease(&mut self, id: LeaseId) {
        self.inner.remove_lease(id);
    }
    fn leases(&self) -> Vec<(LeaseId, i64)> {
        self.inner.leases()
    }
    fn meta(&self) -> Meta {
        self.inner.meta()
    }
    fn set_meta(&mut self, meta: &Meta) {
        self.inner.set_meta(meta);
    }
    fn size(&self) -> Size {
        self.inner.size()
    }
}

/// A thousand keys at revisions 2 to 1001, with values of 100 bytes.
fn thousand() -> State<Counting> {
    let mut state = State::restore(Counting::default());
    for number in 0..1000 {
        let put = put(&format!("k{number:03}"), &"x".repeat(100));
        state.apply(number + 1, (1, 1), &Command::Put(put)).outcome.expect("a put");
    }
    state
}

fn reads<T>(state: &State<Counting>, work: impl FnOnce() -> T) -> (usize, T) {
    state.storage().read.set(0);
    let answer = work();
    (state.storage().read.get(), answer)
}

#[test]
fn a_put_reads_nothing() {
    let mut state = thousand();
    state.storage().read.set(0);
    state.apply(2000, (1, 1), &Command::Put(put("k500", "y"))).outcome.expect("a put");
    state.apply(2001, (1, 1), &Command::DeleteRange(delete("k600", "k700"))).outcome.expect("a removal");
    assert_eq!(state.storage().read.get(), 0);
}

#[test]
fn a_page_reads_what_it_returns() {
    let mut state = thousand();
    let page = |limit| Range { limit, ..get("k", "l") };
    let check = |state: &State<Counting>, range: Range, expected: usize| {
        let (read, outcome) = reads(state, || state.range(&range).expect("readable"));
        assert_eq!((read, outcome.count), (expected, 1000), "{range:?}");
    };
    check(&state, page(10), 10);
    check(&state, Range { count_only: true, ..page(0) }, 0);
    check(&state, Range { keys_only: true, ..page(0) }, 0);
    check(&state, Range { sort_order: SortOrder::Descend, ..page(10) }, 10);
    let oldest = Range {
        sort_order: SortOrder::Ascend,
        sort_target: SortTarget::Create,
        max_mod_revision: 900,
        ..page(1)
    };
    check(&state, oldest, 1);
    // A later page at the first page's revision: what changed since is read to count.
    for index in 0..20 {
        let write = put(&format!("new{index}"), "");
        state.apply(2000 + index, (1, 1), &Command::Put(write)).outcome.expect("a put");
    }
    check(&state, Range { revision: 1001, ..page(10) }, 30);
}

#[test]
fn conditions_on_numbers_read_nothing() {
    let state = thousand();
    let txn = when(keys("k", "l"), CompareTarget::Mod(5000), CompareResult::Less);
    assert_eq!(reads(&state, || state.txn_read(&txn).expect("readable").succeeded), (0, true));
}

#[test]
fn a_key_behind_a_long_history_is_found_through_the_index() {
    let mut state = thousand();
    state.apply(2000, (1, 1), &Command::Put(put("k001", "y"))).outcome.expect("a put");
    let (read, history) =
        reads(&state, || state.history(&keys("k001", ""), 1, 2000, 1000).expect("readable"));
    assert_eq!((read, history.events.len(), history.next), (2, 2, 1003));
}

/// A batch of history ends with its bytes, in what is read as in what is sent.
#[test]
fn catching_up_reads_a_batch_at_a_time() {
    let state = thousand();
    let mut hub = Hub::new(state.revision(), HubOptions { batch_bytes: 1200, ..HubOptions::default() });
    hub.open(StreamId(1), 1000);
    let request = WatchCreate { range: keys("\0", "\0"), start_revision: 1, ..WatchCreate::default() };
    hub.create(StreamId(1), request, -1);
    let (read, more) = reads(&state, || hub.catch_up(&state, 1));
    assert_eq!((read, more), (12, true), "one beyond the batch shows where it ends");
    let sent: Vec<_> = hub.drain().map(|(_, message)| (message.events.len(), message.revision)).collect();
    assert_eq!(sent, [(0, 1001), (11, 12)]);
    let (read, _) = reads(&state, || while hub.catch_up(&state, 1) {});
    assert!(read < 1100, "{read} records for the other 989");
}
