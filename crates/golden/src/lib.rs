//! The script vocabulary that golden tests of the cores share, and the small cluster behind it.
//!
//! A script drives a few replicas of one core by hand: every message lies in its link's queue until the
//! script delivers it, every write is lost in a crash until the script (or the node's autosync) makes it
//! durable, and time passes only by ticks. Nothing is random but the seed, so a script is a transcript of one
//! history, and reads like one.
//!
//! | part | what it is |
//! |---|---|
//! | [`Cluster`] | the replicas, their disks, the network, and the gateway every step goes through |
//! | [`Disk`] | what survives a crash: promise, log, checkpoint of the state machine |
//! | [`Network`] | a queue per link; links can be cut |
//! | [`Ghost`] | what an all-seeing observer knows, and the properties it checks after every step |
//! | [`Script`], [`Verb`] | the commands, and the `goldenscript` runner that carries them out |
//! | [`Dialect`] | what a core adds: names for its messages, and what each message claims about its sender's disk |
//!
//! The state machine is the simplest that can tell right from wrong: the list of the applied entries. An
//! image of it is that list with the name of its last entry.
//!
//! # Properties checked after every step
//!
//! | property | source |
//! |---|---|
//! | the core's own invariants | `Consensus::check` |
//! | ElectionSafety: at most one leader in a round | Raft figure 3 |
//! | LogMatching: an entry's name determines its content and its predecessor (dense logs) | Raft figure 3 |
//! | one value to a slot and ballot; nothing accepted below a promise; what is chosen stays (sparse logs) | Paxos Made Simple |
//! | LeaderCompleteness: a leader's log holds all that was committed in earlier rounds | Raft figure 3 |
//! | StateMachineSafety: an index, once committed, never changes value | Raft figure 3 |
//! | Durable commit: a newly committed entry is on the disks of a quorum | Raft §5.3 |
//! | Durable before sent: a promise or acknowledgement that leaves is on its sender's disk | Raft §5.1 |
//! | one vote per voter and round (dense logs) | Raft §5.2 |
//! | Linearizable reads: a read's index is not before anything committed when it was asked | Raft §8 |
//! | promises and commit indexes never go back; commits are dense; no epoch is joined that was not promised | |
//!
//! The checks are independent of the script's recorded output: a violation fails the run even while the
//! goldens are being rewritten (`UPDATE_GOLDENFILES=1`), and a script cannot mask it.
#![forbid(unsafe_code)]

mod cluster;
mod disk;
mod expect;
mod ghost;
mod host;
mod network;
mod node;
mod report;
mod script;
mod slots;
pub mod storm;
mod verb;

pub use cluster::{Cluster, Planted, Settings};
pub use disk::{Disk, Image, LogView, same_value};
pub use ghost::Ghost;
pub use network::{Network, Packet};
pub use node::{Node, ReadState};
pub use report::{Detail, show_data, show_entry, show_membership, show_op};
pub use script::{Script, run};
pub use verb::{Pick, Verb};

use std::path::Path;

use quorate_protocol::{Ballot, Consensus, Index, LogId, NodeId};

/// What a message says about its sender's disk; checked as the message leaves.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// The sender's disk holds this promise, or one of a later round (of sparse logs: a later one).
    pub promised: Option<Ballot>,
    /// The promise is a vote: no other node may ever be named by the same sender in the same round.
    pub vote: bool,
    /// The sender's disk says that it took over the history of the leader of this round, or of a later one.
    pub joined: Option<u64>,
    /// The sender's disk holds the log up to here.
    pub holds: Option<Index>,
    /// The sender's disk holds these slots at these ballots or later ones, or has let go of them as chosen.
    pub accepted: Vec<LogId>,
}

impl Claims {
    /// Whether the disk bears them out; the error says what leaves, and what the disk holds instead.
    fn are_durable(&self, disk: &Disk) -> Result<(), String> {
        let log = &disk.log;
        if let Some(promised) = self.promised {
            let kept = match log.sparse {
                true => log.promised >= promised,
                false => log.promised == promised || log.promised.round > promised.round,
            };
            if !kept {
                return Err(format!("{promised} leaves a disk that has promised {}", log.promised));
            }
        }
        if let Some(joined) = self.joined.filter(|round| log.joined.round < *round) {
            return Err(format!("{joined} leaves a disk that has joined {}", log.joined));
        }
        let last = log.last().index.max(disk.checkpoint.id.index);
        if let Some(holds) = self.holds.filter(|holds| *holds > last) {
            return Err(format!("{holds} leaves a disk that ends at {last}"));
        }
        let accepted = |id: &&LogId| {
            id.index <= log.base.index || log.get(id.index).is_some_and(|held| held.id.ballot >= id.ballot)
        };
        match self.accepted.iter().find(|id| !accepted(id)) {
            Some(id) => Err(format!("{id} leaves a disk that holds {:?} there", log.id_at(id.index))),
            None => Ok(()),
        }
    }
}

/// What a core adds to the shared vocabulary.
pub trait Dialect {
    /// The core.
    type Core: Consensus;

    /// A message's kind in one word, for counting and picking.
    fn kind(message: &<Self::Core as Consensus>::Message) -> &'static str;

    /// A message on one line.
    fn show(message: &<Self::Core as Consensus>::Message) -> String;

    /// What it claims.
    fn claims(from: NodeId, to: NodeId, message: &<Self::Core as Consensus>::Message) -> Claims;
}

/// Run a script of `scripts/conformance`, which every core must pass with the same transcript: it tells only what any core
/// has in common with the others, who leads, what is applied, which reads are served.
///
/// # Errors
/// If the transcript is another one, or a property is broken.
pub fn conform<D: Dialect>(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    run::<D>(path, Detail::Neutral)
}
