//! Frames, packets, greetings and questions.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_kv::Member;
use quorate_protocol::codec::{Encode, Malformed, Reader, Writer};
use quorate_protocol::{Ballot, Index, LogId, NodeId};
use quorate_wire::frame::{HEADER_BYTES, MAX_PAYLOAD_BYTES};
use quorate_wire::{
    Answer, Ask, Frame, FrameDecoder, FrameError, Hello, HelloError, Kind, Local, Packet, Roster,
    SnapshotChunk, encode_frame, encode_message,
};

fn body() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..60).prop_map(Bytes::from),
        1 => (any::<u8>(), 4000usize..9000).prop_map(|(byte, len)| Bytes::from(vec![byte; len])),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (any::<u32>(), body()).prop_map(|(group, body)| Packet::Message { group, body }),
        (any::<(u64, u64, bool)>(), body()).prop_map(|((stream, offset, last), bytes)| {
            Packet::SnapshotChunk(SnapshotChunk { stream, offset, last, bytes })
        }),
        (any::<u64>(), body()).prop_map(|(token, body)| Packet::Ask { token, body }),
        (any::<u64>(), body()).prop_map(|(token, body)| Packet::Answer { token, body }),
        any::<u64>().prop_map(|token| Packet::Ping { token }),
        any::<u64>().prop_map(|token| Packet::Pong { token }),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    (".{0,12}", any::<u64>(), 1u64.., 1u64.., any::<u64>()).prop_map(
        |(protocol, cluster, from, to, incarnation)| Hello {
            protocol,
            cluster,
            from: NodeId(from),
            to: NodeId(to),
            incarnation,
            removed: incarnation % 2 == 1,
        },
    )
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        any::<i64>().prop_map(|id| Ask::LeaseRenew { id }),
        any::<i64>().prop_map(|id| Ask::LeaseRemaining { id }),
        Just(Ask::Probe),
        Just(Ask::Members),
        any::<u64>().prop_map(|id| Ask::InSync { id }),
        (any::<u64>(), vec(".{0,20}", 0..3)).prop_map(|(old, peer_urls)| Ask::ReplaceLost { old, peer_urls }),
    ]
}

