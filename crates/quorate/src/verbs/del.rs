//! `quorate del`: one key, or all with a prefix; prints how many there were.

use quorate_api::proto::etcdserverpb::DeleteRangeRequest;

use super::{Keys, print, request};
use crate::client::{self, ClientError, Cluster};

/// Delete a key, or all keys with a prefix; prints how many there were
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Del {
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    cluster: Cluster,
}

impl Del {
    pub(crate) async fn run(self) -> Result<(), ClientError> {
        let (key, range_end) = self.keys.interval();
        let message = DeleteRangeRequest { key, range_end, ..DeleteRangeRequest::default() };
        let connection = client::connect(&self.cluster.endpoints).await?;
        let answer = connection.kv().delete_range(request(message)).await;
        let answer = answer.map_err(|status| connection.refused(&status))?;
        print(format!("{}\n", answer.into_inner().deleted).as_bytes())
    }
}
