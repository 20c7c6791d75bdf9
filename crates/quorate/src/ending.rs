//! How a process that runs nodes comes to its end: by a signal, or because a node cannot go on.
//!
//! SIGINT and SIGTERM ask for a clean end, with exit code 0; a second one, while the first is being obeyed,
//! ends the process at once. A node that cannot go on (a failed disk, say) has already stopped
//! acknowledging; the process then ends without tidying up, because what is in memory cannot be trusted on
//! the way to that disk.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use quorate_server::{Fate, Node};
use tokio::signal::unix::{SignalKind, signal};

/// The code of a process ended by SIGINT, as shells count it.
const INTERRUPTED: i32 = 130;

/// Why the process is to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody asked.
    Signal(&'static str),
    /// A node cannot go on.
    Fatal(String),
    /// A node has been removed from its cluster.
    Removed(String),
}

/// Where reasons to end arrive.
pub(crate) struct Endings {
    sender: Sender<End>,
    receiver: Receiver<End>,
}

impl Endings {
    /// Begins to listen to signals.
    pub(crate) fn listen() -> io::Result<Endings> {
        let (sender, receiver) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let signals = sender.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                let mut asked = false;
                loop {
                    let name = tokio::select! {
                        _ = interrupt.recv() => "SIGINT",
                        _ = terminate.recv() => "SIGTERM",
                    };
                    if asked || signals.send(End::Signal(name)).is_err() {
                        std::process::exit(INTERRUPTED);
                    }
                    asked = true;
                }
            });
        })?;
        Ok(Endings { sender, receiver })
    }

    /// Hears about a node that cannot go on.
    pub(crate) fn watch(&self, name: &str, node: &Node) -> io::Result<()> {
        let (sender, fatal, name) = (self.sender.clone(), node.fatal().clone(), name.to_owned());
        thread::Builder::new().name(format!("fatal {name}")).spawn(move || {
            // An error means that the node has stopped in peace.
            let end = match fatal.recv() {
                Ok(Fate::Failed(why)) => End::Fatal(format!("member {name} cannot go on: {why}")),
                // etcd's words, which scripts look for.
                Ok(Fate::Removed) => End::Removed(format!(
                    "member {name}: the member has been permanently removed from the cluster; the data-dir used by \
                     this member must be removed before it can join again"
                )),
                Err(_) => return,
            };
            let _ = sender.send(end);
        })?;
        Ok(())
    }

    /// A reason to end, if there is one within this time.
    pub(crate) fn within(&self, patience: Duration) -> Option<End> {
        self.receiver.recv_timeout(patience).ok()
    }

    /// Waits for a reason to end.
    pub(crate) fn wait(&self) -> End {
        let gone = || End::Fatal("the threads that watch for signals are gone".into());
        self.receiver.recv().unwrap_or_else(|_| gone())
    }
}
