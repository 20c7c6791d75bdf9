//! Property **WatchBookmarkable**: after a progress response at revision `R` no event at or below `R` comes.
//!
//! Progress revisions do not go back either. That every event up to `R` came before it is checked by
//! [`super::reliable`], for which progress extends what must have been received.

use super::{Delivery, Stream};
use crate::Violation;
use alloc::format;

const PROPERTY: &str = "WatchBookmarkable";

/// Checks what follows each progress response.
pub fn check(stream: &Stream) -> Result<(), Violation> {
    let mut promised = 0;
    for delivery in stream.deliveries() {
        match delivery {
            Delivery::Start { from, .. } => {
                promised = from.map_or(promised, |from| promised.min(from.saturating_sub(1)));
            }
            Delivery::Events(events) => {
                if let Some(late) = events.iter().find(|event| event.revision <= promised) {
                    let detail = format!("after progress at revision {promised} came\n  {late}");
                    return Err(Violation::new(PROPERTY, detail));
                }
            }
            Delivery::Progress(revision) => {
                if revision < promised {
                    let detail = format!("progress went back from revision {promised} to {revision}");
                    return Err(Violation::new(PROPERTY, detail));
                }
                promised = revision;
            }
            Delivery::Compacted(_) => {}
        }
    }
    Ok(())
}
