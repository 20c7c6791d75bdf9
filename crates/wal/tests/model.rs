//! The log against the obvious model, under every kind of crash.
//!
//! What must hold after a crash: everything committed is there; of the one frame that may have been in
//! flight, all or nothing; and once found, it stays (a crash right after recovery takes nothing back).

mod common;

use common::*;
use proptest::prelude::*;
use quorate_protocol::WriteOp;
use quorate_wal::{MemoryDisk, MemoryFile, Operation, Verdict, Wal, WalError};

/// Holds a log, the model of what is durable, and of what would be with all that is buffered.
struct World {
    disk: MemoryDisk,
    wal: Option<Wal<MemoryDisk>>,
    durable: Model,
    ahead: Model,
    choices: Choices,
    round: u64,
    crashes: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = MemoryDisk::new();
        let (durable, ahead) = (Model::new(), Model::new());
        let mut world =
            World { disk, wal: None, durable, ahead, choices: Choices(seed), round: 1, crashes: 0 };
        world.reopen();
        world
    }

    /// One random operation that a core could ask for.
    fn operation(&mut self, group: u32) -> WriteOp {
        let state = self.ahead.entry(group).or_default();
        let base = state.base.index.0;
        let last = state.entries.last().map_or(base, |entry| entry.id.index.0);
        self.round += 1;
        let round = self.round;
        match self.choices.below(10) {
            0 => promise(round),
            1 => joins(round, self.choices.below(round)),
            2 => purge(round, base + self.choices.below(last + 3 - base)),
            3 if self.choices.below(4) == 0 => reset(round, last + self.choices.below(5)),
            _ if is_put(group) => self.puts(base, last),
            4 => {
                let from = base + 1 + self.choices.below(last + 1 - base);
                append(round, from..=from + self.choices.below(3), 30)
            }
            5 => truncate(base + self.choices.below(last + 2 - base)),
            _ => {
                let bytes = [10, 60, 500, 1200, 6000][self.choices.below(5) as usize];
                append(round, last + 1..=last + 1 + self.choices.below(3), bytes)
            }
        }
    }

    /// A few slots, old and new, with holes between them.
    fn puts(&mut self, base: u64, last: u64) -> WriteOp {
        let first = base + 1 + self.choices.below(last + 4 - base);
        let (step, count) = (1 + self.choices.below(3), 1 + self.choices.below(4));
        let bytes = [10, 60, 500, 2000][self.choices.below(4) as usize];
        put(self.round, (0..count).map(|nth| first + nth * step), bytes)
    }

    fn append(&mut self) {
        let group = [0, 1, PUT, PUT + 1][self.choices.below(4) as usize];
        let mut ops = Vec::new();
        for _ in 0..1 + self.choices.below(3) {
            let op = self.operation(group);
            apply(&mut self.ahead, group, &op);
            ops.push(op);
        }
        self.wal.as_mut().unwrap().append(group, &ops).unwrap();
    }

    fn step(&mut self) {
        let choice = self.choices.below(20);
        match choice {
            0..=7 => self.append(),
            8..=14 => {
                self.wal.as_mut().unwrap().commit().unwrap();
                self.durable = self.ahead.clone();
            }
            15 => self.wal.as_mut().unwrap().seal().unwrap(),
            16 => self.wal.as_mut().unwrap().prepare_next().unwrap(),
            17 => {
                // Written, but the power fails before the sync returns.
                self.wal.as_mut().unwrap().write().unwrap();
                self.power_cut();
            }
            18 => {
                // The power fails anywhere within a commit, the change of a segment included.
                self.append();
                let after = self.choices.below(12);
                self.halt_after(after);
                match self.wal.as_mut().unwrap().commit() {
                    Ok(()) => self.durable = self.ahead.clone(),
                    Err(error) => assert!(error.to_string().contains("power"), "{error}"),
                }
                self.disk.clear_hook();
                self.power_cut();
            }
            _ => self.kill(),
        }
    }

    /// Killed, not crashed: nothing is lost, synced or not. But the power may fail while the next life
    /// reads the log.
    fn kill(&mut self) {
        if self.choices.below(2) == 0 {
            self.wal.as_mut().unwrap().write().unwrap();
        }
        self.wal = None;
        if self.choices.below(2) == 0 {
            self.reopen();
            return;
        }
        let after = 1 + self.choices.below(25);
        self.halt_after(after);
        let opened = open(&self.disk);
        self.disk.clear_hook();
        if let Ok((_, found)) = opened {
            self.judge(found);
        }
        self.power_cut();
    }

    fn halt_after(&mut self, operations: u64) {
        let mut left = operations;
        self.disk.set_hook(move |_, _, _| {
            left = left.saturating_sub(1);
            if left == 0 { Verdict::Halt } else { Verdict::Pass }
        });
    }

    fn power_cut(&mut self) {
        self.crashes += 1;
        self.wal = None;
        let choices = &mut self.choices;
        self.disk.crash(|n| choices.below(n));
        // And again in the middle of the recovery, now and then.
        while self.choices.below(3) == 0 {
            let after = 1 + self.choices.below(25);
            self.halt_after(after);
            let opened = open(&self.disk);
            self.disk.clear_hook();
            if let Ok((_, found)) = opened {
                self.judge(found);
            }
            let choices = &mut self.choices;
            self.disk.crash(|n| choices.below(n));
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        let (wal, found) = open(&self.disk).unwrap_or_else(|error| panic!("{error}\n{:?}", self.disk));
        self.wal = Some(wal);
        self.judge(found);
    }

    /// What was found is what was durable, or that and the whole frame in flight; from now on it is durable.
    fn judge(&mut self, mut found: Model) {
        for model in [&mut found, &mut self.durable, &mut self.ahead] {
            model.retain(|_, state| *state != Default::default());
        }
        if found != self.durable {
            let (seen, durable, ahead) = (brief(&found), brief(&self.durable), brief(&self.ahead));
            assert!(found == self.ahead, "found {seen}\nneither {durable}\nnor {ahead}");
        }
        self.durable = found.clone();
        self.ahead = found;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_was_committed_is_recovered(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
        }
    }
}

