//! Chord's messages, and those of its hosts.

use bytes::Bytes;
use quorate_chord::{Message, Peer};
use quorate_protocol::codec::Reader;

use super::{Label, Value};
use crate::chord::said::Said;

/// A message's bytes, if they are one.
pub fn read(bytes: Bytes) -> Option<Label> {
    Reader::whole::<Said>(bytes).ok().map(|said| of_said(&said))
}

fn of_said(said: &Said) -> Label {
    match said {
        Said::Chord(message) => of_message(message),
        Said::Keys { number, keys } => {
            let fields = vec![("number", (*number).into()), ("keys", Value::Numbers(keys.clone()))];
            Label::new("Keys", fields, format_args!("{} of them", keys.len()))
        }
        Said::Took { number } => Label::new("Took", vec![("number", (*number).into())], format_args!("")),
        Said::Where { id } => Label::new("Where", vec![("id", id.0.into())], format_args!("{}", short(id.0))),
        Said::There { id, owner } => {
            let fields = vec![("id", id.0.into()), ("owner", owner.node.0.into())];
            Label::new("There", fields, format_args!("{} is node {}'s", short(id.0), owner.node))
        }
    }
}

/// The first digits of a place: enough to tell a dozen apart.
fn short(id: u64) -> String {
    format!("{:04x}", id >> 48)
}

fn nodes(peers: &[Peer]) -> String {
    let names: Vec<String> = peers.iter().map(|peer| peer.node.to_string()).collect();
    format!("[{}]", names.join(" "))
}

fn of_message(message: &Message) -> Label {
    let simple = |name: &str, idle: bool| Label { idle, ..Label::new(name, Vec::new(), format_args!("")) };
    match message {
        Message::Query { .. } => simple("Query", false),
        Message::Busy { .. } => simple("Busy", false),
        Message::Absent { .. } => simple("Absent", false),
        Message::State { own, predecessor, successors, .. } => {
            let before = predecessor.map_or_else(|| "nobody".into(), |peer| peer.node.to_string());
            let after = nodes(successors);
            let fields = vec![("predecessor", before.as_str().into()), ("successors", after.as_str().into())];
            Label::new("State", fields, format_args!("{} at {}, {after}", before, short(own.id.0)))
        }
        Message::Notify { own } => {
            Label::new("Notify", vec![("id", own.id.0.into())], format_args!("{}", short(own.id.0)))
        }
        Message::Leaving { own, successors } => {
            let after = nodes(successors);
            let fields = vec![("id", own.id.0.into()), ("successors", after.as_str().into())];
            Label::new("Leaving", fields, format_args!("{}, {after}", short(own.id.0)))
        }
        Message::Step { key, .. } => {
            let told = Label::new("Step", vec![("key", key.0.into())], format_args!("{}", short(key.0)));
            Label { idle: true, ..told }
        }
        Message::Owner { successors, .. } => {
            let after = nodes(successors);
            let told =
                Label::new("Owner", vec![("successors", after.as_str().into())], format_args!("{after}"));
            Label { idle: true, ..told }
        }
        Message::Closer { peers, .. } => {
            let nearer = nodes(peers);
            let told =
                Label::new("Closer", vec![("peers", nearer.as_str().into())], format_args!("{nearer}"));
            Label { idle: true, ..told }
        }
        Message::Route { key, asker, hops, .. } => {
            let fields = vec![
                ("key", key.0.into()),
                ("asker", asker.node.0.into()),
                ("hops", u64::from(*hops).into()),
            ];
            let told = Label::new("Route", fields, format_args!("{} for node {}", short(key.0), asker.node));
            Label { idle: true, ..told }
        }
        Message::Routed { owner, hops, .. } => {
            let fields = vec![("owner", owner.node.0.into()), ("hops", u64::from(*hops).into())];
            let told = Label::new("Routed", fields, format_args!("to node {}", owner.node));
            Label { idle: true, ..told }
        }
    }
}
