//! Frames that are valid and make no sense: written by a bug or another version, never by a disk.

use quorate_protocol::{Index, LogId};

use super::*;
use crate::memory::MemoryDisk;
use crate::segment::Window;
use crate::track::Track;
use crate::walk::look;

/// Kind, summary, payload.
type Frame = (Kind, Summary, Bytes);

const SIZE: u64 = 4096;

/// Write segments, each a list of frames, chained and numbered as they should be; then read them back.
fn read_back(segments: &[&[Frame]]) -> Result<Tip, String> {
    let disk = MemoryDisk::new();
    let (mut sequence, mut previous) = (1, 0);
    for (number, frames) in (1..).zip(segments) {
        let file = disk.create(&file_name(number)).unwrap();
        file.allocate(SIZE).unwrap();
        let mut offset = 0;
        for (kind, summary, payload) in *frames {
            let tip = Tip { segment: number, offset, sequence, previous };
            let place = Place { salt: 0, segment: number, offset };
            let (bytes, summary, (header, sum)) =
                frame(place, *kind, tip, summary, std::slice::from_ref(payload));
            file.write_at(&[bytes, summary, payload.clone()], offset).unwrap();
            (sequence, previous, offset) = (sequence + 1, sum, offset + header.span());
        }
    }
    match recover(&disk, 0, segments.len() as u64, false, &BTreeMap::new()) {
        Ok(found) => Ok(found.unwrap().tip),
        Err(WalError::Damaged { file, offset, sequence, why }) => {
            Err(format!("{file} {offset} {sequence}: {why}"))
        }
        Err(error) => panic!("{error}"),
    }
}

fn summary(groups: &[(GroupId, Track)]) -> Summary {
    Summary::all(&groups.iter().copied().collect())
}

fn start(size: u64, groups: &[(GroupId, Track)]) -> Frame {
    (Kind::Start, summary(groups), Bytes::copy_from_slice(&size.to_le_bytes()))
}

fn operations(groups: &[(GroupId, Track)]) -> Frame {
    (Kind::Operations, summary(groups), Bytes::new())
}

fn track(base: u64) -> Track {
    let base = LogId { index: Index(base), ..LogId::default() };
    Track { base, last: base.index, held: base, ..Track::default() }
}

#[test]
fn what_makes_sense_is_read() {
    let groups = [(7, track(3))];
    let frames = [start(SIZE, &groups), operations(&groups)];
    let Tip { segment, offset, sequence, .. } = read_back(&[&frames, &frames]).unwrap();
    assert_eq!((segment, offset, sequence), (2, 1024, 5));
}

#[test]
fn a_summary_must_agree_with_what_came_before() {
    let groups = [(7, track(3))];
    let first = [start(SIZE, &groups), operations(&groups)];
    let more = Track { last: Index(4), ..track(3) };
    for groups in [vec![], vec![(7, track(2))], vec![(7, more)], vec![(7, track(3)), (8, track(0))]] {
        let error = read_back(&[&first, &[start(SIZE, &groups)]]).unwrap_err();
        let expected = "memory/wal-0000000000000002.log 0 3: the summary contradicts the frames before it";
        assert_eq!(error, expected);
        let error = read_back(&[&[first[0].clone(), operations(&groups)]]).unwrap_err();
        assert!(error.ends_with("512 2: the summary contradicts the frames before it"), "{error}");
    }
    let recovered = [(7, Track { base: track(9).base, last: Index(9), held: track(9).held, ..track(3) })];
    assert!(read_back(&[&first, &[start(SIZE, &recovered)]]).is_ok(), "less than was read");
}

#[test]
fn a_segment_begins_with_a_start_frame_and_has_one() {
    let error = read_back(&[&[operations(&[])]]).unwrap_err();
    assert_eq!(error, "memory/wal-0000000000000001.log 0 1: the segment does not begin with a start frame");
    let error = read_back(&[&[start(SIZE, &[]), start(SIZE, &[])]]).unwrap_err();
    assert_eq!(error, "memory/wal-0000000000000001.log 512 2: a start frame inside a segment");
    let error = read_back(&[&[start(SIZE + 512, &[])]]).unwrap_err();
    assert!(error.ends_with("the file has 4096 bytes and should have 4608"), "{error}");
}

#[test]
fn unknown_kinds_and_malformed_payloads_are_named() {
    let error =
        read_back(&[&[start(SIZE, &[]), (Kind::Unknown(9), summary(&[]), Bytes::new())]]).unwrap_err();
    assert!(error.ends_with("frames of kind 9 are unknown to this version"), "{error}");
    let noise = Bytes::from_static(&[1, 0, 0, 0, 1, 0, 0, 0, 200]);
    let frames = [start(SIZE, &[]), (Kind::Operations, summary(&[]), noise.clone())];
    let error = read_back(&[&frames]).unwrap_err();
    assert!(error.ends_with("512 2: malformed write op"), "{error}");
    let error = read_back(&[&[(Kind::Start, summary(&[]), noise)]]).unwrap_err();
    assert!(error.ends_with("malformed trailing bytes"), "{error}");
}

#[test]
fn lengths_beyond_the_file_are_not_followed() {
    let file = MemoryDisk::new().create("f").unwrap();
    file.allocate(SIZE).unwrap();
    let place = Place { salt: 0, segment: 1, offset: 0 };
    for (length, summary_length) in [(u32::MAX, 0), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let (kind, sequence, previous, payload, summary) = (Kind::Operations, 1, 0, 0, 0);
        let header = Header { kind, sequence, previous, length, payload, summary_length, summary };
        file.write_at(&[Bytes::copy_from_slice(&header.encode(place).0)], 0).unwrap();
    }
    let mut window = Window::new(file, "f".into(), SIZE).unwrap();
    let seen = look(&mut window, place).unwrap().unwrap();
    assert!(seen.summary.is_none() && seen.payload.is_none());
}