fn roster() -> impl Strategy<Value = Roster> {
    let urls = || vec(".{0,20}", 0..3);
    let member = (any::<u64>(), ".{0,9}", urls(), urls(), any::<(bool, bool)>()).prop_map(
        |(id, name, peer_urls, client_urls, (is_learner, is_returning))| Member {
            id,
            name,
            peer_urls,
            client_urls,
            is_learner,
            is_returning,
        },
    );
    (any::<(u64, u64)>(), ".{0,9}", vec(member, 0..4), vec(any::<u64>(), 0..3)).prop_map(
        |((cluster, leader), protocol, members, removed)| Roster {
            cluster,
            protocol,
            leader,
            members,
            removed,
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        any::<i64>().prop_map(|ttl| Answer::Renewed { ttl }),
        any::<(i64, i64)>().prop_map(|(remaining, granted)| Answer::Remaining { remaining, granted }),
        Just(Answer::NotFound),
        Just(Answer::NotLeader),
        ".{0,12}".prop_map(|version| Answer::Version { version }),
        Just(Answer::Unsupported),
        roster().prop_map(Answer::Members),
        any::<bool>().prop_map(|ready| Answer::InSync { ready }),
        any::<(u64, u64)>().prop_map(|(cluster, id)| Answer::Replaced { cluster, id }),
        ".{0,30}".prop_map(|why| Answer::Refused { why }),
    ]
}

fn frame_of(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    payload.iter().for_each(|byte| out.u8(*byte));
    encode_frame(kind, out).unwrap().concat()
}

/// Everything the decoder makes of a stream that arrives in pieces of the given sizes, over and over.
fn decode(stream: &[u8], pieces: &[usize]) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    let mut rest = stream;
    for size in pieces.iter().cycle() {
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
        if rest.is_empty() {
            return Ok(frames);
        }
        let (piece, after) = rest.split_at((*size).clamp(1, rest.len()));
        decoder.feed(piece);
        rest = after;
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn packets_survive_any_fragmentation(packets in vec(packet(), 1..8), pieces in vec(1usize..3000, 1..6)) {
        let stream: Vec<u8> =
            packets.iter().flat_map(|packet| packet.encode().unwrap().concat()).collect();
        let frames = decode(&stream, &pieces).unwrap();
        let read: Vec<Packet> = frames.into_iter().map(|frame| Packet::decode(frame).unwrap()).collect();
        prop_assert_eq!(read, packets);
    }

    /// A flipped bit anywhere is an error (or a wait for bytes that never come), never another packet.
    #[test]
    fn a_flipped_bit_is_noticed(packet in packet(), at: prop::sample::Index, bit in 0u32..8) {
        let mut stream = packet.encode().unwrap().concat();
        let at = at.index(stream.len());
        stream[at] ^= 1 << bit;
        prop_assert!(decode(&stream, &[4096]).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(data in vec(any::<u8>(), 0..100), pieces in vec(1usize..20, 1..4)) {
        let _ = decode(&data, &pieces);
        let _ = Hello::decode(data.clone().into());
        let _ = Reader::whole::<Ask>(data.clone().into());
        let _ = Reader::whole::<Answer>(data.clone().into());
        for kind in [Kind::Hello, Kind::Message, Kind::SnapshotChunk, Kind::Ask, Kind::Answer, Kind::Ping] {
            let _ = Packet::decode(Frame { kind, payload: data.clone().into() });
            let _ = Hello::from_frame(Frame { kind, payload: data.clone().into() });
        }
        // The same behind a good tag, so that what follows it is reached.
        for tag in 0..12 {
            let tagged = Bytes::from([&[tag], &data[..]].concat());
            let _ = Reader::whole::<Ask>(tagged.clone());
            let _ = Reader::whole::<Answer>(tagged);
        }
    }

    /// A changed byte gives an error or another value that is written as these very bytes.
    #[test]
    fn a_damaged_question_or_answer_never_panics(
        ask in ask(), answer in answer(), at: prop::sample::Index, byte: u8,
    ) {
        let damaged = |packet: Packet| {
            let (Packet::Ask { body, .. } | Packet::Answer { body, .. }) = packet else { panic!("neither") };
            let mut bytes = body.to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            Bytes::from(bytes)
        };
        let bytes = damaged(Packet::ask(1, &ask));
        if let Ok(read) = Reader::whole::<Ask>(bytes.clone()) {
            prop_assert_eq!(Packet::ask(1, &read), Packet::Ask { token: 1, body: bytes });
        }
        let bytes = damaged(Packet::answer(1, &answer));
        if let Ok(read) = Reader::whole::<Answer>(bytes.clone()) {
            prop_assert_eq!(Packet::answer(1, &read), Packet::Answer { token: 1, body: bytes });
        }
    }

    #[test]
    fn greetings_questions_and_answers_are_read_back(hello in hello(), ask in ask(), answer in answer()) {
        let mut frames = decode(&hello.to_frame().concat(), &[7]).unwrap();
        prop_assert_eq!(Hello::from_frame(frames.remove(0)), Ok(hello));
        let Packet::Ask { body, token: 9 } = Packet::ask(9, &ask) else { panic!("another packet") };
        prop_assert_eq!(Reader::whole::<Ask>(body), Ok(ask));
        let Packet::Answer { body, token: 9 } = Packet::answer(9, &answer) else { panic!("another packet") };
        prop_assert_eq!(Reader::whole::<Answer>(body), Ok(answer));
    }

    #[test]
    fn a_cut_greeting_is_refused(hello in hello(), cut: prop::sample::Index) {
        let mut out = Writer::new();
        hello.encode(&mut out);
        let data = out.into_bytes();
        prop_assert!(Hello::decode(data.slice(..cut.index(data.len()))).is_err());
    }
}

#[test]
fn a_message_is_its_group_and_the_cores_own_bytes() {
    let id = LogId { ballot: Ballot { round: 3, node: NodeId(1) }, index: Index(9) };
    let stream = encode_message(7, &id).unwrap().concat();
    let frame = decode(&stream, &[100]).unwrap().remove(0);
    let Ok(Packet::Message { group: 7, body }) = Packet::decode(frame) else { panic!("another packet") };
    assert_eq!(Reader::whole::<LogId>(body), Ok(id));
}

#[test]
fn large_values_are_neither_copied_into_nor_out_of_frames() {
    struct Large(Bytes);
    impl Encode for Large {
        fn encode(&self, out: &mut Writer) {
            out.bytes(&self.0);
        }
    }
    let large = Bytes::from(vec![5; 10_000]);
    let segments = encode_message(1, &Large(large.clone())).unwrap();
    assert!(segments.iter().any(|segment| segment.as_ptr() == large.as_ptr()), "sent by reference");
    let mut decoder = FrameDecoder::default();
    decoder.feed(&segments.concat());
    let span = decoder.buffer().as_ptr_range();
    let frame = decoder.next_frame().unwrap().unwrap();
    assert!(span.contains(&frame.payload.as_ptr()), "received in place");
}

#[test]
fn the_header_is_frozen() {
    let frame = frame_of(Kind::Ping, &[1, 2, 3]);
    assert_eq!(frame[..8], [b'Q', b'w', 6, 0, 3, 0, 0, 0]);
    assert_eq!(frame[8..12], crc32c::crc32c(&[1, 2, 3]).to_le_bytes());
    assert_eq!(frame[12..16], crc32c::crc32c(&frame[..12]).to_le_bytes());
    assert_eq!(frame.len(), HEADER_BYTES + 3);
}

/// A frame's header with some bytes replaced and its checksum made good again.
fn forged(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut frame = frame_of(Kind::Ping, &[0; 8]);
    change(&mut frame);
    let crc = crc32c::crc32c(&frame[..12]);
    frame[12..16].copy_from_slice(&crc.to_le_bytes());
    frame
}

#[test]
fn each_fault_of_a_stream_has_its_error() {
    let http = b"GET / HTTP/1.1\r\n\r\n";
    assert_eq!(decode(http, &[2]), Err(FrameError::Magic(*b"GE")), "two bytes are enough to tell");
    let mut frame = frame_of(Kind::Ping, &[0; 8]);
    frame[20] ^= 1;
    assert_eq!(decode(&frame, &[100]), Err(FrameError::PayloadChecksum));
    frame[4] ^= 1;
    assert_eq!(decode(&frame, &[100]), Err(FrameError::HeaderChecksum));
    let kind = forged(|header| header[2] = 99);
    assert_eq!(decode(&kind, &[100]), Err(FrameError::Unknown { kind: 99, flags: 0 }));
    let flags = forged(|header| header[3] = 1);
    assert_eq!(decode(&flags, &[100]), Err(FrameError::Unknown { kind: 6, flags: 1 }));
    let large = forged(|header| header[4..8].fill(255));
    let max = MAX_PAYLOAD_BYTES as u32;
    assert_eq!(decode(&large, &[100]), Err(FrameError::TooLarge { len: u32::MAX, max }));
}

#[test]
fn a_failed_stream_stays_failed() {
    let mut decoder = FrameDecoder::default();
    let mut bad = frame_of(Kind::Ping, &[0; 8]);
    bad[16] ^= 1;
    decoder.feed(&bad);
    assert_eq!(decoder.next_frame(), Err(FrameError::PayloadChecksum));
    decoder.feed(&frame_of(Kind::Ping, &[0; 8]));
    assert_eq!(decoder.next_frame(), Err(FrameError::PayloadChecksum));
}

#[test]
fn the_bound_on_payloads_is_the_hosts_until_the_greeting_is_done() {
    let mut decoder = FrameDecoder::new(100);
    decoder.feed(&frame_of(Kind::Hello, &[0; 100]));
    assert!(decoder.next_frame().unwrap().is_some());
    decoder.feed(&frame_of(Kind::Hello, &[0; 101]));
    assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge { len: 101, max: 100 }));
    let mut decoder = FrameDecoder::new(100);
    decoder.set_max_payload_bytes(usize::MAX);
    decoder.feed(&frame_of(Kind::Message, &[0; 101]));
    assert!(decoder.next_frame().unwrap().is_some());
}

#[test]
fn a_payload_beyond_the_bound_is_refused_by_its_sender() {
    let body = Bytes::from(vec![0; MAX_PAYLOAD_BYTES]);
    let error = Packet::Message { group: 0, body }.encode().unwrap_err();
    assert_eq!(error, FrameError::TooLarge { len: (4 + (64 << 20)), max: 64 << 20 });
}

fn greeting() -> Hello {
    let (from, to) = (NodeId(0xa), NodeId(0xb));
    Hello { protocol: "raft".into(), cluster: 0xc1, from, to, incarnation: 1, removed: false }
}

fn local() -> Local<'static> {
    Local { protocol: "raft", cluster: 0xc1, node: NodeId(0xb), dialled: None }
}

