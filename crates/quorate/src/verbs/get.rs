//! `quorate get`: keys and their values, each on a line of its own.

use quorate_api::proto::etcdserverpb::{RangeRequest, RangeResponse};

use super::{Keys, print, request};
use crate::client::{self, ClientError, Cluster};

/// Print a key and its value, or all keys with a prefix
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    cluster: Cluster,
    /// As of this revision [default: now]
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..), default_value_t = 0, hide_default_value = true)]
    rev: i64,
    /// At most so many keys (0: all)
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..), default_value_t = 0)]
    limit: i64,
    /// Keys without values
    #[arg(long, conflicts_with = "count_only")]
    keys_only: bool,
    /// Only how many there are
    #[arg(long)]
    count_only: bool,
}

impl Get {
    pub(crate) async fn run(self) -> Result<(), ClientError> {
        let (key, range_end) = self.keys.interval();
        let message = RangeRequest {
            key,
            range_end,
            revision: self.rev,
            limit: self.limit,
            keys_only: self.keys_only,
            count_only: self.count_only,
            ..RangeRequest::default()
        };
        let answer = client::read(&self.cluster.endpoints, |connection| {
            let message = message.clone();
            async move { connection.kv().range(request(message)).await }
        });
        let answer = answer.await?.into_inner();
        print(&self.text(&answer))?;
        let shown = answer.kvs.len() as i64;
        if answer.more {
            eprintln!("quorate get: {} more keys are not shown (--limit {shown})", answer.count - shown);
        }
        Ok(())
    }

    fn text(&self, answer: &RangeResponse) -> Vec<u8> {
        if self.count_only {
            return format!("{}\n", answer.count).into_bytes();
        }
        let mut out = Vec::new();
        for record in &answer.kvs {
            out.extend_from_slice(&record.key);
            out.push(b'\n');
            if !self.keys_only {
                out.extend_from_slice(&record.value);
                out.push(b'\n');
            }
        }
        out
    }
}
