//! Talking to a cluster: endpoints, connections, and who is asked next when one does not answer.
//!
//! Reads go to the first endpoint that answers: an endpoint that cannot be reached or says `Unavailable`
//! passes the question on. Writes go on only while no connection could be made; once a write has been sent, a
//! lost answer does not tell whether it happened, and repeating it is for the person who asked.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use quorate_api::proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_api::proto::etcdserverpb::kv_client::KvClient;
use quorate_api::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_api::proto::etcdserverpb::watch_client::WatchClient;
use tonic::transport::{Channel, Endpoint as Transport};
use tonic::{Code, Status};

/// The endpoints of a cluster that `quorate dev` starts by default, and of most others.
pub(crate) const DEFAULT_ENDPOINTS: &str =
    "http://127.0.0.1:2379,http://127.0.0.1:2389,http://127.0.0.1:2399";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One server, as `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) String);

impl FromStr for Endpoint {
    type Err = String;

    /// Takes `http://host:port` and `host:port`.
    fn from_str(text: &str) -> Result<Endpoint, String> {
        if text.starts_with("https://") {
            return Err(format!("{text}: TLS is not supported yet; use http://"));
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let port = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        match port.and_then(|port| port.parse::<u16>().ok()) {
            Some(1..) if !authority.contains('/') => Ok(Endpoint(authority.to_owned())),
            _ => Err(format!("\"{text}\" is not an endpoint; write http://host:port")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// Where to find the cluster; shared by all verbs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Cluster {
    /// The servers to ask, in this order, separated by commas
    #[arg(long, value_delimiter = ',', default_value = DEFAULT_ENDPOINTS, env = "QUORATE_ENDPOINTS")]
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection to any endpoint: nothing was asked, so nothing has changed.
    #[error("no endpoint can be reached; is the cluster running, and is --endpoints right?{}", lines(.0))]
    Unreachable(Vec<String>),
    /// A server refused, or its answer was lost.
    #[error("{endpoint}: {message} ({code:?})")]
    Refused {
        /// Who.
        endpoint: Endpoint,
        /// The gRPC code.
        code: Code,
        /// The server's text.
        message: String,
    },
    /// What was given cannot be used.
    #[error("{0}")]
    Input(String),
    /// Reading standard input or writing standard output.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        error: std::io::Error,
    },
}

fn lines(refusals: &[String]) -> String {
    refusals.iter().map(|refusal| format!("\n  {refusal}")).collect()
}

/// A connection to one server.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Which.
    pub(crate) endpoint: Endpoint,
    channel: Channel,
}

impl Connection {
    /// Connects, or says why not.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Connection, String> {
        let transport =
            Transport::from_shared(endpoint.to_string()).map_err(|error| format!("{endpoint}: {error}"))?;
        let transport = transport.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
        match transport.connect().await {
            Ok(channel) => Ok(Connection { endpoint: endpoint.clone(), channel }),
            Err(error) => Err(format!("{endpoint}: {}", root_cause(&error))),
        }
    }

    /// Get, put, delete. Answers may be as large as the server sends.
    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    /// Watches.
    pub(crate) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    /// The members.
    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// The server's own state.
    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// A refusal by this server.
    pub(crate) fn refused(&self, status: &Status) -> ClientError {
        ClientError::Refused {
            endpoint: self.endpoint.clone(),
            code: status.code(),
            message: status.message().to_owned(),
        }
    }
}

/// The innermost of a chain of errors: the one that says what happened.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The first endpoint that accepts a connection.
pub(crate) async fn connect(endpoints: &[Endpoint]) -> Result<Connection, ClientError> {
    let mut refusals = Vec::new();
    for endpoint in endpoints {
        match Connection::open(endpoint).await {
            Ok(connection) => return Ok(connection),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(ClientError::Unreachable(refusals))
}

/// Asks a question that changes nothing of each endpoint in turn until one is available.
pub(crate) async fn read<T, F, A>(endpoints: &[Endpoint], ask: F) -> Result<T, ClientError>
where
    F: Fn(Connection) -> A,
    A: Future<Output = Result<T, Status>>,
{
    let mut refusals = Vec::new();
    let mut refused = None;
    for endpoint in endpoints {
        let connection = match Connection::open(endpoint).await {
            Ok(connection) => connection,
            Err(refusal) => {
                refusals.push(refusal);
                continue;
            }
        };
        match ask(connection.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(status) if status.code() == Code::Unavailable => refused = Some(connection.refused(&status)),
            Err(status) => return Err(connection.refused(&status)),
        }
    }
    Err(refused.unwrap_or(ClientError::Unreachable(refusals)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_with_and_without_a_scheme() {
        for text in ["http://127.0.0.1:2379", "127.0.0.1:2379", "http://127.0.0.1:2379/"] {
            assert_eq!(text.parse(), Ok(Endpoint("127.0.0.1:2379".into())), "{text}");
        }
        assert_eq!("[::1]:1".parse(), Ok(Endpoint("[::1]:1".into())));
        for text in ["", "a", "a:", ":1", "a:x", "a:0", "https://a:1", "http://a:1/b", "ftp://a:1"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_there_names_every_endpoint() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("listen").local_addr().expect("address");
        let endpoints = [Endpoint(free.to_string())];
        let error = connect(&endpoints).await.err().expect("nobody listens").to_string();
        assert!(error.contains(&free.to_string()) && error.contains("refused"), "{error}");
    }
}
