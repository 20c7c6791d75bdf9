//! The bytes of records, facts and keys.
//!
//! ```text
//! key       main (i64, sign bit flipped) · sub (likewise), as one big number: order is revision order
//! value     crc32c (4) over key and body · body
//! lease     crc32c (4) over its id and seconds · granted seconds (8), under its id
//! body      1 · create (8) · mod (8) · version (8) · lease (8) · key length (4) · key · value      a put
//!           2 · key                                                                               a deletion
//! ```
//!
//! Little-endian throughout. The checksum covers the revision, so that a record which turns up under another
//! revision is noticed as well as a damaged one.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use quorate_kv::{KeyValue, LeaseId, Member, Members, Meta, Record, Revision};
use quorate_protocol::codec::{Malformed, Reader, Writer};

const PUT: u8 = 1;
const TOMBSTONE: u8 = 2;

/// The number of this layout.
pub(crate) const FORMAT: u32 = 2;

/// Bytes that a record takes beside its body: its key and its checksum.
pub(crate) const RECORD_OVERHEAD: u64 = 16 + 4;

/// Bytes that a lease takes.
pub(crate) const LEASE_BYTES: u64 = 8 + 4 + 8;

/// The place of a revision, in an order that is also that of revisions.
pub(crate) fn key(revision: Revision) -> u128 {
    let half = |part: i64| u128::from((part as u64) ^ (1 << 63));
    half(revision.main) << 64 | half(revision.sub)
}

/// The revision at a place.
pub(crate) fn revision(key: u128) -> Revision {
    let half = |part: u64| (part ^ (1 << 63)) as i64;
    Revision { main: half((key >> 64) as u64), sub: half(key as u64) }
}

/// The length of a record's body.
pub(crate) fn body_len(record: &Record) -> usize {
    match record {
        Record::Put(kv) => 1 + 4 * 8 + 4 + kv.key.len() + kv.value.len(),
        Record::Tombstone { key } => 1 + key.len(),
    }
}

/// What a record counts for in [`Size::in_use`](quorate_kv::Size).
pub(crate) fn record_bytes(record: &Record) -> u64 {
    RECORD_OVERHEAD + body_len(record) as u64
}

/// Append a record's body.
pub(crate) fn put_body(out: &mut Vec<u8>, record: &Record) {
    out.reserve(body_len(record));
    match record {
        Record::Put(kv) => {
            out.push(PUT);
            for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            let key_len = u32::try_from(kv.key.len()).expect("a key is shorter than 4 GiB");
            out.extend_from_slice(&key_len.to_le_bytes());
            out.extend_from_slice(&kv.key);
            out.extend_from_slice(&kv.value);
        }
        Record::Tombstone { key } => {
            out.push(TOMBSTONE);
            out.extend_from_slice(key);
        }
    }
}

/// Read a record back. Key and value are slices of `body`.
pub(crate) fn take_body(body: Bytes) -> Result<Record, Malformed> {
    let mut input = Reader::new(body.clone());
    match input.u8()? {
        PUT => {
            let (create_revision, mod_revision) = (input.i64()?, input.i64()?);
            let (version, lease) = (input.i64()?, input.i64()?);
            let key = input.bytes()?;
            let value = body.slice(body.len() - input.remaining()..);
            Ok(Record::Put(KeyValue { key, create_revision, mod_revision, version, value, lease }))
        }
        TOMBSTONE => Ok(Record::Tombstone { key: body.slice(1..) }),
        _ => Err(Malformed("record: unknown kind")),
    }
}

fn checksum(key: u128, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&key.to_le_bytes()), body)
}

/// The value stored under `key`, in `out` (cleared first): a checksum and the body that `fill` appends.
pub(crate) fn seal(out: &mut Vec<u8>, key: u128, fill: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let crc = checksum(key, &out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The body of a stored value, if its checksum is right.
pub(crate) fn unseal(key: u128, value: &[u8]) -> Result<&[u8], Malformed> {
    let (crc, body) = value.split_first_chunk::<4>().ok_or(Malformed("value: too short"))?;
    match u32::from_le_bytes(*crc) == checksum(key, body) {
        true => Ok(body),
        false => Err(Malformed("value: wrong checksum")),
    }
}

/// The checksum that a sealed value begins with; 0 if it is no sealed value.
pub(crate) fn seal_of(value: &[u8]) -> u32 {
    value.first_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc))
}

/// What a lease's id is to its seal.
pub(crate) fn lease_key(id: LeaseId) -> u128 {
    u128::from(id as u64)
}

/// The value stored for a lease.
pub(crate) fn seal_lease(out: &mut Vec<u8>, id: LeaseId, ttl: i64) {
    seal(out, lease_key(id), |out| out.extend_from_slice(&ttl.to_le_bytes()));
}

/// The seconds granted in a lease's stored value.
pub(crate) fn take_lease(id: LeaseId, value: &[u8]) -> Result<i64, Malformed> {
    let body = unseal(lease_key(id), value)?;
    body.try_into().map(i64::from_le_bytes).map_err(|_| Malformed("lease: not eight bytes"))
}

/// The record of a stored value.
pub(crate) fn take_record(key: u128, value: &[u8]) -> Result<Record, Malformed> {
    take_body(Bytes::copy_from_slice(unseal(key, value)?))
}

