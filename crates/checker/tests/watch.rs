//! The six promises of a watch: a good stream keeps them, and each planted fault breaks the one it should.

mod common;

use common::*;
use proptest::prelude::*;
use quorate_checker::events::Event;
use quorate_checker::watch::{
    Received, Stream, atomic, bookmarkable, check, ordered, reliable, resumable, unique,
};

fn history() -> Vec<Event> {
    vec![
        event(2, "a", "1", 2, 1),
        event(3, "b", "2", 3, 1),
        event(4, "a", "3", 2, 2),
        event(4, "b", "4", 3, 2),
        event(4, "z", "5", 4, 1),
        deletion(5, "a"),
        event(6, "z", "6", 4, 2),
        event(7, "b", "7", 3, 3),
        event(8, "a", "8", 8, 1),
    ]
}

fn of(revisions: std::ops::RangeInclusive<u64>) -> Vec<Event> {
    let matching = |event: &Event| revisions.contains(&event.revision) && event.key < b("c");
    history().into_iter().filter(matching).collect()
}

fn events(revisions: std::ops::RangeInclusive<u64>) -> Received {
    given(of(revisions))
}

fn given(events: Vec<Event>) -> Received {
    Received::Events { revision: 8, events, fragment: false }
}

fn fragment(events: Vec<Event>) -> Received {
    Received::Events { revision: 8, events, fragment: true }
}

/// Watches a and b, from revision 3 unless said otherwise.
fn stream(received: Vec<Received>) -> Stream {
    let range = Stream { key: b("a"), range_end: b("c"), start_revision: 3, ..Stream::default() };
    Stream { received, ..range }
}

const CREATED: Received = Received::Created { revision: 8 };

fn progress(revision: u64) -> Received {
    Received::Progress { revision }
}

fn reconnected(start_revision: u64) -> Received {
    Received::Reconnected { start_revision }
}

#[test]
fn good_stream_keeps_all() {
    let [a4, b4] = of(4..=4).try_into().unwrap();
    let good = stream(vec![
        CREATED,
        events(3..=3),
        fragment(vec![a4.clone()]),
        given(vec![b4]),
        progress(4),
        events(5..=5),
        progress(6),
        reconnected(7),
        CREATED,
        fragment(of(7..=7)),
        reconnected(7),
        events(7..=7),
        events(8..=8),
        progress(8),
    ]);
    check(&Stream { complete_through: 8, ..good }, &history()).unwrap();
}

#[test]
fn ranges_and_filters() {
    let all = history();
    let count = |stream: &Stream| all.iter().filter(|event| stream.matches(event)).count();
    let range = |key: &str, end: &str| Stream { key: b(key), range_end: b(end), ..Stream::default() };
    assert_eq!(count(&range("a", "")), 4);
    assert_eq!(count(&range("a", "c")), 7);
    assert_eq!(count(&range("b", "\0")), 5);
    assert_eq!(count(&range("", "\0")), 9);
    assert_eq!(count(&range("", "")), 0);
    assert_eq!(count(&Stream { no_put: true, ..range("a", "") }), 1);
    assert_eq!(count(&Stream { no_delete: true, ..range("a", "") }), 3);
}

#[test]
fn ordered_fails() {
    let run = |received| ordered::check(&stream(received), &history());
    broken(run(vec![events(4..=4), events(3..=3)]), "WatchOrdered", "out of order");
    let mut swapped = of(4..=4);
    swapped.reverse();
    broken(run(vec![given(swapped)]), "WatchOrdered", "out of order");
    broken(run(vec![events(5..=5), reconnected(6), events(4..=4)]), "WatchOrdered", "out of order");
    // Going back on purpose.
    run(vec![events(3..=5), reconnected(4), events(4..=8)]).unwrap();
}

#[test]
fn unique_fails() {
    let run = |received| unique::check(&stream(received), &history());
    broken(run(vec![events(3..=4), events(4..=4)]), "WatchUnique", "received 2 times: revision 4");
    broken(run(vec![events(3..=4), reconnected(5), events(4..=5)]), "WatchUnique", "revision 4");
    run(vec![events(3..=4), reconnected(4), events(4..=5)]).unwrap();
    // Fragments of a response that was never whole are dropped.
    run(vec![events(3..=3), fragment(of(4..=4)), reconnected(4), events(4..=5)]).unwrap();
}

#[test]
fn unique_and_ordered_allow_what_one_transaction_repeats() {
    let toggled =
        [event(2, "a", "x", 2, 1), deletion(2, "a"), event(2, "a", "x", 2, 1), deletion(2, "a")].to_vec();
    let watch = Stream { start_revision: 2, ..stream(vec![given(toggled.clone())]) };
    check(&watch, &toggled).unwrap();
    let more = Stream { received: vec![given([&toggled[..], &toggled[..1]].concat())], ..watch };
    broken(unique::check(&more, &toggled), "WatchUnique", "received 3 times");
}

#[test]
fn atomic_fails() {
    let run = |received| atomic::check(&stream(received), &history());
    let [a4, b4] = of(4..=4).try_into().unwrap();
    broken(run(vec![given(vec![a4.clone()]), given(vec![b4.clone()])]), "WatchAtomic", "revision 4");
    broken(run(vec![given([of(3..=3), vec![b4.clone()]].concat())]), "WatchAtomic", "revision 4");
    run(vec![fragment(vec![a4]), given(vec![b4])]).unwrap();
}

