//! Frames that are valid and make no sense: written by a bug or another version, never by a disk.

use quorate_protocol::codec::{Encode, Writer};
use quorate_protocol::{Index, LogId};

use super::*;
use crate::groups::Track;
use crate::memory::MemoryDisk;

const SIZE: u64 = 4096;

/// Write segments, each a list of frames, chained and numbered as they should be; then read them back.
fn read_back(segments: &[&[(Kind, Bytes)]]) -> Result<Tip, String> {
    let disk = MemoryDisk::new();
    let (mut sequence, mut previous) = (1, 0);
    for (number, frames) in (1..).zip(segments) {
        let file = disk.create(&file_name(number)).unwrap();
        file.allocate(SIZE).unwrap();
        let mut offset = 0;
        for (kind, payload) in *frames {
            let length = payload.len() as u32;
            let sum = payload_checksum(std::slice::from_ref(payload));
            let header = Header { kind: *kind, sequence, previous, length, payload: sum };
            let (bytes, sum) = header.encode(Place { salt: 0, segment: number, offset });
            file.write_at(&[Bytes::copy_from_slice(&bytes), payload.clone()], offset).unwrap();
            (sequence, previous, offset) = (sequence + 1, sum, offset + header.span());
        }
    }
    match recover(&disk, 0, segments.len() as u64, false) {
        Ok(found) => Ok(found.unwrap().tip),
        Err(WalError::Damaged { file, offset, sequence, why }) => {
            Err(format!("{file} {offset} {sequence}: {why}"))
        }
        Err(error) => panic!("{error}"),
    }
}

fn start(size: u64, groups: &[(GroupId, Track)]) -> (Kind, Bytes) {
    let mut out = Writer::new();
    Start { size, groups: groups.iter().copied().collect() }.encode(&mut out);
    (Kind::Start, out.into_bytes())
}

fn track(base: u64) -> Track {
    let base = LogId { index: Index(base), ..LogId::default() };
    Track { base, last: base.index, ..Track::default() }
}

const EMPTY: (Kind, Bytes) = (Kind::Operations, Bytes::new());

#[test]
fn what_makes_sense_is_read() {
    let tip = read_back(&[&[start(SIZE, &[(7, track(3))]), EMPTY], &[start(SIZE, &[(7, track(3))]), EMPTY]]);
    let Tip { segment, offset, sequence, .. } = tip.unwrap();
    assert_eq!((segment, offset, sequence), (2, 1024, 5));
}

#[test]
fn a_start_frame_must_agree_with_what_came_before() {
    let first = [start(SIZE, &[(7, track(3))]), EMPTY];
    for groups in [vec![], vec![(7, track(4))], vec![(7, track(3)), (8, track(0))]] {
        let error = read_back(&[&first, &[start(SIZE, &groups), EMPTY]]).unwrap_err();
        assert!(
            error.starts_with("memory/wal-0000000000000002.log 0 3: the start frame contradicts"),
            "{error}"
        );
    }
}

#[test]
fn a_segment_begins_with_a_start_frame_and_has_one() {
    let error = read_back(&[&[EMPTY]]).unwrap_err();
    assert_eq!(error, "memory/wal-0000000000000001.log 0 0: the segment does not begin with a start frame");
    let error = read_back(&[&[start(SIZE, &[]), start(SIZE, &[])]]).unwrap_err();
    assert_eq!(error, "memory/wal-0000000000000001.log 512 2: a start frame inside a segment");
    let error = read_back(&[&[start(SIZE + 512, &[])]]).unwrap_err();
    assert!(error.ends_with("the file has 4096 bytes and should have 4608"), "{error}");
}

#[test]
fn unknown_kinds_and_malformed_payloads_are_named() {
    let error = read_back(&[&[start(SIZE, &[]), (Kind::Unknown(9), Bytes::new())]]).unwrap_err();
    assert!(error.ends_with("frames of kind 9 are unknown to this version"), "{error}");
    let noise = Bytes::from_static(&[1, 0, 0, 0, 1, 0, 0, 0, 200]);
    let error = read_back(&[&[start(SIZE, &[]), (Kind::Operations, noise.clone())]]).unwrap_err();
    assert!(error.ends_with("512 2: malformed write op"), "{error}");
    let error = read_back(&[&[(Kind::Start, noise)]]).unwrap_err();
    assert!(error.ends_with("malformed end of input"), "{error}");
}

#[test]
fn a_length_beyond_the_file_is_not_followed() {
    let file = MemoryDisk::new().create("f").unwrap();
    file.allocate(SIZE).unwrap();
    let place = Place { salt: 0, segment: 1, offset: 0 };
    let header = Header { kind: Kind::Operations, sequence: 1, previous: 0, length: u32::MAX, payload: 0 };
    file.write_at(&[Bytes::copy_from_slice(&header.encode(place).0)], 0).unwrap();
    let mut window = Window::new(&file, "f".into()).unwrap();
    assert!(matches!(look(&mut window, place).unwrap(), Seen::Torn { .. }));
}
