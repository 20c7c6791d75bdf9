//! What an etcdctl 3.4.23 really sends, blocks made by hand, every way to cut a stream, and bytes at random.

use std::convert::Infallible;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// etcdctl 3.4.23, `--endpoints http://127.0.0.1:47999 endpoint status`: the preface, its settings, the
/// acknowledgement of ours, its request's headers and data.
const RECORDED: [&str; 5] = [
    "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a",
    "000000040000000000",
    "000000040100000000",
    "0000770104000000018386459760a924882d9dcb6571afa066a925a87510ac6e48d36a3f41909d29aee30c044eae05c0b86e34ebefbf\
     5f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb2caecff40027465864d833505b11f40899acac8b24d494f6a7f8613efbc171e\
     b7408d25062d495875996ee5b1063d5f03332e34",
    "0000050001000000010000000000",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, stream]);
    frame.extend(payload);
    frame
}

fn headers(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, block)
}

fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut all = PREFACE.to_vec();
    frames.iter().for_each(|frame| all.extend(frame));
    all
}

/// A stream in pieces of these sizes; the last goes on to the end.
fn rewritten(stream: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (mut rewriter, mut out, mut rest) = (Rewriter::default(), Vec::new(), stream);
    for cut in cuts {
        let (piece, later) = rest.split_at((*cut).min(rest.len()));
        rewriter.feed(piece, &mut out);
        assert!(rewriter.held.len() < FRAME_HEADER + MAX_HEADERS, "what is held is bounded");
        rest = later;
    }
    rewriter.feed(rest, &mut out);
    rewriter.finish(&mut out);
    out
}

/// A field as a literal with an indexed name.
fn literal(kind: u8, name: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![kind | name, value.len() as u8];
    field.extend(value);
    field
}

#[test]
fn the_recorded_request_is_put_right() {
    let stream = RECORDED.map(bytes);
    let mut wanted = stream.clone();
    let block = &stream[3][FRAME_HEADER..];
    let at = block.windows(2).position(|two| two == [0x41, 0x90]).expect("an authority of 16 bytes, coded");
    wanted[3] = headers(&[&block[..at], &literal(0x40, 1, b"etcd"), &block[at + 18..]].concat());
    assert_eq!(rewritten(&stream.concat(), &[]), wanted.concat());
}

#[test]
fn every_way_to_cut_a_stream_in_three_gives_the_same() {
    let stream = RECORDED.map(bytes).concat();
    let whole = rewritten(&stream, &[]);
    assert_ne!(whole, stream);
    for first in 0..stream.len() {
        for second in 0..stream.len() - first {
            assert_eq!(rewritten(&stream, &[first, second]), whole, "cut after {first} and {second} more");
        }
    }
    assert_eq!(rewritten(&stream, &vec![1; stream.len()]), whole);
}

#[test]
fn every_kind_of_literal_and_every_scheme() {
    // `http://a`, `https://a`, `unix://a` by the code of RFC 7541 appendix B, padded with ones.
    let coded = ["9d29aee30c0f", "9d29ad1718607f", "b6a379b8c303"].map(bytes);
    let huffman = |value: &[u8]| [&[CODED_STRING | value.len() as u8], value].concat();
    let plain = [&b"http://a"[..], b"https://127.0.0.1:2379", b"unix://"].map(<[u8]>::to_vec);
    let plain = plain.iter().map(|value| [&[value.len() as u8], &value[..]].concat());
    for value in coded.iter().map(|value| huffman(value)).chain(plain) {
        for kind in [0x40, 0x10, 0x00] {
            let before =
                [&[0x83, 0x86, 0x3f, 0xe1, 0x1f][..], &literal(0, 0, b"te")[..], &[0x01, b'x']].concat();
            let was = headers(&[&before[..], &[kind | 1], &value, &[0x88]].concat());
            let wanted = headers(&[&before[..], &literal(kind, 1, b"etcd"), &[0x88]].concat());
            let (was, wanted) = (connection(&[was]), connection(&[wanted]));
            assert_eq!(rewritten(&was, &[]), wanted, "kind {kind:x}, value {value:x?}");
        }
    }
}

/// A string's bit that tells Huffman's code.
const CODED_STRING: u8 = 0x80;

#[test]
fn padding_and_priority_stay() {
    let url = literal(0x40, 1, b"http://h:1");
    let right = literal(0x40, 1, b"etcd");
    let dressed = |flags: u8, block: &[u8]| {
        let pad: &[u8] = if flags & PADDED != 0 { &[3] } else { &[] };
        let priority: &[u8] = if flags & PRIORITY != 0 { &[0, 0, 0, 0, 7] } else { &[] };
        let padding: &[u8] = if flags & PADDED != 0 { &[0; 3] } else { &[] };
        frame(HEADERS, flags | END_HEADERS, 1, &[pad, priority, block, padding].concat())
    };
    for flags in [0, PADDED, PRIORITY, PADDED | PRIORITY] {
        let (was, wanted) = (connection(&[dressed(flags, &url)]), connection(&[dressed(flags, &right)]));
        assert_eq!(rewritten(&was, &[]), wanted, "flags {flags:x}");
    }
    // Padding that says more than there is.
    let wrong = connection(&[frame(HEADERS, END_HEADERS | PADDED, 1, &[200, 0x41, 1, b'x'])]);
    assert_eq!(rewritten(&wrong, &[]), wrong);
}

