//! What frames look like when they are told of.

use super::*;
use quorate_protocol::{Ballot, Entry, EntryKind, Index, LogId, NodeId};
use quorate_raft::{Body, Message, Term};

fn id(index: u64, round: u64) -> LogId {
    LogId { ballot: Ballot { round, node: NodeId(1) }, index: Index(index) }
}

fn parcel(body: Body) -> Bytes {
    let message = Message { term: Term(3), body };
    Bytes::from(quorate_wire::encode_message(0, &message).expect("small").concat())
}

#[test]
fn a_parcel_is_read_back() {
    let entry = |index| Entry { id: id(index, 3), kind: EntryKind::Noop, data: Bytes::new() };
    let entries = vec![entry(5), entry(6), entry(7)];
    let append = parcel(Body::Append { prev: id(4, 2), entries, commit: Index(4) });
    let label = of_parcel("raft", &append).expect("whole");
    assert_eq!(label.text, "Append 5..7 after 4:2@1, commit 4");
    assert_eq!(label.fields[0], ("term", Value::Number(3)));
    assert_eq!(of_parcel("zab", &append), None);
    assert_eq!(of_parcel("raft", &append.slice(..append.len() - 1)), None);
    let beat = of_parcel("raft", &parcel(Body::Heartbeat { commit: Index(4), round: 9 })).expect("whole");
    assert!(beat.idle && !label.idle);
}
