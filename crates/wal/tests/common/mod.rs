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

/// From this number on, the logs of groups are written slot by slot.
pub const PUT: GroupId = 1000;

pub fn is_put(group: GroupId) -> bool {
    group >= PUT
}

pub fn promise(round: u64) -> WriteOp {
    WriteOp::Meta { promised: Ballot { round, node: NodeId(2) }, joined: Default::default() }
}

/// A promise, and whose history was taken over.
pub fn joins(round: u64, joined: u64) -> WriteOp {
    let ballot = |round, node| Ballot { round, node: NodeId(node) };
    WriteOp::Meta { promised: ballot(round, 2), joined: ballot(joined, 3) }
}

pub fn truncate(index: u64) -> WriteOp {
    WriteOp::Truncate(Index(index))
}

pub fn purge(round: u64, index: u64) -> WriteOp {
    WriteOp::Purge { id: id(round, index) }
}

pub fn reset(round: u64, index: u64) -> WriteOp {
    WriteOp::Reset { id: id(round, index) }
}

/// Entries of `bytes` bytes each, whose content tells where they belong.
pub fn append(round: u64, indexes: std::ops::RangeInclusive<u64>, bytes: usize) -> WriteOp {
    WriteOp::Append(entries(round, indexes, bytes))
}

/// The same, each for its own slot.
pub fn put(round: u64, slots: impl IntoIterator<Item = u64>, bytes: usize) -> WriteOp {
    WriteOp::Put(entries(round, slots, bytes))
}

