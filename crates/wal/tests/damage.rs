//! What had been acknowledged and cannot be read any more is reported, never denied; and read around wherever
//! the rest of the log tells what it had said.

mod common;

use common::*;
use quorate_wal::{Disk, DiskFile, MemoryDisk, Operation, Options, Verdict, Wal, WalError};

#[test]
fn no_flipped_bit_yields_wrong_data_or_stops_the_log() {
    for sealed in [true, false] {
        let (disk, before, model) = long_log();
        if sealed {
            let (mut wal, _) = open(&disk).unwrap();
            wal.seal().unwrap();
        }
        let (mut whole, mut less, mut noticed, mut torn) = (0, 0, 0, 0);
        for (file, content) in contents(&disk) {
            for byte in 0..content.len() as u64 {
                let copy = disk.duplicate();
                assert!(copy.flip(&file, byte, (byte % 8) as u8));
                let at = format!("{file} byte {byte} sealed {sealed}");
                let (mut wal, found) = open(&copy).unwrap_or_else(|error| panic!("{error} at {at}"));
                if !sealed && found == before {
                    torn += 1;
                    continue;
                }
                noticed += usize::from(!wal.damage().is_empty());
                match judge(&wal, &found, &model, &at) {
                    Outcome::Whole => whole += 1,
                    Outcome::Less => less += 1,
                }
                refill(&mut wal, &found, &model);
                drop(wal);
                assert_eq!(common::found(&copy).unwrap(), model, "after the refill, {at}");
            }
        }
        // All bytes of frames that mean something, of which the last frame's are about 500.
        assert!(whole > 3000 && less > 2000 && noticed > 5000, "{whole} {less} {noticed}");
        assert_eq!(torn > 0, !sealed, "only the last frame, and only without a seal, may pass for torn");
        assert!(torn < 600, "{torn}");
    }
}

#[test]
fn any_run_of_lost_frames_before_a_readable_one_leaves_what_matters() {
    let (disk, _, model) = long_log();
    found(&disk).unwrap();
    let frames = frames(&disk);
    let (mut whole, mut less) = (0, 0);
    for from in 0..frames.len() {
        for to in from..frames.len() - 1 {
            let copy = disk.duplicate();
            for (file, offset) in &frames[from..=to] {
                assert!(copy.flip(file, offset + 16, 1));
            }
            let at = format!("frames {from} to {to} of {frames:?}");
            let (mut wal, found) = open(&copy).unwrap_or_else(|error| panic!("{error} at {at}"));
            match judge(&wal, &found, &model, &at) {
                Outcome::Whole => whole += 1,
                Outcome::Less => less += 1,
            }
            refill(&mut wal, &found, &model);
            drop(wal);
            assert_eq!(common::found(&copy).unwrap(), model, "after the refill, {at}");
        }
        // With the last one gone as well nothing tells what was there, nor, within the newest segment, that
        // anything was.
        let copy = disk.duplicate();
        frames[from..].iter().for_each(|(file, offset)| assert!(copy.flip(file, offset + 16, 1)));
        match open(&copy) {
            Err(WalError::Damaged { .. }) => assert!(frames[from].1 == 0 || !frames[from].0.contains('4')),
            Ok(_) => assert!(frames[from].1 > 0 && frames[from].0.contains('4')),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(whole > 10 && less > 50, "{whole} {less}");
}

/// Where frames begin: the sectors with a header of their segment's generation in them.
fn frames(disk: &MemoryDisk) -> Vec<(String, u64)> {
    let mut frames = Vec::new();
    for (file, content) in contents(disk) {
        let Some(number) =
            file.strip_prefix("wal-").and_then(|rest| u64::from_str_radix(&rest[..16], 16).ok())
        else {
            continue;
        };
        for (sector, bytes) in content.chunks(512).enumerate() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            if u64::from(word(24)) == number && (1..=3).contains(&word(28)) {
                frames.push((file.clone(), sector as u64 * 512));
            }
        }
    }
    frames
}

#[test]
fn the_report_names_the_place_the_witness_and_what_is_missing() {
    let (disk, models) = small_log(3, false);
    // Frame 1 is the start frame, each other fills a sector.
    assert!(disk.flip("wal-0000000000000001.log", 512 + 100, 0));
    let (wal, found) = open(&disk).unwrap();
    let damage = &wal.damage()[0];
    assert_eq!((damage.file.as_str(), damage.offset), ("memory/wal-0000000000000001.log", 512));
    assert_eq!((damage.sequence, damage.frames, wal.damage().len()), (2, 1, 1));
    assert_eq!(
        damage.to_string(),
        "memory/wal-0000000000000001.log is damaged at byte 512 (frame 2): the payload does not match its \
         checksum, yet frame 3 in wal-0000000000000001.log at byte 1024 was written after it was durable"
    );
    assert_eq!(
        wal.missing()[0].to_string(),
        "entries 1 to 3 of group 1 cannot be read and must come from its peers"
    );
    assert_eq!((found[&1].entries.len(), found[&1].held), (0, models[3][&1].held));
}

#[test]
fn a_refusal_names_the_place_the_witness_and_the_remedy() {
    let (disk, _) = small_log(3, true);
    // The last frame, and of the seal after it everything but the header.
    assert!(disk.flip("wal-0000000000000001.log", 3 * 512 + 200, 0));
    assert!(disk.flip("wal-0000000000000001.log", 4 * 512 + 60, 0));
    let (file, offset, sequence, why) = refused(&disk);
    assert_eq!((file.as_str(), offset, sequence), ("memory/wal-0000000000000001.log", 3 * 512, 4));
    assert_eq!(
        why,
        "the payload does not match its checksum, yet frame 5 in wal-0000000000000001.log at byte 2048 was \
         written after it was durable, and nothing after it can be read"
    );
    let text = open(&disk).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("memory/wal-0000000000000001.log is damaged at byte 1536 (frame 4)"), "{text}");
    assert!(text.contains("start this member with --replace-lost-disk"), "{text}");
    assert!(text.contains("docs/operating.md, \"A lost disk\""), "{text}");
}

