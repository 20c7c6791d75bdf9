//! Damage, found again and again: it strikes, is read around, is refilled as a replica would, and strikes again,
//! with crashes, purges, resets and replaced entries in between.
//!
//! The model is the log as it would be on a perfect disk ([`World::truth`]), and what the replica has of it
//! ([`World::mine`]): until it has refilled what it lost, that is a prefix. What must hold at every start:
//! promise and last entry held as in truth, and of the entries a prefix of what the replica had, all of it
//! where nothing was struck. Of a log that is written slot by slot: entries that were there once, and what is not as it
//! was is within what the log says it held; that grows with damage only.

mod common;

use common::*;
use proptest::prelude::*;
use quorate_protocol::{Index, LogId, Recovered, WriteOp};
use quorate_wal::{MemoryDisk, Wal, WalError};

const GROUPS: [u32; 3] = [0, 1, PUT];

struct World {
    disk: MemoryDisk,
    wal: Option<Wal<MemoryDisk>>,
    /// What the replicas have, and what they would have with all that is buffered.
    mine: Model,
    ahead: Model,
    /// Entries that were lost, to be refilled from here.
    peers: Model,
    /// Flipped bits: file, byte, bit, and its sector's content since.
    scars: Vec<(String, u64, u8, Vec<u8>)>,
    choices: Choices,
    round: u64,
    healed: u64,
    strikes: u64,
    losses: u64,
    /// Losses of slots.
    stale: u64,
    refusals: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = MemoryDisk::new();
        let (wal, _) = open(&disk).unwrap();
        let empty = Model::new;
        World {
            disk,
            wal: Some(wal),
            mine: empty(),
            ahead: empty(),
            peers: empty(),
            scars: Vec::new(),
            choices: Choices(seed),
            round: 1,
            healed: 0,
            strikes: 0,
            losses: 0,
            stale: 0,
            refusals: 0,
        }
    }

    fn wal(&mut self) -> &mut Wal<MemoryDisk> {
        self.wal.as_mut().unwrap()
    }

    /// One operation that a replica would ask for: refill what was lost first, or go on.
    fn operation(&mut self, group: u32) -> WriteOp {
        self.round += 1;
        let (choices, round) = (&mut self.choices, self.round);
        let state = self.ahead.entry(group).or_default();
        let base = state.base.index.0;
        let last = state.entries.last().map_or(base, |entry| entry.id.index.0);
        let lost: Vec<_> = self.peers.get(&group).map_or(&[][..], |peer| &peer.entries[..]).to_vec();
        let refill = lost.iter().position(|entry| entry.id.index.0 == last + 1);
        if let Some(at) = refill
            && choices.below(3) > 0
        {
            let count = 1 + choices.below(3) as usize;
            return WriteOp::Append(lost[at..].iter().take(count).cloned().collect());
        }
        match choices.below(12) {
            0 => promise(round),
            1 => joins(round, choices.below(round)),
            2 if last > base => {
                let at = choices.below(state.entries.len() as u64) as usize;
                WriteOp::Purge { id: state.entries[at].id }
            }
            _ if is_put(group) => {
                let first = base + 1 + choices.below(last + 3 - base);
                let (step, count) = (1 + choices.below(3), 1 + choices.below(4));
                let bytes = [10, 60, 500, 1200][choices.below(4) as usize];
                put(round, (0..count).map(|nth| first + nth * step), bytes)
            }
            3 if choices.below(4) == 0 => reset(round, last + choices.below(5)),
            // What was refilled may be older than what came before; no protocol has such a log to cut.
            6 if choices.below(3) == 0 && state.entries.is_sorted_by_key(|entry| entry.id.ballot) => {
                truncate(base + choices.below(last + 2 - base))
            }
            4..=5 => {
                let from = base + 1 + choices.below(last + 1 - base);
                append(round, from..=from + choices.below(3), 30)
            }
            _ => {
                let bytes = [10, 60, 500, 1200][choices.below(4) as usize];
                append(round, last + 1..=last + 1 + choices.below(3), bytes)
            }
        }
    }

    fn append(&mut self) {
        let group = GROUPS[self.choices.below(GROUPS.len() as u64) as usize];
        for _ in 0..1 + self.choices.below(3) {
            let op = self.operation(group);
            apply(&mut self.ahead, group, &op);
            self.wal().append(group, &[op]).unwrap();
        }
    }

    fn commit(&mut self) {
        self.wal().commit().unwrap();
        self.mine = self.ahead.clone();
    }

    fn step(&mut self) {
        match self.choices.below(16) {
            0..=6 => self.append(),
            7..=11 => self.commit(),
            12 => self.wal().prepare_next().unwrap(),
            13 => self.crash(),
            14 if self.choices.below(2) == 0 => self.heal(),
            _ => self.strike(),
        }
    }

    /// Lose power, sealed or not, with a frame in flight or not.
    fn crash(&mut self) {
        match self.choices.below(3) {
            0 => self.wal().write().unwrap(),
            1 => self.wal().seal().unwrap(),
            _ => {}
        }
        self.wal = None;
        let choices = &mut self.choices;
        self.disk.crash(|n| choices.below(n));
        self.reopen(false);
    }

    /// Stop in order; then something becomes unreadable. Not the last frame together with its seal: nothing tells
    /// of a frame when both are gone.
    fn strike(&mut self) {
        self.commit();
        let op = promise(self.round);
        apply(&mut self.ahead, 0, &op);
        self.wal().append(0, &[op]).unwrap();
        self.commit();
        self.wal().seal().unwrap();
        let end = self.wal().position();
        let newest = format!("wal-{:016x}.log", end.segment);
        self.wal = None;
        self.strikes += 1;
        let sizes = self.disk.sizes();
        let places = 1 + self.choices.below(2);
        for nth in 0..places {
            let (file, size) = &sizes[self.choices.below(sizes.len() as u64) as usize];
            // The first may be anywhere.
            let size = if nth > 0 && *file == newest { end.offset - 512 } else { *size };
            let place = self.choices.below(size);
            match self.choices.below(4) {
                0 => {
                    let sectors = self.choices.below(4) * 512;
                    self.disk.spoil(file, place..place + sectors + 1);
                }
                1 => {
                    // A run of sectors.
                    for sector in 0..=self.choices.below(5) {
                        let offset = (place - place % 512) + sector * 512;
                        if *file != newest || offset + 512 < end.offset {
                            let byte = offset + self.choices.below(40);
                            self.flip(file, byte, 3);
                        }
                    }
                }
                _ => {
                    let bit = self.choices.below(8) as u8;
                    self.flip(file, place, bit);
                }
            }
        }
        let before = self.disk.duplicate();
        if let Err(error) = open(&self.disk) {
            assert!(matches!(error, WalError::Damaged { .. } | WalError::Superblock { .. }), "{error}");
            assert_eq!(contents(&self.disk), contents(&before), "a refused log is left as it is");
            self.replace();
            return;
        }
        self.disk = before;
        self.reopen(true);
    }

    fn flip(&mut self, file: &str, byte: u64, bit: u8) {
        if self.disk.flip(file, byte, bit) {
            let sector = self.sector(file, byte).unwrap();
            self.scars.push((file.to_owned(), byte, bit, sector));
        }
    }

    fn sector(&self, file: &str, byte: u64) -> Option<Vec<u8>> {
        let content = self.disk.content(file)?;
        Some(content.chunks(512).nth(byte as usize / 512)?.to_vec())
    }

    /// What was damaged can be read again: what was made of it meanwhile stays.
    fn heal(&mut self) {
        self.commit();
        self.wal().seal().unwrap();
        self.wal = None;
        for (file, byte, bit, sector) in std::mem::take(&mut self.scars).into_iter().rev() {
            let unchanged = self.sector(&file, byte).is_some_and(|now| now == sector);
            self.healed += u64::from(unchanged && self.disk.flip(&file, byte, bit));
        }
        // Of slots, what can be read again is newer than what was read instead, and had been answered for.
        let (wal, found) = open(&self.disk.duplicate()).unwrap();
        drop(wal);
        for (group, seen) in found.iter().filter(|(group, _)| is_put(**group)) {
            let had = self.mine.insert(*group, seen.clone()).unwrap_or_default();
            assert_eq!(seen.held, had.held, "held stays");
            judge_slots(&had, seen, "healed");
        }
        self.ahead = self.mine.clone();
        self.reopen(false);
    }

    /// With more than can be read around the disk is replaced.
    fn replace(&mut self) {
        self.refusals += 1;
        *self = World {
            strikes: self.strikes,
            healed: self.healed,
            losses: self.losses,
            stale: self.stale,
            refusals: self.refusals,
            round: self.round,
            ..World::new(self.choices.below(u64::MAX))
        };
    }

    fn reopen(&mut self, struck: bool) {
        let (wal, mut found) = match open(&self.disk) {
            Ok(opened) => opened,
            Err(WalError::Damaged { why, .. }) if why == "the device cannot read what the log ends with" => {
                return self.replace();
            }
            Err(error) => panic!("{error}"),
        };
        for model in [&mut found, &mut self.mine, &mut self.ahead] {
            for group in GROUPS {
                model.entry(group).or_default();
            }
        }
        if !struck {
            // All or nothing of the frame in flight.
            if found != self.mine {
                let (seen, mine, ahead) = (brief(&found), brief(&self.mine), brief(&self.ahead));
                assert!(found == self.ahead, "found {seen}\nneither {mine}\nnor {ahead}");
            }
        } else {
            self.judge(&found);
        }
        self.mine = found.clone();
        self.ahead = found;
        self.wal = Some(wal);
    }

    fn judge(&mut self, found: &Model) {
        for (group, had) in self.mine.clone() {
            let seen = &found[&group];
            let exact = |state: &Recovered| (state.promised, state.joined, state.base);
            assert_eq!(exact(seen), exact(&had));
            if is_put(group) {
                self.stale += u64::from(judge_slots(seen, &had, "") == Outcome::Less);
                continue;
            }
            assert_eq!(seen.held, had.held);
            assert_eq!(had.entries.get(..seen.entries.len()), Some(&seen.entries[..]), "not a prefix");
            if seen.entries.len() < had.entries.len() {
                self.losses += 1;
                self.peers.insert(group, had);
            }
        }
    }
}

/// Whether two logs agree on what was ever held.
fn rank(id: LogId) -> (u64, Index) {
    (id.ballot.round, id.index)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_around_damage_is_true(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
            for (_, state) in world.mine.iter().filter(|(group, _)| !is_put(**group)) {
                let last = state.entries.last();
                prop_assert!(last.is_none_or(|last| rank(state.held) >= rank(last.id)));
            }
        }
    }
}

#[test]
fn the_worlds_reach_what_they_are_meant_to_reach() {
    let (mut strikes, mut losses, mut refusals, mut kept, mut healed, mut stale) = (0, 0, 0, 0, 0, 0);
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            world.step();
            kept += u64::from(world.wal.as_ref().unwrap().damage().len() > 1);
        }
        strikes += world.strikes;
        losses += world.losses;
        stale += world.stale;
        refusals += world.refusals;
        healed += world.healed;
    }
    assert!(strikes > 500 && losses > 100 && kept > 500, "{strikes} {losses} {refusals} {kept}");
    assert!(healed > 100 && stale > 100, "{healed} {stale}");
    assert!(refusals < strikes / 5, "{refusals} of {strikes}");
}
