//! Checksums of the contents: etcd's `HashKV`, and a digest for comparing two states in tests.

use super::State;
use crate::Error;
use crate::crc::Crc32c;
use crate::members::Members;
use crate::record::{KeyValue, Record, Revision};
use crate::span::{End, Span};
use crate::storage::Storage;
use crate::tree::Only;

/// The answer to etcd's `HashKV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// The checksum.
    pub hash: u32,
    /// The compact revision; -1 before the first compaction.
    pub compact_revision: i64,
    /// The revision up to which was hashed.
    pub hash_revision: i64,
}

impl<S: Storage> State<S> {
    /// The checksum of all records up to a revision, equal on members with equal contents, and equal to that
    /// of etcd with the same history (section 11.4 of our compatibility notes).
    ///
    /// Hashed are all records after the compact revision, and of those before it what a compaction at the
    /// *hashed* revision would keep. Where that is nothing at all, no key being live, etcd leaves nothing out,
    /// so it is what the compaction kept. Tombstones up to the compact revision never count.
    ///
    /// Revision 0 is the newest. A negative one is answered, as etcd does, with the checksum of no records.
    ///
    /// # Errors
    /// [`Error::FutureRevision`] and [`Error::Compacted`].
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, Error> {
        let compact_revision = self.meta.compact_revision;
        let hash_revision = if revision == 0 { self.meta.revision } else { revision };
        if hash_revision > self.meta.revision {
            return Err(Error::FutureRevision);
        }
        if hash_revision > 0 && hash_revision < compact_revision {
            return Err(Error::Compacted);
        }
        let any_live = self.any_live(hash_revision);
        let mut crc = Crc32c::new();
        crc.update(b"key");
        self.storage.scan(Revision::default(), &mut |revision, record| {
            if revision.main > hash_revision {
                return false;
            }
            let hashed = revision.main > compact_revision
                || match &record {
                    Record::Tombstone { .. } => false,
                    Record::Put(kv) if any_live => self.is_live_record(revision, &kv.key, hash_revision),
                    Record::Put(kv) => self.survives(revision, &kv.key),
                };
            if hashed {
                hash_record(&mut crc, revision, &record);
            }
            true
        });
        Ok(HashKv { hash: crc.finish(), compact_revision, hash_revision })
    }

    /// Whether any key was live at main revision `at`.
    fn any_live(&self, at: i64) -> bool {
        let mut any = false;
        let everything = Span { start: &[], end: End::Open };
        self.each_key(everything, Only::Any, false, &mut |_, versions| {
            any = versions.was_live(at);
            !any
        });
        any
    }

    /// Whether the record at `revision` was the newest of `key` at main revision `at`.
    fn is_live_record(&self, revision: Revision, key: &[u8], at: i64) -> bool {
        let newest = self.index.get(key).and_then(|versions| versions.at(at));
        newest.is_some_and(|newest| newest.revision() == revision)
    }

    /// A digest of everything that commands decide: records, leases, attached keys, members, the membership
    /// and the two revisions. Members that applied the same log have equal ones, however far their compactions have come;
    /// for tests and the simulator, which compare it at equal applied indexes.
    pub fn digest(&self) -> u64 {
        let mut hash = Fnv::new();
        hash.number(self.meta.revision);
        hash.number(self.meta.compact_revision);
        hash.bytes(&self.meta.membership);
        hash.members(&self.meta.members);
        for (id, lease) in &self.leases {
            hash.number(*id);
            hash.number(lease.ttl());
            hash.number(lease.keys().len() as i64);
            lease.keys().iter().for_each(|key| hash.bytes(key));
        }
        self.storage.scan(Revision::default(), &mut |revision, record| {
            if self.survives(revision, record.key()) {
                hash.record(revision, &record);
            }
            true
        });
        hash.0
    }
}

/// Take in a record as etcd stores it: its key is the revision, with a `t` behind a tombstone's, its value a
/// `mvccpb.KeyValue`.
fn hash_record(crc: &mut Crc32c, revision: Revision, record: &Record) {
    crc.update(&revision.main.to_be_bytes());
    crc.update(b"_");
    crc.update(&revision.sub.to_be_bytes());
    match record {
        Record::Put(kv) => hash_key_value(crc, kv),
        Record::Tombstone { key } => {
            crc.update(b"t");
            hash_bytes(crc, 1, key);
        }
    }
}

/// Take in a record in its protobuf encoding: fields in order, zero and empty ones left out.
fn hash_key_value(crc: &mut Crc32c, kv: &KeyValue) {
    hash_bytes(crc, 1, &kv.key);
    hash_number(crc, 2, kv.create_revision);
    hash_number(crc, 3, kv.mod_revision);
    hash_number(crc, 4, kv.version);
    hash_bytes(crc, 5, &kv.value);
    hash_number(crc, 6, kv.lease);
}

fn hash_bytes(crc: &mut Crc32c, field: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        crc.update(&[field << 3 | 2]);
        hash_varint(crc, bytes.len() as u64);
        crc.update(bytes);
    }
}

fn hash_number(crc: &mut Crc32c, field: u8, number: i64) {
    if number != 0 {
        crc.update(&[field << 3]);
        hash_varint(crc, number as u64);
    }
}

fn hash_varint(crc: &mut Crc32c, mut number: u64) {
    while number >= 0x80 {
        crc.update(&[number as u8 | 0x80]);
        number >>= 7;
    }
    crc.update(&[number as u8]);
}

/// FNV-1a, 64 bits. Not for contents an adversary chooses.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn raw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn number(&mut self, number: i64) {
        self.raw(&number.to_le_bytes());
    }

    /// The length first, so that where one ends and the next begins counts.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as i64);
        self.raw(bytes);
    }

    fn members(&mut self, members: &Members) {
        self.number(members.len() as i64);
        for member in members {
            self.number(member.id as i64);
            self.bytes(member.name.as_bytes());
            for urls in [&member.peer_urls, &member.client_urls] {
                self.number(urls.len() as i64);
                urls.iter().for_each(|url| self.bytes(url.as_bytes()));
            }
            self.raw(&[u8::from(member.is_learner), u8::from(member.is_returning)]);
        }
        members.removed().iter().for_each(|id| self.number(*id as i64));
    }

    fn record(&mut self, revision: Revision, record: &Record) {
        self.number(revision.main);
        self.number(revision.sub);
        self.bytes(record.key());
        match record {
            Record::Put(kv) => {
                self.number(kv.create_revision);
                self.number(kv.version);
                self.number(kv.lease);
                self.bytes(&kv.value);
            }
            Record::Tombstone { .. } => self.number(-1),
        }
    }
}
