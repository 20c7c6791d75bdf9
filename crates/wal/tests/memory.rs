//! What the disk in memory can do to a log, seen from below.

use bytes::Bytes;
use quorate_wal::{Disk, DiskFile, MemoryDisk, Operation, Verdict};

/// A disk with one file of three sectors, all durable.
fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let file = disk.create("f").unwrap();
    file.write_at(&[Bytes::from(vec![7; 1536])], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    disk
}

fn can_read(disk: &MemoryDisk, offset: u64, len: usize) -> bool {
    let mut buffer = vec![0; len];
    let read = disk.open("f").unwrap().read_at(&mut buffer, offset);
    if let Err(error) = &read {
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
    }
    read.is_ok()
}

#[test]
fn spoilt_sectors_cannot_be_read_until_they_are_written() {
    let disk = disk();
    assert!(disk.spoil("f", 600..601));
    assert!(!disk.spoil("f", 1536..1600) && !disk.spoil("g", 0..1));
    let readable = |disk: &MemoryDisk| {
        [(0, 512), (1024, 512), (511, 2), (600, 1), (0, 1536)].map(|(at, len)| can_read(disk, at, len))
    };
    assert_eq!(readable(&disk), [true, true, false, false, false]);
    disk.crash(|_| 0);
    assert_eq!(readable(&disk), [true, true, false, false, false], "it takes more than a new start");
    let copy = disk.duplicate();
    disk.open("f").unwrap().write_at(&[Bytes::from_static(&[1])], 512).unwrap();
    assert_eq!(readable(&disk), [true; 5]);
    assert_eq!(readable(&copy), [true, true, false, false, false]);
}

#[test]
fn places_to_do_damage_to_are_listed() {
    let disk = disk();
    disk.create("e").unwrap();
    disk.set_hook(|operation, _, _| panic!("{operation:?}"));
    assert_eq!(disk.sizes(), [("e".to_owned(), 0), ("f".to_owned(), 1536)]);
    assert!(disk.flip("f", 1535, 0) && !disk.flip("f", 1536, 0) && !disk.flip("g", 0, 0));
    assert_eq!(disk.content("f").unwrap()[1535], 6);
}

#[test]
fn a_lost_and_a_misdirected_write_are_acknowledged() {
    let disk = disk();
    let file = disk.open("f").unwrap();
    for (verdict, expected) in [(Verdict::Lose, [7, 7]), (Verdict::Misdirect(512), [7, 9])] {
        disk.strike(Operation::Write, 0, verdict);
        file.write_at(&[Bytes::from_static(&[9])], 0).unwrap();
        file.sync().unwrap();
        let content = disk.content("f").unwrap();
        assert_eq!([content[0], content[512]], expected);
    }
}
