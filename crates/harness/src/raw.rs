//! Clients of the plain protocol: every field as it goes over the wire.

use std::time::Duration;

use quorate_api::proto::etcdserverpb as pb;
use quorate_api::proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_api::proto::etcdserverpb::kv_client::KvClient;
use quorate_api::proto::etcdserverpb::lease_client::LeaseClient;
use quorate_api::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_api::proto::etcdserverpb::watch_client::WatchClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// How long one plain call may take: longer than a server's own patience.
const CALL: Duration = Duration::from_secs(20);

/// All services of one member.
#[derive(Clone, Debug)]
pub struct Raw {
    /// KV.
    pub kv: KvClient<Channel>,
    /// Watch.
    pub watch: WatchClient<Channel>,
    /// Lease.
    pub lease: LeaseClient<Channel>,
    /// Cluster.
    pub cluster: ClusterClient<Channel>,
    /// Maintenance.
    pub maintenance: MaintenanceClient<Channel>,
}

/// Services at this endpoint; connects at the first call.
pub fn at(endpoint: &str) -> Raw {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("an endpoint");
    let channel = endpoint.connect_timeout(Duration::from_secs(5)).connect_lazy();
    Raw {
        kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
        watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
        lease: LeaseClient::new(channel.clone()),
        cluster: ClusterClient::new(channel.clone()),
        maintenance: MaintenanceClient::new(channel),
    }
}

/// A member's status, if it answers.
pub async fn status(endpoint: &str) -> Option<pb::StatusResponse> {
    let mut raw = at(endpoint);
    let answer = tokio::time::timeout(CALL, raw.maintenance.status(pb::StatusRequest {})).await;
    Some(answer.ok()?.ok()?.into_inner())
}

/// A member's hash of all revisions up to this one (0: all), with the revision and that of the last
/// compaction, if it answers.
pub async fn hash_kv(endpoint: &str, revision: i64) -> Option<(u32, i64, i64)> {
    let mut raw = at(endpoint);
    let request = pb::HashKvRequest { revision };
    let answer = tokio::time::timeout(CALL, raw.maintenance.hash_kv(request)).await;
    let answer = answer.ok()?.ok()?.into_inner();
    Some((answer.hash, answer.header.map_or(0, |header| header.revision), answer.compact_revision))
}

/// One watch stream.
pub struct Watching {
    /// Requests.
    pub requests: tokio::sync::mpsc::UnboundedSender<pb::WatchRequest>,
    answers: Streaming<pb::WatchResponse>,
}

impl Watching {
    /// Opens it. A server sends its head with the first answer, so the first request comes along.
    ///
    /// # Errors
    /// The server's.
    pub async fn open(raw: &mut Raw, first: pb::WatchCreateRequest) -> Result<Watching, Status> {
        let (requests, receiver) = tokio::sync::mpsc::unbounded_channel();
        let _ = requests.send(create(first));
        let answers = raw.watch.watch(Requests(receiver)).await?.into_inner();
        Ok(Watching { requests, answers })
    }

    /// Asks for one more watch.
    pub fn create(&self, request: pb::WatchCreateRequest) {
        let _ = self.requests.send(create(request));
    }

    /// Ends a watch.
    pub fn cancel(&self, watch_id: i64) {
        use pb::watch_request::RequestUnion::CancelRequest;
        let cancel = CancelRequest(pb::WatchCancelRequest { watch_id });
        let _ = self.requests.send(pb::WatchRequest { request_union: Some(cancel) });
    }

    /// Asks how far the watches are.
    pub fn progress(&self) {
        use pb::watch_request::RequestUnion::ProgressRequest;
        let progress = ProgressRequest(pb::WatchProgressRequest {});
        let _ = self.requests.send(pb::WatchRequest { request_union: Some(progress) });
    }

    /// The next message.
    ///
    /// # Errors
    /// The server ended the stream with this.
    pub async fn next(&mut self) -> Result<pb::WatchResponse, Status> {
        match tokio::time::timeout(CALL, self.answers.message()).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(Status::unavailable("the stream ended")),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::deadline_exceeded("nothing came on the watch stream")),
        }
    }

    /// The next message if one comes within this time.
    pub async fn within(&mut self, patience: Duration) -> Option<Result<pb::WatchResponse, Status>> {
        let answer = tokio::time::timeout(patience, self.answers.message()).await.ok()?;
        Some(answer.and_then(|answer| answer.ok_or_else(|| Status::unavailable("the stream ended"))))
    }
}

/// A create request, wrapped.
pub fn create(request: pb::WatchCreateRequest) -> pb::WatchRequest {
    use pb::watch_request::RequestUnion::CreateRequest;
    pb::WatchRequest { request_union: Some(CreateRequest(request)) }
}

/// What a channel holds, as a stream of requests.
pub struct Requests<T>(pub tokio::sync::mpsc::UnboundedReceiver<T>);

impl<T> tonic::codegen::tokio_stream::Stream for Requests<T> {
    type Item = T;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}
