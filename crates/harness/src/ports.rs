//! Free ports on the loopback interface.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port p such that the pairs (p, p + 1), (p + 10, p + 11), ... are free, and the port after each pair as well,
/// for a proxy in front of it.
///
/// They lie below the range from which systems number outgoing connections; processes started at the same
/// time begin at different places.
pub fn free_pairs(pairs: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 180) as u16 * 100;
    for _ in 0..200 {
        let base = 10_000 + (spread + NEXT.fetch_add(100, Ordering::Relaxed)) % 20_000;
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (0..pairs).all(|at| (0..3).all(|offset| free(base + at * 10 + offset))) {
            return base;
        }
    }
    panic!("no free ports");
}
