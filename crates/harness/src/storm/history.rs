//! What everybody saw, stamped by one clock (nanoseconds since the beginning).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_checker::events::Event;
use quorate_checker::history::{Call, Operation, Outcome};
use quorate_checker::watch::Stream;
use quorate_checker::{Violation, acknowledged, events, linearizable, replay, revision_order, watch};

use super::report::{Report, Window};

/// Writes that stand still for longer are told in the report.
const WINDOW: Duration = Duration::from_millis(300);

/// Lines printed around a violation, at most.
const AROUND_LINES: usize = 80;

/// The recording.
#[derive(Debug)]
pub struct History {
    begun: Instant,
    over: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    operations: Vec<Operation>,
    /// Serializable reads: they may be stale, so they are no part of the order of operations.
    stale: Vec<Operation>,
    /// What each transaction of several puts wrote.
    transactions: Vec<Vec<(Bytes, Bytes)>>,
    /// What was done to the cluster, and to whom.
    marks: Vec<(u64, String)>,
    /// The first promise found broken by a client itself.
    broken: Option<Violation>,
    leases: u64,
}

impl Default for History {
    fn default() -> History {
        History { begun: Instant::now(), over: AtomicBool::new(false), seen: Mutex::default() }
    }
}

impl History {
    /// Nanoseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    /// Clients are to end.
    pub fn stop(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether they are.
    pub fn over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().expect("nobody panics with the recording in hand"))
    }

    /// Operations that were one request ended.
    pub fn record(&self, operations: impl IntoIterator<Item = Operation>) {
        self.with(|seen| seen.operations.extend(operations));
    }

    /// A serializable read was answered.
    pub fn record_stale(&self, operation: Operation) {
        self.with(|seen| seen.stale.push(operation));
    }

    /// A transaction was asked to write all of this.
    pub fn record_transaction(&self, puts: Vec<(Bytes, Bytes)>) {
        self.with(|seen| seen.transactions.push(puts));
    }

    /// One more lease.
    pub fn count_lease(&self) {
        self.with(|seen| seen.leases += 1);
    }

    /// Something was done to the cluster.
    pub fn mark(&self, what: impl Into<String>) {
        let now = self.now();
        self.with(|seen| seen.marks.push((now, what.into())));
    }

    /// A client saw a promise broken.
    pub fn broken(&self, violation: Violation) {
        self.with(|seen| {
            seen.broken.get_or_insert(violation);
        });
    }

    /// Holds everything against every promise.
    ///
    /// # Errors
    /// The first that is broken.
    pub fn judge(&self, history: &[Event], streams: &[Stream]) -> Result<(), Violation> {
        self.with(|seen| {
            judge(&seen.operations, &seen.stale, &seen.transactions, history)?;
            streams.iter().try_for_each(|stream| watch::check(stream, history))?;
            // Last: what one client saw is often only a consequence of what is broken above.
            seen.broken.clone().map_or(Ok(()), Err)
        })
    }

    /// The marks and operations around the times that a violation names.
    pub fn around(&self, violation: &Violation) -> String {
        let times = times(&violation.detail);
        self.with(|seen| {
            let Some(&last) = times.iter().max() else { return last_marks(&seen.marks) };
            let first = times.iter().min().copied().unwrap_or(last);
            let (from, to) = (first.max(last.saturating_sub(2_000_000_000)), last);
            let mut lines: BTreeSet<(u64, String)> = BTreeSet::new();
            let margin = 20_000_000;
            for operation in &seen.operations {
                let end = if operation.answer().is_some() { operation.answered } else { operation.invoked };
                if operation.invoked <= to + margin && end + margin >= from {
                    lines.insert((operation.invoked, format!("  {operation}")));
                }
            }
            // Those next to the end matter most.
            let skipped = lines.len().saturating_sub(AROUND_LINES);
            let mut lines: Vec<(u64, String)> = lines.into_iter().skip(skipped).collect();
            let recent =
                seen.marks.iter().filter(|(at, _)| *at + 15_000_000_000 > from && *at <= to + margin);
            lines.extend(recent.map(|(at, what)| (*at, format!("* {what}"))));
            lines.sort();
            let mut text =
                String::from("around it (milliseconds; times inside operations are nanoseconds)\n");
            for (at, line) in lines {
                let _ = writeln!(text, "{:>12.3} {line}", at as f64 / 1e6);
            }
            text
        })
    }

    /// The figures.
    pub fn sum_up(&self, report: &mut Report) {
        self.with(|seen| {
            report.leases = seen.leases;
            report.stale_reads = seen.stale.len();
            report.operations = seen.operations.len();
            let ambiguous = |operation: &&Operation| operation.outcome == Outcome::Ambiguous;
            report.ambiguous = seen.operations.iter().filter(ambiguous).count();
            let answered = seen.operations.iter().filter(|operation| operation.answer().is_some());
            let mut latencies: Vec<u64> =
                answered.clone().map(|operation| operation.answered - operation.invoked).collect();
            latencies.sort_unstable();
            report.latencies(&latencies);
            let writes = answered.filter(|operation| operation.answer().is_some_and(|answer| answer.wrote()));
            let mut times: Vec<u64> = writes.map(|operation| operation.answered).collect();
            times.sort_unstable();
            let still = times.windows(2).filter(|pair| pair[1] - pair[0] > WINDOW.as_nanos() as u64);
            report.windows = still
                .map(|pair| Window {
                    at: Duration::from_nanos(pair[0]),
                    length: Duration::from_nanos(pair[1] - pair[0]),
                    amid: amid(&seen.marks, pair[0], pair[1]),
                })
                .collect();
        });
    }
}

