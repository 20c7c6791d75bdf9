//! What genuine etcd answered on a watch stream: rows 70 to 81 of Appendix A of our compatibility notes, and
//! the rules around them that are not in a row.

mod common;

use common::*;
use quorate_kv::*;

const STREAM: StreamId = StreamId(1);

/// A store, a hub and one stream, whose client takes everything at once.
struct Watching {
    store: Store,
    hub: Hub,
}

impl Watching {
    /// As the rows begin: at revision 28, compacted at 5.
    fn new() -> Self {
        let mut store = Store::new();
        for revision in 2..=28 {
            assert_eq!(store.put("before", "x"), revision);
        }
        store.compact(5);
        Watching::of(store, HubOptions::default())
    }

    fn of(store: Store, options: HubOptions) -> Self {
        let mut hub = Hub::new(store.state.revision(), options);
        hub.open(STREAM, 128);
        Watching { store, hub }
    }

    fn apply(&mut self, command: Command) -> Vec<WatchMessage> {
        let applied = self.store.apply(command);
        self.hub.publish(applied.revision, &applied.events, &self.store.state);
        self.take()
    }

    fn put(&mut self, key: &str) -> Vec<WatchMessage> {
        self.apply(Command::Put(put(key, "v")))
    }

    fn create(&mut self, request: WatchCreate) -> Vec<WatchMessage> {
        self.hub.create(STREAM, request, self.store.state.compact_revision());
        while self.hub.catch_up(&self.store.state, 100) {}
        self.take()
    }

    fn take(&mut self) -> Vec<WatchMessage> {
        let messages: Vec<_> = self.hub.drain().map(|(_, message)| message).collect();
        self.hub.delivered(STREAM, messages.len());
        messages
    }
}

fn watch(key: &str, end: &str) -> WatchCreate {
    WatchCreate { range: keys(key, end), ..WatchCreate::default() }
}

fn created(watch_id: i64, revision: i64) -> WatchMessage {
    WatchMessage { watch_id, revision, created: true, ..WatchMessage::default() }
}

fn canceled(watch_id: i64, revision: i64) -> WatchMessage {
    WatchMessage { watch_id, revision, canceled: true, ..WatchMessage::default() }
}

fn refused(revision: i64, reason: CancelReason) -> WatchMessage {
    WatchMessage { created: true, cancel_reason: Some(reason), ..canceled(NO_WATCHER, revision) }
}

fn progress(watch_id: i64, revision: i64) -> WatchMessage {
    WatchMessage { watch_id, revision, ..WatchMessage::default() }
}

/// Watch id, header revision, and per change: key, whether it is a put, and its revision.
type Brief = (i64, i64, Vec<(String, bool, i64)>);

fn brief(messages: &[WatchMessage]) -> Vec<Brief> {
    let change = |event: &WatchEvent| {
        let key = String::from_utf8(event.0.record.key().to_vec()).expect("text");
        (key, matches!(event.0.record, Record::Put(_)), event.0.revision.main)
    };
    let brief = |message: &WatchMessage| {
        (message.watch_id, message.revision, message.events.iter().map(change).collect())
    };
    messages.iter().map(brief).collect()
}

fn change(key: &str, put: bool, revision: i64) -> (String, bool, i64) {
    (key.into(), put, revision)
}

/// Rows 70 to 72; at revision 32 afterwards.
fn first_rows() -> Watching {
    let mut on = Watching::new();
    assert_eq!(on.create(watch("w/", "w0")), [created(0, 28)], "70");
    assert_eq!(brief(&on.put("w/1")), [(0, 29, vec![change("w/1", true, 29)])], "71");
    assert_eq!(brief(&on.put("w/1")), [(0, 30, vec![change("w/1", true, 30)])], "71");
    let gone = on.apply(Command::DeleteRange(delete("w/1", "")));
    assert_eq!(brief(&gone), [(0, 31, vec![change("w/1", false, 31)])], "71");
    let both = on.apply(Command::Txn(Box::new(then([Op::Put(put("w/a", "")), Op::Put(put("w/b", ""))]))));
    assert_eq!(brief(&both), [(0, 32, vec![change("w/a", true, 32), change("w/b", true, 32)])], "72");
    on
}

