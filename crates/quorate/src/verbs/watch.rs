//! `quorate watch`: every change to a key, or to all with a prefix, until interrupted.
//!
//! A watch outlives the server it began on: when its stream breaks it is opened again, at the next endpoint,
//! from the revision after the last one seen, so that no event is missed and none is printed twice. Only a
//! server that answers and refuses ends it.

use std::time::Duration;

use bytes::Bytes;
use quorate_api::proto::etcdserverpb::watch_request::RequestUnion;
use quorate_api::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use quorate_api::proto::mvccpb::{Event, event::EventType};
use tonic::{Code, Request};

use super::{Keys, print};
use crate::client::{self, ClientError, Cluster, Connection};

/// Print every change to a key, or to all keys with a prefix, until interrupted
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    cluster: Cluster,
    /// From this revision on, history included [default: from now]
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..), default_value_t = 0, hide_default_value = true)]
    rev: i64,
    /// Also print what was there before
    #[arg(long)]
    prev_kv: bool,
}

/// Between a broken stream and the next attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// How a stream ended, when the watch goes on.
struct Broken(String);

impl Watch {
    pub(crate) async fn run(self) -> Result<(), ClientError> {
        tokio::select! {
            result = self.follow() => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }

    async fn follow(&self) -> Result<(), ClientError> {
        let mut endpoints = self.cluster.endpoints.clone();
        let mut next = self.rev;
        let mut created = false;
        loop {
            let why = match client::connect(&endpoints).await {
                Ok(connection) => {
                    let at = endpoints.iter().position(|endpoint| *endpoint == connection.endpoint);
                    let Broken(why) = self.stream(&connection, &mut next, &mut created).await?;
                    endpoints.rotate_left(at.unwrap_or(0) + 1);
                    format!("{}: {why}", connection.endpoint)
                }
                Err(error) if !created => return Err(error),
                Err(error) => error.to_string(),
            };
            eprintln!("quorate watch: {why}; going on elsewhere from revision {next}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows one stream. `next` is the revision to go on from; 0 until a first answer has told.
    async fn stream(
        &self,
        connection: &Connection,
        next: &mut i64,
        created: &mut bool,
    ) -> Result<Broken, ClientError> {
        let (key, range_end) = self.keys.interval();
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision: *next,
            prev_kv: self.prev_kv,
            ..WatchCreateRequest::default()
        };
        let message = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream of requests stays open behind the first: its end would end the watch.
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let _ = sender.send(message).await;
        let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
        request.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));

        let mut responses = match connection.watch().watch(request).await {
            Ok(responses) => responses.into_inner(),
            Err(status) => return lost(connection, &status),
        };
        loop {
            match responses.message().await {
                Ok(Some(response)) => self.take(connection, &response, next, created)?,
                Ok(None) => return Ok(Broken("the server ended the stream".into())),
                Err(status) => return lost(connection, &status),
            }
        }
    }

    fn take(
        &self,
        connection: &Connection,
        response: &WatchResponse,
        next: &mut i64,
        created: &mut bool,
    ) -> Result<(), ClientError> {
        if response.canceled {
            let mut message = format!("the watch was refused: {}", response.cancel_reason);
            if response.compact_revision > 0 {
                message
                    .push_str(&format!("; the oldest revision still there is {}", response.compact_revision));
            }
            return Err(ClientError::Refused {
                endpoint: connection.endpoint.clone(),
                code: Code::Ok,
                message,
            });
        }
        let now = response.header.as_ref().ok_or_else(|| super::incomplete("header"))?.revision;
        if response.created {
            *created = true;
            if *next == 0 {
                *next = now + 1;
            }
        }
        for event in &response.events {
            print(&self.text(event))?;
            if let Some(record) = &event.kv {
                *next = (*next).max(record.mod_revision + 1);
            }
        }
        Ok(())
    }

    /// The kind on a line, then what was there before (if asked), then the key and its value.
    fn text(&self, event: &Event) -> Vec<u8> {
        let mut out = Vec::new();
        let mut line = |bytes: &Bytes| {
            out.extend_from_slice(bytes);
            out.push(b'\n');
        };
        let deleted = event.r#type == EventType::Delete as i32;
        line(&Bytes::from_static(if deleted { b"DELETE" } else { b"PUT" }));
        if let Some(before) = event.prev_kv.as_ref().filter(|_| self.prev_kv) {
            line(&before.key);
            line(&before.value);
        }
        if let Some(record) = &event.kv {
            line(&record.key);
            line(&record.value);
        }
        out
    }
}

/// A stream that failed: a server that is gone or without a leader is left for another, all else is final.
fn lost(connection: &Connection, status: &tonic::Status) -> Result<Broken, ClientError> {
    match status.code() {
        // A connection that is reset arrives as one of the last three.
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled => {
            Ok(Broken(status.message().to_owned()))
        }
        _ => Err(connection.refused(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_api::proto::mvccpb::KeyValue;

    #[test]
    fn events_as_etcdctl_prints_them() {
        let record = |value: &'static str| {
            Some(KeyValue { key: "k".into(), value: value.into(), ..KeyValue::default() })
        };
        let put = Event { r#type: 0, kv: record("new"), prev_kv: record("old") };
        let delete = Event { r#type: 1, kv: record(""), prev_kv: record("new") };
        let watch = |prev_kv| Watch {
            keys: Keys { key: "k".into(), prefix: false },
            cluster: Cluster { endpoints: Vec::new() },
            rev: 0,
            prev_kv,
        };
        assert_eq!(watch(false).text(&put), b"PUT\nk\nnew\n");
        assert_eq!(watch(true).text(&put), b"PUT\nk\nold\nk\nnew\n");
        assert_eq!(watch(true).text(&delete), b"DELETE\nk\nnew\nk\n\n");
    }
}
