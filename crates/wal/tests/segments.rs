//! Segments come and go: made ahead, used again, removed; the log stays bounded.

mod common;

use common::*;
use quorate_wal::{Disk, MemoryDisk, Options, Wal};

fn segments(disk: &MemoryDisk) -> Vec<u64> {
    let number =
        |file: &String| u64::from_str_radix(file.strip_prefix("wal-")?.strip_suffix(".log")?, 16).ok();
    disk.list().unwrap().iter().filter_map(number).collect()
}

#[test]
fn purging_frees_the_oldest_segments_and_they_are_used_again() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let mut largest = 0;
    for index in 1..=400u64 {
        let mut ops = vec![append(1, index..=index, 300)];
        if index % 20 == 0 {
            ops.push(purge(1, index - 5));
        }
        wal.append(1, &ops).unwrap();
        ops.iter().for_each(|op| apply(&mut model, 1, op));
        wal.commit().unwrap();
        if wal.wants_next() {
            let recycled = wal.metrics().segments_recycled;
            wal.prepare_next().unwrap();
            let newest = segments(&disk).pop().unwrap();
            let content = disk.content(&format!("wal-{newest:016x}.log")).unwrap();
            let used_again = wal.metrics().segments_recycled > recycled;
            assert_eq!(
                content.iter().any(|byte| *byte != 0),
                used_again,
                "old bytes in a segment used again"
            );
        }
        largest = largest.max(segments(&disk).len());
        assert_eq!(wal.size_bytes(), segments(&disk).len() as u64 * OPTIONS.segment_bytes);
    }
    let metrics = wal.metrics();
    // Five frames fill a segment, twenty are kept, one is ready and one spare.
    assert!(largest <= 9, "{largest}");
    assert!(metrics.segments_recycled > 10 && metrics.segments_removed > 10, "{metrics:?}");
    assert_eq!(metrics.segments_waited_for, 0, "each was ready in time");
    assert_eq!(metrics.commits, 400);
    drop(wal);
    assert_eq!(found(&disk).unwrap(), model);
}

#[test]
fn a_segment_lives_as_long_as_any_group_needs_it() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let mut write = |wal: &mut Wal<MemoryDisk>, group, op| {
        wal.append(group, std::slice::from_ref(&op)).unwrap();
        apply(&mut model, group, &op);
        wal.commit().unwrap();
    };
    write(&mut wal, 2, append(1, 1..=3, 10));
    for index in 1..=40 {
        write(&mut wal, 1, append(1, index..=index, 300));
    }
    write(&mut wal, 1, purge(1, 40));
    let held = wal.segment_count();
    assert!(held > 5, "group 2 still needs its entries in segment 1: {held}");
    write(&mut wal, 2, reset(4, 2));
    assert_eq!(wal.segment_count(), 1, "a reset frees it");
    wal.prepare_next().unwrap();
    assert_eq!(segments(&disk).len(), 3, "current, next and one spare");
    drop(wal);
    assert_eq!(found(&disk).unwrap(), model);
}

#[test]
fn promises_and_bases_outlive_their_segments() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let setup = [(7, vec![promise(3)]), (8, vec![promise(4), reset(2, 100)])];
    for (group, ops) in setup {
        wal.append(group, &ops).unwrap();
        ops.iter().for_each(|op| apply(&mut model, group, op));
    }
    for index in 1..=60 {
        let ops = [append(1, index..=index, 300), purge(1, index)];
        wal.append(1, &ops).unwrap();
        ops.iter().for_each(|op| apply(&mut model, 1, op));
        wal.commit().unwrap();
        wal.prepare_next().unwrap();
    }
    drop(wal);
    assert!(segments(&disk)[0] > 5, "the segments with those frames are gone: {:?}", segments(&disk));
    assert_eq!(found(&disk).unwrap(), model);
}