#[test]
fn rows_70_to_77_creating() {
    let mut on = first_rows();
    let past = on.create(WatchCreate { start_revision: 29, prev_kv: true, ..watch("w/", "w0") });
    assert_eq!(past[0], created(1, 32), "73");
    assert_eq!(past[1].events.len(), 5, "73");
    assert_eq!((past.len(), past[1].watch_id, past[1].revision), (2, 1, 32), "73");
    let previous: Vec<_> =
        past[1].events.iter().map(|(_, before)| before.as_ref().map(|kv| kv.mod_revision)).collect();
    assert_eq!(previous, [None, Some(29), Some(30), None, None], "73");
    let seven = || WatchCreate { watch_id: 7, ..watch("x", "") };
    assert_eq!(on.create(seven()), [created(7, 32)], "74");
    assert_eq!(on.create(seven()), [refused(32, CancelReason::DuplicateId)], "74");
    assert_eq!(on.create(watch("x", "")), [created(2, 32)], "75");
    for end in ["a", "b"] {
        assert_eq!(on.create(watch("b", end)), [refused(32, CancelReason::EmptyRange)], "76");
    }
    assert_eq!(on.create(watch("\0", "\0")), [created(3, 32)], "77");
    let negative = WatchCreate { start_revision: -1, ..watch("x", "") };
    assert_eq!(on.create(negative), [refused(32, CancelReason::Compacted)], "6.2");
}

#[test]
fn rows_78_and_79_cancel_and_progress() {
    let mut on = first_rows();
    on.hub.cancel(STREAM, 99);
    assert_eq!(on.take(), [], "78");
    on.hub.cancel(STREAM, 0);
    assert_eq!(on.take(), [canceled(0, 32)], "78");
    on.hub.cancel(STREAM, 0);
    assert_eq!(on.take(), [], "78");
    assert_eq!(on.put("w/1"), [], "78: nothing after the end");
    on.create(watch("x", ""));
    on.hub.progress(STREAM);
    assert_eq!(on.take(), [progress(NO_WATCHER, 33)], "79");
    on.create(WatchCreate { start_revision: 40, ..watch("x", "") });
    on.hub.progress(STREAM);
    assert_eq!(on.take(), [], "a client would resume before the start it asked for");
}

#[test]
fn row_80_a_compacted_start() {
    let mut on = first_rows();
    let lost = WatchMessage { compact_revision: 5, ..canceled(1, 0) };
    let from = |start_revision| WatchCreate { start_revision, ..watch("none", "") };
    assert_eq!(on.create(from(3)), [created(1, 32), lost], "80");
    on.hub.progress(STREAM);
    assert_eq!(on.take(), [progress(NO_WATCHER, 32)], "the lost one does not hold up progress");
    assert_eq!(on.create(from(5)), [created(2, 32)], "6.4: the compaction's own revision is there");
    assert_eq!(on.create(WatchCreate { watch_id: 1, ..from(0) }), [refused(32, CancelReason::DuplicateId)]);
    on.hub.cancel(STREAM, 1);
    assert_eq!(on.take(), [canceled(1, 32)], "6.4: a client may still cancel it");
    assert_eq!(on.create(WatchCreate { watch_id: 1, ..from(0) }), [created(1, 32)]);
}

#[test]
fn row_81_filters() {
    let mut on = first_rows();
    for (no_put, no_delete) in [(true, false), (false, true), (true, true)] {
        on.create(WatchCreate { no_put, no_delete, ..watch("f", "") });
    }
    assert_eq!(brief(&on.put("f")), [(2, 33, vec![change("f", true, 33)])], "81");
    let gone = on.apply(Command::DeleteRange(delete("f", "")));
    assert_eq!(brief(&gone), [(1, 34, vec![change("f", false, 34)])], "81");
    for (no_put, no_delete, seen) in [(true, false, 1), (false, true, 1), (true, true, 0)] {
        let past = on.create(WatchCreate { start_revision: 33, no_put, no_delete, ..watch("f", "") });
        assert_eq!(past.len(), 1 + seen, "81, from history");
    }
}

