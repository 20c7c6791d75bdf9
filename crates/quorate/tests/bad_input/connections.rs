//! Whoever connects without speaking the language.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use quorate_harness::{Cluster, PATIENCE, ports};
use quorate_protocol::Random;

use crate::{blocking, setup, unharmed};

/// Begins an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Begins a frame between peers: the magic number, its kind, its length.
const FRAME: &[u8] = b"Qw\x01\0\x40\0\0\0\0\0\0\0";

/// What a member says when it serves; a second time in its second life.
const AGAIN: &str = "ready to serve client requests";

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("a listener");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    socket.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    socket
}

/// Things a listener may hear.
fn noises() -> Vec<Vec<u8>> {
    let mut random = Random::new(1);
    let mut noise = |bytes: usize| (0..bytes).map(|_| random.next_u64() as u8).collect::<Vec<u8>>();
    let settings = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let frames: [&[u8]; 6] = [
        &[0, 0, 5, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5], // SETTINGS of a wrong length
        &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 9, 9], // DATA larger than allowed, cut off
        &[0, 0, 4, 1, 4, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], // HEADERS that do not decompress
        &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0],    // WINDOW_UPDATE by nothing
        &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3],       // half a PING
        &[0, 0, 4, 3, 0, 0, 0, 0, 9, 0, 0, 0, 1],    // RST_STREAM of a stream nobody opened
    ];
    let mut noises = vec![
        vec![],
        vec![0],
        noise(3),
        noise(5_000),
        noise(300_000),
        vec![0xff; 70_000],
        vec![0; 70_000],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"GET /".to_vec(),
        b"POST /etcdserverpb.KV/Put HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx".to_vec(),
        // The beginning of a TLS handshake.
        [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(200)].concat(),
        PREFACE[..10].to_vec(),
        PREFACE.to_vec(),
    ];
    noises.extend(frames.iter().map(|frame| [&settings, *frame].concat()));
    noises
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_both_ports() {
    let cluster = blocking(|| Cluster::start(setup(3)));
    blocking(|| {
        for noise in noises() {
            for port in [cluster.client_port(0), cluster.peer_port(0), cluster.peer_port(1)] {
                let mut socket = connect(port);
                // It may be cut off in the middle of it.
                let _ = socket.write_all(&noise);
                let _ = socket.read(&mut [0; 4096]);
            }
        }
    });
    unharmed(&cluster, "garbage").await;
    let log = cluster.log(0);
    assert!(log.contains("a connection on the peer port ends"), "nobody was told: {log}");
    assert!(!log.contains("panicked"), "{log}");
    // A stray browser is told apart from a peer.
    let page = blocking(|| {
        let mut socket = connect(cluster.client_port(0));
        socket.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("written");
        let mut page = String::new();
        let _ = socket.read_to_string(&mut page);
        page
    });
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains(r#""health":"true""#), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_dawdle() {
    let mut cluster = blocking(|| Cluster::start(setup(3)));
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    // More than a peer listener keeps, each with the beginning of a frame or of HTTP/2.
    let mut idle: Vec<(TcpStream, &[u8])> = Vec::new();
    blocking(|| {
        for _ in 0..300 {
            idle.push((connect(cluster.peer_port(leader)), FRAME));
            idle.push((connect(cluster.client_port(leader)), PREFACE));
        }
    });
    let mut sent = 0;
    let mut dawdle = |idle: &mut Vec<(TcpStream, &[u8])>| {
        for (socket, words) in idle {
            let _ = socket.write(&words[sent..][..1]);
        }
        sent = (sent + 1).min(FRAME.len() - 1);
    };
    dawdle(&mut idle);
    unharmed(&cluster, "connections that say nothing").await;
    // They go on dawdling, a byte now and then, while a member comes back that has to be let in.
    blocking(|| cluster.kill(follower));
    blocking(|| cluster.launch(follower));
    let begun = Instant::now();
    while cluster.log(follower).matches(AGAIN).count() < 2 {
        dawdle(&mut idle);
        let late = begun.elapsed() > Duration::from_secs(12);
        assert!(!late, "the member is kept out: {}", cluster.post_mortem());
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    blocking(|| cluster.await_ready(follower));
    unharmed(&cluster, "connections that dawdle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_another_cluster() {
    let mut cluster = Cluster::prepare(setup(2));
    // The second member has been told of a third.
    let mut words = cluster.words(1);
    let third = format!(",m2=http://127.0.0.1:{}", ports::free_pairs(1) + 1);
    let list = words.iter_mut().find(|word| word.starts_with("--initial-cluster=")).expect("a flag");
    list.push_str(&third);
    let mut other = quorate_harness::Process::start(
        quorate_harness::cluster::bare(env!("CARGO_BIN_EXE_quorate").as_ref()).args(&words),
    );
    blocking(|| cluster.launch(0));
    // Who starts later finds the other's cluster there and ends; if neither is the later one, both say it again and again.
    let begun = Instant::now();
    loop {
        let (one, two) = (cluster.member_mut(0), &mut other);
        let ended = [one.ended(), two.ended()];
        if let Some(end) = ended.iter().flatten().next() {
            assert_eq!(end.code(), Some(1));
            let said = if ended[0].is_some() { one.said() } else { two.said() };
            assert!(said.contains("the members in --initial-cluster belong to cluster"), "{said}");
            break;
        }
        if [one.said(), two.said()].iter().all(|said| said.contains("initial-cluster")) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "neither notices: {}{}", cluster.log(0), other.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    for said in [cluster.log(0), other.said()] {
        assert!(!said.contains("ready to serve client requests"), "{said}");
        assert!(said.lines().count() < 60, "it says so again and again: {said}");
    }
}
