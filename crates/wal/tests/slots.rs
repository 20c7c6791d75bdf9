//! Logs that are written slot by slot: each entry for itself, with holes; and what damage leaves of them.

mod common;

use std::collections::BTreeMap;

use common::*;
use quorate_protocol::{LogId, Recovered, WriteOp};
use quorate_wal::{MemoryDisk, Options, Wal, WalError};

const FIRST: &str = "wal-0000000000000001.log";

/// Round and index of each entry.
fn names(state: &Recovered) -> Vec<(u64, u64)> {
    state.entries.iter().map(|entry| (entry.id.ballot.round, entry.id.index.0)).collect()
}

/// A frame for each of these, in one group.
fn log(frames: &[WriteOp]) -> (MemoryDisk, Model) {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    for op in frames {
        wal.append(PUT, std::slice::from_ref(op)).unwrap();
        apply(&mut model, PUT, op);
        wal.commit().unwrap();
    }
    wal.seal().unwrap();
    (disk, model)
}

#[test]
fn each_entry_replaces_its_own_slot_and_holes_stay() {
    let ops = [
        put(1, [2, 3, 7], 20),
        put(2, [3, 5], 20),
        joins(9, 8),
        put(1, [12], 20),
        purge(2, 4),
        put(3, [6], 20),
        purge(3, 3),
    ];
    let (disk, model) = log(&ops);
    let found = found(&disk).unwrap();
    assert_eq!(found, model);
    assert_eq!(names(&found[&PUT]), [(2, 5), (3, 6), (1, 7), (1, 12)]);
    assert_eq!((found[&PUT].base, found[&PUT].held), (id(2, 4), LogId::default()));
    assert_eq!((found[&PUT].promised.round, found[&PUT].joined.round), (9, 8));
}

#[test]
fn a_purge_beyond_everything_leaves_an_empty_log_that_may_take_either_form() {
    let (disk, _) = log(&[put(1, [2, 7], 20), purge(5, 30)]);
    let (mut wal, found) = open(&disk).unwrap();
    assert_eq!((names(&found[&PUT]), found[&PUT].base), (vec![], id(5, 30)));
    assert!(wal.append(PUT, &[put(6, [30], 20)]).is_err(), "purged");
    wal.append(PUT, &[put(6, [33], 20)]).unwrap();
    wal.append(PUT, &[WriteOp::Reset { id: id(6, 40) }, append(7, 41..=42, 20)]).unwrap();
    wal.commit().unwrap();
    drop(wal);
    let state = common::found(&disk).unwrap()[&PUT].clone();
    assert_eq!((names(&state), state.held), (vec![(7, 41), (7, 42)], id(7, 42)));
}

#[test]
fn a_log_has_one_form_at_a_time() {
    let refusal = |frames: &[WriteOp], op: WriteOp| {
        let (disk, model) = log(frames);
        let (mut wal, _) = open(&disk).unwrap();
        let refused = wal.append(PUT, &[promise(70), op]).unwrap_err();
        assert!(matches!(refused, WalError::Refused { group: PUT, .. }));
        wal.commit().unwrap();
        let (seen, had) = (&found(&disk).unwrap()[&PUT], &model[&PUT]);
        assert_eq!(
            (seen.promised, &seen.entries),
            (had.promised, &had.entries),
            "a refused call leaves nothing"
        );
        refused.to_string()
    };
    let slots = [put(1, [2, 7], 20)];
    for op in [append(2, 8..=8, 20), truncate(2)] {
        let text = refusal(&slots, op);
        assert!(
            text.contains("as to a dense log, while it holds entries that were put slot by slot"),
            "{text}"
        );
    }
    let text = refusal(&[append(1, 1..=3, 20)], put(2, [4], 20));
    assert!(text.contains("by slots, while it holds entries that were appended"), "{text}");
    let text = refusal(&[put(1, [9], 20), purge(1, 5)], put(2, [5], 20));
    assert!(text.contains("slot 5, with its log from 6"), "{text}");
    let text = refusal(&slots, put(2, [4, 4], 20));
    assert!(text.contains("slot 4 after slot 4"), "{text}");
    let text = refusal(&[append(1, 1..=3, 20), purge(1, 2)], truncate(1));
    assert!(text.contains("a cut after index 1, which is before its log begins, at 3"), "{text}");
}

