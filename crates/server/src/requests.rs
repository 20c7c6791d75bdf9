//! What the services do for a client: replicate a command, or confirm a read and wait until it may be served.
//!
//! A write that gets no answer in time may still be committed later; its client is told so by the error's
//! text, as etcd's clients expect.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate_api::ApiError;
use quorate_kv::{Applied, Command, Op, Txn};
use quorate_wire::encode_request;
use tonic::metadata::MetadataMap;

use crate::shared::{Shared, Unproposed};

/// How long after a new leader's first entry its predecessors' may still come.
const PASSING_ON: Duration = Duration::from_millis(500);

/// Entries committed and not yet applied, at most, before new writes are refused.
const MAX_UNAPPLIED: u64 = 5_000;

impl Shared {
    /// How long a request may take: five seconds and two election timeouts.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(5_000 + 2 * self.config.election_timeout_ms)
    }

    /// Replicate a command and wait until it is applied here.
    ///
    /// # Errors
    /// The command's own, or why it was not carried out (or may not have been).
    pub async fn propose(&self, command: &Command) -> Result<Applied, ApiError> {
        self.check_room(command)?;
        let leader = self.leadership.leader().unwrap_or(0);
        let waiter = self.proposals.register(leader).ok_or(ApiError::TooManyRequests)?;
        let data =
            encode_request(self.member(), waiter.number(), command).map_err(|_| ApiError::TooManyOps)?;
        self.metrics.pending.inc();
        self.consensus().propose(data);
        let answer = tokio::time::timeout(self.request_timeout(), waiter.wait()).await;
        self.metrics.pending.dec();
        match answer {
            Ok(Some(Ok(applied))) => Ok(applied),
            Ok(Some(Err(Unproposed::NoLeader))) => Err(self.failed(self.no_answer())),
            Ok(Some(Err(Unproposed::Lost))) => Err(self.failed(ApiError::TimeoutLeaderFailure)),
            Ok(Some(Err(Unproposed::Overloaded))) => Err(self.failed(ApiError::TooManyRequests)),
            Ok(None) => Err(ApiError::Stopped),
            Err(_) => Err(self.failed(self.no_answer())),
        }
    }

    /// Entries of a new leader are applied, and with them all that is left of those before it. What was passed to one of
    /// these and is not among that will hardly come any more: it is answered as unknown, without waiting for the time a
    /// request may take, a moment later only because a leader that handed over may still be passing it on.
    pub fn give_up_for_lost(self: &Arc<Self>, leader: u64) {
        let (shared, before) = (Arc::clone(self), self.proposals.next());
        self.runtime.spawn(async move {
            tokio::time::sleep(PASSING_ON).await;
            let lost = shared.proposals.left_behind(before, leader);
            shared.proposals.complete(lost.into_iter().map(|number| (number, Err(Unproposed::Lost))));
        });
    }

    /// Confirm that a read from now on is linearizable here.
    ///
    /// # Errors
    /// That could not be confirmed.
    pub async fn confirm_read(&self) -> Result<(), ApiError> {
        let waiter = self.reads.register(0).ok_or(ApiError::TooManyRequests)?;
        self.consensus().read(quorate_protocol::ReadId(waiter.number()));
        match tokio::time::timeout(self.request_timeout(), waiter.wait()).await {
            Ok(Some(true)) => Ok(()),
            Ok(None) => Err(ApiError::Stopped),
            Ok(Some(false)) | Err(_) => {
                self.metrics.reads_failed.inc();
                Err(self.no_answer())
            }
        }
    }

    /// Why there was no answer in time.
    pub fn no_answer(&self) -> ApiError {
        let window_ms = self.request_timeout().as_millis() as u64;
        if self.peers.len() > 0 && self.peers.connected() == 0 {
            ApiError::TimeoutConnectionLost
        } else if self.leadership.lost_within(window_ms, self.now_ms()) {
            ApiError::TimeoutLeaderFailure
        } else {
            ApiError::Timeout
        }
    }

    /// Refuse what would only pile up, or outgrow the quota.
    fn check_room(&self, command: &Command) -> Result<(), ApiError> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(ApiError::Stopped);
        }
        let (committed, applied) =
            (self.committed.load(Ordering::Relaxed), self.applied.load(Ordering::Relaxed));
        if committed > applied + MAX_UNAPPLIED {
            return Err(ApiError::TooManyRequests);
        }
        let over = self.metrics.over_quota.load(Ordering::Relaxed);
        if over && grows(command) { Err(ApiError::NoSpace) } else { Ok(()) }
    }

    /// What every request meets first, in etcd's order: a learner serves (almost) nothing; then what the metadata
    /// asks for.
    ///
    /// # Errors
    /// This member is a learner, or there is no leader.
    pub fn check_metadata(&self, metadata: &MetadataMap) -> Result<(), ApiError> {
        self.check_voter()?;
        self.check_leader(metadata)
    }

    /// Learners serve their status, serializable ranges and snapshots.
    ///
    /// # Errors
    /// This member is a learner.
    pub fn check_voter(&self) -> Result<(), ApiError> {
        if self.is_learner() { Err(ApiError::NotSupportedForLearner) } else { Ok(()) }
    }

    /// `hasleader: true` refuses to be served by a member without leader.
    ///
    /// # Errors
    /// There is no leader.
    pub fn check_leader(&self, metadata: &MetadataMap) -> Result<(), ApiError> {
        if metadata.get("hasleader").is_some_and(|value| value == "true")
            && self.leadership.leader().is_none()
        {
            return Err(ApiError::NoLeader);
        }
        Ok(())
    }

    fn failed(&self, error: ApiError) -> ApiError {
        self.metrics.proposals_failed.inc();
        error
    }
}

/// Whether a command can make the store larger.
fn grows(command: &Command) -> bool {
    fn puts(txn: &Txn) -> bool {
        txn.success.iter().chain(&txn.failure).any(|op| match op {
            Op::Put(_) => true,
            Op::Txn(txn) => puts(txn),
            _ => false,
        })
    }
    match command {
        Command::Put(_) | Command::LeaseGrant { .. } => true,
        Command::Txn(txn) => puts(txn),
        _ => false,
    }
}
