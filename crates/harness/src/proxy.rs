//! Proxies between the members, so that their network can be spoiled without any right on the machine.
//!
//! Every member's peer address, as its peers know it, is that of a proxy, which passes on to the port the
//! member listens on. A member uses the connections it has dialled for what *it* has to say, so a connection
//! is a directed link; a proxy reads its first frame, the [`Hello`](quorate_wire::Hello), to learn whose. That frame is passed on
//! like everything else.
//!
//! A [`Rule`] per directed link says what becomes of the bytes:
//!
//! - *cut*: nothing passes, and new connections are accepted and left hanging, as when packets are lost. What
//!   was said before the cut and during it comes late, when the cut ends, if the connection lasts that long.
//! - *epoch*: connections made under an earlier number are ended. With a cut this is a partition that also
//!   loses what was under way.
//! - *delay*: every chunk is passed on so much later, in order.
//! - *bytes per second*.
//!
//! Caveat: a member that is down refuses connections, its proxy accepts and closes them. Peers can tell the
//! two apart; what they make of a refusal is not seen through proxies.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use quorate_protocol::codec::{Malformed, Reader};
use quorate_wire::FrameDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::Cluster;

/// Bytes passed on at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// Chunks under way on a link, at most.
const CHUNKS: usize = 256;

/// How long a greeting may take.
const GREETING: Duration = Duration::from_secs(5);

/// A greeting is small.
const MAX_HELLO_BYTES: usize = 1024;

/// What becomes of one directed link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Nothing passes.
    pub cut: bool,
    /// Connections of an earlier number end.
    pub epoch: u64,
    /// Everything comes so much later.
    pub delay: Duration,
    /// No more than this passes; 0 for any amount.
    pub bytes_per_second: u64,
}

/// Who speaks (its member id) to whom (its place in the cluster).
pub type Link = (u64, usize);

/// The rules of links that have one.
type Rules = BTreeMap<Link, Rule>;

/// One proxy in front of each member; they end with this value.
pub struct Proxies {
    rules: watch::Sender<Rules>,
    _runtime: Runtime,
}

impl Proxies {
    /// In front of every member of a cluster that was prepared with [`Setup::proxied`](crate::Setup::proxied)
    /// and whose members do not run yet.
    ///
    /// # Errors
    /// A port is taken.
    pub fn start(cluster: &Cluster) -> io::Result<Proxies> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (rules, _) = watch::channel(Rules::new());
        for at in 0..cluster.len() {
            let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", cluster.proxy_port(at))))?;
            runtime.spawn(accept(listener, at, cluster.peer_port(at), rules.subscribe()));
        }
        Ok(Proxies { rules, _runtime: runtime })
    }

    /// Change the rule of a link.
    pub fn set(&self, link: Link, change: impl FnOnce(&mut Rule)) {
        self.rules.send_modify(|rules| change(rules.entry(link).or_default()));
    }

    /// Nothing is cut, late or slow any more. Connections stay as they are.
    pub fn heal(&self) {
        self.rules.send_modify(|rules| {
            for rule in rules.values_mut() {
                *rule = Rule { epoch: rule.epoch, ..Rule::default() };
            }
        });
    }
}

async fn accept(listener: TcpListener, to: usize, port: u16, rules: watch::Receiver<Rules>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let rules = rules.clone();
        tokio::spawn(async move {
            // However it ends: both sides are closed, and the member dials again.
            let _ = connection(socket, to, port, rules).await;
        });
    }
}

async fn connection(
    mut from: TcpStream,
    to: usize,
    port: u16,
    mut rules: watch::Receiver<Rules>,
) -> io::Result<()> {
    from.set_nodelay(true)?;
    let greeting = tokio::time::timeout(GREETING, greeting(&mut from)).await;
    let (sender, head) = greeting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let link = (sender, to);
    let rule = |rules: &Rules| rules.get(&link).copied().unwrap_or_default();
    let epoch = rule(&rules.borrow()).epoch;
    let ended = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let now = *rules
        .wait_for(|rules| !rule(rules).cut || rule(rules).epoch != epoch)
        .await
        .map_err(ended)?
        .get(&link)
        .unwrap_or(&Rule::default());
    if now.epoch != epoch {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let mut into = TcpStream::connect(("127.0.0.1", port)).await?;
    into.set_nodelay(true)?;
    into.write_all(&head).await?;
    let (from_read, from_write) = from.into_split();
    let (into_read, into_write) = into.into_split();
    let mut watched = rules.clone();
    let there = pump(from_read, into_write, link, rules.clone());
    let back = pump(into_read, from_write, link, rules);
    tokio::select! {
        result = async { tokio::try_join!(there, back) } => result.map(drop),
        _ = watched.wait_for(|rules| rule(rules).epoch != epoch) => Ok(()),
    }
}

/// The first frame of a connection: who speaks, and its bytes.
async fn greeting(socket: &mut TcpStream) -> io::Result<(u64, Vec<u8>)> {
    let mut decoder = FrameDecoder::new(MAX_HELLO_BYTES);
    let mut head = Vec::new();
    loop {
        // By single bytes: what follows is passed on as it comes.
        let byte = socket.read_u8().await?;
        head.push(byte);
        decoder.feed(&[byte]);
        if let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            return Ok((speaker(frame.payload).map_err(io::Error::other)?, head));
        }
    }
}

