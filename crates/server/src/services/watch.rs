//! Watch: one stream, many watchers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use quorate_api::ApiError;
use quorate_api::convert::watch::{DUPLICATE_ID, EMPTY_RANGE, event, filters, range};
use quorate_api::limits::in_etcds_words;
use quorate_api::proto::etcdserverpb as pb;
use quorate_kv::{CancelReason, StreamId, WatchCreate, WatchMessage};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Service;
use crate::shared::Shared;
use crate::watches::WatchInput;

/// Messages that wait for a client before no more of its requests are read.
const MAX_UNREAD: usize = 4096;

/// How often a stream that requires a leader, or waits for its client, looks again.
const PACE: Duration = Duration::from_millis(100);

/// Names streams within a life of the process.
static NEXT_STREAM: AtomicU64 = AtomicU64::new(1);

/// The responses of one stream; ends the stream's watchers when dropped.
pub struct Responses {
    shared: Arc<Shared>,
    stream: StreamId,
    messages: UnboundedReceiver<WatchMessage>,
    unread: Arc<AtomicU64>,
    /// Ends the stream with an error.
    end: tokio::sync::oneshot::Receiver<Status>,
    ended: bool,
}

impl Stream for Responses {
    type Item = Result<pb::WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some(message)) = self.messages.poll_recv(context) {
            self.shared.watches.send(WatchInput::Delivered(self.stream));
            self.unread.store(self.messages.len() as u64, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(response(&self.shared, message))));
        }
        match Pin::new(&mut self.end).poll(context) {
            Poll::Ready(Ok(status)) => {
                self.ended = true;
                Poll::Ready(Some(Err(status)))
            }
            _ => Poll::Pending,
        }
    }
}

impl Drop for Responses {
    fn drop(&mut self) {
        self.shared.watches.send(WatchInput::Close(self.stream));
        self.shared.watch_streams.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl pb::watch_server::Watch for Service {
    type WatchStream = Responses;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.check_metadata(request.metadata())?;
        let needs_leader = request.metadata().get("hasleader").is_some_and(|value| value == "true");
        let stream = StreamId(NEXT_STREAM.fetch_add(1, Ordering::Relaxed));
        let (sender, messages) = tokio::sync::mpsc::unbounded_channel();
        let (ender, end) = tokio::sync::oneshot::channel();
        // Counted before it is opened, so that no change after its opening is kept from it.
        self.watch_streams.fetch_add(1, Ordering::SeqCst);
        self.watches.send(WatchInput::Open(stream, sender));
        let unread = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&self.0);
        let responses = Responses {
            shared: Arc::clone(&shared),
            stream,
            messages,
            unread: Arc::clone(&unread),
            end,
            ended: false,
        };
        tokio::spawn(attend(shared, stream, request.into_inner(), unread, needs_leader, ender));
        Ok(Response::new(responses))
    }
}

/// Take a stream's requests until it ends, or has to be ended.
async fn attend(
    shared: Arc<Shared>,
    stream: StreamId,
    mut requests: Streaming<pb::WatchRequest>,
    unread: Arc<AtomicU64>,
    needs_leader: bool,
    mut ender: tokio::sync::oneshot::Sender<Status>,
) {
    let patience = Duration::from_millis(3 * shared.config.election_timeout_ms);
    let mut led = tokio::time::Instant::now();
    let mut pace = tokio::time::interval(PACE);
    let mut half_closed = false;
    loop {
        let takes_more = !half_closed && unread.load(Ordering::Relaxed) < MAX_UNREAD as u64;
        tokio::select! {
            // The client has gone.
            () = ender.closed() => return,
            request = requests.next(), if takes_more => match request {
                Some(Ok(request)) => take(&shared, stream, request),
                Some(Err(status)) => {
                    let _ = ender.send(in_etcds_words(status));
                    return;
                }
                // A client that has nothing more to ask still watches.
                None => half_closed = true,
            },
            _ = pace.tick() => {
                if shared.leadership.leader().is_some() {
                    led = tokio::time::Instant::now();
                }
                let end = if shared.stopping.load(Ordering::SeqCst) {
                    Some(ApiError::Stopped)
                } else if needs_leader && led.elapsed() > patience {
                    Some(ApiError::NoLeader)
                } else {
                    None
                };
                if let Some(error) = end {
                    let _ = ender.send(error.status());
                    return;
                }
            }
        }
    }
}

fn take(shared: &Shared, stream: StreamId, request: pb::WatchRequest) {
    use pb::watch_request::RequestUnion;
    let input = match request.request_union {
        Some(RequestUnion::CreateRequest(request)) => WatchInput::Create(stream, create(request)),
        Some(RequestUnion::CancelRequest(request)) => WatchInput::Cancel(stream, request.watch_id),
        Some(RequestUnion::ProgressRequest(_)) => WatchInput::Progress(stream),
        None => return,
    };
    shared.watches.send(input);
}

fn create(mut request: pb::WatchCreateRequest) -> WatchCreate {
    let filters = filters(&request);
    WatchCreate {
        range: range(&mut request),
        start_revision: request.start_revision,
        progress_notify: request.progress_notify,
        no_put: filters.no_put,
        no_delete: filters.no_delete,
        prev_kv: request.prev_kv,
        watch_id: request.watch_id,
        fragment: request.fragment,
    }
}

fn response(shared: &Shared, message: WatchMessage) -> pb::WatchResponse {
    pb::WatchResponse {
        header: Some(shared.answering().header(message.revision)),
        watch_id: message.watch_id,
        created: message.created,
        canceled: message.canceled,
        compact_revision: message.compact_revision,
        cancel_reason: message.cancel_reason.map_or(String::new(), reason),
        fragment: message.fragment,
        events: message.events.into_iter().map(|(change, previous)| event(&change, previous)).collect(),
    }
}

fn reason(reason: CancelReason) -> String {
    match reason {
        CancelReason::DuplicateId => DUPLICATE_ID.to_owned(),
        CancelReason::EmptyRange => EMPTY_RANGE.to_owned(),
        CancelReason::Compacted => ApiError::Compacted.text().to_owned(),
        CancelReason::Host(text) => text,
    }
}
