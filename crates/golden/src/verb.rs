//! The commands of a script.
//!
//! Nodes are positional, what can be left out is a key. A node is a number from 1; where a list of nodes may
//! be empty, empty means all that run.
//!
//! `deliver`, `drop` and `dup` pick from what is under way when they begin, oldest first on each link:
//! `from=1`, `to=2`, `kind=Vote` (a core's word), `n=1` (at most so many on each link), `at=2` (only the one at
//! this place, from 0, among those picked on its link).

use goldenscript::Command;

/// A command of the vocabulary.
#[derive(Debug, Command)]
pub enum Verb {
    /// Set up a cluster, all nodes started with empty disks.
    Cluster {
        /// How many.
        #[arg(key)]
        nodes: u64,
        /// Nodes besides, that belong to no group yet.
        #[arg(key)]
        spares: Option<u64>,
        /// The drift bound in percent, for reads by lease.
        #[arg(key)]
        lease: Option<u8>,
        /// The node of priority 1; the others have 0.
        #[arg(key)]
        prefer: Option<u64>,
        /// Seeds their randomness.
        #[arg(key)]
        seed: Option<u64>,
        /// As in `Config`.
        #[arg(key)]
        election_ticks: Option<u32>,
        /// As in `Config`.
        #[arg(key)]
        heartbeat_ticks: Option<u32>,
        /// As in `Config`.
        #[arg(key)]
        message_bytes: Option<usize>,
        /// As in `Config`.
        #[arg(key)]
        inflight: Option<usize>,
        /// As in `Config`.
        #[arg(key)]
        uncommitted_bytes: Option<usize>,
    },
    /// Restart a node from a disk with this promise and a log of entries of these terms.
    Preset {
        /// The node.
        node: u64,
        /// The entries' rounds, from index 1.
        #[arg(pos, many, optional)]
        log: Vec<u64>,
        /// The promised round; by default the last entry's.
        #[arg(key)]
        round: Option<u64>,
        /// Whom the promise names.
        #[arg(key)]
        vote: Option<u64>,
        /// The round of the leader whose history was taken over (Zab's currentEpoch).
        #[arg(key)]
        joined: Option<u64>,
    },
    /// Restart a node whose disk promises this round, and is else as it was.
    Promise(u64, u64),
    /// Ask a node for a change of membership: `change 1 1 2 3 4 learners=5,6`.
    Change {
        /// The node.
        node: u64,
        /// The voters to be.
        #[arg(pos, many)]
        voters: Vec<u64>,
        /// The learners to be, with commas.
        #[arg(key)]
        learners: Option<String>,
    },
    /// Ask a node to hand the leadership over: `transfer 1 2`.
    Transfer(u64, u64),
    /// Damage a node's log after its first entries, and start it again: `damage 1 3`.
    Damage(u64, u64),
    /// Let ticks pass.
    Tick {
        /// Where.
        #[arg(pos, many, optional)]
        nodes: Vec<u64>,
        /// How many.
        #[arg(key)]
        n: Option<u32>,
    },
    /// Let ticks pass at a node until its election timer runs out.
    Campaign(u64),
    /// Campaign, and again if need be, with everything delivered.
    Elect(u64),
    /// Deliver what is under way now, oldest first.
    Deliver(#[arg(key, many, optional)] Pick),
    /// Lose what is under way now, if anything.
    Drop(#[arg(key, many, optional)] Pick),
    /// Repeat what is under way now.
    Dup(#[arg(key, many, optional)] Pick),
    /// Show what is under way.
    Queue,
    /// Cut all of a node's links.
    Isolate(u64),
    /// Cut the links between two nodes, or only from the first to the second.
    Cut {
        /// One.
        a: u64,
        /// The other.
        b: u64,
        /// Only from the first to the second.
        #[arg(key)]
        oneway: Option<bool>,
    },
    /// Mend all links, or all of one node's.
    Heal(Option<u64>),
    /// The connection between two nodes breaks and is made anew.
    Reset(u64, u64),
    /// Make writes durable.
    Sync {
        /// Where.
        node: u64,
        /// How many; by default all.
        #[arg(key)]
        n: Option<usize>,
    },
    /// Whether writes become durable by themselves: `autosync off 1 2`.
    Autosync(String, #[arg(pos, many, optional)] Vec<u64>),
    /// Whether images are made by themselves: `autoimage off 1`.
    Autoimage(String, #[arg(pos, many, optional)] Vec<u64>),
    /// Make the image that a node was asked for: `image 1 2` is node 1's for node 2.
    Image(u64, u64),
    /// Lose what is not durable.
    Crash(#[arg(pos, many)] Vec<u64>),
    /// Start from the disk.
    Restart(#[arg(pos, many)] Vec<u64>),
    /// Clients' commands.
    Propose(u64, #[arg(pos, many)] Vec<String>),
    /// A client's read.
    Read(u64, u64),
    /// Checkpoint the state machine and let go of the log up to an index.
    Compact(u64, u64),
    /// Deliver and sync until it is quiet.
    Stabilize(#[arg(pos, many, optional)] Vec<u64>, #[arg(key = "traffic")] Option<bool>),
    /// Let time pass everywhere, a tick at a time, with everything delivered.
    Settle {
        /// Ticks.
        #[arg(key)]
        n: Option<u32>,
    },
    /// A line about each node.
    Status(#[arg(pos, many, optional)] Vec<u64>),
    /// A node's log.
    Log(u64),
    /// The commands a node has applied.
    State(u64),
    /// Demand something: see `expect.rs`.
    Expect(#[arg(pos, many)] Vec<String>, #[arg(key, many, optional)] Pick),
}

/// `key=value` arguments that pick messages: from, to, at, n, kind; and bounds in `expect sent`.
pub type Pick = Vec<(String, String)>;
