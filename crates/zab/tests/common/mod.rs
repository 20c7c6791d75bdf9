//! What Zab adds to the shared script vocabulary.

use std::marker::PhantomData;

use quorate_golden::{Claims, Dialect, show_data, show_membership};
use quorate_protocol::{Ballot, LogId, NodeId};
use quorate_zab::{Body, History, Message, Paper, Rules, State, Zab};

/// Zab under some rules.
pub struct Spoken<R = Paper>(PhantomData<R>);

fn id(id: LogId) -> String {
    format!("{}:{}", id.index, id.ballot.round)
}

fn history(history: History) -> String {
    format!("{}/{}", history.current, id(history.last))
}

fn mark(set: bool, word: &str) -> String {
    if set { format!(" {word}") } else { String::new() }
}

impl<R: Rules> Dialect for Spoken<R> {
    type Core = Zab<R>;

    fn kind(message: &Message) -> &'static str {
        match message.body {
            Body::Notification { .. } => "Notification",
            Body::FollowerInfo { .. } => "FollowerInfo",
            Body::NewEpoch { .. } => "NewEpoch",
            Body::AckEpoch { .. } => "AckEpoch",
            Body::Sync { .. } => "Sync",
            Body::Snapshot { .. } => "Snapshot",
            Body::NewLeader { .. } => "NewLeader",
            Body::AckLeader { .. } => "AckLeader",
            Body::UpToDate { .. } => "UpToDate",
            Body::Propose { .. } => "Propose",
            Body::Ack { .. } => "Ack",
            Body::Commit { .. } => "Commit",
            Body::Ping { .. } => "Heartbeat",
            Body::Pong { .. } => "HeartbeatReply",
            Body::Stale { .. } => "Stale",
            Body::Forward { .. } => "Forward",
            Body::ReadIndex { .. } => "ReadIndex",
            Body::ReadIndexReply { .. } => "ReadIndexReply",
            Body::TakeOver => "TakeOver",
        }
    }

    fn show(message: &Message) -> String {
        let said = match &message.body {
            Body::Notification { round, vote, state, transfer } => {
                let (elected, follows) = (*state == State::Elected, *state == State::Following);
                let marks =
                    mark(elected, "elected") + &mark(follows, "follows") + &mark(*transfer, "transfer");
                format!("round={round} vote={} history={}{marks}", vote.node, history(vote.history))
            }
            Body::FollowerInfo { accepted } | Body::Stale { accepted } => format!("accepted={accepted}"),
            Body::NewEpoch { chosen } => mark(*chosen, "chosen").trim_start().into(),
            Body::AckEpoch { history: told, end, heard } => {
                let heard = if *heard > 0 { format!(" heard=#{heard}") } else { String::new() };
                format!("history={} end={}{heard}", history(*told), id(*end))
            }
            Body::Sync { session, prev } => format!("#{session} prev={}", id(*prev)),
            Body::Snapshot { session, id: at, membership } => {
                format!("#{session} at={} ({})", id(*at), show_membership(membership))
            }
            Body::NewLeader { session, last } => format!("#{session} last={}", id(*last)),
            Body::AckLeader { session, matched } | Body::Ack { session, matched } => {
                format!("#{session} matched={matched}")
            }
            Body::UpToDate { session, commit } | Body::Commit { session, commit } => {
                format!("#{session} commit={commit}")
            }
            Body::Propose { session, prev, entries, commit } => {
                let shown: Vec<String> =
                    entries.iter().map(|entry| format!("{}={}", id(entry.id), show_data(entry))).collect();
                format!("#{session} prev={prev} commit={commit} [{}]", shown.join(" "))
            }
            Body::Ping { session, sent, led, established, commit, round } => {
                let marks = mark(*led, "led") + &mark(*established, "established");
                format!("#{session} sent={sent} commit={commit} reads={round}{marks}")
            }
            Body::Pong { round, priority } => {
                let priority = if *priority > 0 { format!(" priority={priority}") } else { String::new() };
                format!("reads={round}{priority}")
            }
            Body::Forward { number, proposals, .. } => {
                let shown: Vec<_> = proposals.iter().map(|data| String::from_utf8_lossy(data)).collect();
                format!("number={number} [{}]", shown.join(" "))
            }
            Body::ReadIndexReply { index, .. } => format!("index={index}"),
            Body::ReadIndex { .. } | Body::TakeOver => String::new(),
        };
        format!("{} e{} {said}", Self::kind(message), message.epoch).trim_end().into()
    }

    fn claims(from: NodeId, to: NodeId, message: &Message) -> Claims {
        let round = message.epoch;
        let accepted =
            |node| Claims { promised: Some(Ballot { round, node }), vote: true, ..Claims::default() };
        match &message.body {
            Body::NewEpoch { .. } => accepted(from),
            Body::AckEpoch { .. } => accepted(to),
            Body::AckLeader { matched, .. } => {
                Claims { joined: Some(round), holds: Some(*matched), ..accepted(to) }
            }
            Body::Ack { matched, .. } => Claims { holds: Some(*matched), ..Claims::default() },
            _ => Claims::default(),
        }
    }
}
