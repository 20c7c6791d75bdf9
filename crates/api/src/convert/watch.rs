//! The Watch service's messages.
//!
//! Two traps. A watch on an *empty* key is legal, unlike anything else on an empty key: it starts at the
//! smallest key there is, one zero byte. And a deletion's record holds the key and the revision of the
//! deletion, nothing else: what was deleted is in `prev_kv`, when asked for.

use bytes::Bytes;
use quorate_kv::{Event, KeyRange, KeyValue, Record};

use crate::proto::etcdserverpb::WatchCreateRequest;
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::mvccpb;
use mvccpb::event::EventType;

/// `cancel_reason` of a create whose explicit id is in use on the stream.
pub const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";

/// `cancel_reason` of a create whose end is not after its key.
pub const EMPTY_RANGE: &str = "mvcc: watcher range is empty";

/// The watcher id of answers that belong to no watcher: refused creates, and manual progress.
pub const NO_WATCHER: i64 = -1;

/// Which kinds of events a watcher does not want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Drop puts.
    pub no_put: bool,
    /// Drop deletions.
    pub no_delete: bool,
}

/// The span of keys to watch, taken out of the request.
pub fn range(request: &mut WatchCreateRequest) -> KeyRange {
    let mut key = std::mem::take(&mut request.key);
    if key.is_empty() {
        key = Bytes::from_static(&[0]);
    }
    KeyRange { key, end: std::mem::take(&mut request.range_end) }
}

/// The filters of a request. Repetitions add nothing, and numbers nobody knows filter nothing.
pub fn filters(request: &WatchCreateRequest) -> Filters {
    let has = |kind: FilterType| request.filters.contains(&(kind as i32));
    Filters { no_put: has(FilterType::Noput), no_delete: has(FilterType::Nodelete) }
}

/// A change as a watcher gets it, with the record before it where that was asked for and exists. The bytes
/// are shared with the event, which goes to many watchers.
pub fn event(event: &Event, prev_kv: Option<KeyValue>) -> mvccpb::Event {
    let (kind, kv) = match &event.record {
        Record::Put(kv) => (EventType::Put, kv.clone().into()),
        Record::Tombstone { key } => (
            EventType::Delete,
            mvccpb::KeyValue { key: key.clone(), mod_revision: event.revision.main, ..Default::default() },
        ),
    };
    mvccpb::Event { r#type: kind as i32, kv: Some(kv), prev_kv: prev_kv.map(Into::into) }
}
