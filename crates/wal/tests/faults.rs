//! Every operation on the disk fails once, at every place where it occurs.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use quorate_wal::{Disk, MemoryDisk, Operation, Verdict, Wal, WalError};

const OPERATIONS: [Operation; 10] = [
    Operation::List,
    Operation::Create,
    Operation::Open,
    Operation::Rename,
    Operation::Remove,
    Operation::SyncDir,
    Operation::Read,
    Operation::Write,
    Operation::Allocate,
    Operation::Sync,
];

/// A node's life: open, write over several segments, purge so that segments are used again and removed,
/// seal, open again. Keeps `durable` at what has been acknowledged; `ahead` has what was being committed
/// when it failed.
fn life(disk: &MemoryDisk, durable: &mut Model, ahead: &mut Model) -> Result<(), WalError> {
    let (mut wal, found) = open(disk)?;
    assert_eq!(found, *durable);
    for index in 1..=60u64 {
        let mut ops = vec![append(1, index..=index, 300), promise(index)];
        if index % 25 == 0 {
            ops.push(purge(1, index - 2));
        }
        *ahead = durable.clone();
        ops.iter().for_each(|op| apply(ahead, 1, op));
        let outcome = step(&mut wal, &ops, index);
        if let Err(error) = outcome {
            poisoned_for_ever(disk, wal, &error);
            return Err(error);
        }
        *durable = ahead.clone();
        if index % 5 == 0 {
            wal.prepare_next()?;
        }
    }
    wal.seal()?;
    drop(wal);
    let (_, found) = open(disk)?;
    assert_eq!(found, *durable);
    Ok(())
}

fn step(wal: &mut Wal<MemoryDisk>, ops: &[quorate_protocol::WriteOp], index: u64) -> Result<(), WalError> {
    wal.append(1, ops)?;
    wal.commit()?;
    if index.is_multiple_of(7) {
        wal.seal()?;
    }
    Ok(())
}

/// Whatever is tried afterwards gives the same error and touches nothing.
fn poisoned_for_ever(disk: &MemoryDisk, mut wal: Wal<MemoryDisk>, error: &WalError) {
    let operations = Arc::new(AtomicU64::new(0));
    let seen = operations.clone();
    disk.set_hook(move |_, _, _| {
        seen.fetch_add(1, Ordering::Relaxed);
        Verdict::Pass
    });
    let text = error.to_string();
    assert_eq!(wal.append(1, &[promise(99)]).unwrap_err().to_string(), text);
    assert_eq!(wal.commit().unwrap_err().to_string(), text);
    assert_eq!(wal.seal().unwrap_err().to_string(), text);
    assert_eq!(wal.sync().unwrap_err().to_string(), text);
    assert_eq!(operations.load(Ordering::Relaxed), 0);
}

/// One life with one fault in it, then a crash, then one without. Whether the fault struck.
fn survives(operation: Operation, nth: u64, verdict: Verdict, pick: fn(u64) -> u64) -> Option<WalError> {
    let disk = MemoryDisk::new();
    let (mut durable, mut ahead) = (Model::new(), Model::new());
    if (operation, verdict) == (Operation::Read, Verdict::IoError) {
        // A sector that can be read when tried again is no failure.
        let mut left = nth;
        disk.set_hook(move |seen, _, _| match (seen, left) {
            (Operation::Read, 0) => Verdict::IoError,
            (Operation::Read, _) => {
                left -= 1;
                Verdict::Pass
            }
            _ => Verdict::Pass,
        });
    } else {
        disk.strike(operation, nth, verdict);
    }
    let error = life(&disk, &mut durable, &mut ahead).err();
    disk.clear_hook();
    if error.is_some() && verdict != Verdict::Halt {
        // The process ended and was started again, with the page cache as it was. What it finds now must stay.
        let now = found(&disk).unwrap();
        assert!(now == durable || now == ahead, "{operation:?} {nth} {verdict:?}");
        (durable, ahead) = (now.clone(), now);
    }
    disk.crash(pick);
    let at = format!("{operation:?} {nth} {verdict:?} {error:?}");
    let now = found(&disk).unwrap_or_else(|error| panic!("{error} after {at}"));
    if now != durable {
        assert_eq!(now, ahead, "{at}");
    }
    error
}

#[test]
fn every_operation_may_fail_anywhere() {
    for operation in OPERATIONS {
        for verdict in [Verdict::IoError, Verdict::NoSpace, Verdict::Short(700), Verdict::Halt] {
            if matches!(verdict, Verdict::Short(_)) && operation != Operation::Write {
                continue;
            }
            for pick in [|_| 0, |n| n - 1, |n| if n == 4 { 2 } else { 0 }] {
                let mut struck = 0;
                while let Some(error) = survives(operation, struck, verdict, pick) {
                    kind_fits(operation, verdict, &error);
                    struck += 1;
                }
                assert!(struck >= 2, "{operation:?} occurs {struck} times");
            }
        }
    }
}

