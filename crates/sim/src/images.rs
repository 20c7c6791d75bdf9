//! Checkpoints of a node's state, and its images on their way between nodes.
//!
//! An image travels in pieces, at a capped rate, over a connection of its own; the core's message goes last, over the same
//! connection. When a piece is lost, the connection is: the sender learns of it at once or not at all, and the
//! receiver, whom a piece is missing, drops what it has and never sees the message.

use bytes::Bytes;
use quorate_kv::{MemoryStorage, State, Storage};
use quorate_protocol::{Consensus, Index, LogId, Membership};
use quorate_replica::Input;
use quorate_storage::image;
use quorate_wire::{Packet, SnapshotChunk};

use crate::env::Env;
use crate::host::{Host, node, stands_at};
use crate::node::NodeEvent;
use crate::plant;
use crate::report::Fault;
use crate::story::Happening;
use crate::trace::{note, tell};

/// A piece of an image on the wire.
const PIECE_BYTES: usize = 1024;

/// A state as it is kept: the store's, and that of a site of atomic commit, if there is one.
#[derive(Debug, Default)]
pub struct Saved {
    pub storage: MemoryStorage,
    pub site: Bytes,
}

/// An image for a peer.
pub struct Outgoing {
    id: LogId,
    content: Bytes,
    /// While it is on its way: the transfer's number, how far it has come, and the message that goes last.
    transfer: Option<(u64, usize, Bytes)>,
}

/// An image from a peer, as far as it has come.
pub struct Incoming {
    stream: u64,
    pieces: Vec<Bytes>,
    bytes: u64,
    whole: bool,
}

impl<C: Consensus> Host<C> {
    /// Begin a checkpoint if enough was applied since the last.
    pub fn checkpoint_if_due(&mut self, env: &mut Env) {
        if self.checkpointing || self.since_checkpoint < env.swarm.checkpoint_every {
            return;
        }
        self.since_checkpoint = 0;
        self.checkpointing = true;
        let saved = Saved { storage: self.state.storage().clone(), site: self.site_image() };
        plant::checkpoint_begins(env.plant, &mut self.durable.checkpoint, &saved.storage);
        let delay = 3 * env.disk_us(self.place);
        env.after_at(delay, self.place, self.life, NodeEvent::Checkpointed(Box::new(saved)));
    }

    /// A checkpoint is durable: the log may be shortened.
    pub fn checkpointed(&mut self, saved: Saved, env: &mut Env) {
        self.checkpointing = false;
        let index = saved.storage.meta().applied_index;
        // An image installed meanwhile is newer.
        if index >= self.durable.checkpoint.meta().applied_index {
            self.durable.checkpoint = saved.storage;
            self.durable.site = saved.site;
            self.step(Input::Checkpointed(Index(index)), env);
        }
    }

    /// The core wants a peer to have an image: making one takes a while.
    pub fn image_wanted(&mut self, to: usize, env: &mut Env) {
        let delay = env.dice.host.between(100, 15_000);
        env.after_at(delay, self.place, self.life, NodeEvent::MakeImage { to });
    }

    /// Make an image of the state as it is now.
    pub fn make_image(&mut self, to: usize, env: &mut Env) {
        let storage = self.state.storage();
        let id = stands_at(storage);
        let blocks = match plant::image_of(env.plant, &self.durable.checkpoint, storage) {
            Some(older) => image::encode(&older),
            None => image::encode(storage),
        };
        tell!(env, "node {} has an image at {id} for {}", self.id(), to + 1);
        env.checks.state(self.id().0, id.index.0, self.digest());
        let content = self.with_site(blocks.concat());
        self.images.insert(to, Outgoing { id, content, transfer: None });
        let membership = Membership::from_bytes(self.state.membership().clone()).unwrap_or_default();
        self.step(Input::SnapshotReady { to: node(to), id, membership }, env);
    }

    /// The core's message for an image is due: send the image, then the message.
    pub fn send_image(&mut self, to: usize, id: LogId, message: Bytes, env: &mut Env) {
        self.streams += 1;
        match self.images.get_mut(&to).filter(|image| image.id == id) {
            Some(image) => {
                image.transfer = Some((self.streams, 0, message));
                self.send_piece(to, self.streams, env);
            }
            // Another one was made since: the core is told that this one was not sent.
            None => env.after_at(1, self.place, self.life, NodeEvent::SnapshotSent { to, ok: false }),
        }
    }

