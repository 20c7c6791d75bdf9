//! What Paxos adds to the shared script vocabulary.

use std::marker::PhantomData;

use quorate_golden::{Claims, Dialect, show_data, show_membership};
use quorate_paxos::{Body, Message, Paper, Paxos, Rules};
use quorate_protocol::{Ballot, Entry, LogId, NodeId};

/// Paxos under some rules.
pub struct Spoken<R = Paper>(PhantomData<R>);

fn show_ballot(ballot: Ballot) -> String {
    format!("{}.{}", ballot.round, ballot.node)
}

fn show_id(id: LogId) -> String {
    format!("{}:{}", id.index, show_ballot(id.ballot))
}

/// Entries under the message's own ballot, or with theirs.
fn show_entries(entries: &[Entry], own: bool) -> String {
    let name = |entry: &Entry| if own { entry.id.index.to_string() } else { show_id(entry.id) };
    let shown: Vec<String> =
        entries.iter().map(|entry| format!("{}={}", name(entry), show_data(entry))).collect();
    format!("[{}]", shown.join(" "))
}

impl<R: Rules> Dialect for Spoken<R> {
    type Core = Paxos<R>;

    fn kind(message: &Message) -> &'static str {
        match message.body {
            Body::Ask { .. } => "Ask",
            Body::AskReply { .. } => "AskReply",
            Body::Prepare { .. } => "Prepare",
            Body::Promise { .. } => "Promise",
            Body::Accept { .. } => "Accept",
            Body::Accepted { .. } => "Accepted",
            Body::Heartbeat { .. } => "Heartbeat",
            Body::HeartbeatReply { .. } => "HeartbeatReply",
            Body::Snapshot { .. } => "Snapshot",
            Body::Stale => "Stale",
            Body::Forward { .. } => "Forward",
            Body::ReadIndex { .. } => "ReadIndex",
            Body::ReadIndexReply { .. } => "ReadIndexReply",
            Body::TimeoutNow => "TimeoutNow",
            Body::LetGo { .. } => "LetGo",
            Body::TakeOver => "TakeOver",
        }
    }

    fn show(message: &Message) -> String {
        let kind = Self::kind(message);
        let if_so = |is: bool, word: &'static str| if is { word } else { "" };
        let said = match &message.body {
            Body::Ask { commit } => format!("commit={commit}"),
            Body::AskReply { granted } => if *granted { "granted" } else { "refused" }.into(),
            Body::Prepare { from, transfer } => format!("from={from}{}", if_so(*transfer, " transfer")),
            Body::Promise { from, entries, more, commit } => {
                let shown = show_entries(entries, false);
                format!("from={from} commit={commit} {shown}{}", if_so(*more, " more"))
            }
            Body::Accept { entries, commit } => format!("commit={commit} {}", show_entries(entries, true)),
            Body::Accepted { from, upto, matched } => {
                let just_now = if upto.0 > 0 { format!("{from}..{upto} ") } else { String::new() };
                format!("{just_now}matched={matched}")
            }
            Body::Heartbeat { commit, round } => format!("commit={commit} reads={round}"),
            Body::HeartbeatReply { round, matched, unsure, lacks, priority } => {
                let unsure = if *unsure { format!(" unsure matched={matched}") } else { String::new() };
                let lacks = if lacks.0 > 0 { format!(" lacks={lacks}") } else { String::new() };
                let priority = if *priority > 0 { format!(" priority={priority}") } else { String::new() };
                format!("reads={round}{unsure}{lacks}{priority}")
            }
            Body::Snapshot { id, membership } => {
                format!("at={} ({})", show_id(*id), show_membership(membership))
            }
            Body::LetGo { base } => format!("base={}", show_id(*base)),
            Body::Stale | Body::TimeoutNow | Body::TakeOver | Body::ReadIndex { .. } => String::new(),
            Body::Forward { number, proposals, .. } => {
                let shown: Vec<_> = proposals.iter().map(|data| String::from_utf8_lossy(data)).collect();
                format!("number={number} [{}]", shown.join(" "))
            }
            Body::ReadIndexReply { index, .. } => format!("index={index}"),
        };
        format!("{kind} {} {said}", show_ballot(message.ballot)).trim_end().into()
    }

    fn claims(_: NodeId, _: NodeId, message: &Message) -> Claims {
        let ballot = message.ballot;
        let promised = Some(ballot);
        match &message.body {
            Body::Prepare { .. } | Body::Heartbeat { .. } => Claims { promised, ..Claims::default() },
            Body::Promise { entries, .. } => {
                let accepted = entries.iter().map(|entry| entry.id).collect();
                Claims { promised, accepted, ..Claims::default() }
            }
            Body::Accepted { from, upto, matched } => {
                let index =
                    |index| LogId { ballot: Ballot::default(), index: quorate_protocol::Index(index) };
                let accepted = (from.0.max(1)..=upto.0).map(index).collect();
                Claims { promised, holds: Some(*matched), accepted, ..Claims::default() }
            }
            _ => Claims::default(),
        }
    }
}