#[test]
fn the_last_frame_has_a_witness_once_sealed_or_reopened() {
    let flip = |disk: &MemoryDisk| assert!(disk.flip("wal-0000000000000001.log", 3 * 512 + 4, 3));
    let (disk, models) = small_log(3, false);
    flip(&disk);
    assert_eq!(found(&disk).unwrap(), models[2], "no witness: taken for torn");

    let (disk, models) = small_log(3, true);
    flip(&disk);
    assert_eq!(around(&disk, &models[3]).1, Outcome::Less);

    let (disk, models) = small_log(3, false);
    assert_eq!(found(&disk).unwrap(), models[3]);
    flip(&disk);
    assert_eq!(around(&disk, &models[3]).1, Outcome::Less);
}

#[test]
fn a_torn_frame_after_the_damaged_one_is_witness_enough() {
    let (disk, models) = small_log(3, false);
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
    assert!(disk.flip("wal-0000000000000001.log", 3 * 512 + 200, 0));
    let worse = disk.duplicate();
    let (said, outcome) = around(&disk, &models[3]);
    assert!(said.contains("yet frame 5") && outcome == Outcome::Less, "{said}");
    assert!(worse.flip("wal-0000000000000001.log", 4 * 512 + 60, 0));
    let (_, offset, sequence, why) = refused(&worse);
    assert_eq!((offset, sequence), (3 * 512, 4), "{why}");
    assert!(why.contains("yet frame 5"), "{why}");
}

#[test]
fn a_torn_start_of_the_next_segment_is_witness_enough() {
    let (disk, _) = small_log(3, false);
    let (mut wal, _) = open(&disk).unwrap();
    (0..6).for_each(|group| wal.append(group, &[promise(1)]).unwrap());
    wal.commit().unwrap();
    // The next segment's start frame tells of 6 groups in several sectors; only the first of them is
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
    assert!(disk.flip("wal-0000000000000001.log", 4 * 512 + 16, 0));
    let (_, offset, sequence, why) = refused(&disk);
    assert_eq!((offset, sequence), (4 * 512, 5), "{why}");
    assert!(why.contains("yet frame 6 in wal-0000000000000002.log at byte 0"), "{why}");
}