/// The bytes of the facts.
pub(crate) fn encode_meta(meta: &Meta) -> Bytes {
    let mut out = Writer::new();
    out.u64(meta.applied_index);
    out.u64(meta.applied_ballot.0);
    out.u64(meta.applied_ballot.1);
    out.i64(meta.revision);
    out.i64(meta.compact_revision);
    out.i64(meta.finished_compaction);
    out.slice(&meta.membership);
    put_count(&mut out, meta.members.len());
    for member in &*meta.members {
        out.u64(member.id);
        out.slice(member.name.as_bytes());
        for urls in [&member.peer_urls, &member.client_urls] {
            put_count(&mut out, urls.len());
            urls.iter().for_each(|url| out.slice(url.as_bytes()));
        }
        out.bool(member.is_learner);
        out.bool(member.is_returning);
    }
    put_count(&mut out, meta.members.removed().len());
    meta.members.removed().iter().for_each(|id| out.u64(*id));
    out.into_bytes()
}

/// Read the facts back.
pub(crate) fn decode_meta(bytes: Bytes) -> Result<Meta, Malformed> {
    let mut input = Reader::new(bytes);
    let meta = Meta {
        applied_index: input.u64()?,
        applied_ballot: (input.u64()?, input.u64()?),
        revision: input.i64()?,
        compact_revision: input.i64()?,
        finished_compaction: input.i64()?,
        // A copy of its own: a slice would keep the whole image's block.
        membership: Bytes::copy_from_slice(&input.bytes()?),
        members: Arc::new(take_members(&mut input)?),
    };
    match input.remaining() {
        0 => Ok(meta),
        _ => Err(Malformed("facts: trailing bytes")),
    }
}

fn take_members(input: &mut Reader) -> Result<Members, Malformed> {
    let mut list = Vec::new();
    for _ in 0..input.u32()? {
        list.push(Member {
            id: input.u64()?,
            name: take_text(input)?,
            peer_urls: take_texts(input)?,
            client_urls: take_texts(input)?,
            is_learner: input.bool()?,
            is_returning: input.bool()?,
        });
    }
    let mut removed = BTreeSet::new();
    for _ in 0..input.u32()? {
        removed.insert(input.u64()?);
    }
    Members::from_parts(list, removed).ok_or(Malformed("facts: the members are out of order"))
}

fn put_count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).expect("a list is shorter than 2^32"));
}

fn take_texts(input: &mut Reader) -> Result<Vec<String>, Malformed> {
    let mut texts = Vec::new();
    for _ in 0..input.u32()? {
        texts.push(take_text(input)?);
    }
    Ok(texts)
}

fn take_text(input: &mut Reader) -> Result<String, Malformed> {
    String::from_utf8(input.bytes()?.into()).map_err(|_| Malformed("facts: text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(Bytes::from)
    }

    fn member() -> impl Strategy<Value = Member> {
        let urls = || proptest::collection::vec(".{0,9}", 0..3);
        (4u64.., ".{0,9}", urls(), urls(), any::<(bool, bool)>()).prop_map(
            |(id, name, peer_urls, client_urls, (is_learner, is_returning))| Member {
                id,
                name,
                peer_urls,
                client_urls,
                is_learner,
                is_returning,
            },
        )
    }

    proptest! {
        #[test]
        fn keys_keep_the_order_of_revisions(a: (i64, i64), b: (i64, i64)) {
            let a = Revision { main: a.0, sub: a.1 };
            let b = Revision { main: b.0, sub: b.1 };
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(revision(key(a)), a);
        }

        #[test]
        fn a_put_is_read_back_and_no_flipped_bit_is(
            place: u128, numbers: [i64; 4], name in text(), value in text(),
            at: prop::sample::Index, bit in 0u32..8,
        ) {
            let [create_revision, mod_revision, version, lease] = numbers;
            let kv = KeyValue { key: name.clone(), create_revision, mod_revision, version, value, lease };
            for record in [Record::Put(kv.clone()), Record::Tombstone { key: name.clone() }] {
                let mut stored = Vec::new();
                seal(&mut stored, place, |out| put_body(out, &record));
                prop_assert_eq!(stored.len() as u64 + 16, record_bytes(&record));
                prop_assert_eq!(take_record(place, &stored), Ok(record));
                prop_assert!(take_record(place ^ 1, &stored).is_err(), "the place is part of the checksum");
                let at = at.index(stored.len());
                stored[at] ^= 1 << bit;
                prop_assert!(take_record(place, &stored).is_err());
            }
        }

        #[test]
        fn facts_are_read_back(
            numbers: (u64, u64, u64), revisions: [i64; 3], at: prop::sample::Index,
            membership in text(), members in proptest::collection::vec(member(), 0..4),
            removed in proptest::collection::btree_set(0..4u64, 0..3),
        ) {
            let list = Members::founding(members).iter().cloned().collect();
            let members = Arc::new(Members::from_parts(list, removed).expect("small ids are not drawn"));
            let meta = Meta {
                applied_index: numbers.0,
                applied_ballot: (numbers.1, numbers.2),
                revision: revisions[0],
                compact_revision: revisions[1],
                finished_compaction: revisions[2],
                members,
                membership,
            };
            prop_assert_eq!(decode_meta(encode_meta(&meta)), Ok(meta.clone()));
            let cut = encode_meta(&meta);
            let cut = cut.slice(..at.index(cut.len()));
            prop_assert!(decode_meta(cut).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(place: u128, data in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = take_record(place, &data);
            let _ = take_body(data.clone().into());
            let _ = decode_meta(data.into());
        }
    }
}
