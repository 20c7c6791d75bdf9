//! Property **WatchResumable**: a broken watch is resumed by a new one from the last revision seen plus one.
//!
//! After a reconnect from `s`, the first event is the first matching one at or after `s`: nothing from before
//! `s` comes, and nothing is stepped over. The server may refuse for compaction only what is compacted: the
//! revision needed next is below the compaction's. And the client's own part: no matching event lies between
//! the last revision seen (or compacted away) and `s`, for it could not reach the watcher.

use super::{Delivery, Stream};
use crate::Violation;
use crate::events::Event;
use alloc::format;

const PROPERTY: &str = "WatchResumable";

/// Checks the seam of every reconnect.
pub fn check(stream: &Stream, history: &[Event]) -> Result<(), Violation> {
    let mut reached = None;
    let mut pending: Option<u64> = None;
    for delivery in stream.deliveries() {
        match delivery {
            Delivery::Start { from, resumed } => {
                if let (true, Some(from), Some(reached)) = (resumed, from, reached) {
                    stepped_over(stream, history, reached, from)?;
                }
                pending = from.filter(|_| resumed);
                reached = from.and_then(|from| from.checked_sub(1)).or(reached);
            }
            Delivery::Events(events) => {
                if let (Some(from), Some(first)) = (pending, events.first()) {
                    first_is_due(stream, history, from, first)?;
                    pending = None;
                }
                reached = reached.max(events.iter().map(|event| event.revision).max());
            }
            Delivery::Progress(revision) => reached = reached.max(Some(revision)),
            Delivery::Compacted(oldest) => {
                if reached.is_some_and(|reached| oldest <= reached.saturating_add(1)) {
                    let detail = format!(
                        "refused as compacted up to revision {oldest}, when {} was the next one needed",
                        reached.unwrap_or(0).saturating_add(1)
                    );
                    return Err(Violation::new(PROPERTY, detail));
                }
                reached = reached.max(oldest.checked_sub(1));
            }
        }
    }
    Ok(())
}

fn stepped_over(stream: &Stream, history: &[Event], reached: u64, from: u64) -> Result<(), Violation> {
    let mut between = history.iter().filter(|event| event.revision > reached && event.revision < from);
    match between.find(|event| stream.matches(event)) {
        None => Ok(()),
        Some(event) => {
            let detail =
                format!("seen up to revision {reached}, resumed from {from}, which steps over\n  {event}");
            Err(Violation::new(PROPERTY, detail))
        }
    }
}

fn first_is_due(stream: &Stream, history: &[Event], from: u64, first: &Event) -> Result<(), Violation> {
    let start = history.partition_point(|event| event.revision < from);
    let due = history.iter().skip(start).find(|event| stream.matches(event));
    if first.revision >= from && due.is_none_or(|due| due.revision >= first.revision) {
        return Ok(());
    }
    let due = due.map_or_else(|| "none".into(), |due| format!("{due}"));
    let detail =
        format!("resumed from revision {from}, the first event is\n  {first}\nwhere was due\n  {due}");
    Err(Violation::new(PROPERTY, detail))
}
