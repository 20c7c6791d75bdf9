//! Leases: whose clock counts, and what happens when time is up.
//!
//! Only the leader keeps the time (see [`Lessor`](quorate_replica::Lessor)). A node that does not lead passes keep-alives and
//! questions on to the one that does. The leader ends expired leases by commands through the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate_api::ApiError;
use quorate_kv::{Command, LeaseId};
use quorate_protocol::NodeId;
use quorate_wire::{Answer, Ask, encode_request};

use crate::shared::Shared;

/// How often expired leases are looked for.
const PACE: Duration = Duration::from_millis(100);

/// Leases ended at once, at most.
const MAX_REVOKED: usize = 1000;

/// How long a question to the leader may take, before it is put again to whoever leads then.
const PATIENCE: Duration = Duration::from_secs(1);

impl Shared {
    /// Renew a lease, if this node leads.
    pub fn renew_here(&self, id: LeaseId) -> Answer {
        let mut lessor = self.lessor.lock();
        if !lessor.leads() {
            return Answer::NotLeader;
        }
        match lessor.renew(id, self.now_ms()) {
            Some(ttl) => Answer::Renewed { ttl },
            None => Answer::NotFound,
        }
    }

    /// What a lease has left, if this node leads.
    pub fn remaining_here(&self, id: LeaseId) -> Answer {
        let lessor = self.lessor.lock();
        if !lessor.leads() {
            return Answer::NotLeader;
        }
        match lessor.remaining(id, self.now_ms()) {
            Some((remaining, granted)) => Answer::Remaining { remaining, granted },
            None => Answer::NotFound,
        }
    }

    /// Renew a lease, wherever its time is kept; `None` if there is no such lease (any more).
    ///
    /// # Errors
    /// Nobody led for as long as a request may take.
    pub async fn renew(&self, id: LeaseId) -> Result<Option<i64>, ApiError> {
        match self.ask_lessor(id, &Ask::LeaseRenew { id }, |shared| shared.renew_here(id)).await? {
            Answer::Renewed { ttl } => Ok(Some(ttl)),
            _ => Ok(None),
        }
    }

    /// Seconds left and granted, wherever its time is kept; `None` if there is no such lease.
    ///
    /// # Errors
    /// Nobody led for as long as a request may take.
    pub async fn remaining(&self, id: LeaseId) -> Result<Option<(i64, i64)>, ApiError> {
        match self.ask_lessor(id, &Ask::LeaseRemaining { id }, |shared| shared.remaining_here(id)).await? {
            Answer::Remaining { remaining, granted } => Ok(Some((remaining, granted))),
            _ => Ok(None),
        }
    }

    /// Put a question about a lease to the leader, and make sure that it still led when it had answered: one that was
    /// deposed without knowing would renew what its successor lets expire. A lease it does not know may be one whose
    /// grant it has not applied yet, so that answer counts only once the lease is gone here too.
    async fn ask_lessor(
        &self,
        id: LeaseId,
        ask: &Ask,
        here: impl Fn(&Shared) -> Answer,
    ) -> Result<Answer, ApiError> {
        let deadline = tokio::time::Instant::now() + self.request_timeout();
        loop {
            let leadership = (self.leadership.round(), self.leadership.leader());
            let answer = self.ask_leader(ask, &here).await?;
            self.confirm_read().await?;
            let led = leadership == (self.leadership.round(), self.leadership.leader());
            let unknown = answer == Answer::NotFound && self.state.read().lease_ttl(id).is_some();
            if led && !unknown {
                return Ok(answer);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(self.no_answer());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Put a question that only the leader can answer, to whoever leads.
    ///
    /// # Errors
    /// Nobody led for as long as a request may take.
    pub async fn ask_leader(&self, ask: &Ask, here: impl Fn(&Shared) -> Answer) -> Result<Answer, ApiError> {
        let deadline = tokio::time::Instant::now() + self.request_timeout();
        loop {
            let answer = match self.leadership.leader() {
                Some(leader) if leader == self.member() => Some(here(self)),
                Some(leader) => self.peers.ask(NodeId(leader), ask, PATIENCE).await,
                None => None,
            };
            match answer {
                Some(Answer::NotLeader | Answer::Unsupported) | None => {}
                Some(answer) => return Ok(answer),
            }
            if self.stopping.load(Ordering::SeqCst) {
                return Err(ApiError::Stopped);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(self.no_answer());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// End expired leases for as long as the node runs.
pub async fn expire(shared: Arc<Shared>) {
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        // Known before looking: if another round begins meanwhile, what is found here counts for nothing. A
        // leader that slept finds leases that its successor has been renewing since.
        let round = shared.leadership.round();
        let expired = shared.lessor.lock().expired(shared.now_ms(), MAX_REVOKED);
        for id in expired {
            shared.metrics.leases_expired.inc();
            let number = shared.proposals.unwatched();
            if let Ok(data) = encode_request(shared.member(), number, &Command::LeaseRevoke { id }) {
                shared.consensus().command(round, data);
            }
        }
    }
}
