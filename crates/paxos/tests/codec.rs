//! The messages' bytes: what is written is read back, and damage is refused without a panic.

use bytes::Bytes;
use quorate_paxos::{Body, Message};
use quorate_protocol::codec::{Encode, Reader, Writer};
use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, Membership, NodeId, Random};

fn id(random: &mut Random) -> LogId {
    let ballot = Ballot { round: random.next_u64(), node: NodeId(random.next_u64()) };
    LogId { ballot, index: Index(random.next_u64()) }
}

fn data(random: &mut Random) -> Bytes {
    let len = [0, 1, 100, 5_000][random.below(4) as usize];
    (0..len).map(|_| random.next_u64() as u8).collect()
}

fn entry(random: &mut Random) -> Entry {
    let kind = if random.percent(50) { EntryKind::Noop } else { EntryKind::Command };
    Entry { id: id(random), kind, data: data(random) }
}

fn membership(random: &mut Random) -> Membership {
    let mut some =
        |from: u64| (0..4).map(|at| NodeId(from + at)).filter(|_| random.percent(60)).collect::<Vec<_>>();
    let settled = Membership::new(some(1), some(3));
    let target = Membership::new(some(2), some(5));
    settled.towards(&target.with_write_quorum(random.below(4) as u32))
}

/// One of each kind in turn, with anything in it.
fn message(kind: u64, random: &mut Random) -> Message {
    let (granted, number, index) = (random.percent(50), random.next_u64(), Index(random.next_u64()));
    let many = random.below(4);
    let entries = |random: &mut Random| (0..many).map(|_| entry(random)).collect();
    let body = match kind % 16 {
        0 => Body::Ask { commit: index },
        1 => Body::AskReply { granted },
        2 => Body::Prepare { from: index, transfer: granted },
        3 => Body::Promise { from: index, entries: entries(random), more: granted, commit: Index(number) },
        4 => Body::Accept { entries: entries(random), commit: index },
        5 => Body::Accepted { from: Index(number), upto: index, matched: Index(many) },
        6 => Body::Heartbeat { commit: index, round: number },
        7 => {
            let (matched, lacks) = (index, Index(many));
            Body::HeartbeatReply { round: number, matched, unsure: granted, lacks, priority: number as u8 }
        }
        8 => Body::Snapshot { id: id(random), membership: membership(random) },
        9 => Body::Stale,
        10 => {
            let proposals = (0..many).map(|_| data(random)).collect();
            Body::Forward { stream: number, number, proposals }
        }
        11 => Body::ReadIndex { token: number },
        12 => Body::ReadIndexReply { token: number, index },
        13 => Body::LetGo { base: id(random) },
        14 => Body::TakeOver,
        _ => Body::TimeoutNow,
    };
    Message { ballot: id(random).ballot, body }
}

fn bytes(message: &Message) -> Bytes {
    let mut out = Writer::new();
    message.encode(&mut out);
    out.into_bytes()
}

#[test]
fn what_is_written_is_read_back() {
    let mut random = Random::new(1);
    for kind in 0..1_500 {
        let message = message(kind, &mut random);
        assert_eq!(Reader::whole(bytes(&message)), Ok(message));
    }
}

#[test]
fn every_truncation_is_refused() {
    let mut random = Random::new(2);
    for kind in 0..150 {
        let whole = bytes(&message(kind, &mut random));
        for len in 0..whole.len().min(200) {
            let cut = Reader::whole::<Message>(whole.slice(..len));
            assert!(cut.is_err(), "{len} of {} bytes", whole.len());
        }
    }
}

#[test]
fn damage_never_panics() {
    let mut random = Random::new(3);
    for kind in 0..14_000 {
        let mut damaged = bytes(&message(kind, &mut random)).to_vec();
        for _ in 0..random.between(1, 5) {
            // The head holds kind, counts and lengths: most of what can go wrong.
            let at = random.below(damaged.len().min(80) as u64) as usize;
            damaged[at] = random.next_u64() as u8;
        }
        // Whether it still is a message does not matter; that this returns does.
        let _ = Reader::whole::<Message>(damaged.into());
    }
}