#[test]
fn what_may_have_been_put_by_a_lost_frame_is_answered_for_ever_after() {
    // One frame to a sector: the start frame, then these.
    let frames = [put(1, [1, 2, 3], 20), put(5, [2, 9], 20), put(3, [4], 20), joins(8, 7)];
    let (disk, model) = log(&frames);
    assert!(disk.flip(FIRST, 2 * 512 + 200, 0));
    let (wal, found) = open(&disk).unwrap();
    let state = found[&PUT].clone();
    assert_eq!(names(&state), [(1, 1), (1, 2), (1, 3), (3, 4)], "slot 2 as it was before, slot 9 not at all");
    assert_eq!(
        (state.held, state.promised, state.joined),
        (id(5, 9), model[&PUT].promised, model[&PUT].joined)
    );
    assert_eq!(
        wal.missing()[0].to_string(),
        "of entries 1 to 9 of group 1000 some cannot be read, or only as they were before, and must come from its peers"
    );
    drop(wal);
    // Every later start says so too, and no more than that: after refilling, with greater entries, over segments.
    let (mut wal, found) = open(&disk).unwrap();
    assert_eq!((&found[&PUT], wal.missing()), (&state, &[][..]));
    for round in 6..40 {
        wal.append(PUT, &[put(round, [1, 2, 9, 4, round + 20].into_iter().filter(|slot| *slot > 4), 400)])
            .unwrap();
        wal.append(PUT, &[put(round, [1, 2, 3, 4], 40)]).unwrap();
        wal.commit().unwrap();
    }
    assert!(wal.position().segment > 5);
    drop(wal);
    let again = common::found(&disk).unwrap();
    assert_eq!((again[&PUT].held, again[&PUT].entries.len()), (id(5, 9), 39));
    // Even if the sector can be read again.
    assert!(disk.flip(FIRST, 2 * 512 + 200, 0));
    let (mut wal, healed) = open(&disk).unwrap();
    assert_eq!((wal.damage().len(), healed), (0, again));
    // And when its segment is gone.
    wal.append(PUT, &[purge(39, 20)]).unwrap();
    wal.commit().unwrap();
    wal.append(PUT, &[purge(40, 60)]).unwrap();
    wal.commit().unwrap();
    assert_eq!(wal.segment_count(), 1);
    drop(wal);
    assert_eq!(common::found(&disk).unwrap()[&PUT].held, id(5, 9));
}

#[test]
fn a_lost_frame_of_another_group_leaves_no_doubt() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    for (group, op) in [
        (PUT, put(1, [1, 2], 20)),
        (PUT + 1, put(2, [1, 2], 20)),
        (PUT, joins(3, 2)),
        (PUT + 1, put(2, [4], 20)),
        (PUT, put(1, [5], 20)),
    ] {
        wal.append(group, std::slice::from_ref(&op)).unwrap();
        apply(&mut model, group, &op);
        wal.commit().unwrap();
    }
    wal.seal().unwrap();
    drop(wal);
    assert!(disk.flip(FIRST, 4 * 512 + 16, 0));
    let (wal, found) = open(&disk).unwrap();
    assert_eq!(judge(&wal, &found, &model, "frame 5"), Outcome::Less);
    assert_eq!((&found[&PUT], found[&(PUT + 1)].held), (&model[&PUT], id(2, 4)));
}

#[test]
fn a_segment_stays_while_a_frame_lost_in_it_may_hold_something_needed() {
    let (disk, _) = log(&[put(1, [1, 2], 300), put(4, [50], 300), put(2, [3], 300), put(2, [4], 300)]);
    assert!(disk.flip(FIRST, 2 * 512 + 16, 0) && disk.flip(FIRST, 3 * 512 + 16, 0));
    let (mut wal, _) = open(&disk).unwrap();
    for slot in 5..40 {
        wal.append(PUT, &[put(6, [slot], 300), purge(6, slot - 1)]).unwrap();
        wal.commit().unwrap();
    }
    assert!(wal.segment_count() > 5, "slot 50 may be in the first");
    drop(wal);
    assert_eq!(found(&disk).unwrap()[&PUT].held, id(4, 50), "and nobody doubts more, start after start");
    let (mut wal, _) = open(&disk).unwrap();
    wal.append(PUT, &[purge(6, 50)]).unwrap();
    wal.commit().unwrap();
    assert_eq!(wal.segment_count(), 1);
}

