//! What had been acknowledged and cannot be read any more is reported, never denied.

mod common;

use common::*;
use quorate_wal::{Disk, DiskFile, Identity, MemoryDisk, Operation, Verdict, Wal, WalError};

/// Every file's content.
fn contents(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.list().unwrap().into_iter();
    files.map(|file| (file.clone(), disk.content(&file).unwrap())).collect()
}

/// The error must be damage, and opening must have changed nothing.
fn damaged(disk: &MemoryDisk) -> (String, u64, u64, String) {
    let before = contents(disk);
    match open(disk).map(|(_, found)| found) {
        Err(WalError::Damaged { file, offset, sequence, why }) => {
            assert_eq!(contents(disk), before, "a damaged log is left as it is");
            (file, offset, sequence, why)
        }
        other => panic!("not seen as damage: {other:?}"),
    }
}

/// A log over several segments with two groups, a purge and a reset; what it holds before and after its
/// last frame.
fn long_log() -> (MemoryDisk, Model, Model) {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let mut before = model.clone();
    let mut index = 0;
    while wal.position().segment < 4 {
        index += 1;
        before = model.clone();
        let mut ops = vec![append(1, index..=index, 300)];
        if index == 4 {
            ops.push(purge(1, 2));
        }
        let other = if index == 6 { reset(2, 7) } else { promise(index) };
        for (group, ops) in [(1, ops), (2, vec![other])] {
            wal.append(group, &ops).unwrap();
            ops.iter().for_each(|op| apply(&mut model, group, op));
        }
        wal.commit().unwrap();
    }
    (disk, before, model)
}

#[test]
fn no_flipped_bit_yields_wrong_data() {
    for sealed in [true, false] {
        let (disk, before, model) = long_log();
        if sealed {
            let (mut wal, _) = open(&disk).unwrap();
            wal.seal().unwrap();
        }
        let (mut harmless, mut reported, mut torn) = (0, 0, 0);
        for (file, content) in contents(&disk) {
            for byte in 0..content.len() as u64 {
                let copy = disk.duplicate();
                assert!(copy.flip(&file, byte, (byte % 8) as u8));
                let at = format!("{file} byte {byte} sealed {sealed}");
                match found(&copy) {
                    Ok(found) if found == model => harmless += 1,
                    Ok(found) => {
                        assert_eq!(found, before, "{at}");
                        torn += 1;
                    }
                    Err(WalError::Damaged { .. }) => reported += 1,
                    Err(other) => panic!("{other} at {at}"),
                }
            }
        }
        // All bytes of frames that mean something, of which the last frame's are about 400.
        assert!(reported > 3000 && harmless > 3000, "{reported} {harmless}");
        assert_eq!(torn > 0, !sealed, "only the last frame, and only without a seal, may pass for torn");
        assert!(torn < 500, "{torn}");
    }
}

#[test]
fn the_report_names_the_place_the_witness_and_the_remedy() {
    let (disk, _) = small_log(3, false);
    // Frame 1 is the start frame, each other fills a sector.
    assert!(disk.flip("wal-0000000000000001.log", 512 + 60, 0));
    let (file, offset, sequence, why) = damaged(&disk);
    assert_eq!((file.as_str(), offset, sequence), ("memory/wal-0000000000000001.log", 512, 2));
    assert_eq!(
        why,
        "the payload does not match its checksum, yet frame 3 in wal-0000000000000001.log at byte 1024 was \
         written after it was durable"
    );
    let text = open(&disk).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("memory/wal-0000000000000001.log is damaged at byte 512 (frame 2)"), "{text}");
    assert!(text.contains("docs/operating.md, \"A lost disk\""), "{text}");
}

#[test]
fn the_last_frame_has_a_witness_once_sealed_or_reopened() {
    let flip = |disk: &MemoryDisk| assert!(disk.flip("wal-0000000000000001.log", 3 * 512 + 4, 3));
    let (disk, models) = small_log(3, false);
    flip(&disk);
    assert_eq!(found(&disk).unwrap(), models[2], "no witness: taken for torn");

    let (disk, _) = small_log(3, true);
    flip(&disk);
    assert_eq!(damaged(&disk).1, 3 * 512);

    let (disk, models) = small_log(3, false);
    assert_eq!(found(&disk).unwrap(), models[3]);
    flip(&disk);
    assert_eq!(damaged(&disk).2, 4);
}

