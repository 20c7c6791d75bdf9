//! Reading a span of keys (section 5.2 of our compatibility notes).
//!
//! At the newest revision everything but values comes from the index: the count is a difference of two ranks,
//! filters and sorting by anything but the value need no record, and a page reads only what it returns. At an
//! older revision the count reads what has changed since, or walks the span.
//!
//! Where etcd leaves ties of a sort unspecified, they are broken by ascending key.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;

use super::State;
use crate::Error;
use crate::command::{KeyRange, Range, SortOrder, SortTarget};
use crate::outcome::RangeOutcome;
use crate::record::{KeyValue, Revision};
use crate::span::{End, Span};
use crate::storage::Storage;
use crate::tree::{Only, Visit};
use crate::versions::{Head, LATEST, Versions};

/// How many keys can be walked over in the time it takes to read a record.
const WALK_COST: usize = 8;

/// A record a range found: where it is, and as much of it as is known so far.
struct Found<'a> {
    key: &'a [u8],
    revision: Revision,
    /// Known at once if this is the key's newest version.
    head: Option<Head>,
    /// Read when it is needed.
    record: Option<KeyValue>,
}

impl<S: Storage> State<S> {
    /// Read a span of keys.
    ///
    /// # Errors
    /// [`Error::FutureRevision`] and [`Error::Compacted`] for a revision that cannot be read.
    pub fn range(&self, query: &Range) -> Result<RangeOutcome, Error> {
        let at = self.readable(query.revision)?;
        Ok(self.read(query, at))
    }

    /// The revision to read at: [`LATEST`] if none was asked for or the newest is.
    fn readable(&self, revision: i64) -> Result<i64, Error> {
        match revision {
            ..=0 => Ok(LATEST),
            _ if revision > self.meta.revision => Err(Error::FutureRevision),
            _ if revision < self.meta.compact_revision => Err(Error::Compacted),
            _ if revision == self.meta.revision => Ok(LATEST),
            _ => Ok(revision),
        }
    }

    /// Live keys in a span at the newest revision.
    pub fn count(&self, range: &KeyRange) -> u64 {
        self.count_live(Span::from(range)) as u64
    }

    /// The record of `key` as of `revision`, if the key was live then and that is still known.
    pub fn at(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        if revision < self.meta.compact_revision {
            return None;
        }
        let version = self.index.get(key)?.at(revision)?;
        (!version.tombstone).then(|| self.record(version.revision()))
    }

    /// Answer `query` as of `at`, which is [`LATEST`] or readable. [`LATEST`] includes changes under way.
    pub(super) fn read(&self, query: &Range, at: i64) -> RangeOutcome {
        let span = Span::from(&query.range);
        let count = if at == LATEST { self.count_live(span) } else { self.count_at(span, at) } as i64;
        if query.count_only || count == 0 {
            return RangeOutcome { kvs: Vec::new(), more: false, count };
        }
        let mut found = self.find(query, span, at);
        self.sort(query, &mut found);
        let limit = usize::try_from(query.limit).unwrap_or(0);
        let more = limit > 0 && found.len() > limit;
        if more {
            found.truncate(limit);
        }
        let kvs = found.into_iter().map(|found| self.materialise(found, query.keys_only)).collect();
        RangeOutcome { kvs, more, count }
    }

    fn count_live(&self, span: Span<'_>) -> usize {
        match span.end {
            _ if span.is_empty() => 0,
            End::Single => usize::from(self.head(span.start).is_some()),
            End::Before(end) => self.index.rank(end) - self.index.rank(span.start),
            End::Open => self.index.weight().live as usize - self.index.rank(span.start),
        }
    }

    /// Live keys in a span as of `at`. Clients page through a span at the revision of their first page, which
    /// is soon a little old: then the count is today's, corrected by what has changed since.
    fn count_at(&self, span: Span<'_>, at: i64) -> usize {
        let live = self.count_live(span);
        let behind = usize::try_from(self.meta.revision - at).unwrap_or(usize::MAX);
        if behind.saturating_mul(WALK_COST) < live {
            return self.count_back(span, at, live);
        }
        let mut count = 0;
        self.each_key(span, Only::Any, false, &mut |_, versions| {
            count += usize::from(versions.was_live(at));
            true
        });
        count
    }

    /// Live keys in a span as of `at`, from those `live` now.
    fn count_back(&self, span: Span<'_>, at: i64, live: usize) -> usize {
        let mut changed = BTreeSet::new();
        self.storage.scan(Revision { main: at + 1, sub: 0 }, &mut |_, record| {
            if span.contains(record.key()) {
                changed.insert(record.key().clone());
            }
            true
        });
        let versions = || changed.iter().filter_map(|key| self.index.get(key));
        let were = versions().filter(|versions| versions.was_live(at)).count();
        let are = versions().filter(|versions| versions.is_live()).count();
        live - are + were
    }

