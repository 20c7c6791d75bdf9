//! Mistakes in how a state is kept: its checkpoints and its images.

use quorate_kv::{MemoryStorage, Meta, Storage};

use super::Plant;

/// What of a checkpoint is durable already when it has only begun.
pub fn checkpoint_begins(plant: Option<Plant>, old: &mut MemoryStorage, new: &MemoryStorage) {
    let (before, after) = (old.meta(), new.meta());
    match plant {
        Some(Plant::AppliedIndexFirst) => old.set_meta(&standing(before, &after)),
        Some(Plant::DataSavedFirst) => {
            old.clone_from(new);
            old.set_meta(&standing(after, &before));
        }
        _ => {}
    }
}

/// What an image is made of, if not of the state.
pub fn image_of(plant: Option<Plant>, old: &MemoryStorage, now: &MemoryStorage) -> Option<MemoryStorage> {
    let older = plant == Some(Plant::ImageOlderThanLabel) && old.meta().applied_index > 0;
    older.then(|| {
        let mut image = old.clone();
        image.set_meta(&standing(old.meta(), &now.meta()));
        image
    })
}

/// Facts that claim to stand where others do.
fn standing(facts: Meta, place: &Meta) -> Meta {
    Meta { applied_index: place.applied_index, applied_ballot: place.applied_ballot, ..facts }
}

/// Whether an image is durable before anything more is done.
pub fn keeps_image(plant: Option<Plant>) -> bool {
    plant != Some(Plant::SnapshotAckedEarly)
}
