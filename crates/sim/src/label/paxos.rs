//! Paxos' messages, under the names of the papers.

use std::fmt::Arguments;

use bytes::Bytes;
use quorate_paxos::{Body, Message};
use quorate_protocol::codec::Reader;
use quorate_protocol::{Entry, LogId};

use super::{Label, Value};

type Fields = Vec<(&'static str, Value)>;

/// A message's bytes, if they are one.
pub fn read(bytes: Bytes) -> Option<Label> {
    Reader::whole::<Message>(bytes).ok().map(|message| of_paxos(&message))
}

/// A message.
fn of_paxos(message: &Message) -> Label {
    let ballot = message.ballot.to_string();
    match &message.body {
        Body::Ask { .. } | Body::AskReply { .. } | Body::Prepare { .. } | Body::Promise { .. } => {
            phase_1(&ballot, &message.body)
        }
        Body::Accept { .. } | Body::Accepted { .. } | Body::Snapshot { .. } => {
            phase_2(&ballot, &message.body)
        }
        Body::Heartbeat { commit, round } => {
            let fields = vec![("commit", commit.0.into()), ("round", (*round).into())];
            let label = told("Heartbeat", &ballot, fields, format_args!("ballot {ballot}, commit {commit}"));
            Label { idle: true, ..label }
        }
        Body::HeartbeatReply { round, matched, unsure, lacks, priority } => {
            let fields = vec![
                ("round", (*round).into()),
                ("matched", matched.0.into()),
                ("unsure", (*unsure).into()),
                ("lacks", lacks.0.into()),
                ("priority", u64::from(*priority).into()),
            ];
            let unsure = if *unsure { ", unsure" } else { "" };
            let label = told("HeartbeatReply", &ballot, fields, format_args!("ballot {ballot}{unsure}"));
            Label { idle: true, ..label }
        }
        Body::Stale => told("Stale", &ballot, Vec::new(), format_args!("ballot {ballot} is greater")),
        Body::TimeoutNow => told("TimeoutNow", &ballot, Vec::new(), format_args!("ballot {ballot}")),
        Body::TakeOver => told("TakeOver", &ballot, Vec::new(), format_args!("ballot {ballot}")),
        Body::LetGo { base } => {
            told("LetGo", &ballot, vec![("base", at(*base))], format_args!("up to {base}"))
        }
        Body::Forward { stream, number, proposals } => {
            let count = proposals.len() as u64;
            let stream = stream.to_string().into();
            let fields = vec![("stream", stream), ("number", (*number).into()), ("count", count.into())];
            told("Forward", &ballot, fields, format_args!("{count} proposals"))
        }
        Body::ReadIndex { token } => {
            told("ReadIndex", &ballot, vec![("token", token.to_string().into())], format_args!(""))
        }
        Body::ReadIndexReply { token, index } => {
            let fields = vec![("token", token.to_string().into()), ("index", index.0.into())];
            told("ReadIndexReply", &ballot, fields, format_args!("at {index}"))
        }
    }
}

fn told(name: &str, ballot: &str, fields: Fields, detail: Arguments<'_>) -> Label {
    Label::new(name, [vec![("ballot", Value::Text(ballot.into()))], fields].concat(), detail)
}

fn phase_1(ballot: &str, body: &Body) -> Label {
    match body {
        Body::Ask { commit } => {
            let fields = vec![("commit", commit.0.into())];
            told("Ask", ballot, fields, format_args!("for ballot {ballot}, knowing {commit} chosen"))
        }
        Body::AskReply { granted } => {
            let word = if *granted { "yes" } else { "no" };
            let fields = vec![("granted", (*granted).into())];
            told("AskReply", ballot, fields, format_args!("{word}, ballot {ballot}"))
        }
        Body::Prepare { from, transfer } => {
            let mut fields = vec![("from", from.0.into())];
            if *transfer {
                fields.push(("transfer", true.into()));
            }
            let asked = if *transfer { ", as the leader asked" } else { "" };
            told("Prepare", ballot, fields, format_args!("ballot {ballot}, from {from}{asked}"))
        }
        Body::Promise { from, entries, more, commit } => {
            let fields = vec![
                ("from", from.0.into()),
                ("count", (entries.len() as u64).into()),
                ("more", (*more).into()),
                ("commit", commit.0.into()),
            ];
            let (slots, more) = (slots_of(entries), if *more { ", and more" } else { "" });
            told(
                "Promise",
                ballot,
                fields,
                format_args!("ballot {ballot}, accepted {slots}{more}, commit {commit}"),
            )
        }
        _ => Label::of_debug(body),
    }
}

fn phase_2(ballot: &str, body: &Body) -> Label {
    match body {
        Body::Accept { entries, commit } => {
            let fields = vec![("count", (entries.len() as u64).into()), ("commit", commit.0.into())];
            let slots = slots_of(entries);
            told("Accept", ballot, fields, format_args!("{slots} under {ballot}, commit {commit}"))
        }
        Body::Accepted { from, upto, matched } => {
            let fields =
                vec![("from", from.0.into()), ("upto", upto.0.into()), ("matched", matched.0.into())];
            told("Accepted", ballot, fields, format_args!("{from}..{upto} under {ballot}, all to {matched}"))
        }
        Body::Snapshot { id, .. } => told("Snapshot", ballot, vec![("at", at(*id))], format_args!("at {id}")),
        _ => Label::of_debug(body),
    }
}

fn at(id: LogId) -> Value {
    Value::Text(id.to_string())
}

/// Which slots, and how many of them.
fn slots_of(entries: &[Entry]) -> String {
    match entries {
        [] => "nothing".to_owned(),
        [entry] => entry.id.index.to_string(),
        [first, .., last] => {
            let (first, last) = (first.id.index, last.id.index);
            let holes = last - first + 1 - entries.len() as u64;
            let holes = if holes == 0 { String::new() } else { format!(" but {holes}") };
            format!("{first}..{last}{holes}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::of_parcel;
    use super::*;
    use quorate_protocol::{Ballot, EntryKind, Index, NodeId};

    #[test]
    fn a_parcel_is_read_back() {
        let ballot = Ballot { round: 3, node: NodeId(2) };
        let entry = |index| Entry {
            id: LogId { ballot, index: Index(index) },
            kind: EntryKind::Noop,
            data: Bytes::new(),
        };
        let parcel = |body| {
            let message = Message { ballot, body };
            Bytes::from(quorate_wire::encode_message(0, &message).expect("small").concat())
        };
        let accept = parcel(Body::Accept { entries: vec![entry(5), entry(7)], commit: Index(4) });
        let label = of_parcel("paxos", &accept).expect("whole");
        assert_eq!(label.text, "Accept 5..7 but 1 under 3@2, commit 4");
        assert_eq!(label.fields[0], ("ballot", Value::Text("3@2".into())));
        let beat =
            of_parcel("paxos", &parcel(Body::Heartbeat { commit: Index(4), round: 9 })).expect("whole");
        assert!(beat.idle && !label.idle);
    }
}
