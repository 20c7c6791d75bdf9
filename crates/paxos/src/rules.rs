//! The rules safety rests on, one method each.
//!
//! They are apart from the machinery for two reasons: a reader finds them in one place with the sentence of the paper each
//! one is, and a simulator can run the very same machinery with one rule broken, to prove that its checkers would
//! notice. Production runs [`Paper`], which overrides nothing.
//!
//! PMS is Lamport's "Paxos Made Simple" (2001), PMMC is van Renesse and Altinbuken's "Paxos Made Moderately Complex" (2015).

use quorate_protocol::{Ballot, Entry, Index, Membership, NodeId, Random};

/// Paxos' rules. The provided methods are the papers'; overriding one makes a known-bad variant.
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

    /// A promise also reports what the promiser has accepted: "the highest-numbered proposal (if any) that it has accepted"
    /// (PMS §2.2, phase 1b), and not only what it has promised.
    fn reports_what_was_accepted() -> bool {
        true
    }

    /// Of the values reported for a slot, "the value of the highest-numbered proposal among the responses" is proposed (PMS
    /// §2.2, phase 2a). Whether that of `other` takes the place of `known`.
    fn outranks(other: &Entry, known: &Entry) -> bool {
        other.id.ballot > known.id.ballot
    }

    /// A slot for which nobody reports anything is filled with a no-op (PMS §3): with its own, not by moving up what
    /// follows, which may be chosen where it is.
    fn closes_gaps() -> bool {
        false
    }

    /// The round of a ballot to begin: "different proposers choose their numbers from disjoint sets" and each "remembers (in
    /// stable storage) the highest-numbered proposal it has tried to issue" (PMS §2.5). `promised` is on disk, and so is every
    /// ballot begun, for its proposer promises it to itself first; `seen` is only remembered.
    fn next_round(promised: Ballot, seen: u64) -> Option<u64> {
        promised.round.max(seen).checked_add(1)
    }

    /// Whether promises of those for which `promised` holds let a leader propose: they must meet everybody who can have
    /// chosen anything (PMS §2.1; Howard and others, "Flexible Paxos", 2016).
    fn elects(membership: &Membership, promised: impl Fn(NodeId) -> bool) -> bool {
        membership.elects(promised)
    }

    /// How far a follower may take the leader's commit index: no further than its slots are known to hold what this ballot's leader
    /// proposes (it may have accepted other values there under a lesser ballot).
    fn may_apply(commit: Index, matched: Index) -> Index {
        commit.min(matched)
    }

    /// What a disk has lost counts: until all of it is chosen or accepted anew its owner promises nothing, for a promise
    /// reports what was accepted, and it no longer knows ("Paxos Made Live", 2007, §5.1: such a replica "participates in
    /// Paxos as a non-voting member" until then).
    fn heeds_what_was_held() -> bool {
        true
    }

    /// A new leader knows everything that is chosen once all that it found in phase 1 is chosen anew, and with it the no-op that
    /// follows at `caught_up`.
    fn may_read(commit: Index, caught_up: Index) -> bool {
        commit >= caught_up
    }

    /// Before it answers a read a leader makes sure that nobody else leads, by a round of messages with enough to choose a value:
    /// whoever had been elected meanwhile would have needed a promise of one of them.
    fn read_needs_quorum() -> bool {
        true
    }

    /// Where a node's questions about reads begin to be counted: somewhere else in each life, or an answer to an
    /// earlier life's question would be taken for an answer to a later one's (etcd issue 20418).
    fn first_question(drawn: u64) -> u64 {
        drawn
    }

    /// For how many of its ticks, from the one in which a heartbeat went out, a leader may count on those who answered it
    /// to promise nothing to others: they keep that for an election timeout of their own ticks, of which the first may be nearly
    /// over, and their clocks may be the faster ones ("Paxos Made Live", §5.2; Ongaro's dissertation §6.4.1).
    fn lease_ticks(election_ticks: u32, drift_percent: u8) -> u32 {
        election_ticks.saturating_sub(1) * 100 / (100 + u32::from(drift_percent))
    }

    /// An acceptor that has restarted does not know whether it answered a heartbeat: it refuses candidates for as long as
    /// anything it answered in its former life can be counted on.
    fn keeps_promises_over_restarts() -> bool {
        true
    }

    /// A leader that has asked another to take over has no lease any more, for that candidate is not refused.
    fn gives_up_lease_to_transfer() -> bool {
        true
    }

    /// The membership on the way to `target`: joint, so that both the old and the new configuration must agree.
    fn towards(current: &Membership, target: &Membership) -> Membership {
        current.towards(target)
    }

    /// A membership is proposed only when everything before it is chosen: `last` is the last slot proposed, `caught_up` the leader's own
    /// no-op. So whoever finds a membership in a slot knows that every earlier slot was settled when it was proposed, and no
    /// forgotten proposal from far up the log can bring an old membership back (module `change`).
    fn may_change(commit: Index, last: Index, caught_up: Index) -> bool {
        commit == last && commit >= caught_up
    }

    /// Whether a node asks if it would be promised a ballot before it begins one. Safety does not rest on it.
    fn asks_first() -> bool {
        true
    }

    /// The ticks a node waits for a leader: drawn, so that two that compete do not do so for ever. Safety does not rest on it.
    fn timeout(election_ticks: u32, random: &mut Random) -> u32 {
        random.between(u64::from(election_ticks), 2 * u64::from(election_ticks)) as u32
    }
}

/// The rules as published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paper;

impl Rules for Paper {}