#[test]
fn a_fitting_peer_is_welcome() {
    assert_eq!(greeting().check(&local()), Ok(()));
    assert_eq!(greeting().check(&Local { dialled: Some(NodeId(0xa)), ..local() }), Ok(()));
}

#[test]
fn a_stranger_is_turned_away_with_the_reason() {
    let text = |hello: Hello, local: Local| hello.check(&local).unwrap_err().to_string();
    let other = text(Hello { cluster: 0xc2, ..greeting() }, local());
    assert!(
        other.contains("c2") && other.contains("c1") && other.contains("--initial-cluster-token"),
        "{other}"
    );
    let other = text(Hello { protocol: "zab".into(), ..greeting() }, local());
    assert!(other.contains("zab") && other.contains("raft") && other.contains("--protocol"), "{other}");
    let wrong = "this address belongs to member b, not d: check --initial-cluster";
    assert_eq!(text(Hello { to: NodeId(0xd), ..greeting() }, local()), wrong);
    let wrong = "this address belongs to member a, not d: check --initial-cluster";
    assert_eq!(text(greeting(), Local { dialled: Some(NodeId(0xd)), ..local() }), wrong);
    assert_eq!(Hello { from: NodeId(0xb), ..greeting() }.check(&local()), Err(HelloError::SameId(0xb)));
}

