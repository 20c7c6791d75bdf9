//! Compaction without being asked, and the quota.
//!
//! *Periodic* keeps a span of time: the revision is sampled, and history older than the sample taken that
//! long ago is compacted. *Revision* keeps a number of revisions. Only the leader proposes, and a compaction
//! somebody else did already counts as done (etcd's rules).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate_kv::{Command, Storage};
use tokio::time::Instant;

use crate::config::AutoCompaction;
use crate::shared::Shared;

/// The longest time between two periodic compactions.
const HOUR: Duration = Duration::from_secs(3600);

/// How often a number of revisions is looked after.
const REVISION_PACE: Duration = Duration::from_secs(300);

/// How often the quota is looked after.
const QUOTA_PACE: Duration = Duration::from_millis(500);

/// Compact for as long as the node runs.
pub async fn run(shared: Arc<Shared>) {
    match shared.config.auto_compaction {
        AutoCompaction::Off => {}
        AutoCompaction::Periodic(age) => periodic(&shared, age).await,
        AutoCompaction::Revision(kept) => loop {
            tokio::time::sleep(REVISION_PACE).await;
            compact(&shared, shared.revision() - kept).await;
        },
    }
}

async fn periodic(shared: &Shared, age: Duration) {
    let every = age.min(HOUR);
    let pace = every / 10;
    let mut samples: VecDeque<(Instant, i64)> = VecDeque::new();
    let mut last = Instant::now() + age - every;
    loop {
        tokio::time::sleep(pace).await;
        let now = Instant::now();
        samples.push_back((now, shared.revision()));
        if now.duration_since(last) < every {
            continue;
        }
        last = now;
        let mut old = None;
        while let Some((_, revision)) = samples.pop_front_if(|(at, _)| now.duration_since(*at) >= age) {
            old = Some(revision);
        }
        if let Some(revision) = old {
            compact(shared, revision).await;
        }
    }
}

async fn compact(shared: &Shared, revision: i64) {
    if !shared.leadership.leads() || revision <= shared.state.read().compact_revision() || revision < 1 {
        return;
    }
    match shared.propose(&Command::Compact { revision }).await {
        Ok(_) => tracing::info!(revision, "compacted by itself"),
        Err(error) => {
            tracing::warn!(revision, "a compaction failed and will be tried again: {}", error.text())
        }
    }
}

/// Watch the quota for as long as the node runs.
pub async fn watch_quota(shared: Arc<Shared>) {
    let Some(quota) = shared.config.quota_bytes() else { return };
    loop {
        let in_use = shared.state.read().storage().size().in_use;
        let over = in_use >= quota;
        if shared.metrics.over_quota.swap(over, Ordering::Relaxed) != over {
            match over {
                true => tracing::warn!(
                    in_use,
                    quota,
                    "the quota is used up: growth is refused until space is freed"
                ),
                false => tracing::info!(in_use, quota, "there is room within the quota again"),
            }
        }
        tokio::time::sleep(QUOTA_PACE).await;
    }
}