/// The promises that operations and records decide.
fn judge(
    operations: &[Operation],
    stale: &[Operation],
    transactions: &[Vec<(Bytes, Bytes)>],
    history: &[Event],
) -> Result<(), Violation> {
    events::check(history)?;
    acknowledged::check(operations, history)?;
    revision_order::check(operations)?;
    replay::check(operations, history)?;
    replay::check(stale, history)?;
    transactions_whole(transactions, history)?;
    linearizable::check(operations)
}

/// Each transaction's puts are all in the history, at one revision, or none is. Values are written once only.
fn transactions_whole(transactions: &[Vec<(Bytes, Bytes)>], history: &[Event]) -> Result<(), Violation> {
    let mut found: BTreeMap<(Bytes, Bytes), u64> = BTreeMap::new();
    for event in history {
        if let Some(record) = event.record() {
            found.insert((event.key.clone(), record.value), event.revision);
        }
    }
    for puts in transactions {
        let revisions: BTreeSet<Option<&u64>> = puts.iter().map(|put| found.get(put)).collect();
        if revisions.len() > 1 {
            let shown: Vec<_> = puts.iter().map(|put| (put, found.get(put))).collect();
            return Err(Violation::new(
                "TransactionWhole",
                format!("a transaction happened in part: {shown:?}"),
            ));
        }
    }
    Ok(())
}

/// What was being done to the cluster between two times: the last mark before, and those in between.
fn amid(marks: &[(u64, String)], from: u64, to: u64) -> String {
    let first = marks.partition_point(|(at, _)| *at <= from).saturating_sub(1);
    let amid = marks.iter().skip(first).take_while(|(at, _)| *at <= to);
    amid.map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; ")
}

fn last_marks(marks: &[(u64, String)]) -> String {
    let last = &marks[marks.len().saturating_sub(10)..];
    let line = |(at, what): &(u64, String)| format!("{:>12.3} * {what}\n", *at as f64 / 1e6);
    last.iter().map(line).collect()
}

/// The times of operations as a violation's text shows them: `[invoked..answered]` or `[invoked..?]`.
fn times(detail: &str) -> Vec<u64> {
    let shown = detail.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
    let spans = shown.filter_map(|(span, _)| span.split_once(".."));
    spans.flat_map(|(from, to)| [from.parse().ok(), to.parse().ok()]).flatten().collect()
}

/// An operation that ended, or did not.
pub fn operation(client: u64, invoked: u64, answered: u64, call: Call, outcome: Outcome) -> Operation {
    let answered = if outcome == Outcome::Ambiguous { u64::MAX } else { answered };
    Operation { client, invoked, answered, call, outcome }
}

#[cfg(test)]
mod tests {
    use quorate_checker::events::Change;
    use quorate_checker::history::{Answer, Record};
    use quorate_checker::watch::Received;

    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn put(revision: u64, key: &str, value: &str, version: u64, create_revision: u64) -> Event {
        let change = Change::Put { value: bytes(value), create_revision, version };
        Event { revision, key: bytes(key), change }
    }

    fn history() -> Vec<Event> {
        vec![put(2, "a", "1", 1, 2), put(3, "a", "2", 2, 2), put(4, "a", "3", 3, 2), put(4, "b", "3", 1, 4)]
    }