#[test]
fn a_frame_that_follows_another_one_is_refused() {
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
    let mixed = disk.duplicate();
    let (_, offset, sequence, why) = refused(&disk);
    assert_eq!((offset, sequence), (4 * 512, 5));
    assert!(why.contains("follows another frame"), "{why}");
    // Nor does it help if the frame before is damaged, as long as its header tells what it was.
    assert!(mixed.flip(file, 3 * 512 + 200, 0));
    let (_, offset, sequence, why) = refused(&mixed);
    assert_eq!((offset, sequence), (3 * 512, 4));
    assert_eq!(why, "frame 5 follows another frame than this one");
}

#[test]
fn a_damaged_seal_says_nothing_of_the_frame_that_took_its_number() {
    // The seal at the end of a segment has the number of the next one's start frame, and stays where it is.
    let (disk, mut models) = small_log(3, true);
    let mut model = models.pop().unwrap();
    let (mut wal, _) = open(&disk).unwrap();
    for (index, bytes) in [(4, 2000), (5, 40)] {
        let op = append(1, index..=index, bytes);
        wal.append(1, std::slice::from_ref(&op)).unwrap();
        wal.commit().unwrap();
        apply(&mut model, 1, &op);
    }
    assert_eq!(wal.position().segment, 2);
    drop(wal);
    for byte in [9, 60] {
        // The seal's header or its summary; then the start frame.
        let copy = disk.duplicate();
        assert!(copy.flip("wal-0000000000000001.log", 4 * 512 + byte, 0));
        assert_eq!(around(&copy, &model), (String::new(), Outcome::Whole), "that alone is no damage");
        assert!(copy.flip("wal-0000000000000002.log", 16, 0));
        let (said, _) = around(&copy, &model);
        assert!(said.contains("(frame 5)"), "{said}");
    }
}

#[test]
fn a_file_that_ends_where_a_frame_was_is_too_short_even_without_its_start_frame() {
    let (disk, _) = small_log(3, true);
    let (mut wal, _) = open(&disk).unwrap();
    for (index, bytes) in [(4, 2000), (5, 40)] {
        wal.append(1, &[append(1, index..=index, bytes)]).unwrap();
        wal.commit().unwrap();
    }
    assert_eq!((wal.position().segment, wal.position().offset), (2, 7 * 512));
    drop(wal);
    let file = "wal-0000000000000002.log";
    // Before the last frame, in it, and in the one before, which begins at the second sector and fills five.
    for size in [6 * 512, 6 * 512 + 12, 6 * 512 - 1, 3 * 512] {
        for start in [true, false] {
            let copy = disk.duplicate();
            let mut content = copy.content(file).unwrap();
            content.truncate(size);
            copy.create(file).unwrap().write_at(&[content.into()], 0).unwrap();
            if !start {
                assert!(copy.flip(file, 16, 0));
            }
            let (.., why) = refused(&copy);
            assert!(why.starts_with(&format!("the file has {size} bytes and should have ")), "{why}");
            assert_eq!(why.ends_with(" at least"), !start, "{why}");
        }
    }
}

#[test]
fn a_seal_torn_or_lost_is_no_damage() {
    for byte in [9, 60] {
        let (disk, models) = small_log(3, true);
        assert!(disk.flip("wal-0000000000000001.log", 4 * 512 + byte, 0));
        assert_eq!(around(&disk, &models[3]), (String::new(), Outcome::Whole));
    }
    let (disk, models) = small_log(3, true);
    disk.crash(|_| 0);
    assert_eq!(around(&disk, &models[3]), (String::new(), Outcome::Whole));
}

/// Commit frame 5 of a log, whose write the disk treats as told, then do `after`; what the log holds then.
fn with_lying_write(verdict: Verdict, after: impl FnOnce(&mut Wal<MemoryDisk>)) -> (MemoryDisk, Model) {
    let (disk, mut models) = small_log(3, true);
    let (mut wal, _) = open(&disk).unwrap();
    disk.strike(Operation::Write, 0, verdict);
    wal.append(1, &[append(1, 4..=4, 40)]).unwrap();
    wal.commit().unwrap();
    disk.clear_hook();
    after(&mut wal);
    drop(wal);
    let mut model = models.pop().unwrap();
    apply(&mut model, 1, &append(1, 4..=4, 40));
    (disk, model)
}

