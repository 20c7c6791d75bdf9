//! What a message, a request or an answer is called in a story, and the few of its fields that matter there.
//!
//! The world carries bytes and is generic over the protocol; only here are the bytes read back for people. A name is
//! the paper's or etcd's. Nothing here is called unless somebody reads along.

mod chord;
mod commit;
mod paxos;
mod raft;
mod zab;

use std::fmt;

use bytes::Bytes;
use quorate_kv::{Command, Op, Outcome, Put, WatchMessage};
use quorate_wire::{FrameDecoder, Packet, SnapshotChunk};

use crate::atomic::site::SITES;
use crate::clients::Reply;
use crate::node::Ask;

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Words.
    Text(String),
    /// Several numbers.
    Numbers(Vec<u64>),
    /// Links: from and to.
    Pairs(Vec<(u64, u64)>),
    /// What was said.
    Said(Label),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Flag(flag)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

/// What is said: its name, its fields in a fixed order, and both in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// What it is called.
    pub name: String,
    /// What it contains.
    pub fields: Vec<(&'static str, Value)>,
    /// Both, for people.
    pub text: String,
    /// Nothing is lost if a summary leaves it out: heartbeats and their answers, a watch's progress.
    pub idle: bool,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Label {
    fn new(name: &str, fields: Vec<(&'static str, Value)>, detail: fmt::Arguments<'_>) -> Self {
        let detail = detail.to_string();
        let text = if detail.is_empty() { name.to_owned() } else { format!("{name} {detail}") };
        Label { name: name.into(), fields, text, idle: false }
    }

    /// For what has no better name: the name of its Rust type.
    fn of_debug(what: &impl fmt::Debug) -> Self {
        let text = format!("{what:?}");
        let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        Label::new(name, Vec::new(), format_args!(""))
    }
}

/// The message in a parcel, if its bytes are whole and the protocol is known.
pub fn of_parcel(protocol: &str, bytes: &Bytes) -> Option<Label> {
    let mut frames = FrameDecoder::default();
    frames.feed(bytes);
    let mut piece = None;
    while let Ok(Some(frame)) = frames.next_frame() {
        match Packet::decode(frame) {
            Ok(Packet::Message { group: SITES, body }) => return commit::read(body),
            Ok(Packet::Message { body, .. }) => {
                return match protocol {
                    "raft" => raft::read(body),
                    "paxos" => paxos::read(body),
                    "zab" => zab::read(body),
                    "chord" => chord::read(body),
                    _ => None,
                };
            }
            Ok(Packet::SnapshotChunk(chunk)) => piece = Some(of_piece(&chunk)),
            _ => {}
        }
    }
    piece
}

/// A piece of an image that goes without a message.
fn of_piece(chunk: &SnapshotChunk) -> Label {
    let (from, bytes) = (chunk.offset, chunk.bytes.len() as u64);
    let fields = vec![("offset", from.into()), ("bytes", bytes.into()), ("last", chunk.last.into())];
    Label::new("SnapshotChunk", fields, format_args!("{bytes} bytes from {from}"))
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn put(put: &Put) -> String {
    format!("{}={}", words(&put.key), words(&put.value))
}

/// A client's request.
pub fn of_ask(ask: &Ask) -> Label {
    match ask {
        Ask::Write(command) => of_command(command),
        Ask::Read(range) if range.range.end.is_empty() => {
            let key = words(&range.range.key);
            Label::new("Get", vec![("key", key.as_str().into())], format_args!("{key}"))
        }
        Ask::Read(range) => {
            let (key, end) = (words(&range.range.key), words(&range.range.end));
            let fields = vec![("key", key.as_str().into()), ("end", end.as_str().into())];
            Label::new("Get", fields, format_args!("{key}..{end}"))
        }
        Ask::Begin(begin) => commit::of_begin(begin),
        Ask::ReadAt { at, .. } => Label::new("ReadAt", vec![("at", at.0.into())], format_args!("{at}")),
        Ask::KeepAlive(id) => {
            Label::new("LeaseKeepAlive", vec![("lease", id.to_string().into())], format_args!("{id:x}"))
        }
    }
}

fn of_command(command: &Command) -> Label {
    match command {
        Command::Put(what) => {
            let mut fields = vec![("key", words(&what.key).into()), ("value", words(&what.value).into())];
            if what.lease != 0 {
                fields.push(("lease", what.lease.to_string().into()));
            }
            Label::new("Put", fields, format_args!("{}", put(what)))
        }
        Command::DeleteRange(what) => {
            let (key, end) = (words(&what.range.key), words(&what.range.end));
            let fields = vec![("key", key.as_str().into()), ("end", end.into())];
            Label::new("DeleteRange", fields, format_args!("{key}"))
        }
        Command::Txn(txn) => {
            let puts: Vec<String> = txn
                .success
                .iter()
                .filter_map(|op| if let Op::Put(what) = op { Some(put(what)) } else { None })
                .collect();
            let puts = puts.join(" ");
            let compares = txn.compare.first().map(|compare| {
                let key = words(&compare.range.key);
                format!("if {key} {:?} {:?} ", compare.target, compare.result)
            });
            let condition = compares.unwrap_or_default();
            let fields = vec![("if", condition.trim_end().into()), ("puts", puts.as_str().into())];
            Label::new("Txn", fields, format_args!("{condition}{puts}"))
        }
        Command::Compact { revision } => {
            Label::new("Compact", vec![("revision", (*revision as u64).into())], format_args!("{revision}"))
        }
        Command::LeaseGrant { id, ttl } => {
            let fields = vec![("lease", id.to_string().into()), ("ttl", (*ttl as u64).into())];
            Label::new("LeaseGrant", fields, format_args!("{id:x} for {ttl} s"))
        }
        other => Label::of_debug(other),
    }
}

/// What a client is told.
pub fn of_reply(reply: &Reply) -> Label {
    match reply {
        Reply::Applied { outcome: Ok(outcome), revision } => {
            let mut fields = vec![("revision", Value::Number(*revision as u64))];
            let detail = match outcome {
                Outcome::Txn(txn) => {
                    fields.push(("succeeded", txn.succeeded.into()));
                    if txn.succeeded { ", condition held" } else { ", condition did not hold" }
                }
                _ => "",
            };
            Label::new("Done", fields, format_args!("at revision {revision}{detail}"))
        }
        Reply::Applied { outcome: Err(error), revision } => {
            let fields = vec![("revision", (*revision as u64).into()), ("error", error.to_string().into())];
            Label::new("Error", fields, format_args!("{error}"))
        }
        Reply::Range { found, revision } => {
            let kvs: Vec<String> =
                found.kvs.iter().map(|kv| format!("{}={}", words(&kv.key), words(&kv.value))).collect();
            let kvs = if kvs.is_empty() { "nothing".to_owned() } else { kvs.join(" ") };
            let fields = vec![("revision", (*revision as u64).into()), ("found", kvs.as_str().into())];
            Label::new("Found", fields, format_args!("{kvs} at revision {revision}"))
        }
        Reply::Ttl(ttl) => {
            let seconds = ttl.map_or("no lease".to_owned(), |ttl| format!("{ttl} s"));
            Label::new("Ttl", vec![("ttl", seconds.as_str().into())], format_args!("{seconds}"))
        }
        Reply::Outcome(outcome) => commit::of_outcome(outcome),
        Reply::Snapshot { site, .. } => {
            Label::new("Snapshot", vec![("site", (*site as u64).into())], format_args!("of site {site}"))
        }
        Reply::Refused => Label::new("Refused", Vec::new(), format_args!("")),
        Reply::Lost => Label::new("Lost", Vec::new(), format_args!("(no answer came)")),
    }
}

/// What a watcher is told.
pub fn of_watch(message: &WatchMessage) -> Label {
    let mut revisions: Vec<u64> =
        message.events.iter().map(|(event, _)| event.revision.main as u64).collect();
    revisions.dedup();
    let mut fields = vec![("revision", Value::Number(message.revision as u64))];
    if message.canceled {
        let compacted = message.compact_revision as u64;
        fields.push(("compacted", compacted.into()));
        return Label::new("Canceled", fields, format_args!("compacted to {compacted}"));
    }
    if message.created {
        return Label::new("Created", fields, format_args!("at revision {}", message.revision));
    }
    let (Some(first), Some(last)) = (revisions.first().copied(), revisions.last().copied()) else {
        let told = Label::new("Progress", fields, format_args!("to revision {}", message.revision));
        return Label { idle: true, ..told };
    };
    fields.push(("fragment", message.fragment.into()));
    fields.push(("revisions", Value::Numbers(revisions)));
    let span = if first == last { first.to_string() } else { format!("{first}..{last}") };
    Label::new("Events", fields, format_args!("of revisions {span}"))
}