#[test]
fn a_segment_is_used_again_only_when_all_that_was_put_in_it_is_purged() {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let mut write = |wal: &mut Wal<MemoryDisk>, ops: &[WriteOp]| {
        wal.append(PUT, ops).unwrap();
        ops.iter().for_each(|op| apply(&mut model, PUT, op));
        wal.commit().unwrap();
    };
    write(&mut wal, &[put(1, [1, 90], 20)]);
    for slot in 2..60 {
        write(&mut wal, &[put(1, [slot], 300), purge(1, slot - 1)]);
    }
    assert!(wal.segment_count() > 5, "slot 90 is in the first: {}", wal.segment_count());
    // Nor once it was put again: that is another frame, but nobody keeps count.
    write(&mut wal, &[put(2, [90], 20)]);
    assert!(wal.segment_count() > 5);
    drop(wal);
    let (mut wal, found) = open(&disk).unwrap();
    assert_eq!(found, model);
    wal.append(PUT, &[purge(2, 90)]).unwrap();
    wal.commit().unwrap();
    assert_eq!(wal.segment_count(), 1);
}

#[test]
fn what_is_in_doubt_and_applied_is_dropped() {
    let frames = [put(1, [1, 2, 3], 20), put(5, [2, 6], 20), put(3, [4, 7], 20)];
    for applied in 0..=8 {
        let (disk, _) = log(&frames);
        let at = LogId { index: quorate_protocol::Index(applied), ..id(5, 0) };
        let states = BTreeMap::from([(PUT, if applied == 0 { LogId::default() } else { at })]);
        let open = || Wal::open_at(disk.clone(), OPTIONS, &identity(), &states).unwrap();
        assert_eq!(names(&open().1[&PUT]).len(), 6, "without damage nothing is dropped");
        assert!(disk.flip(FIRST, 2 * 512 + 200, 0));
        let (wal, found) = open();
        // Another value than slot 2's may have been chosen; whoever is past that must not serve it.
        let left: Vec<_> =
            [(1, 1), (1, 2), (1, 3), (3, 4), (3, 7)].into_iter().filter(|name| name.1 > applied).collect();
        assert_eq!((names(&found[&PUT]), found[&PUT].base.index.0), (left, applied), "{applied}");
        assert_eq!(found[&PUT].held, if applied < 6 { id(5, 6) } else { LogId::default() }, "{applied}");
        assert_eq!(wal.missing().len(), usize::from(applied < 6));
        drop(wal);
        assert_eq!(common::found(&disk).unwrap(), found, "the next start need not be told");
    }
}

/// A log over several segments: two groups of slots and one of another form; what it holds before and after its last
/// frame.
fn mixed_log() -> (MemoryDisk, Model, Model) {
    let disk = MemoryDisk::new();
    let (mut wal, mut model) = open(&disk).unwrap();
    let mut before = model.clone();
    let mut choices = Choices(3);
    for round in 1.. {
        if wal.position().segment >= 4 {
            break;
        }
        before = model.clone();
        let base = if round > 9 { 3 } else { 0 };
        let mut slots: Vec<u64> = (0..3).map(|_| base + 1 + choices.below(9)).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut first = vec![put(round, slots, 100)];
        match round {
            9 => first.push(purge(9, 3)),
            6 => first.push(joins(6, 5)),
            _ => {}
        }
        let second = if round % 2 == 0 { vec![put(round, [round / 2], 60)] } else { vec![] };
        let third = match round {
            5 => truncate(2),
            _ if round % 3 == 0 => joins(round, round / 2),
            _ => append(round, model.get(&1).map_or(0, |state| state.entries.len() as u64) + 1..=20, 0),
        };
        let third = match third {
            WriteOp::Append(entries) => WriteOp::Append(entries[..1].to_vec()),
            other => other,
        };
        for (group, ops) in [(PUT, first), (PUT + 1, second), (1, vec![third])] {
            wal.append(group, &ops).unwrap();
            ops.iter().for_each(|op| apply(&mut model, group, op));
        }
        wal.commit().unwrap();
    }
    (disk, before, model)
}

