//! How large a message will be in etcd's wire format: decides what is split, and accounts for what is queued.

use alloc::vec::Vec;

use super::WatchEvent;
use crate::record::{KeyValue, Record};

/// Room for what surrounds the events of a message: header, ids and flags.
pub const MESSAGE_OVERHEAD: usize = 64;

/// Bytes an event adds to a message.
pub fn of_event((event, previous): &WatchEvent) -> usize {
    let (kind, kv) = match &event.record {
        Record::Put(kv) => (0, of_key_value(kv)),
        Record::Tombstone { key } => (2, of_bytes(key.len()) + of_number(event.revision.main)),
    };
    nested(kind + nested(kv) + previous.as_ref().map_or(0, |kv| nested(of_key_value(kv))))
}

/// Split changes so that each part stays below `most` bytes, or is a single change.
pub fn split(events: Vec<WatchEvent>, most: usize) -> Vec<Vec<WatchEvent>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = MESSAGE_OVERHEAD;
    for event in events {
        let more = of_event(&event);
        if !part.is_empty() && bytes.saturating_add(more) >= most {
            parts.push(core::mem::take(&mut part));
            bytes = MESSAGE_OVERHEAD;
        }
        bytes += more;
        part.push(event);
    }
    parts.push(part);
    parts
}

fn of_key_value(kv: &KeyValue) -> usize {
    let numbers = [kv.create_revision, kv.mod_revision, kv.version, kv.lease];
    of_bytes(kv.key.len()) + of_bytes(kv.value.len()) + numbers.map(of_number).iter().sum::<usize>()
}

/// A field with something of `length` bytes in it.
fn nested(length: usize) -> usize {
    1 + varint(length as u64) + length
}

/// A byte field, left out when empty.
fn of_bytes(length: usize) -> usize {
    if length == 0 { 0 } else { nested(length) }
}

/// A number field, left out when zero.
fn of_number(number: i64) -> usize {
    if number == 0 { 0 } else { 1 + varint(number as u64) }
}

fn varint(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, Revision};
    use bytes::Bytes;

    #[test]
    fn varints() {
        for (number, length) in [(0, 1), (127, 1), (128, 2), (16383, 2), (16384, 3), (u64::MAX, 10)] {
            assert_eq!(varint(number), length, "{number}");
        }
    }

    /// Counted by hand from the field list of `mvccpb`.
    #[test]
    fn events() {
        let key = Bytes::from_static(b"key");
        let kv = KeyValue {
            key: key.clone(),
            create_revision: 2,
            mod_revision: 300,
            version: 1,
            value: Bytes::from_static(b"value"),
            lease: 0,
        };
        let revision = Revision { main: 300, sub: 0 };
        let put = Event { revision, record: Record::Put(kv.clone()) };
        // key 5, create 2, mod 3, version 2, value 7: 19; then two bytes around each of the two messages.
        assert_eq!(of_event(&(put.clone(), None)), 23);
        assert_eq!(of_event(&(put, Some(kv))), 44);
        let delete = Event { revision, record: Record::Tombstone { key } };
        // type 2, then key 5 and mod 3.
        assert_eq!(of_event(&(delete, None)), 14);
    }
}
