//! Messages, records and effects on one line.

use quorate_commit::{Body, Decision, Effect, Message, Outcome, Record, SiteId, Vote};

pub fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Commit { ts, first: true } => format!("commit@{ts}"),
        Decision::Commit { ts, first: false } => format!("commit@{ts} else"),
        Decision::Abort => "abort".into(),
    }
}

pub fn message(message: &Message) -> String {
    let (txn, kind) = (message.txn, message.body.kind());
    match &message.body {
        Body::Vote(Vote::Yes { ts, holds, answer }) => {
            let answer = String::from_utf8_lossy(answer);
            format!("{txn} Yes@{ts}{} {answer}", if *holds { "" } else { " else" }).trim_end().to_owned()
        }
        Body::Vote(Vote::No(reason)) => format!("{txn} No {reason:?}"),
        Body::Decision(told) => format!("{txn} Decision {}", decision(told)),
        Body::PreCommit { ballot, decision: goal } => format!("{txn} {kind} {ballot} {}", decision(goal)),
        Body::PreAck { ballot } | Body::Query { ballot } => format!("{txn} {kind} {ballot}"),
        Body::State { ballot, accepted, recovered } => {
            let accepted =
                accepted.map_or("uncertain".into(), |(at, goal)| format!("{at} {}", decision(&goal)));
            format!("{txn} {kind} {ballot}: {accepted}{}", if *recovered { " recovered" } else { "" })
        }
        _ => format!("{txn} {kind}"),
    }
}

pub fn record(record: &Record) -> String {
    match record {
        Record::Prepare { txn, .. } => format!("Prepare {txn}"),
        Record::Refuse { txn, reason } => format!("Refuse {txn} {reason:?}"),
        Record::Promise { txn, ballot } => format!("Promise {txn} {ballot}"),
        Record::Accept { txn, ballot, decision: goal } => format!("Accept {txn} {ballot} {}", decision(goal)),
        Record::Resolve { txn, decision: told, .. } => format!("Resolve {txn} {}", decision(told)),
        Record::Ready { txn, decision: goal, .. } => format!("Ready {txn} {}", decision(goal)),
        Record::Decide { txn, decision: told @ Decision::Commit { .. }, .. } => {
            format!("Decide {txn} {}", decision(told))
        }
        Record::Decide { txn, reason, .. } => format!("Decide {txn} abort {reason:?}"),
        Record::Forget { txn } => format!("Forget {txn}"),
        Record::Local { txn, .. } => format!("Local {txn}"),
        Record::Close { ts } => format!("Close {ts}"),
        Record::Floor { epoch } => format!("Floor {epoch}"),
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed { ts, first, answers } => {
            let branch = if *first { "" } else { " else" };
            let mut line = format!("committed@{ts}{branch}");
            for (site, answer) in answers.iter().filter(|(_, answer)| !answer.is_empty()) {
                line += &format!(" {site}:{}", String::from_utf8_lossy(answer));
            }
            line
        }
        Outcome::Aborted(reason) => format!("aborted {reason:?}"),
        Outcome::Refused(why) => format!("refused {why:?}"),
        Outcome::Unknown => "unknown".into(),
    }
}

/// What a site does.
pub fn effect(id: SiteId, effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Propose(proposed) => format!("  {id} proposes {}", record(proposed)),
        Effect::Send { to, message: sent } => format!("  {id} sends {to} {}", message(sent)),
        Effect::Outcome { txn, outcome: told } => format!("  {id} tells the client: {txn} {}", outcome(told)),
        Effect::Settled { txn, .. } => format!("  {id} has settled {txn}"),
        Effect::Resolved { txn, decision: made, .. } => format!("  {id} resolves {txn} {}", decision(made)),
        Effect::ReadDone { read, answer } => {
            format!("  {id} reads {}: {}", read.0, String::from_utf8_lossy(answer))
        }
        Effect::ReadRefused { read, why } => format!("  {id} refuses read {}: {why:?}", read.0),
    })
}
