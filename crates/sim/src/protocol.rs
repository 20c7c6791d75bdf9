//! The protocols that a world can run.

use quorate_protocol::Random;

/// A protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Consensus: Ongaro and Ousterhout 2014.
    #[default]
    Raft,
    /// Consensus: Lamport 2001, one instance a slot.
    Paxos,
    /// Consensus: Junqueira, Reed and Serafini 2011.
    Zab,
    /// Atomic commit: Gray 1978, with presumed abort.
    TwoPhase,
    /// Atomic commit: Skeen 1981, with quorum termination.
    ThreePhase,
    /// A ring: Stoica and others 2001, as corrected by Zave 2017.
    Chord,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 6] = [
        Protocol::Raft,
        Protocol::Paxos,
        Protocol::Zab,
        Protocol::TwoPhase,
        Protocol::ThreePhase,
        Protocol::Chord,
    ];

    /// Those of consensus.
    pub const CONSENSUS: [Protocol; 3] = [Protocol::Raft, Protocol::Paxos, Protocol::Zab];

    /// Those of atomic commit.
    pub const ATOMIC: [Protocol; 2] = [Protocol::TwoPhase, Protocol::ThreePhase];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Raft => "raft",
            Protocol::Paxos => "paxos",
            Protocol::Zab => "zab",
            Protocol::TwoPhase => "two-phase",
            Protocol::ThreePhase => "three-phase",
            Protocol::Chord => "chord",
        }
    }

    /// Whether it is one of atomic commit: its world has sites.
    pub fn is_atomic(self) -> bool {
        Protocol::ATOMIC.contains(&self)
    }

    /// Whether a membership says how many accept a value, which then need not be a majority.
    pub fn has_flexible_quorums(self) -> bool {
        self == Protocol::Paxos
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}

/// What the sites of a world of atomic commit are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sites {
    /// Single processes, each with a disk of its own.
    Processes,
    /// Groups of three replicas that agree by this protocol.
    Groups(Protocol),
}

impl Sites {
    /// All of them.
    pub const ALL: [Sites; 4] = [
        Sites::Processes,
        Sites::Groups(Protocol::Raft),
        Sites::Groups(Protocol::Paxos),
        Sites::Groups(Protocol::Zab),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Sites::Processes => "none",
            Sites::Groups(protocol) => protocol.name(),
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Sites> {
        Sites::ALL.into_iter().find(|sites| sites.name() == name)
    }

    /// Every other world's are processes.
    pub fn draw(random: &mut Random) -> Self {
        let group = random.between(1, 4) as usize;
        if random.percent(50) { Sites::Processes } else { Sites::ALL[group] }
    }

    /// What its members agree by. A process agrees with itself.
    pub fn consensus(self) -> Protocol {
        match self {
            Sites::Processes => Protocol::Raft,
            Sites::Groups(protocol) => protocol,
        }
    }

    /// Members of each.
    pub fn members(self) -> usize {
        match self {
            Sites::Processes => 1,
            Sites::Groups(_) => 3,
        }
    }
}
