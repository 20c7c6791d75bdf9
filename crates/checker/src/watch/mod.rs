//! The promises of a watch, checked over what one watcher received.
//!
//! Source: etcd's API guarantees, section "Watch APIs". Each promise has its own file:
//!
//! | property | promise | file |
//! |---|---|---|
//! | WatchOrdered | events come in the order of their revisions, and inside one as they were executed | [`ordered`] |
//! | WatchUnique | no event comes twice | [`unique`] |
//! | WatchAtomic | a revision's events come whole, in one response or one series of fragments | [`atomic`] |
//! | WatchReliable | no matching event between the start and the last seen is missing, none is invented | [`reliable`] |
//! | WatchResumable | after a reconnect from a revision, all events from there come, none from before | [`resumable`] |
//! | WatchBookmarkable | after progress at `R`, no event at or below `R` comes | [`bookmarkable`] |
//!
//! A [`Stream`] is one *logical* watcher: it keeps its range and filters across reconnects. A client that loses
//! its connection in the middle of a series of fragments has to drop the fragments it holds, for they do not
//! amount to a whole revision; the checks do the same ([`Stream::deliveries`]).
//!
//! A reconnect may go back to a revision already seen. What it then receives again is no duplicate: every check
//! forgets what lies at or above the revision asked for.

pub mod atomic;
pub mod bookmarkable;
pub mod ordered;
pub mod reliable;
pub mod resumable;
pub mod unique;

use crate::Violation;
use crate::events::{Change, Event};
use alloc::vec::Vec;
use bytes::Bytes;

/// One message to a watcher, or the start of another connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The watch was registered when the store was at `revision`.
    Created {
        /// Header revision.
        revision: u64,
    },
    /// Events.
    Events {
        /// Header revision.
        revision: u64,
        /// The events, in the order of the message.
        events: Vec<Event>,
        /// Whether more fragments of this response follow.
        fragment: bool,
    },
    /// A response without events that promises everything up to `revision` was delivered.
    Progress {
        /// Header revision.
        revision: u64,
    },
    /// The server ended the watch because the revisions it needed were compacted.
    Compacted {
        /// The oldest revision still to be had.
        compact_revision: u64,
    },
    /// The connection was lost or the watch ended, and the client asks again from `start_revision` (0: from now).
    Reconnected {
        /// First revision wanted.
        start_revision: u64,
    },
}

/// What one logical watcher asked for and received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Key, or start of the range; as in etcd, empty counts as one zero byte.
    pub key: Bytes,
    /// etcd's range end: empty for the single key, one zero byte for "all keys from `key`".
    pub range_end: Bytes,
    /// Puts are filtered out.
    pub no_put: bool,
    /// Deletes are filtered out.
    pub no_delete: bool,
    /// First revision wanted; 0: from now.
    pub start_revision: u64,
    /// What was received, in order.
    pub received: Vec<Received>,
    /// The host waited until the watcher had to have seen everything up to this revision; 0 claims nothing.
    pub complete_through: u64,
}

/// A whole response: fragments joined.
#[derive(Clone, Debug)]
pub(crate) enum Delivery<'a> {
    /// A connection asked for events from this revision on; none if it is not known.
    Start {
        from: Option<u64>,
        resumed: bool,
    },
    Events(Vec<&'a Event>),
    Progress(u64),
    Compacted(u64),
}

impl Stream {
    /// Whether this watcher is to be told of the event.
    pub fn matches(&self, event: &Event) -> bool {
        let filtered = match event.change {
            Change::Put { .. } => self.no_put,
            Change::Delete => self.no_delete,
        };
        let from: &[u8] = if self.key.is_empty() { &[0] } else { &self.key };
        let key = event.key.as_ref();
        let in_range = match self.range_end.as_ref() {
            [] => key == from,
            [0] => key >= from,
            end => key >= from && key < end,
        };
        in_range && !filtered
    }

    /// The stream as whole responses, with unfinished series of fragments dropped.
    pub(crate) fn deliveries(&self) -> Vec<Delivery<'_>> {
        let mut deliveries = Vec::new();
        let mut asked = Some((self.start_revision, false));
        let mut series: Vec<&Event> = Vec::new();
        for received in &self.received {
            match received {
                Received::Created { revision } => {
                    if let Some((start, resumed)) = asked.take() {
                        let from = if start == 0 { revision.saturating_add(1) } else { start };
                        deliveries.push(Delivery::Start { from: Some(from), resumed });
                    }
                }
                Received::Reconnected { start_revision } => {
                    series.clear();
                    asked = Some((*start_revision, true));
                }
                other => {
                    if let Some((start, resumed)) = asked.take() {
                        deliveries.push(Delivery::Start { from: (start > 0).then_some(start), resumed });
                    }
                    match other {
                        Received::Events { events, fragment, .. } => {
                            series.extend(events);
                            if !fragment {
                                deliveries.push(Delivery::Events(core::mem::take(&mut series)));
                            }
                        }
                        Received::Progress { revision } => deliveries.push(Delivery::Progress(*revision)),
                        Received::Compacted { compact_revision } => {
                            deliveries.push(Delivery::Compacted(*compact_revision));
                        }
                        Received::Created { .. } | Received::Reconnected { .. } => {}
                    }
                }
            }
        }
        deliveries
    }
}

/// Checks all six promises of one watcher against the store's full history, ordered as executed.
pub fn check(stream: &Stream, history: &[Event]) -> Result<(), Violation> {
    ordered::check(stream, history)?;
    unique::check(stream, history)?;
    atomic::check(stream, history)?;
    resumable::check(stream, history)?;
    bookmarkable::check(stream)?;
    reliable::check(stream, history)
}
