//! A client of a watch stream that believes nothing: it knows every change there ever was and holds each
//! message against it.

use std::collections::{BTreeMap, VecDeque};

use quorate_kv::*;

use crate::model::{Model, inside};

/// What the client knows of one of its watchers.
#[derive(Clone, Debug)]
struct Watched {
    request: WatchCreate,
    /// Every change up to here that concerns it was received.
    covered: i64,
    /// Cancelled because of a compaction; the id is not free yet.
    dead: bool,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Client {
    pub capacity: usize,
    /// Messages on the way to it.
    pub inbox: VecDeque<WatchMessage>,
    creates: VecDeque<WatchCreate>,
    cancels: VecDeque<i64>,
    watched: BTreeMap<i64, Watched>,
    /// Every change received, by watcher id.
    pub seen: BTreeMap<i64, Vec<Event>>,
    /// Ids the hub has chosen by itself so far.
    chosen: i64,
    /// The parts so far of a response in fragments.
    parts: Option<WatchMessage>,
    progress: i64,
    asked_progress: usize,
}

/// What a message is held against.
pub struct Truth<'a> {
    pub model: &'a Model,
    pub published: i64,
    pub options: HubOptions,
}

impl Client {
    pub fn new(capacity: usize) -> Self {
        Client {
            capacity,
            inbox: VecDeque::new(),
            creates: VecDeque::new(),
            cancels: VecDeque::new(),
            watched: BTreeMap::new(),
            seen: BTreeMap::new(),
            chosen: 0,
            parts: None,
            progress: 0,
            asked_progress: 0,
        }
    }

    pub fn asks_to_watch(&mut self, request: &WatchCreate) {
        self.creates.push_back(request.clone());
    }

    /// There is an answer only if the watcher exists.
    pub fn asks_to_cancel(&mut self, id: i64) {
        if self.watched.contains_key(&id) {
            self.cancels.push_back(id);
        }
    }

    pub fn asks_for_progress(&mut self) {
        self.asked_progress += 1;
    }

    /// Responses with changes on the way are bounded, whatever happens. Those that are split count once.
    pub fn check_bounds(&self) {
        let changes = self.inbox.iter().filter(|message| !message.events.is_empty() && !message.fragment);
        assert!(changes.count() <= self.capacity, "more changes queued than agreed");
    }

    /// A message was put on the stream, judged at once; what the client takes later is only counted.
    pub fn receives(&mut self, message: WatchMessage, truth: &Truth<'_>) {
        self.inbox.push_back(message.clone());
        if let Some(parts) = &self.parts {
            assert_eq!(
                (parts.watch_id, parts.revision),
                (message.watch_id, message.revision),
                "a foreign part"
            );
        }
        match &message {
            WatchMessage { created: true, .. } => self.is_created(&message, truth),
            WatchMessage { canceled: true, .. } => self.is_cancelled(&message, truth),
            WatchMessage { events, .. } if !events.is_empty() => self.sees(message, truth),
            _ => self.is_told_progress(&message, truth),
        }
    }

    fn is_created(&mut self, message: &WatchMessage, truth: &Truth<'_>) {
        let request = self.creates.pop_front().expect("a create was asked for");
        assert_eq!(message.revision, truth.published);
        let taken = request.watch_id != 0 && self.watched.contains_key(&request.watch_id);
        let end = &*request.range.end;
        let reason = match () {
            () if !end.is_empty() && end != [0] && end <= &*request.range.key => {
                Some(CancelReason::EmptyRange)
            }
            () if taken => Some(CancelReason::DuplicateId),
            () if request.start_revision < 0 => Some(CancelReason::Compacted),
            () => None,
        };
        assert_eq!(message.cancel_reason, reason);
        assert_eq!(message.canceled, reason.is_some());
        if reason.is_some() {
            assert_eq!(message.watch_id, NO_WATCHER);
            return;
        }
        let mut id = request.watch_id;
        if id == 0 {
            while self.watched.contains_key(&self.chosen) {
                self.chosen += 1;
            }
            id = self.chosen;
            self.chosen += 1;
        }
        assert_eq!(message.watch_id, id);
        let start = request.start_revision;
        let covered = if start == 0 { truth.published } else { start - 1 };
        self.watched.insert(id, Watched { request, covered, dead: false });
    }

    fn is_cancelled(&mut self, message: &WatchMessage, truth: &Truth<'_>) {
        let id = message.watch_id;
        if message.compact_revision != 0 {
            let watched = self.watched.get_mut(&id).expect("it exists");
            assert!(!watched.dead, "cancelled twice");
            assert_eq!((message.revision, &message.cancel_reason), (0, &None));
            assert!(message.compact_revision <= truth.model.compact);
            assert!(watched.covered + 1 < message.compact_revision, "cancelled without need");
            watched.dead = true;
            return;
        }
        assert_eq!(self.cancels.pop_front(), Some(id), "cancelled without being asked");
        assert_eq!(message.revision, truth.published);
        assert!(self.watched.remove(&id).is_some(), "a watcher that never was is cancelled");
    }