    fn wrote(time: u64, key: &str, value: &str, revision: u64) -> Operation {
        let call = Call::Put { key: bytes(key), value: bytes(value) };
        operation(1, time, time + 5, call, Outcome::Ok(Answer::Put { revision }))
    }

    fn read(time: u64, revision: u64, value: &str, version: u64) -> Operation {
        let record = Record { value: bytes(value), create_revision: 2, mod_revision: version + 1, version };
        let answer = Answer::Get { revision, record: Some(record) };
        operation(2, time, time + 5, Call::Get { key: bytes("a") }, Outcome::Ok(answer))
    }

    fn operations() -> Vec<Operation> {
        let mut all = vec![wrote(10, "a", "1", 2), wrote(20, "a", "2", 3), read(30, 3, "2", 2)];
        all.extend([wrote(40, "a", "3", 4), wrote(40, "b", "3", 4)]);
        all
    }

    fn property(result: Result<(), Violation>) -> &'static str {
        result.expect_err("a promise is broken").property
    }

    #[test]
    fn doctored_recordings_are_refused() {
        let whole = [vec![(bytes("a"), bytes("3")), (bytes("b"), bytes("3"))]];
        assert_eq!(judge(&operations(), &[], &whole, &history()), Ok(()));

        let lost: Vec<Event> = history().into_iter().filter(|event| event.revision != 3).collect();
        assert_eq!(property(judge(&operations(), &[], &[], &lost)), "EventHistory");
        let mut other = history();
        other[1] = put(3, "a", "x", 2, 2);
        assert_eq!(property(judge(&operations(), &[], &[], &other)), "Acknowledged");
        let mut stale = operations();
        stale[2] = read(30, 2, "1", 1);
        assert_eq!(property(judge(&stale, &[], &[], &history())), "RevisionOrder");
        // The same read is lawful if it was a serializable one, but not with another value.
        assert_eq!(judge(&operations(), &[read(30, 2, "1", 1)], &[], &history()), Ok(()));
        assert_eq!(property(judge(&operations(), &[read(30, 2, "9", 1)], &[], &history())), "Replay");
        let half = [vec![(bytes("a"), bytes("3")), (bytes("b"), bytes("4"))]];
        assert_eq!(property(judge(&operations(), &[], &half, &history())), "TransactionWhole");
    }

    #[test]
    fn doctored_watches_and_what_clients_saw_themselves_are_refused() {
        let recording = History::default();
        recording.record(operations());
        let received = |events: Vec<Event>| Stream {
            key: Bytes::from_static(&[0]),
            range_end: Bytes::from_static(&[0]),
            start_revision: 2,
            received: vec![
                Received::Created { revision: 1 },
                Received::Events { revision: 4, events, fragment: false },
            ],
            complete_through: 4,
            ..Stream::default()
        };
        assert_eq!(recording.judge(&history(), &[received(history())]), Ok(()));
        let mut gap = history();
        gap.remove(1);
        assert_eq!(property(recording.judge(&history(), &[received(gap)])), "WatchReliable");
        let mut twice = history();
        twice.insert(2, twice[1].clone());
        assert_eq!(property(recording.judge(&history(), &[received(twice)])), "WatchUnique");
        recording.broken(Violation::new("LeaseNotEarly", "a key is gone"));
        assert_eq!(property(recording.judge(&history(), &[])), "LeaseNotEarly");
    }

    #[test]
    fn a_violation_is_shown_among_what_happened_around_it() {
        let recording = History::default();
        recording.record(operations());
        recording.with(|seen| seen.marks.push((25, "kill m0".into())));
        let mut stale = operations();
        stale[2] = read(30, 2, "1", 1);
        let violation = judge(&stale, &[], &[], &history()).expect_err("stale");
        assert_eq!(times(&violation.detail), [20, 25, 30, 35]);
        let around = recording.around(&violation);
        assert!(around.contains("* kill m0") && around.contains("[20..25] put"), "{around}");
    }

    #[test]
    fn windows_name_what_was_going_on() {
        let recording = History::default();
        recording.record([wrote(1_000_000, "a", "1", 2), wrote(2_000_000_000, "a", "2", 3)]);
        recording.with(|seen| {
            seen.marks.extend([
                (5, "calm".into()),
                (100, "kill m0".into()),
                (1_000_000_000, "healed".into()),
            ]);
        });
        let mut report = Report::default();
        recording.sum_up(&mut report);
        assert_eq!(report.windows.len(), 1);
        assert_eq!(report.windows[0].amid, "kill m0; healed");
        assert_eq!(report.windows[0].length.as_millis(), 1_999);
    }
}