/// Whose hello this is. No more of it is read than that, and nothing is judged: that is the members' business.
fn speaker(payload: Bytes) -> Result<u64, Malformed> {
    let mut hello = Reader::new(payload);
    let (_version, _protocol, _cluster) = (hello.u32()?, hello.bytes()?, hello.u64()?);
    hello.u64()
}

/// Passes on what is read, as the rule of the link says. A side that says no more is told to the other, and
/// the other direction goes on.
async fn pump(
    mut from: OwnedReadHalf,
    mut into: OwnedWriteHalf,
    link: Link,
    mut rules: watch::Receiver<Rules>,
) -> io::Result<()> {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS);
    let mut reading = rules.clone();
    let read = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let count = from.read(&mut chunk).await?;
            chunk.truncate(count);
            let delay = reading.borrow_and_update().get(&link).map_or(Duration::ZERO, |rule| rule.delay);
            if count == 0 || sender.send((Instant::now() + delay, chunk)).await.is_err() {
                return Ok::<(), io::Error>(());
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            let open = |rules: &Rules| rules.get(&link).is_none_or(|rule| !rule.cut);
            let rate = match rules.wait_for(open).await {
                Ok(rules) => rules.get(&link).map_or(0, |rule| rule.bytes_per_second),
                Err(_) => return Ok(()),
            };
            into.write_all(&chunk).await?;
            if rate > 0 {
                tokio::time::sleep(Duration::from_secs_f64(chunk.len() as f64 / rate as f64)).await;
            }
        }
        into.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;

    use quorate_protocol::codec::Writer;
    use quorate_wire::{Kind, encode_frame};

    use super::*;
    use crate::Setup;

    fn hello(from: u64) -> Vec<u8> {
        let mut payload = Writer::new();
        payload.u32(7);
        payload.slice(b"raft");
        payload.u64(1);
        payload.u64(from);
        payload.slice(b"and whatever comes after");
        encode_frame(Kind::Hello, payload).expect("a frame").concat()
    }

    /// A connection of `from` through the proxy, and its other end.
    fn connect(
        cluster: &Cluster,
        listener: &net::TcpListener,
        from: u64,
    ) -> (net::TcpStream, net::TcpStream) {
        let mut near = net::TcpStream::connect(("127.0.0.1", cluster.proxy_port(0))).expect("it listens");
        near.write_all(&hello(from)).expect("it takes");
        let (mut far, _) = listener.accept().expect("it dials");
        let mut head = hello(from);
        far.read_exact(&mut head).expect("it passes on");
        assert_eq!(head, hello(from));
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
        }
        (near, far)
    }

    fn passes(near: &mut net::TcpStream, far: &mut net::TcpStream) -> io::Result<Duration> {
        let begun = std::time::Instant::now();
        near.write_all(b"x")?;
        far.read_exact(&mut [0])?;
        Ok(begun.elapsed())
    }

    #[test]
    fn links_are_spoiled_one_by_one() {
        let cluster = Cluster::prepare(Setup::new("unused", 1).proxied());
        let proxies = Proxies::start(&cluster).expect("ports");
        let listener = net::TcpListener::bind(("127.0.0.1", cluster.peer_port(0))).expect("a port");
        let (mut one_near, mut one_far) = connect(&cluster, &listener, 1);
        let (mut two_near, mut two_far) = connect(&cluster, &listener, 2);
        passes(&mut one_near, &mut one_far).expect("whole");
        passes(&mut one_far, &mut one_near).expect("both ways");

        proxies.set((1, 0), |rule| rule.cut = true);
        passes(&mut one_near, &mut one_far).expect_err("cut");
        passes(&mut two_near, &mut two_far).expect("the other link is whole");
        proxies.heal();
        one_far.read_exact(&mut [0]).expect("late, not lost");

        proxies.set((2, 0), |rule| rule.delay = Duration::from_millis(80));
        assert!(passes(&mut two_near, &mut two_far).expect("late") >= Duration::from_millis(80));
        proxies.set((1, 0), |rule| rule.epoch += 1);
        assert_eq!(one_near.read(&mut [0]).expect("an end"), 0);
        assert_eq!(one_far.read(&mut [0]).expect("an end"), 0);
        connect(&cluster, &listener, 1);
    }
}
