//! History, for watchers that start in the past or have fallen behind.

use alloc::vec::Vec;

use super::State;
use crate::Error;
use crate::command::KeyRange;
use crate::record::{Event, Record, Revision};
use crate::span::Span;
use crate::storage::Storage;
use crate::tree::Only;

/// A span with at most so many keys is looked up in the index rather than found by reading all of history.
const NARROW: usize = 64;

/// A stretch of history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The changes, in order.
    pub events: Vec<Event>,
    /// The first revision that was not looked at.
    pub next: i64,
}

/// Takes the records of a walk through history; false ends it *after* the record's revision.
pub type Reader<'r> = dyn FnMut(Revision, Record) -> bool + 'r;

/// The bounds of a walk through history.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// The first revision; not below the compact revision.
    pub from: i64,
    /// The last revision; not beyond the newest.
    pub to: i64,
    /// How many revisions with changes to look at, at most; at least one.
    pub max_revisions: usize,
}

impl<S: Storage> State<S> {
    /// The changes to the keys of `range` in the revisions from `from` to `to`, both included, in order.
    ///
    /// Revisions are given whole. At least one and at most `max_revisions` of those that changed anything are
    /// looked at; where the answer stops, `next` says how to go on, and is `to + 1` (or one after the newest
    /// revision, if that is less) when everything was seen.
    ///
    /// # Errors
    /// [`Error::Compacted`] if `from` is below the last compaction.
    pub fn history(
        &self,
        range: &KeyRange,
        from: i64,
        to: i64,
        max_revisions: usize,
    ) -> Result<History, Error> {
        let from = from.max(1);
        if from < self.meta.compact_revision {
            return Err(Error::Compacted);
        }
        let stretch = Stretch { from, to: to.min(self.meta.revision), max_revisions: max_revisions.max(1) };
        let span = Span::from(range);
        let mut events = Vec::new();
        let mut read = |revision, record: Record| {
            if span.contains(record.key()) {
                events.push(Event { revision, record });
            }
            true
        };
        let next = match self.walk_narrow(span, stretch, &mut read) {
            Some(next) => next,
            None => self.walk(stretch, &mut read),
        };
        Ok(History { events, next })
    }

    /// Read every change of a stretch, in order, passing over what compactions removed. Answers the first
    /// revision not looked at.
    pub(crate) fn walk(&self, stretch: Stretch, read: &mut Reader<'_>) -> i64 {
        let mut steps = Steps::new(stretch);
        self.storage.scan(Revision { main: stretch.from, sub: 0 }, &mut |revision, record| {
            if !steps.enter(revision.main) {
                return false;
            }
            if self.survives(revision, record.key()) && !read(revision, record) {
                steps.stop();
            }
            true
        });
        steps.next()
    }

    /// As [`State::walk`], but reading only the changes of a span with few keys, which the index finds.
    /// `None` if the span has many keys, or the stretch is so short that walking it is cheaper.
    pub(crate) fn walk_narrow(&self, span: Span<'_>, stretch: Stretch, read: &mut Reader<'_>) -> Option<i64> {
        let mut steps = Steps::new(stretch);
        for revision in self.places(span, stretch)? {
            if !steps.enter(revision.main) {
                break;
            }
            let record = self.storage.get(revision);
            let record = record.unwrap_or_else(|| panic!("the storage holds nothing at {revision:?}"));
            if self.survives(revision, record.key()) && !read(revision, record) {
                steps.stop();
            }
        }
        Some(steps.next())
    }

    /// Where the changes of a narrow span are, ascending. Of a key that changed more often than the stretch
    /// admits revisions, the first of them and one more.
    fn places(&self, span: Span<'_>, stretch: Stretch) -> Option<Vec<Revision>> {
        let mut places = Vec::new();
        let mut keys = 0;
        let few = NARROW.min(usize::try_from(stretch.to - stretch.from).unwrap_or(0) + 1);
        self.each_key(span, Only::Any, false, &mut |_, versions| {
            keys += 1;
            if keys > few {
                return false;
            }
            let mut steps = Steps::new(Stretch { max_revisions: stretch.max_revisions + 1, ..stretch });
            let revisions = versions.since(stretch.from).map(|version| version.revision());
            places.extend(revisions.take_while(|revision| steps.enter(revision.main)));
            true
        });
        places.sort_unstable();
        (keys <= few).then_some(places)
    }
}

/// Counts the revisions of a walk and knows where it ends.
struct Steps {
    stretch: Stretch,
    seen: usize,
    last: i64,
    stopped: bool,
    next: Option<i64>,
}

impl Steps {
    fn new(stretch: Stretch) -> Self {
        Steps { stretch, seen: 0, last: 0, stopped: false, next: None }
    }

    /// Whether a change of main revision `main` is still part of the walk.
    fn enter(&mut self, main: i64) -> bool {
        if main > self.stretch.to {
            return false;
        }
        if main != self.last {
            if self.stopped || self.seen >= self.stretch.max_revisions {
                self.next = Some(main);
                return false;
            }
            (self.seen, self.last) = (self.seen + 1, main);
        }
        true
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn next(&self) -> i64 {
        self.next.unwrap_or(self.stretch.to + 1).max(self.stretch.from)
    }
}
