//! The client's half against frames written by hand. Against real servers it is tested by running it.

use super::*;

fn connection() -> Http2 {
    let mut http2 = Http2::new(RequestHeaders::new("/x.Y/Z", "a:1"));
    http2.out.clear();
    http2
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame_header(&mut out, payload.len(), kind, flags, id);
    out.extend_from_slice(payload);
    out
}

fn give(http2: &mut Http2, bytes: &[u8]) {
    assert_eq!(http2.receive(bytes), Ok(bytes.len()));
}

/// Every frame in `bytes`: kind, flags, stream, length.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, usize)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let id = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        found.push((bytes[3], bytes[4], id, len));
        bytes = &bytes[FRAME_HEADER + len..];
    }
    found
}

fn trailers(status: &str) -> Vec<u8> {
    let mut block = vec![0, 11];
    block.extend_from_slice(b"grpc-status");
    block.push(status.len() as u8);
    block.extend_from_slice(status.as_bytes());
    block
}

/// An answer: headers, a range's message with or without a record, trailers.
fn answer(id: u32, record: bool, status: &str) -> Vec<u8> {
    let message: &[u8] =
        if record { &[0, 0, 0, 0, 6, 0x0a, 2, 8, 1, 0x12, 0] } else { &[0, 0, 0, 0, 4, 0x0a, 2, 8, 1] };
    let mut bytes = frame(HEADERS, END_HEADERS, id, &[0x88]);
    bytes.extend(frame(DATA, 0, id, message));
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &trailers(status)));
    bytes
}

fn outcomes(http2: &mut Http2) -> Vec<(u32, Outcome)> {
    http2.done.drain(..).map(|done| (done.slot, done.outcome)).collect()
}

#[test]
fn calls_end_in_any_order_each_once() {
    let mut http2 = connection();
    for slot in 0..3 {
        http2.start(slot, Instant::now(), b"12345");
    }
    let ids: Vec<u32> = frames(&http2.out).iter().map(|frame| frame.2).collect();
    assert_eq!(ids, [1, 1, 3, 3, 5, 5]);
    give(&mut http2, &answer(5, true, "0"));
    give(&mut http2, &answer(1, false, "0"));
    give(&mut http2, &answer(1, false, "0"));
    assert_eq!(outcomes(&mut http2), [(2, Outcome::Ok { found: true }), (0, Outcome::Ok { found: false })]);
    assert_eq!(http2.in_flight(), 1);
    http2.start(7, Instant::now(), b"12345");
    assert_eq!(http2.abandon().iter().map(|lost| lost.0).collect::<Vec<_>>(), [1, 7]);
    assert_eq!(http2.in_flight(), 0);
}

#[test]
fn only_the_first_block_is_spelled_out() {
    let mut http2 = connection();
    http2.start(0, Instant::now(), b"1");
    http2.start(0, Instant::now(), b"1");
    let lens: Vec<usize> =
        frames(&http2.out).iter().filter(|frame| frame.0 == HEADERS).map(|f| f.3).collect();
    assert_eq!(lens, [http2.headers.first.len(), 6]);
    // A peer without a table gets every block spelled out.
    let mut http2 = connection();
    give(&mut http2, &frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]));
    http2.out.clear();
    http2.start(0, Instant::now(), b"1");
    http2.start(0, Instant::now(), b"1");
    let lens: Vec<usize> =
        frames(&http2.out).iter().filter(|frame| frame.0 == HEADERS).map(|f| f.3).collect();
    assert_eq!(lens, [http2.headers.first.len(); 2]);
}

#[test]
fn a_large_request_waits_for_both_windows() {
    let mut http2 = connection();
    http2.start(0, Instant::now(), &vec![7; 100_000]);
    let sent = |http2: &mut Http2| {
        let sent: Vec<_> = frames(&http2.out).into_iter().filter(|frame| frame.0 == DATA).collect();
        http2.out.clear();
        (
            sent.iter().map(|frame| frame.3).sum::<usize>(),
            sent.last().is_some_and(|frame| frame.1 & END_STREAM != 0),
        )
    };
    assert_eq!(sent(&mut http2), (65_535, false));
    give(&mut http2, &frame(WINDOW_UPDATE, 0, 1, &100_000u32.to_be_bytes()));
    assert_eq!(sent(&mut http2), (0, false), "the connection's window is still closed");
    give(&mut http2, &frame(WINDOW_UPDATE, 0, 0, &10_000u32.to_be_bytes()));
    assert_eq!(sent(&mut http2), (10_000, false));
    // A second request may not overtake what the connection's window holds back.
    http2.start(1, Instant::now(), b"small");
    assert_eq!(sent(&mut http2), (0, false));
    give(&mut http2, &frame(WINDOW_UPDATE, 0, 0, &100_000u32.to_be_bytes()));
    assert_eq!(sent(&mut http2), (100_000 - 75_535 + 5, true));
}

