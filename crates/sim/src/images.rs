//! Checkpoints of a node's state, and its images on their way between nodes.

use bytes::{Bytes, BytesMut};
use quorate_kv::{MemoryStorage, State, Storage};
use quorate_protocol::{Consensus, Index, LogId, Membership};
use quorate_replica::Input;
use quorate_storage::image;
use quorate_wire::{Packet, SnapshotChunk};

use crate::env::Env;
use crate::host::{Host, node, stands_at};
use crate::node::NodeEvent;
use crate::trace::tell;

/// A piece of an image on the wire.
const CHUNK_BYTES: usize = 4096;

impl<C: Consensus> Host<C> {
    /// Begin a checkpoint if enough was applied since the last.
    pub fn checkpoint_if_due(&mut self, env: &mut Env) {
        if self.checkpointing || self.since_checkpoint < env.swarm.checkpoint_every {
            return;
        }
        self.since_checkpoint = 0;
        self.checkpointing = true;
        let storage = Box::new(self.state.storage().clone());
        let delay = 3 * Env::within(&mut env.dice.disk, env.swarm.pace.disk_us);
        env.after_at(delay, self.place, self.life, NodeEvent::Checkpointed(storage));
    }

    /// A checkpoint is durable: the log may be shortened.
    pub fn checkpointed(&mut self, storage: MemoryStorage, env: &mut Env) {
        self.checkpointing = false;
        let index = storage.meta().applied_index;
        // An image installed meanwhile is newer.
        if index > self.durable.checkpoint.meta().applied_index {
            self.durable.checkpoint = storage;
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
        let id = stands_at(self.state.storage());
        let blocks = image::encode(self.state.storage());
        tell!(env, "node {} has an image at {id} for {}", self.id(), to + 1);
        env.checks.state(self.id().0, id.index.0, self.state.digest());
        self.images.insert(to, (id, Bytes::from(blocks.concat())));
        self.step(Input::SnapshotReady { to: node(to), id, membership: Membership::default() }, env);
    }

    /// The frames of an image.
    pub fn pack_image(&self, content: &Bytes, out: &mut BytesMut) {
        let mut offset = 0;
        while offset < content.len() {
            let end = (offset + CHUNK_BYTES).min(content.len());
            let bytes = content.slice(offset..end);
            let chunk = SnapshotChunk { stream: 1, offset: offset as u64, last: end == content.len(), bytes };
            let frames = Packet::SnapshotChunk(chunk).encode().expect("a chunk is smaller than a frame");
            frames.iter().for_each(|frame| out.extend_from_slice(frame));
            offset = end;
        }
    }

    /// An image has arrived whole; keep it until the core has looked at its message.
    pub fn stage(&mut self, id: LogId, pieces: &[Bytes], env: &mut Env) {
        let mut storage = MemoryStorage::new();
        match image::decode(pieces, &mut storage) {
            Ok(_) if stands_at(&storage) == id => self.staged = Some(storage),
            Ok(_) => {
                let at = stands_at(&storage);
                env.checks.fail("SnapshotImage", format!("an image at {at} came with a message for {id}"));
            }
            Err(error) => env.checks.fail("SnapshotImage", error.to_string()),
        }
    }

    /// Make the staged image the state, durably.
    pub fn install(&mut self, id: LogId, env: &mut Env) {
        tell!(env, "node {} installs the image at {id}", self.id());
        let Some(storage) = self.staged.take() else {
            return env.checks.fail("SnapshotImage", format!("node {} has no image for {id}", self.id()));
        };
        env.stats.snapshots += 1;
        self.durable.checkpoint = storage.clone();
        self.backlog.clear();
        self.state = State::restore(storage);
        self.since_checkpoint = 0;
        env.checks.state(self.id().0, id.index.0, self.state.digest());
        self.hub.jump(self.state.revision());
        self.tell_watchers(env);
        self.serve_ready(env);
    }
}