pub fn entries(round: u64, indexes: impl IntoIterator<Item = u64>, bytes: usize) -> Vec<Entry> {
    let entry = |index: u64| {
        let mark = (round * 131 + index * 7) as u8;
        Entry { id: id(round, index), kind: EntryKind::Command, data: Bytes::from(vec![mark; bytes]) }
    };
    indexes.into_iter().map(entry).collect()
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
    let held_some = state.held != LogId::default();
    let (base, end) = (state.base, state.entries.last().map_or(state.base.index, |entry| entry.id.index));
    let mut hold = |id: LogId| {
        if (id.ballot.round, id.index) > (state.held.ballot.round, state.held.index) {
            state.held = id;
        }
    };
    match op {
        _ if is_put(group) => {}
        WriteOp::Append(entries) => entries.iter().for_each(|entry| hold(entry.id)),
        // One that is to begin before its end had held what it was based on.
        WriteOp::Reset { id } if id.index < end => {
            hold(base);
            if held_some {
                hold(*id);
            }
        }
        // A log that held nothing begins with its first entry.
        _ if !held_some => {}
        WriteOp::Reset { id } => hold(*id),
        WriteOp::Purge { id } if id.index > state.base.index => hold(*id),
        _ => {}
    }
    match op {
        WriteOp::Meta { promised, joined } => (state.promised, state.joined) = (*promised, *joined),
        WriteOp::Append(entries) => {
            for entry in entries {
                state.entries.retain(|old| old.id.index < entry.id.index);
                state.entries.push(entry.clone());
            }
        }
        WriteOp::Put(entries) => {
            for entry in entries {
                state.entries.retain(|old| old.id.index != entry.id.index);
                state.entries.push(entry.clone());
            }
            state.entries.sort_by_key(|entry| entry.id.index);
        }
        WriteOp::Truncate(index) => {
            let (all, end) = (state.entries.len(), state.entries.last().map_or(state.base, |entry| entry.id));
            state.entries.retain(|entry| entry.id.index <= *index);
            // What it lacks already was not meant.
            let lacks = (end.ballot.round, end.index) < (state.held.ballot.round, state.held.index);
            if state.entries.len() < all && !lacks {
                state.held = state.entries.last().map_or(state.base, |entry| entry.id);
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

/// In few words, without the entries' content.
pub fn brief(model: &Model) -> String {
    let group = |(group, state): (&GroupId, &Recovered)| {
        let Recovered { promised, joined, base, held, .. } = state;
        let entries: Vec<_> = state.entries.iter().map(|entry| entry.id.to_string()).collect();
        format!(
            "\n{group}: promised {promised} joined {joined} base {base} held {held} {}",
            entries.join(" ")
        )
    };
    model.iter().map(group).collect()
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

/// Every file's content.
pub fn contents(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.list().unwrap().into_iter();
    files.map(|file| (file.clone(), disk.content(&file).unwrap())).collect()
}

/// How much of what had been durable was found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// All.
    Whole,
    /// Promises, and how far the log reached; and the log up to some entry.
    Less,
}

/// What was found around damage must be true: the same promises, the same last entry ever held, and of the
/// entries a prefix. What is named missing must be what is missing.
pub fn judge(wal: &Wal<MemoryDisk>, found: &Model, durable: &Model, at: &str) -> Outcome {
    let mut outcome = Outcome::Whole;
    assert!(found.keys().eq(durable.keys()), "{at}");
    for (group, state) in durable {
        let seen = &found[group];
        let exact = |state: &Recovered| (state.promised, state.joined, state.base);
        assert_eq!(exact(seen), exact(state), "{at}");
        if is_put(*group) {
            let missing = wal.missing().iter().any(|missing| missing.group == *group && missing.stale);
            outcome = outcome.max(judge_slots(seen, state, at));
            assert_eq!(missing, seen.held != state.held, "{at}");
            continue;
        }
        assert_eq!(seen.held, state.held, "{at}");
        let prefix = state.entries.get(..seen.entries.len());
        assert_eq!(prefix, Some(&seen.entries[..]), "not a prefix {at}");
        let lost = state.entries.get(seen.entries.len()).map(|entry| entry.id.index);
        let missing = wal.missing().iter().find(|missing| missing.group == *group);
        assert_eq!(missing.map(|missing| missing.first), lost, "{at}");
        if let Some(missing) = missing {
            assert_eq!(Some(missing.last), state.entries.last().map(|entry| entry.id.index), "{at}");
            assert!(!wal.damage().is_empty(), "{at}");
            outcome = Outcome::Less;
        }
    }
    outcome
}

/// Of a log that is written slot by slot: what was found was there once, and what is not as it was is answered for.
pub fn judge_slots(seen: &Recovered, state: &Recovered, at: &str) -> Outcome {
    let slot =
        |state: &Recovered, index: Index| state.entries.iter().find(|entry| entry.id.index == index).cloned();
    assert!(seen.held.ballot >= state.held.ballot && seen.held.index >= state.held.index, "{at}");
    for entry in &seen.entries {
        let now =
            slot(state, entry.id.index).unwrap_or_else(|| panic!("slot {} was never put {at}", entry.id));
        assert!(entry.id.ballot <= now.id.ballot, "{} is newer than {} {at}", entry.id, now.id);
        assert!(entry.id.ballot < now.id.ballot || *entry == now, "another {} {at}", entry.id);
    }
    for entry in &state.entries {
        let covered = entry.id.ballot <= seen.held.ballot && entry.id.index <= seen.held.index;
        let found = slot(seen, entry.id.index);
        assert!(found.as_ref() == Some(entry) || covered, "{} denied, held {} {at}", entry.id, seen.held);
    }
    if seen.entries == state.entries { Outcome::Whole } else { Outcome::Less }
}

/// Append what is missing, as a replica does that gets it from its peers, a few entries at a time.
pub fn refill(wal: &mut Wal<MemoryDisk>, found: &Model, durable: &Model) {
    for (group, state) in durable {
        if is_put(*group) {
            wal.append(*group, &[WriteOp::Put(state.entries.clone())]).unwrap();
            wal.commit().unwrap();
            continue;
        }
        for entries in state.entries[found[group].entries.len()..].chunks(2) {
            wal.append(*group, &[WriteOp::Append(entries.to_vec())]).unwrap();
            wal.commit().unwrap();
        }
    }
}

/// The log must be refused, and opening must have changed nothing.
pub fn refused(disk: &MemoryDisk) -> (String, u64, u64, String) {
    let before = contents(disk);
    match open(disk).map(|(_, found)| found) {
        Err(WalError::Damaged { file, offset, sequence, why }) => {
            assert_eq!(contents(disk), before, "a refused log is left as it is");
            (file, offset, sequence, why)
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// The log must be read around its damage; what is said of it, and how much of `durable` is found. What is
/// missing can be appended again, and then all is there, at once and after one more start.
pub fn around(disk: &MemoryDisk, durable: &Model) -> (String, Outcome) {
    let (mut wal, found) = open(disk).unwrap();
    let said: Vec<String> = wal.damage().iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    let outcome = judge(&wal, &found, durable, &said);
    refill(&mut wal, &found, durable);
    drop(wal);
    let (wal, found) = open(disk).unwrap();
    assert_eq!(&found, durable, "after the refill of {said}");
    assert!(wal.missing().is_empty());
    (said, outcome)
}

/// A log over several segments with two groups, a purge, a reset and entries replaced; what it holds before
/// and after its last frame.
pub fn long_log() -> (MemoryDisk, Model, Model) {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let mut before = model.clone();
    let mut index = 0;
    while wal.position().segment < 4 {
        index += 1;
        before = model.clone();
        let mut ops = vec![append(1, index..=index, 300)];
        match index {
            4 => ops.push(purge(1, 2)),
            7 => ops = vec![append(2, 6..=7, 20)],
            _ => {}
        }
        let other = if index == 6 { reset(2, 7) } else { promise(index) };
        for (group, ops) in [(1, ops), (2, vec![other])] {
            wal.append(group, &ops).unwrap();
            ops.iter().for_each(|op| apply(&mut model, group, op));
        }
        wal.commit().unwrap();
    }
    (disk, before, model)
}
