//! Raft's messages, under the names of the paper.

use std::fmt::Arguments;

use bytes::Bytes;
use quorate_protocol::LogId;
use quorate_protocol::codec::Reader;
use quorate_raft::{Body, Message};

use super::{Label, Value};

type Fields = Vec<(&'static str, Value)>;

/// A message's bytes, if they are one.
pub fn read(bytes: Bytes) -> Option<Label> {
    Reader::whole::<Message>(bytes).ok().map(|message| of_raft(&message))
}

/// A message.
fn of_raft(message: &Message) -> Label {
    let term = message.term.0;
    match &message.body {
        Body::PreVote { last } => asking("PreVote", term, *last, false),
        Body::PreVoteReply { granted } => granting("PreVoteReply", term, *granted),
        Body::Vote { last, transfer } => asking("Vote", term, *last, *transfer),
        Body::VoteReply { granted } => granting("VoteReply", term, *granted),
        Body::Append { .. } | Body::Accepted { .. } | Body::Rejected { .. } | Body::Snapshot { .. } => {
            replication(term, &message.body)
        }
        Body::Heartbeat { commit, round } => {
            let fields = vec![("commit", commit.0.into()), ("round", (*round).into())];
            let label = told("Heartbeat", term, fields, format_args!("term {term}, commit {commit}"));
            Label { idle: true, ..label }
        }
        Body::HeartbeatReply { round, unsure, priority } => {
            let priority = u64::from(*priority).into();
            let fields =
                vec![("round", (*round).into()), ("unsure", (*unsure).into()), ("priority", priority)];
            let unsure = if *unsure { ", unsure" } else { "" };
            Label { idle: true, ..told("HeartbeatReply", term, fields, format_args!("term {term}{unsure}")) }
        }
        Body::Stale => told("Stale", term, Vec::new(), format_args!("term {term} is newer")),
        Body::TimeoutNow => told("TimeoutNow", term, Vec::new(), format_args!("term {term}")),
        Body::Forward { stream, number, proposals } => {
            let count = proposals.len() as u64;
            let stream = stream.to_string().into();
            let fields = vec![("stream", stream), ("number", (*number).into()), ("count", count.into())];
            told("Forward", term, fields, format_args!("{count} proposals"))
        }
        Body::ReadIndex { token } => {
            told("ReadIndex", term, vec![("token", token.to_string().into())], format_args!(""))
        }
        Body::ReadIndexReply { token, index } => {
            let fields = vec![("token", token.to_string().into()), ("index", index.0.into())];
            told("ReadIndexReply", term, fields, format_args!("at {index}"))
        }
    }
}

fn told(name: &str, term: u64, fields: Fields, detail: Arguments<'_>) -> Label {
    Label::new(name, [vec![("term", term.into())], fields].concat(), detail)
}

fn at(id: LogId) -> Value {
    Value::Text(id.to_string())
}

fn asking(name: &str, term: u64, last: LogId, transfer: bool) -> Label {
    let mut fields = vec![("last", at(last))];
    if transfer {
        fields.push(("transfer", true.into()));
    }
    let asked = if transfer { ", as the leader asked" } else { "" };
    told(name, term, fields, format_args!("term {term}, log to {last}{asked}"))
}

fn granting(name: &str, term: u64, granted: bool) -> Label {
    let word = if granted { "yes" } else { "no" };
    told(name, term, vec![("granted", granted.into())], format_args!("{word}, term {term}"))
}

fn replication(term: u64, body: &Body) -> Label {
    match body {
        Body::Append { prev, entries, commit } => {
            let count = entries.len() as u64;
            let fields = vec![("prev", at(*prev)), ("count", count.into()), ("commit", commit.0.into())];
            let (first, last) = (prev.index.0 + 1, prev.index.0 + count);
            let what = match count {
                0 => "nothing".to_owned(),
                1 => first.to_string(),
                _ => format!("{first}..{last}"),
            };
            told("Append", term, fields, format_args!("{what} after {prev}, commit {commit}"))
        }
        Body::Accepted { matched } => {
            told("Accepted", term, vec![("matched", matched.0.into())], format_args!("to {matched}"))
        }
        Body::Rejected { prev, hint, lost } => {
            let fields = vec![("prev", prev.0.into()), ("hint", at(*hint)), ("lost", (*lost).into())];
            let lost = if *lost { ", having lost entries" } else { "" };
            told("Rejected", term, fields, format_args!("{prev}, perhaps {hint}{lost}"))
        }
        Body::Snapshot { id, .. } => told("Snapshot", term, vec![("at", at(*id))], format_args!("at {id}")),
        _ => Label::of_debug(body),
    }
}

#[cfg(test)]
mod tests {
    use super::super::of_parcel;
    use super::*;
    use quorate_protocol::{Ballot, Entry, EntryKind, Index, NodeId};
    use quorate_raft::Term;

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
        assert_eq!(of_parcel("nothing known", &append), None);
        assert_eq!(of_parcel("raft", &append.slice(..append.len() - 1)), None);
        let beat = of_parcel("raft", &parcel(Body::Heartbeat { commit: Index(4), round: 9 })).expect("whole");
        assert!(beat.idle && !label.idle);
    }
}
