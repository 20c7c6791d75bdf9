//! Images to a receiver that is well, slow, or gone.

use std::net::TcpListener;

use quorate_kv::{KeyValue, Record, Revision, Storage};
use quorate_storage::{Options, Store};
use quorate_wire::Hello;

use super::*;
use crate::peers::Local;
use crate::peers::sender::read_hello;

const SENDER: NodeId = NodeId(1);
const RECEIVER: NodeId = NodeId(2);

/// Bytes of values in the image.
const BYTES: usize = 4 << 20;

fn image(directory: &std::path::Path) -> ImageReader {
    let mut store = Store::open(directory, &Options::default()).expect("a store");
    for n in 0..64 {
        // Not compressible by whoever might think of that.
        let mut random = quorate_protocol::Random::new(n);
        let value: Vec<u8> = (0..BYTES / 64 / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect();
        let main = n as i64 + 2;
        let (key, value) = (format!("k{n}").into(), value.into());
        let kv = KeyValue { key, value, create_revision: main, mod_revision: main, version: 1, lease: 0 };
        store.insert(Revision { main, sub: 0 }, Record::Put(kv));
    }
    store.checkpoint(false).expect("a checkpoint");
    store.image().expect("an image")
}

/// Send an image at this rate to a receiver that does this with its connection; how it went, and how long it took.
fn send(
    rate: u64,
    receive: impl FnOnce(TcpStream) -> io::Result<u64> + Send + 'static,
) -> (io::Result<()>, Duration, u64) {
    let directory = tempfile::tempdir().expect("directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("address").to_string();
    let receiver = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let theirs = read_hello(&mut socket).expect("a greeting");
        socket.set_read_timeout(None).expect("no limit");
        let (protocol, cluster, incarnation) = (theirs.protocol, theirs.cluster, 1);
        let hello = Hello { protocol, cluster, from: RECEIVER, to: theirs.from, incarnation, removed: false };
        write_all(&mut socket, &hello.to_frame()).expect("greeted");
        receive(socket).unwrap_or(0)
    });
    let peers = Peers::new(Local { protocol: "raft", cluster: 7, node: SENDER, incarnation: 1 }, rate);
    let image = image(directory.path());
    let begun = Instant::now();
    let sent = peers.stream(RECEIVER, &[address], image, &vec![bytes::Bytes::from_static(b"end")]);
    (sent, begun.elapsed(), receiver.join().expect("the receiver does not panic"))
}

/// Takes everything, so much at once with a pause after it, and says that it has.
fn take_all(mut socket: TcpStream, at_once: usize, pause: Duration) -> io::Result<u64> {
    let (mut taken, mut chunk) = (0, vec![0; at_once]);
    loop {
        match socket.read(&mut chunk)? {
            0 => break,
            n => taken += n as u64,
        }
        std::thread::sleep(pause);
    }
    std::io::Write::write_all(&mut socket, &[1])?;
    Ok(taken)
}

#[test]
fn an_image_keeps_to_the_rate() {
    let (sent, took, taken) = send(0, |socket| take_all(socket, 1 << 16, Duration::ZERO));
    sent.expect("it arrives");
    assert!(taken > BYTES as u64, "{taken}");
    let quick = took;
    let (sent, took, taken) = send(4 * BYTES as u64, |socket| take_all(socket, 1 << 16, Duration::ZERO));
    sent.expect("it arrives");
    assert!(taken > BYTES as u64, "{taken}");
    assert!(took > Duration::from_millis(180), "{took:?}; without a bound {quick:?}");
}

#[test]
fn a_slow_receiver_is_waited_for() {
    let (sent, took, taken) = send(0, |socket| take_all(socket, 1 << 14, Duration::from_millis(2)));
    sent.expect("it arrives");
    assert!(taken > BYTES as u64 && took > Duration::from_millis(300), "{taken} {took:?}");
}

#[test]
fn a_connection_that_breaks_and_a_receiver_that_refuses_are_told() {
    let (sent, ..) = send(0, |mut socket| {
        socket.read_exact(&mut vec![0; 1 << 16])?;
        Ok(0)
    });
    sent.expect_err("it hung up in the middle");
    let (sent, ..) = send(0, |mut socket| {
        io::copy(&mut socket, &mut io::sink())?;
        Ok(0)
    });
    assert!(sent.expect_err("it said nothing at the end").to_string().contains("refused"));
}
