//! How large a message may be, and the transport's own refusals in etcd's words.
//!
//! Two limits meet a large write. `--max-request-bytes` (1.5 MiB) bounds what goes into the replicated log and
//! is refused as [`ApiError::RequestTooLarge`]; the transport accepts 512 KiB more and refuses the rest before
//! decoding it. The second refusal is the gRPC library's, and so are those of methods and services that do
//! not exist; clients know them with the code and text of Go's library, which etcd is built on:
//!
//! | refusal | here, by itself | what clients expect |
//! |---|---|---|
//! | message too large | `OutOfRange`, its own text | `ResourceExhausted`, [`received_too_large`] |
//! | unknown method | `Unimplemented`, no text | `Unimplemented`, `unknown method X for service Y` |
//! | unknown service | `Unimplemented`, no text | `Unimplemented`, `unknown service Y` |
//!
//! [`EtcdStatusLayer`] rewrites them. Such a refusal is a response of headers only, so the layer looks for
//! `grpc-status` among the *headers*; a good answer has it in the trailers and passes after one failed look-up.
//! A stream's later errors are in the trailers too: a handler that reads a request stream passes what the
//! stream reports through [`in_etcds_words`] itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Uri;
use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::error::ApiError;

/// `--max-request-bytes` unless told otherwise: 1.5 MiB.
pub const DEFAULT_MAX_REQUEST_BYTES: usize = 1_572_864;

/// What the transport accepts beyond `--max-request-bytes`: 512 KiB.
pub const RECEIVE_OVERHEAD_BYTES: usize = 524_288;

/// What etcd adds to a request before it measures it, at most: a header with a 64-bit request id (14 bytes)
/// and the tag of the request within the log's entry (1 byte); the length before it is counted apart.
const ENTRY_OVERHEAD_BYTES: usize = 15;

/// The largest message the transport accepts.
pub const fn max_receive_bytes(max_request_bytes: usize) -> usize {
    max_request_bytes.saturating_add(RECEIVE_OVERHEAD_BYTES)
}

/// Refuse a write that would make too large a log entry. Reads are not measured.
pub fn check_write_size(request: &impl prost::Message, max_request_bytes: usize) -> Result<(), ApiError> {
    let bytes = request.encoded_len();
    let entry = bytes.saturating_add(prost::length_delimiter_len(bytes)).saturating_add(ENTRY_OVERHEAD_BYTES);
    if entry > max_request_bytes { Err(ApiError::RequestTooLarge) } else { Ok(()) }
}

/// The refusal of a message larger than the transport accepts.
pub fn received_too_large(found: u64, limit: u64) -> Status {
    Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})"))
}

/// The transport's refusals in etcd's words; every other status as it is.
pub fn in_etcds_words(status: Status) -> Status {
    if status.code() != Code::OutOfRange {
        return status;
    }
    match too_large(status.message()) {
        Some((found, limit)) => received_too_large(found, limit),
        None => status,
    }
}

/// The two sizes in tonic's text: "Error, decoded message length too large: found N bytes, the limit is: M
/// bytes".
fn too_large(text: &str) -> Option<(u64, u64)> {
    let (_, sizes) = text.split_once("decoded message length too large: found ")?;
    let (found, rest) = sizes.split_once(" bytes, the limit is: ")?;
    Some((found.parse().ok()?, rest.strip_suffix(" bytes")?.parse().ok()?))
}

/// Why a path names nothing that is served: Go's library tells a wrong path, a wrong service and a wrong
/// method apart.
fn unknown(path: &str, services: &[&str]) -> Status {
    let text = match path.strip_prefix('/').unwrap_or(path).rsplit_once('/') {
        None => format!("malformed method name: {path:?}"),
        Some((service, method)) if services.contains(&service) => {
            format!("unknown method {method} for service {service}")
        }
        Some((service, _)) => format!("unknown service {service}"),
    };
    Status::unimplemented(text)
}

/// Wraps a gRPC service so that the transport's refusals are worded as etcd's.
#[derive(Clone, Copy, Debug)]
pub struct EtcdStatusLayer {
    services: &'static [&'static str],
}

impl EtcdStatusLayer {
    /// `services`: the full names of those that are served, such as `etcdserverpb.KV`.
    pub const fn new(services: &'static [&'static str]) -> EtcdStatusLayer {
        EtcdStatusLayer { services }
    }
}

impl<S> Layer<S> for EtcdStatusLayer {
    type Service = EtcdStatus<S>;

    fn layer(&self, inner: S) -> EtcdStatus<S> {
        EtcdStatus { inner, services: self.services }
    }
}

/// The service [`EtcdStatusLayer`] makes.
#[derive(Clone, Debug)]
pub struct EtcdStatus<S> {
    inner: S,
    services: &'static [&'static str],
}

impl<S, B, R> Service<http::Request<B>> for EtcdStatus<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = EtcdStatusFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // The path is needed only when the method is unknown; cloning it shares its bytes.
        let uri = request.uri().clone();
        EtcdStatusFuture { inner: self.inner.call(request), uri, services: self.services }
    }
}

pin_project! {
    /// The answer to come of [`EtcdStatus`].
    #[derive(Debug)]
    pub struct EtcdStatusFuture<F> {
        #[pin]
        inner: F,
        uri: Uri,
        services: &'static [&'static str],
    }
}

impl<F, R, E> Future for EtcdStatusFuture<F>
where
    F: Future<Output = Result<http::Response<R>, E>>,
{
    type Output = Result<http::Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(context))?;
        if response.headers().contains_key(Status::GRPC_STATUS) {
            reword(response.headers_mut(), this.uri, this.services);
        }
        Poll::Ready(Ok(response))
    }
}

/// Replace a refusal of the transport in a response of headers only; the handlers' own pass.
fn reword(headers: &mut http::HeaderMap, uri: &Uri, services: &[&str]) {
    let Some(status) = Status::from_header_map(headers) else { return };
    let reworded = match status.code() {
        // A handler that answers so says why; the transport does not.
        Code::Unimplemented if status.message().is_empty() => unknown(uri.path(), services),
        Code::OutOfRange => in_etcds_words(status),
        _ => return,
    };
    // Fails only on a text that cannot be in a header, and texts are encoded so that they can: then the
    // response stays as it was.
    let _ = reworded.add_header(headers);
}

#[cfg(test)]
mod tests;