#[test]
fn reliable_fails() {
    let run = |received| reliable::check(&stream(received), &history());
    broken(run(vec![events(3..=3), events(5..=5)]), "WatchReliable", "missing\n  revision 4");
    broken(run(vec![events(4..=8)]), "WatchReliable", "missing\n  revision 3");
    broken(run(vec![events(3..=4), progress(5)]), "WatchReliable", "missing\n  revision 5");
    broken(run(vec![reconnected(4), events(5..=5)]), "WatchReliable", "missing\n  revision 4");
    broken(run(vec![given(vec![event(3, "b", "other", 3, 1)])]), "WatchReliable", "never made");
    let outside = history().into_iter().filter(|event| event.key == b("z")).collect();
    broken(run(vec![given(outside)]), "WatchReliable", "outside the range");
    // Nothing is claimed beyond the last seen, unless the host claims it.
    let short = stream(vec![events(3..=5)]);
    reliable::check(&short, &history()).unwrap();
    let claimed = Stream { complete_through: 7, ..short };
    broken(reliable::check(&claimed, &history()), "WatchReliable", "missing\n  revision 7");
}

#[test]
fn reliable_starts_after_creation_when_watching_from_now() {
    let now = |received| Stream { start_revision: 0, ..stream(received) };
    let created = Received::Created { revision: 4 };
    reliable::check(&now(vec![created.clone(), events(5..=8)]), &history()).unwrap();
    let late = now(vec![created.clone(), events(7..=8)]);
    broken(reliable::check(&late, &history()), "WatchReliable", "missing\n  revision 5");
    let silent = Stream { complete_through: 8, ..now(vec![created]) };
    broken(reliable::check(&silent, &history()), "WatchReliable", "missing\n  revision 5");
}

#[test]
fn resumable_fails() {
    let run = |received| resumable::check(&stream(received), &history());
    // The planted bug of the server: one revision late.
    broken(
        run(vec![events(3..=3), reconnected(4), events(5..=5)]),
        "WatchResumable",
        "was due\n  revision 4",
    );
    broken(run(vec![events(3..=4), reconnected(5), events(4..=4)]), "WatchResumable", "first event is");
    // The client's: asks for too late a revision.
    broken(
        run(vec![events(3..=3), reconnected(5), events(5..=5)]),
        "WatchResumable",
        "steps over\n  revision 4",
    );
    run(vec![events(3..=5), reconnected(7), events(7..=7)]).unwrap();
}

#[test]
fn resumable_after_compaction() {
    let run = |received| resumable::check(&stream(received), &history());
    let compacted = |compact_revision| Received::Compacted { compact_revision };
    run(vec![events(3..=3), reconnected(4), CREATED, compacted(7), reconnected(7), events(7..=7)]).unwrap();
    check(&stream(vec![events(3..=3), compacted(7), reconnected(7), events(7..=8)]), &history()).unwrap();
    broken(run(vec![events(3..=3), compacted(4)]), "WatchResumable", "refused as compacted");
    let beyond = vec![events(3..=3), compacted(5), reconnected(6), events(7..=7)];
    broken(run(beyond), "WatchResumable", "steps over\n  revision 5");
}

#[test]
fn bookmarkable_fails() {
    let run = |received| bookmarkable::check(&stream(received));
    broken(run(vec![events(3..=3), progress(4), events(4..=5)]), "WatchBookmarkable", "after progress");
    broken(run(vec![progress(4), reconnected(5), events(4..=5)]), "WatchBookmarkable", "after progress");
    broken(run(vec![progress(4), progress(3)]), "WatchBookmarkable", "went back");
    run(vec![progress(4), events(5..=5), progress(6), reconnected(4), events(4..=8)]).unwrap();
}

/// Cuts the history's matching events into responses at revisions, with reconnects and progress in between.
fn faithful(cuts: &[(u64, u8)]) -> Stream {
    let mut received = vec![CREATED];
    let mut next = 3;
    for (width, and) in cuts {
        let to = (next + width).min(8);
        if next <= to && !of(next..=to).is_empty() {
            received.push(events(next..=to));
        }
        next = next.max(to + 1);
        match and {
            0 => received.push(progress(next - 1)),
            1 => received.push(reconnected(next)),
            2 => received.extend([fragment(of(next..=8)), reconnected(next)]),
            _ => {}
        }
    }
    stream(received)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn faithful_streams_pass(cuts in prop::collection::vec((0u64..3, 0u8..5), 0..8)) {
        prop_assert_eq!(check(&faithful(&cuts), &history()), Ok(()));
    }

    /// Whatever single event is lost, repeated or moved before the last, one of the promises is broken.
    #[test]
    fn any_single_fault_is_caught(
        cuts in prop::collection::vec((0u64..3, 3u8..5), 8),
        at in any::<prop::sample::Index>(),
        fault in 0u8..3,
    ) {
        let mut stream = Stream { complete_through: 8, ..faithful(&cuts) };
        let mut responses: Vec<_> = stream
            .received
            .iter_mut()
            .filter_map(|received| match received {
                Received::Events { events, .. } => Some(events),
                _ => None,
            })
            .collect();
        let total: usize = responses.iter().map(|events| events.len()).sum();
        let mut place = at.index(total);
        let response = responses.iter_mut().find(|events| {
            let here = place < events.len();
            place -= if here { 0 } else { events.len() };
            here
        });
        let response = response.unwrap();
        let event = response[place].clone();
        match fault {
            0 => drop(response.remove(place)),
            1 => response.push(event),
            _ => {
                response.remove(place);
                let last = responses.last_mut().unwrap();
                if last.is_empty() || event.revision == 8 { return Ok(()) }
                last.push(event);
            }
        }
        prop_assert!(check(&stream, &history()).is_err());
    }
}
