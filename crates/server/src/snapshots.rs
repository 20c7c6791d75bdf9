//! Sending a follower the whole state.
//!
//! When the log no longer reaches back to what a follower needs, the leader makes a checkpoint, pins it and
//! streams it over a connection of its own, so that heartbeats are not held up behind it. The core's
//! message goes last, over the same connection: the receiver takes it only with the image complete.

use std::sync::{Arc, Weak};

use quorate_protocol::{Ballot, Index, LogId, NodeId};
use quorate_storage::ImageReader;

use crate::checkpoint;
use crate::combiner::Combiner;
use crate::consensus::Driver;
use crate::shared::{ConsensusInput, Core, Shared};

/// Make an image for a peer and tell the core where it stands.
pub fn prepare<C: Core>(shared: Arc<Shared>, to: NodeId, core: Weak<Combiner<Driver<C>>>) {
    let work = move || {
        let news = match pin(&shared) {
            Ok((image, id)) => {
                tracing::info!(to = to.0, index = id.index.0, "sending a snapshot");
                shared.peers.stage(to, image);
                ConsensusInput::SnapshotReady(to, id)
            }
            Err(error) => {
                tracing::error!("cannot make a snapshot for member {to}: {error}");
                ConsensusInput::SnapshotSent(to, false)
            }
        };
        if let Some(core) = core.upgrade() {
            core.submit(news);
        }
    };
    std::thread::spawn(work);
}

fn pin(shared: &Shared) -> Result<(ImageReader, LogId), quorate_storage::StorageError> {
    checkpoint::checkpoint(shared)?;
    let image = shared.state.read().storage().image()?;
    let id = standing(image.meta());
    Ok((image, id))
}

/// The entry an image's state stands at.
pub fn standing(meta: &quorate_kv::Meta) -> LogId {
    let (round, node) = meta.applied_ballot;
    LogId { ballot: Ballot { round, node: NodeId(node) }, index: Index(meta.applied_index) }
}