    fn sees(&mut self, mut message: WatchMessage, truth: &Truth<'_>) {
        let watched = self.watched.get(&message.watch_id).expect("created before it sees anything");
        assert!(!watched.dead, "changes after the end");
        let size =
            |message: &WatchMessage| message.events.iter().map(|(event, _)| rough(event)).sum::<usize>();
        if watched.request.fragment {
            let most = truth.options.fragment_bytes;
            assert!(message.events.len() == 1 || size(&message) < most, "too large a part");
        } else {
            assert!(!message.fragment);
        }
        if let Some(mut parts) = self.parts.take() {
            parts.events.append(&mut message.events);
            parts.fragment = message.fragment;
            message = parts;
        }
        if message.fragment {
            self.parts = Some(message);
        } else {
            self.sees_whole(&message, truth);
        }
    }

    /// Ordered, unique, reliable and atomic in one: a response with header revision H holds exactly the
    /// changes after what is covered and up to H.
    fn sees_whole(&mut self, message: &WatchMessage, truth: &Truth<'_>) {
        let watched = self.watched.get_mut(&message.watch_id).expect("checked");
        assert!(message.revision <= truth.published);
        assert!(message.revision > watched.covered);
        let seen: Vec<Event> = message.events.iter().map(|(event, _)| event.clone()).collect();
        assert_eq!(seen, expected(watched, message.revision, truth));
        for (event, previous) in &message.events {
            check_previous(watched, event, previous.as_ref(), truth.model);
        }
        watched.covered = message.revision;
        self.seen.entry(message.watch_id).or_default().extend(seen);
    }

    fn is_told_progress(&mut self, message: &WatchMessage, truth: &Truth<'_>) {
        let revision = message.revision;
        assert_eq!(revision, truth.published);
        assert!(revision >= self.progress, "progress goes back");
        self.progress = revision;
        if message.watch_id == NO_WATCHER {
            assert!(self.asked_progress > 0);
            self.asked_progress -= 1;
            for watched in self.watched.values_mut().filter(|watched| !watched.dead) {
                assert_eq!(expected(watched, revision, truth), []);
                assert!(watched.covered <= revision, "a client would resume before its start");
                watched.covered = revision;
            }
        } else {
            let watched = self.watched.get_mut(&message.watch_id).expect("it exists");
            assert!(!watched.dead && watched.request.progress_notify);
            assert_eq!(expected(watched, revision, truth), []);
            assert!(watched.covered <= revision, "a client would resume before its start");
            watched.covered = revision;
        }
    }

    /// In the end everything has been seen, and every request answered that has an answer.
    pub fn is_content(&self, truth: &Truth<'_>) {
        assert!(self.creates.is_empty());
        assert!(self.parts.is_none());
        assert!(self.cancels.is_empty());
        for watched in self.watched.values().filter(|watched| !watched.dead) {
            assert_eq!(expected(watched, truth.published, truth), []);
        }
    }
}

/// The changes a watcher has yet to see, up to a revision.
fn expected(watched: &Watched, to: i64, truth: &Truth<'_>) -> Vec<Event> {
    let WatchCreate { range, no_put, no_delete, .. } = &watched.request;
    let wanted = |event: &&Event| {
        let dropped = if matches!(event.record, Record::Put(_)) { *no_put } else { *no_delete };
        let main = event.revision.main;
        watched.covered < main && main <= to && !dropped && inside(range, event.record.key())
    };
    truth.model.changes.iter().filter(wanted).cloned().collect()
}

fn check_previous(watched: &Watched, event: &Event, previous: Option<&KeyValue>, model: &Model) {
    let main = event.revision.main;
    let created = matches!(&event.record, Record::Put(kv) if kv.create_revision == main);
    if !watched.request.prev_kv || created {
        assert_eq!(previous, None);
        return;
    }
    let live = model.live(main - 1);
    let gone = main - 1 < model.compact;
    assert!(previous == live.get(event.record.key()) || (gone && previous.is_none()), "{previous:?}");
    assert_eq!(previous.is_none(), gone);
}

/// A lower bound of an event's size on the wire.
fn rough(event: &Event) -> usize {
    match &event.record {
        Record::Put(kv) => kv.key.len() + kv.value.len() + 10,
        Record::Tombstone { key } => key.len() + 6,
    }
}
