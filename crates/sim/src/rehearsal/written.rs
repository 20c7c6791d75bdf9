//! Copies that are written to: by many groups, in both forms of a log, until the disk is full.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, NodeId, Random, Recovered, WriteOp};
use quorate_wal::{GroupId, MemoryDisk, Operation, Verdict, Wal, WalError};

use super::{Rehearsal, SECTOR, STRANGERS, Wrong, segment};

impl Rehearsal<'_> {
    /// Many groups, large frames; then a frame is lost, or the log ends anyhow.
    pub(super) fn crowd(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let Ok((mut wal, groups)) = self.open(copy) else { return Ok("nothing") };
        let crowd = dice.between(50, 110) as u32;
        let mut promises = BTreeMap::new();
        let mut places = Vec::new();
        for round in 1..dice.between(6, 40) {
            let few = dice.percent(80);
            let first = dice.below(u64::from(crowd)) as u32;
            let told: Vec<u32> = if few { vec![first] } else { (0..crowd).collect() };
            let mut frame: Vec<_> = told.iter().map(|group| meta(STRANGERS + group, round)).collect();
            if dice.percent(10) {
                let bytes = dice.between(1, 2 * self.options.segment_bytes) as usize;
                frame.push((STRANGERS + crowd, large(round, bytes)));
            }
            places.push((wal.position().segment, wal.position().offset));
            commit(&mut wal, &frame)?;
            promises.extend(told.iter().map(|group| (STRANGERS + group, round)));
            if wal.wants_next() && dice.percent(40) {
                wal.prepare_next().map_err(|error| error.to_string())?;
            }
        }
        if wal.size_bytes() < wal.segment_count() as u64 * SECTOR || wal.metrics().commits == 0 {
            return Err(format!("no log is so small: {:?}", wal.metrics()));
        }
        drop((wal, groups));
        let lost = dice.percent(60);
        if lost && places.len() > 2 {
            let (number, offset) = places[dice.below(places.len() as u64 - 2) as usize];
            copy.flip(&segment(number), offset + dice.below(200), 1);
        }
        match self.judge(copy)? {
            Ok((_, found)) => {
                let promised = |group| found.get(group).map_or(0, |state: &Recovered| state.promised.round);
                let denied = promises.iter().find(|(group, round)| promised(group) != **round);
                denied.map_or(Ok("crowd"), |(group, round)| {
                    Err(format!("group {group} finds promise {} and had {round} durable", promised(group)))
                })
            }
            Err(error) if !lost && !self.harmed => Err(format!("a whole log: {error}")),
            Err(_) => Ok("crowd"),
        }
    }

    /// A log of each form, written in all ways there are, and asked for what could not be read back; then a frame is lost
    /// or none.
    pub(super) fn forms(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        let Ok((mut wal, _)) = self.open(copy) else { return Ok("nothing") };
        let (dense, slots) = (STRANGERS, STRANGERS + 1);
        let joined = WriteOp::Meta { promised: ballot(9), joined: ballot(8) };
        let frames = [
            (dense, WriteOp::Append(entries(3, &[1, 2, 3, 4, 5]))),
            (slots, WriteOp::Put(entries(3, &[2, 3, 7]))),
            (dense, joined.clone()),
            (dense, WriteOp::Truncate(Index(3))),
            (slots, joined),
            (slots, WriteOp::Put(entries(5, &[3, 9]))),
            (dense, WriteOp::Purge { id: LogId { ballot: ballot(3), index: Index(1) } }),
            (dense, WriteOp::Truncate(Index(8))),
        ];
        let mut places = Vec::new();
        for frame in frames {
            places.push((wal.position().segment, wal.position().offset));
            commit(&mut wal, &[frame])?;
        }
        for (group, op) in [
            (dense, WriteOp::Append(entries(9, &[9]))),
            (dense, WriteOp::Append(entries(9, &[4, 6]))),
            (dense, WriteOp::Truncate(Index(0))),
            (dense, WriteOp::Put(entries(9, &[4]))),
            (slots, WriteOp::Append(entries(9, &[10]))),
            (slots, WriteOp::Put(entries(9, &[0]))),
            (slots, WriteOp::Put(entries(9, &[5, 5]))),
        ] {
            let refused = wal.append(group, &[op]);
            let Err(WalError::Refused { .. }) = refused else {
                return Err(format!("taken, although it could not be read back: {refused:?}"));
            };
        }
        drop(wal);
        let lost = dice.percent(70);
        if lost {
            let (number, offset) = places[dice.below(places.len() as u64 - 1) as usize];
            copy.flip(&segment(number), offset + dice.below(240), 1);
        }
        let Ok((_, found)) = self.judge(copy)? else {
            return if lost || self.harmed { Ok("forms") } else { Err("a whole log is refused".into()) };
        };
        let ends = |group| {
            found.get(&group).map(|state: &Recovered| (state.joined, state.entries.len(), state.held))
        };
        let (dense, slots) = (ends(dense), ends(slots));
        let kept = LogId { ballot: ballot(3), index: Index(3) };
        let exact = dense == Some((ballot(8), 2, kept)) && slots == Some((ballot(8), 4, LogId::default()));
        let joined =
            |end: Option<(Ballot, usize, LogId)>| end.is_some_and(|(joined, ..)| joined == ballot(8));
        match joined(dense) && joined(slots) && (exact || lost) {
            true => Ok("forms"),
            false => Err(format!("two logs come back as {dense:?} and {slots:?}")),
        }
    }

    /// The disk is full, at any moment.
    pub(super) fn fill(&self, copy: &MemoryDisk, dice: &mut Random) -> Result<&'static str, Wrong> {
        use Operation::{Allocate, Create, Rename, Sync, SyncDir, Write};
        let Ok((mut wal, _)) = self.open(copy) else { return Ok("nothing") };
        let operation = [Allocate, Create, Rename, Sync, SyncDir, Write][dice.below(6) as usize];
        copy.strike(operation, dice.below(6), Verdict::NoSpace);
        let mut failed = None;
        for round in 1..20 {
            let bytes = dice.between(1, self.options.segment_bytes) as usize;
            let done = wal.append(STRANGERS, &[large(round, bytes)]).and_then(|()| wal.commit());
            let ready = if dice.percent(20) { wal.prepare_next() } else { Ok(()) };
            failed = failed.or(done.err());
            if let Some(error) = &failed {
                // It stays so, for ever.
                let again = wal.commit().err().map(|error| error.to_string());
                if again != Some(error.to_string()) || !matches!(error, WalError::NoSpace { .. }) {
                    return Err(format!("a full disk: {error}, then {again:?}"));
                }
                break;
            }
            if let Err(error) = ready
                && !matches!(error, WalError::NoSpace { .. })
            {
                return Err(format!("a full disk: {error}"));
            }
        }
        drop(wal);
        copy.clear_hook();
        match self.judge(copy)? {
            Err(error) if !self.harmed => Err(format!("after a full disk: {error}")),
            _ => Ok("full"),
        }
    }
}