#[test]
fn a_torn_frame_after_the_damaged_one_is_witness_enough() {
    let (disk, _) = small_log(3, false);
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[append(1, 4..=4, 1200)]).unwrap();
    wal.write().unwrap();
    drop(wal);
    // Of frame 5 only its first sector reached the disk, over the seal.
    let mut first = true;
    disk.crash(|n| match n {
        4 => 2,
        _ => u64::from(std::mem::take(&mut first)) * (n - 1),
    });
    assert!(disk.flip("wal-0000000000000001.log", 3 * 512 + 40, 0));
    let (_, offset, sequence, why) = damaged(&disk);
    assert_eq!((offset, sequence), (3 * 512, 4), "{why}");
    assert!(why.contains("yet frame 5"), "{why}");
}

#[test]
fn a_torn_start_of_the_next_segment_is_witness_enough() {
    let (disk, _) = small_log(3, false);
    let (mut wal, _) = open(&disk).unwrap();
    (0..60).for_each(|group| wal.append(group, &[promise(1)]).unwrap());
    wal.commit().unwrap();
    // The next segment's start frame tells of 60 groups in several sectors; only the first of them is
    // written.
    wal.append(1, &[append(1, 4..=4, 3000)]).unwrap();
    disk.set_hook(|operation, file, _| match (operation, file) {
        (Operation::Write, "wal-0000000000000002.log") => Verdict::Short(512),
        _ => Verdict::Pass,
    });
    wal.commit().unwrap_err();
    drop(wal);
    disk.clear_hook();
    let torn = disk.duplicate();
    assert!(found(&torn).is_ok(), "that alone is a torn tail");
    assert!(disk.flip("wal-0000000000000001.log", 4 * 512 + 40, 0));
    let (_, offset, sequence, why) = damaged(&disk);
    assert_eq!((offset, sequence), (4 * 512, 5), "{why}");
    assert!(why.contains("yet frame 6 in wal-0000000000000002.log at byte 0"), "{why}");
}

#[test]
fn a_frame_that_follows_another_one_is_damage() {
    // Two logs that differ in frame 4 only; then the sector of frame 5 is taken from the other.
    let (disk, _) = small_log(2, true);
    let other = disk.duplicate();
    for (disk, bytes) in [(&disk, 40), (&other, 41)] {
        let (mut wal, _) = open(disk).unwrap();
        for op in [append(1, 3..=3, bytes), append(1, 4..=4, 40)] {
            wal.append(1, &[op]).unwrap();
            wal.commit().unwrap();
        }
    }
    let file = "wal-0000000000000001.log";
    let sector = other.content(file).unwrap()[4 * 512..5 * 512].to_vec();
    disk.open(file).unwrap().write_at(&[sector.into()], 4 * 512).unwrap();
    let (_, offset, sequence, why) = damaged(&disk);
    assert_eq!((offset, sequence), (4 * 512, 5));
    assert!(why.contains("follows another frame"), "{why}");
}

#[test]
fn a_seal_torn_or_lost_is_no_damage() {
    let (disk, models) = small_log(3, true);
    assert!(disk.flip("wal-0000000000000001.log", 4 * 512 + 9, 0));
    assert_eq!(found(&disk).unwrap(), models[3]);
    let (disk, models) = small_log(3, true);
    disk.crash(|_| 0);
    assert_eq!(found(&disk).unwrap(), models[3]);
}

/// Commit frame 5 of a log, whose write the disk treats as told, then do `after`.
fn with_lying_write(verdict: Verdict, after: impl FnOnce(&mut Wal<MemoryDisk>)) -> MemoryDisk {
    let (disk, _) = small_log(3, true);
    let (mut wal, _) = open(&disk).unwrap();
    disk.strike(Operation::Write, 0, verdict);
    wal.append(1, &[append(1, 4..=4, 40)]).unwrap();
    wal.commit().unwrap();
    disk.clear_hook();
    after(&mut wal);
    drop(wal);
    disk
}

#[test]
fn a_write_the_disk_lost_is_noticed_by_what_follows() {
    let disk = with_lying_write(Verdict::Lose, |wal| wal.seal().unwrap());
    assert_eq!(damaged(&disk).1, 4 * 512);
    let disk = with_lying_write(Verdict::Lose, |wal| {
        wal.append(1, &[append(1, 5..=5, 40)]).unwrap();
        wal.commit().unwrap();
    });
    assert_eq!(damaged(&disk).2, 5);
}

