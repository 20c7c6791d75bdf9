//! The rules safety rests on, one method each, so that a test can break one and see that the search notices.

use quorate_protocol::Ballot;

/// Paxos' rules. The provided methods are the paper's; overriding one makes a known-bad variant.
pub trait Rules {
    /// "If an acceptor receives a prepare request with number n greater than that of any prepare request to which it has
    /// already responded, then it responds to the request with a promise" (PMS §2.2, phase 1b).
    fn may_promise(promised: Ballot, asked: Ballot) -> bool {
        asked > promised
    }

    /// "If an acceptor receives an accept request for a proposal numbered n, it accepts the proposal unless it has already
    /// responded to a prepare request having a number greater than n" (PMS §2.2, phase 2b).
    fn may_accept(promised: Ballot, proposed: Ballot) -> bool {
        proposed >= promised
    }

    /// A proposer proposes "the value of the highest-numbered proposal among the responses, or any value if the responses reported no
    /// proposals" (PMS §2.2, phase 2a). Whether a proposal takes the place of another, each with its value's rank.
    fn outranks<V: Ord>(other: (Ballot, &V), known: (Ballot, &V)) -> bool {
        other.0 > known.0
    }

    /// Whether what was reported binds a proposer at all.
    fn is_bound_by_reports() -> bool {
        true
    }
}

/// The rules as published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Paper;

impl Rules for Paper {}
