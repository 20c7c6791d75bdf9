//! The load itself: every client of a run is one call at a time on one connection, again and again.
//!
//! One thread drives all connections. A connection is a task that waits for its socket, takes in all answers
//! that have arrived, begins the next call of each client that was answered, and sends all of it in one
//! write; nothing is handed between tasks. Latency is measured per call, from when its request is put into
//! the buffer to when its answer is taken out of what was read.
//!
//! A connection that breaks fails the calls in flight on it (they count as errors, they are not repeated),
//! and its clients go on at the next endpoint.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::hpack::RequestHeaders;
use super::http2::{Done, Http2, Outcome};
use super::load::Load;

const READ_BUFFER_BYTES: usize = 64 << 10;
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a phase of a run has shown.
pub(crate) struct Tally {
    /// Latencies of calls that went well, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// Answers that held a record.
    pub(crate) found: u64,
    /// What went wrong, and how often.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// One phase, shared by its connections.
pub(crate) struct Phase {
    load: RefCell<Load>,
    remaining: Cell<u64>,
    ended: Cell<u64>,
    tally: RefCell<Tally>,
}

impl Phase {
    pub(crate) fn new(load: Load, total: u64) -> Rc<Phase> {
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds are valid");
        let tally = Tally { latency, found: 0, errors: BTreeMap::new() };
        Rc::new(Phase {
            load: RefCell::new(load),
            remaining: Cell::new(total),
            ended: Cell::new(0),
            tally: RefCell::new(tally),
        })
    }

    /// The right to begin one more call.
    fn take(&self) -> bool {
        let left = self.remaining.get();
        self.remaining.set(left.saturating_sub(1));
        left > 0
    }

    fn record(&self, done: Done, now: Instant) {
        self.ended.set(self.ended.get() + 1);
        let mut tally = self.tally.borrow_mut();
        match done.outcome {
            Outcome::Ok { found } => {
                tally.found += u64::from(found);
                let micros = now.duration_since(done.started).as_micros() as u64;
                tally.latency.saturating_record(micros.max(1));
            }
            Outcome::Failed { code, message } => {
                let text = format!("{} ({code}): {message}", tonic::Code::from(code as i32).description());
                *tally.errors.entry(text).or_default() += 1;
            }
        }
    }

    fn fail(&self, count: u64, text: &str) {
        self.ended.set(self.ended.get() + count);
        if count > 0 {
            *self.tally.borrow_mut().errors.entry(text.into()).or_default() += count;
        }
    }
}

/// A connection and its clients.
pub(crate) struct Connection {
    endpoints: Rc<[String]>,
    /// Which endpoint is used now.
    at: usize,
    clients: u32,
    path: &'static str,
    link: Option<Link>,
    timeout: Duration,
}

struct Link {
    socket: TcpStream,
    http2: Http2,
    input: Vec<u8>,
    filled: usize,
}

/// Why a connection stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Nobody to talk to.
    #[error("no endpoint accepts connections any more; the last refusal was: {0}")]
    Unreachable(String),
    /// More clients than the server lets one connection have.
    #[error(
        "{endpoint} allows {allowed} calls at a time on a connection and {clients} clients share one: \
         raise --connections"
    )]
    TooManyClients { endpoint: String, allowed: u32, clients: u32 },
    /// The servers hang.
    #[error("no call has ended for {0} s: the servers do not answer (see --timeout)")]
    Stalled(u64),
}

impl Connection {
    pub(crate) fn new(
        endpoints: Rc<[String]>,
        at: usize,
        clients: u32,
        path: &'static str,
        timeout: Duration,
    ) -> Self {
        Connection { at: at % endpoints.len(), endpoints, clients, path, link: None, timeout }
    }

