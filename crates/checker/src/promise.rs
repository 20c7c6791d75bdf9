//! Property **PromiseKept**: what a node has promised never goes back, and it promises one thing per ballot.
//!
//! Source: Lamport, "Paxos Made Simple" (2001), §2.2, P1a, for the acceptor's promise; Raft, fig. 2, for currentTerm, which
//! increases, and votedFor, one per term; Junqueira and others, "Zab" (DSN 2011), §V, for acceptedEpoch and
//! currentEpoch, of which the second never exceeds the first: a history is taken over from a leader only who
//! was promised it.
//!
//! Fed with what each node writes, and with what it finds when it starts: what was not yet durable when it went down may
//! be gone, and is no promise.

use crate::Violation;
use crate::log::Ballot;
use alloc::collections::BTreeMap;
use alloc::format;

const PROPERTY: &str = "PromiseKept";

/// What a node has promised, and whose history it has taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The promise, with its node also where a round has one leader: whom it was given to. 0 for nobody yet.
    pub promised: Ballot,
    /// Zab's currentEpoch; round 0 elsewhere.
    pub joined: Ballot,
}

/// What all nodes have promised.
#[derive(Clone, Debug, Default)]
pub struct PromiseKept {
    last: BTreeMap<u64, Promise>,
    whole_ballots: bool,
}

impl PromiseKept {
    /// A round is promised to one node (Raft, Zab).
    pub fn new() -> Self {
        Self::default()
    }

    /// A round may be promised to several nodes, in ascending order (Paxos).
    pub fn of_whole_ballots() -> Self {
        Self { whole_ballots: true, ..Self::default() }
    }

    /// `node` starts with this on its disk.
    pub fn restarted(&mut self, node: u64, found: Promise) {
        self.last.insert(node, found);
    }

    /// `node` writes this.
    pub fn observe(&mut self, node: u64, now: Promise) -> Result<(), Violation> {
        let Some(before) = self.last.insert(node, now) else { return Ok(()) };
        let fail = |what: &str| {
            let (was, is) = (before.promised, now.promised);
            Err(Violation::new(PROPERTY, format!("node {node} {what}: it had promised {was}, now {is}")))
        };
        if now.promised < before.promised {
            return fail("goes back on its word");
        }
        let again = now.promised.round == before.promised.round && now.promised.node != before.promised.node;
        if again && before.promised.node != 0 && !self.whole_ballots {
            return fail("promises a round twice");
        }
        if now.joined < before.joined || now.joined > now.promised {
            let (was, is) = (before.joined, now.joined);
            let detail =
                format!("node {node}, having promised {}, goes from epoch {was} to {is}", now.promised);
            return Err(Violation::new(PROPERTY, detail));
        }
        Ok(())
    }
}
