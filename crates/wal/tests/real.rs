//! The same log on the disk of this machine.

mod common;

use common::*;
use quorate_wal::{Disk, DiskFile, Options, RealDisk, Wal, WalError};

#[test]
fn a_log_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/with/parents");
    let mut model = Model::new();
    for life in 0..3u64 {
        let disk = RealDisk::open(&path).unwrap();
        let (mut wal, found) = open(&disk).unwrap();
        assert_eq!(found, model);
        let preparer = wal.preparer();
        for step in 1..=40 {
            let index = life * 40 + step;
            let mut ops = vec![promise(index), append(1, index..=index + 1, 200 * step as usize)];
            if step == 30 {
                ops.push(purge(1, index - 10));
            }
            wal.append(1, &ops).unwrap();
            ops.iter().for_each(|op| apply(&mut model, 1, op));
            wal.commit().unwrap();
            if wal.wants_next() {
                let preparer = preparer.clone();
                std::thread::spawn(move || preparer.prepare_next().unwrap());
            }
        }
        wal.seal().unwrap();
        // A background thread may still hold the lock for a moment.
        drop((wal, preparer, disk));
        for _ in 0..1000 {
            match RealDisk::open(&path) {
                Ok(_) => break,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
    }
    assert_eq!(found(&RealDisk::open(&path).unwrap()).unwrap(), model);
}

#[test]
fn a_directory_belongs_to_one_node_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = RealDisk::open(dir.path()).unwrap();
    let error = RealDisk::open(dir.path()).unwrap_err();
    assert!(matches!(error, WalError::Locked { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory {} is in use by another node: stop that node first, or give this one a \
             data directory of its own",
            dir.path().display()
        )
    );
    let (wal, _) = open(&first).unwrap();
    drop(first);
    assert!(RealDisk::open(dir.path()).is_err(), "the log holds the lock too");
    drop(wal);
    RealDisk::open(dir.path()).unwrap();
}

#[test]
fn a_segment_is_allocated_and_zero_filled() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    let options = Options { segment_bytes: 5 << 20, spares: 0 };
    let (wal, _) = Wal::open(disk.clone(), options, &identity()).unwrap();
    wal.prepare_next().unwrap();
    for number in 1..=2 {
        let meta = std::fs::metadata(dir.path().join(format!("wal-{number:016x}.log"))).unwrap();
        assert_eq!(meta.len(), 5 << 20);
        assert!(meta.blocks() * 512 >= 5 << 20, "no holes");
    }
    let content = std::fs::read(dir.path().join("wal-0000000000000002.log")).unwrap();
    assert!(content.iter().all(|byte| *byte == 0));
}

#[test]
fn a_write_of_more_pieces_than_one_call_takes_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    let file = disk.create("pieces").unwrap();
    let pieces: Vec<bytes::Bytes> =
        (0..3000u32).map(|n| n.to_le_bytes().repeat((n % 5) as usize).into()).collect();
    file.write_at(&pieces, 100).unwrap();
    let whole = pieces.concat();
    let mut read = vec![0; whole.len()];
    file.read_at(&mut read, 100).unwrap();
    assert_eq!(read, whole);
    assert_eq!(file.size().unwrap(), 100 + whole.len() as u64);
    assert!(file.read_at(&mut [0; 2], 99 + whole.len() as u64).is_err(), "beyond the end");
}

#[test]
fn a_file_cut_short_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[append(1, 1..=1, 100)]).unwrap();
    wal.commit().unwrap();
    drop(wal);
    let file =
        std::fs::File::options().write(true).open(dir.path().join("wal-0000000000000001.log")).unwrap();
    file.set_len(512).unwrap();
    let text = found(&disk).unwrap_err().to_string();
    assert!(text.contains("the file has 512 bytes and should have 4096"), "{text}");
}

#[test]
fn foreign_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), b"keep").unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    drop(open(&disk).unwrap());
    drop(open(&disk).unwrap());
    assert_eq!(std::fs::read(dir.path().join("notes.txt")).unwrap(), b"keep");
    assert!(dir.path().join("state").is_dir());
}
