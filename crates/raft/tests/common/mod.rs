//! What Raft adds to the shared script vocabulary.

pub mod chaos;

use std::marker::PhantomData;

use quorate_golden::{Claims, Dialect, show_data, show_membership};
use quorate_protocol::{Ballot, LogId, NodeId};
use quorate_raft::{Body, Message, Paper, Raft, Rules};

/// Raft under some rules.
pub struct Spoken<R = Paper>(PhantomData<R>);

fn id(id: LogId) -> String {
    format!("{}:{}", id.index, id.ballot.round)
}

impl<R: Rules> Dialect for Spoken<R> {
    type Core = Raft<R>;

    fn kind(message: &Message) -> &'static str {
        match message.body {
            Body::PreVote { .. } => "PreVote",
            Body::PreVoteReply { .. } => "PreVoteReply",
            Body::Vote { .. } => "Vote",
            Body::VoteReply { .. } => "VoteReply",
            Body::Append { .. } => "Append",
            Body::Accepted { .. } => "Accepted",
            Body::Rejected { .. } => "Rejected",
            Body::Heartbeat { .. } => "Heartbeat",
            Body::HeartbeatReply { .. } => "HeartbeatReply",
            Body::Snapshot { .. } => "Snapshot",
            Body::Stale => "Stale",
            Body::Forward { .. } => "Forward",
            Body::ReadIndex { .. } => "ReadIndex",
            Body::ReadIndexReply { .. } => "ReadIndexReply",
            Body::TimeoutNow => "TimeoutNow",
        }
    }

    fn show(message: &Message) -> String {
        let kind = Self::kind(message);
        let said = match &message.body {
            Body::PreVote { last } | Body::Vote { last, transfer: false } => format!("last={}", id(*last)),
            Body::Vote { last, transfer: true } => format!("last={} transfer", id(*last)),
            Body::PreVoteReply { granted } | Body::VoteReply { granted } => {
                if *granted { "granted" } else { "refused" }.into()
            }
            Body::Append { prev, entries, commit } => {
                let shown: Vec<String> =
                    entries.iter().map(|entry| format!("{}={}", id(entry.id), show_data(entry))).collect();
                format!("prev={} commit={commit} [{}]", id(*prev), shown.join(" "))
            }
            Body::Accepted { matched } => format!("matched={matched}"),
            Body::Rejected { prev, hint, lost } => {
                format!("prev={prev} hint={}{}", id(*hint), if *lost { " lost" } else { "" })
            }
            Body::Heartbeat { commit, round } => format!("commit={commit} reads={round}"),
            Body::HeartbeatReply { round, unsure, priority } => {
                let priority = if *priority > 0 { format!(" priority={priority}") } else { String::new() };
                format!("reads={round}{}{priority}", if *unsure { " unsure" } else { "" })
            }
            Body::Snapshot { id: at, membership } => {
                format!("at={} ({})", id(*at), show_membership(membership))
            }
            Body::Stale | Body::TimeoutNow => String::new(),
            Body::Forward { number, proposals, .. } => {
                let shown: Vec<_> = proposals.iter().map(|data| String::from_utf8_lossy(data)).collect();
                format!("number={number} [{}]", shown.join(" "))
            }
            Body::ReadIndex { .. } => String::new(),
            Body::ReadIndexReply { index, .. } => format!("index={index}"),
        };
        format!("{kind} t{} {said}", message.term.0).trim_end().into()
    }

    fn claims(from: NodeId, to: NodeId, message: &Message) -> Claims {
        let round = message.term.0;
        let vote = |node| Claims { promised: Some(Ballot { round, node }), vote: true, ..Claims::default() };
        match &message.body {
            Body::Vote { last, .. } => Claims { holds: Some(last.index), ..vote(from) },
            Body::VoteReply { granted: true } => vote(to),
            Body::Accepted { matched } => Claims { holds: Some(*matched), ..Claims::default() },
            _ => Claims::default(),
        }
    }
}
