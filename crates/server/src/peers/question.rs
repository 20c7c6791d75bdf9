//! Questions of a node that is no member yet, before it has anything of its own.
//!
//! It dials a peer URL, greets as a [stranger](quorate_wire::Hello::stranger), asks one question and hangs up. Everything
//! is bounded: a host that does not answer must not keep a node from asking the next one.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use quorate_protocol::codec::Reader;
use quorate_wire::{Answer, Ask, FrameDecoder, Hello, Packet};

use super::sender::{read_hello, write_all};

/// An answer is a list of members at most.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Ask whoever listens at `address` (`host:port`).
///
/// # Errors
/// Nobody does, or it does not answer in time.
pub fn ask(protocol: &str, address: &str, ask: &Ask, patience: Duration) -> io::Result<Answer> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the address names no host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(socket) => return converse(socket, protocol, ask, patience),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn converse(mut socket: TcpStream, protocol: &str, ask: &Ask, patience: Duration) -> io::Result<Answer> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(patience))?;
    write_all(&mut socket, &Hello::stranger(protocol, 0).to_frame())?;
    read_hello(&mut socket)?;
    write_all(&mut socket, &Packet::ask(1, ask).encode().map_err(io::Error::other)?)?;
    socket.set_read_timeout(Some(patience))?;
    let mut decoder = FrameDecoder::new(MAX_ANSWER_BYTES);
    let mut chunk = vec![0; 16 << 10];
    loop {
        while let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
            if let Packet::Answer { body, .. } = Packet::decode(frame).map_err(io::Error::other)? {
                return Reader::whole(body).map_err(io::Error::other);
            }
        }
        match socket.read(&mut chunk)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without an answer")),
            n => decoder.feed(&chunk[..n]),
        }
    }
}