    /// Send the next piece.
    pub fn send_piece(&mut self, to: usize, stream: u64, env: &mut Env) {
        let Some(image) = self.images.get_mut(&to) else { return };
        let Some((_, sent, message)) = image.transfer.as_mut().filter(|(at, ..)| *at == stream) else {
            return;
        };
        let offset = *sent;
        let end = (offset + PIECE_BYTES).min(image.content.len());
        let last = end == image.content.len();
        let bytes = image.content.slice(offset..end);
        let piece = SnapshotChunk { stream, offset: offset as u64, last, bytes };
        let mut frames = Packet::SnapshotChunk(piece).encode().expect("a piece is smaller than a frame");
        if last {
            frames.push(message.clone());
        }
        *sent = end;
        let gone = env.transmit_piece(self.place, to, Bytes::from(frames.concat()));
        if !gone {
            env.stats.fault(Fault::BrokenImage);
        }
        if last || !gone && env.dice.network.percent(50) {
            image.transfer = None;
            return env.after_at(500, self.place, self.life, NodeEvent::SnapshotSent { to, ok: gone });
        }
        let delay = env.swarm.pace.piece_us;
        env.after_at(delay, self.place, self.life, NodeEvent::Piece { to, stream });
    }

    /// A piece of an image has arrived.
    pub fn take_piece(&mut self, from: usize, piece: &SnapshotChunk, env: &mut Env) {
        if piece.offset == 0 {
            let begun = Incoming { stream: piece.stream, pieces: Vec::new(), bytes: 0, whole: false };
            self.incoming.insert(from, begun);
        }
        let expected = |image: &&mut Incoming| image.stream == piece.stream && image.bytes == piece.offset;
        match self.incoming.get_mut(&from).filter(expected) {
            Some(image) => {
                image.bytes += piece.bytes.len() as u64;
                image.pieces.push(piece.bytes.clone());
                image.whole = piece.last;
            }
            None => {
                tell!(env, "node {} lacks a piece of the image from {}", self.id(), from + 1);
                self.incoming.remove(&from);
            }
        }
    }

    /// The message of an image has arrived: keep the image until the core has looked at the message. Answers whether
    /// all of it is there.
    pub fn stage(&mut self, from: usize, id: LogId, env: &mut Env) -> bool {
        let Some(incoming) = self.incoming.remove(&from).filter(|image| image.whole) else { return false };
        let (pieces, site) = self.without_site(incoming.pieces);
        let mut storage = MemoryStorage::new();
        match image::decode(&pieces, &mut storage) {
            Ok(_) if stands_at(&storage) == id => self.staged = Some(Saved { storage, site }),
            Ok(_) => {
                let at = stands_at(&storage);
                env.checks.fail("SnapshotImage", format!("an image at {at} came with a message for {id}"));
            }
            Err(error) => env.checks.fail("SnapshotImage", error.to_string()),
        }
        true
    }

    /// Make the staged image the state, durably.
    pub fn install(&mut self, id: LogId, env: &mut Env) {
        note!(env, Happening::Image { node: self.id().0, at: id.to_string() });
        let Some(Saved { storage, site }) = self.staged.take() else {
            return env.checks.fail("SnapshotImage", format!("node {} has no image for {id}", self.id()));
        };
        env.stats.snapshots += 1;
        if plant::keeps_image(env.plant) {
            self.durable.checkpoint = storage.clone();
            self.durable.site = site.clone();
        } else {
            let delay = 3 * env.disk_us(self.place);
            let saved = Saved { storage: storage.clone(), site: site.clone() };
            let later = NodeEvent::Checkpointed(Box::new(saved));
            env.after_at(delay, self.place, self.life, later);
        }
        self.backlog.clear();
        self.state = State::restore(storage);
        self.restore_site(&site, env);
        self.since_checkpoint = 0;
        env.checks.state(self.id().0, id.index.0, self.digest());
        env.installs(self.place, self.life);
        self.hub.jump(self.state.revision());
        self.tell_watchers(env);
        self.serve_ready(env);
    }
}
