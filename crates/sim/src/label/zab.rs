//! Zab's messages, under the names of the paper and of ZooKeeper.

use std::fmt::Arguments;

use bytes::Bytes;
use quorate_protocol::codec::Reader;
use quorate_protocol::{Index, LogId};
use quorate_zab::{Body, Message};

use super::{Label, Value};

type Fields = Vec<(&'static str, Value)>;

/// A message's bytes, if they are one.
pub fn read(bytes: Bytes) -> Option<Label> {
    Reader::whole::<Message>(bytes).ok().map(|message| of_zab(&message))
}

/// A message.
fn of_zab(message: &Message) -> Label {
    let epoch = message.epoch;
    match &message.body {
        Body::Notification { .. }
        | Body::FollowerInfo { .. }
        | Body::NewEpoch { .. }
        | Body::AckEpoch { .. }
        | Body::Stale { .. }
        | Body::TakeOver => electing(epoch, &message.body),
        Body::Sync { .. }
        | Body::Snapshot { .. }
        | Body::NewLeader { .. }
        | Body::AckLeader { .. }
        | Body::UpToDate { .. } => synchronising(epoch, &message.body),
        Body::Propose { session, prev, entries, commit } => {
            proposing(epoch, *session, *prev, entries.len() as u64, *commit)
        }
        Body::Ack { session, matched } => {
            let fields = vec![("session", session.to_string().into()), ("matched", matched.0.into())];
            told("Ack", epoch, fields, format_args!("to {matched}"))
        }
        Body::Commit { session, commit } => {
            let fields = vec![("session", session.to_string().into()), ("commit", commit.0.into())];
            told("Commit", epoch, fields, format_args!("to {commit}"))
        }
        Body::Ping { sent, established, commit, round, .. } => {
            let fields = vec![
                ("sent", sent.0.into()),
                ("established", (*established).into()),
                ("commit", commit.0.into()),
                ("round", (*round).into()),
            ];
            let detail = format_args!("epoch {epoch}, commit {commit}");
            Label { idle: true, ..told("Ping", epoch, fields, detail) }
        }
        Body::Pong { round, .. } => {
            let fields = vec![("round", (*round).into())];
            Label { idle: true, ..told("Pong", epoch, fields, format_args!("epoch {epoch}")) }
        }
        Body::Forward { stream, number, proposals } => {
            let count = proposals.len() as u64;
            let stream = stream.to_string().into();
            let fields = vec![("stream", stream), ("number", (*number).into()), ("count", count.into())];
            told("Forward", epoch, fields, format_args!("{count} proposals"))
        }
        Body::ReadIndex { token } => {
            told("ReadIndex", epoch, vec![("token", token.to_string().into())], format_args!(""))
        }
        Body::ReadIndexReply { token, index } => {
            let fields = vec![("token", token.to_string().into()), ("index", index.0.into())];
            told("ReadIndexReply", epoch, fields, format_args!("at {index}"))
        }
    }
}

/// Entries, however many.
fn proposing(epoch: u64, session: u64, prev: Index, count: u64, commit: Index) -> Label {
    let fields = vec![
        ("session", session.to_string().into()),
        ("prev", prev.0.into()),
        ("count", count.into()),
        ("commit", commit.0.into()),
    ];
    let first = prev.0 + 1;
    let what = match count {
        0 => "nothing".to_owned(),
        1 => first.to_string(),
        _ => format!("{first}..{}", prev.0 + count),
    };
    told("Propose", epoch, fields, format_args!("{what} in epoch {epoch}, commit {commit}"))
}

fn told(name: &str, epoch: u64, fields: Fields, detail: Arguments<'_>) -> Label {
    Label::new(name, [vec![("epoch", epoch.into())], fields].concat(), detail)
}

fn at(id: LogId) -> Value {
    Value::Text(id.to_string())
}

/// Phases 0 and 1.
fn electing(epoch: u64, body: &Body) -> Label {
    match body {
        Body::Notification { round, vote, state, transfer } => {
            let fields = vec![
                ("round", (*round).into()),
                ("vote", vote.node.0.into()),
                ("current", vote.history.current.into()),
                ("last", at(vote.history.last)),
                ("state", format!("{state:?}").into()),
                ("transfer", (*transfer).into()),
            ];
            let (node, history) = (vote.node, vote.history);
            let (epoch_of, last) = (history.current, history.last);
            let detail = format_args!("for {node}, epoch {epoch_of}, log to {last}, {state:?}");
            told("Notification", epoch, fields, detail)
        }
        Body::FollowerInfo { accepted } => {
            let fields = vec![("accepted", Value::Text(accepted.to_string()))];
            told("CEPOCH", epoch, fields, format_args!("having accepted {accepted}"))
        }
        Body::NewEpoch { chosen } => {
            let chosen = (*chosen).into();
            told("NEWEPOCH", epoch, vec![("chosen", chosen)], format_args!("{epoch}"))
        }
        Body::AckEpoch { history, end, heard } => {
            let fields = vec![
                ("current", history.current.into()),
                ("last", at(history.last)),
                ("end", at(*end)),
                ("heard", (*heard).into()),
            ];
            let detail = format_args!("{epoch}, epoch {}, log to {}", history.current, history.last);
            told("ACK-E", epoch, fields, detail)
        }
        Body::Stale { accepted } => {
            let fields = vec![("accepted", Value::Text(accepted.to_string()))];
            told("Stale", epoch, fields, format_args!("{accepted} was accepted"))
        }
        Body::TakeOver => told("TakeOver", epoch, Vec::new(), format_args!("after epoch {epoch}")),
        _ => Label::of_debug(body),
    }
}

/// Phase 2.
fn synchronising(epoch: u64, body: &Body) -> Label {
    let of = |session: &u64| vec![("session", Value::Text(session.to_string()))];
    match body {
        Body::Sync { session, prev } => {
            let fields = [of(session), vec![("prev", at(*prev))]].concat();
            told("Sync", epoch, fields, format_args!("from {prev} on, epoch {epoch}"))
        }
        Body::Snapshot { session, id, .. } => {
            let fields = [of(session), vec![("at", at(*id))]].concat();
            told("Snapshot", epoch, fields, format_args!("at {id}"))
        }
        Body::NewLeader { session, last } => {
            let fields = [of(session), vec![("last", at(*last))]].concat();
            told("NEWLEADER", epoch, fields, format_args!("epoch {epoch}, history to {last}"))
        }
        Body::AckLeader { session, matched } => {
            let fields = [of(session), vec![("matched", matched.0.into())]].concat();
            told("ACK-LD", epoch, fields, format_args!("epoch {epoch}, to {matched}"))
        }
        Body::UpToDate { session, commit } => {
            let fields = [of(session), vec![("commit", commit.0.into())]].concat();
            told("UPTODATE", epoch, fields, format_args!("epoch {epoch}, commit {commit}"))
        }
        _ => Label::of_debug(body),
    }
}

#[cfg(test)]
mod tests {
    use super::super::of_parcel;
    use super::*;
    use quorate_protocol::{Ballot, Entry, EntryKind, Index, NodeId};

    #[test]
    fn a_parcel_is_read_back() {
        let ballot = Ballot { round: 3, node: NodeId(2) };
        let id = LogId { ballot, index: Index(5) };
        let entries = vec![Entry { id, kind: EntryKind::Noop, data: Bytes::new() }];
        let parcel = |body| {
            let message = Message { epoch: 3, body };
            Bytes::from(quorate_wire::encode_message(0, &message).expect("small").concat())
        };
        let propose = Body::Propose { session: 9, prev: Index(4), entries, commit: Index(4) };
        let label = of_parcel("zab", &parcel(propose)).expect("whole");
        assert_eq!(label.text, "Propose 5 in epoch 3, commit 4");
        assert_eq!(label.fields[0], ("epoch", Value::Number(3)));
        let pong = of_parcel("zab", &parcel(Body::Pong { round: 9, priority: 0 })).expect("whole");
        assert!(pong.idle && !label.idle);
    }
}
