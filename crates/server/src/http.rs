//! The client port: gRPC over HTTP/2 and plain HTTP on one listener.
//!
//! | path | answer |
//! |---|---|
//! | `/health` | whether the member can serve: `?serializable=true` asks for less, `?exclude=NOSPACE` is accepted |
//! | `/version` | versions, as clients parse them |
//! | `/metrics` | Prometheus' text format |
//! | gRPC | etcd's services |
//! | anything else | 404, or gRPC's `Unimplemented` |

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use quorate_api::version::{CLUSTER_VERSION, STORAGE_VERSION, VERSION};
use tokio::net::{TcpListener, TcpStream};

use crate::authority;
use crate::services;
use crate::shared::Shared;

/// HTTP/2 flow control windows of a connection and of one stream, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
const STREAM_WINDOW_BYTES: u32 = 2 << 20;

/// How long connections may take to finish when the node stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serve clients until the node stops.
pub async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let app = app(&shared);
    let graceful = GracefulShutdown::new();
    let mut stopping = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => connect(&app, socket, &graceful),
                Err(error) => {
                    // Out of file descriptors, say: existing connections go on, new ones wait a little.
                    tracing::warn!("a client's connection cannot be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = stopping.tick() => if shared.stopping.load(Ordering::SeqCst) {
                break;
            },
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
}

fn connect(app: &Router, socket: TcpStream, graceful: &GracefulShutdown) {
    // Answers must not wait for more to come.
    let _ = socket.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::MAX)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .keep_alive_interval(Some(Duration::from_secs(7200)))
        .keep_alive_timeout(Duration::from_secs(20));
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    let service = TowerToHyperService::new(services::in_etcds_words(app.clone()));
    let connection =
        builder.serve_connection(TokioIo::new(authority::Stream::new(socket)), service).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!("a client's connection ends: {error}");
        }
    });
}

fn app(shared: &Arc<Shared>) -> Router {
    let plain = Router::new()
        .route("/health", get(health))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(shared));
    services::routes(shared).merge(plain).fallback(nothing_here)
}

async fn nothing_here(request: Request) -> Response {
    let grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    if request.headers().get(header::CONTENT_TYPE).is_some_and(grpc) {
        return tonic::Status::unimplemented("").into_http::<Body>();
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn version() -> Response {
    let body = format!(
        r#"{{"etcdserver":"{VERSION}","etcdcluster":"{CLUSTER_VERSION}","storage":"{STORAGE_VERSION}","quorate":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.text(&shared)).into_response()
}

async fn health(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let local = query.split('&').any(|pair| pair == "serializable=true");
    let reason = if local {
        None
    } else if shared.leadership.leader().is_none() {
        Some("RAFT NO LEADER".to_owned())
    } else {
        shared.confirm_read().await.err().map(|error| format!("RANGE ERROR:{}", error.text()))
    };
    match reason {
        None => (StatusCode::OK, r#"{"health":"true","reason":""}"#.to_owned()).into_response(),
        Some(reason) => {
            let body = format!("{{\"health\":\"false\",\"reason\":\"{reason}\"}}\n");
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// Bind a client listener.
///
/// # Errors
/// The operating system's, with the address.
pub async fn bind(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