#[test]
fn a_write_in_the_wrong_place_is_noticed_there_and_where_it_is_missing() {
    let disk = with_lying_write(Verdict::Misdirect(6 * 512), |wal| wal.seal().unwrap());
    assert_eq!(damaged(&disk).1, 4 * 512, "missing here");
    let disk = with_lying_write(Verdict::Misdirect(2 * 512), |_| ());
    assert_eq!(damaged(&disk).1, 2 * 512, "spoilt here");
}

#[test]
fn a_missing_segment_is_damage() {
    let (disk, _, model) = long_log();
    assert_eq!(disk.list().unwrap().len(), 6, "{disk:?}");
    for number in 1..=4 {
        let copy = disk.duplicate();
        copy.remove(&format!("wal-{number:016x}.log")).unwrap();
        let (file, _, _, why) = damaged(&copy);
        let named = if number == 1 { 2 } else { number };
        assert_eq!(file, format!("memory/wal-{named:016x}.log"), "{why}");
        let expected = if number == 1 { "the entries 3 to " } else { "the file is missing" };
        assert!(why.contains(expected), "{why}");
    }
    let copy = disk.duplicate();
    (1..=4).for_each(|number| copy.remove(&format!("wal-{number:016x}.log")).unwrap());
    damaged(&copy);
    assert_eq!(found(&disk).unwrap(), model);
}

#[test]
fn a_segment_out_of_place_is_damage() {
    let (disk, _, _) = long_log();
    disk.rename("wal-0000000000000002.log", "swap").unwrap();
    disk.rename("wal-0000000000000003.log", "wal-0000000000000002.log").unwrap();
    disk.rename("swap", "wal-0000000000000003.log").unwrap();
    damaged(&disk);
}

#[test]
fn another_nodes_segment_is_damage() {
    let (disk, _) = small_log(3, true);
    let other = MemoryDisk::new();
    let (mut wal, _) = Wal::open(other.clone(), OPTIONS, &Identity { node: 4, ..identity() }).unwrap();
    wal.append(1, &[append(1, 1..=3, 40)]).unwrap();
    wal.commit().unwrap();
    let content = bytes::Bytes::from(other.content("wal-0000000000000001.log").unwrap());
    disk.open("wal-0000000000000001.log").unwrap().write_at(&[content], 0).unwrap();
    let why = damaged(&disk).3;
    assert!(why.contains("start frame is not valid"), "{why}");
}

#[test]
fn the_start_frame_of_an_empty_last_segment_is_not_taken_for_unused() {
    // Segment 2 has been begun, and the power fails before its first frame of operations.
    let disk = MemoryDisk::new();
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(1, &[promise(5), append(1, 1..=1, 2000)]).unwrap();
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
    let good = disk.duplicate();
    assert!(disk.flip("wal-0000000000000002.log", 20, 1));
    let (file, offset, _, why) = damaged(&disk);
    assert_eq!((file.as_str(), offset), ("memory/wal-0000000000000002.log", 0), "{why}");
    assert_eq!(found(&good).unwrap()[&1].entries.len(), 1);
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
    let (disk, _, _) = long_log();
    // The newer copy tells of segment 4; without it the log seems to end in segment 3.
    let newer = ["superblock-a", "superblock-b"].map(|file| disk.content(file).unwrap()[40]);
    let lost = if newer[0] == 4 { "superblock-a" } else { "superblock-b" };
    assert_eq!(newer.iter().min(), Some(&3), "{newer:?}");
    assert!(disk.flip(lost, 33, 0));
    assert!(disk.flip("wal-0000000000000004.log", 3, 0));
    let why = damaged(&disk).3;
    assert!(why.contains("in wal-0000000000000004.log"), "{why}");
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
    assert!(matches!(error, WalError::Version { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn random_bytes_never_panic() {
    let mut choices = Choices(5);
    let mut outcomes = [0; 2];
    for _ in 0..300 {
        let (disk, _) = small_log(3, true);
        for _ in 0..1 + choices.below(4) {
            let files = disk.list().unwrap();
            let file = &files[choices.below(files.len() as u64) as usize];
            let noise: Vec<u8> = (0..choices.below(900)).map(|_| choices.below(256) as u8).collect();
            disk.open(file).unwrap().write_at(&[noise.into()], choices.below(2000)).unwrap();
        }
        outcomes[usize::from(found(&disk).is_ok())] += 1;
    }
    assert!(outcomes[0] > 50 && outcomes[1] > 10, "{outcomes:?}");
}
