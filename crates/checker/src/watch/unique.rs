//! Property **WatchUnique**: an event never appears on a watch twice.

use super::{Delivery, Stream};
use crate::Violation;
use crate::events::{Change, Event};
use alloc::collections::BTreeMap;
use alloc::format;
use bytes::Bytes;

const PROPERTY: &str = "WatchUnique";

/// What names an event: a transaction may put and delete one key in turn, each put with another version.
type Name<'a> = (u64, &'a Bytes, Option<(u64, u64)>);

fn name(event: &Event) -> Name<'_> {
    let put = match event.change {
        Change::Put { create_revision, version, .. } => Some((create_revision, version)),
        Change::Delete => None,
    };
    (event.revision, &event.key, put)
}

/// Checks that no event is repeated, across connections too.
///
/// A transaction that puts and deletes one key in turn can make events that look alike; as many as the history
/// has of them may come.
pub fn check(stream: &Stream, history: &[Event]) -> Result<(), Violation> {
    let mut seen: BTreeMap<Name<'_>, usize> = BTreeMap::new();
    for delivery in stream.deliveries() {
        match delivery {
            Delivery::Start { from: Some(from), .. } => seen.retain(|(revision, ..), _| *revision < from),
            Delivery::Events(events) => {
                for event in events {
                    let times = seen.entry(name(event)).or_default();
                    *times += 1;
                    if *times > 1 && *times > made(event, history) {
                        return Err(Violation::new(PROPERTY, format!("received {times} times: {event}")));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many events of this name the history has.
fn made(event: &Event, history: &[Event]) -> usize {
    let start = history.partition_point(|known| known.revision < event.revision);
    let same = history.iter().skip(start).take_while(|known| known.revision == event.revision);
    same.filter(|known| name(known) == name(event)).count()
}