#[test]
fn a_write_the_disk_lost_is_noticed_by_what_follows() {
    let (disk, model) = with_lying_write(Verdict::Lose, |wal| wal.seal().unwrap());
    let (said, _) = around(&disk, &model);
    assert!(said.contains("at byte 2048 (frame 5)"), "{said}");
    let (disk, mut model) = with_lying_write(Verdict::Lose, |wal| {
        wal.append(1, &[append(1, 5..=5, 40)]).unwrap();
        wal.commit().unwrap();
    });
    apply(&mut model, 1, &append(1, 5..=5, 40));
    let (said, _) = around(&disk, &model);
    assert!(said.contains("there is a seal where its frame should be, yet frame 6"), "{said}");
}

#[test]
fn a_write_in_the_wrong_place_is_noticed_there_and_where_it_is_missing() {
    let (disk, model) = with_lying_write(Verdict::Misdirect(6 * 512), |wal| wal.seal().unwrap());
    assert!(around(&disk, &model).0.contains("at byte 2048 (frame 5)"), "missing here");
    let (disk, mut model) = with_lying_write(Verdict::Misdirect(2 * 512), |wal| {
        wal.append(1, &[append(1, 5..=5, 40)]).unwrap();
        wal.commit().unwrap();
    });
    apply(&mut model, 1, &append(1, 5..=5, 40));
    let (said, _) = around(&disk, &model);
    assert!(said.contains("at byte 1024 (frame 3)"), "spoilt here: {said}");
    assert!(said.contains("at byte 2048 (frame 5)"), "and missing here: {said}");
    // With nothing written after it, it is as if it had never been acknowledged.
    let (disk, _) = with_lying_write(Verdict::Misdirect(2 * 512), |_| ());
    assert!(found(&disk).is_ok());
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
    assert!(outcomes[0] > 3 && outcomes[1] > 100, "{outcomes:?}");
}

#[test]
fn with_very_many_groups_one_lost_frame_is_told_of_and_two_are_not_until_the_next_start_frame() {
    // A frame of one group tells of one group: the one that the frame before it changed.
    let disk = MemoryDisk::new();
    let (mut wal, _) =
        Wal::open(disk.clone(), Options { segment_bytes: 32 << 10, spares: 1 }, &identity()).unwrap();
    let mut model = Model::new();
    let mut offsets = Vec::new();
    for step in 0..110u64 {
        let group = (step % 80) as u32;
        let ops = [promise(step + 1), append(1, 1 + step / 80..=1 + step / 80, 20)];
        offsets.push((wal.position().segment, wal.position().offset));
        wal.append(group, &ops).unwrap();
        ops.iter().for_each(|op| apply(&mut model, group, op));
        wal.commit().unwrap();
    }
    wal.seal().unwrap();
    let newest = wal.position().segment;
    drop(wal);
    assert!(newest > 3, "{newest}");
    // Steps near the end, in the newest segment, and in the middle of the one before it.
    let before = offsets.iter().position(|(segment, _)| *segment == newest - 1).unwrap();
    for (first, count, told) in
        [(107, 1, true), (106, 2, false), (before + 3, 1, true), (before + 3, 2, true)]
    {
        let copy = disk.duplicate();
        // Where a segment begins, the frame before it was asked for at the end of another.
        for (segment, offset) in &offsets[first..first + count] {
            assert!(copy.flip(&format!("wal-{segment:016x}.log"), offset + 16, 2), "{offsets:?}");
        }
        match open(&copy) {
            Ok((wal, found)) if told => {
                let at = format!("{first} {count} {:?}", wal.damage());
                assert_eq!(judge(&wal, &found, &model, &at), Outcome::Less);
                assert_eq!(wal.damage()[0].frames > 2, count == 2, "{at}");
            }
            Err(WalError::Damaged { why, .. }) if !told => {
                assert!(why.ends_with("and nothing after it can be read"), "{why}");
            }
            other => panic!("{first} {count}: {:?}", other.map(|(wal, _)| wal.damage().to_vec())),
        }
    }
}
