//! The messages of atomic commit, and what its clients ask and are told, under the names of the sources.

use bytes::Bytes;
use quorate_commit::{Body, Message, Outcome, Vote};
use quorate_protocol::codec::Reader;

use super::{Label, Value};
use crate::atomic::Begin;

/// A message's bytes, if they are one.
pub fn read(bytes: Bytes) -> Option<Label> {
    Reader::whole::<Message>(bytes).ok().map(|message| of_message(&message))
}

fn of_message(message: &Message) -> Label {
    let detail = match &message.body {
        Body::Prepare { participants, .. } => format!("among {} sites", participants.len()),
        Body::Vote(Vote::Yes { .. }) => "yes".to_owned(),
        Body::Vote(Vote::No(reason)) => format!("no: {reason:?}"),
        Body::Decision(decision) => format!("{decision:?}"),
        Body::PreCommit { ballot, decision } => format!("{decision:?} in attempt {ballot}"),
        Body::PreAck { ballot } | Body::Query { ballot } => format!("attempt {ballot}"),
        Body::State { ballot, accepted, .. } => format!("attempt {ballot}, accepted {accepted:?}"),
        Body::Ack { .. } | Body::Enquiry | Body::Wait => String::new(),
    };
    let txn = message.txn.to_string();
    let fields = vec![("txn", Value::from(txn.as_str())), ("detail", detail.as_str().into())];
    Label::new(message.body.kind(), fields, format_args!("{txn} {detail}"))
}

/// A client's transaction.
pub fn of_begin(begin: &Begin) -> Label {
    let txn = begin.txn.to_string();
    let sites: Vec<u64> = begin.works.iter().map(|(site, _)| site.0).collect();
    let text = format!("{txn} of age {} at sites {sites:?}", begin.age.0);
    let fields = vec![("txn", txn.into()), ("age", begin.age.0.into()), ("sites", Value::Numbers(sites))];
    Label::new("Begin", fields, format_args!("{text}"))
}

/// What became of one.
pub fn of_outcome(outcome: &Outcome) -> Label {
    match outcome {
        Outcome::Committed { ts, first, .. } => {
            let fields = vec![("ts", ts.0.into()), ("first", (*first).into())];
            let branch = if *first { "" } else { ", by the second branch" };
            Label::new("Committed", fields, format_args!("at {ts}{branch}"))
        }
        Outcome::Aborted(reason) => {
            let reason = format!("{reason:?}");
            Label::new("Aborted", vec![("reason", reason.as_str().into())], format_args!("{reason}"))
        }
        Outcome::Refused(why) => {
            let why = format!("{why:?}");
            Label::new("Refused", vec![("reason", why.as_str().into())], format_args!("{why}"))
        }
        Outcome::Unknown => Label::new("Unknown", Vec::new(), format_args!("")),
    }
}
