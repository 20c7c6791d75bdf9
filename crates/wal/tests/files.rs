//! Whole files of a log gone, swapped, cut short or another's: segments, their start frames, superblocks.

mod common;

use common::*;
use quorate_wal::{Disk, DiskFile, Identity, MemoryDisk, Operation, Verdict, Wal, WalError};

#[test]
fn a_missing_segment_is_a_gap_unless_it_is_the_newest() {
    let (disk, _, model) = long_log();
    assert_eq!(disk.list().unwrap().len(), 6, "{disk:?}");
    for number in 1..4 {
        let copy = disk.duplicate();
        let file = format!("wal-{number:016x}.log");
        copy.remove(&file).unwrap();
        let (mut wal, found) = open(&copy).unwrap();
        let told = wal.damage().iter().any(|damage| {
            damage.to_string().contains(&format!("{file} is damaged at byte 0: the file is missing"))
        });
        assert_eq!(told, number > 1, "{:?}", wal.damage());
        assert!(!wal.missing().is_empty());
        assert_eq!(found[&1].held, model[&1].held);
        refill(&mut wal, &found, &model);
        drop(wal);
        assert_eq!(common::found(&copy).unwrap(), model);
    }
    let copy = disk.duplicate();
    copy.remove("wal-0000000000000004.log").unwrap();
    let (file, _, _, why) = refused(&copy);
    assert_eq!(
        (file.as_str(), why.as_str()),
        ("memory/wal-0000000000000004.log", "the file is missing, although the log reaches to segment 4")
    );
    (1..=3).for_each(|number| copy.remove(&format!("wal-{number:016x}.log")).unwrap());
    assert_eq!(refused(&copy).3, why);
    assert_eq!(found(&disk).unwrap(), model);
}

#[test]
fn a_segment_out_of_place_is_as_good_as_none() {
    let (disk, _, model) = long_log();
    disk.rename("wal-0000000000000002.log", "swap").unwrap();
    disk.rename("wal-0000000000000003.log", "wal-0000000000000002.log").unwrap();
    disk.rename("swap", "wal-0000000000000003.log").unwrap();
    assert_eq!(around(&disk, &model).1, Outcome::Less);
}

#[test]
fn a_segment_cut_short_is_read_as_far_as_what_follows_vouches_for_it() {
    let (disk, _, model) = long_log();
    found(&disk).unwrap();
    for number in 1..=4 {
        let copy = disk.duplicate();
        let file = format!("wal-{number:016x}.log");
        let bytes = copy.content(&file).unwrap()[..1536].to_vec();
        copy.create(&file).unwrap().write_at(&[bytes.into()], 0).unwrap();
        if number < 4 {
            let (said, outcome) = around(&copy, &model);
            assert!(said.contains("the file has 1536 bytes and should have 4096"), "{said}");
            assert_eq!(outcome, Outcome::Less);
        } else {
            assert_eq!(refused(&copy).3, "the file has 1536 bytes and should have 4096");
        }
    }
}

#[test]
fn another_nodes_segment_is_refused() {
    let (disk, _) = small_log(3, true);
    let other = MemoryDisk::new();
    let (mut wal, _) = Wal::open(other.clone(), OPTIONS, &Identity { node: 4, ..identity() }).unwrap();
    wal.append(1, &[append(1, 1..=3, 40)]).unwrap();
    wal.commit().unwrap();
    let content = bytes::Bytes::from(other.content("wal-0000000000000001.log").unwrap());
    disk.open("wal-0000000000000001.log").unwrap().write_at(&[content], 0).unwrap();
    let why = refused(&disk).3;
    assert!(why.contains("start frame"), "{why}");
}

/// Segment 2 has been begun, and the power fails before its first frame of operations.
fn just_begun() -> (MemoryDisk, Model) {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let ops = [promise(5), append(1, 1..=1, 2000)];
    wal.append(1, &ops).unwrap();
    ops.iter().for_each(|op| apply(&mut model, 1, op));
    wal.commit().unwrap();
    wal.append(1, &[append(1, 2..=2, 2000)]).unwrap();
    disk.set_hook(|operation, file, offset| match (operation, file, offset) {
        (Operation::Write, "wal-0000000000000002.log", 512..) => Verdict::Halt,
        _ => Verdict::Pass,
    });
    wal.commit().unwrap_err();
    drop(wal);
    disk.clear_hook();
    disk.crash(|n| n - 1);
    (disk, model)
}

#[test]
fn the_start_frame_of_an_empty_last_segment_is_not_taken_for_unused() {
    let (disk, model) = just_begun();
    let (once, twice) = (disk.duplicate(), disk.duplicate());
    assert_eq!(around(&disk, &model), (String::new(), Outcome::Whole));
    // The seal that was written with it tells the same.
    assert!(once.flip("wal-0000000000000002.log", 20, 1));
    let (said, outcome) = around(&once, &model);
    assert_eq!(outcome, Outcome::Whole);
    assert_eq!(
        said,
        "memory/wal-0000000000000002.log is damaged at byte 0 (frame 3): there is no valid start frame"
    );
    assert!(twice.flip("wal-0000000000000002.log", 20, 1) && twice.flip("wal-0000000000000002.log", 532, 1));
    let (file, offset, _, why) = refused(&twice);
    assert_eq!((file.as_str(), offset), ("memory/wal-0000000000000002.log", 0), "{why}");
}

