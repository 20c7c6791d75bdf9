//! The protocols a node can run, and the one place that picks.
//!
//! Everything above and around a core is generic over it. What an operator names becomes a type here, in one match;
//! names are the cores' own, which stand in the log and in peers' greetings as well, so that what one protocol wrote is
//! never read by another and two never meet in one cluster.

use quorate_paxos::Paxos;
use quorate_protocol::Consensus;
use quorate_raft::Raft;
use quorate_zab::Zab;

use crate::config::Config;
use crate::node::Node;
use crate::opening::StartError;
use crate::shared::Core;
use crate::startup::start;

/// A protocol, as an operator names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Raft.
    #[default]
    Raft,
    /// Multi-Paxos, which alone knows other quorums than majorities.
    Paxos,
    /// Zab.
    Zab,
}

/// What a protocol comes to here.
struct Choice {
    name: &'static str,
    start: fn(Config) -> Result<Node, StartError>,
    takes_write_quorum: bool,
}

impl Choice {
    const fn of<C: Core>(takes_write_quorum: bool) -> Choice {
        Choice { name: <C as Consensus>::NAME, start: start::<C>, takes_write_quorum }
    }
}

impl Protocol {
    /// All of them, the usual one first.
    pub const ALL: [Protocol; 3] = [Protocol::Raft, Protocol::Paxos, Protocol::Zab];

    /// The names of [`Protocol::ALL`].
    pub const NAMES: [&str; 3] = [Protocol::Raft.name(), Protocol::Paxos.name(), Protocol::Zab.name()];

    const fn choice(self) -> Choice {
        match self {
            Protocol::Raft => Choice::of::<Raft>(false),
            Protocol::Paxos => Choice::of::<Paxos>(true),
            Protocol::Zab => Choice::of::<Zab>(false),
        }
    }

    /// What operators call it, and what stands in logs and greetings.
    pub const fn name(self) -> &'static str {
        self.choice().name
    }

    /// Whether writes may be accepted by other sets of voters than majorities.
    pub const fn takes_write_quorum(self) -> bool {
        self.choice().takes_write_quorum
    }

    /// Start a node that runs it.
    pub(crate) fn start(self, config: Config) -> Result<Node, StartError> {
        (self.choice().start)(config)
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;

    /// The protocol of this name.
    fn from_str(name: &str) -> Result<Protocol, String> {
        let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
        found.ok_or_else(|| format!("one of {}", Protocol::NAMES.join(", ")))
    }
}