    /// The records a query asks for before sorting, in key order (descending only if sorted so by key), not
    /// more than are needed: one beyond the limit tells that there are more.
    fn find<'a>(&'a self, query: &Range, span: Span<'_>, at: i64) -> Vec<Found<'a>> {
        let by_key = query.sort_target == SortTarget::Key;
        let filters = Filters::of(query);
        // etcd cuts to the limit before it sorts by another target when no order is given; the page is then
        // of the first keys, not of the smallest targets. Clients may see it, so it is kept.
        let early = by_key || (query.sort_order == SortOrder::None && !filters.any());
        let most = match usize::try_from(query.limit) {
            Ok(limit) if limit > 0 && early => limit.saturating_add(1),
            _ => usize::MAX,
        };
        let descend = by_key && query.sort_order == SortOrder::Descend;
        let only = if at == LATEST { Only::Live } else { Only::Any };
        let mut found = Vec::new();
        self.each_key(span, only, descend, &mut |key, versions| {
            let Some(version) = versions.at(at).filter(|version| !version.tombstone) else { return true };
            let revision = version.revision();
            let head = versions.head().filter(|head| head.revision == revision);
            let mut entry = Found { key, revision, head, record: None };
            if filters.admit(self, &mut entry) {
                found.push(entry);
            }
            found.len() < most
        });
        found
    }

    fn sort(&self, query: &Range, found: &mut [Found<'_>]) {
        let target: fn(&Found<'_>, &Found<'_>) -> Ordering = match query.sort_target {
            SortTarget::Key => return,
            SortTarget::Version => |a, b| a.version().cmp(&b.version()),
            SortTarget::Create => |a, b| a.create().cmp(&b.create()),
            SortTarget::Mod => |a, b| a.revision.main.cmp(&b.revision.main),
            SortTarget::Value => |a, b| a.value().cmp(b.value()),
        };
        for entry in &mut *found {
            match query.sort_target {
                SortTarget::Value => self.fetch(entry),
                SortTarget::Version | SortTarget::Create if entry.head.is_none() => self.fetch(entry),
                _ => {}
            }
        }
        match query.sort_order {
            SortOrder::Descend => found.sort_by(|a, b| target(b, a)),
            SortOrder::None | SortOrder::Ascend => found.sort_by(target),
        }
    }

    fn fetch(&self, found: &mut Found<'_>) {
        if found.record.is_none() {
            found.record = Some(self.record(found.revision));
        }
    }

    fn materialise(&self, mut found: Found<'_>, keys_only: bool) -> KeyValue {
        if let Some(head) = found.head
            && keys_only
        {
            return KeyValue {
                key: Bytes::copy_from_slice(found.key),
                create_revision: head.create,
                mod_revision: head.revision.main,
                version: head.version,
                value: Bytes::new(),
                lease: head.lease,
            };
        }
        let mut kv = found.record.take().unwrap_or_else(|| self.record(found.revision));
        if keys_only {
            kv.value = Bytes::new();
        }
        kv
    }

    /// Visit the keys of a span, in order, until `visit` returns false.
    pub(super) fn each_key<'a>(
        &'a self,
        span: Span<'_>,
        only: Only,
        descend: bool,
        visit: &mut Visit<'_, 'a, Versions>,
    ) {
        if span.is_empty() {
            return;
        }
        match (span.end, descend) {
            (End::Single, _) => self.index.ascend(span.start, only, &mut |key, versions| {
                if key == span.start {
                    visit(key, versions);
                }
                false
            }),
            (_, false) => self
                .index
                .ascend(span.start, only, &mut |key, versions| span.contains(key) && visit(key, versions)),
            (end, true) => {
                let before = if let End::Before(end) = end { Some(end) } else { None };
                self.index
                    .descend(before, only, &mut |key, versions| span.contains(key) && visit(key, versions));
            }
        }
    }

    /// Visit the live keys of a span, ascending, until `visit` returns false.
    pub(super) fn each_live(&self, span: Span<'_>, mut visit: impl FnMut(&[u8], Head) -> bool) {
        self.each_key(span, Only::Live, false, &mut |key, versions| {
            versions.head().is_none_or(|head| visit(key, head))
        });
    }
}

/// The accessors need `head` or `record`; the sort has seen to that.
impl Found<'_> {
    fn create(&self) -> i64 {
        let fetched = || self.record.as_ref().map_or(0, |kv| kv.create_revision);
        self.head.map_or_else(fetched, |head| head.create)
    }

    fn version(&self) -> i64 {
        let fetched = || self.record.as_ref().map_or(0, |kv| kv.version);
        self.head.map_or_else(fetched, |head| head.version)
    }

    fn value(&self) -> &[u8] {
        self.record.as_ref().map_or(&[], |kv| &kv.value)
    }
}

/// The bounds on revisions; zero is none.
struct Filters {
    min_mod: i64,
    max_mod: i64,
    min_create: i64,
    max_create: i64,
}

impl Filters {
    fn of(query: &Range) -> Self {
        Filters {
            min_mod: query.min_mod_revision,
            max_mod: query.max_mod_revision,
            min_create: query.min_create_revision,
            max_create: query.max_create_revision,
        }
    }

    fn any(&self) -> bool {
        [self.min_mod, self.max_mod, self.min_create, self.max_create] != [0; 4]
    }

    fn admit<S: Storage>(&self, state: &State<S>, found: &mut Found<'_>) -> bool {
        let within =
            |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
        if !within(found.revision.main, self.min_mod, self.max_mod) {
            return false;
        }
        if self.min_create == 0 && self.max_create == 0 {
            return true;
        }
        if found.head.is_none() {
            state.fetch(found);
        }
        within(found.create(), self.min_create, self.max_create)
    }
}