#[test]
fn no_flipped_bit_makes_a_log_of_slots_deny_anything() {
    for sealed in [true, false] {
        let (disk, before, model) = mixed_log();
        if sealed {
            let (mut wal, _) = open(&disk).unwrap();
            wal.seal().unwrap();
        }
        let (mut whole, mut less, mut torn) = (0, 0, 0);
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
                match judge(&wal, &found, &model, &at) {
                    Outcome::Whole => whole += 1,
                    Outcome::Less => less += 1,
                }
                refill(&mut wal, &found, &model);
                drop(wal);
                let refilled = common::found(&copy).unwrap();
                for (group, state) in &refilled {
                    assert_eq!(state.entries, model[group].entries, "after the refill, {at}");
                    let held = if is_put(*group) { found[group].held } else { model[group].held };
                    assert_eq!(state.held, held, "after the refill, {at}");
                }
            }
        }
        assert!(whole > 3000 && less > 2000, "{whole} {less}");
        assert_eq!(torn > 0, !sealed, "only the last frame, and only without a seal, may pass for torn");
    }
}

#[test]
fn a_long_log_is_read_back_in_no_time() {
    let disk = MemoryDisk::new();
    let options = Options { segment_bytes: 1 << 20, spares: 1 };
    let (mut wal, _) = Wal::open(disk.clone(), options, &identity()).unwrap();
    // Every slot out of order and twice, with purges far behind: quadratic work would take minutes.
    for step in 0..400u64 {
        let first = step * 400;
        wal.append(PUT, &[put(1, (first + 201)..=(first + 400), 4), put(1, (first + 1)..=(first + 400), 4)])
            .unwrap();
        if first > 40_000 {
            wal.append(PUT, &[purge(1, first - 40_000)]).unwrap();
        }
        wal.commit().unwrap();
    }
    drop(wal);
    let began = std::time::Instant::now();
    let (_, found) = Wal::open(disk, options, &identity()).unwrap();
    assert_eq!(found[&PUT].entries.len(), 40_400);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// What of it is to be found again, of a log of slots and of a dense one: nothing but what it held.
#[test]
fn a_log_that_starts_over_takes_everything_and_admits_what_it_held() {
    let dense = || vec![append(3, 1..=9, 20), joins(4, 2), purge(3, 6)];
    let slots = || vec![put(5, [2, 7], 20), put(3, [9], 20), joins(6, 2), purge(3, 6)];
    // Purged further than it ever put anything, as by a snapshot.
    let covered = || vec![put(5, [2], 20), joins(6, 2), purge(4, 6)];
    let only_covered = || vec![joins(6, 2), purge(4, 6)];
    let cases = [
        (1, dense(), append(1, 1..=1, 20), id(3, 9)),
        (PUT, slots(), put(1, [6], 20), id(5, 9)),
        (PUT, covered(), put(1, [6], 20), id(5, 6)),
        (1, only_covered(), append(1, 1..=1, 20), id(4, 6)),
    ];
    for (group, ops, early, held) in cases {
        let disk = MemoryDisk::new();
        let (mut wal, _) = open(&disk).unwrap();
        wal.append(group, &ops).unwrap();
        wal.commit().unwrap();
        assert!(
            wal.append(group, std::slice::from_ref(&early)).is_err(),
            "{early:?} is from before its beginning"
        );
        let told = wal.start_over(group).unwrap();
        disk.crash(|_| 0);
        let (mut wal, found) = open(&disk).unwrap();
        assert_eq!(found[&group], told);
        assert_eq!((told.base, told.entries.len(), told.held), (LogId::default(), 0, held));
        assert_eq!(told.joined.round, 2, "a promise is kept");
        wal.append(group, &[early]).unwrap();
        wal.commit().unwrap();
        drop(wal);
        let found = common::found(&disk).unwrap()[&group].clone();
        assert_eq!((found.entries.len(), found.held), (1, held), "and it is admitted for good");
    }
}
