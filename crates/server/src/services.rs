//! etcd's gRPC services over one node.
//!
//! Thin on purpose: what a message means is decided in `quorate-api`, what it does in `quorate-kv`. Here
//! each request meets, in etcd's order: the metadata, the size, validation, then the log or a read.

mod cluster;
mod kv;
mod lease;
mod maintenance;
mod watch;

use std::sync::Arc;

use quorate_api::limits::{EtcdStatusLayer, max_receive_bytes};
use quorate_api::proto::etcdserverpb as pb;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::Routes;
use tower::Layer;

use crate::shared::Shared;

/// A service of one node; cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

impl std::ops::Deref for Service {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// All services, as routes of the HTTP server.
pub fn routes(shared: &Arc<Shared>) -> axum::Router {
    let service = || Service(Arc::clone(shared));
    let max = max_receive_bytes(shared.config.max_request_bytes);
    macro_rules! limited {
        ($server:expr) => {
            $server
                .max_decoding_message_size(max)
                .max_encoding_message_size(i32::MAX as usize)
                .accept_compressed(Gzip)
        };
    }
    let mut routes = Routes::default();
    routes = routes.add_service(limited!(pb::kv_server::KvServer::new(service())));
    routes = routes.add_service(limited!(pb::watch_server::WatchServer::new(service())));
    routes = routes.add_service(limited!(pb::lease_server::LeaseServer::new(service())));
    routes = routes.add_service(limited!(pb::cluster_server::ClusterServer::new(service())));
    routes = routes.add_service(limited!(pb::maintenance_server::MaintenanceServer::new(service())));
    routes.into_axum_router()
}

/// The layer that says the transport's refusals in etcd's words.
pub fn status_layer() -> EtcdStatusLayer {
    EtcdStatusLayer::new(&[
        pb::kv_server::SERVICE_NAME,
        pb::watch_server::SERVICE_NAME,
        pb::lease_server::SERVICE_NAME,
        pb::cluster_server::SERVICE_NAME,
        pb::maintenance_server::SERVICE_NAME,
    ])
}

/// A service wrapped in [`status_layer`].
pub fn in_etcds_words<S>(service: S) -> <EtcdStatusLayer as Layer<S>>::Service {
    status_layer().layer(service)
}
