//! `quorate serve`: one member of a cluster, from its flags to its end.
//!
//! Standard error carries the log. The line with `ready to serve client requests` appears once clients are
//! served; with `NOTIFY_SOCKET` set, systemd is told the same. Exit codes: 0 after SIGINT or SIGTERM and
//! for a member that has been removed from its cluster (as in etcd), 1 when the node refuses to start or cannot go on,
//! 2 for a command line that cannot be read.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use quorate_server::Node;

use crate::ending::{End, Endings};
use crate::flags::{self, FlagError, Parsed, Serve};
use crate::logging;

/// How often a node that is not ready yet is asked again.
const READY_POLL: Duration = Duration::from_millis(100);

/// Runs `quorate serve` with these words; the exit code.
pub(crate) fn main(words: &[String]) -> u8 {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let serve = match flags::parse(words, environment) {
        Ok(Parsed::Help) => return print(&flags::help()),
        Ok(Parsed::Version) => return print(&crate::cli::version()),
        Ok(Parsed::Values(values)) => values.resolve(),
        Err(error) => Err(error),
    };
    match serve {
        Ok(serve) => run(serve),
        Err(error) => refuse(&error),
    }
}

fn print(text: &str) -> u8 {
    u8::from(io::stdout().lock().write_all(text.as_bytes()).is_err())
}

/// Says why the node does not start, and where the flags are explained.
fn refuse(error: &FlagError) -> u8 {
    eprintln!("quorate serve: {error}");
    if error.exit_code() == 2 {
        eprintln!("Usage: quorate serve [flags]\nRun quorate serve --help for the flags.");
    }
    error.exit_code()
}

fn run(serve: Serve) -> u8 {
    logging::start(serve.config.log_level, serve.config.log_format, serve.log);
    for warning in &serve.warnings {
        tracing::warn!("{warning}");
    }
    let name = serve.config.name.clone();
    let started = Endings::listen().and_then(|endings| {
        let node = Node::start(serve.config).map_err(io::Error::other)?;
        endings.watch(&name, &node)?;
        Ok((endings, node))
    });
    let (endings, node) = match started {
        Ok(started) => started,
        Err(error) => {
            tracing::error!("member {name} does not start: {error}");
            eprintln!("quorate serve: member {name} does not start: {error}");
            return 1;
        }
    };
    let end = until_ready(&node, &endings).unwrap_or_else(|| {
        notify("READY=1");
        endings.wait()
    });
    match end {
        End::Signal(name) => {
            tracing::info!("received {name}: stopping");
            notify("STOPPING=1");
            node.shutdown();
            0
        }
        // As in etcd: no failure, so that nothing starts it again for that.
        End::Removed(why) => {
            tracing::warn!("{why}");
            eprintln!("quorate serve: {why}");
            notify("STOPPING=1");
            node.shutdown();
            0
        }
        End::Fatal(why) => {
            tracing::error!("{why}");
            eprintln!("quorate serve: {why}");
            // Not `shutdown`: nothing more may be written.
            std::process::exit(1);
        }
    }
}

/// Waits until the node serves; a reason to end instead, if there is one first.
fn until_ready(node: &Node, endings: &Endings) -> Option<End> {
    loop {
        if node.wait_ready(READY_POLL) {
            return None;
        }
        if let Some(end) = endings.within(Duration::ZERO) {
            return Some(end);
        }
    }
}

/// Tells systemd, when it asked to be told (sd_notify(3)): one datagram to the socket it named, which is a
/// path, or with a leading `@` a name in Linux's abstract space.
fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send_to(&socket, state) {
        tracing::warn!("cannot tell systemd {state}: {error}");
    }
}

fn send_to(socket: &OsString, state: &str) -> io::Result<()> {
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let sender = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let [b'@', name @ ..] = socket.as_encoded_bytes() {
        use std::os::linux::net::SocketAddrExt;
        sender.send_to_addr(state.as_bytes(), &SocketAddr::from_abstract_name(name)?)?;
        return Ok(());
    }
    sender.send_to_addr(state.as_bytes(), &SocketAddr::from_pathname(socket)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_at_its_socket() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("socket");
        send_to(&path.into_os_string(), "READY=1").expect("sent");
        let mut buffer = [0; 16];
        let len = socket.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..len], b"READY=1");
        assert!(send_to(&"/nonexistent/socket".into(), "READY=1").is_err());
    }
}
