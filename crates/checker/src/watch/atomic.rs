//! Property **WatchAtomic**: the events of one revision come in one response, or one series of fragments.

use super::{Delivery, Stream};
use crate::Violation;
use crate::events::Event;
use alloc::format;

const PROPERTY: &str = "WatchAtomic";

/// Checks that each response holds, for each revision in it, every matching event of that revision.
///
/// A revision of which nothing came is a gap, and the concern of [`super::reliable`].
pub fn check(stream: &Stream, history: &[Event]) -> Result<(), Violation> {
    for delivery in stream.deliveries() {
        let Delivery::Events(events) = delivery else { continue };
        for part in events.chunk_by(|a, b| a.revision == b.revision) {
            let Some(first) = part.first() else { continue };
            let start = history.partition_point(|event| event.revision < first.revision);
            let whole = history.iter().skip(start).take_while(|event| event.revision == first.revision);
            let mut whole = whole.filter(|event| stream.matches(event));
            if let Some(missing) = whole.find(|event| !part.contains(event)) {
                let detail = format!(
                    "a response holds {} events of revision {} but not\n  {missing}",
                    part.len(),
                    first.revision
                );
                return Err(Violation::new(PROPERTY, detail));
            }
        }
    }
    Ok(())
}
