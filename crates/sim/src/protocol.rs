//! The protocols that a world can run.

/// A consensus protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Ongaro and Ousterhout 2014.
    #[default]
    Raft,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 1] = [Protocol::Raft];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Raft => "raft",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}
