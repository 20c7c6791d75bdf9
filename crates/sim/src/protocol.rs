//! The protocols that a world can run.

/// A consensus protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Ongaro and Ousterhout 2014.
    #[default]
    Raft,
    /// Lamport 2001, one instance a slot.
    Paxos,
    /// Junqueira, Reed and Serafini 2011.
    Zab,
    /// A ring: Stoica and others 2001, as corrected by Zave 2017.
    Chord,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 4] = [Protocol::Raft, Protocol::Paxos, Protocol::Zab, Protocol::Chord];

    /// Those of consensus.
    pub const CONSENSUS: [Protocol; 3] = [Protocol::Raft, Protocol::Paxos, Protocol::Zab];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Raft => "raft",
            Protocol::Paxos => "paxos",
            Protocol::Zab => "zab",
            Protocol::Chord => "chord",
        }
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
