//! What can happen in a run, as it is told: one type, of which the transcript, the trace file and the picture of a
//! failure are made.
//!
//! Nodes are named from 1, as they name themselves; clients and watchers from 0. A message gets a number when it is
//! sent, and keeps it until it arrives, so that a picture can join the two ends of an arrow.

use std::fmt;

use quorate_protocol::Role;

use crate::deeds::DeedId;
use crate::label::{Label, Value};

/// Something that happened, and when: microseconds of virtual time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: u64,
    /// What.
    pub what: Happening,
}

/// What becomes of a message that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It will be there at these times, if nothing befalls it on its way.
    Arrives(Vec<u64>),
    /// The network loses it.
    Lost,
    /// The link has failed.
    Cut,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A node sends.
    Send {
        /// The message's number.
        id: u64,
        /// The sender.
        from: u64,
        /// The receiver.
        to: u64,
        /// What it says, if it can be read.
        label: Option<Label>,
        /// What becomes of it.
        fate: Fate,
    },
    /// A message has arrived, at a node that is up.
    Receive {
        /// The message's number, unless it was changed on its way.
        id: Option<u64>,
        /// The sender.
        from: u64,
        /// The receiver.
        to: u64,
        /// What it says, if it can be read.
        label: Option<Label>,
    },
    /// A message came to a link that has failed, or to a node that is down.
    Vanish {
        /// The message's number, unless it was changed on its way.
        id: Option<u64>,
        /// The sender.
        from: u64,
        /// The receiver.
        to: u64,
        /// Which of the two.
        why: &'static str,
    },
    /// A node's part, round or known leader changed.
    Role {
        /// The node.
        node: u64,
        /// Its part.
        role: Role,
        /// Its round: Raft's term.
        round: u64,
        /// Whom it takes for the leader.
        leader: Option<u64>,
    },
    /// A node learns that these entries are committed.
    Commit {
        /// The node.
        node: u64,
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A node starts.
    Start {
        /// The node.
        node: u64,
        /// How often it went down before.
        life: u64,
    },
    /// A node goes down.
    Crash {
        /// The node.
        node: u64,
        /// Whether it loses its power, and with it what was not synced.
        power: bool,
        /// When it starts again, from now.
        down_us: u64,
    },
    /// A node stands still.
    Pause {
        /// The node.
        node: u64,
        /// How long.
        for_us: u64,
    },
    /// Links fail: all of them that are named, each in one direction.
    Cut {
        /// What kind of trouble this is.
        what: &'static str,
        /// From and to.
        links: Vec<(u64, u64)>,
    },
    /// All links are whole again.
    Heal,
    /// The nemesis does something of its own choice; what, is told by what follows.
    Deed {
        /// Its name in `--deeds`.
        id: DeedId,
        /// In a word.
        what: &'static str,
    },
    /// A node makes another's image its own.
    Image {
        /// The node.
        node: u64,
        /// Where the image stands.
        at: String,
    },
    /// A client asks.
    Ask {
        /// The client.
        client: u64,
        /// Its request's number.
        number: u64,
        /// The node it asks.
        node: u64,
        /// What it asks.
        label: Label,
    },
    /// A client is told the answer, or gives up.
    Answer {
        /// The client.
        client: u64,
        /// Its request's number.
        number: u64,
        /// What it is told.
        label: Label,
    },
    /// A watcher connects.
    Watch {
        /// The watcher.
        watcher: u64,
        /// The node.
        node: u64,
        /// The first revision it asks for; 0 for "from now".
        start_revision: u64,
    },
    /// A watcher is told something.
    Watched {
        /// The watcher.
        watcher: u64,
        /// What.
        label: Label,
    },
    /// A watcher's connection is gone.
    WatchLost {
        /// The watcher.
        watcher: u64,
    },
    /// The trouble ends.
    Peace,
    /// Anything else, in words.
    Note {
        /// The words.
        text: String,
    },
}

fn said(label: &Option<Label>) -> &str {
    label.as_ref().map_or("something unreadable", |label| &label.text)
}

/// A node's part, in a word.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