/// Raft, seed 615327: the copy of the superblock that knew of the segment was lost, and the segment taken for one that had never
/// been begun, although no file is made empty.
#[test]
fn a_segment_cut_to_nothing_is_not_taken_for_unused() {
    let (disk, model) = just_begun();
    assert!(disk.flip("superblock-b", 33, 0));
    assert_eq!(around(&disk.duplicate(), &model).1, Outcome::Whole);
    for bytes in [0, 1, 60] {
        let copy = disk.duplicate();
        let left = copy.content("wal-0000000000000002.log").unwrap()[..bytes].to_vec();
        copy.create("wal-0000000000000002.log").unwrap().write_at(&[left.into()], 0).unwrap();
        let (file, _, _, why) = refused(&copy);
        assert_eq!(file, "memory/wal-0000000000000002.log");
        assert_eq!(why, "nothing in it can be read, although the log reaches to segment 2");
    }
}

#[test]
fn one_superblock_is_enough_and_none_is_not() {
    let (disk, models) = small_log(3, true);
    for file in ["superblock-a", "superblock-b"] {
        let copy = disk.duplicate();
        assert!(copy.flip(file, 33, 0));
        assert_eq!(found(&copy).unwrap(), models[3]);
        let other = if file == "superblock-a" { "superblock-b" } else { "superblock-a" };
        assert!(copy.flip(other, 33, 0));
        assert_eq!(found(&copy).unwrap(), models[3], "the first was written anew");
    }
    assert!(disk.flip("superblock-a", 33, 0) && disk.flip("superblock-b", 200, 0));
    let text = found(&disk).unwrap_err().to_string();
    assert!(text.contains("the superblock memory/superblock-a cannot be trusted: no copy"), "{text}");
    assert!(Wal::identity(&disk).is_err());
    disk.remove("superblock-a").unwrap();
    disk.remove("superblock-b").unwrap();
    let text = found(&disk).unwrap_err().to_string();
    assert!(text.contains("it is missing, although the directory holds a log"), "{text}");
}

#[test]
fn with_a_superblock_lost_a_spoilt_start_frame_still_has_witnesses() {
    let (disk, _, model) = long_log();
    // The newer copy tells of segment 4; without it the log seems to end in segment 3.
    let newer = ["superblock-a", "superblock-b"].map(|file| disk.content(file).unwrap()[40]);
    let lost = if newer[0] == 4 { "superblock-a" } else { "superblock-b" };
    assert_eq!(newer.iter().min(), Some(&3), "{newer:?}");
    assert!(disk.flip(lost, 33, 0));
    assert!(disk.flip("wal-0000000000000004.log", 3, 0));
    let (said, outcome) = around(&disk, &model);
    assert!(said.contains("wal-0000000000000004.log is damaged at byte 0"), "{said}");
    assert!(said.contains(&format!("{lost} is damaged at byte 0: it cannot be read")), "{said}");
    assert_eq!(outcome, Outcome::Whole);
}

#[test]
fn a_log_is_opened_by_its_own_node_only() {
    let (disk, models) = small_log(1, true);
    assert_eq!(Wal::identity(&disk).unwrap(), Some(identity()));
    assert_eq!(Wal::identity(&MemoryDisk::new()).unwrap(), None);
    for (other, text) in [
        (
            Identity { protocol: "zab".into(), ..identity() },
            "protocol raft, but this node is configured as protocol zab",
        ),
        (Identity { cluster: 0xc2, ..identity() }, "cluster c1, but this node is configured as cluster c2"),
        (Identity { node: 16, ..identity() }, "node 3, but this node is configured as node 10"),
    ] {
        let before = contents(&disk);
        let error = Wal::open(disk.clone(), OPTIONS, &other).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(contents(&disk), before);
    }
    for protocol in [String::new(), "p".repeat(65)] {
        let error = Wal::open(MemoryDisk::new(), OPTIONS, &Identity { protocol, ..identity() });
        assert!(matches!(error.map(|_| ()), Err(WalError::ProtocolName { .. })));
    }
    assert_eq!(found(&disk).unwrap(), models[1]);
}

#[test]
fn another_format_is_named() {
    let (disk, _) = small_log(1, true);
    for file in ["superblock-a", "superblock-b"] {
        let mut bytes = disk.content(file).unwrap();
        bytes[8] = 2;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        disk.open(file).unwrap().write_at(&[bytes.into()], 0).unwrap();
    }
    let error = found(&disk).unwrap_err();
    assert!(matches!(error, WalError::Version { found: 2, known: 3, .. }), "{error}");
}

/// The copy of the superblock that is lost may be the only one that knew of the only segment there still is.
#[test]
fn any_bit_of_a_superblock_may_flip_when_all_segments_but_the_newest_are_purged() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    for index in 1.. {
        let ops = [append(1, index..=index, 100)];
        wal.append(1, &ops).unwrap();
        ops.iter().for_each(|op| apply(&mut model, 1, op));
        wal.commit().unwrap();
        if wal.position().segment > 1 {
            let ops = [purge(1, index)];
            wal.append(1, &ops).unwrap();
            apply(&mut model, 1, &ops[0]);
            wal.commit().unwrap();
            break;
        }
    }
    assert_eq!(wal.segment_count(), 1);
    // What was purged is made ready to be used again.
    wal.prepare_next().unwrap();
    assert!(disk.content("wal-0000000000000001.log").is_none());
    drop(wal);
    for file in ["superblock-a", "superblock-b"] {
        for byte in 0..512 {
            let copy = disk.duplicate();
            assert!(copy.flip(file, byte, (byte % 8) as u8));
            let found = common::found(&copy).unwrap_or_else(|error| panic!("{file} byte {byte}: {error}"));
            assert_eq!(found, model, "{file} byte {byte}");
        }
        let copy = disk.duplicate();
        copy.remove(file).unwrap();
        assert_eq!(common::found(&copy).unwrap(), model, "without {file}");
    }
}