fn ballot(round: u64) -> Ballot {
    Ballot { round, node: NodeId(1) }
}

/// A promise of a group.
pub(super) fn meta(group: GroupId, round: u64) -> (GroupId, WriteOp) {
    (group, WriteOp::Meta { promised: ballot(round), joined: Ballot::default() })
}

/// Entries of one ballot at these places.
fn entries(round: u64, places: &[u64]) -> Vec<Entry> {
    let id = |at: &u64| LogId { ballot: ballot(round), index: Index(*at) };
    places.iter().map(|at| Entry { id: id(at), kind: EntryKind::Noop, data: Bytes::new() }).collect()
}

/// An entry of so many bytes.
fn large(round: u64, bytes: usize) -> WriteOp {
    let id = LogId { ballot: ballot(round), index: Index(1) };
    WriteOp::Append(vec![Entry { id, kind: EntryKind::Command, data: Bytes::from(vec![7; bytes]) }])
}

pub(super) fn commit(wal: &mut Wal<MemoryDisk>, frame: &[(GroupId, WriteOp)]) -> Result<(), Wrong> {
    let appended = frame.iter().try_for_each(|(group, op)| wal.append(*group, std::slice::from_ref(op)));
    appended.and_then(|()| wal.commit()).map_err(|error| format!("a copy that takes no writes: {error}"))
}