#[test]
fn what_follows_a_changed_request_is_looked_at_and_what_follows_another_is_not() {
    let url = headers(&literal(0x40, 1, b"http://h:1"));
    let right = headers(&literal(0x40, 1, b"etcd"));
    let good = headers(&literal(0x40, 1, b"h:1"));
    let data = frame(0, 1, 1, b"some data, of no interest");
    let all = [url.clone(), data.clone(), good.clone(), url.clone()].to_vec();
    let wanted = [right.clone(), data.clone(), good.clone(), right].to_vec();
    assert_eq!(rewritten(&connection(&all), &[]), connection(&wanted));
    let all = connection(&[data, good, url]);
    assert_eq!(rewritten(&all, &[]), all);
    let mut rewriter = Rewriter::default();
    rewriter.feed(&all, &mut Vec::new());
    assert!(rewriter.through() && rewriter.held.is_empty());
}

#[test]
fn headers_that_cannot_be_held_go_on_as_they_are() {
    let url = literal(0x40, 1, b"http://h:1");
    let mut long = url.clone();
    long.resize(MAX_HEADERS + 1, 0x88);
    for first in [frame(HEADERS, 0, 1, &url), headers(&long), headers(&[])] {
        let all = connection(&[first, headers(&url)]);
        assert_eq!(rewritten(&all, &[]), all);
    }
}

#[test]
fn nothing_but_the_beginning_of_a_frame_that_matters_is_held_back() {
    let stream = connection(&[frame(4, 0, 0, &[0; 12]), headers(&literal(0x40, 1, b"http://h:1"))]);
    let plain = PREFACE.len() + FRAME_HEADER + 12;
    for end in 0..stream.len() {
        let (mut rewriter, mut out) = (Rewriter::default(), Vec::new());
        rewriter.feed(&stream[..end], &mut out);
        let in_header = (PREFACE.len()..PREFACE.len() + FRAME_HEADER).contains(&end);
        let expected = if in_header { PREFACE.len() } else { end.min(plain) };
        assert_eq!(out.len(), expected, "after {end} bytes");
    }
}

/// Sends these to hyper, which refuses a URL for an authority; answers what comes back until `done` has come so often.
async fn answered(requests: &[Vec<u8>], done: &str, times: usize) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let answer = |request: http::Request<hyper::body::Incoming>| async move {
        let authority = request.uri().authority().map_or("none", |name| name.as_str()).to_owned();
        Ok::<_, Infallible>(http::Response::new(authority))
    };
    tokio::spawn(async move {
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let service = TowerToHyperService::new(tower::service_fn(answer));
        let _ = builder.serve_connection(TokioIo::new(Stream::new(server)), service).await;
    });
    for request in requests {
        client.write_all(request).await.expect("room");
    }
    let (mut seen, mut text) = (Vec::new(), String::new());
    let patience = std::time::Duration::from_secs(5);
    while text.matches(done).count() < times {
        let Ok(Ok(1..)) = tokio::time::timeout(patience, client.read_buf(&mut seen)).await else { break };
        text = String::from_utf8_lossy(&seen).into_owned();
    }
    text
}

#[test]
fn the_library_under_us_accepts_both_requests_of_such_a_client() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut first = RECORDED.map(bytes).to_vec();
    // The second request names the authority that the first left in the table, as the sixth newest.
    first.push(frame(HEADERS, END_HEADERS | 1, 3, &[0x83, 0x86, 0x84, 0x80 | (62 + 5)]));
    let seen = runtime.block_on(answered(&first, "etcd", 2));
    assert_eq!(seen.matches("etcd").count(), 2, "{seen:?}");
    let plain = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec();
    let seen = runtime.block_on(answered(&[plain], "none", 1));
    assert!(seen.starts_with("HTTP/1.1 200 OK"), "{seen:?}");
}

fn a_frame() -> impl Strategy<Value = Vec<u8>> {
    let url = Just(literal(0x40, 1, b"http://127.0.0.1:2379"));
    let block = prop_oneof![url, vec(any::<u8>(), 0..60)];
    let flags = prop_oneof![Just(END_HEADERS), any::<u8>()];
    (prop_oneof![Just(HEADERS), 0u8..10], flags, block)
        .prop_map(|(kind, flags, block)| frame(kind, flags, 1, &block))
}

proptest! {
    #[test]
    fn bytes_at_random_never_panic(tail in vec(any::<u8>(), 0..400), cuts in vec(0usize..40, 0..20)) {
        let stream = [PREFACE, &tail].concat();
        prop_assert_eq!(rewritten(&stream, &cuts), rewritten(&stream, &[]));
        let _ = hpack::url_authority(&tail);
    }

    #[test]
    fn frames_at_random_cut_at_random_give_the_same(
        frames in vec(a_frame(), 0..12), cuts in vec(0usize..60, 0..20),
    ) {
        let stream = connection(&frames);
        let whole = rewritten(&stream, &[]);
        prop_assert!(whole.len() <= stream.len());
        prop_assert_eq!(rewritten(&stream, &cuts), whole);
    }

    #[test]
    fn what_is_not_http2_is_not_touched(stream in vec(any::<u8>(), 0..400), cuts in vec(0usize..40, 0..20)) {
        prop_assume!(!stream.starts_with(PREFACE));
        prop_assert_eq!(rewritten(&stream, &cuts), stream);
    }
}
