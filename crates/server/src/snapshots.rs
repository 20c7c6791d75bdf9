//! Sending a follower the whole state.
//!
//! When the log no longer reaches back to what a follower needs, the leader makes a checkpoint, pins it and
//! streams it over a connection of its own, so that heartbeats are not held up behind it. The core's
//! message goes last, over the same connection: the receiver takes it only with the image complete.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use quorate_protocol::{Ballot, Index, LogId, Membership, NodeId};
use quorate_storage::ImageReader;

use crate::checkpoint;
use crate::combiner::Combiner;
use crate::consensus::Driver;
use crate::shared::{ConsensusInput, Core, Shared};

/// How long an absent peer is waited for before the core is told that it could not be helped, and how often
/// it is looked for.
const AWAY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// Make an image for a peer and tell the core where it stands.
pub fn prepare<C: Core>(shared: Arc<Shared>, to: NodeId, core: Weak<Combiner<Driver<C>>>) {
    let work = move || {
        let made = reachable(&shared, to).then(|| pin(&shared));
        let news = match made.unwrap_or(Ok(None)) {
            Ok(None) => ConsensusInput::SnapshotSent(to, false),
            Ok(Some((image, id, membership))) => {
                tracing::info!(to = to.0, index = id.index.0, "sending a snapshot");
                shared.peers.stage(to, image);
                ConsensusInput::SnapshotReady(to, id, membership)
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

/// Wait a moment for a peer that is away. Without this every new entry would cost a checkpoint for as long as a
/// peer is down that needs a snapshot.
fn reachable(shared: &Shared, to: NodeId) -> bool {
    let deadline = Instant::now() + AWAY;
    while !shared.peers.reaches(to) {
        if Instant::now() >= deadline || shared.stopping.load(Ordering::SeqCst) {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

type Pinned = (ImageReader, LogId, Membership);

fn pin(shared: &Shared) -> Result<Option<Pinned>, quorate_storage::StorageError> {
    checkpoint::checkpoint(shared)?;
    let image = shared.state.read().storage().image()?;
    let (id, membership) = (standing(image.meta()), membership(image.meta()));
    Ok(Some((image, id, membership)))
}

/// The membership a state stands at; unknown if none was recorded.
pub fn membership(meta: &quorate_kv::Meta) -> Membership {
    match meta.membership.is_empty() {
        true => Membership::default(),
        // Every replica passes over what it cannot read alike; the core has ended by then.
        false => Membership::from_bytes(meta.membership.clone()).unwrap_or_default(),
    }
}

/// The entry an image's state stands at.
pub fn standing(meta: &quorate_kv::Meta) -> LogId {
    let (round, node) = meta.applied_ballot;
    LogId { ballot: Ballot { round, node: NodeId(node) }, index: Index(meta.applied_index) }
}
