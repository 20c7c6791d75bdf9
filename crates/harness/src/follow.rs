//! A watch of everything, by way of the `etcd-client` crate, that goes on at another member whenever it is
//! cut off, from the revision after the last it has seen. It remembers what it was told, for the checkers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etcd_client::{Client, Error, EventType, WatchOptions, WatchResponse};
use quorate_checker::events::{Change, Event};
use quorate_checker::watch::{Received, Stream};

/// How long a member may be silent at the beginning of a stream before another is asked.
const BEGINNING: Duration = Duration::from_secs(3);

/// What a follower shares with who waits for it.
#[derive(Debug, Default)]
pub struct Seen {
    /// The newest revision seen.
    pub revision: AtomicU64,
    /// How often it had to begin anew.
    pub resumed: AtomicU64,
    /// Set to have it begin anew at the next member.
    pub cut: AtomicBool,
    /// Set to end it.
    pub over: AtomicBool,
}

/// Follows all keys from revision 2, beginning at `endpoints[first]`, until told to stop.
pub async fn everything(endpoints: Vec<String>, first: usize, seen: Arc<Seen>) -> Stream {
    let mut stream = Stream {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        start_revision: 2,
        ..Stream::default()
    };
    let mut at = first;
    while !seen.over.load(Ordering::SeqCst) {
        // However it ended: the next member goes on where this one was.
        let _ = listen(&endpoints[at % endpoints.len()], &seen, &mut stream).await;
        if seen.over.load(Ordering::SeqCst) {
            break;
        }
        at += 1;
        seen.resumed.fetch_add(1, Ordering::SeqCst);
        let start_revision = seen.revision.load(Ordering::SeqCst).max(1) + 1;
        stream.received.push(Received::Reconnected { start_revision });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stream
}

async fn listen(endpoint: &str, seen: &Seen, stream: &mut Stream) -> Result<(), Error> {
    let start = seen.revision.load(Ordering::SeqCst).max(1) + 1;
    let mut client = Client::connect([endpoint], None).await?;
    let options = WatchOptions::new().with_all_keys().with_start_revision(start as i64);
    let watch = tokio::time::timeout(BEGINNING, client.watch("", Some(options))).await;
    let Ok(watch) = watch else { return Ok(()) };
    let mut watch = watch?;
    loop {
        // A look at whether to end, now and then.
        let Ok(message) = tokio::time::timeout(Duration::from_millis(200), watch.message()).await else {
            if seen.over.load(Ordering::SeqCst) || seen.cut.swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            continue;
        };
        if seen.cut.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let Some(response) = message? else { return Ok(()) };
        let received = received(&response);
        if let Received::Events { events, .. } = &received
            && let Some(last) = events.last()
        {
            seen.revision.store(last.revision, Ordering::SeqCst);
        }
        stream.received.push(received);
        if response.canceled() {
            return Ok(());
        }
    }
}

fn received(response: &WatchResponse) -> Received {
    let revision = response.header().map_or(0, |header| header.revision() as u64);
    if response.created() {
        Received::Created { revision }
    } else if response.compact_revision() > 0 {
        Received::Compacted { compact_revision: response.compact_revision() as u64 }
    } else if response.events().is_empty() {
        Received::Progress { revision }
    } else {
        let events = response.events().iter().filter_map(event).collect();
        Received::Events { revision, events, fragment: false }
    }
}

fn event(event: &etcd_client::Event) -> Option<Event> {
    let kv = event.kv()?;
    let change = match event.event_type() {
        EventType::Put => Change::Put {
            value: Bytes::copy_from_slice(kv.value()),
            create_revision: kv.create_revision() as u64,
            version: kv.version() as u64,
        },
        EventType::Delete => Change::Delete,
    };
    Some(Event { revision: kv.mod_revision() as u64, key: Bytes::copy_from_slice(kv.key()), change })
}

/// The events a finished stream holds, in order.
pub fn events(stream: &Stream) -> Vec<Event> {
    let of = |received: &Received| match received {
        Received::Events { events, .. } => events.clone(),
        _ => Vec::new(),
    };
    stream.received.iter().flat_map(of).collect()
}