impl Happening {
    /// Its kind, as in the trace file.
    pub fn kind(&self) -> &'static str {
        match self {
            Happening::Send { .. } => "send",
            Happening::Receive { .. } => "receive",
            Happening::Vanish { .. } => "vanish",
            Happening::Role { .. } => "role",
            Happening::Commit { .. } => "commit",
            Happening::Start { .. } => "start",
            Happening::Crash { .. } => "crash",
            Happening::Pause { .. } => "pause",
            Happening::Cut { .. } => "cut",
            Happening::Heal => "heal",
            Happening::Deed { .. } => "deed",
            Happening::Image { .. } => "image",
            Happening::Ask { .. } => "ask",
            Happening::Answer { .. } => "answer",
            Happening::Watch { .. } => "watch",
            Happening::Watched { .. } => "watched",
            Happening::WatchLost { .. } => "watch-lost",
            Happening::Peace => "peace",
            Happening::Note { .. } => "note",
        }
    }

    /// The node at which it happened, if it was at one.
    pub fn node(&self) -> Option<u64> {
        match self {
            Happening::Send { from: node, .. }
            | Happening::Receive { to: node, .. }
            | Happening::Vanish { to: node, .. }
            | Happening::Role { node, .. }
            | Happening::Commit { node, .. }
            | Happening::Start { node, .. }
            | Happening::Crash { node, .. }
            | Happening::Pause { node, .. }
            | Happening::Image { node, .. }
            | Happening::Ask { node, .. }
            | Happening::Watch { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// Its other fields, in a fixed order.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Happening::Send { id, to, label, fate, .. } => {
                let fate = match fate {
                    Fate::Arrives(at) => ("arrives", Value::Numbers(at.clone())),
                    Fate::Lost => ("lost", "loss".into()),
                    Fate::Cut => ("lost", "cut".into()),
                };
                let ends = vec![("to", (*to).into()), ("id", (*id).into()), fate];
                [ends, named("message", label.as_ref())].concat()
            }
            Happening::Receive { id, from, label, .. } => {
                let ends = [Some(("from", (*from).into())), id.map(|id| ("id", id.into()))];
                [ends.into_iter().flatten().collect(), named("message", label.as_ref())].concat()
            }
            Happening::Vanish { id, from, why, .. } => {
                let ends = [
                    Some(("from", (*from).into())),
                    id.map(|id| ("id", id.into())),
                    Some(("why", (*why).into())),
                ];
                ends.into_iter().flatten().collect()
            }
            Happening::Role { role, round, leader, .. } => {
                let part = [Some(("role", role_name(*role).into())), Some(("round", (*round).into()))];
                part.into_iter().chain([leader.map(|leader| ("leader", leader.into()))]).flatten().collect()
            }
            Happening::Commit { first, last, .. } => {
                vec![("first", (*first).into()), ("last", (*last).into())]
            }
            Happening::Start { life, .. } => vec![("life", (*life).into())],
            Happening::Crash { power, down_us, .. } => {
                vec![("power", (*power).into()), ("down_us", (*down_us).into())]
            }
            Happening::Pause { for_us, .. } => vec![("for_us", (*for_us).into())],
            Happening::Cut { what, links } => {
                vec![("what", (*what).into()), ("links", Value::Pairs(links.clone()))]
            }
            Happening::Deed { id, what } => vec![("deed", id.to_string().into()), ("what", (*what).into())],
            Happening::Image { at, .. } => vec![("at", at.as_str().into())],
            Happening::Ask { client, number, label, .. } => {
                let who = vec![("client", (*client).into()), ("number", (*number).into())];
                [who, named("request", Some(label))].concat()
            }
            Happening::Answer { client, number, label } => {
                let who = vec![("client", (*client).into()), ("number", (*number).into())];
                [who, named("answer", Some(label))].concat()
            }
            Happening::Watch { watcher, start_revision, .. } => {
                vec![("watcher", (*watcher).into()), ("start_revision", (*start_revision).into())]
            }
            Happening::Watched { watcher, label } => {
                [vec![("watcher", (*watcher).into())], named("answer", Some(label))].concat()
            }
            Happening::WatchLost { watcher } => vec![("watcher", (*watcher).into())],
            Happening::Note { text } => vec![("text", text.as_str().into())],
            Happening::Heal | Happening::Peace => Vec::new(),
        }
    }
}

/// A label under this key, if there is one.
fn named(key: &'static str, label: Option<&Label>) -> Vec<(&'static str, Value)> {
    label.map(|label| (key, Value::Said(label.clone()))).into_iter().collect()
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Send { from, to, label, fate, .. } => {
                let fate = match fate {
                    Fate::Arrives(times) if times.len() > 1 => ", doubled",
                    Fate::Arrives(_) => "",
                    Fate::Lost => ", and it is lost",
                    Fate::Cut => ", and the link has failed",
                };
                write!(f, "{from} sends {to}: {}{fate}", said(label))
            }
            Happening::Receive { from, to, label, .. } => write!(f, "{from}→{to} {}", said(label)),
            Happening::Vanish { from, to, why, .. } => write!(f, "{from}→{to} meets {why}"),
            Happening::Role { node, role, round, leader } => {
                write!(f, "node {node} is {} in round {round}", role_name(*role))?;
                match leader {
                    Some(leader) => write!(f, ", leader {leader}"),
                    None => Ok(()),
                }
            }
            Happening::Commit { node, first, last } if first == last => {
                write!(f, "node {node} knows {first} committed")
            }
            Happening::Commit { node, first, last } => {
                write!(f, "node {node} knows {first}..{last} committed")
            }
            Happening::Start { node, life } => write!(f, "node {node} starts, life {life}"),
            Happening::Crash { node, power, down_us } => {
                let how = if *power { "loses power" } else { "is killed" };
                write!(f, "node {node} {how}, for {down_us} us")
            }
            Happening::Pause { node, for_us } => write!(f, "node {node} stands still for {for_us} us"),
            Happening::Cut { what, links } => {
                write!(f, "{what}: links fail")?;
                links.iter().try_for_each(|(from, to)| write!(f, " {from}→{to}"))
            }
            Happening::Heal => f.write_str("the links are whole again"),
            Happening::Deed { id, what } => write!(f, "the nemesis, deed {id}: {what}"),
            Happening::Image { node, at } => write!(f, "node {node} installs the image at {at}"),
            Happening::Ask { client, node, label, .. } => {
                write!(f, "client {client} asks node {node}: {label}")
            }
            Happening::Answer { client, label, .. } => write!(f, "client {client} is told: {label}"),
            Happening::Watch { watcher, node, start_revision: 0 } => {
                write!(f, "watcher {watcher} asks node {node} from now")
            }
            Happening::Watch { watcher, node, start_revision } => {
                write!(f, "watcher {watcher} asks node {node} from revision {start_revision}")
            }
            Happening::Watched { watcher, label } => write!(f, "watcher {watcher} is told: {label}"),
            Happening::WatchLost { watcher } => write!(f, "watcher {watcher} has lost its connection"),
            Happening::Peace => f.write_str("peace"),
            Happening::Note { text } => f.write_str(text),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06} {}", self.at / 1_000_000, self.at % 1_000_000, self.what)
    }
}