#[test]
fn a_frame_longer_than_a_segment_gets_one_of_its_own() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    for (index, bytes) in [(1, 10), (2, 50_000), (3, 10), (4, 9_000), (5, 9_000)] {
        let op = append(1, index..=index, bytes);
        if index == 4 {
            wal.prepare_next().unwrap();
        }
        wal.append(1, std::slice::from_ref(&op)).unwrap();
        apply(&mut model, 1, &op);
        wal.commit().unwrap();
        wal.seal().unwrap();
    }
    assert_eq!(
        wal.size_bytes(),
        disk.list()
            .unwrap()
            .iter()
            .filter(|file| file.starts_with("wal"))
            .map(|file| { disk.content(file).unwrap().len() as u64 })
            .sum::<u64>()
    );
    drop(wal);
    assert_eq!(found(&disk).unwrap(), model);
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[purge(1, 5)]).unwrap();
    wal.commit().unwrap();
    wal.prepare_next().unwrap();
    assert!(
        wal.size_bytes() < 30_000,
        "segments of unusual length are removed, not kept: {}",
        wal.size_bytes()
    );
}

#[test]
fn another_segment_length_may_be_chosen_at_any_time() {
    let (disk, mut models) = small_log(3, true);
    for (step, segment_bytes) in [8192, 1, 5000].into_iter().enumerate() {
        let options = Options { segment_bytes, spares: 0 };
        let (mut wal, found) = Wal::open(disk.clone(), options, &identity()).unwrap();
        assert_eq!(found, models[3 + 10 * step]);
        for _ in 0..10 {
            let index = models.len() as u64;
            let op = append(1, index..=index, 700);
            wal.append(1, std::slice::from_ref(&op)).unwrap();
            wal.commit().unwrap();
            let mut model = models[models.len() - 1].clone();
            apply(&mut model, 1, &op);
            models.push(model);
        }
    }
    assert_eq!(found(&disk).unwrap(), models[33]);
}

#[test]
fn a_commit_is_one_write_and_one_sync() {
    use quorate_wal::{Operation, Verdict};
    use std::sync::{Arc, Mutex};
    let disk = MemoryDisk::new();
    let (mut wal, _) = Wal::open(disk.clone(), Options::default(), &identity()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    disk.set_hook(move |operation, _, _| {
        log.lock().unwrap().push(operation);
        Verdict::Pass
    });
    for group in 0..100 {
        wal.append(group, &[promise(1), append(1, 1..=3, 5000)]).unwrap();
    }
    assert!(seen.lock().unwrap().is_empty(), "appending touches nothing");
    wal.commit().unwrap();
    wal.commit().unwrap();
    wal.seal().unwrap();
    wal.seal().unwrap();
    assert_eq!(*seen.lock().unwrap(), [Operation::Write, Operation::Sync, Operation::Write]);
    let metrics = wal.metrics();
    assert_eq!((metrics.commits, metrics.seals), (1, 1));
    seen.lock().unwrap().clear();
    wal.prepare_next().unwrap();
    wal.prepare_next().unwrap();
    use Operation::{Allocate, Create, Open, Rename, Sync, SyncDir};
    assert_eq!(*seen.lock().unwrap(), [Create, Allocate, Sync, Rename, SyncDir, Open]);
    assert!(metrics.written_bytes > metrics.payload_bytes && metrics.payload_bytes > 1_500_000);
}

#[test]
fn a_segment_made_ready_and_never_begun_is_removed_at_open() {
    let (disk, models) = small_log(2, true);
    let (wal, _) = open(&disk).unwrap();
    wal.prepare_next().unwrap();
    drop(wal);
    disk.create("wal-next.tmp").unwrap();
    disk.create("superblock.tmp").unwrap();
    assert_eq!(disk.list().unwrap().len(), 6);
    assert_eq!(found(&disk).unwrap(), models[2]);
    assert_eq!(disk.list().unwrap(), ["superblock-a", "superblock-b", "wal-0000000000000001.log"]);
}
