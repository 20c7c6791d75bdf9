//! The hub's invariants, for tests and the simulator.

use super::{Hub, Status, WatcherKey};

impl Hub {
    /// Whether the invariants hold, or which one does not. Looks at every watcher.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let (mut queued, mut blocked, mut alive) = (0, 0, 0);
        for (stream, on) in &self.streams {
            for (id, watcher) in &on.watchers {
                let who = WatcherKey { stream: *stream, id: *id };
                match watcher.status {
                    Status::Queued(ticket) if self.queue.get(&ticket) != Some(&who) => {
                        return Err("a queued watcher is not in the queue");
                    }
                    Status::Blocked if !on.blocked.contains(id) => {
                        return Err("a blocked watcher is not among its stream's blocked ones");
                    }
                    Status::Queued(_) | Status::Blocked if watcher.next > self.published => {
                        return Err("a lagging watcher has nothing to wait for");
                    }
                    Status::Queued(_) => queued += 1,
                    Status::Blocked => blocked += 1,
                    Status::Synced | Status::Dead => {}
                }
                alive += usize::from(!watcher.is_dead());
            }
        }
        if (queued, self.lagging()) != (self.queue.len(), queued + blocked) {
            return Err("the queue or a stream's blocked ones hold more than the lagging watchers");
        }
        if alive != self.interests.len() {
            return Err("there are not as many interests as watchers alive");
        }
        Ok(())
    }
}
