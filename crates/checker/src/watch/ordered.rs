//! Property **WatchOrdered**: events are ordered by revision, and inside one revision as they were executed.

use super::{Delivery, Stream};
use crate::Violation;
use crate::events::Event;
use alloc::format;

const PROPERTY: &str = "WatchOrdered";

/// Checks the order of a watcher's events. Repetitions are left to [`super::unique`].
pub fn check(stream: &Stream, history: &[Event]) -> Result<(), Violation> {
    let mut last: Option<&Event> = None;
    for delivery in stream.deliveries() {
        match delivery {
            Delivery::Start { from, .. } => {
                last = last.filter(|event| from.is_none_or(|from| event.revision < from));
            }
            Delivery::Events(events) => {
                for event in events {
                    if let Some(before) = last
                        && !follows(before, event, history)
                    {
                        let detail = format!("out of order:\n  {before}\n  {event}");
                        return Err(Violation::new(PROPERTY, detail));
                    }
                    last = Some(event);
                }
            }
            Delivery::Progress(_) | Delivery::Compacted(_) => {}
        }
    }
    Ok(())
}

fn follows(before: &Event, event: &Event, history: &[Event]) -> bool {
    if before.revision != event.revision || before == event {
        return before.revision <= event.revision;
    }
    let start = history.partition_point(|known| known.revision < event.revision);
    let made = history.iter().skip(start).take_while(|known| known.revision == event.revision);
    let first = made.clone().position(|known| known == before);
    let last = made.clone().enumerate().filter(|(_, known)| *known == event).last().map(|(at, _)| at);
    match (first, last) {
        (Some(first), Some(last)) => first < last,
        // An event the store does not know is the concern of `reliable`.
        _ => true,
    }
}
