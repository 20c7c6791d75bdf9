//! The state machine at work: carries committed entries out.
//!
//! Small batches are applied by whoever brought them, large ones by the apply thread (see
//! [`combiner`](crate::combiner)). Either takes what is waiting, decodes it without a lock, applies it under
//! the state's write lock in slices short enough that readers are not held up, feeds the watches, and only
//! then answers clients and wakes readers. Nobody else writes the state, apart from the steps of a
//! compaction and of a checkpoint.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use quorate_kv::{Applied, Command, Event, Members, Outcome, State};
use quorate_protocol::{Entry, EntryKind, Index, LogId, Membership, ReadId, Role};
use quorate_storage::{Image, Store};
use quorate_wire::{Request, decode_request};

use crate::combiner::Work;
use crate::shared::{ApplyInput, Shared};
use crate::snapshots::{membership, standing};
use crate::watches::WatchInput;

/// Commands applied under one hold of the state's lock, at most.
const SLICE: usize = 128;

/// What applying needs besides the state.
pub struct Applier {
    pub shared: Arc<Shared>,
    /// Reads waiting for entries that have not come yet.
    pub waiting: Vec<(Index, Vec<ReadId>)>,
    /// The members and the configuration as told last.
    pub members: (Arc<Members>, Bytes),
    /// The state's directory, for installing an image.
    pub directory: std::path::PathBuf,
    pub options: quorate_storage::Options,
}

/// An entry, decoded.
struct Decoded {
    id: LogId,
    content: Content,
}

/// What an entry brings.
enum Content {
    /// Nothing.
    Noop,
    /// A configuration of the core, kept beside the state.
    Config(Bytes),
    /// A command.
    Request(Request),
}

impl Work for Applier {
    type Input = ApplyInput;

    fn work(&mut self, inputs: &mut Vec<ApplyInput>) -> bool {
        for input in inputs.drain(..) {
            match input {
                ApplyInput::Entries(entries) => self.apply(entries),
                ApplyInput::Reads(ids, index) => self.waiting.push((index, ids)),
                ApplyInput::Role(role) => self.role(role),
                ApplyInput::Install(image, done) => self.install(image, &done),
                ApplyInput::Stop => return false,
            }
            self.wake_reads();
        }
        true
    }
}

impl Applier {
    fn apply(&mut self, entries: Vec<Entry>) {
        let decoded: Vec<Decoded> = entries.into_iter().map(decode).collect();
        for slice in decoded.chunks(SLICE) {
            self.apply_slice(slice);
        }
    }

    fn apply_slice(&mut self, slice: &[Decoded]) {
        let own = self.shared.member();
        let mut answers = Vec::with_capacity(slice.len());
        let mut batches = Vec::with_capacity(slice.len());
        let (mut last, mut begun): (Option<LogId>, _) = (None, false);
        let mut state = self.shared.state.write();
        for Decoded { id, content } in slice {
            if id.index.0 <= state.meta().applied_index {
                continue;
            }
            last = Some(*id);
            let ballot = (id.ballot.round, id.ballot.node.0);
            let request = match content {
                Content::Request(request) => request,
                Content::Config(membership) => {
                    state.apply_config(id.index.0, ballot, membership);
                    continue;
                }
                Content::Noop => {
                    begun = true;
                    state.apply_noop(id.index.0, ballot);
                    continue;
                }
            };
            let mut applied = state.apply(id.index.0, ballot, &request.command);
            self.note_lease(&request.command, &applied);
            let events = std::mem::take(&mut applied.events);
            if !events.is_empty() {
                batches.push((applied.revision, events));
            }
            if request.origin == own {
                answers.push((request.request, Ok(applied)));
            }
        }
        let revision = state.revision();
        let members = news(&mut self.members, &state);
        drop(state);
        let Some(last) = last else { return };
        self.published(last.index, revision, batches);
        match members {
            Some((table, membership)) => self.shared.members_applied(&table, &membership, last.index),
            None if begun => self.shared.consensus().stands(last.index),
            None => {}
        }
        self.shared.proposals.complete(answers);
        if begun {
            self.shared.give_up_for_lost(last.ballot.node.0);
        }
    }