#[test]
fn a_future_start_brings_nothing_early() {
    let mut on = first_rows();
    on.create(WatchCreate { start_revision: 34, ..watch("k", "") });
    assert_eq!(on.put("k"), []);
    assert_eq!(brief(&on.put("k")), [(1, 34, vec![change("k", true, 34)])]);
}

#[test]
fn progress_is_told_to_the_quiet() {
    let mut on = first_rows();
    on.create(WatchCreate { progress_notify: true, ..watch("k", "") });
    on.hub.tick_progress();
    assert_eq!(on.take(), [progress(1, 32)]);
    on.put("k");
    on.hub.tick_progress();
    assert_eq!(on.take(), [], "something was sent since");
    on.hub.tick_progress();
    assert_eq!(on.take(), [progress(1, 33)]);
}

#[test]
fn a_slow_stream_falls_behind_alone() {
    let mut on = Watching::new();
    let slow = StreamId(2);
    on.hub.open(slow, 2);
    for stream in [STREAM, slow] {
        on.hub.create(stream, watch("k", ""), 5);
    }
    let mut received = Vec::new();
    for revision in 29..40 {
        let applied = on.store.apply(Command::Put(put("k", "v")));
        on.hub.publish(applied.revision, &applied.events, &on.store.state);
        let (fast, rest): (Vec<_>, Vec<_>) = on.hub.drain().partition(|(stream, _)| *stream == STREAM);
        on.hub.delivered(STREAM, fast.len());
        assert_eq!(fast.last().map(|(_, message)| message.revision), Some(revision));
        received.extend(rest.into_iter().map(|(_, message)| message));
    }
    assert_eq!(brief(&received[1..]), [(0, 29, vec![change("k", true, 29)])], "created, one change, full");
    assert!(on.hub.is_full(slow));
    assert_eq!((on.hub.lagging(), on.hub.has_lagging()), (1, false), "waits for its client");
    on.hub.progress(slow);
    on.hub.delivered(slow, 1);
    on.hub.progress(slow);
    on.hub.catch_up(&on.store.state, 100);
    let caught: Vec<_> = on.hub.drain().map(|(_, message)| message).collect();
    let missed = (30..40).map(|revision| change("k", true, revision)).collect();
    assert_eq!(brief(&caught), [(0, 39, missed)], "no progress while behind; then everything at once");
    assert_eq!(on.hub.lagging(), 0);
}

#[test]
fn large_responses_are_split_for_those_who_agreed() {
    let options = HubOptions { fragment_bytes: 300, ..HubOptions::default() };
    let mut on = Watching::of(Store::new(), options);
    on.create(WatchCreate { fragment: true, ..watch("\0", "\0") });
    on.create(watch("\0", "\0"));
    let ops: Vec<_> = (0..5).map(|at| Op::Put(put(&format!("k{at}"), &"x".repeat(80)))).collect();
    let messages = on.apply(Command::Txn(Box::new(then(ops))));
    let shape: Vec<_> = messages
        .iter()
        .map(|message| (message.watch_id, message.revision, message.fragment, message.events.len()))
        .collect();
    assert_eq!(shape, [(0, 2, true, 2), (0, 2, true, 2), (0, 2, false, 1), (1, 2, false, 5)]);
    let one = on.apply(Command::Put(put("k", &"x".repeat(1000))));
    assert!(one.iter().all(|message| !message.fragment && message.events.len() == 1));
}

#[test]
fn a_creation_has_no_record_before_it() {
    let mut on = Watching::new();
    on.put("k");
    on.create(WatchCreate { prev_kv: true, ..watch("k", "") });
    let replaced = then([Op::DeleteRange(delete("k", "\0")), Op::Put(put("k", "new"))]);
    let messages = on.apply(Command::Txn(Box::new(replaced)));
    let previous: Vec<_> = messages[0].events.iter().map(|(_, before)| before.is_some()).collect();
    assert_eq!(previous, [true, false]);
}

