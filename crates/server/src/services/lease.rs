//! Lease: grants, revocations, keep-alives.

use std::pin::Pin;

use quorate_api::ApiError;
use quorate_api::convert::lease::{TTL_NO_LEASE, grant, min_ttl_seconds};
use quorate_api::limits::in_etcds_words;
use quorate_api::proto::etcdserverpb as pb;
use quorate_kv::{Applied, Command, LeaseId, Outcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Service;

/// Answers of one keep-alive stream that its client has not taken, at most.
const MAX_ANSWERS: usize = 64;

impl Service {
    /// A positive id nobody has chosen: spread over all, and different on every node and in every life.
    fn choose_lease_id(&self) -> LeaseId {
        let mut random = quorate_protocol::Random::new(self.proposals.unwatched() ^ self.member());
        ((random.next_u64() >> 1) as i64).max(1)
    }

    async fn grant(&self, request: &pb::LeaseGrantRequest) -> Result<pb::LeaseGrantResponse, ApiError> {
        let (asked, ttl) = grant(request, min_ttl_seconds(self.config.election_timeout_ms))?;
        let id = asked.unwrap_or_else(|| self.choose_lease_id());
        let Applied { revision, outcome, .. } = self.propose(&Command::LeaseGrant { id, ttl }).await?;
        outcome?;
        let header = Some(self.answering().header(revision));
        Ok(pb::LeaseGrantResponse { header, id, ttl, error: String::new() })
    }

    async fn keep_alive(&self, id: LeaseId) -> Result<pb::LeaseKeepAliveResponse, ApiError> {
        // The header is filled before the renewal, as in etcd.
        let header = Some(self.answering().header(self.revision()));
        let ttl = self.renew(id).await?.unwrap_or(0);
        Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
    }

    async fn time_to_live(&self, id: LeaseId, keys: bool) -> Result<pb::LeaseTimeToLiveResponse, ApiError> {
        self.confirm_read().await?;
        let remaining = self.remaining(id).await?;
        let (revision, lease) = {
            let state = self.state.read();
            (state.revision(), state.lease(id))
        };
        let header = Some(self.answering().header(revision));
        Ok(match (remaining, lease) {
            (Some((ttl, granted_ttl)), Some(lease)) => {
                let keys = if keys { lease.keys } else { Vec::new() };
                pb::LeaseTimeToLiveResponse { header, id, ttl, granted_ttl, keys }
            }
            _ => pb::LeaseTimeToLiveResponse {
                header,
                id,
                ttl: TTL_NO_LEASE,
                granted_ttl: 0,
                keys: Vec::new(),
            },
        })
    }
}

#[async_trait]
impl pb::lease_server::Lease for Service {
    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<pb::LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        self.check_metadata(request.metadata())?;
        Ok(Response::new(self.grant(request.get_ref()).await?))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let id = request.get_ref().id;
        let Applied { revision, outcome, .. } = self.propose(&Command::LeaseRevoke { id }).await?;
        match outcome.map_err(ApiError::from)? {
            Outcome::LeaseRevoke => {
                let header = Some(self.answering().header(revision));
                Ok(Response::new(pb::LeaseRevokeResponse { header }))
            }
            _ => Err(Status::internal("the state machine answered another request")),
        }
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.check_metadata(request.metadata())?;
        let mut requests = request.into_inner();
        let (answers, stream) = mpsc::channel(MAX_ANSWERS);
        let service = self.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let answer = match request {
                    Ok(request) => service.keep_alive(request.id).await.map_err(Status::from),
                    Err(status) => Err(in_etcds_words(status)),
                };
                let end = answer.is_err();
                if answers.send(answer).await.is_err() || end {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let pb::LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        Ok(Response::new(self.time_to_live(id, keys).await?))
    }

    async fn lease_leases(
        &self,
        request: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let state = self.state.read();
        let leases = state.leases().map(|(id, _)| pb::LeaseStatus { id }).collect();
        let header = Some(self.answering().header(state.revision()));
        Ok(Response::new(pb::LeaseLeasesResponse { header, leases }))
    }
}