fn kind_fits(operation: Operation, verdict: Verdict, error: &WalError) {
    let fits = match (verdict, operation) {
        (Verdict::NoSpace, _) => matches!(error, WalError::NoSpace { .. }),
        (_, Operation::Write) => matches!(error, WalError::Write { .. }),
        (Verdict::IoError, Operation::Read) => {
            matches!(error, WalError::Io { .. } | WalError::Damaged { .. } | WalError::Superblock { .. })
        }
        (_, Operation::Sync | Operation::SyncDir) => matches!(error, WalError::Sync { .. }),
        _ => matches!(error, WalError::Io { .. }),
    };
    assert!(fits, "{operation:?} {verdict:?} gave {error:?}");
}

#[test]
fn the_texts_say_what_to_do() {
    let (disk, models) = small_log(2, true);
    let fail = |operation, verdict| {
        let (mut wal, _) = open(&disk).unwrap();
        disk.strike(operation, 0, verdict);
        wal.append(1, &[append(1, 3..=3, 40)]).unwrap();
        let text = wal.commit().unwrap_err().to_string();
        disk.clear_hook();
        disk.crash(|_| 0);
        assert_eq!(found(&disk).unwrap(), models[2]);
        text
    };
    assert_eq!(
        fail(Operation::Sync, Verdict::IoError),
        "fsync failed on memory/wal-0000000000000001.log: Input/output error (os error 5); the kernel may \
         have dropped the data; this node stops so that it never acknowledges what is not durable; check \
         the disk, then restart"
    );
    assert_eq!(
        fail(Operation::Write, Verdict::Short(100)),
        "write failed on memory/wal-0000000000000001.log: Input/output error (os error 5); this node stops \
         so that it never acknowledges what is not durable; check the disk, then restart"
    );
    assert_eq!(
        fail(Operation::Write, Verdict::NoSpace),
        "no space left on the disk for memory/wal-0000000000000001.log; everything acknowledged is safe; \
         free some space on that disk, then start the node again"
    );
}

#[test]
fn a_full_disk_stops_the_log_and_harms_nothing() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    disk.set_capacity(3 * 4096 + 2 * 512);
    let mut index = 0;
    let error = loop {
        index += 1;
        let op = append(1, index..=index, 300);
        wal.append(1, std::slice::from_ref(&op)).unwrap();
        match wal.commit() {
            Ok(()) => apply(&mut model, 1, &op),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, WalError::NoSpace { file } if file.contains("wal-next.tmp")), "{error}");
    assert!(index > 15, "three segments were filled");
    assert!(!disk.list().unwrap().iter().any(|file| file.ends_with(".tmp")), "room is given back");
    drop(wal);
    assert_eq!(found(&disk).unwrap(), model, "still full, and readable");
    disk.set_capacity(u64::MAX);
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[append(1, index..=index, 300)]).unwrap();
    wal.commit().unwrap();
}

#[test]
fn a_full_disk_ahead_of_need_only_warns() {
    let (disk, _) = small_log(2, true);
    let (mut wal, _) = open(&disk).unwrap();
    disk.set_capacity(4096 + 1024);
    assert!(wal.wants_next());
    assert!(matches!(wal.prepare_next(), Err(WalError::NoSpace { .. })));
    wal.append(1, &[append(1, 3..=3, 40)]).unwrap();
    wal.commit().unwrap();
    disk.set_capacity(u64::MAX);
    wal.prepare_next().unwrap();
    assert!(!wal.wants_next());
}

#[test]
fn a_disk_too_full_to_make_a_change_of_names_durable_is_remembered_too() {
    let disk = MemoryDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    for index in 1..40 {
        wal.append(1, &[append(1, index..=index, 300), purge(1, index)]).unwrap();
        wal.commit().unwrap();
    }
    disk.strike(Operation::SyncDir, 0, Verdict::NoSpace);
    let error = wal.prepare_next().unwrap_err();
    assert!(matches!(error, WalError::NoSpace { .. }), "{error}");
    disk.clear_hook();
    // The old name is gone: doing it again would fail in a way that nobody understands.
    assert_eq!(wal.prepare_next().unwrap_err().to_string(), error.to_string());
    drop(wal);
    assert!(found(&disk).is_ok());
}

#[test]
fn a_failed_preparation_is_remembered() {
    let (disk, _) = small_log(2, true);
    let (wal, _) = open(&disk).unwrap();
    disk.strike(Operation::SyncDir, 0, Verdict::IoError);
    let first = wal.prepare_next().unwrap_err().to_string();
    assert!(first.starts_with("fsync failed on memory/"), "{first}");
    assert_eq!(wal.prepare_next().unwrap_err().to_string(), first);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let (dir, file) = (tempfile::tempdir().unwrap(), "plain");
    let path = dir.path().join(file);
    std::fs::write(&path, b"").unwrap();
    for path in [path.clone(), path.join("below")] {
        let text = quorate_wal::RealDisk::open(&path).unwrap_err().to_string();
        assert!(text.starts_with(&format!("cannot use the data directory {}", path.display())), "{text}");
        assert!(text.contains("check that it is a directory"), "{text}");
    }
}