#[test]
fn progress_is_not_queued_on_a_full_stream() {
    let mut on = Watching::new();
    on.hub.open(StreamId(2), 1);
    on.hub.progress(StreamId(2));
    on.hub.progress(StreamId(2));
    assert_eq!(on.hub.outstanding(StreamId(2)), 1);
}

#[test]
fn nothing_is_said_on_a_closed_stream() {
    let mut on = Watching::new();
    on.hub.create(STREAM, watch("k", ""), 5);
    on.hub.close(STREAM);
    assert_eq!(on.hub.drain().count(), 0);
    assert_eq!(on.put("k"), []);
    on.hub.open(STREAM, 1);
    assert_eq!(on.create(watch("k", "")), [created(0, 29)], "ids begin anew");
}

/// The place in the queue of those waiting for room goes with the watcher, not with its id.
#[test]
fn an_id_used_again_while_its_stream_is_full() {
    let mut on = Watching::new();
    on.hub.open(StreamId(2), 1);
    let request = || WatchCreate { watch_id: 5, ..watch("k", "") };
    on.hub.create(StreamId(2), request(), 5);
    on.put("k");
    assert_eq!(on.hub.lagging(), 1);
    on.hub.cancel(StreamId(2), 5);
    on.hub.create(StreamId(2), request(), 5);
    assert_eq!((on.hub.lagging(), on.hub.check()), (0, Ok(())));
    on.take();
    on.hub.delivered(StreamId(2), 3);
    on.hub.catch_up(&on.store.state, 10);
    assert_eq!(on.take(), [], "the new one wants what comes, not what was");
}

#[test]
fn a_stream_is_also_full_of_bytes() {
    let options = HubOptions { stream_bytes: 1000, ..HubOptions::default() };
    let mut on = Watching::of(Store::new(), options);
    on.hub.create(STREAM, watch("k", ""), -1);
    for _ in 0..10 {
        let applied = on.store.apply(Command::Put(put("k", &"x".repeat(300))));
        on.hub.publish(applied.revision, &applied.events, &on.store.state);
    }
    assert!(on.hub.is_full(STREAM));
    assert_eq!(on.hub.outstanding(STREAM), 4, "created, and three of more than 300 bytes");
}

/// Someone far behind takes turns with someone who is nearly there.
#[test]
fn the_one_furthest_behind_does_not_hold_up_the_others() {
    let mut store = Store::new();
    for number in 0..2000 {
        store.put(&format!("k{:03}", number % 100), "v");
    }
    let options = HubOptions { batch_revisions: 10, ..HubOptions::default() };
    let mut on = Watching::of(store, options);
    for start_revision in [1, 1990] {
        let request = WatchCreate { start_revision, ..watch("k", "l") };
        on.hub.create(STREAM, request, -1);
    }
    on.hub.catch_up(&on.store.state, 1);
    on.hub.catch_up(&on.store.state, 1);
    assert!(on.take().iter().any(|message| message.watch_id == 1 && !message.events.is_empty()));
}

/// A reconnect of many: the stretch is read once for all of them.
#[test]
fn many_who_are_behind_are_served_together() {
    let mut store = Store::new();
    for number in 0..3000 {
        store.put(&format!("{}/{number:04}", number % 10), "v");
    }
    let mut on = Watching::of(store, HubOptions::default());
    for prefix in 0..10 {
        let request =
            WatchCreate { start_revision: 2 + prefix, ..watch(&format!("{prefix}/"), &format!("{prefix}0")) };
        on.hub.create(STREAM, request, -1);
    }
    let mut rounds = 0;
    while on.hub.catch_up(&on.store.state, 1) {
        rounds += 1;
    }
    assert!(rounds < 15, "{rounds} rounds for ten watchers of three batches");
    let seen: usize = on.take().iter().map(|message| message.events.len()).sum();
    assert_eq!(seen, 3000);
}

#[test]
fn the_hub_keeps_no_request_buffer_alive() {
    let mut on = Watching::new();
    let buffer = bytes::Bytes::from(vec![b'k'; 1 << 16]);
    let range = KeyRange { key: buffer.slice(..3), end: buffer.slice(..5) };
    on.create(WatchCreate { range, ..WatchCreate::default() });
    assert!(buffer.is_unique());
}
