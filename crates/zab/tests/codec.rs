//! The messages' bytes: what is written is read back, and damage is refused without a panic.

use bytes::Bytes;
use quorate_protocol::codec::{Encode, Reader, Writer};
use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, Membership, NodeId, Random};
use quorate_zab::{Body, History, Message, State, Vote};

/// Kinds of messages.
const KINDS: u64 = 19;

fn ballot(random: &mut Random) -> Ballot {
    Ballot { round: random.next_u64(), node: NodeId(random.next_u64()) }
}

fn id(random: &mut Random) -> LogId {
    LogId { ballot: ballot(random), index: Index(random.next_u64()) }
}

fn history(random: &mut Random) -> History {
    History { current: random.next_u64(), last: id(random) }
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
    settled.towards(&Membership::new(some(2), some(5)))
}

/// One of each kind in turn, with anything in it.
fn message(kind: u64, random: &mut Random) -> Message {
    let (yes, number, index) = (random.percent(50), random.next_u64(), Index(random.next_u64()));
    let (session, many) = (random.next_u64(), random.below(4));
    let body = match kind % KINDS {
        0 => {
            let vote = Vote { node: NodeId(number), history: history(random) };
            let state = [State::Looking, State::Following, State::Elected][random.below(3) as usize];
            Body::Notification { round: number, vote, state, transfer: yes }
        }
        1 => Body::FollowerInfo { accepted: ballot(random) },
        2 => Body::NewEpoch { chosen: yes },
        3 => Body::AckEpoch { history: history(random), end: id(random), heard: number },
        4 => Body::Sync { session, prev: id(random) },
        5 => Body::Snapshot { session, id: id(random), membership: membership(random) },
        6 => Body::NewLeader { session, last: id(random) },
        7 => Body::AckLeader { session, matched: index },
        8 => Body::UpToDate { session, commit: index },
        9 => {
            let entries = (0..many).map(|_| entry(random)).collect();
            Body::Propose { session, prev: index, entries, commit: Index(number) }
        }
        10 => Body::Ack { session, matched: index },
        11 => Body::Commit { session, commit: index },
        12 => {
            let (led, established) = (yes, random.percent(50));
            Body::Ping { session, sent: index, led, established, commit: Index(number), round: number }
        }
        13 => Body::Pong { round: number, priority: number as u8 },
        14 => Body::Stale { accepted: ballot(random) },
        15 => {
            let proposals = (0..many).map(|_| data(random)).collect();
            Body::Forward { stream: number, number, proposals }
        }
        16 => Body::ReadIndex { token: number },
        17 => Body::ReadIndexReply { token: number, index },
        _ => Body::TakeOver,
    };
    Message { epoch: random.next_u64(), body }
}

fn bytes(message: &Message) -> Bytes {
    let mut out = Writer::new();
    message.encode(&mut out);
    out.into_bytes()
}

#[test]
fn what_is_written_is_read_back() {
    let mut random = Random::new(1);
    for kind in 0..100 * KINDS {
        let message = message(kind, &mut random);
        assert_eq!(Reader::whole(bytes(&message)), Ok(message));
    }
}

#[test]
fn every_truncation_is_refused() {
    let mut random = Random::new(2);
    for kind in 0..10 * KINDS {
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
    for kind in 0..1_000 * KINDS {
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
