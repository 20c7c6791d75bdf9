//! What a track keeps, refuses and says of a gap.

use super::*;
use bytes::Bytes;
use quorate_protocol::{EntryKind, NodeId};

fn id(round: u64, index: u64) -> LogId {
    LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) }
}

fn append(round: u64, indexes: std::ops::RangeInclusive<u64>) -> WriteOp {
    let entry = |i| Entry { id: id(round, i), kind: EntryKind::Command, data: Bytes::new() };
    WriteOp::Append(indexes.map(entry).collect())
}

#[test]
fn what_could_not_be_read_back_is_refused() {
    let track = Track { base: id(1, 2), last: Index(4), ..Track::default() };
    assert_eq!(track.check(&append(1, 5..=6)), Ok(()));
    assert_eq!(track.check(&append(1, 3..=3)), Ok(()));
    assert!(track.check(&append(1, 6..=6)).is_err(), "a hole");
    assert!(track.check(&append(1, 2..=3)).is_err(), "purged");
    let WriteOp::Append(mut entries) = append(1, 3..=5) else { unreachable!() };
    entries.remove(1);
    assert!(track.check(&WriteOp::Append(entries)).is_err(), "not dense");
}

#[test]
fn what_was_held_never_goes_down() {
    let mut track = Track::default();
    let mut held = Vec::new();
    let ops = [
        append(2, 1..=9),
        append(3, 4..=4),
        append(1, 5..=20),
        WriteOp::Reset { id: id(2, 30) },
        append(3, 31..=31),
        WriteOp::Purge { id: id(4, 2) },
        WriteOp::Purge { id: id(4, 40) },
    ];
    for (sequence, op) in (1..).zip(&ops) {
        track.apply(Change::of(op).unwrap(), sequence);
        held.push((track.held.ballot.round, track.held.index.0, track.last.0));
    }
    let expected = [(2, 9, 9), (3, 4, 4), (3, 4, 20), (3, 4, 30), (3, 31, 31), (3, 31, 31), (4, 40, 40)];
    assert_eq!(held, expected);
}

/// Zab, seed 612639: a log that had lost much was being filled again when a synchronisation cut it back. The log said of itself
/// from then on that it had never held more, and its node could have helped somebody lead who lacked a committed entry.
#[test]
fn a_truncation_takes_back_what_the_log_had_and_not_what_the_disk_lost() {
    let cut = |track: &mut Track, last: u64| {
        let change = Change::of(&WriteOp::Truncate(Index(last))).unwrap();
        track.apply(
            change.with(track.last, |index| Some(id(if index < Index(8) { 2 } else { 3 }, 0).ballot)),
            9,
        );
    };
    let mut whole = Track::default();
    whole.apply(Change::of(&append(2, 1..=7)).unwrap(), 1);
    whole.apply(Change::of(&append(3, 8..=9)).unwrap(), 2);
    cut(&mut whole, 8);
    assert_eq!((whole.held, whole.last), (id(3, 8), Index(8)));
    cut(&mut whole, 6);
    assert_eq!((whole.held, whole.last), (id(2, 6), Index(6)));

    for (held, left) in [(id(3, 12), id(3, 12)), (id(4, 2), id(4, 2)), (id(3, 9), id(2, 5))] {
        let mut refilled = Track { held, last: Index(9), form: Form::Appended, ..Track::default() };
        cut(&mut refilled, 5);
        assert_eq!((refilled.held, refilled.last), (left, Index(5)), "{held}");
    }
}

#[test]
fn a_gap_keeps_what_no_lost_frame_can_have_replaced() {
    let mut track = Track::default();
    for (sequence, op) in [(10, append(1, 1..=9)), (11, append(2, 5..=9)), (12, append(3, 7..=7))] {
        track.apply(Change::of(&op).unwrap(), sequence);
    }
    assert_eq!(track.kept(13, true, 90), UNCUT, "all of it was read before the gap");
    assert_eq!(track.kept(12, true, 90), Index(5), "at 7 in truth; what lies deeper is always safe");
    assert_eq!(track.kept(10, true, 90), Index(5));
    assert_eq!(track.kept(12, false, 90), Index(0), "the cut may have been in another segment");
    track.begin_segment();
    track.apply(Change::of(&append(4, 6..=6)).unwrap(), 20);
    assert_eq!((track.kept(20, true, 90), track.kept(21, false, 90)), (Index(6), UNCUT));
    track.apply(Change::of(&WriteOp::Reset { id: id(4, 3) }).unwrap(), 21);
    assert_eq!(track.kept(20, true, 90), Index(0));
}

#[test]
fn a_gap_that_a_recovery_went_around_keeps_what_it_left() {
    let mut track = Track { last: Index(9), ..Track::default() };
    track.recovered(Index(4), 20, 30);
    assert_eq!(track.last, Index(4));
    for (gap, sequence, kept) in [(20, 30, 5), (25, 30, 5), (19, 30, 0), (20, 31, 0)] {
        assert_eq!(track.kept(gap, false, sequence), Index(kept), "{gap} {sequence}");
    }
    assert_eq!((track.kept(19, true, 30), track.kept(31, false, 32)), (Index(5), UNCUT));
}