#[test]
fn another_version_is_named_before_anything_else_is_read() {
    let later = Bytes::from_static(&[3, 0, 0, 0, 99]);
    assert_eq!(Hello::decode(later), Err(HelloError::Version { theirs: 3 }));
}

fn read_back(hello: &Hello) -> Result<Hello, HelloError> {
    Hello::from_frame(decode(&hello.to_frame().concat(), &[99]).unwrap().remove(0))
}

/// Somebody who is to join may greet and ask, and is nobody's peer, whatever else it says.
#[test]
fn a_stranger_may_ask_and_is_no_peer() {
    let stranger = Hello::stranger("raft", 7);
    assert!(stranger.is_stranger() && !greeting().is_stranger());
    assert_eq!(read_back(&stranger), Ok(stranger.clone()));
    assert_eq!(stranger.check(&local()), Err(HelloError::Stranger));
    let back = Hello { to: NodeId(0), ..greeting() };
    assert_eq!(read_back(&back), Ok(back.clone()), "the answer to one");
    let wrong = Err(HelloError::WrongTarget { meant: 0, actual: 0xb });
    assert_eq!(back.check(&local()), wrong, "which is for nobody else");
    for knowing in [
        Hello { from: NodeId(0), ..greeting() },
        Hello { cluster: 1, ..stranger.clone() },
        Hello { to: NodeId(1), ..stranger.clone() },
        Hello { removed: true, ..stranger },
    ] {
        assert_eq!(read_back(&knowing), Err(Malformed("hello: a stranger knows the cluster").into()));
    }
    let asked = |ask: Ask| ask.is_for_strangers();
    assert!(asked(Ask::Probe) && asked(Ask::Members));
    assert!(asked(Ask::ReplaceLost { old: 1, peer_urls: Vec::new() }));
    assert!(!asked(Ask::LeaseRenew { id: 1 }) && !asked(Ask::LeaseRemaining { id: 1 }));
    assert!(!asked(Ask::InSync { id: 1 }));
}

/// A removed member is told, by nobody but a member of its own cluster that means it.
#[test]
fn who_was_removed_is_told_so() {
    let told = Hello { removed: true, ..greeting() };
    let error = told.check(&local()).unwrap_err();
    assert_eq!(error, HelloError::Removed { by: 0xa, me: 0xb, cluster: 0xc1 });
    assert!(error.to_string().contains("removed from cluster c1"), "{error}");
    let other = Hello { cluster: 0xc2, ..told.clone() };
    assert!(matches!(other.check(&local()), Err(HelloError::Cluster { .. })));
    let other = Hello { to: NodeId(0xd), ..told };
    assert!(matches!(other.check(&local()), Err(HelloError::WrongTarget { .. })));
}

/// No answer makes the decoder set aside more than its bytes are worth.
#[test]
fn a_roster_that_claims_too_much_is_refused() {
    let mut out = Writer::new();
    out.u8(7);
    out.u64(1);
    out.slice(b"raft");
    out.u64(0);
    out.u32(u32::MAX);
    assert_eq!(Reader::whole::<Answer>(out.into_bytes()), Err(Malformed("count")));
}

#[test]
fn a_packet_is_its_whole_frame() {
    for len in [0, 7, 9] {
        let payload = Bytes::from(vec![0; len]);
        assert!(Packet::decode(Frame { kind: Kind::Ping, payload }).is_err(), "{len} bytes");
    }
}

#[test]
fn a_greeting_comes_first_and_once() {
    let ping = Frame { kind: Kind::Ping, payload: Bytes::from_static(&[0; 8]) };
    assert!(Hello::from_frame(ping).is_err());
    let mut hello = decode(&greeting().to_frame().concat(), &[99]).unwrap();
    assert_eq!(Packet::decode(hello.remove(0)), Err(Malformed("packet: a second hello")));
}