#[test]
fn settings_and_pings_are_answered() {
    let mut http2 = connection();
    assert!(!http2.settled());
    give(&mut http2, &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 250, 0, 4, 0, 1, 0, 0]));
    give(&mut http2, &frame(PING, 0, 0, b"12345678"));
    give(&mut http2, &frame(PING, ACK, 0, b"12345678"));
    assert!(http2.settled());
    assert_eq!((http2.peer_streams(), http2.peer_window), (250, 65_536));
    assert_eq!(frames(&http2.out), [(SETTINGS, ACK, 0, 0), (PING, ACK, 0, 8)]);
}

#[test]
fn failures_are_told_apart() {
    let mut http2 = connection();
    for slot in 0..4 {
        http2.start(slot, Instant::now(), b"1");
    }
    give(&mut http2, &answer(1, false, "14"));
    give(&mut http2, &frame(RST_STREAM, 0, 3, &7u32.to_be_bytes()));
    give(&mut http2, &frame(HEADERS, END_HEADERS | END_STREAM, 5, &[0x88]));
    give(&mut http2, &frame(DATA, END_STREAM, 7, b"x"));
    let codes: Vec<(u32, u32)> = outcomes(&mut http2)
        .into_iter()
        .map(|(slot, outcome)| match outcome {
            Outcome::Failed { code, .. } => (slot, code),
            Outcome::Ok { .. } => (slot, 0),
        })
        .collect();
    assert_eq!(codes, [(0, 14), (1, 14), (2, 2), (3, 2)]);
}

#[test]
fn blocks_in_parts_and_padded_frames() {
    let mut http2 = connection();
    http2.start(0, Instant::now(), b"1");
    http2.start(1, Instant::now(), b"1");
    let block = trailers("0");
    give(&mut http2, &frame(HEADERS, END_STREAM, 1, &block[..4]));
    give(&mut http2, &frame(CONTINUATION, END_HEADERS, 1, &block[4..]));
    let mut padded = vec![3];
    padded.extend_from_slice(&block);
    padded.extend_from_slice(&[0; 3]);
    give(&mut http2, &frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 3, &padded));
    assert_eq!(outcomes(&mut http2).len(), 2);
}

#[test]
fn a_cut_is_no_matter_and_nonsense_never_panics() {
    let mut whole = answer(1, true, "0");
    whole.extend(answer(3, false, "0"));
    for cut in 0..whole.len() {
        let mut http2 = connection();
        http2.start(0, Instant::now(), b"1");
        http2.start(1, Instant::now(), b"1");
        let used = http2.receive(&whole[..cut]).expect("first part");
        assert_eq!(http2.receive(&whole[used..]), Ok(whole.len() - used));
        assert_eq!(http2.done.len(), 2, "cut at {cut}");
    }
    let mut state = 7u64;
    for _ in 0..20_000 {
        let mut http2 = connection();
        http2.start(0, Instant::now(), b"1");
        let mut byte = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        };
        let payload: Vec<u8> = (0..byte() % 16).map(|_| byte()).collect();
        let nonsense = frame(byte() % 11, byte(), u32::from(byte() % 4), &payload);
        let _ = http2.receive(&nonsense);
        let _ = http2.receive(&nonsense);
    }
}

#[test]
fn broken_peers_are_faults() {
    assert_eq!(
        connection().receive(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11])),
        Err(Fault::GoAway(11))
    );
    assert!(matches!(connection().receive(b"HTTP/1.1 400 Bad Request\r\n"), Err(Fault::Protocol(_))));
    assert!(matches!(connection().receive(&frame(CONTINUATION, 0, 1, b"")), Err(Fault::Protocol(_))));
}
