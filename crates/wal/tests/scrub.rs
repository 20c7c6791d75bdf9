//! Damage is found by reading again what was written, before it is needed.

mod common;

use common::*;
use quorate_wal::{Damage, MemoryDisk, Operation, Verdict, Wal};

/// Go all the way round, and a bit more, in steps of so many bytes.
fn round(wal: &mut Wal<MemoryDisk>, step: u64) -> Vec<Damage> {
    let calls = 2 + wal.size_bytes() / step + wal.segment_count() as u64;
    (0..calls).flat_map(|_| wal.scrub(step).unwrap()).collect()
}

/// A log that runs on, over several segments.
fn running() -> (MemoryDisk, Wal<MemoryDisk>, u64) {
    let disk = MemoryDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    let mut index = 0;
    while wal.position().segment < 4 {
        index += 1;
        wal.append(1, &[append(1, index..=index, 300), promise(index)]).unwrap();
        wal.commit().unwrap();
    }
    wal.seal().unwrap();
    (disk, wal, index)
}

#[test]
fn a_healthy_log_is_found_healthy_while_it_goes_on() {
    let (_disk, mut wal, from) = running();
    for index in from + 1..from + 200 {
        let mut ops = vec![append(1, index..=index, 300)];
        if index.is_multiple_of(9) {
            ops.push(purge(1, index - 4));
        }
        wal.append(1, &ops).unwrap();
        wal.write().unwrap();
        assert_eq!(wal.scrub(700).unwrap(), [], "{index}");
        wal.commit().unwrap();
        assert_eq!(wal.scrub(index % 5 * 512).unwrap(), []);
        if index.is_multiple_of(7) {
            wal.seal().unwrap();
            wal.prepare_next().unwrap();
        }
    }
    let before = wal.metrics();
    assert_eq!(round(&mut wal, 512), []);
    assert!(wal.metrics().scrub_rounds > before.scrub_rounds);
    assert!(wal.metrics().scrubbed_bytes >= before.scrubbed_bytes + 512);
}

#[test]
fn no_more_is_read_than_asked_for() {
    let (disk, mut wal, _) = running();
    let reads = std::sync::Arc::new(std::sync::Mutex::new(0));
    let seen = reads.clone();
    disk.set_hook(move |operation, _, _| {
        *seen.lock().unwrap() += usize::from(operation == Operation::Read);
        Verdict::Pass
    });
    wal.scrub(512).unwrap();
    assert_eq!(*reads.lock().unwrap(), 2, "the file's size, and one sector");
    wal.scrub(3 * 512).unwrap();
    assert_eq!(*reads.lock().unwrap(), 4, "the size again, and a few sectors at once");
}

#[test]
fn every_damaged_frame_is_found_once_and_where_the_next_start_finds_it() {
    let (disk, wal, _) = running();
    drop(wal);
    let mut found = 0;
    for (file, size) in disk.sizes() {
        for offset in (0..size).step_by(512).filter(|_| file.starts_with("wal")) {
            for (byte, step) in [(16, 512), (50, 4096), (400, 1 << 20)] {
                let copy = disk.duplicate();
                let (mut wal, _) = open(&copy).unwrap();
                assert!(copy.flip(&file, offset + byte, 0));
                let told = round(&mut wal, step);
                assert_eq!(round(&mut wal, step), [], "told once");
                drop(wal);
                let (mut wal, _) = open(&copy).unwrap();
                // A start reads on behind a summary that it does not need; and before the oldest start frame it does
                // not know which one that is.
                let sequences = |all: &[Damage]| all.iter().map(|damage| damage.sequence).collect::<Vec<_>>();
                assert_eq!(
                    sequences(&told),
                    sequences(wal.damage()),
                    "{file} {offset} {byte}: {told:?} {:?}",
                    wal.damage()
                );
                assert_eq!(round(&mut wal, step), [], "known from the start");
                found += told.len();
            }
        }
    }
    assert!(found > 20, "{found}");
}

#[test]
fn unreadable_sectors_are_found() {
    let (disk, mut wal, _) = running();
    assert!(disk.spoil("wal-0000000000000002.log", 1000..1001));
    let told = round(&mut wal, 2048);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].file.as_str(), told[0].offset), ("memory/wal-0000000000000002.log", 512));
    assert_eq!(told, wal.damage());
}
