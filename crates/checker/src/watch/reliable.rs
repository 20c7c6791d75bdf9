//! Property **WatchReliable**: between a watch's start and the last it was told, no event is missing.
//!
//! Checked per connection against the history: the events received are exactly the matching ones from the
//! revision asked for to the newest revision an event or a progress response reached, and, on the last
//! connection, to [`Stream::complete_through`]. The other direction is checked too: each event received is one
//! the store made, in all its fields, and one this watcher asked for.

use super::{Delivery, Stream};
use crate::Violation;
use crate::events::Event;
use alloc::format;
use alloc::vec::Vec;

const PROPERTY: &str = "WatchReliable";

/// One connection's coverage.
#[derive(Default)]
struct Coverage<'a> {
    from: Option<u64>,
    through: u64,
    events: Vec<&'a Event>,
}

/// Checks every connection of the watcher.
pub fn check(stream: &Stream, history: &[Event]) -> Result<(), Violation> {
    let mut coverage = Coverage::default();
    let mut compacted = false;
    for delivery in stream.deliveries() {
        match delivery {
            Delivery::Start { from, .. } => {
                complete(stream, &coverage, history)?;
                coverage = Coverage { from, ..Coverage::default() };
                compacted = false;
            }
            Delivery::Events(events) => {
                for event in events {
                    coverage.through = coverage.through.max(event.revision);
                    coverage.events.push(event);
                }
            }
            Delivery::Progress(revision) => coverage.through = coverage.through.max(revision),
            Delivery::Compacted(_) => compacted = true,
        }
    }
    if !compacted {
        coverage.through = coverage.through.max(stream.complete_through);
    }
    complete(stream, &coverage, history)
}

fn complete(stream: &Stream, coverage: &Coverage<'_>, history: &[Event]) -> Result<(), Violation> {
    for event in &coverage.events {
        let start = history.partition_point(|known| known.revision < event.revision);
        let known = history.iter().skip(start).take_while(|known| known.revision == event.revision);
        if !known.clone().any(|known| known == *event) {
            let known = known.map(|known| format!("\n  {known}")).collect::<alloc::string::String>();
            let detail = format!("an event the store never made:\n  {event}\nthe store has{known}");
            return Err(Violation::new(PROPERTY, detail));
        }
        if !stream.matches(event) {
            let detail = format!("an event outside the range or filters of the watch: {event}");
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    // A connection that began "now" and was never answered has no known start; its first event gives one.
    let Some(from) = coverage.from.or(coverage.events.first().map(|event| event.revision)) else {
        return Ok(());
    };
    let mut received = coverage.events.iter().filter(|event| event.revision >= from).peekable();
    let start = history.partition_point(|event| event.revision < from);
    let due = history.iter().skip(start).take_while(|event| event.revision <= coverage.through);
    for event in due.filter(|event| stream.matches(event)) {
        if received.next_if(|got| **got == event).is_none() {
            let detail = format!(
                "a gap between the start at revision {from} and revision {}: missing\n  {event}",
                coverage.through
            );
            return Err(Violation::new(PROPERTY, detail));
        }
    }
    Ok(())
}