#[test]
fn the_worlds_reach_what_they_are_meant_to_reach() {
    let (mut crashes, mut recycled, mut removed, mut entries, mut holes) = (0, 0, 0, 0, 0);
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..150 {
            world.step();
            let metrics = world.wal.as_ref().unwrap().metrics();
            recycled = recycled.max(metrics.segments_recycled);
            removed = removed.max(metrics.segments_removed);
        }
        crashes += world.crashes;
        entries = entries.max(world.durable.values().map(|state| state.entries.len()).sum());
        let has_hole = |slots: &quorate_protocol::Recovered| {
            slots.entries.windows(2).any(|pair| pair[1].id.index > pair[0].id.index.next())
        };
        holes += usize::from(world.durable.get(&PUT).is_some_and(has_hole));
    }
    assert!(
        crashes > 200 && recycled > 0 && removed > 0 && entries > 10 && holes > 10,
        "{crashes} {recycled} {removed} {entries} {holes}"
    );
}

#[test]
fn the_same_choices_give_the_same_disk() {
    let run = |seed| {
        let mut world = World::new(seed);
        (0..200).for_each(|_| world.step());
        let files = quorate_wal::Disk::list(&world.disk).unwrap();
        files.into_iter().map(|file| (world.disk.content(&file), file)).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_frame_torn_in_any_way_is_dropped_whole() {
    // Six sectors, of which each is lost or kept: all 64 ways, and only one of them is the frame.
    let frame = append(1, 4..=4, 2700);
    for kept in 0..64u64 {
        let (disk, models) = small_log(3, true);
        let (mut wal, _) = open(&disk).unwrap();
        wal.append(1, std::slice::from_ref(&frame)).unwrap();
        wal.write().unwrap();
        drop(wal);
        let mut sector = 0;
        disk.crash(|n| {
            // The first question is what kind of crash it is to be: 2 is "each sector on its own".
            let answer = if n == 4 { 2 } else { (kept >> sector & 1) * (n - 1) };
            sector += u64::from(n != 4);
            answer
        });
        assert_eq!(sector, 6, "one question for each sector");
        let mut model = models[3].clone();
        if kept == 63 {
            apply(&mut model, 1, &frame);
        }
        assert_eq!(found(&disk).unwrap(), model, "kept {kept:06b}");
    }
}

#[test]
fn two_torn_frames_do_not_make_a_whole_one() {
    // The same large tail twice: of the first attempt the head reached the disk, of the second the tail.
    let frame = append(1, 4..=4, 2700);
    let (disk, models) = small_log(3, true);
    for kept in [0b000001u64, 0b111110] {
        let (mut wal, before) = open(&disk).unwrap();
        assert_eq!(before, models[3]);
        wal.append(1, std::slice::from_ref(&frame)).unwrap();
        wal.write().unwrap();
        drop(wal);
        let mut sector = 0;
        disk.crash(|n| {
            let answer = if n == 4 { 2 } else { (kept >> sector & 1) * (n - 1) };
            sector += u64::from(n != 4);
            answer
        });
    }
    assert_eq!(found(&disk).unwrap(), models[3]);
}

#[test]
fn what_was_read_back_after_a_kill_is_durable() {
    let (disk, models) = small_log(3, true);
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[append(1, 4..=4, 40)]).unwrap();
    wal.write().unwrap();
    drop(wal); // killed before the sync: the frame is in the page cache only
    let (wal, seen) = open(&disk).unwrap();
    assert_ne!(seen, models[3], "the frame is seen");
    drop(wal);
    disk.crash(|_| 0);
    assert_eq!(found(&disk).unwrap(), seen, "and what was seen stays");
}

#[test]
fn a_failed_sync_may_lose_what_a_later_one_seems_to_save() {
    use quorate_wal::{Disk, DiskFile};
    let disk = MemoryDisk::new();
    let file: MemoryFile = disk.create("f").unwrap();
    disk.sync_dir().unwrap();
    file.write_at(&[bytes::Bytes::from_static(b"abc")], 0).unwrap();
    disk.strike(Operation::Sync, 0, Verdict::IoError);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    disk.crash(|_| 0);
    assert_eq!(disk.content("f").unwrap(), b"\0\0\0", "the kernel had marked the page clean");
    assert!(file.sync().is_err(), "a file that was open at the crash is dead");
}

#[test]
fn nothing_appended_is_found_before_it_is_committed() {
    let (disk, models) = small_log(2, false);
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[append(1, 3..=3, 40)]).unwrap();
    assert!(!wal.is_idle() && wal.buffered_bytes() > 40);
    drop(wal);
    assert_eq!(found(&disk).unwrap(), models[2]);
}

#[test]
fn a_write_that_could_not_be_read_back_is_refused() {
    let disk = MemoryDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[append(1, 1..=2, 10)]).unwrap();
    let refused = wal.append(1, &[promise(9), append(1, 4..=4, 10)]).unwrap_err();
    assert!(matches!(refused, WalError::Refused { group: 1, .. }));
    assert_eq!(
        refused.to_string(),
        "group 1 asked to append from index 4, with its log from 1 to 2: refused, since the log could not \
         be read back"
    );
    wal.append(1, &[append(1, 3..=3, 10)]).unwrap();
    wal.commit().unwrap();
    assert!(
        wal.append(1, &[put(2, [2, 3], 10)]).unwrap_err().to_string().contains("entries that were appended")
    );
    drop(wal);
    let found = found(&disk).unwrap();
    assert_eq!((found[&1].entries.len(), found[&1].promised.round), (3, 0), "the refused call left nothing");
}
