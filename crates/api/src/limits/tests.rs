//! The limits' arithmetic, and the layer around a real server on a real socket.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response};

use super::*;
use crate::proto::etcdserverpb as pb;
use pb::kv_server::{Kv, KvServer};

const SERVICES: &[&str] = &[pb::kv_server::SERVICE_NAME];

/// Answers a range, refuses a removal for a reason of its own, and counts nothing else.
struct OneAnswer;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Kv for OneAnswer {
    async fn range(&self, _: Request<pb::RangeRequest>) -> Answer<pb::RangeResponse> {
        Ok(Response::new(pb::RangeResponse { count: 7, ..Default::default() }))
    }
    type RangeStreamStream = tokio_stream::Empty<Result<pb::RangeStreamResponse, Status>>;
    async fn range_stream(&self, _: Request<pb::RangeRequest>) -> Answer<Self::RangeStreamStream> {
        Err(Status::unimplemented("RangeStream does not support custom sort orders"))
    }
    async fn put(&self, request: Request<pb::PutRequest>) -> Answer<pb::PutResponse> {
        check_write_size(request.get_ref(), DEFAULT_MAX_REQUEST_BYTES)?;
        Ok(Response::new(pb::PutResponse::default()))
    }
    async fn delete_range(&self, _: Request<pb::DeleteRangeRequest>) -> Answer<pb::DeleteRangeResponse> {
        Err(ApiError::Compacted.into())
    }
    async fn txn(&self, _: Request<pb::TxnRequest>) -> Answer<pb::TxnResponse> {
        Err(ApiError::TooManyOps.into())
    }
    async fn compact(&self, _: Request<pb::CompactionRequest>) -> Answer<pb::CompactionResponse> {
        Err(ApiError::FutureRevision.into())
    }
}

/// A server with the layer, as long as the test runs.
async fn serve() -> Channel {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let kv = KvServer::new(OneAnswer)
        .max_decoding_message_size(max_receive_bytes(DEFAULT_MAX_REQUEST_BYTES))
        .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder().layer(EtcdStatusLayer::new(SERVICES)).add_service(kv).serve_with_incoming(incoming),
    );
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Call a path with an empty message and take the refusal.
async fn refusal(channel: &Channel, path: &'static str) -> (Code, String) {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::RangeRequest, pb::RangeResponse>::default();
    let answer =
        grpc.unary(Request::new(pb::RangeRequest::default()), PathAndQuery::from_static(path), codec).await;
    let status = answer.expect_err(path);
    (status.code(), status.message().to_string())
}

fn put_of(value_bytes: usize) -> pb::PutRequest {
    pb::PutRequest { key: Bytes::from_static(b"k"), value: vec![0; value_bytes].into(), ..Default::default() }
}

#[tokio::test]
async fn unknown_methods_and_services_are_named() {
    let channel = serve().await;
    let unimplemented = |text: &str| (Code::Unimplemented, text.to_string());
    assert_eq!(
        refusal(&channel, "/etcdserverpb.KV/Fetch").await,
        unimplemented("unknown method Fetch for service etcdserverpb.KV")
    );
    assert_eq!(
        refusal(&channel, "/v3lockpb.Lock/Lock").await,
        unimplemented("unknown service v3lockpb.Lock")
    );
    assert_eq!(refusal(&channel, "/a/b/c").await, unimplemented("unknown service a/b"));
    assert_eq!(refusal(&channel, "/Range").await, unimplemented("malformed method name: \"/Range\""));
}

#[tokio::test]
async fn a_message_too_large_for_the_transport_is_refused_as_by_etcd() {
    let channel = serve().await;
    let mut kv = pb::kv_client::KvClient::new(channel);
    let put = put_of(3_000_000);
    let size = put.encoded_len();
    let status = kv.put(put).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), format!("grpc: received message larger than max ({size} vs. 2097152)"));
    // One between the two limits is the handler's to refuse, and one below both is none of anybody's.
    let status = kv.put(put_of(DEFAULT_MAX_REQUEST_BYTES)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "etcdserver: request is too large")
    );
    kv.put(put_of(1_500_000)).await.unwrap();
}

#[tokio::test]
async fn good_answers_and_the_handlers_own_refusals_pass() {
    let channel = serve().await;
    let mut kv = pb::kv_client::KvClient::new(channel);
    assert_eq!(kv.range(pb::RangeRequest::default()).await.unwrap().into_inner().count, 7);
    let status = kv.delete_range(pb::DeleteRangeRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, ApiError::Compacted.text()));
    let status = kv.range_stream(pb::RangeRequest::default()).await.unwrap_err();
    assert_eq!(status.message(), "RangeStream does not support custom sort orders");
    let mut gzip = kv.send_compressed(tonic::codec::CompressionEncoding::Gzip);
    assert_eq!(gzip.range(pb::RangeRequest::default()).await.unwrap().into_inner().count, 7);
}

#[test]
fn only_the_transports_text_is_reworded() {
    for text in [
        "etcdserver: mvcc: required revision has been compacted",
        "decoded message length too large: found x bytes, the limit is: 5 bytes",
        "decoded message length too large: found 6 bytes, the limit is: ",
        "",
    ] {
        let status = in_etcds_words(Status::out_of_range(text));
        assert_eq!((status.code(), status.message()), (Code::OutOfRange, text));
    }
    let other = "Error, decoded message length too large: found 6 bytes, the limit is: 5 bytes";
    assert_eq!(in_etcds_words(Status::internal(other)).code(), Code::Internal);
    let status = in_etcds_words(Status::out_of_range(other));
    assert_eq!(status.message(), "grpc: received message larger than max (6 vs. 5)");
}

/// etcd's documented pair: 1,500,000 bytes of value pass, 1,572,864 do not; and the exact edge.
#[test]
fn the_write_limit_counts_key_and_framing() {
    let check = |value_bytes| check_write_size(&put_of(value_bytes), DEFAULT_MAX_REQUEST_BYTES);
    assert_eq!(check(1_500_000), Ok(()));
    assert_eq!(check(DEFAULT_MAX_REQUEST_BYTES), Err(ApiError::RequestTooLarge));
    // Key "k": 3 bytes; value: 1 + 3 + its own; entry: 3 + 15.
    let edge = DEFAULT_MAX_REQUEST_BYTES - 3 - 4 - 18;
    assert_eq!(check(edge), Ok(()));
    assert_eq!(check(edge + 1), Err(ApiError::RequestTooLarge));
    assert_eq!(max_receive_bytes(DEFAULT_MAX_REQUEST_BYTES), 2_097_152);
}
