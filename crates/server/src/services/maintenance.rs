//! Maintenance: how a member is doing, and whether members agree.

use std::pin::Pin;
use std::sync::atomic::Ordering;

use quorate_api::ApiError;
use quorate_api::proto::etcdserverpb as pb;
use quorate_api::version::{STORAGE_VERSION, VERSION};
use quorate_kv::Storage;
use quorate_protocol::NodeId;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, async_trait};

use super::Service;

/// Between two looks at whether the leadership has moved.
const MOVE_PACE: std::time::Duration = std::time::Duration::from_millis(20);

impl Service {
    fn status_now(&self) -> pb::StatusResponse {
        let (size, revision) = {
            let state = self.state.read();
            (state.storage().size(), state.revision())
        };
        let leader = self.leadership.leader();
        let mut errors = Vec::new();
        if leader.is_none() {
            errors.push(ApiError::NoLeader.text().to_owned());
        }
        if self.roll.repairing() {
            errors.push("quorate: this member is fetching what its log has lost".to_owned());
        }
        pb::StatusResponse {
            header: Some(self.answering().header(revision)),
            version: VERSION.to_owned(),
            db_size: size.total.max(size.in_use) as i64,
            leader: leader.unwrap_or(0),
            raft_index: self.committed.load(Ordering::SeqCst).max(self.applied.load(Ordering::SeqCst)),
            raft_term: self.leadership.round(),
            raft_applied_index: self.applied.load(Ordering::SeqCst),
            errors,
            db_size_in_use: size.in_use as i64,
            is_learner: self.is_learner(),
            storage_version: STORAGE_VERSION.to_owned(),
            db_size_quota: self.config.quota_bytes().map_or(0, |quota| quota as i64),
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }
    }
}

impl Service {
    /// Hand the leadership over, and wait until that is done.
    async fn move_leader_to(&self, target: u64) -> Result<(), ApiError> {
        if !self.leadership.leads() {
            return Err(ApiError::NotLeader);
        }
        let votes = self.roll.table().get(target).is_some_and(|member| !member.is_learner);
        if !votes {
            return Err(ApiError::BadLeaderTransferee);
        }
        let deadline = tokio::time::Instant::now() + self.request_timeout();
        while self.leadership.leader() != Some(target) {
            // Asked again: a core gives up after an election timeout.
            self.consensus().transfer(NodeId(target));
            if self.stopping.load(Ordering::SeqCst) {
                return Err(ApiError::Stopped);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(ApiError::Timeout);
            }
            tokio::time::sleep(MOVE_PACE).await;
        }
        Ok(())
    }
}

fn later(what: &str) -> Status {
    Status::unimplemented(format!("{what} is not supported yet"))
}

#[async_trait]
impl pb::maintenance_server::Maintenance for Service {
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<pb::SnapshotResponse, Status>> + Send>>;

    /// No alarm is ever raised: the quota refuses growth by itself and clears itself. So there is nothing
    /// to list, and nothing to clear.
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        self.check_metadata(request.metadata())?;
        use pb::alarm_request::AlarmAction;
        match AlarmAction::try_from(request.get_ref().action) {
            Ok(AlarmAction::Get | AlarmAction::Deactivate) => {
                let header = Some(self.answering().header(self.revision()));
                Ok(Response::new(pb::AlarmResponse { header, alarms: Vec::new() }))
            }
            Ok(AlarmAction::Activate) => Err(later("raising an alarm by hand")),
            Err(_) => Err(Status::invalid_argument("etcdserver: unknown alarm action")),
        }
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        Ok(Response::new(self.status_now()))
    }

    /// The state's file needs no defragmentation; the answer etcd's operators expect is "done".
    async fn defragment(
        &self,
        request: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        self.check_metadata(request.metadata())?;
        Ok(Response::new(pb::DefragmentResponse { header: None }))
    }

    /// Ours is the hash of all records: of the state, not of the file that holds it.
    async fn hash(&self, request: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let state = self.state.read();
        let hash = state.hash_kv(0).map_err(ApiError::from)?.hash;
        let header = Some(self.answering().header(state.revision()));
        Ok(Response::new(pb::HashResponse { header, hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let state = self.state.read();
        let hash = state.hash_kv(request.get_ref().revision).map_err(ApiError::from)?;
        Ok(Response::new(pb::HashKvResponse {
            header: Some(self.answering().header(state.revision())),
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.hash_revision,
        }))
    }

    async fn snapshot(
        &self,
        _: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(later("taking a snapshot file"))
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        self.check_metadata(request.metadata())?;
        self.move_leader_to(request.get_ref().target_id).await?;
        Ok(Response::new(pb::MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        _: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        Err(later("a downgrade"))
    }
}
