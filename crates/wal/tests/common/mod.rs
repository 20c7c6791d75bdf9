//! What the tests of the log share: short ways to make operations, and a model of what a log should hold.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, NodeId, Recovered, WriteOp};
use quorate_wal::{Disk, GroupId, Identity, MemoryDisk, Options, Wal, WalError};

/// All groups as they should be found.
pub type Model = BTreeMap<GroupId, Recovered>;

/// Small segments, so that a test changes them often.
pub const OPTIONS: Options = Options { segment_bytes: 4096, spares: 1 };

pub fn identity() -> Identity {
    Identity { cluster: 0xc1, node: 3, protocol: "raft".into() }
}

pub fn id(round: u64, index: u64) -> LogId {
    LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) }
}

pub fn promise(round: u64) -> WriteOp {
    WriteOp::Meta { promised: Ballot { round, node: NodeId(2) } }
}

pub fn purge(round: u64, index: u64) -> WriteOp {
    WriteOp::Purge { id: id(round, index) }
}

pub fn reset(round: u64, index: u64) -> WriteOp {
    WriteOp::Reset { id: id(round, index) }
}

/// Entries of `bytes` bytes each, whose content tells where they belong.
pub fn append(round: u64, indexes: std::ops::RangeInclusive<u64>, bytes: usize) -> WriteOp {
    let entry = |index: u64| {
        let mark = (round * 131 + index * 7) as u8;
        Entry { id: id(round, index), kind: EntryKind::Command, data: Bytes::from(vec![mark; bytes]) }
    };
    WriteOp::Append(indexes.map(entry).collect())
}

pub fn open<D: Disk>(disk: &D) -> Result<(Wal<D>, Model), WalError> {
    Wal::open(disk.clone(), OPTIONS, &identity())
}

/// Open and give what is found.
pub fn found<D: Disk>(disk: &D) -> Result<Model, WalError> {
    open(disk).map(|(_, found)| found)
}

/// A log with `commits` frames of one small entry each in group 1, sealed if `sealed`.
pub fn small_log(commits: u64, sealed: bool) -> (MemoryDisk, Vec<Model>) {
    let disk = MemoryDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    let mut models = vec![Model::new()];
    for index in 1..=commits {
        let op = append(1, index..=index, 40);
        wal.append(1, std::slice::from_ref(&op)).unwrap();
        wal.commit().unwrap();
        let mut model = models[models.len() - 1].clone();
        apply(&mut model, 1, &op);
        models.push(model);
    }
    if sealed {
        wal.seal().unwrap();
    }
    (disk, models)
}

/// The obvious meaning of an operation.
pub fn apply(model: &mut Model, group: GroupId, op: &WriteOp) {
    let state = model.entry(group).or_default();
    match op {
        WriteOp::Meta { promised } => state.promised = *promised,
        WriteOp::Append(entries) => {
            for entry in entries {
                state.entries.retain(|old| old.id.index < entry.id.index);
                state.entries.push(entry.clone());
            }
        }
        WriteOp::Reset { id } => {
            state.base = *id;
            state.entries.clear();
        }
        WriteOp::Purge { id } if id.index > state.base.index => {
            state.base = *id;
            state.entries.retain(|entry| entry.id.index > id.index);
        }
        WriteOp::Purge { .. } => {}
    }
}

/// A source of choices; splitmix64.
pub struct Choices(pub u64);

impl Choices {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}
