//! KV: ranges, writes, transactions, compaction.

use std::pin::Pin;
use std::sync::atomic::Ordering;

use quorate_api::ApiError;
use quorate_api::convert::response;
use quorate_api::limits::check_write_size;
use quorate_api::proto::etcdserverpb as pb;
use quorate_kv::{
    Applied, Command, DeleteRange, Op, Outcome, Put, Range, RangeOutcome, Txn, txn_is_read_only, validate,
    validate_range,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, async_trait};

use super::Service;

/// Bytes of records in one message of a streamed range, about.
const CHUNK_BYTES: usize = 1 << 20;

/// Between two looks at whether a compaction has been carried out.
const COMPACTION_PACE: std::time::Duration = std::time::Duration::from_millis(10);

impl Service {
    /// Validate and replicate a command, and take its answer apart.
    async fn write(&self, command: Command) -> Result<(i64, Outcome), ApiError> {
        validate(&command, self.config.max_txn_ops)?;
        let Applied { revision, outcome, .. } = self.propose(&command).await?;
        Ok((revision, outcome?))
    }

    async fn read(&self, range: &Range) -> Result<(i64, RangeOutcome), ApiError> {
        validate_range(range)?;
        if !range.serializable {
            self.confirm_read().await?;
        }
        self.metrics.ranges.inc();
        let state = self.state.read();
        Ok((state.revision(), state.range(range)?))
    }

    async fn read_txn(&self, txn: &Txn) -> Result<(i64, quorate_kv::TxnOutcome), ApiError> {
        let serializable = |op: &Op| matches!(op, Op::Range(Range { serializable: true, .. }));
        if !txn.success.iter().chain(&txn.failure).all(serializable) {
            self.confirm_read().await?;
        }
        let state = self.state.read();
        Ok((state.revision(), state.txn_read(txn)?))
    }
}

/// The state machine answers a command with its own kind of outcome.
fn mismatched() -> Status {
    Status::internal("the state machine answered another request")
}

#[async_trait]
impl pb::kv_server::Kv for Service {
    type RangeStreamStream = Pin<Box<dyn Stream<Item = Result<pb::RangeStreamResponse, Status>> + Send>>;

    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        if !request.get_ref().serializable {
            self.check_voter()?;
        }
        self.check_leader(request.metadata())?;
        let range = Range::try_from(request.into_inner()).map_err(ApiError::from)?;
        let (revision, outcome) = self.read(&range).await?;
        Ok(Response::new(response::range(self.answering().header(revision), outcome)))
    }

    async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        self.check_metadata(request.metadata())?;
        let request = request.into_inner();
        if request.sort_order != 0 || request.sort_target != 0 {
            return Err(Status::unimplemented("RangeStream does not support custom sort orders"));
        }
        let bounds = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        if bounds.iter().any(|&bound| bound != 0) {
            return Err(Status::unimplemented("RangeStream does not support revision filters"));
        }
        let range = Range::try_from(request).map_err(ApiError::from)?;
        let (revision, outcome) = self.read(&range).await?;
        let answer = response::range(self.answering().header(revision), outcome);
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks(answer).into_iter().map(Ok)))))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let request = request.into_inner();
        check_write_size(&request, self.config.max_request_bytes)?;
        match self.write(Command::Put(Put::from(request))).await? {
            (revision, Outcome::Put(prev)) => {
                Ok(Response::new(response::put(self.answering().header(revision), prev)))
            }
            _ => Err(mismatched()),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let request = request.into_inner();
        check_write_size(&request, self.config.max_request_bytes)?;
        match self.write(Command::DeleteRange(DeleteRange::from(request))).await? {
            (revision, Outcome::DeleteRange { deleted, prev_kvs }) => {
                let header = self.answering().header(revision);
                Ok(Response::new(response::delete_range(header, deleted, prev_kvs)))
            }
            _ => Err(mismatched()),
        }
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let request = request.into_inner();
        check_write_size(&request, self.config.max_request_bytes)?;
        let txn = Txn::try_from(request).map_err(ApiError::from)?;
        self.metrics.txns.inc();
        if txn_is_read_only(&txn) {
            quorate_kv::validate_txn(&txn, self.config.max_txn_ops).map_err(ApiError::from)?;
            let (revision, outcome) = self.read_txn(&txn).await?;
            return Ok(Response::new(response::txn(self.answering().header(revision), outcome)));
        }
        match self.write(Command::Txn(Box::new(txn))).await? {
            (revision, Outcome::Txn(outcome)) => {
                Ok(Response::new(response::txn(self.answering().header(revision), outcome)))
            }
            _ => Err(mismatched()),
        }
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        self.check_metadata(request.metadata())?;
        let pb::CompactionRequest { revision, physical } = request.into_inner();
        let (current, _) = self.write(Command::Compact { revision }).await?;
        let deadline = tokio::time::Instant::now() + self.request_timeout();
        while physical && self.state.read().meta().finished_compaction < revision {
            if self.stopping.load(Ordering::SeqCst) {
                return Err(ApiError::Stopped.into());
            }
            // The compaction goes on; its client need not wait for all of it.
            if tokio::time::Instant::now() >= deadline {
                return Err(ApiError::TimeoutApply.into());
            }
            tokio::time::sleep(COMPACTION_PACE).await;
        }
        Ok(Response::new(pb::CompactionResponse { header: Some(self.answering().header(current)) }))
    }
}

/// Cut an answer into messages; header, count and `more` come with the last.
fn chunks(answer: pb::RangeResponse) -> Vec<pb::RangeStreamResponse> {
    let pb::RangeResponse { header, kvs, more, count } = answer;
    let mut parts = vec![pb::RangeResponse::default()];
    let mut bytes = 0;
    for kv in kvs {
        let size = kv.key.len() + kv.value.len();
        if bytes > 0 && bytes + size > CHUNK_BYTES {
            parts.push(pb::RangeResponse::default());
            bytes = 0;
        }
        bytes += size;
        let last = parts.len() - 1;
        parts[last].kvs.push(kv);
    }
    let last = parts.len() - 1;
    (parts[last].header, parts[last].more, parts[last].count) = (header, more, count);
    parts.into_iter().map(|part| pb::RangeStreamResponse { range_response: Some(part) }).collect()
}
