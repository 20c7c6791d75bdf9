//! Sectors that the device cannot read are damage like any other.

mod common;

use common::*;
use quorate_protocol::LogId;
use quorate_wal::{MemoryDisk, Operation, Verdict, Wal, WalError};
use std::collections::BTreeMap;

/// A log over several segments and what it holds.
fn log(sealed: bool) -> (MemoryDisk, Model) {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    for index in 1..=14 {
        let ops = [append(1, index..=index, 280), promise(index)];
        wal.append(1, &ops).unwrap();
        ops.iter().for_each(|op| apply(&mut model, 1, op));
        wal.commit().unwrap();
    }
    assert_eq!((wal.position().segment, wal.position().offset), (3, 1536));
    if sealed {
        wal.seal().unwrap();
    }
    (disk, model)
}

#[test]
fn any_unreadable_sector_of_a_sealed_log_is_read_around() {
    let (disk, model) = log(true);

    let (mut whole, mut less) = (0, 0);
    for (file, size) in disk.sizes() {
        for offset in (0..size).step_by(512) {
            let copy = disk.duplicate();
            assert!(copy.spoil(&file, offset..offset + 1));
            let at = format!("{file} {offset}");
            let (mut wal, found) = match open(&copy) {
                Ok(opened) => opened,
                // Without its seal, the log may as well go on in that sector.
                Err(WalError::Damaged { why, .. }) => {
                    assert_eq!((offset, file.contains('3')), (1536, true), "{why} {at}");
                    assert_eq!(why, "the device cannot read what the log ends with");
                    continue;
                }
                Err(error) => panic!("{error} {at}"),
            };
            match judge(&wal, &found, &model, &at) {
                Outcome::Whole => whole += 1,
                Outcome::Less => less += 1,
            }
            assert_eq!(
                wal.damage().iter().any(|damage| damage.why.contains("the device cannot read it")),
                !wal.damage().is_empty() && file.contains("wal"),
                "{at}"
            );
            refill(&mut wal, &found, &model);
            drop(wal);
            assert_eq!(common::found(&copy).unwrap(), model, "{at}");
        }
    }
    assert!(whole >= 5 && less > 10, "{whole} {less}");
}

#[test]
fn without_a_seal_an_unreadable_end_is_no_end() {
    let (disk, model) = log(false);
    let copy = disk.duplicate();
    assert_eq!(found(&copy).unwrap(), model);
    let (last, _) = disk.sizes().pop().unwrap();
    assert!(disk.spoil(&last, 4095..4096));
    let error = found(&disk).unwrap_err().to_string();
    assert!(error.contains("the device cannot read what the log ends with"), "{error}");
    assert!(error.contains("--replace-lost-disk"), "{error}");
}

#[test]
fn an_error_that_passes_is_no_damage() {
    let (disk, model) = log(true);
    for nth in 0..9 {
        disk.strike(Operation::Read, nth, Verdict::IoError);
        match open(&disk) {
            Ok((wal, found)) => {
                assert_eq!(found, model);
                assert!(wal.damage().iter().all(|damage| damage.file.contains("superblock")));
            }
            Err(error) => assert!(matches!(error, WalError::Io { .. }), "{error}"),
        }
        disk.clear_hook();
    }
}

#[test]
fn what_the_state_machine_has_is_not_missed() {
    let (disk, model) = log(true);
    // Entries 4 to 6 are in the frames at 2048 and after of the first segment, and the first of the second.
    assert!(disk.flip("wal-0000000000000001.log", 2048 + 200, 0));
    let held = model[&1].held;
    for applied in 0..=16u64 {
        let copy = disk.duplicate();
        let at = |wal: &Wal<MemoryDisk>| wal.missing().first().map(|missing| missing.first.0);
        let states = BTreeMap::from([(1, if applied == 0 { LogId::default() } else { id(1, applied) })]);
        let (wal, found) = Wal::open_at(copy.clone(), OPTIONS, &identity(), &states).unwrap();
        let lost = at(&wal);
        drop(wal);
        let entries = &found[&1].entries;
        assert_eq!((found[&1].promised, wal_damage(&copy)), (model[&1].promised, 1));
        match lost {
            Some(first) => {
                assert!(applied < first, "{applied} {first}");
                assert_eq!(entries[..], model[&1].entries[..first as usize - 1]);
            }
            None => {
                assert!(applied >= 3, "{applied}");
                assert_eq!(entries[..], model[&1].entries[(applied as usize).min(14)..]);
                assert_eq!(found[&1].base, id(1, applied));
                // The next start need not be told again.
                assert_eq!(common::found(&copy).unwrap()[&1].entries, *entries);
            }
        }
        assert_eq!(found[&1].held, if applied > 14 { id(1, applied) } else { held });
        // And the log goes on from there.
        let (mut wal, found) = open(&copy).unwrap();
        let next = found[&1].base.index.0 + found[&1].entries.len() as u64 + 1;
        wal.append(1, &[append(2, next..=next, 10)]).unwrap();
        wal.commit().unwrap();
        drop(wal);
        assert_eq!(common::found(&copy).unwrap()[&1].held, id(2, next));
    }
}

/// How many places of the log are damaged.
fn wal_damage(disk: &MemoryDisk) -> usize {
    open(&disk.duplicate()).unwrap().0.damage().len()
}