    fn published(&self, last: Index, revision: i64, batches: Vec<(i64, Vec<Event>)>) {
        self.shared.revision.store(revision, Ordering::SeqCst);
        self.shared.applied.store(last.0, Ordering::SeqCst);
        self.shared.metrics.applied(&batches);
        if !batches.is_empty() && self.shared.watch_streams.load(Ordering::SeqCst) > 0 {
            self.shared.watches.send(WatchInput::Events(batches));
        }
    }

    /// The leader's clock for leases follows what is applied.
    fn note_lease(&self, command: &Command, applied: &Applied) {
        match (command, &applied.outcome) {
            (_, Ok(Outcome::LeaseGrant { id, ttl })) => {
                self.shared.lessor.lock().granted(*id, *ttl, self.shared.now_ms());
            }
            (Command::LeaseRevoke { id }, _) => self.shared.lessor.lock().revoked(*id),
            _ => {}
        }
    }

    /// Everything committed before the change of role has been applied, so the leases are all known.
    fn role(&mut self, role: Role) {
        let now_ms = self.shared.now_ms();
        match role {
            Role::Leader => {
                let state = self.shared.state.read();
                let grace_ms = self.shared.config.election_timeout_ms;
                self.shared.lessor.lock().lead(state.leases(), now_ms, grace_ms);
            }
            _ => self.shared.lessor.lock().stop(),
        }
    }

    fn wake_reads(&mut self) {
        let applied = Index(self.shared.applied.load(Ordering::SeqCst));
        for (_, ids) in self.waiting.extract_if(.., |(index, _)| *index <= applied) {
            self.shared.reads.complete(ids.into_iter().map(|id| (id.0, true)));
        }
    }

    fn install(&mut self, image: Image, done: &crossbeam_channel::Sender<()>) {
        let shared = Arc::clone(&self.shared);
        let _no_checkpoint = shared.files.lock();
        match replace(&shared, &self.directory, &self.options, &image) {
            Ok(()) => {
                tracing::info!(index = image.meta.applied_index, "a snapshot from the leader is in place");
                let news = news(&mut self.members, &shared.state.read());
                if let Some((table, membership)) = news {
                    shared.members_applied(&table, &membership, standing(&image.meta).index);
                }
                let _ = done.send(());
            }
            Err(error) => shared.fatal.strike(error.to_string()),
        }
    }
}

/// The members and the configuration, if either is another than the one told last.
fn news(told: &mut (Arc<Members>, Bytes), state: &State<Store>) -> Option<(Arc<Members>, Membership)> {
    let (table, bytes) = (&state.meta().members, state.membership());
    if Arc::ptr_eq(table, &told.0) && *bytes == told.1 {
        return None;
    }
    *told = (Arc::clone(table), bytes.clone());
    Some((Arc::clone(table), membership(state.meta())))
}

/// Make the image current and the state what it says.
fn replace(
    shared: &Shared,
    directory: &Path,
    options: &quorate_storage::Options,
    image: &Image,
) -> Result<(), quorate_storage::StorageError> {
    quorate_storage::activate(directory, image.generation)?;
    let state = State::restore(Store::open(directory, options)?);
    let (revision, applied) = (state.revision(), state.meta().applied_index);
    // The old state, with its file, is freed after the lock.
    let old = std::mem::replace(&mut *shared.state.write(), state);
    drop(old);
    shared.revision.store(revision, Ordering::SeqCst);
    shared.applied.store(applied, Ordering::SeqCst);
    shared.watches.send(WatchInput::Jump(revision));
    Ok(())
}

fn decode(entry: Entry) -> Decoded {
    let content = match entry.kind {
        EntryKind::Noop => Content::Noop,
        EntryKind::Config => Content::Config(entry.data),
        // What does not decode was refused before it was proposed; should it happen all the same, every
        // replica passes over it alike.
        EntryKind::Command => decode_request(entry.data)
            .inspect_err(|error| tracing::error!(index = entry.id.index.0, "passing over an entry: {error}"))
            .map_or(Content::Noop, Content::Request),
    };
    Decoded { id: entry.id, content }
}