    /// Connects and waits for the server's settings. Tries every endpoint for a while.
    pub(crate) async fn open(&mut self) -> Result<(), RunError> {
        let begun = Instant::now();
        loop {
            let endpoint = &self.endpoints[self.at];
            let refusal = match tokio::time::timeout(CONNECT_TIMEOUT, Link::open(endpoint, self.path)).await {
                Ok(Ok(link)) if link.http2.peer_streams() < self.clients => {
                    let allowed = link.http2.peer_streams();
                    let clients = self.clients;
                    return Err(RunError::TooManyClients { endpoint: endpoint.clone(), allowed, clients });
                }
                Ok(Ok(link)) => {
                    self.link = Some(link);
                    return Ok(());
                }
                Ok(Err(error)) => format!("{endpoint}: {error}"),
                Err(_) => format!("{endpoint}: no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            };
            if begun.elapsed() > self.timeout {
                return Err(RunError::Unreachable(refusal));
            }
            self.at = (self.at + 1) % self.endpoints.len();
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Makes calls until the phase has none left and every one begun has ended.
    pub(crate) async fn drive(&mut self, phase: &Phase) -> Result<(), RunError> {
        loop {
            if self.link.is_none() {
                self.open().await?;
            }
            let Some(link) = &mut self.link else { return Ok(()) };
            for slot in 0..self.clients {
                if phase.take() {
                    link.start(slot, phase);
                }
            }
            let Err(error) = link.exchange(phase).await else { return Ok(()) };
            let lost = link.http2.abandon();
            phase.fail(lost.len() as u64, &format!("connection lost: {error}"));
            self.link = None;
            if phase.remaining.get() == 0 {
                return Ok(());
            }
            self.at = (self.at + 1) % self.endpoints.len();
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

impl Link {
    async fn open(endpoint: &str, path: &'static str) -> io::Result<Link> {
        let socket = TcpStream::connect(endpoint).await?;
        socket.set_nodelay(true)?;
        let http2 = Http2::new(RequestHeaders::new(path, endpoint));
        let mut link = Link { socket, http2, input: vec![0; READ_BUFFER_BYTES], filled: 0 };
        while !link.http2.settled() {
            link.turn().await?;
        }
        Ok(link)
    }

    fn start(&mut self, slot: u32, phase: &Phase) {
        let mut load = phase.load.borrow_mut();
        self.http2.start(slot, Instant::now(), load.next());
    }

    /// Answers and new calls, until nothing is in flight.
    async fn exchange(&mut self, phase: &Phase) -> io::Result<()> {
        while self.http2.in_flight() > 0 {
            self.turn().await?;
            if self.http2.done.is_empty() {
                continue;
            }
            let now = Instant::now();
            let mut done = std::mem::take(&mut self.http2.done);
            for call in done.drain(..) {
                let slot = call.slot;
                phase.record(call, now);
                if !self.http2.exhausted() && phase.take() {
                    self.start(slot, phase);
                }
            }
            self.http2.done = done;
        }
        if self.http2.exhausted() && phase.remaining.get() > 0 {
            return Err(io::Error::other("all stream numbers are used up"));
        }
        self.flush()
    }

    /// Sends what there is to send, and takes in what arrives, once.
    async fn turn(&mut self) -> io::Result<()> {
        self.flush()?;
        let interest = if self.http2.out.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let ready = self.socket.ready(interest).await?;
        if !ready.is_readable() {
            return Ok(());
        }
        match self.socket.try_read(&mut self.input[self.filled..]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.filled += count;
                let used = self.http2.receive(&self.input[..self.filled]).map_err(io::Error::other)?;
                self.input.copy_within(used..self.filled, 0);
                self.filled -= used;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.http2.out.is_empty() {
            match self.socket.try_write(&self.http2.out) {
                Ok(count) if count == self.http2.out.len() => self.http2.out.clear(),
                Ok(count) => drop(self.http2.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Runs a phase on all connections and gives them back with what was seen. `Err` when the run cannot go on;
/// what was seen until then is with it.
pub(crate) async fn run_phase(
    connections: Vec<Connection>,
    phase: Rc<Phase>,
    stall: Duration,
) -> (Vec<Connection>, Tally, Result<(), RunError>) {
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in connections {
        let phase = phase.clone();
        tasks.spawn_local(async move {
            let result = connection.drive(&phase).await;
            (connection, result)
        });
    }
    let mut kept = Vec::new();
    let mut result = Ok(());
    let mut progress = (phase.ended.get(), Instant::now());
    loop {
        match tokio::time::timeout(Duration::from_secs(1), tasks.join_next()).await {
            Ok(Some(Ok((connection, ended)))) => {
                kept.push(connection);
                result = result.and(ended);
            }
            Ok(Some(Err(panic))) => std::panic::resume_unwind(panic.into_panic()),
            Ok(None) => break,
            Err(_) if phase.ended.get() != progress.0 => progress = (phase.ended.get(), Instant::now()),
            Err(_) if progress.1.elapsed() > stall => {
                result = Err(RunError::Stalled(stall.as_secs()));
                tasks.abort_all();
                break;
            }
            Err(_) => {}
        }
    }
    drop(tasks);
    let empty =
        Tally { latency: Histogram::new(3).expect("a valid precision"), found: 0, errors: BTreeMap::new() };
    let tally = phase.tally.replace(empty);
    (kept, tally, result)
}
